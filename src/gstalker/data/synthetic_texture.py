"""Colours of the synthetic speaker that never change: skin, hair, shirt and the wall behind.

Painted once, from band-limited noise and simple shapes, so that every patch looks different from
its neighbours and a model has something to get wrong.
"""

from __future__ import annotations

import numpy as np

from gstalker.data import synthetic_face as face

PALETTE = {
    "skin": (205, 154, 126),
    "lips": (168, 70, 78),
    "cavity": (38, 12, 16),
    "teeth": (214, 208, 190),
    "tongue": (96, 40, 46),
    "hair": (58, 40, 30),
    "sclera": (226, 222, 216),
    "iris": (74, 92, 110),
    "shirt": (52, 74, 118),
    "stripe": (190, 196, 204),
    "wall": (138, 156, 150),
}
"""sRGB, 0 to 255."""
LIGHT = np.array([-0.45, -0.55, -0.70], np.float32)
"""Where the light of the baked shading comes from, head space."""
TORSO_TOP, TORSO_REACH, TORSO_SIZE = -9.0, 26.0, 416
TORSO_SCALE = (TORSO_SIZE - 1) / (2 * TORSO_REACH)
"""The torso's square map: its upper edge and half its width in cm (0, 0 is the base of the neck),
its side in texels, and texels to a cm."""


def colour(name: str) -> np.ndarray:
    """A colour of the palette, ``float32 [3]`` in [0, 1]."""
    return np.array(PALETTE[name], np.float32) / 255


def _grain(rng: np.random.Generator, size: int, cycles: float, stretch: float = 1.0) -> np.ndarray:
    """Band-limited noise of mean 0 and deviation 1, ``float32 [size, size]``, wrapping around."""
    along = np.fft.fftfreq(size)[:, None] * size * stretch
    across = np.fft.rfftfreq(size)[None] * size
    band = np.exp(-0.5 * (along**2 + across**2) / cycles**2)
    band[0, 0] = 0
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(size, size))) * band, s=(size, size))
    return (noise / noise.std()).astype(np.float32)


def skin_map(rng: np.random.Generator) -> np.ndarray:
    """Colour of skin and hair with the light baked in, ``float32 [512, 512, 3]``."""
    s, t = face.map_places()
    points = face.map_points()
    x, y, front = points[..., 0], points[..., 1], points[..., 2] < face.CENTRE[2]
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
    normal *= np.sign((normal * (points - face.CENTRE)).sum(-1, keepdims=True))
    light = 0.70 + 0.36 * np.maximum(normal @ (LIGHT / np.linalg.norm(LIGHT)), -0.3)
    n = face.MAP_SIZE
    mottle = 1 + 0.045 * _grain(rng, n, 12) + 0.04 * _grain(rng, n, 40)
    freckles = np.clip(_grain(rng, n, 45) - 1.8, 0, 1) * np.exp(-(((y - 0.2) / 2.5) ** 2))
    skin = colour("skin") * mottle[..., None]
    blush = np.exp(-(((np.abs(x) - 4.2) / 1.7) ** 2) - ((y - 1.2) / 1.6) ** 2) * front
    skin = skin * (1 - blush[..., None] * np.array([0.0, 0.14, 0.12], np.float32))
    skin = skin * (1 - 0.28 * (freckles * front)[..., None])
    beard = face.step(y - 3.4, 0.4) * (1 + 0.5 * _grain(rng, n, 70)) * front
    skin = skin * (1 - 0.10 * beard[..., None])
    brow_line = -4.35 - 0.35 * (1 - ((np.abs(x) - face.EYE_X) / 1.8) ** 2)
    brow = np.exp(-(((y - brow_line) / 0.32) ** 2))
    brow *= face.step(1.75 - np.abs(np.abs(x) - face.EYE_X), 0.08)
    skin = skin + (brow * front * 0.8)[..., None] * (colour("hair") - skin)
    nostril = np.exp(-(((np.abs(x) - 0.62) / 0.26) ** 2) - ((y - 1.75) / 0.17) ** 2) * front
    crease = np.exp(-(((np.abs(x) - 1.3 - 0.33 * (y - 1.2)) / 0.16) ** 2))
    crease *= (y > 1.0) & (y < 4.2) & front
    skin = skin * (1 - 0.72 * nostril - 0.13 * crease)[..., None]
    strands = 1 + 0.22 * _grain(rng, n, 90, stretch=6.0) + 0.16 * _grain(rng, n, 14)
    hair = colour("hair") * strands[..., None] * 1.15
    colours = (skin + face.hairiness(s, t)[..., None] * (hair - skin)) * light[..., None]
    return colours.astype(np.float32)


def torso_map(rng: np.random.Generator) -> np.ndarray:
    """Neck and striped shirt with their coverage, ``float32 [416, 416, 4]``."""
    line = np.arange(TORSO_SIZE) / TORSO_SCALE
    u, v = np.meshgrid(line - TORSO_REACH, line + TORSO_TOP)
    half_width = 4.7 + 13.5 * (1 - np.exp(-np.maximum(v + 0.5, 0) / 3.0))
    cover = np.clip((half_width - np.abs(u)) / np.where(v > -0.5, 1.2, 0.35) + 0.5, 0, 1)
    folds = 1 + 0.10 * _grain(rng, TORSO_SIZE, 9) + 0.05 * _grain(rng, TORSO_SIZE, 40)
    stripes = np.maximum(np.cos(2 * np.pi * (u + 0.15 * v) / 3.4), 0) ** 6
    checks = np.maximum(np.cos(2 * np.pi * v / 4.6), 0) ** 10
    pattern = np.clip(0.75 * stripes + 0.45 * checks, 0, 1)[..., None]
    shirt = colour("shirt") + pattern * (colour("stripe") - colour("shirt"))
    button = np.hypot(u, (v % 5.0) - 2.5) < 0.45
    shirt = np.where(button[..., None], colour("sclera"), shirt)
    shirt = shirt * (folds * (1 - 0.012 * np.abs(u)))[..., None]
    skin = colour("skin") * (0.52 + 0.32 * face.step(v - 0.5, 1.2))[..., None]
    skin = skin * (1 + 0.05 * _grain(rng, TORSO_SIZE, 30))[..., None]
    collar = np.abs(u) + 0.75 * v - 5.0
    skin = skin * (1 - 0.3 * np.exp(-np.maximum(-collar, 0) / 0.5))[..., None]
    colours = skin + face.step(collar, 0.05)[..., None] * (shirt - skin)
    return np.concatenate([colours, cover[..., None]], axis=-1).astype(np.float32)


def wall(rng: np.random.Generator, size: int) -> np.ndarray:
    """The still background at full sampling: paper, a shelf and a picture, ``[size, size, 3]``."""
    x, y = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)
    paper = 1 + 0.05 * _grain(rng, size, 5) + 0.03 * _grain(rng, size, 24) - 0.25 * x * y
    wall = colour("wall") * (paper + 0.05 * np.cos(2 * np.pi * x * 14))[..., None]
    frame = (np.abs(x - 0.84) < 0.115) & (np.abs(y - 0.26) < 0.155)
    inner = (np.abs(x - 0.84) < 0.095) & (np.abs(y - 0.26) < 0.135)
    painting = np.stack([0.35 + 0.3 * y, 0.40 + 0.2 * np.sin(9 * x), 0.55 - 0.4 * y], axis=-1)
    painting = painting * (1 + 0.12 * _grain(rng, size, 12))[..., None]
    wall = np.where(frame[..., None], np.array([0.30, 0.20, 0.12]), wall)
    wall = np.where(inner[..., None], painting, wall)
    books = (x < 0.2) & (y > 0.12) & (y < 0.44)
    spine = rng.uniform(0.2, 0.75, (12, 3))[np.minimum((x / 0.2 * 12).astype(int), 11)]
    wall = np.where(books[..., None], spine * (0.9 + 0.1 * np.cos(x * 377))[..., None], wall)
    shelf = (x < 0.21) & (np.abs(y - 0.45) < 0.012)
    wall = np.where(shelf[..., None], np.array([0.36, 0.26, 0.17]), wall)
    return np.clip(wall, 0, 1).astype(np.float32)
