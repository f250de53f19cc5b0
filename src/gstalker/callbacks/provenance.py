"""What made this run: versions, machine, command and commit, in ``provenance.json``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch

from gstalker import files
from gstalker.native import library

_PACKAGES = ("gstalker", "torch", "lightning", "numpy", "omegaconf", "torchmetrics")


class Provenance(L.Callback):
    """Writes ``provenance.json`` when training begins; every resume adds a line to ``starts``.

    Args:
        path: the file.
        facts: more to record, such as the backends that ``auto`` chose.
    """

    def __init__(self, path: Path, facts: dict[str, Any] | None = None) -> None:
        self.path = path
        self.facts = facts or {}

    def on_train_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Write it; a resumed run knows its step by now."""
        record = {**machine_card(), **self.facts}
        record["stage"] = type(stage).__name__
        record["from_step"] = trainer.global_step
        starts = []
        if self.path.exists():
            starts = files.read_json(self.path).get("starts", [])
        files.write_json(self.path, {"starts": [*starts, record]})


def machine_card() -> dict[str, Any]:
    """What runs here: packages, processor, threads, command, commit."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "kernels": library.describe(),
        "commit": _commit(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree this runs from, with a ``+`` where files differ from it."""
    here = Path(__file__).parent
    try:
        git = ["git", "-C", str(here)]
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
