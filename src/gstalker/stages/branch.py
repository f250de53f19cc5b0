"""One branch of TalkingGaussian: some Gaussians learned over green, first still, then moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.deform.attended import AttendedConfig, AttendedField
from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.deform.place import Changes, Rows
from gstalker.gaussians import harmonics, surgery
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.limits import Amount, Count, Share, Whole
from gstalker.losses.photometric import l1_dssim
from gstalker.losses.regularize import mean_change
from gstalker.render import Rasterizer
from gstalker.stages.late import LatePatch
from gstalker.stages.optim import Fall, decaying, evenly, named_adam
from gstalker.stages.settings import CloudRates, PerceptualConfig
from gstalker.stages.talking import Body, TalkingStage, ears
from gstalker.types import AudioWindow, Camera, FrameBatch, Splats

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

GREEN = (0.0, 1.0, 0.0)
"""Behind what a branch draws while it is trained; no person has it."""
PURE = 0.9
"""Gaussians at least so green, and at most the rest in red and blue, have learned the backdrop."""


def _cloud_rates() -> CloudRates:
    # 3DGS with scaling 0.003; 1.6e-4 of their unit, a metre, is 1.6e-2 cm.
    return CloudRates(means=1.6e-2, scales=3e-3, quats=1e-3, opacities=5e-2, sh=2.5e-3, follow=1e-2)


@dataclass
class BranchRates:
    """Adam's initial learning rates, how they fall, and the rest of the networks' Adam."""

    cloud: CloudRates = dataclasses.field(default_factory=_cloud_rates)
    """Of the Gaussians, by Adam as 3DGS has it."""
    encoder: Amount = 5e-3
    """Of the planes."""
    networks: Amount = 5e-4
    """Of the field's networks and the audio net."""
    attention: Amount = 2.5e-3
    """Of the smoothing over frames: five times the networks'."""
    torso: Amount = 1e-3
    """Of the pose field, which is GSTalker's."""
    betas: tuple[Share, Share] = (0.9, 0.99)
    """Of every network's Adam."""
    attention_decay: Amount = 1e-4
    """Weight decay of the smoothing over frames, decoupled (AdamW)."""
    final_means: Share = 0.01
    """Share of the positions' rate that is left in the end (1.6e-4 to 1.6e-6)."""
    means_fallen_by: Share = 0.9
    """Of the steps, when the positions' rate has fallen so far (45,000)."""
    final_motion: Share = 0.1
    """Share of every network's rate at the last step."""
    motion_halved_by: Share = 0.8
    """Of the steps, until which every network's rate only falls to a half (40,000); what would have
    fallen to ``final_motion`` evenly from the first step is its rate after that."""


@dataclass
class BranchConfig:
    """What both branches have; values are TalkingGaussian's released ones."""

    steps: Count = 50000
    """Iterations, one frame each."""
    warm_steps: Whole = 3000
    """Of them without motion."""
    audio: AudioConfig = dataclasses.field(default_factory=lambda: AudioConfig(code=32, eye_code=0))
    """What listens; the eye opening is heard apart from it."""
    field: AttendedConfig = dataclasses.field(default_factory=AttendedConfig)
    """What moves it."""
    dssim_weight: Amount = 0.2
    """Of D-SSIM in the loss, beside L1 whole."""
    change_weight: Amount = 1e-5
    """Of the mean absolute change."""
    alpha_weight: Amount = 1e-3
    """Of the error of what is covered."""
    attention_weight: Amount = 1e-4
    """Of the eye's attention in the mouth box."""
    perceptual: PerceptualConfig | None = None
    """LPIPS around the mouth, late; needs its weights."""
    rates: BranchRates = dataclasses.field(default_factory=BranchRates)
    """Learning rates."""


class BranchStage(TalkingStage):
    """Learns to show some of the mask's labels, and nothing else, over green.

    Args:
        body: the cloud.
        audio: listens.
        centre: ``[3]`` middle of the head.
        rasterizer: draws splats.
        config: sizes, rates and weights.
        mask: labels ``[H, W]`` of a frame, given its id ``[1]``.
        shows: labels that the branch shows.
    """

    def __init__(
        self,
        body: Body,
        audio: AudioNet,
        centre: Float[Tensor, " 3"],
        rasterizer: Rasterizer,
        config: BranchConfig,
        mask: Callable[[Tensor], Tensor],
        shows: Sequence[int],
    ) -> None:
        super().__init__(rasterizer, audio.dim + 1)
        self.config = config
        self.body = body
        self.audio = audio
        self.field = AttendedField(centre, audio.dim, config.field)
        self.mask, self.shows = mask, tuple(shows)
        self._patch = LatePatch(config.perceptual, config.steps)
        self.partial = True
        """Its pictures lack what the other branch shows."""
        self._rest: tuple[Rows, Tensor, Any] | None = None

    @property
    def cloud(self) -> GaussianCloud:
        """The branch's Gaussians."""
        return self.body.cloud

    def hear(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """The sound's code, then the eye opening as it is."""
        return torch.cat([self.audio(audio, eye), eye[:, None]], dim=1)

    def splats(self, camera: Camera, code: Tensor) -> Splats:
        """The branch under a code."""
        return self.body.placed(camera, self._changes(code)[0])

    def _changes(self, code: Tensor) -> tuple[tuple[Changes, Rows], Tensor | None]:
        """Changes of the rows that follow the head, and how much of the eye each lets through."""
        rows, features, attentions = self._at_rest()
        return (self.field.answer(features, attentions, code), rows), attentions[1]

    def _at_rest(self) -> tuple[Rows, Tensor, Any]:
        """What does not depend on the code; made once while nothing is learned."""
        if not torch.is_grad_enabled() and self._rest is not None:
            return self._rest
        rows = self.body.head()
        # Where a Gaussian rests decides how it moves, but must not drift in order to move better.
        features = self.field.encode(self.cloud.means.detach()[rows.index])
        rest = rows, features, self.field.attentions(features)
        self._rest = None if torch.is_grad_enabled() or self.training else rest
        return rest

    def train(self, mode: bool = True) -> BranchStage:
        """Begin or end learning; either way what was made of the old weights is forgotten."""
        self._rest = None
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> BranchStage:
        """To another device or type, and what was made before is forgotten."""
        self._rest = None
        return super()._apply(*args, **kwargs)

    def truth(self, batch: FrameBatch) -> tuple[Tensor, Tensor]:
        """One frame's picture over green ``[1, H, W, 3]``, and where it shows ``[1, H, W, 1]``."""
        labels = self.mask(batch.frame_ids)
        shown = torch.isin(labels, labels.new_tensor(self.shows))[None, ..., None]
        return torch.where(shown, batch.image, batch.image.new_tensor(GREEN)), shown.float()

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """L1 and D-SSIM over green; with motion, its size and what it covers."""
        config, changes, seen = self.config, None, None
        if self.global_step >= config.warm_steps:
            changes, seen = self._changes(self.hear(batch.audio, batch.eye)[0])
        green = batch.image.new_tensor(GREEN).expand_as(batch.background)
        splats = self.body.placed(batch.camera, changes)
        render = self.rasterizer(splats, batch.camera, green)
        truth, shown = self.truth(batch)
        loss = unlike(render.image, truth, config.dssim_weight)
        if changes is not None:
            loss = loss + config.change_weight * mean_change(changes[0].deltas())
            loss = loss + config.alpha_weight * (render.alpha - shown).abs().mean()
            if seen is not None:
                at = render.means2d.detach()[0, changes[1].index]
                loss = loss + config.attention_weight * _within(seen, at, batch.mouth_box[0])
        loss = loss + self._patch(render.image, truth, batch, self.global_step)
        return {"loss": loss, "render": render}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam for each tensor of the cloud, AdamW for each network, as groups of one."""
        rates = self.config.rates
        planes = list(self.field.encoder.parameters())
        listening, smoothing = ears(self.audio)
        apart = {id(parameter) for parameter in planes}
        decoding = [p for p in self.field.parameters() if id(p) not in apart]
        torso = [] if self.body.torso is None else list(self.body.torso.parameters())
        networks = {
            "encoder": (planes, rates.encoder),
            "networks": ([*decoding, *listening], rates.networks),
            "attention": (smoothing, rates.attention),
            "torso": (torso, rates.torso),
        }
        present = {name: pair for name, pair in networks.items() if pair[0]}
        groups: dict[str, Any] = dict(self.cloud.named_parameters())
        adam = named_adam(
            groups | {name: held for name, (held, _) in present.items()},
            vars(rates.cloud) | {name: rate for name, (_, rate) in present.items()},
            betas=dict.fromkeys(present, (rates.betas[0], rates.betas[1])),
            weight_decay={"attention": rates.attention_decay},
        )
        falls: dict[str, Fall] = dict.fromkeys(present, _halving(rates))
        falls["means"] = evenly(rates.final_means, rates.means_fallen_by)
        return decaying(adam, self.config.steps, falls)

    @torch.no_grad()
    def drop_green(self) -> int:
        """Delete Gaussians that have learned the backdrop; returns how many went."""
        colours = 0.5 + harmonics.C0 * self.cloud.sh[:, 0]
        green = (colours[:, 1] >= PURE) & (colours[:, [0, 2]].amax(1) <= 1 - PURE)
        if not green.all():
            surgery.keep(None, self.cloud, ~green)
        return int(green.sum())


def unlike(
    pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"], dssim_weight: float
) -> Float[Tensor, ""]:
    """``L1 + w D-SSIM``, where others have ``(1 - w) L1 + w D-SSIM``."""
    whole = 1 + dssim_weight
    return whole * l1_dssim(pred, truth, dssim_weight / whole)


def _halving(rates: BranchRates) -> Fall:
    """How a network's rate falls: to a half at first, then as if it had fallen evenly."""
    by = rates.motion_halved_by
    first, then = evenly(0.5, by), evenly(rates.final_motion)
    return lambda passed: first(passed) if passed < by else then(passed)


def _within(values: Tensor, at: Tensor, box: Tensor) -> Tensor:
    """Mean size of the values ``[M, 1]`` whose places ``[M, 2]`` lie in a box."""
    inside = ((at >= box[:2]) & (at < box[2:])).all(1)
    return (values[:, 0].abs() * inside).sum() / inside.sum().clamp_min(1)
