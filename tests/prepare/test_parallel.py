from __future__ import annotations

import math
import operator
import os
import time

import pytest

from gstalker.prepare.parallel import ordered
from gstalker.process import quiet


def test_results_come_in_the_order_of_the_jobs() -> None:
    naps = [0.2, 0.0, 0.1, 0.0, 0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        assert list(ordered(operator.neg, naps, workers=2)) == [-n for n in naps]


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="math domain|nonnegative"):
        list(ordered(math.sqrt, [4.0, -1.0, 9.0], workers=2))


def test_one_worker_means_this_process() -> None:
    assert list(ordered(_where, [0, 0], workers=1)) == [os.getpid()] * 2


def test_quiet_silences_only_for_a_while(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        os.write(2, b"noise")
    os.write(2, b"signal")
    time.sleep(0)
    assert capfd.readouterr().err == "signal"


def _where(_: int) -> int:
    return os.getpid()
