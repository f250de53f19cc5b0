"""Figures that papers print, as data: ``experiments/reported/*.csv``, one file per paper.

Every figure carries its source and how sure we are of it. Papers disagree about the same method by
up to 5 dB, so what several of them print becomes a range and never a mean; a figure that one paper
copied from another is no second opinion and does not widen the range.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gstalker import files
from gstalker.errors import ConfigError
from gstalker.metrics.vocabulary import MINUTES, REPORTED, UNITS

FIELDS = (
    "method",
    "setting",
    "subject",
    "metric",
    "value",
    "unit",
    "paper",
    "table",
    "note",
    "sure",
)
SETTINGS = (
    "self-driven",
    "cross-driven",
    "seconds of video",
    "another data set",
    "ablation",
    "user study",
    "claim",
)
"""Figures of different settings never meet in one cell."""
SURE = {
    "paper": "seen in the paper's own text",
    "code": "seen in the authors' released source or README",
    "abstract": "seen in the abstract only",
    "note": "seen in a third party's copy of the table",
    "inferred": "our reading of an ambiguous place",
    "copied": "printed there, but it is another paper's figure",
}
FOLDER = Path("experiments/reported")


@dataclass(frozen=True)
class Figure:
    """One printed number."""

    method: str
    setting: str
    subject: str
    metric: str
    value: float
    bound: str
    """``<`` or ``>`` if the paper prints only a bound, else empty."""
    unit: str
    paper: str
    table: str
    note: str
    sure: str

    @property
    def amount(self) -> float:
        """The value in its column's unit: times in minutes."""
        return self.value * MINUTES.get(self.unit, 1.0)

    @property
    def source(self) -> str:
        """Paper and table."""
        return f"{self.paper}, {self.table}"


def read(path: Path) -> list[Figure]:
    """All figures of a file.

    Raises:
        ConfigError: the file or one of its rows is wrong; names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.reader(lines, strict=True)
            heading = next(reader, [])
            if tuple(heading) != FIELDS:
                raise ConfigError(
                    f"{path} begins with {', '.join(heading) or 'nothing'}.\n"
                    f"  Its first line must be: {','.join(FIELDS)}"
                )
            return [_figure(row, f"{path}, line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as CSV ({error}).") from error


def _figure(row: Sequence[str], where: str) -> Figure:
    if len(row) != len(FIELDS):
        raise ConfigError(f"{where}: {len(row)} fields, where {len(FIELDS)} are expected.")
    told = dict(zip(FIELDS, row, strict=True))
    for field, allowed in (
        ("metric", tuple(REPORTED)),
        ("unit", UNITS),
        ("setting", SETTINGS),
        ("sure", tuple(SURE)),
    ):
        if told[field] not in allowed:
            raise ConfigError(
                f"{where}: {field} is {told[field]!r}.\n  Known: {', '.join(allowed)}."
            )
    empty = [f for f in ("method", "subject", "paper", "table") if not told[f].strip()]
    if empty:
        raise ConfigError(f"{where}: {empty[0]} is empty; every figure needs its source.")
    bound = told["value"][:1] if told["value"][:1] in "<>" else ""
    try:
        value = float(told["value"][len(bound) :])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{where}: value {told['value']!r} is not a number.")
    wanted, unit = REPORTED[told["metric"]].unit, told["unit"]
    if unit != wanted and not (wanted == "min" and unit in MINUTES):
        raise ConfigError(f"{where}: {told['metric']} is in {unit}, where {wanted} is expected.")
    words = {field: told[field] for field in FIELDS if field != "value"}
    return Figure(**words, value=value, bound=bound)


def folder() -> Path:
    """Where the files are: below the working folder, or else below this program's checkout.

    Raises:
        ConfigError: they are in neither.
    """
    places = (FOLDER, files.CHECKOUT / FOLDER)
    for place in places:
        if place.is_dir():
            return place
    raise ConfigError(
        f"there is no folder {FOLDER} here with reported figures.\n"
        "  Run this where experiments/ is, or give the path of a .csv file."
    )


def choose(names: Sequence[str]) -> list[Figure]:
    """The figures that the names stand for.

    Args:
        names: each a path of a ``.csv``, the name of a file (``er-nerf``), a method (``ER-NeRF``),
            a method of one file (``er-nerf:ER-NeRF``), or ``all``.

    Raises:
        ConfigError: a name fits nothing; says which there are.
    """
    found: list[Figure] = []
    for name in names:
        found += [figure for figure in _named(name) if figure not in found]
    return found


def _named(name: str) -> Iterable[Figure]:
    if name.endswith(".csv"):
        return read(Path(name))
    paths = {path.stem: path for path in sorted(folder().glob("*.csv"))}
    stem, _, method = name.partition(":")
    if stem in paths:
        inside = read(paths[stem])
        figures = [f for f in inside if not method or f.method.lower() == method.lower()]
        methods = sorted({f.method for f in inside})
    else:
        everything = [figure for path in paths.values() for figure in read(path)]
        figures = [f for f in everything if name in ("all", f.method) or _same(name, f.method)]
        methods = sorted({f.method for f in everything})
    if not figures:
        raise ConfigError(
            f"nothing is reported under the name {name!r}.\n"
            f"  Files: {', '.join(paths)}.\n  Methods: {', '.join(methods)}."
        )
    return figures


def _same(name: str, method: str) -> bool:
    return name.lower() == method.lower()
