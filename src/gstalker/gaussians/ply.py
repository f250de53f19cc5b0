"""Clouds as ``.ply``, in the layout of the INRIA code that common viewers read, both ways.

Columns: position, unused normals, ``f_dc_*``, ``f_rest_*`` (channel by channel), opacity logit,
log-scales, quaternion wxyz; all little-endian float32. One more column of ours, ``follow``, comes
last; viewers pass over it, and a file without it is all head.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gstalker import files
from gstalker.errors import RunError
from gstalker.gaussians import harmonics
from gstalker.gaussians.cloud import GaussianCloud

_ALL_HEAD = 10.0
"""Logit of following, for files that do not say."""
_HIGHER_TERMS = tuple(3 * (harmonics.count(k) - 1) for k in range(harmonics.MAX_DEGREE + 1))
"""Columns ``f_rest_*`` of each degree."""


def columns(terms: int) -> list[str]:
    """Names of the columns for ``terms`` harmonics per channel."""
    return [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"f_dc_{k}" for k in range(3)),
        *(f"f_rest_{k}" for k in range(3 * (terms - 1))),
        "opacity",
        *(f"scale_{k}" for k in range(3)),
        *(f"rot_{k}" for k in range(4)),
        "follow",
    ]


@torch.no_grad()
def write(path: Path, cloud: GaussianCloud) -> None:
    """Write a cloud."""
    count, terms = cloud.sh.shape[:2]
    rest = cloud.sh[:, 1:].transpose(1, 2).reshape(count, -1)
    parts = [
        cloud.means,
        torch.zeros(count, 3),
        cloud.sh[:, 0],
        rest,
        cloud.opacities[:, None],
        cloud.scales,
        cloud.quats,
        cloud.follow[:, None],
    ]
    table = torch.cat([p.cpu().float() for p in parts], dim=1).numpy().astype("<f4")
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [f"property float {name}" for name in columns(terms)] + ["end_header"]
    files.write_bytes(path, ("\n".join(header) + "\n").encode() + table.tobytes())


def read(path: Path) -> GaussianCloud:
    """Read a cloud.

    Raises:
        RunError: it is missing, damaged, or not a ply of Gaussians.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.") from error
    head, found, body = data.partition(b"end_header\n")
    lines = head.decode("ascii", "replace").split("\n")
    if not found or lines[0] != "ply" or "format binary_little_endian 1.0" not in lines:
        raise RunError(f"{path} is not a binary little-endian ply.")
    names = [line.split()[-1] for line in lines if line.startswith("property float ")]
    others = [line for line in lines if line.startswith("property ") and "float " not in line]
    count = _count(path, lines)
    rest = sum(name.startswith("f_rest_") for name in names)
    wanted = columns(rest // 3 + 1)
    missing = [
        name for name in wanted if name not in names and name not in ("nx", "ny", "nz", "follow")
    ]
    if others or missing:
        raise RunError(
            f"{path} is not a ply of Gaussians; it lacks: {', '.join(missing) or 'float columns'}."
        )
    if rest not in _HIGHER_TERMS:
        raise RunError(
            f"{path} has {rest} columns f_rest_*; harmonics of degree 0 to {harmonics.MAX_DEGREE} "
            f"have {', '.join(map(str, _HIGHER_TERMS))}."
        )
    size = count * len(names) * 4
    if len(body) < size:
        raise RunError(f"{path} is cut short: {len(body)} bytes where {size} were expected.")
    table = np.frombuffer(body, "<f4", count * len(names)).reshape(count, len(names))
    return _cloud({name: table[:, k] for k, name in enumerate(names)}, rest // 3)


def _count(path: Path, lines: list[str]) -> int:
    """Number of Gaussians that the header promises: vertices, and no other element."""
    elements = [line.split()[1:] for line in lines if line.startswith("element ")]
    if len(elements) != 1 or elements[0][:1] != ["vertex"] or not elements[0][-1].isdecimal():
        raise RunError(
            f"{path} is not a ply of Gaussians; its header should count vertices and nothing else."
        )
    return int(elements[0][-1])


def _cloud(column: dict[str, np.ndarray], rest: int) -> GaussianCloud:
    count = len(column["x"])

    def stack(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([column[n] for n in names], axis=-1).astype(np.float32))

    sh = stack(*(f"f_dc_{k}" for k in range(3)))[:, None]
    if rest:
        more = stack(*(f"f_rest_{k}" for k in range(3 * rest))).view(count, 3, rest)
        sh = torch.cat([sh, more.transpose(1, 2)], dim=1)
    follow = stack("follow")[:, 0] if "follow" in column else torch.full((count,), _ALL_HEAD)
    return GaussianCloud(
        means=stack("x", "y", "z"),
        scales=stack(*(f"scale_{k}" for k in range(3))),
        quats=stack(*(f"rot_{k}" for k in range(4))),
        opacities=stack("opacity")[:, 0],
        sh=sh,
        follow=follow,
    )
