"""Files that are whole or absent: written beside their place under a temporary name, then renamed.

Everything that outlives a process goes through here, so a killed run, a full disk or two writers
leave either the old file or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gstalker.errors import GSTalkerError

CHECKOUT = Path(__file__).parents[2]
"""Where ``configs/`` and ``experiments/`` lie if the package is installed from its sources, as by
``make``."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to ``path`` if the block succeeds.

    Raises:
        GSTalkerError: the folder cannot be written to or the disk is full; says which.
    """
    temporary: Path | None = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
            )
            os.close(handle)
            temporary = Path(name)
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of any trouble inside that ``path`` cannot be written.

    Raises:
        GSTalkerError: the folder cannot be written to or the disk is full; says which.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise GSTalkerError(
            f"cannot write {path}: {reason}.\n"
            "  Free some space, or choose a folder you may write to."
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path``, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON; NaN and infinity are refused, not written."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        GSTalkerError: it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise GSTalkerError(f"{path} cannot be read ({error}).") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        GSTalkerError: it cannot be read, is not JSON, or holds something else.
    """
    told = read_json(path)
    if not isinstance(told, dict):
        raise GSTalkerError(f"{path} is damaged: it holds {type(told).__name__}, not an object.")
    return told


def write_array(path: Path, array: np.ndarray) -> None:
    """Write ``array`` as ``.npy`` without pickling."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def plain_name(text: str) -> str:
    """A name that no shell, rsync or file system reads anything into.

    >>> plain_name("my_lab.faces:Embed"), plain_name("Zoë, take 2/3")
    ('my_lab.faces-Embed', 'Zoë--take-2-3')
    """
    return "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in text)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read a megabyte at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    """This process's mask for new files; reading it means setting it for a moment."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
