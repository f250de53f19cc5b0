"""What is drawn: an ellipsoid of Gaussians, or a trained head, at any number and size.

Both return a ``Scene`` whose title says everything that was done to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from gstalker.data.capture import Capture
from gstalker.deform.torso import carry
from gstalker.experiment.runs import RunFolder
from gstalker.stages.handoff import Handoff
from gstalker.types import Camera, Splats

JITTER = 0.5
"""Of repeated Gaussians, in their own standard deviations."""


@dataclass(frozen=True)
class Scene:
    """Something to draw."""

    key: str
    title: str
    splats: Splats
    camera: Camera


def make_scene(
    count: int | None, side: int | None, head: Path | None = None, seed: int = 0
) -> Scene:
    """The ellipsoid, or with ``head`` the trained head of that run folder.

    Args:
        count: of Gaussians; a head's own, or 30,000, if not given.
        side: longer side of the picture; a head's own, or 512, if not given.
        head: a run folder.
        seed: of the ellipsoid's Gaussians.
    """
    if head is not None:
        return trained_scene(head, count, side)
    count, side = count or 30_000, side or 512
    splats, camera = head_scene(count, side, seed)
    title = f"ellipsoid, {count:,} Gaussians, {side} px"
    return Scene(f"ellipsoid-{count}-{side}", title, splats, camera)


def head_scene(count: int, side: int, seed: int = 0) -> tuple[Splats, Camera]:
    """An ellipsoid of flat Gaussians that covers two thirds of the picture."""
    generator = torch.Generator().manual_seed(seed)
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    axes = torch.tensor([10.0, 12.5, 10.5])
    spacing = 2 * (axes.prod() ** (1 / 3)) * (3.14 / count) ** 0.5
    splats = Splats(
        means=normals * axes,
        scales=spacing
        * torch.tensor([0.6, 0.6, 0.25])
        * torch.exp(0.3 * torch.randn(count, 3, generator=generator)),
        quats=torch.randn(count, 4, generator=generator),
        opacities=torch.rand(count, generator=generator) * 0.69 + 0.3,
        sh=torch.randn(count, 1, 3, generator=generator),
    )
    viewmats = torch.eye(4)[None].clone()
    viewmats[0, 2, 3] = 60.0
    Ks = torch.tensor([[[2.3 * side, 0, side / 2], [0, 2.3 * side, side / 2], [0, 0, 1]]])
    return splats, Camera(viewmats, Ks, side, side)


@torch.no_grad()
def trained_scene(folder: Path, count: int | None = None, side: int | None = None) -> Scene:
    """A run's static head at its first training pose.

    Args:
        folder: a run, as ``gstalker train`` leaves it; its capture must be where it was.
        count: of Gaussians; other than the head's own are made by :func:`resampled`.
        side: longer side of the picture; other than the capture's own by :func:`scaled`.

    Raises:
        GSTalkerError: the run or its capture cannot be used.
    """
    run = RunFolder.open(folder)
    capture = Capture.open(run.config().capture)
    handoff = Handoff.load(run.stage("static") / "handoff.pt")
    handoff.check(capture)
    first = int(capture.split()[0][0])
    cloud = handoff.to_cloud()
    pose = capture.poses[first]
    splats = carry(cloud.splats(), torch.sigmoid(cloud.follow), pose, handoff.rest_viewmat)
    camera = Camera(pose[None], capture.Ks[None], capture.width, capture.height)
    title = f"head of {run.path.name}"
    if count is not None and count != len(splats):
        title += f" ({len(splats):,} Gaussians resampled with jitter, covered area kept)"
        splats = resampled(splats, count)
    if side is not None and side != max(camera.width, camera.height):
        title += f" (filmed at {camera.width} x {camera.height} px)"
        camera = scaled(camera, side)
    title += f", {len(splats):,} Gaussians, {camera.width} x {camera.height} px"
    key = f"{run.path.name}-{len(splats)}-{max(camera.width, camera.height)}"
    return Scene(key, title, splats, camera)


def scaled(camera: Camera, side: int) -> Camera:
    """The same view as a picture whose longer side is ``side`` pixels."""
    factor = side / max(camera.width, camera.height)
    width, height = round(camera.width * factor), round(camera.height * factor)
    Ks = camera.Ks.clone()
    Ks[:, 0] *= width / camera.width
    Ks[:, 1] *= height / camera.height
    return Camera(camera.viewmats, Ks, width, height)


def resampled(splats: Splats, count: int, seed: int = 0) -> Splats:
    """Another number of Gaussians that look about the same.

    Rows are drawn without repetition as long as there are any left; a repeated row is moved by half
    a standard deviation of its own. Sizes change so that all together cover what they covered.
    """
    generator = torch.Generator().manual_seed(seed)
    have = len(splats)
    rounds = [torch.randperm(have, generator=generator) for _ in range(-(-count // have))]
    rows = torch.cat(rounds)[:count]
    again = (torch.arange(count) >= have).float()[:, None]
    noise = torch.randn(count, 3, generator=generator) * JITTER * again
    return Splats(
        means=splats.means[rows] + noise * splats.scales[rows],
        scales=splats.scales[rows] * (have / count) ** 0.5,
        quats=splats.quats[rows],
        opacities=splats.opacities[rows],
        sh=splats.sh[rows],
    )
