"""Long steps go piece by piece, and what a killed run had finished is not done again."""

from __future__ import annotations

import dataclasses
import hashlib
import io
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


def grown(
    path: Path,
    key: str,
    shape: tuple[int, ...],
    make: Callable[[int], Iterator[np.ndarray]],
) -> Iterator[np.ndarray]:
    """Write ``uint8`` rows to ``path`` one by one, beginning with those that a killed run had made.

    They grow in a hidden file beside it, which is renamed when the last is taken. What a run of
    another key had begun is removed.

    Args:
        path: the ``.npy`` to make.
        key: of everything that the rows depend on; a name without slashes.
        shape: of all rows, ``(count, ...)``.
        make: rows from that number on.

    Yields:
        Every row.

    Raises:
        GSTalkerError: the file cannot be written.
        ValueError: ``make`` gives too few rows, or of another shape.
    """
    part = path.with_name(f".{path.stem}-{key}.part")
    for other in path.parent.glob(f".{path.stem}-*.part"):
        if other != part:
            other.unlink(missing_ok=True)
    header, size = _header(shape), int(np.prod(shape[1:]))
    with files.writing(path):
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("a+b") as file:
            done = max(file.tell() - len(header), 0) // size
            if not done:
                file.truncate(0)
                file.write(header)
            file.truncate(len(header) + done * size)
            file.seek(len(header))
            for _ in range(done):
                yield np.frombuffer(file.read(size), np.uint8).reshape(shape[1:])
            for row in make(done):
                if row.shape != shape[1:] or row.dtype != np.uint8 or done == shape[0]:
                    raise ValueError(f"expected {shape} uint8, but got a row of {row.shape}")
                file.write(np.ascontiguousarray(row).data)
                done += 1
                yield row
        if done != shape[0]:
            raise ValueError(f"expected {shape[0]} rows, but got {done}")
        part.replace(path)


def _header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    told = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, told)
    return buffer.getvalue()


def forget(folder: Path) -> None:
    """Take the pieces away."""
    shutil.rmtree(folder, ignore_errors=True)


def key_of(*told: Any) -> str:
    """A short name for what some rows depend on, whose ``repr`` tells all of it."""
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _key(jobs: Sequence[Any]) -> str:
    asked = [[_whole(value) for value in dataclasses.asdict(job).values()] for job in jobs]
    paths = sorted({value for values in asked for value in values if isinstance(value, Path)})
    stats = [(path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return key_of(asked, stats)


def _whole(value: Any) -> Any:
    """The same, with a ``repr`` that tells all of it: that of an array leaves most out."""
    if isinstance(value, dict):
        return {name: _whole(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
        return str(value.dtype), value.shape, content
    return value


def _read(path: Path) -> np.ndarray | None:
    try:
        with np.load(path, allow_pickle=False) as pack:
            rows: np.ndarray = pack["rows"]
            return rows
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
