"""What the steps of the recipe do, each from files to files."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from gstalker import files
from gstalker.data.capture import SAMPLES_PER_FRAME, CaptureWriter
from gstalker.errors import MediaError
from gstalker.face import LAYOUTS
from gstalker.prepare import audio, background, eyes, parsing, takes, video
from gstalker.prepare.audio import reading
from gstalker.prepare.parallel import ordered
from gstalker.prepare.recipe import FACES, PERSONS, Recipe
from gstalker.prepare.source import FPS
from gstalker.prepare.steps import WORK
from gstalker.prepare.tracking import canonical, head, landmarks
from gstalker.prepare.view import choose_view

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

_FACE = LAYOUTS["mediapipe478"]


class Stations:
    """The work of one recipe."""

    def __init__(self, recipe: Recipe, models: dict[str, Path]) -> None:
        self._recipe = recipe
        self._models = models
        self._out = recipe.out
        self._work = recipe.out / WORK

    @cached_property
    def _writer(self) -> CaptureWriter:
        return CaptureWriter(self._out)

    def audio(self) -> None:
        """Sound on the pictures' time base."""
        count = self._recipe.frame_count * SAMPLES_PER_FRAME
        samples = reading.read_from(self._recipe.path, self._recipe.source.start_s, count)
        if not np.any(samples):
            raise MediaError(
                f"{self._recipe.path} is silent from end to end; a talking head needs speech."
            )
        self._writer.audio(samples)

    def view(self) -> None:
        """Which part of the picture is kept; also the first look for a face."""
        recipe = self._recipe
        view = choose_view(recipe.source, recipe.config, self._models[FACES])
        files.write_json(self._work / "view.json", dataclasses.asdict(view))

    def frames(self) -> None:
        """Pictures and their small copies."""
        recipe = self._recipe
        view = video.View(**recipe.note("view"))
        count = recipe.frame_count
        side = min(takes.THUMB_SIDE / min(view.width, view.height), 1.0)
        size = max(round(view.width * side), 1), max(round(view.height * side), 1)
        pictures = video.pictures(recipe.source, view, range(count), recipe.config.reader)
        with files.replacing(self._work / "thumbs.npy") as temporary:
            shape = (count, size[1], size[0], 3)
            thumbs = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            seen = _bar(_copied_small(pictures, thumbs, size), "frames", count)
            self._writer.frames(seen, count, view.height, view.width)
            thumbs.flush()

    def takes(self) -> None:
        """Cuts and damaged pictures."""
        frames = np.load(self._out / "frames.npy", mmap_mode="r")
        thumbs = np.load(self._work / "thumbs.npy", mmap_mode="r")

        def jumps(quadruples: list[tuple[int, ...]]) -> list[bool]:
            wanted = (frames[i] for quadruple in quadruples for i in quadruple)
            faces = landmarks.look(_bar(wanted, "cuts", 4 * len(quadruples)), self._models[FACES])
            return [
                takes.jumps_between(four, _FACE.eye_corners)
                for four in faces.reshape(-1, 4, 478, 2)
            ]

        found = takes.find(thumbs, jumps)
        log.info("%d cuts; the landmarks were asked about %d steps", len(found.cuts), found.asked)
        damaged = [{"start": a, "stop": b, "reason": why} for a, b, why in found.damaged]
        files.write_json(self._work / "takes.json", {"cuts": found.cuts, "damaged": damaged})

    def landmarks(self) -> None:
        """478 points a frame."""
        recipe = self._recipe
        jobs = landmarks.pieces(self._out / "frames.npy", self._models[FACES], self._segments)
        parts = []
        with tqdm(total=recipe.frame_count, desc="landmarks", unit="frame", disable=None) as bar:
            for part in ordered(landmarks.track, jobs, self._workers()):
                parts.append(part)
                bar.update(len(part))
        points = np.concatenate(parts)
        fine = ~self._damaged
        share = float(np.isfinite(points[fine]).all((1, 2)).mean()) if fine.any() else 0.0
        if share < recipe.config.min_face_share:
            raise MediaError(
                f"{recipe.path} shows a face in only {share:.0%} of its frames; "
                f"at least {recipe.config.min_face_share:.0%} are needed.\n"
                f"  {landmarks.ADVICE}"
            )
        self._writer.array("landmarks", points)

    def track(self) -> None:
        """Poses, lens, shape, eyes and mouth."""
        recipe = self._recipe
        view = video.View(**recipe.note("view"))
        scale = view.width / view.crop_width
        found = head.track(
            np.load(self._out / "landmarks.npy"),
            canonical.vertices(self._models[FACES]),
            segments=self._segments,
            unusable=self._damaged,
            filmed_height=recipe.source.height * scale,
            centre=(
                (recipe.source.width / 2 - view.x) * scale,
                (recipe.source.height / 2 - view.y) * scale,
            ),
            focal_px=recipe.config.focal_px,
            smooth_frames=recipe.config.smooth_frames,
        )
        for name in ("poses", "mesh", "mouth"):
            self._writer.array(name, getattr(found, name).astype(np.float32))
        dropped = recipe.note("takes")["damaged"] + [
            {"start": a, "stop": b, "reason": why} for a, b, why in found.dropped
        ]
        note = {"lens": dataclasses.asdict(found.lens), "report": found.report, "dropped": dropped}
        files.write_json(self._work / "track.json", note)

    def eyes(self) -> None:
        """How open the eyes are."""
        choice = self._recipe.config.eye
        points = np.load(self._out / "landmarks.npy")
        usable = ~_flagged(self._recipe.note("track")["dropped"], len(points))
        found = eyes.opening(choice, points, _FACE, self._blendshapes)
        good = usable & np.isfinite(found)
        if not good.any():
            raise MediaError(
                f"eye={choice} tells no frame's eyes; choose another, or eye=constant."
            )
        held = found[head.nearest_good(good, self._segments)].astype(np.float32)
        self._writer.array("eye", held)
        note = eyes.report(choice, held, usable, self._segments)
        files.write_json(self._work / "eyes.json", note)

    def _blendshapes(self) -> np.ndarray:
        jobs = landmarks.pieces(self._out / "frames.npy", self._models[FACES], self._segments)
        parts = []
        with tqdm(total=self._recipe.frame_count, desc="eyes", unit="frame", disable=None) as bar:
            for part in ordered(landmarks.blinks, jobs, self._workers()):
                parts.append(part)
                bar.update(len(part))
        return np.concatenate(parts)

    def masks(self) -> None:
        """Labels of every pixel."""
        recipe = self._recipe
        view = recipe.note("view")
        shape = (recipe.frame_count, view["height"], view["width"])
        jobs = parsing.pieces(
            self._out / "frames.npy", self._out / "landmarks.npy", self._models[PERSONS], shape[0]
        )
        rows = (row for part in ordered(parsing.parse, jobs, self._workers()) for row in part)
        self._writer.rows("masks", _bar(rows, "masks", shape[0]), shape)

    def background(self) -> None:
        """The plate, and takes of another session."""
        frames = np.load(self._out / "frames.npy", mmap_mode="r")
        masks = np.load(self._out / "masks.npy", mmap_mode="r")
        usable = ~_flagged(self._recipe.note("track")["dropped"], len(frames))
        ids = np.flatnonzero(usable)
        strays = background.stray_takes(frames.__getitem__, masks.__getitem__, ids, self._segments)
        for start, stop, _ in strays:
            usable[start:stop] = False
        plate, unseen = background.plate(
            frames.__getitem__, masks.__getitem__, np.flatnonzero(usable)
        )
        self._writer.array("background", plate)
        notes = [
            {"start": a, "stop": b, "reason": why}
            for start, stop, why in strays
            for a, b in _holes(self._recipe.note("track")["dropped"], start, stop)
        ]
        files.write_json(self._work / "background.json", {"strays": notes, "unseen_share": unseen})

    def features(self) -> None:
        """Sound features, take by take."""
        samples = audio.read(self._out / "audio.wav")
        segments_s = [(a / FPS, b / FPS) for a, b in self._segments]
        chunk_s = audio.chunk_seconds(segments_s)
        notes: dict[str, Any] = {}
        for kind in self._recipe.feature_kinds:
            rows = audio.extract(kind, samples, segments_s, chunk_s)
            self._writer.array(f"features/{kind}", rows)
            notes[kind] = {
                "dim": rows.shape[1],
                "rows_per_frame": audio.KINDS[kind],
                "chunk_s": chunk_s,
                "source": {
                    "mel": "log-mel, 80 bands",
                    "whisper": "Whisper tiny.en encoder, last layer",
                }[kind],
            }
        files.write_json(self._work / "features.json", notes)

    # ------------------------------------------------------------------ shared

    @property
    def _segments(self) -> list[tuple[int, int]]:
        bounds = [0, *self._recipe.note("takes")["cuts"], self._recipe.frame_count]
        return list(zip(bounds[:-1], bounds[1:], strict=True))

    @property
    def _damaged(self) -> np.ndarray:
        return _flagged(self._recipe.note("takes")["damaged"], self._recipe.frame_count)

    def _workers(self) -> int:
        """Starting a process costs as much as a few hundred frames."""
        return self._recipe.workers if self._recipe.frame_count >= 200 else 1


def _copied_small(
    pictures: Iterable[np.ndarray], thumbs: np.ndarray, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    import cv2

    for k, picture in enumerate(pictures):
        thumbs[k] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        yield picture


def _bar(items: Iterable[np.ndarray], what: str, count: int) -> Iterator[np.ndarray]:
    yield from tqdm(items, desc=what, total=count, unit="frame", disable=None)


def _flagged(gaps: list[dict[str, Any]], count: int) -> np.ndarray:
    flags = np.zeros(count, bool)
    for gap in gaps:
        flags[gap["start"] : gap["stop"]] = True
    return flags


def _holes(gaps: list[dict[str, Any]], start: int, stop: int) -> list[tuple[int, int]]:
    """Parts of ``start..stop`` that no gap covers."""
    flags = ~_flagged(gaps, stop)
    flags[:start] = False
    return takes.runs(flags)
