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

State = Literal["running", "done", "interrupted", "failed"]


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    @classmethod
    def create(cls, config: RunConfig, capture: Capture) -> RunFolder:
        """The folder of this config on this capture; the same two give the same folder again."""
        fingerprint = configuration.fingerprint(config, capture.content_id)
        name = f"{config.method.name}-{capture.name}-{fingerprint[:6]}"
        run = cls(Path(config.runs) / name)
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

    def stage(self, name: str) -> Path:
        """Folder of one stage."""
        return self.path / name

    def config(self, where: Sequence[str] = ()) -> RunConfig:
        """The run's config as it was frozen, but for where things are now (``device=cpu``)."""
        return configuration.load(self.config_path, where)

    def record(self, state: State, **facts: Any) -> None:
        """Write ``status.json``; keeps what earlier records said."""
        path = self.path / "status.json"
        old = files.read_json(path) if path.exists() else {}
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        files.write_json(path, {**old, **facts, "state": state, "time": when})
