"""A head on a face mesh: first rendered as it was seen to move, then taught to move by sound."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.deform.binding import Binding
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.limits import Amount, Count, Share
from gstalker.losses.photometric import l1_dssim
from gstalker.render import Rasterizer
from gstalker.stages.optim import decaying, named_adam
from gstalker.stages.settings import CloudRates, slow_rates
from gstalker.stages.talking import Body, TalkingStage, with_colours
from gstalker.types import AudioWindow, Camera, FrameBatch, Splats

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler


@dataclass
class PuppetRates:
    """Adam's initial learning rates; GSTalker's, the paper's are not public."""

    cloud: CloudRates = dataclasses.field(default_factory=CloudRates)
    """Of the Gaussians."""
    own: Amount = 2e-3
    """Of their own blendshapes."""
    latent: Amount = 1e-3
    """Of the net that makes the latent pose."""
    torso: Amount = 1e-3
    """Of the pose field, which is GSTalker's."""
    audio: Amount = 1.5e-3
    """Of the audio net and the translator; where there is sound."""


@dataclass
class PuppetConfig:
    """What both stages have; values are GSTalker's, the paper's are not public."""

    steps: Count = 12000
    """Iterations, one frame each."""
    dssim_weight: Share = 0.2
    """Share of D-SSIM in the loss beside L1 (Kerbl et al. 2023)."""
    mouth_weight: Amount = 0.2
    """Of the mean error in the mouth box."""
    rates: PuppetRates = dataclasses.field(default_factory=PuppetRates)
    """Learning rates."""
    final_rate_share: Share = 0.05
    """Of every learning rate, at the last step."""


@dataclass
class SpeakConfig(PuppetConfig):
    """The stage that learns to move by sound."""

    audio: AudioConfig = dataclasses.field(default_factory=AudioConfig)
    """What listens."""
    hidden: Count = 64
    """Width of the translator from codes to blendshapes."""
    amount_weight: Amount = 1.0
    """Of the mean squared displacement, in square centimetres, between the blendshapes that are
    heard and those that were seen."""
    rates: PuppetRates = dataclasses.field(default_factory=lambda: PuppetRates(slow_rates()))
    """Learning rates; the cloud's are a tenth of the first stage's."""


class Puppet(nn.Module):
    """A body bound to a mesh.

    Args:
        body: the cloud; its rows neither come nor go.
        binding: of some of them.
    """

    def __init__(self, body: Body, binding: Binding) -> None:
        super().__init__()
        self.body, self.binding = body, binding
        self.amounts = binding.shapes.shape[0]
        self.latent = nn.Linear(self.amounts + 1, binding.own.shape[1])

    def splats(self, camera: Camera, code: Float[Tensor, " A"]) -> Splats:
        """The head under blendshape amounts, then the eye opening."""
        cloud, binding = self.body.cloud, self.binding
        rows = binding.rows(len(cloud))
        # The mesh carries what rests; where a Gaussian rests must not drift to be carried better.
        means, quats = cloud.means.detach()[rows.index], cloud.quats.detach()[rows.index]
        latent = torch.tanh(self.latent(code))
        changes, colours = binding(means, quats, code[: self.amounts], latent)
        return with_colours(self.body.placed(camera, (changes, rows)), colours, rows)


class PuppetStage(TalkingStage):
    """Learns how the head looks, moved as it was seen to move; hears nothing.

    Args:
        puppet: the head.
        seen: ``[F, K]`` blendshapes of every frame of the capture.
        rasterizer: draws splats.
        config: rates and weights.
    """

    seen: Tensor

    def __init__(
        self,
        puppet: Puppet,
        seen: Float[Tensor, "F K"],
        rasterizer: Rasterizer,
        config: PuppetConfig,
    ) -> None:
        super().__init__(rasterizer, puppet.amounts + 1)
        self.config = config
        self.puppet = puppet
        self.register_buffer("seen", seen, persistent=False)

    @property
    def cloud(self) -> GaussianCloud:
        """The head's Gaussians."""
        return self.puppet.body.cloud

    def splats(self, camera: Camera, code: Tensor) -> Splats:
        """The head under blendshape amounts, then the eye opening."""
        return self.puppet.splats(camera, code)

    def hear(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """A face at rest, whatever is played, and the eye opening."""
        rest = eye.new_zeros(len(eye), self.puppet.amounts)
        return torch.cat([rest, eye[:, None]], dim=1)

    def codes(self, batch: FrameBatch) -> Float[Tensor, "B A"]:
        """What was seen in the batch's frames, whatever is played."""
        return torch.cat([self.seen[batch.frame_ids], batch.eye[:, None]], dim=1)

    def training_step(self, batch: FrameBatch, batch_idx: int) -> dict[str, Any]:
        """L1 and D-SSIM of the whole frame, and the mouth again."""
        config = self.config
        code = self.codes(batch)[0]
        render = self.render(batch.camera, code, batch.background)
        loss = l1_dssim(
            render.image,
            batch.image,
            config.dssim_weight,
            boxes=batch.mouth_box,
            box_weight=config.mouth_weight,
        )
        return {"loss": loss + self.misheard(code, batch), "render": render}

    def misheard(self, code: Tensor, batch: FrameBatch) -> Tensor:
        """What a code adds to the loss; here nothing, it is what was seen."""
        return code.new_zeros(())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One Adam: a group per tensor of the cloud, one per network."""
        config, rates, puppet = self.config, self.config.rates, self.puppet
        groups: dict[str, Any] = dict(self.cloud.named_parameters())
        groups |= {"own": puppet.binding.own, "latent": list(puppet.latent.parameters())}
        named = vars(rates.cloud) | {"own": rates.own, "latent": rates.latent}
        others = {
            "torso": ([] if puppet.body.torso is None else list(puppet.body.torso.parameters())),
            "audio": [p for n, p in self.named_parameters() if not n.startswith("puppet.")],
        }
        for name, held in others.items():
            if held:
                groups[name], named[name] = held, getattr(rates, name)
        return decaying(named_adam(groups, named), config.steps, config.final_rate_share)


class SpeakStage(PuppetStage):
    """Learns which blendshapes the sound asks for, and goes on learning the head, slowly.

    Args:
        puppet: the head as the first stage left it.
        seen: ``[F, K]`` blendshapes of every frame of the capture.
        audio: listens.
        rasterizer: draws splats.
        config: sizes, rates and weights.
    """

    config: SpeakConfig
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        puppet: Puppet,
        seen: Float[Tensor, "F K"],
        audio: AudioNet,
        rasterizer: Rasterizer,
        config: SpeakConfig,
    ) -> None:
        super().__init__(puppet, seen, rasterizer, config)
        self.audio = audio
        self.translator = nn.Sequential(
            nn.Linear(audio.dim + 1, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, puppet.amounts),
        )
        self.register_buffer("mean", seen.mean(0))
        self.register_buffer("deviation", seen.std(0))

    def hear(self, audio: AudioWindow, eye: Float[Tensor, " B"]) -> Float[Tensor, "B A"]:
        """Blendshape amounts, then the eye opening as it is."""
        code = torch.cat([self.audio(audio, eye), eye[:, None]], dim=1)
        amounts = self.mean + self.deviation * self.translator(code)
        return torch.cat([amounts, eye[:, None]], dim=1)

    def codes(self, batch: FrameBatch) -> Float[Tensor, "B A"]:
        """What the sound asks for."""
        return self.listen(batch.audio, batch.eye)

    def misheard(self, code: Tensor, batch: FrameBatch) -> Tensor:
        """Mean squared displacement of the mesh between what is heard and what was seen."""
        shapes = self.puppet.binding.shapes
        wrong = code[: self.puppet.amounts] - self.seen[batch.frame_ids[0]]
        moved = torch.einsum("k,kvc->vc", wrong, shapes)
        return self.config.amount_weight * moved.square().sum(1).mean()
