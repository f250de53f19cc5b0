"""Find, check and load the compiled kernels; say what to do where they are missing."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gstalker.errors import BackendMissing
from gstalker.native import build

ISA_VARIABLE = "GSTALKER_ISA"
"""Environment variable that overrides the choice of instruction set, for tests."""
BUILD_COMMAND = "python -m gstalker.native"


def load(isa: str | None = None) -> ctypes.CDLL:
    """The kernels for an instruction set: the given, that of ``GSTALKER_ISA``, or the best here.

    Raises:
        BackendMissing: not built, stale, or not for this processor; says the command to type.
    """
    return _load(isa or os.environ.get(ISA_VARIABLE) or best_isa())


@functools.cache
def _load(isa: str) -> ctypes.CDLL:
    if isa not in supported_isas():
        raise BackendMissing(
            f"kernels for '{isa}' cannot run on this processor, "
            f"which has: {', '.join(supported_isas())}."
        )
    path = build.library_path(isa)
    if not path.exists():
        raise BackendMissing(
            f"the native kernels are not built ({path} is missing).\n  Run: {BUILD_COMMAND}"
        )
    try:
        kernels = ctypes.CDLL(str(path))
        kernels.gst_source_hash.restype = ctypes.c_char_p
        found = kernels.gst_source_hash().decode()
    except (OSError, AttributeError) as error:
        raise BackendMissing(
            f"{path} cannot be loaded ({error}).\n  Run: {BUILD_COMMAND}"
        ) from error
    if found != build.source_hash():
        raise BackendMissing(
            f"{path} was built from other sources than these.\n  Run: {BUILD_COMMAND}"
        )
    return kernels


def available() -> bool:
    """Whether the kernels can be loaded."""
    try:
        load()
    except BackendMissing:
        return False
    return True


def takes(*tensors: Tensor | None) -> bool:
    """Whether the kernels can take these: float32, on the CPU, and they are built."""
    plain = all(t is None or (t.dtype == torch.float32 and t.is_cpu) for t in tensors)
    return plain and available()


def describe() -> str:
    """One line for records: the instruction set in use, or why there is none."""
    try:
        kernels = load()
    except BackendMissing as error:
        return str(error).splitlines()[0]
    kernels.gst_isa.restype = ctypes.c_char_p
    return f"{kernels.gst_isa().decode()} {build.source_hash()}"


@functools.cache
def supported_isas() -> tuple[str, ...]:
    """Instruction sets that this processor runs, the best first."""
    if build.instruction_sets() == ["generic"]:
        return ("generic",)
    capability = torch.backends.cpu.get_cpu_capability()
    level = {"AVX512": 0, "AVX2": 1}.get(capability, 2)
    return ("avx512", "avx2", "generic")[level:]


def best_isa() -> str:
    """The best instruction set of this processor."""
    return supported_isas()[0]


_limit = threading.local()


@contextlib.contextmanager
def limited(count: int) -> Iterator[None]:
    """Let the kernels that this Python thread calls use at most ``count`` threads.

    With one thread each, several frames can be drawn side by side.
    """
    before = getattr(_limit, "count", None)
    _limit.count = count
    try:
        yield
    finally:
        _limit.count = before


def threads() -> int:
    """Threads that a kernel may use: torch's, whose pool it shares, or fewer where limited."""
    limit = getattr(_limit, "count", None)
    return torch.get_num_threads() if limit is None else min(limit, torch.get_num_threads())


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """Address of a tensor's data for a kernel; None becomes a null pointer.

    Raises:
        ValueError: it is not on the CPU, or its rows do not lie one after the other.
    """
    if tensor is None:
        return ctypes.c_void_p(None)
    if not tensor.is_cpu or not tensor.is_contiguous():
        raise ValueError(
            "expected a contiguous CPU tensor, "
            f"but got one on {tensor.device} of strides {tensor.stride()}"
        )
    return ctypes.c_void_p(tensor.data_ptr())


LANES = 16
"""Numbers in a vector of the kernels."""


def columns(rows: int, width: int) -> Tensor:
    """Room for ``[rows, width]`` kept column by column, each with room for whole vectors."""
    return torch.empty(width, _room(rows))[:, :rows].T


def as_columns(tensor: Tensor) -> Tensor:
    """A tensor ``[rows, width]`` as :func:`columns` keeps it; the same one where it already is."""
    rows, width = tensor.shape
    end = tensor.storage_offset() + width * _room(rows)
    if tensor.stride() == (1, _room(rows)) and tensor.untyped_storage().nbytes() >= 4 * end:
        return tensor
    return columns(rows, width).copy_(tensor)


def _room(rows: int) -> int:
    return -(-rows // LANES) * LANES


def check(status: int, kernel: str) -> None:
    """Raise if a kernel refused its arguments."""
    if status:
        raise ValueError(f"kernel {kernel} refused its arguments (status {status})")


@functools.cache
def declare(kernels: ctypes.CDLL, name: str, *types: Any) -> Any:
    """A kernel's function with its argument types set."""
    function = getattr(kernels, name)
    function.argtypes = types
    function.restype = ctypes.c_int
    return function
