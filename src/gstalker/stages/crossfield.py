"""GaussianTalker's two stages: a canonical head whose looks its place tells, then what moves it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.deform.crossattention import CanonicalHeads, CrossAttention, CrossConfig, Planes
from gstalker.deform.place import WIDTHS, Changes
from gstalker.gaussians import harmonics
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.limits import Amount, Count, Share
from gstalker.losses.photometric import l1_dssim
from gstalker.render import Rasterizer
from gstalker.stages.heads import cameras
from gstalker.stages.late import LatePatch
from gstalker.stages.optim import decaying, named_adam
from gstalker.stages.settings import CloudRates, PerceptualConfig
from gstalker.stages.talking import Body, TalkingStage, ears, with_colours
from gstalker.types import AudioWindow, Camera, FrameBatch, Render, Splats

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

_CM_PER_M = 100.0
_MOVED = ("means", "scales", "quats", "opacities")
COLUMNS = {name: sum(WIDTHS[n] for n in _MOVED[:k]) for k, name in enumerate(_MOVED)}
"""Where each raw tensor's changes begin, side by side."""


def _cloud_rates() -> CloudRates:
    # 3DGS's defaults with scaling 0.005; 1.6e-4 of their unit, a metre, is 1.6e-2 cm.
    return CloudRates(means=1.6e-2, scales=5e-3, quats=1e-3, opacities=5e-2, sh=2.5e-3, follow=1e-2)


@dataclass
class CrossRates:
    """Adam's initial learning rates, of both stages; the networks' fall to a tenth."""

    cloud: CloudRates = dataclasses.field(default_factory=_cloud_rates)
    """Of the Gaussians."""
    planes: Amount = 1.6e-3
    """Of the planes."""
    networks: Amount = 1e-4
    """Of attention, heads and the audio net."""
    smoothing: Amount = 5e-4
    """Of the audio net's smoothing over frames: five times the networks', as everywhere."""
    torso: Amount = 1e-3
    """Of the pose field, which is GSTalker's."""
    final_means: Share = 0.01
    """Share of the positions' rate at the last step (1.6e-4 to 1.6e-6)."""
    final_motion: Share = 0.1
    """Share of the planes' and networks' rates at the last step."""


@dataclass
class CrossStageConfig:
    """What both stages have; values are the released ones."""

    steps: Count = 10000
    """Iterations."""
    dssim_weight: Share = 0.2
    """Share of D-SSIM in the loss beside L1."""
    mouth_weight: Amount = 0.4
    """Of the mean error in the lip box."""
    perceptual: PerceptualConfig | None = None
    """LPIPS around the mouth, late; theirs is VGG's over the whole frame."""
    rates: CrossRates = dataclasses.field(default_factory=CrossRates)
    """Learning rates."""


@dataclass
class FineConfig(CrossStageConfig):
    """The second stage."""

    frames_per_step: Count = 32
    """Frames drawn for one step."""
    audio: AudioConfig = dataclasses.field(default_factory=lambda: AudioConfig(code=32, eye_code=0))
    """What listens; the eye opening is a token of its own."""


class _CrossStage(TalkingStage):
    """Canonical head and planes; what both stages do with a batch."""

    config: CrossStageConfig

    def __init__(
        self,
        body: Body,
        planes: Planes,
        rasterizer: Rasterizer,
        config: CrossStageConfig,
        code_dim: int,
    ) -> None:
        super().__init__(rasterizer, code_dim)
        self.config = config
        self.body, self.planes = body, planes
        self._seed = torch.initial_seed() % 2**32
        self._patch = LatePatch(config.perceptual, config.steps)

    def on_train_batch_start(self, batch: FrameBatch, batch_idx: int) -> None:
        """Dropout follows from the step, so that a run that was killed goes on as it would have."""
        torch.manual_seed(self._seed + self.global_step)

    @property
    def cloud(self) -> GaussianCloud:
        """The canonical Gaussians."""
        return self.body.cloud

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """L1 and D-SSIM of every frame of the batch, and the mouth again."""
        codes = self.hear(batch.audio, batch.eye)
        renders = [
            self.render(camera, code, batch.background)
            for camera, code in zip(cameras(batch), codes, strict=True)
        ]
        pictures = torch.cat([render.image for render in renders])
        config = self.config
        loss = l1_dssim(
            pictures,
            batch.image,
            config.dssim_weight,
            boxes=batch.mouth_box,
            box_weight=config.mouth_weight,
        )
        loss = loss + self._patch(pictures[:1], batch.image[:1], batch, self.global_step)
        last: Render = renders[-1]
        return {"loss": loss, "render": last}

    def _optimizer(
        self, networks: dict[str, tuple[list[nn.Parameter], float]]
    ) -> OptimizerLRScheduler:
        """One Adam: a group per tensor of the cloud, one per network that there is."""
        rates = self.config.rates
        held = {name: pair for name, pair in networks.items() if pair[0]}
        held["planes"] = list(self.planes.parameters()), rates.planes
        if self.body.torso is not None:
            held["torso"] = list(self.body.torso.parameters()), rates.torso
        adam = named_adam(
            dict(self.cloud.named_parameters()) | {name: pair[0] for name, pair in held.items()},
            vars(rates.cloud) | {name: pair[1] for name, pair in held.items()},
        )
        shares = {"means": rates.final_means} | dict.fromkeys(held, rates.final_motion)
        return decaying(adam, self.config.steps, shares)


class CanonicalStage(_CrossStage):
    """Stage one: no sound; opacity and colour are what the planes say at each place.

    What they say is written into the cloud after each step, so that growing, pruning and the next
    stage see it.

    Args:
        body: the first cloud.
        planes: position features.
        rasterizer: draws splats.
        cross: sizes.
        config: rates and weights.
    """

    def __init__(
        self,
        body: Body,
        planes: Planes,
        rasterizer: Rasterizer,
        cross: CrossConfig,
        config: CrossStageConfig,
    ) -> None:
        super().__init__(body, planes, rasterizer, config, 0)
        terms = harmonics.count(self.cloud.sh_degree)
        self.heads = CanonicalHeads(planes.dim, terms, cross.hidden)

    def hear(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B 0"]:
        """Nothing."""
        return eye.new_zeros(len(eye), 0)

    def splats(self, camera: Camera, code: Tensor) -> Splats:
        """The canonical head; while it learns, by the heads that write the cloud's looks."""
        splats = self.body.placed(camera)
        if not torch.is_grad_enabled():
            return splats
        opacities, sh = self.heads(self.planes(self.cloud.means))
        return replace(splats, opacities=opacities.sigmoid(), sh=sh)

    def on_train_batch_end(self, outputs: Any, batch: FrameBatch, batch_idx: int) -> None:
        """Write what the heads say into the cloud."""
        with torch.no_grad():
            opacities, sh = self.heads(self.planes(self.cloud.means))
            self.cloud.opacities.copy_(opacities)
            self.cloud.sh.copy_(sh)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam with named groups."""
        return self._optimizer(
            {"heads": (list(self.heads.parameters()), self.config.rates.networks)}
        )


class FineStage(_CrossStage):
    """Stage two: every attribute of the Gaussians that follow the head changes with the frame.

    Args:
        body: the canonical cloud.
        planes: what the first stage learned.
        audio: listens.
        rasterizer: draws splats.
        cross: sizes.
        config: rates and weights.
    """

    config: FineConfig

    def __init__(
        self,
        body: Body,
        planes: Planes,
        audio: AudioNet,
        rasterizer: Rasterizer,
        cross: CrossConfig,
        config: FineConfig,
    ) -> None:
        super().__init__(body, planes, rasterizer, config, audio.dim + 1)
        self.audio = audio
        terms = harmonics.count(self.cloud.sh_degree)
        self.attention = CrossAttention(planes.dim, audio.dim, terms, cross)

    def hear(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """The sound's code, then the eye opening as it is."""
        return torch.cat([self.audio(audio, eye), eye[:, None]], dim=1)

    def splats(self, camera: Camera, code: Tensor) -> Splats:
        """The canonical head, changed in every attribute."""
        rows = self.body.head()
        pose = camera.viewmats[0].clone()
        pose[:3, 3] /= _CM_PER_M
        features = self.planes(self.cloud.means.detach()[rows.index])
        parts = self.attention(features, code, pose)
        moved = Changes(torch.cat([parts[name] for name in _MOVED], dim=1), COLUMNS)
        return with_colours(self.body.placed(camera, (moved, rows)), parts["sh"], rows)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam with named groups."""
        rates = self.config.rates
        listening, smoothing = ears(self.audio)
        return self._optimizer(
            {
                "attention": (list(self.attention.parameters()), rates.networks),
                "audio": (listening, rates.networks),
                "smoothing": (smoothing, rates.smoothing),
            }
        )
