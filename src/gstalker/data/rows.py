"""Rows of a ``.npy`` file, read one at a time with ``pread``: no mapping, no growing memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np


class Rows:
    """An array on disk; indexing reads one row. Safe to share between threads and processes.

    Args:
        path: of the file.

    Raises:
        ValueError: it is not a row-major ``.npy``, or is shorter or longer than its header says.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
            self.shape, fortran, self.dtype = (
                read(file) if read else np.lib.format.read_array_header_2_0(file)
            )
            self._offset = file.tell()
        if fortran:
            raise ValueError("columns first")
        self._row_bytes = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        self._path = path
        self._file: int | None = None
        if path.stat().st_size != self._offset + self._row_bytes * self.shape[0]:
            raise ValueError("shorter or longer than its header says")

    def __getitem__(self, index: int) -> np.ndarray:
        row = np.empty(self.shape[1:], self.dtype)
        at = self._offset + index * self._row_bytes
        if os.preadv(self._opened(), [row.reshape(-1).view(np.uint8).data], at) != self._row_bytes:
            raise ValueError(f"{self._path} has become shorter while it was read")
        return row

    def expect(self, index: int) -> None:
        """Have the system fetch a row that will be asked for soon; returns at once."""
        if not hasattr(os, "posix_fadvise"):
            return
        at = self._offset + index * self._row_bytes
        os.posix_fadvise(self._opened(), at, self._row_bytes, os.POSIX_FADV_WILLNEED)

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY)
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            os.close(self._file)  # type: ignore[arg-type]
