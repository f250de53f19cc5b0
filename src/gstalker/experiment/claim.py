"""One process at a time works on a run, however many were started.

The claim is a lock that the kernel holds for the process and drops with it, so a killed process
leaves nothing to clean up. It is an ``flock``: on a cluster the run folders must lie on a file
system that shares such locks between nodes, as NFS, Lustre (``-o flock``) and GPFS do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from gstalker.errors import Claimed, GSTalkerError

PATIENCE_S = 1.0
"""Somebody who only looks whether it is claimed holds it for a moment."""
_PAUSE_S = 0.02


@contextlib.contextmanager
def claim(path: Path, what: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the claim while the block runs.

    Args:
        path: the lock's file; it stays behind and means nothing by itself.
        what: for the message: ``run x``.
        patience_s: how long to wait for it.

    Raises:
        Claimed: another process holds it; says which.
        GSTalkerError: there can be no lock here.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise GSTalkerError(f"cannot write {path}: {error.strerror}.") from error
    with file:
        deadline = time.monotonic() + patience_s
        while not _locked(file.fileno(), fcntl.LOCK_EX, path):
            if time.monotonic() > deadline:
                raise Claimed(f"{what} is being worked on by {_told(path)}.")
            time.sleep(_PAUSE_S)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def holder(path: Path) -> str | None:
    """Who holds the claim, for people; ``None`` if nobody does."""
    try:
        file = path.open()
    except OSError:
        return None
    with file:
        return None if _locked(file.fileno(), fcntl.LOCK_SH, path) else _told(path)


def _locked(handle: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise GSTalkerError(
            f"{path} cannot be locked ({error.strerror}): two processes could train the same run.\n"
            "  Choose a folder for runs on another file system: --out FOLDER"
        ) from error
    return True


def _told(path: Path) -> str:
    return path.read_text() or "another process"
