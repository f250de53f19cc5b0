"""Colours and pixels of the synthetic speaker: rays meet the head, the torso and the wall.

Every picture is exact: a pinhole camera, twice the resolution in both directions, averaged. Skin,
hair and shirt carry fixed textures, so the only things that change from frame to frame are the
pose, the torso behind it, the lids and the mouth. Where things are is ``synthetic_face``'s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.data import synthetic_face as face
from gstalker.data import synthetic_texture as texture
from gstalker.data.capture import BACKGROUND, HEAD, MOUTH, TORSO

OVERSAMPLING = 2
_ITERATIONS = 4


@dataclass(frozen=True)
class Moment:
    """All that differs between two frames."""

    viewmat: np.ndarray
    """Head to camera, ``float64 [4, 4]``."""
    torso: np.ndarray
    """Base of the neck in camera space, cm, and roll in radians: ``[x, y, z, roll]``."""
    mouth: face.Mouth
    openness: float
    """Of the eyes, 0 to 1."""


class Painter:
    """Paints frames of one speaker.

    Args:
        size: width and height of the picture in pixels.
        focal_px: focal length for that size; the principal point is the picture's middle.
        seed: of the textures.
    """

    def __init__(self, size: int, focal_px: float, seed: int = 0) -> None:
        self.size = size
        self._fine = size * OVERSAMPLING
        self._focal = focal_px * OVERSAMPLING
        rng = np.random.default_rng([seed, 3])
        self._skin_map = texture.skin_map(rng)
        self._bump_map = face.bumps(*face.map_places()).astype(np.float32)[..., None]
        self._shirt = texture.torso_map(rng)
        self._wall = texture.wall(rng, self._fine)
        line = (np.arange(self._fine, dtype=np.float32) + 0.5 - self._fine / 2) / self._focal
        self._rays_x, self._rays_y = np.meshgrid(line, line)

    def background(self) -> np.ndarray:
        """The wall alone, ``uint8 [H, W, 3]``."""
        return self._shrunk(self._wall)

    def paint(self, moment: Moment) -> tuple[np.ndarray, np.ndarray]:
        """One frame ``uint8 [H, W, 3]`` and its labels ``uint8 [H, W]``."""
        picture = self._wall.copy()
        cover = np.zeros((3, self._fine, self._fine), np.float32)
        self._paint_torso(picture, cover[0], moment.torso)
        self._paint_head(picture, cover[1], cover[2], moment)
        labels = np.full((self.size, self.size), BACKGROUND, np.uint8)
        for label, share in zip((TORSO, HEAD, MOUTH), cover, strict=True):
            labels[_summed(share) >= 0.5 * OVERSAMPLING**2] = label
        return self._shrunk(picture), labels

    def _shrunk(self, fine: np.ndarray) -> np.ndarray:
        mean = _summed(fine) * (255 / OVERSAMPLING**2)
        return np.clip(np.rint(mean), 0, 255).astype(np.uint8)

    # ------------------------------------------------------------------ torso

    def _paint_torso(self, picture: np.ndarray, cover: np.ndarray, torso: np.ndarray) -> None:
        x, y, z, roll = torso
        top = int((y + texture.TORSO_TOP) / z * self._focal + self._fine / 2) - 2
        rows = slice(max(top, 0), self._fine)
        u, v = self._rays_x[rows] * z - x, self._rays_y[rows] * z - y
        u, v = u * np.cos(roll) + v * np.sin(roll), v * np.cos(roll) - u * np.sin(roll)
        column = (u + texture.TORSO_REACH) * texture.TORSO_SCALE
        row = (v - texture.TORSO_TOP) * texture.TORSO_SCALE
        sampled = _bilinear(self._shirt, column.ravel(), row.ravel()).reshape(*u.shape, 4)
        alpha = sampled[..., 3:]
        picture[rows] += alpha * (sampled[..., :3] - picture[rows])
        cover[rows] = alpha[..., 0]

    # ------------------------------------------------------------------ head

    def _paint_head(
        self, picture: np.ndarray, cover: np.ndarray, mouth_cover: np.ndarray, moment: Moment
    ) -> None:
        rotation = moment.viewmat[:3, :3]
        origin = (-rotation.T @ moment.viewmat[:3, 3]).astype(np.float32)
        middle = rotation @ face.CENTRE + moment.viewmat[:3, 3]
        rows, columns = self._window(middle)
        across, down = self._rays_x[rows, columns], self._rays_y[rows, columns]
        rays = np.stack([across, down, np.ones_like(down)]).reshape(3, -1)
        rays = rotation.T.astype(np.float32) @ rays
        hit, depth = self._meet(origin, rays, moment.mouth)
        rays = rays[:, hit]
        points = origin[:, None] + rays * depth
        colours, lips = self._skin(points, rays, rotation, depth / self._focal, moment)
        for target, values in ((picture, colours), (cover, 1.0), (mouth_cover, lips)):
            part = target[rows, columns]
            flat = part.reshape(-1, *part.shape[2:]).copy()
            flat[hit] = values
            target[rows, columns] = flat.reshape(part.shape)

    def _window(self, middle: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns that can see the head."""
        reach = 1.35 * face.AXES[1] / (middle[2] - face.AXES[2]) * self._focal
        at = middle[:2] / middle[2] * self._focal + self._fine / 2
        low = np.clip(np.floor(at - reach), 0, self._fine).astype(int)
        high = np.clip(np.ceil(at + reach), 0, self._fine).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def _meet(
        self, origin: np.ndarray, rays: np.ndarray, mouth: face.Mouth
    ) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the rays that hit the head, and at which camera depth.

        A ray meets an ellipsoid of radius ``r`` in closed form; the head's own ``r`` at the point
        found gives the next ``r``, four times over.
        """
        start, along = (origin - face.CENTRE) / face.AXES, rays / face.AXES[:, None]
        steep = (along * along).sum(0)
        closest = -(start @ along) / steep
        least = np.maximum(start @ start - closest**2 * steep, 0)
        hit = np.flatnonzero(least < (1 + face.BUMP_MAX) ** 2)
        rays, steep, closest, least = rays[:, hit], steep[hit], closest[hit], least[hit]
        radius = self._radius(origin[:, None] + rays * closest, np.sqrt(least), mouth)
        inside = radius * radius > least
        hit, rays, steep, closest, least = (
            hit[inside], rays[:, inside], steep[inside], closest[inside], least[inside]
        )  # fmt: skip
        radius = radius[inside]
        for _ in range(_ITERATIONS):
            depth = closest - np.sqrt(np.maximum(radius * radius - least, 0) / steep)
            reached = np.sqrt(np.maximum(radius * radius, least))
            radius = self._radius(origin[:, None] + rays * depth, reached, mouth)
        return hit, closest - np.sqrt(np.maximum(radius * radius - least, 0) / steep)

    def _radius(self, points: np.ndarray, radius: np.ndarray, mouth: face.Mouth) -> np.ndarray:
        """Ellipsoid radius of the moved head's surface in the direction of ``points``."""
        x, y, _ = face.rest_place(points[0], points[1], mouth)
        s, t, rest_radius = face.places(x, y, points[2])
        return 1 + _on_map(self._bump_map, s, t)[:, 0] + radius - rest_radius

    def _skin(
        self,
        points: np.ndarray,
        rays: np.ndarray,
        rotation: np.ndarray,
        pixel_cm: np.ndarray,
        moment: Moment,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colours ``[P, 3]`` of points of the head, and how much each belongs to the mouth."""
        x, y, inside = face.rest_place(points[0], points[1], moment.mouth)
        s, t, _ = face.places(x, y, points[2])
        colours = _on_map(self._skin_map, s, t)
        normal = (points - face.CENTRE[:, None]) / (face.AXES**2)[:, None]
        turned = (rotation.T @ texture.LIGHT - texture.LIGHT).astype(np.float32)
        normal /= np.sqrt((normal * normal).sum(0))
        front = points[2] < 0.5
        near = np.flatnonzero(front & (np.abs(x) < 5) & (np.abs(y - face.EYE_Y) < 1.6))
        colours[near] = _eyes(colours[near], x[near], y[near], pixel_cm[near], moment.openness)
        near = np.flatnonzero(front & (np.abs(x) < 3) & (np.abs(y - face.MOUTH_Y) < 1.6))
        slant = points[:2, near] + rays[:2, near] / rays[2, near] * _CAVITY_CM
        place = np.stack([x[near], y[near], inside[near]])
        colours[near], belongs = _mouth(colours[near], place, slant, pixel_cm[near], moment.mouth)
        lips = np.zeros(len(x), np.float32)
        lips[near] = belongs
        return colours * (1 + 0.25 * (turned @ normal))[:, None], lips


# ---------------------------------------------------------------------- features that move

_CAVITY_CM = 0.8
"""Teeth and tongue lie this far behind the lips."""


def _blend(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    return below + share[:, None] * (above - below)


def _edge(distance: np.ndarray, pixel_cm: np.ndarray) -> np.ndarray:
    """Coverage of a pixel whose middle lies ``distance`` inside an edge."""
    return np.clip(distance / pixel_cm + 0.5, 0, 1)


def _eyes(
    below: np.ndarray, x: np.ndarray, y: np.ndarray, pixel_cm: np.ndarray, openness: float
) -> np.ndarray:
    across = np.abs(x) - face.EYE_X
    upper, lower = face.lid_edges(across, openness)
    shape = (np.abs(across) < face.EYE_HALF_WIDTH).astype(np.float32)
    ball = np.broadcast_to(texture.colour("sclera"), below.shape)
    off = np.hypot(across, y - face.EYE_Y + 0.2)
    ball = _blend(ball, texture.colour("iris"), _edge(0.62 - off, pixel_cm))
    ball = _blend(ball, texture.colour("cavity") * 0.5, _edge(0.27 - off, pixel_cm))
    shade = 1 - 0.35 * np.exp(-np.maximum(y - upper, 0) / 0.25)
    visible = shape * _edge(np.minimum(y - upper, lower - y), pixel_cm)
    out = _blend(below, ball * shade[:, None], visible)
    lash = shape * np.exp(-(((y - upper) / 0.13) ** 2)) * 0.75
    return _blend(out, texture.colour("hair") * 0.5, lash)


def _mouth(
    below: np.ndarray, place: np.ndarray, slant: np.ndarray, pixel_cm: np.ndarray, mouth: face.Mouth
) -> tuple[np.ndarray, np.ndarray]:
    """Lips and what is between them.

    Args:
        below: ``[P, 3]`` skin.
        place: ``[3, P]`` x and y at rest and depth inside the opening.
        slant: ``[2, P]`` where each ray meets the plane of the teeth.
        pixel_cm: ``[P]`` size of a pixel on the face.
        mouth: how it stands.
    """
    x, y, inside = place
    top, bottom = face.lip_edges(x)
    line = face.mouth_line(x)
    lip = _edge(np.minimum(y - top, bottom - y), pixel_cm) * (np.abs(x) < face.LIP_HALF_WIDTH)
    grain = 1 + 0.10 * np.sin(x * 9.0) * np.cos(y * 2.0)
    tone = np.where(y < line, 0.84, 1.0 + 0.14 * np.exp(-(((y - line - 0.45) / 0.22) ** 2)))
    out = _blend(below, texture.colour("lips") * (grain * tone)[:, None], lip)
    across, down = slant
    fallen = face.MOUTH_Y + 0.82 * mouth.gap_cm
    hole = np.broadcast_to(texture.colour("cavity"), below.shape)
    tongue = 1 - (across / 1.5) ** 2 - ((down - fallen - 0.15) / 0.75) ** 2
    hole = _blend(hole, texture.colour("tongue"), _edge(tongue * 0.5, pixel_cm))
    gaps = 1 - 0.22 * np.exp(-((((across / 0.62 + 0.5) % 1.0 - 0.5) / 0.12) ** 2))
    upper = np.minimum(face.MOUTH_Y + 0.32 - down, 1.75 - np.abs(across))
    hole = _blend(hole, texture.colour("teeth") * (gaps * 0.92)[:, None], _edge(upper, pixel_cm))
    lower = np.minimum(down - fallen + 0.12, 1.45 - np.abs(across))
    hole = _blend(hole, texture.colour("teeth") * (gaps * 0.62)[:, None], _edge(lower, pixel_cm))
    shade = 0.55 + 0.45 * np.clip(inside / 0.35, 0, 1)
    open_share = _edge(inside - 0.2 * pixel_cm, pixel_cm) * (np.abs(x) < face.INNER_HALF_WIDTH)
    return _blend(out, hole * shade[:, None], open_share), np.maximum(lip, open_share)


# ---------------------------------------------------------------------- looking things up


def _summed(fine: np.ndarray) -> np.ndarray:
    """Sums over squares of 2 x 2 pixels."""
    rows = fine[0::2] + fine[1::2]
    return rows[:, 0::2] + rows[:, 1::2]


def _bilinear(table: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Samples ``[P, c]`` of ``table [n, n, c]`` at columns ``x``, rows ``y``; edges repeat."""
    n = table.shape[0]
    x, y = np.clip(x, 0, n - 1.001), np.clip(y, 0, n - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x, y = (x - column)[:, None], (y - row)[:, None]
    flat, index = table.reshape(n * n, -1), row * n + column
    upper = flat.take(index, 0)
    upper += x * (flat.take(index + 1, 0) - upper)
    lower = flat.take(index + n, 0)
    lower += x * (flat.take(index + n + 1, 0) - lower)
    return upper + y * (lower - upper)


def _on_map(table: np.ndarray, s: np.ndarray, t: np.ndarray) -> np.ndarray:
    scale = (face.MAP_SIZE - 1) / (2 * face.MAP_REACH)
    return _bilinear(table, (s + face.MAP_REACH) * scale, (t + face.MAP_REACH) * scale)
