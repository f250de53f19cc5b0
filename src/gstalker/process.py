"""Settings of this process that pay on a CPU, made once by the command line before work begins; and
its error stream, hushed while others chatter; and the memory that it took.

A library import must not make them, so a notebook does without. Measured: keeping freed memory
saves the page faults of every large temporary (5 to 25 % of a training step). OpenMP's waiting is
left as it is: our kernels share torch's pool, and workers that fall asleep between two kernels
(``GOMP_SPINCOUNT=1000``) cost 10 to 15 % of a step.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD_BYTES = 32 << 20
"""The most that glibc accepts."""
_TRIM_THRESHOLD_BYTES = 1 << 30


def tune() -> None:
    """Make the settings; what the environment already says stays."""
    ignore_profiling()
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # not glibc
    # glibc reads MALLOC_* variables when the process starts, which is over: hence the calls.
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)


def ignore_profiling() -> None:
    """Let a stray SIGPROF pass, whose default is to end the process.

    MediaPipe's library brings a profiler that may signal the process. Long runs that used it have
    been seen to end with "Profiling timer expired"; none did that ignored the signal.
    """
    if signal.getsignal(signal.SIGPROF) is signal.SIG_DFL:
        signal.signal(signal.SIGPROF, signal.SIG_IGN)


def peak_memory_mib() -> int:
    """The most memory that this process ever held, in MiB.

    Linux hands ``ru_maxrss`` on from the process that started this one, as it was when it did; the
    high-water mark in ``/proc`` is this one's own.
    """
    try:
        told = Path("/proc/self/status").read_text()
        return int(told.split("VmHWM:")[1].split()[0]) // 1024
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what C++ libraries write to the error stream nowhere; exceptions still come through."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
