"""What made this run: versions, machine, command, commit, time and energy."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch

from gstalker import files
from gstalker.native import library

_OTHERS = ("ls-files", "--others", "--exclude-standard", "--full-name", "-z")
_SOURCES = (".py", ".yaml", ".yml", ".toml", ".cfg", ".cpp", ".cu", ".cuh", ".h")
"""Endings of what a program is made of; hashing whatever else lies about could take minutes."""
_PACKAGES = ("gstalker", "torch", "lightning", "numpy", "omegaconf", "torchmetrics")


class Provenance(L.Callback):
    """Writes ``provenance.json`` when training begins; every resume adds an entry to ``starts``.

    When training ends, the entry is told the step, the minutes and the energy. Where the program's
    files differ from the commit, a ``.diff`` beside it says in what; files that git does not know
    are in no diff, so the entry names them with their sha256.

    Args:
        path: the file.
        facts: more to record, such as the backends that ``auto`` chose.
    """

    def __init__(self, path: Path, facts: dict[str, Any] | None = None) -> None:
        self.path = path
        self.facts = facts or {}
        self._began = 0.0
        self._joules: float | None = None

    def on_train_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Write it; a resumed run knows its step by now."""
        record = {**machine_card(), **self.facts}
        record["stage"] = type(stage).__name__
        record["from_step"] = trainer.global_step
        record["time"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        changes = _changes()
        if changes:
            record["diff"] = f"{hashlib.sha256(changes).hexdigest()[:12]}.diff"
            files.write_bytes(self.path.with_name(record["diff"]), changes)
        untracked = _untracked()
        if untracked:
            record["untracked"] = untracked
        self._began, self._joules = time.monotonic(), joules()
        files.write_json(self.path, {"starts": [*self._starts(), record]})

    def on_train_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Add what this start came to; a run that was killed has no such words."""
        *before, record = self._starts()
        now = joules()
        spent: float | str = "n/a: this machine does not tell (no readable RAPL counter)"
        if now is not None and self._joules is not None and now >= self._joules:
            spent = round(now - self._joules)
        record["to_step"] = trainer.global_step
        record["minutes"] = round((time.monotonic() - self._began) / 60, 2)
        record["energy_j"] = spent
        files.write_json(self.path, {"starts": [*before, record]})

    def _starts(self) -> list[dict[str, Any]]:
        return files.read_json(self.path).get("starts", []) if self.path.exists() else []


def machine_card() -> dict[str, Any]:
    """What runs here: packages, processor, threads, command, commit."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor(),
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


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, as Linux tells it."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def joules(counters: Path = Path("/sys/class/powercap")) -> float | None:
    """What the processors have used since they were counted from 0, by RAPL; None if not told.

    Everything on the machine is counted, not this process alone.
    """
    try:
        read = [
            float((zone / "energy_uj").read_text()) / 1e6
            for zone in sorted(counters.glob("intel-rapl:*"))
            if zone.name.count(":") == 1  # packages; their parts are in them
        ]
    except (OSError, ValueError):
        return None
    return sum(read) if read else None


def _commit() -> str | None:
    """The commit of the source tree this runs from, with a ``+`` where files differ from it."""
    head, dirty = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    if head is None or dirty is None or not _tracked():
        return None
    return head.decode().strip() + ("+" if dirty.strip() else "")


def _changes() -> bytes:
    """How the tracked files differ from the commit."""
    return (_git("diff", "HEAD") or b"") if _tracked() else b""


def _untracked() -> dict[str, str]:
    """Sources that git neither knows nor ignores: their names in the repository, their sha256."""
    top = _git("rev-parse", "--show-toplevel") if _tracked() else None
    if top is None:
        return {}
    root = Path(os.fsdecode(top).removesuffix("\n"))
    names = sorted(filter(None, os.fsdecode(_git(*_OTHERS, ":/") or b"").split("\0")))
    sources = [name for name in names if Path(name).suffix in _SOURCES]
    return {name: files.sha256(root / name) for name in sources if (root / name).is_file()}


def _tracked() -> bool:
    """Whether this runs from its own repository, rather than lying inside of somebody else's."""
    return _git("ls-files", "--error-unmatch", Path(__file__).name) is not None


def _git(*words: str) -> bytes | None:
    """What git says of the source tree that this runs from; None where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), *words]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
