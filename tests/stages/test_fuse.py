"""When stages are fused, and that a fused one is the same; the cases are in ``fused.py``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gstalker.stages import fuse

CASES = Path(__file__).with_name("fused.py")


def passes(backend, device):
    """Run the cases where no call's shapes are checked: what does so cannot be traced."""
    asked = {"FUSE_BACKEND": backend, "FUSE_DEVICE": device}
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "--tb=short", str(CASES)]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


@pytest.mark.slow
def test_a_fused_stage_traced_as_for_a_gpu_moves_paints_and_learns_as_one_apart():
    passes("aot_eager", "cpu")


@pytest.mark.slow
def test_a_fused_stage_compiled_moves_paints_and_learns_as_one_apart():
    passes("inductor", "cpu")


def test_stages_on_a_cpu_stay_as_they_are():
    assert not fuse.wanted("cpu")


def test_without_triton_a_gpu_stays_unfused_and_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setattr(fuse.importlib.util, "find_spec", lambda name: None)
    assert not fuse.wanted("cuda")
    assert "pip install triton" in caplog.text
