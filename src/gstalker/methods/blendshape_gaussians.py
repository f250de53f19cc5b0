"""GaussianTalker (arXiv 2404.14037): Gaussians on a face mesh, moved by blendshapes heard in sound.

Of two papers with this name it is the speaker-specific one; the other is ``gaussiantalker``. Only
its abstract was to be had: Gaussians bound to a parametric face, a translator from sound to the
speaker's motion, blendshapes of the speaker's own for detail. Sizes and rates are ours. The face
is the speaker's own landmarks and how they move, or an open morphable model, not a licensed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gstalker.deform.binding import Binding, bind
from gstalker.deform.torso import TorsoConfig
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.limits import Count, Whole
from gstalker.methods import Performer, StagePlan
from gstalker.methods.portrait import Portrait, StartConfig
from gstalker.stages.model_file import fill, part_of
from gstalker.stages.performer import StagePerformer
from gstalker.stages.puppet import Puppet, PuppetConfig, PuppetStage, SpeakConfig, SpeakStage
from gstalker.stages.talking import Body
from gstalker.stages.trainable import trainable

if TYPE_CHECKING:
    import lightning as L

    from gstalker.deform.blendshapes import Blendshapes


@dataclass
class BlendshapeGaussiansConfig:
    """The whole method."""

    model: str = ""
    """A morphable face's ``.npz``; empty: shapes made of the speaker's own landmarks."""
    components: Count = 16
    """Shapes made of landmarks; a model brings its own number."""
    own: Whole = 8
    """Blendshapes that each Gaussian has of its own."""
    start: StartConfig = field(default_factory=StartConfig)
    """The first Gaussians; their number stays, since each is bound to the mesh."""
    torso: TorsoConfig | None = field(default_factory=TorsoConfig)
    """How the pose moves the torso, as in GSTalker."""
    look: PuppetConfig = field(default_factory=PuppetConfig)
    """The head, moved as it was seen to move."""
    speak: SpeakConfig = field(default_factory=SpeakConfig)
    """The head, moved by sound."""


class BlendshapeGaussians(Portrait):
    """Look, then speak; arguments as :class:`Portrait`'s."""

    Config = BlendshapeGaussiansConfig
    config: BlendshapeGaussiansConfig

    @staticmethod
    def sound(config: BlendshapeGaussiansConfig) -> str:
        """Kind of sound features that the config asks for."""
        return config.speak.audio.features

    def stages(self) -> Sequence[StagePlan]:
        """Look, speak."""
        look, speak = self.config.look.steps, self.config.speak.steps
        return [
            StagePlan("look", look, self._look, self._leave, "look/model.pt"),
            StagePlan("speak", speak, self._speak, self._leave, "speak/model.pt"),
        ]

    def load(self, folder: Path, *, silent: bool = False) -> Performer:
        """The trained head; ``silent``: hearing the mean sound, its eyes half open."""
        path = folder / "speak" / "model.pt"
        state = self.files.read(path)
        amounts = state["puppet.binding.shapes"].shape[0]
        seen = torch.zeros(2, amounts)  # nothing is compared with what was seen any more
        stage = self._speaking(self._puppet_like(state), seen)
        fill(stage, state, path)
        stage.deaf = silent
        return StagePerformer(stage, self.device)

    @cached_property
    def face(self) -> Blendshapes:
        """The speaker's mesh, its shapes, and what was seen in every frame."""
        from gstalker.deform import blendshapes  # much of scipy, for training alone

        config = self.config
        if config.model:
            return blendshapes.from_model(Path(config.model), self.capture, self.train_ids)
        return blendshapes.from_landmarks(self.capture, self.train_ids, config.components)

    def _seen(self) -> Tensor:
        return torch.from_numpy(self.face.seen).float()

    def _look(self, folder: Path) -> Any:
        cloud, face = self.first_cloud(self.config.start), self.face
        rest, shapes = (torch.from_numpy(a).float() for a in (face.rest, face.shapes))
        binding = Binding(rest, shapes, bind(cloud.means, face), self.config.own)
        puppet = Puppet(self._body(cloud), binding)
        return trainable(PuppetStage)(puppet, self._seen(), self.rasterizer, self.config.look)

    def _speak(self, folder: Path) -> Any:
        path = folder / "look" / "model.pt"
        state = self.files.read(path)
        puppet = self._puppet_like(state)
        fill(puppet, part_of(state, "puppet"), path)
        stage = self._speaking(puppet, self._seen(), trainable(SpeakStage))
        self.fit_whitening(stage.audio)
        return stage

    def _speaking(
        self, puppet: Puppet, seen: Tensor, kind: Callable[..., SpeakStage] = SpeakStage
    ) -> SpeakStage:
        config = self.config.speak
        return kind(puppet, seen, self.ears(config.audio), self.rasterizer, config)

    def _puppet_like(self, state: dict[str, Tensor]) -> Puppet:
        """A puppet of the sizes of a state."""
        cloud = GaussianCloud.empty(self.config.start.sh_degree)
        return Puppet(self._body(cloud), Binding.like(part_of(state, "puppet.binding")))

    def _body(self, cloud: GaussianCloud) -> Body:
        return Body(cloud, self.rest_viewmat, self.poses, self.config.torso)

    def _leave(self, stage: L.LightningModule, folder: Path) -> None:
        if isinstance(stage, SpeakStage):
            self.remember_silence(stage)
            self.files.save(folder / "speak" / "model.pt", stage)
        else:
            self.files.save(folder / "look" / "model.pt", stage)
