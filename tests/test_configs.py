"""Every YAML that we ship composes, and every method takes real steps on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from gstalker import config
from gstalker.methods import METHODS
from gstalker.plugins import resolve

ROOT = Path(__file__).parents[1]
RUNS = sorted([*ROOT.glob("configs/*.yaml"), *ROOT.glob("src/gstalker/**/*.yaml")])


@pytest.mark.parametrize("file", RUNS, ids=lambda file: file.name)
def test_a_shipped_config_composes_and_reads_back(file, tmp_path):
    run = config.compose(file, ["capture=captures/me"])
    config.save(run, tmp_path / "config.yaml")
    assert config.load(tmp_path / "config.yaml") == run


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_config_of_its_own_name(name):
    assert (ROOT / "configs" / f"{name}.yaml").is_file()


@pytest.mark.parametrize("name", METHODS)
def test_every_value_of_a_method_has_a_default(name):
    resolve(METHODS, name).Config()


@pytest.mark.parametrize("file", sorted(ROOT.glob("configs/*.yaml")), ids=lambda file: file.name)
def test_a_shipped_config_trains_a_few_steps(file, tiny_capture, tmp_path):
    from gstalker.experiment.train import train

    few = [
        "method.static.steps=3",
        "method.deform.steps=3",
        "method.static.start.max_gaussians=400",
    ]
    run = train(config.compose(file, [f"capture={tiny_capture.folder}", f"runs={tmp_path}", *few]))
    assert (run.path / "static" / "handoff.pt").is_file()
    assert (run.path / "deform" / "model.pt").is_file()
