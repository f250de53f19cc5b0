"""One file per published method. A method is its config, its stages, and how to load a trained run.

A method's class carries its own ``Config`` dataclass; ``method.name`` in a run's config is a key of
``METHODS`` or an import path ``module:Class``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor

from gstalker.data.capture import Capture
from gstalker.types import AudioWindow, Camera, FrameBatch

if TYPE_CHECKING:
    import lightning as L

METHODS = {
    "gstalker": "gstalker.methods.gstalker:GSTalker",
    "er_nerf": "gstalker.methods.er_nerf:ERNeRF",
    "ad_nerf": "gstalker.methods.ad_nerf:ADNeRF",
    "talkinggaussian": "gstalker.methods.talkinggaussian:TalkingGaussian",
    "gaussiantalker": "gstalker.methods.gaussiantalker:GaussianTalker",
    "blendshape_gaussians": "gstalker.methods.blendshape_gaussians:BlendshapeGaussians",
}
"""Methods by name."""


@runtime_checkable
class Performer(Protocol):
    """A trained run's head; its methods may be called from several Python threads at once."""

    def __call__(self, batch: FrameBatch) -> Float[Tensor, "B H W 3"]:
        """Pictures in [0, 1] for a batch, by the code that training uses."""
        ...

    def listen(self, audio: AudioWindow, eye: Float[Tensor, " F"]) -> Float[Tensor, "F A"]:
        """What the sound says to the head, as one code for each of many frames.

        Args:
            audio: windows of sound.
            eye: eye opening, standardised over the training part.

        Returns:
            Codes; a head that hears nothing has codes of no numbers.
        """
        ...

    def paint(
        self, camera: Camera, code: Float[Tensor, " A"], background: Float[Tensor, "H W 3"]
    ) -> UInt8[Tensor, "H W 3"]:
        """One frame, ready to be shown.

        Args:
            camera: of one frame (B = 1).
            code: that frame's, from ``listen``.
            background: the still picture behind the head, in [0, 1].
        """
        ...


@dataclass(frozen=True)
class StagePlan:
    """One stage of a method's training."""

    name: str
    """Also the name of its folder in the run."""
    steps: int
    """Optimizer steps."""
    build: Callable[[Path], L.LightningModule]
    """The module to train, given the run's folder (for what earlier stages left there)."""
    export: Callable[[L.LightningModule, Path], None]
    """Writes what the stage leaves, given the run's folder."""
    artefact: str
    """That file, relative to the run's folder; it is there if and only if the stage is finished."""
    callbacks: Sequence[L.Callback] = field(default_factory=list)
    """What the stage needs beside the usual ones."""
    validation_frames: int = 32
    """Drawn at most at each look at it while it trains; few, where one takes a second."""


@runtime_checkable
class Method(Protocol):
    """What train, evaluate and drive ask of a method."""

    Config: type
    """A dataclass; every field has a default and a line of documentation."""

    def __init__(
        self, config: Any, capture: Capture, *, rasterizer: str, features: str, device: str
    ) -> None: ...

    @staticmethod
    def sound(config: Any) -> str:
        """Kind of sound features that the config asks for; may be ``auto``."""
        ...

    def stages(self) -> Sequence[StagePlan]:
        """The stages in order."""
        ...

    def load(self, folder: Path, *, silent: bool = False) -> Performer:
        """The trained run's head; ``silent`` gives it without sound, the control."""
        ...
