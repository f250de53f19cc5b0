"""Where the first Gaussians come from: points in a cube, points on the mesh, or one frame's pixels.

``frame_cloud`` is a dense start: every pixel of the person becomes a Gaussian at the depth that the
tracked face says, so the static stage only has to correct. The paper starts from random points.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import griddata
from scipy.spatial import cKDTree
from torch import Tensor

from gstalker.face import FaceLayout
from gstalker.gaussians import harmonics
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.types import Splats

HEAD_FOLLOW, TORSO_FOLLOW = 0.98, 0.02
"""Initial share of following the head: near enough to certain, yet able to learn."""
MOUTH_SHARE = 0.025
"""Of the Gaussians, for the dark behind the lips."""
_OPACITY = 0.88
"""Logit 2: solid, with a gradient left."""
_SPREAD = 0.55
"""Standard deviation of a pixel's Gaussian, in grid steps: neighbours overlap without blurring."""


def random_cloud(
    count: int, mesh: np.ndarray, *, reach: float = 2.5, sh_degree: int = 0, seed: int = 0
) -> GaussianCloud:
    """Grey Gaussians, uniform in a cube around the face (the paper; sizes as TalkingGaussian).

    Args:
        count: of Gaussians.
        mesh: ``[V, 3]`` the face.
        reach: side of the cube in longest sides of the face's box.
        sh_degree: of the harmonics.
        seed: of the positions.

    Raises:
        ValueError: no Gaussian is asked for.
    """
    _expect_some(count)
    rng = np.random.default_rng(seed)
    centre, half = (mesh.max(0) + mesh.min(0)) / 2, np.ptp(mesh, axis=0).max() / 2 * reach
    means = centre + rng.uniform(-half, half, (count, 3))
    return _cloud(means, _nearest_distance(means), np.full((count, 3), 0.5), sh_degree)


def mesh_cloud(mesh: np.ndarray, count: int, *, sh_degree: int = 0, seed: int = 0) -> GaussianCloud:
    """Skin-grey Gaussians on the face: its vertices, then points between neighbouring ones.

    Args:
        mesh: ``[V, 3]`` head space.
        count: of Gaussians.
        sh_degree: of the harmonics.
        seed: of the points between, and of which vertices where ``count`` is less than they are.

    Raises:
        ValueError: no Gaussian is asked for.
    """
    _expect_some(count)
    rng = np.random.default_rng(seed)
    if count < len(mesh):
        mesh = mesh[np.sort(rng.permutation(len(mesh))[:count])]
    _, near = cKDTree(mesh).query(mesh, k=range(1, min(4, len(mesh)) + 1))
    chosen = rng.integers(len(mesh), size=max(count - len(mesh), 0))
    weights = rng.dirichlet(np.ones(near.shape[1]), len(chosen))
    between = (mesh[near[chosen]] * weights[..., None]).sum(1)
    means = np.concatenate([mesh, between])
    return _cloud(means, _nearest_distance(means), np.full((len(means), 3), 0.6), sh_degree)


def frame_cloud(
    image: np.ndarray,
    mask: np.ndarray,
    viewmat: Float[Tensor, "4 4"],
    rest_viewmat: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    mesh: np.ndarray,
    landmarks: np.ndarray,
    layout: FaceLayout,
    *,
    max_gaussians: int = 14000,
    sh_degree: int = 0,
    seed: int = 0,
) -> GaussianCloud:
    """The person of one frame as Gaussians, dense on the face and densest on the mouth.

    Args:
        image: ``uint8 [H, W, 3]``.
        mask: ``uint8 [H, W]`` labels; everything but background (0) becomes Gaussians.
        viewmat: the frame's head to camera.
        rest_viewmat: where the torso rests.
        K: intrinsics in pixels.
        mesh: ``[V, 3]`` the face at rest, head space.
        landmarks: ``[L, 2]`` the frame's, in pixels.
        layout: what the landmarks mean.
        max_gaussians: the grid is as fine as this allows, and not finer than a pixel.
        sh_degree: of the harmonics.
        seed: of the grid's jitter, which keeps its regularity out of the silhouette.

    Raises:
        ValueError: the mask shows no person.
    """
    rng = np.random.default_rng(seed)
    pose, rest, k = viewmat.double().numpy(), rest_viewmat.double().numpy(), K.double().numpy()
    posed = mesh @ pose[:3, :3].T + pose[:3, 3]
    face_px = posed[:, :2] / posed[:, 2:] * [k[0, 0], k[1, 1]] + [k[0, 2], k[1, 2]]
    ruler = _ruler(landmarks, layout)
    inner, inner_depths, inner_step = _mouth(
        landmarks, layout, face_px, posed[:, 2], ruler, max(int(MOUTH_SHARE * max_gaussians), 16)
    )
    most = max(max_gaussians - len(inner), 1)
    pixels, steps = _grid(mask, face_px, landmarks[list(layout.lips)], most, rng)
    at = np.clip(pixels.astype(int), 0, [mask.shape[1] - 1, mask.shape[0] - 1])
    colors = image[at[:, 1], at[:, 0]] / 255.0
    depths, off_face = _depths(pixels, face_px, posed[:, 2])
    below = np.where(off_face, pixels[:, 1] - landmarks[layout.chin, 1], -np.inf)
    follow = _follow(below, ruler)
    # The torso stands behind the face, wherever the nearest vertex would put it.
    behind = posed[:, 2].mean() + 5.0
    depths = np.where(below > 0.12 * ruler, np.maximum(depths, behind), depths)
    pixels = np.concatenate([pixels, inner])
    depths = np.concatenate([depths, inner_depths])
    steps = np.concatenate([steps, np.full(len(inner), inner_step)])
    colors = np.concatenate([colors, np.tile([0.30, 0.12, 0.10], (len(inner), 1))])
    follow = np.concatenate([follow, np.ones(len(inner))])
    camera = np.concatenate(
        [(pixels - [k[0, 2], k[1, 2]]) / [k[0, 0], k[1, 1]], np.ones((len(pixels), 1))], 1
    )
    camera *= depths[:, None]
    # A Gaussian of the head is placed by this frame's pose, one of the torso by the resting pose.
    by_pose = (camera - pose[:3, 3]) @ pose[:3, :3]
    by_rest = (camera - rest[:3, 3]) @ rest[:3, :3]
    means = np.where(follow[:, None] > 0.5, by_pose, by_rest)
    sizes = _SPREAD * steps * depths / k[0, 0]
    share = TORSO_FOLLOW + (HEAD_FOLLOW - TORSO_FOLLOW) * follow
    return _cloud(means, sizes, colors, sh_degree, share)


def _follow(below: np.ndarray, ruler: float) -> np.ndarray:
    """Share of following the head: 1, then fading to 0 over the length of a neck.

    Args:
        below: pixels below the chin; minus infinity on the face.
        ruler: outer-eye distance, in pixels.
    """
    ramp = 1 / (1 + np.exp((np.maximum(below, 0) - 0.22 * ruler) / (0.08 * ruler)))
    return np.where(below >= 0, ramp, 1.0)


def _grid(
    mask: np.ndarray, face_px: np.ndarray, lips: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions on the person and the grid step at each."""
    person = mask > 0
    if not person.any():
        raise ValueError("the mask of the starting frame shows no person")
    low, high = face_px.min(0), face_px.max(0)
    mouth_low, mouth_high = _widened(lips.min(0), lips.max(0), 0.25)

    def inside(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(((points >= a) & (points < b)).all(1))

    def make(step: float) -> tuple[np.ndarray, np.ndarray]:
        parts, steps = [], []
        # Relative fineness of the rest, the face and the mouth: 4 : 3 : 2.
        for share, is_here in (
            (1.0, lambda p: ~inside(p, low, high)),
            (0.75, lambda p: inside(p, low, high) & ~inside(p, mouth_low, mouth_high)),
            (0.5, lambda p: inside(p, mouth_low, mouth_high)),
        ):
            pitch = max(step * share, 1.0)
            xs, ys = (np.arange(pitch / 2, size, pitch) for size in mask.shape[::-1])
            points = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
            points = points + rng.uniform(-0.35, 0.35, points.shape) * pitch
            points = np.clip(points, 0, np.array(mask.shape[::-1]) - 1e-3)
            points = points[is_here(points)]
            points = points[person[points[:, 1].astype(int), points[:, 0].astype(int)]]
            parts.append(points)
            steps.append(np.full(len(points), pitch))
        return np.concatenate(parts), np.concatenate(steps)

    step = np.sqrt(person.sum() / most)
    pixels, steps = make(step)
    while len(pixels) > most:
        step *= 1.05
        pixels, steps = make(step)
    return pixels, steps


def _depths(
    pixels: np.ndarray, face_px: np.ndarray, face_depths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Depth at each pixel: the face's own, and falling back from its edge outside of it."""
    depths = griddata(face_px, face_depths, pixels)
    outside = np.isnan(depths)
    distance, nearest = cKDTree(face_px).query(pixels[outside])
    width = np.ptp(face_px[:, 0])
    # A head is round: 5.5 % of the face's width away, the skull is 0.8 cm further back; at most 7.
    depths[outside] = face_depths[nearest] + np.clip(distance / (0.055 * width) * 0.8, 0, 7)
    return depths, outside


def _mouth(
    landmarks: np.ndarray,
    layout: FaceLayout,
    face_px: np.ndarray,
    face_depths: np.ndarray,
    ruler: float,
    count: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """A dark sheet behind the lips, to be seen when they part."""
    lips = landmarks[list(layout.lips)]
    inset = 0.06 * ruler
    low = np.array([lips[:, 0].min() + inset, lips[:, 1].min()])
    high = np.array([lips[:, 0].max() - inset, lips[:, 1].max() + 0.1 * ruler])
    high = np.maximum(high, low + 1)
    pitch = float(np.sqrt(np.prod(high - low) / count))
    xs, ys = np.arange(low[0], high[0], pitch), np.arange(low[1], high[1], pitch)
    points = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    _, nearest = cKDTree(face_px).query(points)
    return points, face_depths[nearest] + 0.8, pitch


def _ruler(landmarks: np.ndarray, layout: FaceLayout) -> float:
    left, right = landmarks[list(layout.eye_corners)]
    return float(np.linalg.norm(left - right))


def _widened(low: np.ndarray, high: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    room = (high - low) * share
    return low - room, high + room


def _expect_some(count: int) -> None:
    if count < 1:
        raise ValueError(f"expected at least one Gaussian, but got {count}")


def _nearest_distance(points: np.ndarray) -> np.ndarray:
    if len(points) < 2:
        return np.ones(len(points))
    distance, _ = cKDTree(points).query(points, k=min(4, len(points)))
    return np.clip(distance[:, 1:].mean(1), 1e-3, None)


def _cloud(
    means: np.ndarray,
    sizes: np.ndarray,
    colors: np.ndarray,
    sh_degree: int,
    follow: np.ndarray | None = None,
) -> GaussianCloud:
    count = len(means)
    sh = torch.zeros(count, harmonics.count(sh_degree), 3)
    sh[:, 0] = harmonics.rgb_to_sh(torch.from_numpy(colors).float())
    quats = torch.zeros(count, 4)
    quats[:, 0] = 1
    share = np.full(count, HEAD_FOLLOW) if follow is None else follow
    return GaussianCloud.from_splats(
        Splats(
            means=torch.from_numpy(means).float(),
            scales=torch.from_numpy(sizes).float()[:, None].expand(-1, 3).clone(),
            quats=quats,
            opacities=torch.full((count,), _OPACITY),
            sh=sh,
        ),
        torch.from_numpy(share).float(),
    )
