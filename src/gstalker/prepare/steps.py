"""Steps with declared inputs and outputs, each done once: what makes ``prepare`` safe to run again.

A step is fresh if its files are there, unchanged, and were made by the same version of it, with
the same settings, from the same inputs. Inputs count by content, so a step that is run again and
writes the same bytes does not drag the later ones along. The book is ``.work/steps.json``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gstalker import files
from gstalker.errors import CaptureError, GSTalkerError

log = logging.getLogger(__name__)

WORK = ".work"
"""Folder inside the capture for the book and for what only ``prepare`` reads."""


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    name: str
    version: int
    """Raised when the step's code gives another result for the same inputs."""
    outputs: tuple[str, ...]
    """Files it writes, relative to the capture folder."""
    run: Callable[[], None]
    needs: tuple[str, ...] = ()
    """Names of earlier steps whose outputs it reads."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Everything else that its result depends on, as plain JSON."""


class Book:
    """Which steps are done, for one capture folder and one source video."""

    def __init__(self, folder: Path, source: str) -> None:
        self._folder = folder
        self._path = folder / WORK / "steps.json"
        self._source = source
        self._done: dict[str, Any] = {}
        if self._path.exists():
            with contextlib.suppress(GSTalkerError):
                book = files.read_json(self._path)
                self._done = book.get("steps", {}) if isinstance(book, dict) else {}

    def fresh(self, step: Step) -> bool:
        """Whether the step's outputs are there and need not be made again."""
        record = self._done.get(step.name)
        if record is None or record.get("key") != self._key(step):
            return False
        return all(self._unchanged(name, record) for name in step.outputs)

    def note(self, step: Step) -> None:
        """Write down that the step has just been done."""
        outputs = {name: self._card(name) for name in step.outputs}
        self._done[step.name] = {"key": self._key(step), "outputs": outputs}
        files.write_json(self._path, {"source": self._source, "steps": self._done})

    def _key(self, step: Step) -> str:
        inputs = {
            name: card["sha256"]
            for need in step.needs
            for name, card in self._done.get(need, {}).get("outputs", {}).items()
        }
        everything = [step.name, step.version, step.settings, self._source, inputs]
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()

    def _card(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        stat = path.stat()
        return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": files.sha256(path)}

    def _unchanged(self, name: str, record: dict[str, Any]) -> bool:
        path, card = self._folder / name, record["outputs"].get(name)
        if card is None or not path.is_file():
            return False
        stat = path.stat()
        if stat.st_size != card["size"]:
            return False
        # A copied folder has other times; only then is the content read.
        return stat.st_mtime_ns == card["mtime_ns"] or files.sha256(path) == card["sha256"]


def run(steps: Sequence[Step], book: Book, redo: Sequence[str] = ()) -> dict[str, float]:
    """Do the steps that are not fresh, in order, stopping at the first that fails.

    Args:
        steps: in an order in which inputs come before their readers.
        book: what is done already.
        redo: names of steps to do in any case.

    Returns:
        Seconds per step that was done.

    Raises:
        CaptureError: ``redo`` names a step that there is none of.
    """
    names = [step.name for step in steps]
    unknown = [name for name in redo if name not in names]
    if unknown:
        raise CaptureError(
            f"there is no step '{unknown[0]}' to redo; the steps are: {', '.join(names)}."
        )
    spent: dict[str, float] = {}
    for number, step in enumerate(steps, 1):
        if step.name not in redo and book.fresh(step):
            log.info("step %d/%d %s: done before", number, len(steps), step.name)
            continue
        log.info("step %d/%d %s", number, len(steps), step.name)
        began = time.monotonic()
        step.run()
        book.note(step)
        spent[step.name] = time.monotonic() - began
        log.info("step %d/%d %s: %.1f s", number, len(steps), step.name, spent[step.name])
    return spent


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder for this process.

    Raises:
        CaptureError: another process prepares it, or it cannot be written to.
    """
    try:
        (folder / WORK).mkdir(parents=True, exist_ok=True)
        lock = (folder / WORK / "lock").open("w")
    except OSError as error:
        raise CaptureError(
            f"cannot write to {folder}: {error.strerror}.\n  Choose a folder that you may write to."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CaptureError(
                f"{folder} is being prepared by another process; wait for it."
            ) from error
        yield
