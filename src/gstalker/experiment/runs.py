"""The run folder: the one module that knows where things lie in it.

``config.yaml`` what it is, ``provenance.json`` what made it, ``status.json`` how it stands, a
folder per stage with ``last.ckpt`` and ``metrics.csv``, then ``frames/`` and ``scores.json``.
"""

from __future__ import annotations

import reprlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gstalker import config as configuration
from gstalker import files
from gstalker.config import RunConfig
from gstalker.data.capture import Capture
from gstalker.errors import CaptureError, GSTalkerError, RunError

State = Literal["running", "done", "interrupted", "failed", "diverged"]

_ENDINGS = ("reason", "term")
"""What only a failed or diverged run has to tell."""
_PROGRESS = ("step", "steps", "loss")
"""What is said of the stage that runs."""
_WORDS = ("stage", "term", "reason")
"""What ``status.json`` tells in words."""
_COUNTS = ("step", "steps", "peak_memory_mib", "evaluate_s")
_OF_STAGES = ("_minutes", "_steps", "_step_s", "_late_s", "_looked_s", "_parameters")
"""What it tells in numbers: of the run, and, behind a stage's name, of each stage."""
_MOST = 1e12
"""Steps, minutes or MiB that nobody has; what is above is a damaged file."""


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    @classmethod
    def of(cls, config: RunConfig, capture: Capture) -> RunFolder:
        """Where this config on this capture is, or would be; nothing is written."""
        fingerprint = configuration.fingerprint(config, capture.content_id)
        kind = config.method.name.rpartition(":")[2]
        name = files.plain_name(f"{kind}-{capture.name}-{fingerprint[:6]}")
        return cls(Path(config.runs) / name)

    @classmethod
    def create(cls, config: RunConfig, capture: Capture) -> RunFolder:
        """The folder of this config on this capture; the same two give the same folder again."""
        run = cls.of(config, capture)
        if not run.config_path.exists():
            configuration.save(config, run.config_path)
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run.

        Raises:
            RunError: it is not one; names the runs beside it.
        """
        run = cls(Path(path))
        if not run.config_path.is_file():
            beside = sorted(p.parent.name for p in run.path.parent.glob("*/config.yaml"))
            have = (
                f"  Runs there: {', '.join(beside)}."
                if beside
                else "  Train one with: gstalker train"
            )
            raise RunError(f"there is no run at {path}.\n{have}")
        return run

    @property
    def config_path(self) -> Path:
        """The whole frozen config."""
        return self.path / "config.yaml"

    @property
    def scores_path(self) -> Path:
        """What ``evaluate`` found."""
        return self.path / "scores.json"

    @property
    def frames_path(self) -> Path:
        """The test pictures."""
        return self.path / "frames"

    @property
    def claim_path(self) -> Path:
        """Locked by the process that works on the run."""
        return self.path / ".claim"

    @property
    def log_path(self) -> Path:
        """What a trial of a sweep said."""
        return self.path / "trial.log"

    @property
    def job_path(self) -> Path:
        """The cluster's job that was told to do it."""
        return self.path / "job.json"

    @property
    def speed_path(self) -> Path:
        """How fast the trained head paints."""
        return self.path / "speed.json"

    def driven_path(self, speech: str) -> Path:
        """The head speaking the file ``speech``."""
        return self.path / "driven" / f"{Path(speech).stem}.mp4"

    def driven_scores_path(self, speech: str) -> Path:
        """What can be said of that film."""
        return self.driven_path(speech).with_suffix(".json")

    def stage(self, name: str) -> Path:
        """Folder of one stage."""
        return self.path / name

    def config(self, where: Sequence[str] = ()) -> RunConfig:
        """The run's config as it was frozen, but for where things are now (``device=cpu``)."""
        return configuration.load(self.config_path, where)

    def status(self) -> dict[str, Any]:
        """What ``status.json`` holds; empty where nothing was recorded yet.

        ``state`` is a ``State``; stages, terms and reasons are words; what is counted is a number
        of 0 or more.

        Raises:
            RunError: it is damaged; says where.
        """
        path = self.path / "status.json"
        if not path.exists():
            return {}
        try:
            told = files.read_object(path)
            for key, value in told.items():
                if not _is_told_so(key, value):
                    raise RunError(f"{path} is damaged: {key} is {reprlib.repr(value)}.")
        except GSTalkerError as error:
            raise RunError(
                f"{error}\n  Remove it, and type the same command again; checkpoints stay."
            ) from error
        return told

    def job(self) -> str | None:
        """The id of the cluster's job that was told to do it; ``None`` if none was.

        Raises:
            RunError: ``job.json`` is damaged.
        """
        if not self.job_path.exists():
            return None
        job = files.read_object(self.job_path).get("job")
        if not isinstance(job, str):
            raise RunError(f"{self.job_path} is damaged: it names no job.\n  Remove it.")
        return job

    def starts(self) -> list[dict[str, Any]]:
        """What ``provenance.json`` tells of each start of training; empty if it is not there.

        Raises:
            RunError: it is damaged.
        """
        path = self.path / "provenance.json"
        told = files.read_object(path).get("starts") if path.is_file() else []
        if not isinstance(told, list) or not all(isinstance(start, dict) for start in told):
            raise RunError(f"{path} is damaged: its starts are not a list of objects.")
        return told

    def record(self, state: State, **facts: Any) -> None:
        """Write ``status.json``; keeps what earlier records said, but for why they ended and, in
        another stage, how far the last one was.
        """
        old = {key: value for key, value in self.status().items() if key not in _ENDINGS}
        if facts.get("stage", old.get("stage")) != old.get("stage"):
            old = {key: value for key, value in old.items() if key not in _PROGRESS}
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        files.write_json(self.path / "status.json", {**old, **facts, "state": state, "time": when})


def train_minutes(status: Mapping[str, Any]) -> float | None:
    """Minutes that the steps of all finished stages took; ``None`` where none is told.

    Looks at validation frames are left out: they teach nothing, and cost slow painters most.

    Args:
        status: as :meth:`RunFolder.status` gives it.
    """
    spent = [value for key, value in status.items() if key.endswith("_minutes")]
    looked = [value for key, value in status.items() if key.endswith("_looked_s")]
    return sum(spent) - sum(looked) / 60 if spent else None


def _is_told_so(key: str, value: Any) -> bool:
    """Whether a value of ``status.json`` is of the kind that :meth:`RunFolder.record` wrote."""
    if key == "state":
        return value in get_args(State)
    if key in _WORDS:
        return isinstance(value, str)
    if key in _COUNTS or key.endswith(_OF_STAGES):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and 0 <= value <= _MOST
    return True


def open_capture(config: RunConfig) -> Capture:
    """The capture that a config names, as much of it as may be learned from.

    Raises:
        CaptureError: it is not there, or damaged.
    """
    try:
        return Capture.open(config.capture, train_minutes=config.train_minutes)
    except CaptureError as error:
        if Path(config.capture).exists():
            raise
        raise CaptureError(f"{error}\n  or, if it lies elsewhere, add: capture=FOLDER") from error
