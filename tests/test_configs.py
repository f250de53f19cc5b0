"""Every YAML that we ship composes, and every method takes real steps on a CPU."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from gstalker import config
from gstalker.experiment.making import make_method
from gstalker.experiment.train import train
from gstalker.methods import METHODS
from gstalker.plugins import resolve

ROOT = Path(__file__).parents[1]
SHIPPED = [*ROOT.glob("configs/*.yaml"), *ROOT.glob("configs/small/*.yaml")]
RUNS = sorted([*SHIPPED, *ROOT.glob("src/gstalker/**/*.yaml")])
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
        "method.fine.frames_per_step=2",
    ],
    "blendshape_gaussians": [
        *(f"method.{stage}.steps=3" for stage in ("look", "speak")),
        "method.start.max_gaussians=400",
    ],
    "er_nerf": [
        "method.head.steps=1",
        "method.head.march.occupancy.share=0.002",
        "method.head.march.samples=2",
        "method.lips.steps=1",
        "method.lips.patch_weight=0",  # no weights of LPIPS in the tests
        "method.lips.lips_weight=0",
        "method.torso.steps=1",
        *[f"method.{stage}.rays=256" for stage in ("head", "torso")],
    ],
    "ad_nerf": [
        f"method.{stage}.{value}"
        for stage in ("head", "torso")
        for value in ("steps=1", "rays=4", "sampling.coarse=3", "sampling.fine=1")
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


@pytest.mark.parametrize("file", sorted(SHIPPED), ids=where)
def test_a_shipped_config_trains_a_few_steps(file, speck_capture, tmp_path):
    name = config.compose(file, ["capture=captures/me"]).method.name
    lies = [f"capture={speck_capture.folder}", f"runs={tmp_path}"]
    chosen = config.compose(file, [*lies, *FEW[name]])
    run = train(chosen)
    method, _ = make_method(chosen, speck_capture)
    plans = method.stages()
    assert plans
    assert all((run.path / plan.artefact).is_file() for plan in plans)
    for plan in plans:
        rows = list(csv.DictReader((run.path / plan.name / "metrics.csv").open()))
        assert rows[-1]["step"] == str(plan.steps)
    method.load(run.path)


def test_every_method_is_tried_here():
    assert set(FEW) == set(METHODS)
