"""What the steps of the recipe do, each from files to files."""

from __future__ import annotations

import dataclasses
import logging
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from gstalker import files
from gstalker.data.capture import SAMPLES_PER_FRAME, coarse
from gstalker.data.rows import Rows
from gstalker.data.writer import CaptureWriter, write_wav
from gstalker.errors import MediaError
from gstalker.face import LAYOUTS
from gstalker.prepare import audio, background, eyes, parsers, people, pieces, sync, takes, video
from gstalker.prepare.audio import levels, reading
from gstalker.prepare.parallel import spread_over
from gstalker.prepare.plan import FACES
from gstalker.prepare.recipe import Recipe
from gstalker.prepare.source import FPS
from gstalker.prepare.steps import WORK
from gstalker.prepare.tracking import canonical, cover, gaps, head, landmarks, morphable, refine
from gstalker.prepare.tracking.pose import Lens, rigid_weights
from gstalker.prepare.tracking.subject import MOST_FACES
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

    @property
    def _pieces(self) -> Path:
        """Where a long step keeps what it has done so far."""
        return self._work / "pieces"

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
        write_wav(self._work / "audio.wav", samples)
        files.write_json(self._work / "audio.json", {"cautions": levels.cautions(samples)})

    def sync(self) -> None:
        """By how much the filmed sound is late."""
        found = sync.estimate(
            audio.read(self._work / "audio.wav"),
            np.load(self._out / "mouth.npy"),
            np.load(self._out / "landmarks.npy"),
            _FACE,
            self._segments,
            ~_flagged(self._recipe.note("track")["dropped"], self._recipe.frame_count),
        )
        note = {**found.as_dict(), "mend_frames": found.mend()}
        files.write_json(self._work / "sync.json", note)
        fixed = self._recipe.config.fix_sync
        log.info("%s", sync.describe(found, fixed=fixed, mend=self._recipe.mend_command))

    def shift(self) -> None:
        """The capture's sound: as filmed, or moved to the lips.

        Moved sound is read from the source again, so that what lay beyond the ends comes in.
        """
        recipe = self._recipe
        count = recipe.frame_count * SAMPLES_PER_FRAME
        start_s = recipe.source.start_s + recipe.applied_frames / FPS
        self._writer.audio(reading.read_from(recipe.path, start_s, count))

    def view(self) -> None:
        """Which part of the picture is kept; also the first look for a face."""
        recipe = self._recipe
        choice = choose_view(recipe.source, recipe.config, self._models[FACES])
        files.write_json(self._work / "view.json", dataclasses.asdict(choice.view))
        seen = {"subject": choice.subject, "people": choice.people}
        files.write_json(self._work / "people.json", seen)
        if choice.portrait is None:
            (self._out / people.FILE).unlink(missing_ok=True)
        else:
            with files.replacing(self._out / people.FILE) as temporary:
                Image.fromarray(choice.portrait).save(temporary, "JPEG", quality=85)

    def frames(self) -> None:
        """Pictures and their small copies."""
        import cv2

        recipe = self._recipe
        view = video.View(**recipe.note("view"))
        count = recipe.frame_count
        side = min(takes.THUMB_SIDE / min(view.width, view.height), 1.0)
        size = max(round(view.width * side), 1), max(round(view.height * side), 1)

        def read(done: int) -> Iterator[np.ndarray]:
            file = self._work / "torn.npy"
            mode = "r+" if done and file.exists() else "w+"
            torn = np.lib.format.open_memmap(file, mode, bool, (count,))
            return video.pictures(
                recipe.source,
                view,
                range(done, count),
                recipe.config.reader,
                lambda number: torn.__setitem__(number, True),
            )

        pictures = pieces.grown(
            self._out / "frames.npy",
            pieces.key_of(recipe.sha256, dataclasses.asdict(view), recipe.config.reader, "torn"),
            (count, view.height, view.width, 3),
            read,
        )
        sums = np.empty(count, np.uint32)
        with files.replacing(self._work / "thumbs.npy") as temporary:
            shape = (count, size[1], size[0], 3)
            thumbs = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            for k, picture in enumerate(_bar(pictures, "frames", count)):
                thumbs[k] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
                sums[k] = zlib.crc32(np.ascontiguousarray(picture).data)
            thumbs.flush()
        self._writer.array("checksums", sums)

    def takes(self) -> None:
        """Cuts and damaged pictures."""
        frames = Rows(self._out / "frames.npy")
        thumbs = np.load(self._work / "thumbs.npy", mmap_mode="r")

        def jumps(quadruples: list[tuple[int, ...]]) -> list[bool]:
            wanted = (frames[i] for quadruple in quadruples for i in quadruple)
            faces = landmarks.look_for_one(
                _bar(wanted, "cuts", 4 * len(quadruples)), self._models[FACES], *self._subject
            )
            return [
                takes.jumps_between(four, _FACE.eye_corners)
                for four in faces.reshape(-1, 4, landmarks.POINTS, 2)
            ]

        found = takes.find(thumbs, jumps)
        log.info("%d cuts; the landmarks were asked about %d steps", len(found.cuts), found.asked)
        damaged = [{"start": a, "stop": b, "reason": why} for a, b, why in found.damaged]
        damaged += [
            {"start": a, "stop": b, "reason": takes.TORN}
            for start, stop in takes.runs(np.load(self._work / "torn.npy"))
            for a, b in _holes(damaged, start, stop)
        ]
        files.write_json(self._work / "takes.json", {"cuts": found.cuts, "damaged": damaged})

    def landmarks(self) -> None:
        """478 points a frame."""
        recipe = self._recipe
        jobs = landmarks.pieces(
            self._out / "frames.npy", self._models[FACES], self._segments, *self._subject
        )
        parts = []
        with tqdm(total=recipe.frame_count, desc="landmarks", unit="frame", disable=None) as bar:
            for part in pieces.resumed(landmarks.track, jobs, self._workers(), self._pieces):
                parts.append(part)
                bar.update(len(part))
        points, bridges = gaps.bridged(
            np.concatenate(parts), self._segments, self._damaged, recipe.config.max_gap_frames
        )
        fine = ~self._damaged
        share = float(np.isfinite(points[fine]).all((1, 2)).mean()) if fine.any() else 0.0
        if share < recipe.config.min_face_share:
            raise MediaError(
                f"{recipe.path} shows a face in only {share:.0%} of its frames; "
                f"at least {recipe.config.min_face_share:.0%} are needed.\n"
                f"  {landmarks.ADVICE}"
            )
        self._writer.array("landmarks", points)
        pieces.forget(self._pieces)
        files.write_json(self._work / "bridges.json", [{"start": a, "stop": b} for a, b in bridges])

    def track(self) -> None:
        """Poses, lens, shape, eyes and mouth."""
        recipe = self._recipe
        view = video.View(**recipe.note("view"))
        scale = view.width / view.crop_width
        face, file = canonical.vertices(self._models[FACES]), recipe.face_model
        found = head.track(
            np.load(self._out / "landmarks.npy"),
            face,
            segments=self._segments,
            unusable=self._damaged,
            filmed_side=min(recipe.source.width, recipe.source.height) * scale,
            centre=(
                (recipe.source.width / 2 - view.x) * scale,
                (recipe.source.height / 2 - view.y) * scale,
            ),
            focal_px=recipe.config.focal_px,
            smooth_frames=recipe.config.smooth_frames,
            refine=self._refine,
            model=None if file is None else morphable.read(file, face),
        )
        for name in ("poses", "poses_raw", "mesh", "mouth"):
            self._writer.array(name, getattr(found, name).astype(np.float32))
        pieces.forget(self._pieces)
        if found.expressions is None:
            (self._out / "expressions.npy").unlink(missing_ok=True)
        else:
            self._writer.array("expressions", found.expressions.astype(np.float32))
        dropped = recipe.note("takes")["damaged"] + [
            {"start": a, "stop": b, "reason": why}
            for a, b, why in [*found.dropped, *self._covered(found)]
        ]
        note = {"lens": dataclasses.asdict(found.lens), "report": found.report, "dropped": dropped}
        files.write_json(self._work / "track.json", note)

    def _refine(
        self,
        rotations: np.ndarray,
        translations: np.ndarray,
        ids: np.ndarray,
        mesh: np.ndarray,
        lens: Lens,
    ) -> refine.Refined:
        weights = rigid_weights(canonical.vertices(self._models[FACES]))
        return refine.refine(
            self._out / "frames.npy",
            rotations,
            translations,
            ids,
            mesh,
            weights,
            lens,
            self._workers(),
            self._pieces,
            move=self._recipe.config.refine == "pictures",
        )

    def _covered(self, found: head.Head) -> list[tuple[int, int, str]]:
        frames = Rows(self._out / "frames.npy")
        points = np.load(self._out / "landmarks.npy")
        fine = np.isfinite(points).all((1, 2)) & ~self._damaged
        for start, stop, _ in found.dropped:
            fine[start:stop] = False
        flags = np.zeros(len(fine), bool)
        ids = np.flatnonzero(fine)
        flags[ids] = cover.covered(frames.__getitem__, points, ids)
        return [(a, b, cover.REASON) for a, b in takes.runs(flags)]

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
        jobs = landmarks.pieces(
            self._out / "frames.npy", self._models[FACES], self._segments, *self._subject
        )
        parts = []
        with tqdm(total=self._recipe.frame_count, desc="eyes", unit="frame", disable=None) as bar:
            for part in pieces.resumed(landmarks.blinks, jobs, self._workers(), self._pieces):
                parts.append(part)
                bar.update(len(part))
        pieces.forget(self._pieces)
        return np.concatenate(parts)

    def masks(self) -> None:
        """Labels of every pixel."""
        recipe = self._recipe
        view = recipe.note("view")
        shape = (recipe.frame_count, view["height"], view["width"])
        jobs = parsers.pieces(
            self._out / "frames.npy",
            self._out / "landmarks.npy",
            recipe.config.parser,
            shape[0],
            alone=self._subject[1] == 1,
        )
        parts = pieces.resumed(parsers.parse, jobs, self._workers(), self._pieces)
        rows = (row for part in parts for row in part)
        self._writer.rows("masks", _bar(rows, "masks", shape[0]), shape)
        pieces.forget(self._pieces)

    def background(self) -> None:
        """The plate, and takes of another session."""
        frames = Rows(self._out / "frames.npy")
        masks = Rows(self._out / "masks.npy")
        usable = ~_flagged(self._recipe.note("track")["dropped"], frames.shape[0])
        ids = np.flatnonzero(usable)

        def mask(index: int) -> np.ndarray:
            return coarse(masks[index])

        strays = background.stray_takes(frames.__getitem__, mask, ids, self._segments)
        for start, stop, _ in strays:
            usable[start:stop] = False
        plate, unseen = background.plate(frames.__getitem__, mask, np.flatnonzero(usable))
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
        imported = self._recipe.imported
        for kind in self._recipe.feature_kinds:
            if imported is not None and kind == imported.kind:
                rows, spec = imported.rows, imported.spec()
            else:
                rows = audio.extract(kind, samples, segments_s, chunk_s)
                spec = audio.spec(kind)
            self._writer.array(f"features/{kind}", rows)
            notes[kind] = {"dim": rows.shape[1], "chunk_s": chunk_s, **spec}
        files.write_json(self._work / "features.json", notes)

    # ------------------------------------------------------------------ shared

    @property
    def _subject(self) -> tuple[np.ndarray, int]:
        """Where the subject's face was seen, and how many faces to look for."""
        seen = self._recipe.note("people")
        return np.array(seen["subject"]), 1 if len(seen["people"]) == 1 else MOST_FACES

    @property
    def _segments(self) -> list[tuple[int, int]]:
        bounds = [0, *self._recipe.note("takes")["cuts"], self._recipe.frame_count]
        return list(zip(bounds[:-1], bounds[1:], strict=True))

    @property
    def _damaged(self) -> np.ndarray:
        return _flagged(self._recipe.note("takes")["damaged"], self._recipe.frame_count)

    def _workers(self) -> int:
        return spread_over(self._recipe.frame_count, self._recipe.workers)


def _bar(items: Iterable[np.ndarray], what: str, count: int) -> Iterator[np.ndarray]:
    yield from tqdm(items, desc=what, total=count, unit="frame", disable=None)


def _flagged(spans: list[dict[str, Any]], count: int) -> np.ndarray:
    flags = np.zeros(count, bool)
    for gap in spans:
        flags[gap["start"] : gap["stop"]] = True
    return flags


def _holes(spans: list[dict[str, Any]], start: int, stop: int) -> list[tuple[int, int]]:
    """Parts of ``start..stop`` that none of the spans covers."""
    flags = ~_flagged(spans, stop)
    flags[:start] = False
    return takes.runs(flags)
