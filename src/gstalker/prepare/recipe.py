"""The steps from a video to a capture: what each reads, writes and depends on."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gstalker import files, weights
from gstalker.data.capture import SAMPLES_PER_FRAME, Capture, CaptureWriter
from gstalker.errors import CaptureError, GSTalkerError, MediaError
from gstalker.prepare import eyes, steps, video
from gstalker.prepare.config import PrepareConfig
from gstalker.prepare.parallel import worker_count
from gstalker.prepare.source import Source, probe
from gstalker.prepare.steps import WORK, Book, Step

log = logging.getLogger(__name__)

FACES, PERSONS = "face_landmarker", "selfie_segmentation"


class Recipe:
    """One video on its way into one folder."""

    def __init__(self, path: Path, out: Path, config: PrepareConfig) -> None:
        self.out = out
        self.config = config
        self.path = path
        self.workers = worker_count(config.workers)

    def follow(self, redo: Sequence[str]) -> Capture:
        """Do what is left; returns the finished capture."""
        source = self.source
        if source.duration_s < self.config.min_seconds:
            raise MediaError(
                f"{self.path} is too short: {source.duration_s:.1f} s; "
                f"at least {self.config.min_seconds:g} s are needed."
            )
        models = {name: weights.find(name) for name in (FACES, PERSONS)}
        self._require()
        began_empty = self._check_folder()
        with steps.alone(self.out):
            try:
                return self._work(models, redo)
            except MediaError:
                if began_empty:
                    self._clear()
                raise

    def _work(self, models: dict[str, Path], redo: Sequence[str]) -> Capture:
        from gstalker.prepare.stations import Stations

        book = Book(self.out, self.sha256)
        plan = self._plan(Stations(self, models), models)
        if (
            not redo
            and all(book.fresh(step) for step in plan)
            and (self.out / "capture.json").exists()
        ):
            log.info("%s is finished already", self.out)
            return Capture.open(self.out)
        self._sweep()
        writer = CaptureWriter(self.out)
        spent = steps.run(plan, book, redo)
        capture = writer.finish(self._meta())
        self._report(capture, spent)
        return capture

    def _plan(self, do: Any, models: dict[str, Path]) -> list[Step]:
        c = self.config
        faces, persons = files.sha256(models[FACES]), files.sha256(models[PERSONS])
        kinds = self.feature_kinds
        return [
            Step("audio", 1, ("audio.wav",), do.audio),
            Step(
                "view",
                1,
                (f"{WORK}/view.json",),
                do.view,
                (),
                {"max_side": c.max_side, "crop": c.crop},
            ),
            Step(
                "frames",
                1,
                ("frames.npy", "checksums.npy", f"{WORK}/thumbs.npy"),
                do.frames,
                ("view",),
                {"reader": c.reader},
            ),
            Step("takes", 1, (f"{WORK}/takes.json",), do.takes, ("frames",), {"model": faces}),
            Step(
                "landmarks",
                1,
                ("landmarks.npy",),
                do.landmarks,
                ("frames", "takes"),
                {"model": faces, "min_face_share": c.min_face_share},
            ),
            Step(
                "track",
                1,
                ("poses.npy", "mesh.npy", "mouth.npy", f"{WORK}/track.json"),
                do.track,
                ("view", "takes", "landmarks"),
                {"focal_px": c.focal_px, "smooth_frames": c.smooth_frames},
            ),
            Step(
                "eyes",
                1,
                ("eye.npy", f"{WORK}/eyes.json"),
                do.eyes,
                ("frames", "takes", "landmarks", "track"),
                {"eye": c.eye, "content": self._eye_content(faces)},
            ),
            Step("masks", 1, ("masks.npy",), do.masks, ("frames", "landmarks"), {"model": persons}),
            Step(
                "background",
                1,
                ("background.npy", f"{WORK}/background.json"),
                do.background,
                ("frames", "masks", "takes", "track"),
            ),
            Step(
                "features",
                1,
                (f"{WORK}/features.json", *(f"features/{kind}.npy" for kind in kinds)),
                do.features,
                ("audio", "takes"),
                {"kinds": kinds},
            ),
        ]

    # ------------------------------------------------------------------ what everything reads

    @cached_property
    def source(self) -> Source:
        """The video's outside."""
        return probe(self.path)

    @cached_property
    def sha256(self) -> str:
        """Of the video file."""
        return files.sha256(self.path)

    @property
    def frame_count(self) -> int:
        """Frames at 25 a second."""
        return self.source.frame_count

    @cached_property
    def feature_kinds(self) -> list[str]:
        """Sound features to make."""
        if self.config.audio == "mel":
            return ["mel"]
        if self.config.audio == "auto" and not weights.have("whisper_tiny_en"):
            log.info(
                "sound features: log-mel only; Whisper's weights are not here (gstalker weights)"
            )
            return ["mel"]
        weights.find("whisper_tiny_en")
        log.info("sound features: log-mel and Whisper")
        return ["mel", "whisper"]

    def _eye_content(self, model: str) -> str:
        """What the eyes' opening depends on beside the landmarks."""
        if self.config.eye == eyes.BLENDSHAPES:
            return model
        return "" if self.config.eye in eyes.NAMES else files.sha256(Path(self.config.eye))

    def note(self, name: str) -> Any:
        """One of the JSON files that steps leave for each other."""
        return files.read_json(self.out / WORK / f"{name}.json")

    # ------------------------------------------------------------------ the folder

    def _require(self) -> None:
        from gstalker.prepare.tracking import landmarks

        landmarks.require()
        eyes.check(self.config.eye)
        _ = self.feature_kinds

    def _check_folder(self) -> bool:
        """Refuse a folder that is something else; returns whether prepare was never here."""
        if not self.out.exists():
            self._check_space(self.out.absolute().parent)
            return True
        if not self.out.is_dir():
            raise CaptureError(f"{self.out} is a file; name a folder for the capture.")
        inside = [entry.name for entry in self.out.iterdir()]
        book = self.out / WORK / "steps.json"
        if not book.exists():
            if [name for name in inside if name != WORK]:
                raise CaptureError(
                    f"{self.out} holds other things and was not made by prepare; name a new folder."
                )
            self._check_space(self.out)
            return True
        if (self.out / "capture.json").exists():
            made_of = files.read_json(self.out / "capture.json").get("source", {})
            if made_of.get("sha256") != self.sha256:
                raise CaptureError(
                    f"{self.out} was prepared from another video ({made_of.get('file', '?')}).\n"
                    f"  Name another folder for {self.path}, or delete this one first."
                )
        return False

    def _check_space(self, place: Path) -> None:
        while not place.exists():
            place = place.parent
        view = video.whole_view(self.source, self.config.max_side)
        needed = self.frame_count * view.width * view.height * 4 * 1.1
        free = shutil.disk_usage(place).free
        if free < needed:
            raise CaptureError(
                f"{self.path} needs {needed / 1e9:.1f} GB in {self.out}, where {free / 1e9:.1f} GB "
                "are free.\n  Make room, or name a folder on a larger disk."
            )

    def _sweep(self) -> None:
        """Take away temporary files that a killed run could not."""
        for folder in (self.out, self.out / WORK, self.out / "features"):
            for left in folder.glob(".*-*"):
                if left.is_file() and left.suffix in (".npy", ".wav", ".json"):
                    left.unlink()

    def _clear(self) -> None:
        """Take away what this run has written, after finding that the video cannot be used."""
        for entry in list(self.out.iterdir()):
            if entry.name == WORK or entry.name == "features":
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.suffix in (".npy", ".wav"):
                entry.unlink(missing_ok=True)
        if not any(self.out.iterdir()):
            self.out.rmdir()

    # ------------------------------------------------------------------ the end

    def _meta(self) -> dict[str, Any]:
        view, track, takes = self.note("view"), self.note("track"), self.note("takes")
        bounds = [0, *takes["cuts"], self.frame_count]
        return {
            "name": self.config.name or self.out.absolute().name,
            "frame_count": self.frame_count,
            "width": view["width"],
            "height": view["height"],
            "focal_px": track["lens"]["focal_px"],
            "cx_px": track["lens"]["cx_px"],
            "cy_px": track["lens"]["cy_px"],
            "segments": [list(pair) for pair in zip(bounds[:-1], bounds[1:], strict=True)],
            "dropped": sorted(
                track["dropped"] + self.note("background")["strays"], key=lambda d: d["start"]
            ),
            "features": self.note("features"),
            "landmarks": "mediapipe478",
            "tracker": track["report"],
            "eye": self.note("eyes"),
            "view": view,
            "source": {
                "file": self.path.name,
                "sha256": self.sha256,
                "fps": self.source.fps,
                "width": self.source.width,
                "height": self.source.height,
                "duration_s": self.source.duration_s,
            },
        }

    def _report(self, capture: Capture, spent: dict[str, float]) -> None:
        report = capture.meta["tracker"]
        log.info(
            "%s: %d frames, %dx%d, %d takes, reprojection %.2f px, jitter %.3f deg (%.3f raw)",
            self.out,
            capture.frame_count,
            capture.width,
            capture.height,
            len(capture.segments),
            report["reprojection_px"],
            report["jitter_deg"],
            report["jitter_deg_raw"],
        )
        for gap in capture.meta["dropped"]:
            log.warning("dropped frames %d-%d: %s", gap["start"], gap["stop"] - 1, gap["reason"])
        if capture.dropped.any():
            log.warning("dropped %d of %d frames", int(capture.dropped.sum()), capture.frame_count)
        log.info("seconds: %s", ", ".join(f"{name} {s:.0f}" for name, s in spent.items()))
        if capture.split()[0].size == 0:
            raise GSTalkerError(f"{self.out} has no usable frame to train on.")
        log.debug(
            "content %s, samples %d", capture.content_id, capture.frame_count * SAMPLES_PER_FRAME
        )
        log.debug("meta %s", json.dumps(capture.meta)[:2000])
