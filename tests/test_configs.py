"""Every YAML that we ship composes, and every method takes real steps on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from gstalker import config
from gstalker.methods import METHODS
from gstalker.plugins import resolve

ROOT = Path(__file__).parents[1]
RUNS = sorted([*ROOT.glob("configs/**/*.yaml"), *ROOT.glob("src/gstalker/**/*.yaml")])
FEW = {
    "gstalker": [
        "method.static.steps=3",
        "method.deform.steps=3",
        "method.static.start.max_gaussians=400",
    ],
    "talkinggaussian": [
        *(f"method.{stage}.steps=3" for stage in ("face", "mouth", "fuse")),
        *(f"method.{stage}.warm_steps=1" for stage in ("face", "mouth")),
        *(f"method.{stage}.perceptual=null" for stage in ("face", "mouth", "fuse")),
        "method.face.start.max_gaussians=400",
        "method.mouth.max_gaussians=100",
    ],
    "gaussiantalker": [
        *(f"method.{stage}.steps=2" for stage in ("coarse", "fine")),
        *(f"method.{stage}.perceptual=null" for stage in ("coarse", "fine")),
        "method.coarse.start.max_gaussians=400",
    ],
    "blendshape_gaussians": [
        *(f"method.{stage}.steps=3" for stage in ("look", "speak")),
        "method.start.max_gaussians=400",
    ],
}
"""Of each method: few steps, few Gaussians, and no weights needed."""


def where(file):
    """A file's place below the project's root."""
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", RUNS, ids=where)
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


@pytest.mark.parametrize("file", sorted(ROOT.glob("configs/**/*.yaml")), ids=where)
def test_a_shipped_config_trains_a_few_steps(file, tiny_capture, tmp_path):
    from gstalker.experiment.train import make_method, train

    name = config.compose(file, complete=False).method.name
    where = [f"capture={tiny_capture.folder}", f"runs={tmp_path}"]
    chosen = config.compose(file, [*where, *FEW[name]])
    run = train(chosen)
    method, _ = make_method(chosen, tiny_capture)
    for plan in method.stages():
        assert (run.path / plan.artefact).is_file()
        rows = (run.path / plan.name / "metrics.csv").read_text().splitlines()
        assert rows[-1].startswith(f"{plan.steps},")
    method.load(run.path)
