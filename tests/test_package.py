"""The package itself: its names, and what the command line does to its process."""

import ctypes
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


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc 2.33 tells what malloc has mapped"
)
def test_a_tuned_process_keeps_the_memory_it_freed():
    """What malloc maps by itself goes back to the kernel as soon as it is freed."""
    code = """
import ctypes, sys
from gstalker import process
if sys.argv[1] == "tuned":
    process.tune()
names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
class Told(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Told, ctypes.c_void_p
before = libc.mallinfo2().hblks
libc.malloc(ctypes.c_size_t(8 << 20))
print(libc.mallinfo2().hblks - before)
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    mapped = {
        how: int(subprocess.check_output([sys.executable, "-c", code, how], env=environment))
        for how in ("plain", "tuned")
    }
    assert mapped == {"plain": 1, "tuned": 0}


def test_a_stray_profiling_signal_does_not_end_the_program():
    code = """
import os, signal
from gstalker import process
process.tune()
os.kill(os.getpid(), signal.SIGPROF)
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "alive"
