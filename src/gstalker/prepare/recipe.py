"""One video on its way into one capture folder: what is known of it, its folder, its end."""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gstalker import files, weights
from gstalker.data.capture import SAMPLES_PER_FRAME, Capture
from gstalker.data.writer import CaptureWriter
from gstalker.errors import CaptureError, ConfigError, GSTalkerError, MediaError
from gstalker.prepare import audio, eyes, parsers, steps, sync, video
from gstalker.prepare.audio.imported import Imported, read_features
from gstalker.prepare.config import PrepareConfig
from gstalker.prepare.expectation import expect
from gstalker.prepare.parallel import worker_count
from gstalker.prepare.parsers import FaceParser
from gstalker.prepare.plan import FACE_MODEL, FACES, plan
from gstalker.prepare.source import Source, cautions, probe
from gstalker.prepare.steps import WORK, Book

log = logging.getLogger(__name__)


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
        models = {FACES: weights.find(FACES)}
        self._require()
        began_empty = self._check_folder()
        with steps.alone(self.out):
            try:
                return self._work(models, redo)
            except (MediaError, ConfigError):  # the file or a choice about it, such as whose face
                if began_empty:
                    self._clear()
                raise

    def _work(self, models: dict[str, Path], redo: Sequence[str]) -> Capture:
        from gstalker.prepare.stations import Stations

        book = Book(self.out, self.sha256)
        todo = plan(self, Stations(self, models), models)
        if (
            not redo
            and all(book.fresh(step) for step in todo)
            and (self.out / "capture.json").exists()
        ):
            log.info("%s is finished already", self.out)
            return Capture.open(self.out)
        if not (self.out / WORK / "steps.json").exists():
            self._expect()
        self._sweep()
        writer = CaptureWriter(self.out)
        spent = steps.run(todo, book, redo)
        capture = writer.finish(self._meta())
        self._report(capture, spent)
        return capture

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
        """Sound features to make, log-mel first; everything that they need is here."""
        kinds = audio.chosen(self.config.audio)
        if self.imported is not None and self.imported.kind not in kinds:
            kinds.append(self.imported.kind)
        for kind in kinds:
            if self.imported is None or kind != self.imported.kind:
                audio.require(kind)
        hint = ""
        if self.config.audio == "auto" and "whisper" not in kinds:
            hint = "; Whisper's weights are not here (gstalker weights)"
        log.info("sound features: %s%s", ", ".join(kinds), hint)
        return kinds

    @cached_property
    def imported(self) -> Imported | None:
        """Sound features that another program made, if the config names them."""
        path = self.config.audio_features
        return read_features(Path(path), self.frame_count) if path else None

    def feature_settings(self, kinds: list[str]) -> dict[str, Any]:
        """What the features depend on beside the sound: kinds, models, an imported file."""
        settings: dict[str, Any] = {"kinds": kinds}
        made = [kind for kind in kinds if kind in audio.MODELS]
        if self.imported is not None:
            settings["imported"] = self.imported.sha256
            made = [kind for kind in made if kind != self.imported.kind]
        if made:
            settings["models"] = {kind: audio.identity(kind) for kind in made}
        return settings

    @cached_property
    def parser(self) -> FaceParser:
        """Who labels the pixels."""
        return parsers.make_parser(self.config.parser)

    @cached_property
    def parser_identity(self) -> str:
        """Another text whenever it may give other labels."""
        return parsers.identity(self.config.parser, self.parser)

    @cached_property
    def face_model(self) -> Path | None:
        """The file of the morphable face to fit, if one is."""
        wanted = self.config.face_model
        if wanted == "none":
            return None
        if wanted == "auto":
            here = weights.have(FACE_MODEL)
            what = "fitted" if here else "not here (gstalker weights): the canonical face is taken"
            log.info("face model %s: %s", FACE_MODEL, what)
            return weights.find(FACE_MODEL) if here else None
        if wanted in weights.TABLE:
            return weights.find(wanted)
        if not wanted.endswith(".npz"):
            raise ConfigError(
                f"face_model={wanted} is none that is known; choose none, auto or {FACE_MODEL}, "
                "or name a file: face_model=FILE.npz"
            )
        if not Path(wanted).is_file():
            raise ConfigError(f"face_model={wanted}: there is no such file.")
        return Path(wanted)

    @property
    def mend_command(self) -> str:
        """What to type so that the sound is moved to the lips, all other choices kept.

        But for features that another program made: they would not move with it.
        """
        return self._command(audio_features="") + " --fix-sync"

    def _command(self, **instead: Any) -> str:
        """What to type, in any folder, to prepare it again; empty choices are left out."""
        words = {**self._choices(), **instead}
        chosen = [f"{name}={value}" for name, value in words.items() if value != ""]
        whole = [str(path.absolute()) for path in (self.path, self.out)]
        return shlex.join(["gstalker", "prepare", *whole, *chosen])

    def _choices(self) -> dict[str, Any]:
        """What was chosen otherwise than by default, files named whole; not the sound's place."""
        chosen = {
            field.name: getattr(self.config, field.name)
            for field in dataclasses.fields(PrepareConfig)
            if field.name not in ("fix_sync", "workers")
            and getattr(self.config, field.name) != field.default
        }
        for name in ("eye", "audio_features"):
            if name in chosen and Path(chosen[name]).is_file():
                chosen[name] = str(Path(chosen[name]).absolute())
        return chosen

    def eye_content(self, model: str) -> str:
        """What the eyes' opening depends on beside the landmarks."""
        if self.config.eye == eyes.BLENDSHAPES:
            return model
        return "" if self.config.eye in eyes.NAMES else files.sha256(Path(self.config.eye))

    def note(self, name: str) -> Any:
        """One of the JSON files that steps leave for each other."""
        return files.read_json(self.out / WORK / f"{name}.json")

    # ------------------------------------------------------------------ the folder

    def _require(self) -> None:
        from gstalker.prepare.tracking import canonical, landmarks, morphable

        landmarks.require()
        if self.config.fix_sync and self.config.audio_features:
            raise ConfigError(
                "fix_sync moves the sound, but features that another program made of the unmoved "
                "sound would stay where they are.\n"
                "  Leave out --fix-sync, or leave out audio_features."
            )
        eyes.check(self.config.eye)
        if self.config.eye not in eyes.NAMES:
            eyes.read_openface(Path(self.config.eye), self.frame_count)
        _ = self.parser_identity
        if self.face_model is not None:
            morphable.read(self.face_model, canonical.vertices(weights.find(FACES)))
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
        needed = expect(self.source, self._largest_view(), self.workers).disk_bytes
        free = shutil.disk_usage(place).free
        if free < needed:
            raise CaptureError(
                f"{self.path} needs up to {needed / 1e9:.1f} GB in {self.out}; "
                f"{free / 1e9:.1f} GB are free.\n  Make room, or name a folder on a larger disk."
            )

    def _expect(self) -> None:
        """Say how long it will take, and what it needs."""
        view, source = self._largest_view(), self.source
        expected = expect(source, view, self.workers)
        log.info(
            "%s: %d x %d at %.4g fps, %.0f s; about %.0f min on %d idle cores as fast as a Xeon's, "
            "%.1f GB on disk and %.1f GB of memory for %d frames of at most %d x %d",
            self.path.name,
            source.width,
            source.height,
            source.fps,
            source.duration_s,
            max(expected.seconds / 60, 1),
            self.workers,
            max(expected.disk_bytes / 1e9, 0.1),
            expected.memory_bytes / 1e9,
            self.frame_count,
            view.width,
            view.height,
        )
        if source.transfer:
            log.info(
                "%s has a high dynamic range (%s); its colours are brought to the standard range",
                self.path.name,
                source.transfer,
            )

    def _largest_view(self) -> video.View:
        return video.largest_view(self.source, self.config.max_side, self.config.crop)

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
            elif entry.suffix in (".npy", ".wav", ".jpg"):
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
            "interpolated": self.note("bridges"),
            "features": self.note("features"),
            "sync": {**self._sync(), "applied_frames": self.applied_frames},
            "cautions": self._cautions(),
            "landmarks": "mediapipe478",
            "tracker": track["report"],
            "eye": self.note("eyes"),
            "parser": {"name": self.config.parser, "tells": list(self.parser.tells)},
            "view": view,
            "people": self.note("people")["people"],
            "source": {
                "file": self.path.name,
                "path": str(self.path.absolute()),
                "choices": self._choices(),
                "sha256": self.sha256,
                "fps": self.source.fps,
                "width": self.source.width,
                "height": self.source.height,
                "duration_s": self.source.duration_s,
            },
        }

    def _sync(self) -> dict[str, Any]:
        """What is told of the offset in ``capture.json``.

        Sound of frame ``i`` comes from second ``start_s + (i + applied_frames) / 25`` of the
        source, where ``start_s`` is the moment of its first picture.
        """
        return {key: value for key, value in self.note("sync").items() if key != "mend_frames"}

    @property
    def applied_frames(self) -> float:
        """Frames by which the capture's sound was moved earlier than it was filmed."""
        return float(self.note("sync")["mend_frames"]) if self.config.fix_sync else 0.0

    def _cautions(self) -> list[dict[str, str]]:
        """What does not keep anybody from training, but should be known."""
        found = [*cautions(self.path), *self.note("audio")["cautions"]]
        if not self.applied_frames:
            found += sync.cautions(self._sync()["offset_frames"], self.mend_command)
        people = self.note("people")["people"]
        if len(people) > 1:
            number = [person["subject"] for person in people].index(True) + 1
            what = f"{len(people)} faces are seen; number {number} from the left is taken"
            other = f"to take another (face=1 to face={len(people)}): "
            other += self._command(face=1 if number > 1 else 2)
            other += " --fix-sync" if self.config.fix_sync else ""
            found.append({"what": what, "do": other})
        return found

    def _report(self, capture: Capture, spent: dict[str, float]) -> None:
        report = capture.meta["tracker"]
        log.info(
            "%s: %d frames, %dx%d, takes: %d, reprojection %.2f px, jitter %.3f deg (%.3f raw)",
            self.out,
            capture.frame_count,
            capture.width,
            capture.height,
            len(capture.segments),
            report["reprojection_px"],
            report["jitter_deg"],
            report["jitter_deg_raw"],
        )
        gaps, kept = capture.meta["interpolated"], ~capture.dropped
        bridged = sum(int(kept[gap["start"] : gap["stop"]].sum()) for gap in gaps)
        if bridged:
            log.info("%d frames without a face lie between found ones: interpolated", bridged)
        for caution in capture.meta["cautions"]:
            log.warning("caution: %s. %s", caution["what"], caution["do"])
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
