"""The run folder: the one module that knows where things lie in it.

``config.yaml`` what it is, ``provenance.json`` what made it, ``status.json`` how it stands, a
folder per stage with ``last.ckpt`` and ``metrics.csv``, then ``frames/`` and ``scores.json``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gstalker import config as configuration
from gstalker import files
from gstalker.config import RunConfig
from gstalker.data.capture import Capture
from gstalker.errors import RunError

State = Literal["running", "done", "interrupted", "failed", "diverged"]

_ENDINGS = ("reason", "term")
"""What only a failed or diverged run has to tell."""


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    @classmethod
    def of(cls, config: RunConfig, capture: Capture) -> RunFolder:
        """Where this config on this capture is, or would be; nothing is written."""
        fingerprint = configuration.fingerprint(config, capture.content_id)
        kind = config.method.name.rpartition(":")[2]
        return cls(Path(config.runs) / f"{kind}-{capture.name}-{fingerprint[:6]}")

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
        """What ``status.json`` holds; empty where nothing was recorded yet."""
        path = self.path / "status.json"
        return files.read_object(path) if path.exists() else {}

    def train_minutes(self) -> float | None:
        """Minutes that the steps of all finished stages took; ``None`` where none is told.

        Looks at validation frames are left out: they teach nothing, and cost slow painters most.
        """
        status = self.status()
        spent = [v for k, v in status.items() if k.endswith("_minutes") and _is_number(v)]
        looked = [v for k, v in status.items() if k.endswith("_looked_s") and _is_number(v)]
        return sum(spent) - sum(looked) / 60 if spent else None

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
        """Write ``status.json``; keeps what earlier records said, but for why they ended."""
        old = {key: value for key, value in self.status().items() if key not in _ENDINGS}
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        files.write_json(self.path / "status.json", {**old, **facts, "state": state, "time": when})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def open_capture(config: RunConfig) -> Capture:
    """The capture that a config names, as much of it as may be learned from."""
    return Capture.open(config.capture, train_minutes=config.train_minutes)
