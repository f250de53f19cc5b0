"""What this machine can do at most, measured in the same run as everything else.

**How a time is told beside a yardstick.** ``room = time x peak rate``, in Mflop: the multiply-adds
(counted as two) that would have fitted into the time, on the threads that were allowed. A part
that takes 4 ms where the peak is 235 GFLOP/s has a room of 940 Mflop, and about the same room
on a slower machine and in a noisy hour, for the peak falls with it; less room is faster code. A
part that moves much and calculates little is told by the other yardstick: ``room_mb = time x
bandwidth``, what could have been read meanwhile on all threads. Where it is known how many bytes a
part must move, ``bytes / bandwidth`` is the time that the moving alone takes. Both yardsticks are
taken before and after the parts, the better of the two counts, and ``drift`` says how far apart
they were.

The kernels are in ``native/src/yardstick.cpp``.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from gstalker.native import library

ROUNDS = 1_000_000
"""Of the multiply-add chains in one call: some milliseconds."""
LEAST_BYTES, MOST_BYTES = 256 << 20, 1 << 30
CACHES = 4
"""The array that is streamed is at least so many times the last cache."""

_P, _I, _L, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float


@dataclass(frozen=True)
class Yardsticks:
    """Peak rates of this machine with these threads."""

    threads: int
    fma_one_gflops: float
    """Float32 multiply-adds on one thread, two operations each."""
    fma_all_gflops: float
    """On all threads."""
    read_gb_s: float
    """Reading an array much larger than the last cache, all threads."""
    triad_gb_s: float
    """``a = b + s c`` over such arrays, all threads; three arrays counted."""
    drift: float = 0.0
    """Largest relative difference between the two times they were taken."""

    def peak_gflops(self, threads: int | None = None) -> float:
        """Of so many threads: between one and all it grows evenly."""
        n = min(threads or self.threads, self.threads)
        if self.threads == 1 or n == self.threads:
            return self.fma_all_gflops
        step = (self.fma_all_gflops - self.fma_one_gflops) / (self.threads - 1)
        return self.fma_one_gflops + (n - 1) * step

    def room_mflop(self, time_ms: float | None, threads: int | None = None) -> float | None:
        """Operations that would have fitted into a time: milliseconds x GFLOP/s."""
        return None if time_ms is None else time_ms * self.peak_gflops(threads)

    def room_mb(self, time_ms: float | None) -> float | None:
        """Megabytes that could have been read in a time: milliseconds x GB/s."""
        return None if time_ms is None else time_ms * self.read_gb_s

    def as_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def best(before: Yardsticks, after: Yardsticks) -> Yardsticks:
    """The better of the two in every rate, and how far apart they were."""
    rates = ("fma_one_gflops", "fma_all_gflops", "read_gb_s", "triad_gb_s")
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in rates}
    drift = max(1 - min(pair) / max(pair) for pair in pairs.values())
    return Yardsticks(before.threads, **{n: max(pair) for n, pair in pairs.items()}, drift=drift)


def measure(
    threads: int, *, seconds: float = 0.3, rounds: int = ROUNDS, stream_bytes: int | None = None
) -> Yardsticks:
    """Take all yardsticks.

    Args:
        threads: that "all" means.
        seconds: for each.
        rounds: of the chains in one call.
        stream_bytes: length of the streamed array; by the last cache, if not given.

    Raises:
        BackendMissing: the kernels are not built.
    """
    buffer = torch.ones((stream_bytes or _stream_bytes()) // 4)
    third = len(buffer) // 3
    b, c, out = buffer[:third], buffer[third : 2 * third], buffer[2 * third : 3 * third]
    return Yardsticks(
        threads,
        _peak(lambda: fma(rounds, 0.5, 1.0, 1)[1], seconds),
        _peak(lambda: fma(rounds, 0.5, 1.0, threads)[1], seconds),
        _peak(lambda: read(buffer, threads)[1], seconds),
        _peak(lambda: triad(b, c, 0.5, out, threads), seconds),
    )


def fma(rounds: int, a: float, b: float, threads: int) -> tuple[float, float]:
    """Run the chains: checksum, and operations done."""
    kernel = library.declare(library.load(), "gst_yardstick_fma", _L, _F, _F, _I, _P, _P)
    checksum, flop = ctypes.c_double(), ctypes.c_double()
    status = kernel(rounds, a, b, threads, ctypes.byref(checksum), ctypes.byref(flop))
    library.check(status, "gst_yardstick_fma")
    return checksum.value, flop.value


def read(values: torch.Tensor, threads: int) -> tuple[float, float]:
    """Read an array once: its sum, and bytes read."""
    return _stream(values, None, 0.0, None, threads)


def triad(b: torch.Tensor, c: torch.Tensor, s: float, out: torch.Tensor, threads: int) -> float:
    """``out = b + s c``: bytes moved."""
    return _stream(b, c, s, out, threads)[1]


def _stream(
    x: torch.Tensor, y: torch.Tensor | None, s: float, out: torch.Tensor | None, threads: int
) -> tuple[float, float]:
    if any(t is not None and (len(t) != len(x) or t.dtype != torch.float32) for t in (x, y, out)):
        raise ValueError("expected float32 arrays of one length")
    kernel = library.declare(
        library.load(), "gst_yardstick_bandwidth", _L, _P, _P, _F, _P, _I, _P, _P
    )
    checksum, moved = ctypes.c_double(), ctypes.c_double()
    p = library.pointer
    refs = ctypes.byref(checksum), ctypes.byref(moved)
    library.check(kernel(len(x), p(x), p(y), s, p(out), threads, *refs), "gst_yardstick_bandwidth")
    return checksum.value, moved.value


def _peak(work: Callable[[], float], seconds: float) -> float:
    """Billions per second of what ``work`` says it did, in its fastest call."""
    work()
    fastest, end = 0.0, time.perf_counter() + seconds
    while not fastest or time.perf_counter() < end:
        begin = time.perf_counter()
        done = work()
        fastest = max(fastest, done / (time.perf_counter() - begin))
    return fastest / 1e9


def _stream_bytes(cache: Path = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")) -> int:
    """Length of an array that the last cache cannot help with."""
    try:
        last = int(cache.read_text().strip().removesuffix("K")) << 10
    except (OSError, ValueError):
        last = 0
    return min(max(LEAST_BYTES, CACHES * last), MOST_BYTES)
