"""What the two stages of GSTalker may be told.

Apart from the stages, because a trained head has these settings and needs no Lightning.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from gstalker.deform.audio import AudioConfig
from gstalker.deform.field import FieldConfig
from gstalker.deform.torso import TorsoConfig
from gstalker.limits import Amount, Count, Share, Whole


@dataclass
class CloudRates:
    """Adam's initial learning rates of the cloud."""

    means: Amount = 6e-3
    """Centimetres per step."""
    scales: Amount = 8e-3
    """Log-scale per step."""
    quats: Amount = 3e-3
    """Quaternion units per step."""
    opacities: Amount = 2e-2
    """Logits per step."""
    sh: Amount = 1.8e-2
    """Harmonic coefficients per step: 5e-3 of colour over the constant harmonic's 0.282."""
    follow: Amount = 1e-2
    """Logits of following the head, per step."""


@dataclass
class StaticConfig:
    """Stage one. Values are our trial's unless a source is given; the paper's are not public."""

    steps: Count = 4000
    """Iterations, one frame each."""
    dssim_weight: Share = 0.2
    """Share of D-SSIM in the loss beside L1 (Kerbl et al. 2023)."""
    rates: CloudRates = dataclasses.field(default_factory=CloudRates)
    """Learning rates."""
    final_rate_share: Share = 0.03
    """Of every learning rate, at the last step."""


def slow_rates() -> CloudRates:
    """Of a cloud that has been learned and goes on learning slowly; about a tenth of the first."""
    return CloudRates(means=2e-4, scales=1e-3, quats=5e-4, opacities=3e-3, sh=3.5e-3, follow=5e-4)


@dataclass
class DeformRates:
    """Adam's initial learning rates of stage two."""

    cloud: CloudRates = dataclasses.field(default_factory=slow_rates)
    """Of the cloud, about a tenth of stage one's."""
    encoder: Amount = 5e-3
    """Of the hash tables (TalkingGaussian)."""
    field: Amount = 5e-4
    """Of the field's MLP (TalkingGaussian)."""
    audio: Amount = 1.5e-3
    """Of the audio net; TalkingGaussian has 2.5e-3 for its attention part."""
    torso: Amount = 1e-3
    """Of the pose field."""


@dataclass
class PerceptualConfig:
    """LPIPS on a patch around the mouth, late in training (TalkingGaussian's last 3,000 steps)."""

    weight: Amount = 0.05
    """Of the patch's distance, added to the loss."""
    start_share: Share = 0.8
    """Of the steps that pass before it begins."""
    side: Count = 64
    """Of the patch, in pixels."""


@dataclass
class DeformConfig:
    """Stage two. Values are our trial's unless a source is given; the paper's are not public."""

    steps: Count = 16000
    """Iterations, one frame each."""
    audio: AudioConfig = dataclasses.field(default_factory=AudioConfig)
    """What listens."""
    rehearsals: Whole = 400
    """Batches of lip landmarks that the audio net learns from before anything is painted; ours, not
    the paper's; see :mod:`gstalker.deform.rehearsal`."""
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    """What moves the face."""
    torso: TorsoConfig | None = dataclasses.field(default_factory=TorsoConfig)
    """What moves the torso; null leaves it to the blend with the head alone."""
    dssim_weight: Share = 0.2
    """Share of D-SSIM in the loss beside L1 (Kerbl et al. 2023)."""
    mouth_weight: Amount = 0.2
    """Of the mean error in the mouth box, added to the loss."""
    still_weight: Amount = 0.01
    """Of the mean squared movement of the face in square centimetres, added to the loss; ours."""
    perceptual: PerceptualConfig | None = None
    """A late patch term; needs the weights of LPIPS, and a tenth of a second a step on a CPU."""
    rates: DeformRates = dataclasses.field(default_factory=DeformRates)
    """Learning rates."""
    final_rate_share: Share = 0.05
    """Of every learning rate, at the last step."""
