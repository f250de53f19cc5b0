"""The curves of the page, as SVG that takes its colours from the page (light, dark or on paper)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gstalker.data.capture import FPS
from gstalker.inspect.facts import Facts
from gstalker.plots import FAINT, INK, LEGEND, LINES, blank, dress, figure, svg

_MOST_POINTS = 1500
"""A curve has no more: as many as a page is wide."""
_STRETCH_S = 12.0
"""Of the close look at lips, lids and sound."""


def timeline(facts: Facts) -> str:
    """Takes, what was dropped, and where training ends."""
    reasons = drop_reasons(facts)

    def paint(axes: Any) -> None:
        for k, (start, stop) in enumerate(facts.segments):
            shade = 0.30 if k % 2 else 0.16
            axes.axvspan(start / FPS, stop / FPS, 0.1, 0.9, color=LINES[0], alpha=shade, lw=0)
        for gap in facts.meta["dropped"]:
            colour = LINES[1 + reasons.index(gap["reason"].partition(":")[0]) % 3]
            # Never thinner than can be seen.
            least = len(facts.usable) / FPS / 400
            end = max(gap["stop"] / FPS, gap["start"] / FPS + least)
            axes.axvspan(gap["start"] / FPS, end, 0.1, 0.9, color=colour, lw=0)
        axes.axvline(facts.test_start / FPS, color=INK, lw=1.5, ls="--")
        axes.set_yticks([])

    return figure([(paint, "")], 0.9, len(facts.usable) / FPS)


def drop_reasons(facts: Facts) -> list[str]:
    """The kinds of reasons for dropping, in order of the timeline's colours."""
    return list(dict.fromkeys(gap["reason"].partition(":")[0] for gap in facts.meta["dropped"]))


def poses(facts: Facts) -> str:
    """Yaw, pitch, roll, and distance."""
    time, angles, distance = _over_time(facts, facts.angles, facts.distance_cm[:, None])

    def turn(axes: Any) -> None:
        for k, name in enumerate(("yaw", "pitch", "roll")):
            axes.plot(time, angles[:, k], color=LINES[k], lw=1, label=name)
        axes.legend(**LEGEND)

    def far(axes: Any) -> None:
        axes.plot(time, distance[:, 0], color=LINES[3], lw=1)

    return figure([(turn, "degrees"), (far, "distance, cm")], 3.4, len(facts.usable) / FPS)


def jitter(facts: Facts, before: np.ndarray | None) -> str:
    """How much the head's turning changes from frame to frame: second difference of its angles.

    Args:
        facts: whose.
        before: ``[F, 3]`` angles before smoothing; ``None``: not kept.
    """
    kept = [(facts.angles, LINES[0], "as kept")]
    if before is not None:
        kept.insert(0, (before, LINES[1], "before smoothing"))

    def paint(axes: Any) -> None:
        for angles, colour, name in kept:
            time, shown = _over_time(facts, shaking(facts, angles)[:, None])
            axes.plot(time, shown[:, 0], color=colour, lw=0.8, label=name)
        axes.set_ylim(bottom=0)
        axes.legend(**LEGEND)

    return figure([(paint, "degrees")], 1.9, len(facts.usable) / FPS)


def shaking(facts: Facts, angles: np.ndarray) -> np.ndarray:
    """Length of the second difference of ``[F, 3]`` angles, ``[F]``; NaN beside cuts and gaps."""
    good = np.where(facts.usable[:, None], angles, np.nan)
    lengths = np.full(len(good), np.nan)
    for start, stop in facts.segments:
        if stop - start > 2:
            second = np.diff(good[start:stop], n=2, axis=0)
            lengths[start + 1 : stop - 1] = np.linalg.norm(second, axis=1)
    return lengths


def focal(facts: Facts) -> str:
    """How surprising the landmarks are under each focal length; empty if it was not asked."""
    curve = np.array(facts.meta.get("tracker", {}).get("focal_curve") or [], float)
    if curve.ndim != 2 or len(curve) < 2:
        return ""

    def paint(axes: Any) -> None:
        axes.plot(curve[:, 0], curve[:, 1], color=LINES[0], lw=1.5, marker="o", ms=4)
        axes.axvline(float(facts.meta["focal_px"]), color=LINES[1], lw=1.2)

    span = (float(curve[:, 0].min()), float(curve[:, 0].max()))
    return figure([(paint, "surprise")], 1.9, span, "focal length, pixels")


def signals(facts: Facts) -> str:
    """Lips and lids above the sound, for the stretch that has most speech in it."""
    start, stop = busiest(facts)
    time = np.arange(start, stop) / FPS
    level = facts.sound.level_db[start:stop]
    blinked = [b.lowest for b in facts.blinking.blinks if start <= b.lowest < stop]

    def lids(axes: Any) -> None:
        axes.plot(time, _gappy(facts.eye, facts)[start:stop], color=LINES[1], lw=1.2)
        axes.plot([b / FPS for b in blinked], facts.eye[blinked], "v", color=INK, ms=4)

    def lips(axes: Any) -> None:
        axes.plot(time, _gappy(facts.mouth, facts)[start:stop], color=LINES[2], lw=1.2)

    def sound(axes: Any) -> None:
        floor = max(float(level.max()) - 60, -90)
        axes.fill_between(time, floor, np.maximum(level, floor), color=LINES[0], alpha=0.5, lw=0)

    rows = [(lids, "eye"), (lips, "mouth"), (sound, "sound, dB")]
    return figure(rows, 3.8, (start / FPS, stop / FPS))


def busiest(facts: Facts) -> tuple[int, int]:
    """The stretch of some seconds with most usable speech."""
    count = len(facts.usable)
    length = min(round(_STRETCH_S * FPS), count)
    good = np.concatenate([[0], np.cumsum(facts.sound.speaks & facts.usable)])
    start = int(np.argmax(good[length:] - good[:-length]))
    return start, start + length


def sync(facts: Facts) -> str:
    """How well the mouth follows the sound, shifted by some frames; empty if not measured."""
    found = facts.meta.get("sync") or {}
    curve = np.array(found.get("curve") or [], float)
    if curve.ndim != 2 or curve.shape[1] != 2:
        return ""

    def paint(axes: Any) -> None:
        axes.plot(curve[:, 0], curve[:, 1], color=LINES[0], lw=1.5)
        if found.get("offset_frames") is not None:
            axes.axvline(float(found["offset_frames"]), color=LINES[1], lw=1.2)
        if found.get("foreign_r") is not None:
            axes.axhline(float(found["foreign_r"]), color=FAINT, lw=1, ls="--")
        axes.axvline(0, color=FAINT, lw=1)

    span = (float(curve[:, 0].min()), float(curve[:, 0].max()))
    return figure([(paint, "correlation")], 2.0, span, "sound later than lips, frames")


def misfit(facts: Facts) -> str:
    """Reprojection error over time; empty if it cannot be told."""
    if facts.misfit is None:
        return ""
    time, error = _over_time(facts, facts.misfit.frame_px[:, None])

    def paint(axes: Any) -> None:
        axes.plot(time, error[:, 0], color=LINES[0], lw=1)
        axes.set_ylim(bottom=0)

    return figure([(paint, "pixels")], 1.7, len(facts.usable) / FPS)


def misfit_map(facts: Facts, mesh: np.ndarray) -> str:
    """Reprojection error of each rigid point, drawn on the face; empty if it cannot be told.

    Args:
        facts: whose.
        mesh: ``[V, 3]``.
    """
    if facts.misfit is None:
        return ""
    error = facts.misfit.vertex_px
    told = np.isfinite(error)
    drawing = blank(3.2, 3.2)
    axes = drawing.add_axes((0.02, 0.02, 0.96, 0.96))
    axes.axis("off")
    axes.set_aspect("equal")
    axes.plot(mesh[~told, 0], -mesh[~told, 1], ".", color=FAINT, ms=2)
    most = max(float(np.nanpercentile(error, 98)), 1e-6)
    sizes = 4 + 60 * (np.minimum(error[told], most) / most) ** 2
    axes.scatter(mesh[told, 0], -mesh[told, 1], s=sizes, color=LINES[1], alpha=0.55, lw=0)
    return svg(drawing)


def areas(facts: Facts) -> str:
    """Share of the picture that is head, torso and mouth, over time."""
    time, shares = facts.looks.ids / FPS, 100 * facts.looks.areas

    def large(axes: Any) -> None:
        axes.plot(time, shares[:, 2], color=LINES[1], lw=1, label="head")
        axes.plot(time, shares[:, 1], color=LINES[0], lw=1, label="torso")
        axes.set_ylim(bottom=0)
        axes.legend(**LEGEND)

    def small(axes: Any) -> None:
        axes.plot(time, shares[:, 3], color=LINES[2], lw=1)
        axes.set_ylim(bottom=0)

    return figure([(large, "% of picture"), (small, "mouth, %")], 2.8, len(facts.usable) / FPS)


def turned(facts: Facts) -> str:
    """Where the head looks: yaw against pitch, training and test."""
    ids = np.flatnonzero(facts.usable)
    drawing = blank(5.0, 4.6)
    axes = drawing.add_axes((0.13, 0.12, 0.84, 0.8))
    for part, colour, name in (
        (ids[ids < facts.test_start], LINES[0], "training"),
        (ids[ids >= facts.test_start], LINES[1], "test"),
    ):
        few = part[:: max(len(part) // 700, 1)]
        yaw, pitch = facts.angles[few, 0], facts.angles[few, 1]
        axes.plot(yaw, pitch, ".", color=colour, ms=4, alpha=0.6, label=name, mew=0)
    dress(axes, "pitch, degrees")
    axes.set_xlabel("yaw, degrees", color=INK, fontsize=9)
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(markerscale=3, **LEGEND)
    return svg(drawing)


def _over_time(facts: Facts, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Seconds, and each ``[F, D]`` of values with gaps where frames are dropped, thinned."""
    every = max(-(-len(facts.usable) // _MOST_POINTS), 1)
    time = np.arange(0, len(facts.usable), every) / FPS
    return (time, *(_gappy(value, facts)[::every] for value in values))


def _gappy(values: np.ndarray, facts: Facts) -> np.ndarray:
    """A copy without numbers in dropped frames and at the first frame of each take."""
    copy = np.array(values, dtype=np.float64)
    copy[~facts.usable] = np.nan
    if len(facts.segments) < 20:  # with more, the gaps would be most of the curve
        copy[[start for start, _ in facts.segments if start > 0]] = np.nan
    return copy
