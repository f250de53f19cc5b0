"""What a process tells of itself."""

import subprocess
import sys

import numpy as np

TELL = "from gstalker import process; print(process.peak_memory_mib())"


def told_by(code):
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def test_the_memory_told_is_what_was_held_at_most():
    alone = told_by(TELL)
    assert alone + 250 < told_by(f"held = bytearray(300 << 20); del held; {TELL}") < alone + 350


def test_the_memory_told_is_not_that_of_who_started_the_process():
    held = np.ones((700, 1 << 17))
    assert 5 < told_by(TELL) < held.nbytes >> 20
