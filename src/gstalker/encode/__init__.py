"""Positions become features. The seam is ``Encoder``; ``hashgrid`` defines it."""

from __future__ import annotations

import logging
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from gstalker.native import library
from gstalker.plugins import resolve

log = logging.getLogger(__name__)

ENCODERS = {
    "hashgrid": "gstalker.encode.hashgrid:HashTriPlane",
    "native": "gstalker.encode.native:NativeHashTriPlane",
    "tinycudann": "gstalker.encode.tinycudann:TinyHashTriPlane",
    "grid3d": "gstalker.encode.grid:HashGrid3D",
    "frequency": "gstalker.encode.frequency:Frequency",
    "planes": "gstalker.encode.planes:ProductTriPlane",
}
"""Encoders by name; ``auto`` takes the fastest hash tri-plane that is here."""


@runtime_checkable
class Encoder(Protocol):
    """A module from positions to features."""

    dim: int
    """Features per position."""

    def __call__(self, x: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features of positions in [-1, 1]; beyond, those of the nearest face."""
        ...

    def parameters(self) -> Any:
        """Trainable tensors."""
        ...


def make_encoder(name: str = "auto", **sizes: Any) -> Any:
    """The encoder called ``name``.

    Args:
        name: a key of ``ENCODERS``, ``auto``, or ``module:Class``.
        sizes: levels, features_per_level, log2_table, base, finest; each encoder takes all. A
            ``log2_table`` of None is as large as ``finest`` needs, so that nothing is hashed.

    Raises:
        ConfigError: nobody knows the name.
        BackendMissing: it is not installed; says the install line.
    """
    if name == "auto":
        name = "native" if library.available() else "hashgrid"
        log.info("encoder auto: %s", name)
    if sizes.get("log2_table", 0) is None:
        sizes["log2_table"] = ((sizes["finest"] + 1) ** 2 - 1).bit_length()
    return resolve(ENCODERS, name)(**sizes)
