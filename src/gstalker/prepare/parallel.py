"""Work spread over processes, results in order, memory bounded.

Processes are spawned, not forked: MediaPipe's and decord's threads do not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_MOST_WORKERS = 8
_FEWEST_FRAMES = 200


def worker_count(asked: int) -> int:
    """How many processes ``asked`` means: itself, or one per core that we may use."""
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return asked if asked > 0 else min(usable, _MOST_WORKERS)


def spread_over(frames: int, workers: int) -> int:
    """How many of ``workers`` are worth starting: it costs as much as a few hundred frames."""
    return workers if frames >= _FEWEST_FRAMES else 1


def ordered(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[Result]:
    """``map(function, jobs)`` over processes; at most two results a worker wait to be taken.

    With one worker or one job everything happens in this process.
    """
    if workers <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _start, (os.getpid(),))
    waiting: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(function, job))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when it is gone, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_IGN)  # see ``process.ignore_profiling``

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
