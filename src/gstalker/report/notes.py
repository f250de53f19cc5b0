"""What stands beneath a table, in sentences: how to read it, its protocols, what it was made of."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from gstalker.metrics import protocol
from gstalker.metrics.catalogue import OF_FILMS
from gstalker.metrics.vocabulary import Column
from gstalker.report import cells, costs, protocols
from gstalker.report.grid import DAGGER, Line
from gstalker.report.reported import SURE
from gstalker.report.significance import Difference, Over
from gstalker.report.sources import CONTROLS, OURS, Row, Trial

_APART = ("words", "fingerprint", "same_frames", "cautions", "frames_file")
"""Of a protocol: told elsewhere, or of no use to a reader."""


def beneath(rows: Sequence[Row], lines: Sequence[Line], columns: Sequence[Column]) -> list[str]:
    """What ± and marks mean, and the protocols."""
    told = []
    spreads = dict.fromkeys(cell.over for line in lines for cell in line.cells if cell.over)
    if spreads:
        told.append("±: " + "; ".join(f"{name}: {cells.OVER[name]}" for name in spreads) + ".")
    if any(rank for line in lines for rank in line.ranks):
        aims = [f"{c.title} is best at {c.aim:g}" for c in columns if c.aim is not None]
        told.append("; ".join(["Ranked among cells of one protocol only", *aims]) + ".")
    if any(line.kind == "reported" for line in lines):
        told.append(
            f"{DAGGER} printed in a paper: other subjects, crops, landmarks and machines; not "
            "comparable with the other rows; n/a there: not printed. A range: several papers "
            "disagree. In brackets, how it is known: "
            + "; ".join(f"{k}: {v}" for k, v in SURE.items())
            + "."
        )
    return told + _protocol_lines(rows) + _of_films(rows, columns)


def differences(
    lines: Sequence[Line], columns: Sequence[Column], over: Over, base: str
) -> list[str]:
    """Every line's differences from the row called ``base``, in words."""
    how = {
        "frames": "paired over frames, takes or stretches resampled; says nothing of other seeds",
        "seeds": "Welch's test over seeds within captures",
    }[over]
    told = [f"Differences from {base}: {how}; p two-sided, after Holm over the rows of a column."]
    for line in lines:
        parts, without = [], dict[str, list[str]]()
        for column, test in zip(columns, line.tests, strict=False):
            if isinstance(test, Difference):
                digits = column.digits + 1
                parts.append(
                    f"{column.title} {test.mean:+.{digits}f} ± {test.stderr:.{digits}f}, "
                    f"{'p < 0.001' if test.p < 0.001 else f'p = {test.p:.2g}'} (n {test.n})"
                )
            elif test:
                without.setdefault(test, []).append(column.title)
        parts += [f"n/a for {', '.join(names)}: {why}" for why, names in without.items()]
        if parts:
            told.append(f"{line.name}: {'; '.join(parts)}.")
    return told


def _protocol_lines(rows: Sequence[Row]) -> list[str]:
    """The first protocol whole, and where the others differ from it."""
    known: dict[str, dict] = {}
    for row in rows:
        for trial in row.trials:
            if trial.words:
                known.setdefault(trial.protocol, trial.words)
    told = []
    for number, (key, words) in enumerate(known.items()):
        first = next(iter(known.values()))
        if number == 0 and "split" in words:
            told += _of_captures(rows, key)
        elif number == 0:
            knobs = [
                f"{k} {json.dumps(v) if isinstance(v, dict | list) else v}"
                for k, v in words.items()
                if k not in _APART and v is not None and v is not False and v not in ("", {}, [])
            ]
            fixed = [f"{k}: {v}" for k, v in dict(words.get("words") or {}).items()]
            told.append(f"Protocol {key[:12]}: {', '.join(knobs)}. {'; '.join(fixed)}.")
        else:
            lines = protocols.differences(first, words) or ["in what it does not say"]
            told.append(f"Protocol {key[:12]} differs: {'; '.join(lines)}.")
    return told + _cautions(rows)


_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def _cautions(rows: Sequence[Row]) -> list[str]:
    """What to know of the rows that are shown; cautions that differ in numbers alone are one."""
    alike: dict[tuple[str, ...], dict[str, list[list[str]]]] = {}
    for row in rows:
        for trial in row.trials:
            for caution in map(str, trial.words.get("cautions") or ()):
                entry, colon, text = caution.partition(": ")
                if not colon or entry not in (OURS, *CONTROLS, trial.entry):
                    name, text = "", caution  # of the file, or of a row that somebody named
                elif entry != trial.entry:
                    continue  # of a row that is not shown, or shown as a row of its own
                else:
                    name = row.name
                by_name = alike.setdefault(tuple(_NUMBER.split(text)), {})
                by_name.setdefault(name, []).append(_NUMBER.findall(text))
    told = []
    for between, by_name in alike.items():
        found = [numbers for several in by_name.values() for numbers in several]
        spans = [_span(values) for values in zip(*found, strict=True)]
        text = "".join(word for pair in zip(between, [*spans, ""], strict=True) for word in pair)
        names = ", ".join(filter(None, by_name))
        told.append(f"Caution: {names}{': ' if names else ''}{text}.")
    return told


def _span(values: Sequence[str]) -> str:
    """Numbers as they stand, from the least to the most."""
    ends = min(values, key=float), max(values, key=float)
    return ends[0] if float(ends[0]) == float(ends[1]) else " to ".join(ends)


def _of_captures(rows: Sequence[Row], key: str) -> list[str]:
    """One protocol as it was carried out on each capture."""
    there = [(row.name, trial) for row in rows for trial in row.trials]
    there = [(name, t) for name, t in there if t.protocol == key and "split" in t.words]
    captures = list(dict.fromkeys(trial.capture for _, trial in there))
    told = []
    for capture in captures:
        shown = [(name, trial) for name, trial in there if trial.capture == capture]
        words = {**shown[-1][1].words, "landmark_misses": _missed(shown), "cautions": []}
        whole = protocol.sentence(words)
        told.append(f"On {capture}: {whole}" if len(captures) > 1 else whole)
    return told


def _missed(shown: Sequence[tuple[str, Trial]]) -> dict[str, str]:
    """Frames without a face: the truth's, and those of every row that has any."""
    found: dict[str, list[str]] = {}
    for name, trial in shown:
        misses = trial.words.get("landmark_misses") or {}
        for row, entry in (("truth", "truth"), (name, trial.entry)):
            if entry in misses:
                found.setdefault(row, []).append(str(misses[entry]))
    spans = {row: _span(counts) for row, counts in found.items()}
    whole = [row for row, span in spans.items() if span == "0" and row != "truth"]
    rest = "all others" if len(spans) > len(whole) + 1 else "renderings"
    told = {row: span for row, span in spans.items() if row not in whole}
    return {**told, rest: "0"} if whole else told


def _of_films(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """How films with other people's sound were scored, where a column is about them."""
    if not any(column.name.startswith(OF_FILMS) for column in columns):
        return []
    return list(dict.fromkeys(text for row in rows for t in row.trials for text in t.films))


def made_of(rows: Sequence[Row]) -> list[str]:
    """Which files were read, and what made them; controls are their head's own files."""
    told: dict[tuple[str, ...], str] = {}
    for row in rows:
        there = {str(t.source): t for t in row.trials if t.figures or t.source.is_dir()}
        made = sorted({words for t in there.values() if (words := costs.made_by(t.folder))})
        text = f"{row.name}, {row.kind}: {', '.join(there)}{'; ' if made else ''}{'; '.join(made)}."
        if there:
            told.setdefault(tuple(sorted(there)), text)
    return list(told.values())
