"""The line at the end of a stage names what is wrong with it."""

import pytest
import torch

from gstalker.callbacks.health import facts_of
from gstalker.gaussians.cloud import GaussianCloud


def stage(opacities=(2.0, 2.0, 2.0), mean=0.0):
    n = len(opacities)
    cloud = GaussianCloud(
        torch.full((n, 3), mean), torch.zeros(n, 3), torch.ones(n, 4), torch.tensor(opacities),
        torch.zeros(n, 1, 3), torch.zeros(n),
    )  # fmt: skip
    module = torch.nn.Module()
    module.cloud = cloud
    return module


FELL = [{"step": 100, "loss": 0.2}, {"step": 200, "loss": 0.05, "val_psnr_mouth": 28.25}]


def test_a_stage_that_went_well_has_no_complaint():
    facts, complaints = facts_of(FELL, stage())
    assert facts == ["loss 0.2000 -> 0.0500", "28.25 dB mouth", "3 Gaussians"]
    assert complaints == []


def test_a_mouth_that_follows_the_sound_has_no_complaint():
    heard = [*FELL, {"step": 300, "loss": 0.04, "val_sound_gain_db": 0.4}]
    assert facts_of(heard, stage())[1] == []


@pytest.mark.parametrize(
    ("rows", "module", "complaint"),
    [
        ([{"loss": 0.2}, {"loss": 0.19}], stage(), "the loss hardly fell"),
        (FELL, stage(opacities=(-9.0, -9.0, 2.0)), "67% of the Gaussians are transparent"),
        (FELL, stage(mean=float("nan")), "the cloud holds values that are not numbers"),
        (
            [*FELL, {"step": 300, "loss": 0.04, "val_sound_gain_db": 0.0}],
            stage(),
            "the mouth ignores the sound; another seed may hear",
        ),
    ],
)
def test_what_is_wrong_is_named(rows, module, complaint):
    assert facts_of(rows, module)[1] == [complaint]


def test_a_stage_of_another_method_needs_no_cloud():
    assert facts_of(FELL, torch.nn.Module()) == (["loss 0.2000 -> 0.0500", "28.25 dB mouth"], [])
