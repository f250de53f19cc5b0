"""A data set of the AD-NeRF family becomes a capture.

First everything is read and held against everything else, then written. What the folder does not
say outright (what ``img_id`` counts, which colours ``parsing/`` speaks) is detected from evidence;
what was decided and why is logged and kept in ``capture.json`` under ``source.imported``.
"""

from __future__ import annotations

import logging
import os
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gstalker import files, weights
from gstalker.data.capture import FPS, TRAIN_SHARE, Capture
from gstalker.data.writer import CaptureWriter
from gstalker.errors import CaptureError, ConfigError, GSTalkerError
from gstalker.exchange import checks, conventions, landmarks, mesh, openface, poses, tree
from gstalker.exchange.config import ImportConfig
from gstalker.exchange.exporting import FAR_M, NEAR_M
from gstalker.exchange.painting import Painting
from gstalker.exchange.sound import Sound
from gstalker.face import LAYOUTS
from gstalker.prepare import sync
from gstalker.prepare.takes import runs
from gstalker.prepare.tracking import canonical
from gstalker.prepare.tracking.head import nearest_good
from gstalker.prepare.tracking.pose import Lens
from gstalker.prepare.tracking.smooth import jitter

log = logging.getLogger(__name__)

LAYOUT = "ibug68"
_MEND = "Move aud.wav, or prepare the video itself: gstalker prepare VIDEO captures/NEW --fix-sync"
_FACE = LAYOUTS[LAYOUT]
_FACE_MODEL = "face_landmarker"
_OPTIONAL = ("gt_imgs", "torso_imgs", "track_params.pt", "au.csv")
"""What the later readers open and an import can do without."""
_OWN = {"features", "parsing.npy", "audio.wav", "au.csv", "capture.json", "inspect.html"} | {
    f"{name}.npy"
    for name in (
        *("frames", "checksums", "masks", "background", "poses", "landmarks"),
        *("mesh", "eye", "mouth"),
    )
}
"""What an import and ``inspect`` write; a folder with anything else is not ours to write into."""
_UNFINISHED = ".import-"
"""An import in the making, within its folder; it takes its place when it is whole."""


class Import:
    """One folder on its way into one capture."""

    def __init__(self, folder: Path, config: ImportConfig) -> None:
        self.folder = folder
        self.config = config
        self.notes: dict[str, Any] = {}
        """What was found and decided, in words."""

    def write(self, out: Path) -> Capture:
        """Read, check, write; returns the finished capture."""
        self._refuse(out)
        self._read()
        self._check()
        unfinished = out / f"{_UNFINISHED}{os.getpid()}"
        fresh = not out.exists()
        try:
            self._fill(CaptureWriter(unfinished), out)
            self._put(unfinished, out)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            if fresh and out.is_dir() and not any(out.iterdir()):
                out.rmdir()
            raise
        capture = Capture.open(out)
        log.info("%s: %d frames, %d dropped", out, capture.frame_count, int(capture.dropped.sum()))
        return capture

    def _fill(self, writer: CaptureWriter, out: Path) -> None:
        painting = Painting(self.tree, self.config, self.points, self._good, self.notes)
        painting.write(writer)
        self._geometry(writer)
        self._signals(writer)
        features = self.sound.write(writer, self._segments)
        for key, value in self.notes.items():
            log.info("%s: %s", key, value)
        mouth = np.load(writer.folder / "mouth.npy")
        writer.finish(self._meta(self.config.name or out.absolute().name, mouth, features))

    @staticmethod
    def _put(unfinished: Path, out: Path) -> None:
        """Put the finished import into the place of an earlier one; ``capture.json`` last."""
        (out / "capture.json").unlink(missing_ok=True)
        for entry in out.iterdir():
            if entry.is_dir() and (entry.name == "features" or entry.name.startswith(_UNFINISHED)):
                if entry != unfinished:
                    shutil.rmtree(entry)
            elif entry.name in _OWN:
                entry.unlink()
        for entry in sorted(unfinished.iterdir(), key=lambda e: e.name == "capture.json"):
            entry.rename(out / entry.name)
        unfinished.rmdir()

    # ------------------------------------------------------------------ reading and checking

    def _read(self) -> None:
        self.tree = tree.scan(self.folder)
        self.transforms = poses.read_transforms(self.folder)
        self.frames, self.notes["img_id"] = tree.frames_of(
            self.tree, self.transforms, self.config.image_ids
        )
        poses.sound_in_step(self.transforms)
        self._check_lens()
        points = [landmarks.read(self.folder / f"ori_imgs/{i}.lms") for i in self.frames]
        self.seen = np.array(points)
        self.viewmats = self._poses()
        self.sound = Sound(self.folder, self.tree.count, self.config.audio)
        self.notes["features"] = self.sound.files or "none in the folder"
        absent = [name for name in _OPTIONAL if not (self.folder / name).exists()]
        self.notes["absent"] = ", ".join(absent) or "nothing"
        self.units = self._action_units()

    def _action_units(self) -> openface.Table | None:
        """Rows of ``au.csv``, one a frame; ``None`` without the file."""
        path = self.folder / "au.csv"
        table = openface.read(path) if path.exists() else None
        if self.config.eye == "au45" and (table is None or table.column("AU45_r") is None):
            raise CaptureError(
                f"eye=au45 was asked for, but {self.folder} has no au.csv with AU45_r."
            )
        if table is None:
            return None
        rows = openface.rows_of_frames(table, self.tree.count, self.config.au_rows)
        surplus = len(table.rows) - self.tree.count
        if surplus > 0:
            log.warning(
                "au.csv has %d rows for %d frames; the last %d are not used, as all readers do",
                *(len(table.rows), self.tree.count, surplus),
            )
        return openface.Table(
            table.header, [row if row else ["nan"] * len(table.header) for row in rows]
        )

    def _check_lens(self) -> None:
        t, size = self.transforms, (self.tree.width, self.tree.height)
        said = t.size or (2 * t.cx_px, 2 * t.cy_px)
        if said != size:
            where = "w and h" if t.size else "2 cx and 2 cy"
            raise CaptureError(
                f"transforms_train.json is of pictures of {said[0]:g}x{said[1]:g} ({where}), "
                f"the pictures are {size[0]}x{size[1]}."
            )
        self.lens = Lens(t.focal_px, t.cx_px, t.cy_px)

    def _poses(self) -> np.ndarray:
        given = conventions.viewmats_from_transforms(self.transforms.matrices)
        track = None if self.config.poses == "transforms" else poses.read_track(self.folder)
        self.vertices = None if track is None else track.vertices
        if self.config.poses == "track":
            if track is None:
                raise ConfigError("poses=track was asked for, but there is no track_params.pt.")
            if len(track.euler) != len(given):
                raise CaptureError(f"{track.file} has {len(track.euler)} poses for {len(given)}.")
            self.notes["poses"] = f"{track.file}, not compared with the JSON files"
            self.lens = Lens(track.focal_px, self.lens.cx_px, self.lens.cy_px)
            return conventions.viewmats_from_track(track.euler, track.trans, track.cm_per_unit)
        if track is None:
            self.notes["poses"] = (
                "transforms_train.json and transforms_val.json, nothing to compare"
            )
            return given
        _, remark = poses.track_viewmats(track, self.transforms)
        self.notes["poses"] = f"JSON files, {track.file} agrees" + (f"; {remark}" if remark else "")
        return given

    def _check(self) -> None:
        frames = self.frames
        checks.scale(self.seen, self.viewmats, self.lens)
        checks.origin_in_face(self.seen, self.viewmats, self.lens, frames)
        self.rest = self._fit()
        self.misfits = checks.poses_fit(
            self.rest.points, self.seen, self.viewmats, self.lens, frames
        )
        away = np.linalg.norm(self.viewmats[:, :3, 3], axis=1) / conventions.CM_PER_METRE
        if away.min() < NEAR_M or away.max() > FAR_M:
            log.warning(
                "the camera is %.2f to %.2f m away; the family's tracker puts it at %g to %g m",
                *(away.min(), away.max(), NEAR_M, FAR_M),
            )

    def _fit(self) -> mesh.Rest:
        wanted = self.config.mesh
        if wanted == "vertices" and self.vertices is None:
            raise ConfigError("mesh=vertices was asked for, but track_params.pt has no vertices.")
        if wanted == "canonical" or (wanted != "arithmetic" and weights.have(_FACE_MODEL)):
            template = mesh.canonical(canonical.vertices(weights.find(_FACE_MODEL)))
        else:
            template = mesh.arithmetic()
        rest = mesh.fit(template, self.seen, self.viewmats, self.lens)
        if self.vertices is not None and wanted in ("auto", "vertices"):
            self.notes["mesh"] = f"{len(self.vertices)} vertices of track_params.pt"
            return mesh.Rest(self.vertices, rest.points, rest.error_px)
        self.notes["mesh"] = (
            f"{template.name}, fitted to the landmarks of {len(self.seen)} frames with their "
            f"poses; they miss by {rest.error_px:.2f} px; it is no measurement of this head's depth"
        )
        return rest

    # ------------------------------------------------------------------ writing

    @cached_property
    def points(self) -> np.ndarray:
        """Landmarks of all frames, ``float32 [F, 68, 2]``, NaN without a ``.lms``."""
        points = np.full((self.tree.count, landmarks.POINTS, 2), np.nan, np.float32)
        points[self.frames] = self.seen
        return points

    @property
    def _segments(self) -> list[tuple[int, int]]:
        cuts = sorted(set(self.config.cuts) - {0})
        if cuts and not 0 < cuts[0] <= cuts[-1] < self.tree.count:
            raise ConfigError(f"cuts={cuts}: the frames are 0 to {self.tree.count - 1}.")
        bounds = [0, *cuts, self.tree.count]
        return list(zip(bounds[:-1], bounds[1:], strict=True))

    @cached_property
    def _good(self) -> np.ndarray:
        good = np.zeros(self.tree.count, bool)
        good[self.frames[~self.misfits]] = True
        return good

    def _geometry(self, writer: CaptureWriter) -> None:
        whole = np.broadcast_to(np.eye(4), (self.tree.count, 4, 4)).copy()
        whole[self.frames] = self.viewmats
        nearest = nearest_good(self._good, self._segments)
        whole[~self._good] = whole[nearest[~self._good]]
        self._viewmats = whole
        writer.array("poses", whole.astype(np.float32))
        writer.array("landmarks", self.points)
        writer.array("mesh", self.rest.mesh.astype(np.float32))

    def _signals(self, writer: CaptureWriter) -> None:
        points = self.points

        def gap(pair: tuple[int, int]) -> np.ndarray:
            return np.linalg.norm(points[:, pair[0]] - points[:, pair[1]], axis=-1)

        ruler = gap(_FACE.eye_corners)
        lids = np.mean([gap(pair) for pair in _FACE.lids], axis=0) / ruler
        nearest = nearest_good(self._good, self._segments)
        writer.array("mouth", (gap(_FACE.gap) / ruler)[nearest].astype(np.float32))
        writer.array("eye", self._eye(writer.folder, lids[nearest]).astype(np.float32))

    def _eye(self, out: Path, lids: np.ndarray) -> np.ndarray:
        if self.units is not None:
            openface.write(out / "au.csv", self.units, self.units.rows)
            closing = self.units.column("AU45_r")
            if self.config.eye != "landmarks" and closing is not None:
                usual = float(np.median(lids))
                closing = np.where(self.units.column("success") == 0, np.nan, closing)
                self.notes["eye"] = f"AU45 of au.csv; 0 is the lids' usual gap, {usual:.3f}"
                told = np.isfinite(closing)
                if not told.any():
                    raise CaptureError(
                        "au.csv tells AU45 of no frame.\n"
                        "  Run OpenFace again, or take the lids of the landmarks: eye=landmarks"
                    )
                if not told.all():
                    self.notes["eye"] += f"; not known in {int((~told).sum())} frames"
                return openface.eye_opening(closing, usual)
        self.notes["eye"] = "gap between the lids, from the landmarks"
        return lids

    # ------------------------------------------------------------------ the end

    def _meta(self, name: str, mouth: np.ndarray, features: dict[str, Any]) -> dict[str, Any]:
        count, t = self.tree.count, self.transforms
        good = self._good
        misfit = np.zeros(count, bool)
        misfit[self.frames[self.misfits]] = True
        reasons = (
            (~good & ~misfit, "no landmarks (.lms) in the imported folder"),
            (misfit, "the landmarks do not fit the imported pose"),
        )
        dropped: list[dict[str, Any]] = [
            {"start": a, "stop": b, "reason": why} for flags, why in reasons for a, b in runs(flags)
        ]
        stretches = [(a + s, b + s) for s, e in self._segments for a, b in runs(good[s:e])]
        trembling = jitter(
            self._viewmats[:, :3, :3], self._viewmats[:, :3, 3], stretches, self.lens
        )
        offset = sync.estimate(
            self.sound.samples,
            mouth,
            self.points,
            _FACE,
            self._segments,
            good,
        )
        meta = {
            "name": name,
            "frame_count": count,
            "width": self.tree.width,
            "height": self.tree.height,
            "focal_px": self.lens.focal_px,
            "cx_px": self.lens.cx_px,
            "cy_px": self.lens.cy_px,
            "segments": [list(pair) for pair in self._segments],
            "dropped": sorted(dropped, key=lambda gap: int(gap["start"])),
            "features": features,
            "landmarks": LAYOUT,
            "sync": {**offset.as_dict(), "applied_frames": 0.0},
            "cautions": sync.cautions(offset.offset_frames, _MEND),
            "tracker": {
                "name": f"imported, {self.tree.family} layout",
                "reprojection_px": self.rest.error_px,
                "jitter_deg": trembling[0],
                "jitter_px": trembling[1],
            },
            "source": {
                "file": self.folder.absolute().name,
                "path": str(self.folder.absolute()),
                "fps": FPS,
                "width": self.tree.width,
                "height": self.tree.height,
                "duration_s": count / FPS,
                "imported": {"layout": self.tree.family, **self.notes},
            },
        }
        val = self.frames[t.is_val]
        if len(val) and len(val) < len(self.frames):
            first = int(val.min())
            self._note_split(meta, first, bool((self.frames[~t.is_val] < first).all()), count)
        return meta

    def _note_split(self, meta: dict[str, Any], first: int, clean: bool, count: int) -> None:
        if not clean:
            log.warning(
                "transforms_val.json does not hold the last frames; the capture is split at 10/11"
            )
        elif first != int(count * TRAIN_SHARE):
            meta["test_start"] = first

    def _refuse(self, out: Path) -> None:
        """Refuse a place that holds something else than an import of this folder."""
        if out.absolute().is_relative_to(self.folder.absolute()):
            raise CaptureError(f"{out} lies inside {self.folder}; name another folder.")
        if not out.exists():
            return
        if not out.is_dir():
            raise CaptureError(f"{out} is a file; name a folder for the capture.")
        others = [e.name for e in out.iterdir() if e.name not in _OWN and e.name[0] != "."]
        made_of: Any = None
        if (out / "capture.json").exists():
            try:
                made_of = files.read_json(out / "capture.json")["source"]
            except (GSTalkerError, KeyError, TypeError):
                made_of = {}
        ours = made_of is None or (
            "imported" in made_of and made_of.get("file") == self.folder.absolute().name
        )
        if others or not ours:
            raise CaptureError(f"{out} holds something else; name a new folder.")
