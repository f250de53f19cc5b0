"""Drawing: forward, and forward with backward; list entries and lanes beside the time."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import Bench, Counts
from benchmarks.scenes import Scene, make_scene
from gstalker.render import make_rasterizer
from gstalker.types import Camera, Splats

PARAMETERS = ("means", "scales", "quats", "opacities", "sh")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--backends", nargs="+", default=["auto"], help="default: auto")
    parser.add_argument("--gaussians", nargs="+", type=int, default=[None], metavar="N")
    parser.add_argument("--size", nargs="+", type=int, default=[None], help="longer side in pixels")
    parser.add_argument("--head", type=Path, metavar="RUN", help="a trained run, not the ellipsoid")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="time against Gaussians")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Every backend on every scene."""
    for backend in choices.backends:
        for side in choices.size:
            for count in choices.gaussians:
                scene = make_scene(count, side, choices.head)
                measure(bench, backend, scene)


def measure(bench: Bench, backend: str, scene: Scene) -> None:
    """One backend on one scene."""
    draw = make_rasterizer(backend)
    counts = counts_of(draw, scene)
    forward, both = works(draw, scene.splats, scene.camera)
    key, title = f"rasterize-{backend}-{scene.key}", f"rasterize ({backend}), {scene.title}"
    bench.time(f"{key}-forward_ms", f"{title}, forward", forward, counts=counts)
    bench.time(f"{key}-forward_backward_ms", f"{title}, forward + backward", both, counts=counts)


def works(
    draw: Any, splats: Splats, camera: Camera
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Forward alone, and forward with backward."""
    leaves = Splats(*(getattr(splats, n).detach().clone().requires_grad_() for n in PARAMETERS))
    generator = torch.Generator().manual_seed(1)
    shape = (1, camera.height, camera.width)
    pull = [torch.randn(*shape, width, generator=generator) for width in (3, 1)]

    def forward() -> None:
        with torch.no_grad():
            draw(splats, camera)

    def both() -> None:
        render = draw(leaves, camera)
        torch.autograd.backward([render.image, render.alpha], pull)

    return forward, both


def counts_of(draw: Any, scene: Scene) -> Counts:
    """List entries and lanes evaluated, as the backend counts them, and the size of the scene."""
    counts: Counts = {
        "gaussians": len(scene.splats),
        "pixels": scene.camera.width * scene.camera.height,
        "side": max(scene.camera.width, scene.camera.height),
        "bytes_least": least_bytes(scene),
    }
    count = getattr(draw, "counts", None)
    if count is None:
        why = f"n/a: {type(draw).__name__} does not count"
        return {**counts, "pairs": why, "lanes": why}
    with torch.no_grad():
        return {**counts, **count(scene.splats, scene.camera)}


def least_bytes(scene: Scene) -> int:
    """What one forward pass must move: every splat read once, colour and alpha written once."""
    read = sum(getattr(scene.splats, name).numel() for name in PARAMETERS)
    return 4 * (read + 4 * scene.camera.width * scene.camera.height)
