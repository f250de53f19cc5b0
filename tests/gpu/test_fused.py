"""Fused stages on the GPU, against the same stages apart."""

import os
import subprocess
import sys
from pathlib import Path

from devices import GPU, needs

pytestmark = needs("triton")
CASES = Path(__file__).parents[1] / "stages" / "fused.py"


def test_a_fused_stage_moves_paints_and_learns_as_one_apart():
    asked = {"FUSE_BACKEND": "inductor", "FUSE_DEVICE": GPU}
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "--tb=short", str(CASES)]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
