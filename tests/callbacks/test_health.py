"""The line at the end of a stage names what is wrong with it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gstalker.callbacks.curve import Curve
from gstalker.callbacks.health import Health, facts_of
from gstalker.callbacks.probe import SoundProbe
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


HEARD = [*FELL, {"step": 300, "loss": 0.04, "val_sound_gain_db": 0.4}]


def test_a_mouth_that_follows_the_sound_has_no_complaint():
    assert facts_of(HEARD, stage())[1] == []


def test_a_gain_from_the_sound_that_may_be_chance_is_called_so():
    assert facts_of(HEARD, stage(), deaf=True)[1] == [
        "what the sound gains the mouth may be chance"
    ]


@pytest.mark.parametrize("deaf", [False, True])
def test_the_last_line_of_a_stage_knows_what_the_probe_heard(tmp_path, caplog, deaf):
    caplog.set_level("INFO")
    curve = Curve(tmp_path / "metrics.csv")
    curve.rows = HEARD
    probe = SoundProbe(None, np.arange(4))
    probe.deaf = deaf
    Health("deform", curve).on_train_end(SimpleNamespace(callbacks=[curve, probe]), stage())
    verdict = "what the sound gains the mouth may be chance" if deaf else "healthy"
    assert caplog.text.rstrip().endswith(f"min: {verdict}")


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
