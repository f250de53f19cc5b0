"""How measurements are told: Markdown tables, and the README's own."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from benchmarks.card import (
    GAUSSIANS,
    SIZE,
    TARGET_GFLOPS,
    TARGET_READ_GB_S,
    TARGETS,
    estimate,
    reaches,
)
from benchmarks.harness import warnings_of
from gstalker.errors import GSTalkerError

OPEN, CLOSE = "<!-- speed -->", "<!-- /speed -->"
"""The README's part between these two is ours."""
ROOM = (
    "room: the time x this machine's peak rate, that is the operations (a multiply-add counts two) "
    "that would have fitted into it, and the time x its reading of memory, the bytes that could "
    "have been read meanwhile; less is better code, and comparable between machines."
)


def report(record: dict[str, Any]) -> str:
    """All that is told of one run."""
    warned = [f"WARNING: {text}" for text in warnings_of(record)]
    parts = [*warned, heading(record), results_table(record), ROOM]
    if promises(record):
        parts += [promise_table(record), promise_note(record)]
    return "\n\n".join(parts)


def heading(record: dict[str, Any]) -> str:
    """The machine and its yardsticks, in two lines."""
    card, sticks = record["machine"], record["yardsticks"]
    return (
        f"{card['processor']}, {sticks['threads']} threads, kernels {card['kernels']}, "
        f"torch {card['packages']['torch']}, load {card['load']:.2f}, {card['date']}\n"
        f"yardsticks: {sticks['fma_all_gflops']:.0f} GFLOP/s "
        f"({sticks['fma_one_gflops']:.0f} on one thread), "
        f"reading {sticks['read_gb_s']:.0f} GB/s, triad {sticks['triad_gb_s']:.0f} GB/s, "
        f"drift {sticks['drift']:.0%}"
    )


def results_table(record: dict[str, Any]) -> str:
    """One line per measurement, its counts and what else there is at the end."""
    lines = [
        "| what | value | least | median | spread | repeats | room Mflop | room MB | beside |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in record["results"].values():
        cells = [
            entry["title"],
            f"{number(entry['value'])} {entry['unit']}",
            *(number(entry.get(name)) for name in ("least", "median", "spread")),
            str(entry["repeats"]),
            number(entry.get("room_mflop")),
            number(entry.get("room_mb")),
            "; ".join(filter(None, (entry.get("note"), counts_told(entry["counts"], record)))),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def counts_told(counts: dict[str, Any], record: dict[str, Any]) -> str:
    """Counts in one cell; of bytes also the time that moving them must take."""
    told = []
    texts: dict[str, list[str]] = {}
    for name, value in counts.items():
        if isinstance(value, str):
            texts.setdefault(value, []).append(name)
        elif value is not None:
            least = value / record["yardsticks"]["read_gb_s"] / 1e6
            told.append(f"{name} {value:,}")
            told[-1] += f" (>= {least:.2f} ms)" if name.startswith("bytes") else ""
    told += [f"{' and '.join(names)} {text}" for text, names in texts.items()]
    return "; ".join(told)


def number(value: float | None) -> str:
    """Three digits or so; a dash for none.

    >>> number(3.14159), number(31.4159), number(31415.9), number(None)
    ('3.14', '31.4', '31,416', '-')
    """
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


# ---------------------------------------------------------------------- promises


def promises(record: dict[str, Any]) -> list[str]:
    """The keys of a record that something was promised of: of that size and no other."""

    def fits(counts: dict[str, Any]) -> bool:
        return counts.get("side") == SIZE and counts.get("gaussians", GAUSSIANS) == GAUSSIANS

    return [k for k in TARGETS if k in record["results"] and fits(record["results"][k]["counts"])]


def promise_table(record: dict[str, Any]) -> str:
    """Measured beside promised; where this machine is the slower one, also an estimate."""
    entries = {key: record["results"][key] for key in promises(record)}
    sticks = None if warnings_of(record) else record["yardsticks"]  # of a busy machine they lie
    guesses = {k: sticks and estimate(e["value"], e["unit"], sticks) for k, e in entries.items()}
    guessed = any(guess is not None for guess in guesses.values())
    head = ["what", "measured", "spread", "room Mflop", "room MB", "required", "aim", "reached"]
    head += [f"estimate at {TARGET_GFLOPS:.0f} GFLOP/s"] if guessed else []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for key, entry in entries.items():
        target = TARGETS[key]
        cells = [
            target.title,
            f"{number(entry['value'])} {entry['unit']}",
            number(entry.get("spread")),
            number(entry.get("room_mflop")),
            number(entry.get("room_mb")),
            number(target.required),
            number(target.aim),
            reaches(key, entry["value"]),
        ]
        cells += [f"{number(guesses[key])} {entry['unit']}"] if guessed else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def promise_note(record: dict[str, Any]) -> str:
    """Where the targets come from, and what an estimate is."""
    sticks = record["yardsticks"]
    text = (
        f"Targets were set on two Zen 4 cores: {TARGET_GFLOPS:.0f} GFLOP/s, "
        f"reading {TARGET_READ_GB_S:.0f} GB/s."
    )
    if warnings_of(record):
        return f"{text} No estimate is made for them: this machine was not left alone."
    if sticks["fma_all_gflops"] < TARGET_GFLOPS:
        return (
            f"{text} This machine's peak is {sticks['fma_all_gflops']:.0f} GFLOP/s; the last "
            "column is an estimate by that ratio alone, not a measurement."
        )
    slower = sticks["read_gb_s"] < TARGET_READ_GB_S
    memory = (
        f", though it reads only {sticks['read_gb_s']:.0f} GB/s; no estimate is made"
        if slower
        else ""
    )
    return f"{text} This machine's peak is not lower ({sticks['fma_all_gflops']:.0f}){memory}."


# ---------------------------------------------------------------------- the README


def readme_part(record: dict[str, Any], file: str) -> str:
    """What stands between the README's marks, and the marks.

    Raises:
        GSTalkerError: the record promises nothing; it is not ``card``'s.
    """
    if not promises(record):
        raise GSTalkerError(f"{file} was not left by `python -m benchmarks card`.")
    card, sticks = record["machine"], record["yardsticks"]
    told = [
        f"{card['processor']}, {sticks['threads']} threads, {sticks['fma_all_gflops']:.0f} GFLOP/s "
        f"at most, reading {sticks['read_gb_s']:.0f} GB/s, load {card['load']:.2f} before, "
        f"{card['date'][:10]}. Times are the least, rates the median. {promise_note(record)} "
        f"{ROOM[0].upper()}{ROOM[1:]}",
        *(f"Warning: {text}" for text in warnings_of(record)),
    ]
    return "\n".join(
        [
            OPEN,
            f"{SIZE} x {SIZE} pixels, {GAUSSIANS:,} Gaussians, printed by these commands:",
            "",
            "```console",
            f"{record['command']}",
            f"python -m benchmarks table benchmarks/results/{file}",
            "```",
            "",
            promise_table(record),
            "",
            "\n\n".join(textwrap.fill(text, 100, break_on_hyphens=False) for text in told),
            CLOSE,
        ]
    )


def replaced(text: str, part: str, name: str) -> str:
    """A README with its marked part replaced.

    Raises:
        GSTalkerError: the marks are not there, once.
    """
    pattern = re.compile(f"{re.escape(OPEN)}.*?{re.escape(CLOSE)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise GSTalkerError(f"{name} needs the marks {OPEN} and {CLOSE} once; nothing was written.")
    return pattern.sub(lambda _: part, text)
