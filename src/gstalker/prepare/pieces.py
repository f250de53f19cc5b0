"""Long steps go piece by piece, and what a killed run had finished is not done again."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gstalker import files
from gstalker.prepare.parallel import ordered

Job = TypeVar("Job")


def resumed(
    function: Callable[[Job], np.ndarray], jobs: Sequence[Job], workers: int, folder: Path
) -> Iterator[np.ndarray]:
    """``ordered(function, jobs, workers)``, with each result kept in ``folder`` as it comes.

    Results are taken up again only if the jobs and the files that they name are the same. Call
    :func:`forget` when what they are for has been written.

    Args:
        function: makes an array of a job.
        jobs: dataclasses, whose paths are what the results depend on.
        workers: processes.
        folder: of the pieces; made if missing.
    """
    kept = folder / _key(jobs)
    for other in folder.glob("*"):
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)
    done = {k for k in range(len(jobs)) if _read(kept / f"{k}.npz") is not None}
    made = ordered(function, [job for k, job in enumerate(jobs) if k not in done], workers)
    for k in range(len(jobs)):
        rows = _read(kept / f"{k}.npz") if k in done else None
        if rows is None:
            rows = next(made)
            with files.replacing(kept / f"{k}.npz") as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, rows=rows)
        yield rows


def forget(folder: Path) -> None:
    """Take the pieces away."""
    shutil.rmtree(folder, ignore_errors=True)


def _key(jobs: Sequence[Any]) -> str:
    told = hashlib.sha256()
    for job in jobs:
        for value in dataclasses.asdict(job).values():
            told.update(repr(value).encode())
    paths = {v for job in jobs for v in dataclasses.asdict(job).values() if isinstance(v, Path)}
    for path in sorted(paths):
        stat = path.stat()
        told.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    return told.hexdigest()[:16]


def _read(path: Path) -> np.ndarray | None:
    try:
        with np.load(path, allow_pickle=False) as pack:
            rows: np.ndarray = pack["rows"]
            return rows
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
