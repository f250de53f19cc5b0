"""The words everyone speaks: frozen dataclasses whose shapes are checked once, when built.

``N`` Gaussians, ``B`` frames in a batch, ``K`` harmonics, ``T`` rows of an audio window, ``D``
features, ``H W`` pixels. Channels last everywhere, float32 in [0, 1], sRGB. Quaternions are wxyz.
Camera axes are OpenCV's (x right, y down, z into the picture) and pixel centres lie at +0.5.
World units are centimetres of the canonical face.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

Moved = TypeVar("Moved", bound="_Movable")


class _Movable:
    """Adds ``to``: the same thing with every tensor on another device or of another float type."""

    def to(self: Moved, *args: torch.device | str | torch.dtype) -> Moved:
        """Move the tensors; integer tensors keep their type."""
        moved: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, _Movable):
                moved[field.name] = value.to(*args)
            elif isinstance(value, Tensor):
                keeps = (
                    any(isinstance(a, torch.dtype) for a in args) and not value.is_floating_point()
                )
                moved[field.name] = value if keeps else value.to(*args)  # type: ignore[call-overload]
        return replace(self, **moved)  # type: ignore[type-var]


def _expect(name: str, value: Tensor | None, *shape: int | None) -> None:
    """Refuse a tensor whose shape is not ``shape``; ``None`` in it stands for any length."""
    if value is None:
        return
    fits = value.ndim == len(shape) and all(
        wanted is None or wanted == found for wanted, found in zip(shape, value.shape, strict=True)
    )
    if not fits:
        wanted_text = "[" + ", ".join("*" if s is None else str(s) for s in shape) + "]"
        raise ValueError(f"expected {name} of shape {wanted_text}, but got {list(value.shape)}")


@dataclass(frozen=True)
class Camera(_Movable):
    """Where the pictures are taken from, one entry a frame."""

    viewmats: Float[Tensor, "B 4 4"]
    """World to camera. Here the world is the head's own space, so a head that moves is a camera
    that moves (AD-NeRF, section 3.3)."""
    Ks: Float[Tensor, "B 3 3"]
    """Pinhole intrinsics in pixels."""
    width: int
    height: int

    def __post_init__(self) -> None:
        _expect("viewmats", self.viewmats, None, 4, 4)
        _expect("Ks", self.Ks, self.viewmats.shape[0], 3, 3)


@dataclass(frozen=True)
class Splats(_Movable):
    """Activated Gaussians, what a rasterizer takes; the raw ones are ``GaussianCloud``."""

    means: Float[Tensor, "N 3"]
    """World units."""
    scales: Float[Tensor, "N 3"]
    """Standard deviations in world units, positive."""
    quats: Float[Tensor, "N 4"]
    """Rotations wxyz; rasterizers normalise them."""
    opacities: Float[Tensor, " N"]
    """In (0, 1)."""
    sh: Float[Tensor, "N K 3"]
    """Harmonic coefficients, the constant one first."""

    def __post_init__(self) -> None:
        n = self.means.shape[0]
        _expect("means", self.means, None, 3)
        _expect("scales", self.scales, n, 3)
        _expect("quats", self.quats, n, 4)
        _expect("opacities", self.opacities, n)
        _expect("sh", self.sh, n, None, 3)

    def __len__(self) -> int:
        return self.means.shape[0]


@dataclass(frozen=True)
class Deltas(_Movable):
    """Changes in raw space, added before activation; ``None`` means untouched."""

    means: Float[Tensor, "N 3"] | None = None
    scales: Float[Tensor, "N 3"] | None = None
    quats: Float[Tensor, "N 4"] | None = None
    opacities: Float[Tensor, " N"] | None = None
    sh: Float[Tensor, "N K 3"] | None = None


@dataclass(frozen=True)
class AudioWindow(_Movable):
    """The sound around each frame: ``W`` neighbouring frames' windows of ``T`` feature rows."""

    features: Float[Tensor, "B W T D"]
    centre: Int[Tensor, " B"]
    """Frame whose sound this is; differs from the picture's frame when audio is shuffled."""

    def __post_init__(self) -> None:
        _expect("features", self.features, self.centre.shape[0], None, None, None)


@dataclass(frozen=True)
class FrameBatch(_Movable):
    """Frames of a capture with everything about them."""

    frame_ids: Int[Tensor, " B"]
    image: Float[Tensor, "B H W 3"]
    """The true frame, as filmed."""
    camera: Camera
    audio: AudioWindow
    eye: Float[Tensor, " B"]
    """Eye opening, standardised over the training part (0 mean, 1 deviation)."""
    mouth_box: Int[Tensor, "B 4"]
    """Pixels x0, y0, x1, y1 around the true lips, the far ends excluded."""
    face_box: Int[Tensor, "B 4"]
    """Pixels x0, y0, x1, y1 around the true landmarks, the far ends excluded."""
    mask: UInt8[Tensor, "B H W"]
    """What each pixel shows: labels of ``gstalker.data.capture``."""
    background: Float[Tensor, "H W 3"]
    """The still picture behind the speaker."""

    def __post_init__(self) -> None:
        b = self.frame_ids.shape[0]
        _expect("image", self.image, b, self.camera.height, self.camera.width, 3)
        _expect("eye", self.eye, b)
        _expect("mouth_box", self.mouth_box, b, 4)
        _expect("face_box", self.face_box, b, 4)
        _expect("mask", self.mask, b, self.camera.height, self.camera.width)


@dataclass(frozen=True)
class Render(_Movable):
    """What a rasterizer returns."""

    image: Float[Tensor, "B H W 3"]
    """Premultiplied, over black."""
    alpha: Float[Tensor, "B H W 1"]
    means2d: Float[Tensor, "B N 2"]
    """Projected centres in pixels. After ``backward`` its ``.grad`` holds the pull on each
    centre in the picture, loss units per pixel: what densification counts."""
    radii: Int[Tensor, "B N"]
    """Half-extents in pixels at the 1/255 cut-off, rounded up; 0 where a Gaussian is not seen."""
