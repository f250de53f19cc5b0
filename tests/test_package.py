"""The package itself: its names, and what the command line does to its process."""

import importlib
import os
import subprocess
import sys

import pytest

import gstalker


@pytest.mark.parametrize("name", gstalker.__all__)
def test_every_name_for_notebooks_is_the_thing_itself(name):
    found = getattr(gstalker, name)
    assert found.__name__ == name
    assert getattr(importlib.import_module(found.__module__), name) is found


def test_a_name_that_is_not_ours_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'GaussianClout'"):
        gstalker.GaussianClout  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = "import gstalker, sys; print('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_tuned_process_keeps_the_memory_it_freed():
    code = """
import resource, sys
if sys.argv[1] == "tuned":
    from gstalker import process
    process.tune()
import numpy as np
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    np.ones(1 << 20)  # 8 MB: above glibc's threshold, which would give it back every time
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    # glibc raises its own threshold after the first large free, unless it is fixed: fix it low
    plain = {**environment, "MALLOC_MMAP_THRESHOLD_": "131072"}
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", code, how], env=env))
        for how, env in (("plain", plain), ("tuned", environment))
    }
    assert faults["tuned"] * 4 < faults["plain"]
