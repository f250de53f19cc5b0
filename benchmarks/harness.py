"""Warm up, repeat, keep the least and the spread: machines are shared and noisy.

Here: the clock, what a measurement is, and the bench that collects measurements. What a time is
worth on this machine is ``yardstick``; how it is told is ``table``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.yardstick import Yardsticks
from gstalker import files
from gstalker.callbacks.provenance import machine_card
from gstalker.errors import GSTalkerError

Clock = Callable[[], float]
"""Seconds from some beginning."""
Counts = dict[str, float | str | None]
"""What does not depend on noise; a text says why there is no number."""

WHAT, VERSION = "gstalker benchmarks", 1
BUSY_LOAD = 0.5
"""A load average above this before we begin warns, in records that do not tell others' share."""
OTHERS = 0.02
"""Of the processors' time, a share that other programs took: above this, times carry a warning."""
STOLEN = 0.01
"""Of the processors' time, a share that a host took: above this, times carry a warning."""
LEAST_REPEATS = 5
WARM_UP = 3


@dataclass(frozen=True)
class Result:
    """One measured thing."""

    key: str
    """Its name in files; the same thing has the same key in every run."""
    title: str
    """Its name for people."""
    unit: str
    """ms, s, min, it/s, frames/s or MiB."""
    value: float
    """The headline: the least of times, the median of rates, the peak of memory."""
    least: float | None = None
    """Of times; of rates the one that goes with the least time."""
    median: float | None = None
    spread: float | None = None
    """From the first to the third quartile."""
    repeats: int = 1
    threads: int | None = None
    """That were allowed, where fewer than the bench's."""
    counts: Counts = field(default_factory=dict)
    """Entries, lanes, bytes, and whatever else is the same on every machine."""
    note: str = ""
    """What else to tell, such as a ratio to another result."""

    @property
    def time_ms(self) -> float | None:
        """Milliseconds for one of it; none for memory."""
        if self.unit.endswith("/s"):
            return 1e3 / self.value if self.value else None
        in_ms = {"ms": 1.0, "s": 1e3, "min": 6e4}
        return self.value * in_ms[self.unit] if self.unit in in_ms else None


def repeat(
    part: Callable[[], object],
    *,
    seconds: float,
    warm_up: int = WARM_UP,
    clock: Clock = time.perf_counter,
) -> list[float]:
    """Seconds of each call of ``part``, for about ``seconds`` and at least five calls."""
    for _ in range(warm_up):
        part()
    times: list[float] = []
    end = clock() + seconds
    while len(times) < LEAST_REPEATS or clock() < end:
        begin = clock()
        part()
        times.append(clock() - begin)
    return times


def time_result(key: str, title: str, times_s: Sequence[float], **more: Any) -> Result:
    """Milliseconds out of the seconds of single calls; the headline is the least."""
    first, median, third = (float(q) * 1e3 for q in np.percentile(times_s, [25, 50, 75]))
    least = min(times_s) * 1e3
    return Result(key, title, "ms", least, least, median, third - first, len(times_s), **more)


def rate_result(key: str, title: str, unit: str, times_s: Sequence[float], **more: Any) -> Result:
    """A rate out of the seconds of single steps; the headline is that of the median step."""
    first, median, third = (1 / float(q) for q in np.percentile(times_s, [25, 50, 75]))
    best = 1 / min(times_s)
    return Result(key, title, unit, median, best, median, first - third, len(times_s), **more)


class Bench:
    """Collects the measurements of one run.

    Args:
        seconds: spent on each measurement, about.
        clock: for tests, one that does as it is told.
    """

    def __init__(self, seconds: float = 2.0, clock: Clock = time.perf_counter) -> None:
        self.seconds = seconds
        self.clock = clock
        self.results: list[Result] = []

    def time(self, key: str, title: str, part: Callable[[], object], **more: Any) -> Result:
        """Measure one part."""
        times = repeat(part, seconds=self.seconds, clock=self.clock)
        return self.add(time_result(key, title, times, **more))

    def add(self, result: Result) -> Result:
        """Keep a result.

        Raises:
            ValueError: there is one of that key already.
        """
        if any(result.key == other.key for other in self.results):
            raise ValueError(f"expected every key once, but got '{result.key}' again")
        self.results.append(result)
        return result


# ---------------------------------------------------------------------- files


@dataclass(frozen=True)
class Ticks:
    """Seconds of all processors since they started, at one moment."""

    wall: float
    ours: float
    """Of this process and of those that it started and that have ended."""
    busy: float | None
    """Of every program; None where the system does not say."""
    stolen: float = 0.0
    """Given by a virtual machine's host to others."""

    @classmethod
    def now(cls, stat: Path = Path("/proc/stat")) -> Ticks:
        """Read the clocks."""
        wall = time.perf_counter() * (os.cpu_count() or 1)
        ours = sum(os.times()[:4])
        try:
            # of all processors: user, nice, system, idle, iowait, irq, softirq, steal; see proc(5)
            told = [int(ticks) for ticks in stat.read_text().splitlines()[0].split()[1:9]]
        except (OSError, IndexError, ValueError):
            told = []
        if len(told) < 8:
            return cls(wall, ours, None)
        second = os.sysconf("SC_CLK_TCK")
        busy = sum(told[:3]) + sum(told[5:7])
        return cls(wall, ours, busy / second, told[7] / second)


def machine(load: float, before: Ticks, after: Ticks) -> dict[str, Any]:
    """The machine's card: what it is, what runs on it, and how far it was left to us.

    Args:
        load: its load average before we began.
        before: its clocks then.
        after: its clocks at the end.
    """
    card = machine_card()
    del card["command"]  # the record has it
    wall = after.wall - before.wall
    others = None
    if before.busy is not None and after.busy is not None:
        others = round(max(after.busy - before.busy - (after.ours - before.ours), 0.0) / wall, 4)
    return {
        **card,
        "load": round(load, 2),
        "others": others,
        "stolen": round((after.stolen - before.stolen) / wall, 4),
        "date": time.strftime("%Y-%m-%d %H:%M:%S%z"),
    }


def warnings_of(record: dict[str, Any]) -> list[str]:
    """What a reader of a record must know before believing its times."""
    told = []
    load, others = record["machine"]["load"], record["machine"].get("others")
    if others is None and load > BUSY_LOAD:
        told.append(
            f"the load average was {load:.2f} before we began: "
            "something else was running, so times here are upper limits."
        )
    if others is not None and others > OTHERS:
        told.append(
            f"other programs took {others:.1%} of the processors' time meanwhile: "
            "times here are upper limits."
        )
    stolen = record["machine"].get("stolen", 0.0)
    if stolen > STOLEN:
        told.append(
            f"the host of this virtual machine took {stolen:.1%} of its processors' time: "
            "times of two threads, which wait for one another, suffer most."
        )
    drift = record["yardsticks"]["drift"]
    if drift > 0.1:
        told.append(
            f"the yardsticks before and after differ by {drift:.0%}: the machine was not the same "
            "throughout; compare counts rather than times."
        )
    return told


def as_record(
    command: str, machine_told: dict[str, Any], yardsticks: Yardsticks, results: Sequence[Result]
) -> dict[str, Any]:
    """One run as it stands in a file; numbers keep five digits."""
    told = {}
    for result in results:
        entry = {k: v for k, v in asdict(result).items() if v is not None and k != "key"}
        rooms = {
            "room_mflop": yardsticks.room_mflop(result.time_ms, result.threads),
            "room_mb": yardsticks.room_mb(result.time_ms),
        }
        told[result.key] = _rounded({**entry, **{k: v for k, v in rooms.items() if v is not None}})
    return {
        "what": WHAT,
        "version": VERSION,
        "command": without_folders(command),
        "machine": machine_told,
        "yardsticks": _rounded(yardsticks.as_dict()),
        "results": told,
    }


def kept_name(card: dict[str, Any], part: str, *, trained: bool = False) -> str:
    """What ``--keep`` calls a record: day, machine, part, and whether on a trained head.

    >>> kept_name({"date": "2026-11-22 18:00", "processor": "Abacus 2"}, "rasterize", trained=True)
    '2026-11-22-abacus-2-rasterize-head.json'
    """
    words = [card["date"][:10], slug(card["processor"])]
    words += [] if part == "card" else [part]
    return "-".join(words + ["head"] * trained) + ".json"


def without_folders(command: str) -> str:
    """A command whose files are named as they are called, wherever this machine keeps them.

    >>> without_folders("python -m benchmarks quality --capture /data/me/grid --points 1:0")
    'python -m benchmarks quality --capture grid --points 1:0'
    """
    return " ".join(Path(w).name if w.startswith("/") else w for w in command.split(" "))


def read_record(path: Path) -> dict[str, Any]:
    """A file that this program wrote.

    Raises:
        GSTalkerError: it cannot be read, or is not one.
    """
    record = files.read_json(path)
    if not isinstance(record, dict) or record.get("what") != WHAT:
        raise GSTalkerError(f"{path} is not a file of `python -m benchmarks`.")
    if record.get("version") != VERSION:
        raise GSTalkerError(
            f"{path} is of version {record.get('version')} of the benchmarks; this is {VERSION}.\n"
            "  Measure again."
        )
    return record


def slug(text: str) -> str:
    """Lower-case letters, digits and single dashes: fit for a file's name.

    >>> slug("Intel(R) Xeon(R) Processor @ 2.80GHz")
    'intel-r-xeon-r-processor-2-80ghz'
    """
    kept = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower())
    return "-".join(kept.split())


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return value
