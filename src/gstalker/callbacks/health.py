"""One line at the end of a stage: what came of it, and what looks wrong."""

from __future__ import annotations

import logging
import time

import lightning as L
import torch

from gstalker.callbacks.curve import Curve
from gstalker.callbacks.probe import SoundProbe

log = logging.getLogger(__name__)

FALLS_TO = 0.9
"""A loss that ends above this share of its beginning has not fallen."""
CLEAR = 0.01
"""Opacity below which a Gaussian is as good as not there (3DGS prunes at 0.005)."""
MOSTLY_CLEAR = 0.5
"""Share of such Gaussians that is worth a word."""
DEAF = 0.05
"""Gain from the sound in dB up to which it is as good as none."""


class Health(L.Callback):
    """Logs a line when a stage has finished.

    Args:
        name: of the stage.
        curve: whose rows tell how the loss went.
    """

    def __init__(self, name: str, curve: Curve) -> None:
        self.name = name
        self.curve = curve
        self._began = 0.0

    def on_train_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Look at the clock."""
        self._began = time.monotonic()

    def on_train_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Say it."""
        minutes = (time.monotonic() - self._began) / 60
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        deaf = any(each.deaf for each in callbacks if isinstance(each, SoundProbe))
        facts, complaints = facts_of(self.curve.rows, stage, deaf)
        verdict = "; ".join(complaints) or "healthy"
        line = f"stage {self.name}: {', '.join(facts)} in {minutes:.1f} min: {verdict}"
        (log.warning if complaints else log.info)("%s", line)


def facts_of(
    rows: list[dict[str, float]], stage: torch.nn.Module, deaf: bool = False
) -> tuple[list[str], list[str]]:
    """What a stage's curve and its cloud say, and what is wrong with them.

    Args:
        rows: of ``metrics.csv``.
        stage: with a ``cloud``, or another method's without one.
        deaf: whether the probe heard no answer to the sound, beyond chance.
    """
    facts, complaints = [], []
    losses = [row["loss"] for row in rows if "loss" in row]
    if losses:
        facts.append(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}")
        if len(losses) > 1 and losses[-1] > FALLS_TO * losses[0]:
            complaints.append("the loss hardly fell")
    for name, unit in (("val_psnr_mouth", "dB mouth"), ("val_sound_gain_db", "dB from the sound")):
        values = [row[name] for row in rows if name in row]
        if values:
            facts.append(f"{values[-1]:.2f} {unit}")
            if name == "val_sound_gain_db" and values[-1] <= DEAF:
                complaints.append("the mouth ignores the sound; another seed may hear")
            elif name == "val_sound_gain_db" and deaf:
                complaints.append("what the sound gains the mouth may be chance")
    cloud = getattr(stage, "cloud", None)
    if cloud is not None:
        facts.append(f"{len(cloud):,} Gaussians")
        raw = torch.cat([tensor.detach().flatten() for tensor in cloud.parameters()])
        if not raw.isfinite().all():
            complaints.append("the cloud holds values that are not numbers")
        clear = float((torch.sigmoid(cloud.opacities.detach()) < CLEAR).float().mean())
        if clear > MOSTLY_CLEAR:
            complaints.append(f"{clear:.0%} of the Gaussians are transparent")
    return facts, complaints
