"""``au.csv``: OpenFace's table of facial action units, one row a frame.

Its header has a space before every column but the first, and readers ask for ``' AU45_r'``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gstalker import files
from gstalker.errors import CaptureError
from gstalker.prepare.tracking.head import nearest_good

FULL_BLINK = 2.0
"""AU45 from which every reader takes the eye for shut (ER-NeRF, TalkingGaussian: clipped there)."""
OPENED_PER_RATIO = 10.0
"""Our AU25 per inner-lip gap in outer-eye distances: 1.5 for a mouth wide open in speech. Its scale
is ours; TalkingGaussian uses only its order and its 95th percentile."""
NOT_MEASURED = ("AU01", "AU04", "AU05", "AU06", "AU07")
"""Columns that TalkingGaussian and InsTaG read and that no signal of a capture tells."""


@dataclass(frozen=True)
class Table:
    """The file as text, so that what is not understood is not lost."""

    header: list[str]
    """Stripped."""
    rows: list[list[str]]

    def column(self, name: str) -> np.ndarray | None:
        """A column as numbers, ``float64 [rows]``; ``None`` where there is none of that name."""
        if name not in self.header:
            return None
        at = self.header.index(name)
        return np.array([float(row[at]) for row in self.rows])


def read(path: Path) -> Table:
    """Read a table.

    Raises:
        CaptureError: it is empty, a row is shorter than the header, or a value is no number.
    """
    try:
        with path.open(newline="") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CaptureError(f"{path.name} cannot be read ({error}).") from error
    if len(lines) < 2:
        raise CaptureError(f"{path.name} has no rows.")
    table = Table(lines[0], lines[1:])
    for number, row in enumerate(table.rows):
        if len(row) != len(table.header):
            raise CaptureError(
                f"{path.name}: row {number} has {len(row)} values for {len(table.header)} columns."
            )
    for name in ("frame", "success", "AU45_r"):
        try:
            table.column(name)
        except ValueError as error:
            raise CaptureError(f"{path.name}: column {name}: {error}.") from error
    return table


def rows_of_frames(
    table: Table, count: int, by: Literal["auto", "position", "frame"], file: str = "au.csv"
) -> list[list[str] | None]:
    """The row of each of ``count`` frames; ``None`` where the table has none.

    Raises:
        CaptureError: too few rows; or the ``frame`` column says that one was lost or doubled, and
            nobody has said what to believe.
    """
    numbers = table.column("frame")
    if by == "frame":
        if numbers is None:
            raise CaptureError(f"{file} has no frame column; say au_rows=position")
        found = {int(n) - 1: row for n, row in zip(numbers, table.rows, strict=True)}
        return [found.get(i) for i in range(count)]
    if numbers is not None and by == "auto":
        wrong = np.flatnonzero(numbers != np.arange(1, len(numbers) + 1))
        if len(wrong):
            raise CaptureError(
                f"{file}: row {wrong[0]} (from 0) says frame {numbers[wrong[0]]:g} where "
                f"{wrong[0] + 1} was expected: a detection was lost or doubled, and all readers "
                "take rows by position.\n"
                "  Run OpenFace again, or say what to believe: au_rows=frame or au_rows=position"
            )
    if len(table.rows) < count:
        raise CaptureError(
            f"{file} has {len(table.rows)} rows for {count} frames; run OpenFace on the same video."
        )
    return list(table.rows[:count])


def without_gaps(table: Table, rows: Sequence[list[str]]) -> tuple[list[list[str]], int]:
    """Rows whose AU45 is a number; one that tells none is the nearest that does, ``success`` 0.

    Returns:
        The rows, and how many were repeated.
    """
    closing = Table(table.header, list(rows)).column("AU45_r")
    if closing is None or np.isfinite(closing).all() or not np.isfinite(closing).any():
        return list(rows), 0
    good = np.isfinite(closing)
    whole = []
    for k, at_best in enumerate(nearest_good(good, [(0, len(rows))])):
        if good[k]:
            whole.append(rows[k])
            continue
        near = rows[at_best]
        own = {"success": "0", "timestamp": f"{k / 25:.3f}"}
        whole.append([own.get(name, near[at]) for at, name in enumerate(table.header)])
    return whole, int((~good).sum())


def eye_opening(au45: np.ndarray, open_ratio: float) -> np.ndarray:
    """AU45 as an eye opening: ``open_ratio`` at 0, shut at 2 (readers clip there)."""
    return open_ratio * (1 - np.clip(au45, 0, FULL_BLINK) / FULL_BLINK)


def au45(eye: np.ndarray, open_ratio: float) -> np.ndarray:
    """Inverse of :func:`eye_opening`; wider open than ``open_ratio`` is 0, as OpenFace's is."""
    shut = np.clip(1 - np.nan_to_num(eye, nan=open_ratio) / open_ratio, 0, 1)
    return FULL_BLINK * shut


def measured(eye: np.ndarray, mouth: np.ndarray, open_ratio: float) -> Table:
    """A table of what a capture knows: AU45 from the lids, AU25 from the lips, the rest 0.

    Args:
        eye: ``[F]`` eye opening.
        mouth: ``[F]`` mouth opening.
        open_ratio: opening of an open eye.
    """
    units = dict.fromkeys(NOT_MEASURED, np.zeros(len(eye)))
    units["AU25"] = np.clip(OPENED_PER_RATIO * np.nan_to_num(mouth), 0, 5)
    units["AU45"] = au45(eye, open_ratio)
    names = sorted(units)
    header = ["frame", "face_id", "timestamp", "confidence", "success"]
    rows = [
        [str(i + 1), "0", f"{i / 25:.3f}", "0.98", "1", *(f"{units[n][i]:.2f}" for n in names)]
        for i in range(len(eye))
    ]
    return Table([*header, *(f"{name}_r" for name in names)], rows)


def write(path: Path, table: Table, rows: Sequence[list[str]]) -> None:
    """Write some rows of a table, the ``frame`` column counted from 1."""
    at = table.header.index("frame") if "frame" in table.header else None
    lines = [", ".join(table.header)]
    for number, row in enumerate(rows):
        cells = list(row)
        if at is not None:
            cells[at] = str(number + 1)
        lines.append(", ".join(cells))
    files.write_text(path, "\n".join(lines) + "\n")
