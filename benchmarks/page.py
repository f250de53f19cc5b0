"""All that was measured on one machine on one day as a page, with how cost grows as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import harness, table
from benchmarks.plot import growth
from benchmarks.quality import curves
from gstalker.errors import GSTalkerError

CHAPTERS = {
    "": ("What is promised", "512 x 512 pixels and 30,000 Gaussians, in under a minute."),
    "rasterize": ("Drawing, an ellipsoid of Gaussians", "Cost grows with Gaussians and pixels."),
    "rasterize-head": (
        "Drawing, a trained head",
        "Its Gaussians made more or fewer; lanes tell how the work differs from the ellipsoid's.",
    ),
    "encode": ("The hash tri-plane", ""),
    "loss": ("The loss", ""),
    "step": (
        "Whole training steps",
        "As `gstalker train` makes them: loading and callbacks too. At half the side they say what "
        "progressive resolution could save at most, were half of all steps made so.",
    ),
    "render-head": ("From sound to pictures", "In a process that runs; see the README for starts."),
    "levers-head": (
        "What makes a frame cheap",
        "A frame as it is shipped, and what its parts would take otherwise. The field's matrices "
        "in bfloat16 would save less than a tenth of a frame, on processors that have it, and give "
        "other bits on each kind: they are not used.",
    ),
    "stream-head": ("As the sound arrives", "On one core; beside it, what is lost by not knowing."),
    "threads": ("Threads", "The kernels on 1, 2, ... threads."),
    "heads": ("Several heads", "Drawing only; every head is another cloud."),
    "memory": ("Memory of a training", ""),
    "prepare": ("Preparing a video", ""),
    "quality": ("How good after how many minutes", ""),
}
"""Parts as their files are called, in order: title, and what to say first."""
PICTURES = {"rasterize": growth, "rasterize-head": growth, "quality": curves}
"""Who draws a part's picture."""


def page(folder: Path, machine: str, pictures: Path | None = None) -> str:
    """The page of one machine's files.

    Args:
        folder: where the files lie.
        machine: what their names begin with, as ``2026-11-22-intel-r-xeon-r-processor``.
        pictures: the folder that they are drawn into; nothing is drawn, if not given.

    Raises:
        GSTalkerError: there are none.
    """
    records = {part: found for part in CHAPTERS if (found := _record(folder, machine, part))}
    if not records:
        raise GSTalkerError(
            f"{folder} has no file of {machine}.\n  Measure first: python -m benchmarks card --keep"
        )
    lines = [
        "# How fast, part by part",
        "",
        f"Generated: `python -m benchmarks page {machine} --write docs/speed.md`. Times are the",
        "least, rates the median; other programs' share of the machine is told where it was seen.",
    ]
    for part, record in records.items():
        title, words = CHAPTERS[part]
        warned = [f"Warning: {text}" for text in harness.warnings_of(record)]
        told = [words, f"```console\n{record['command']}\n```", *warned, table.heading(record)]
        lines += ["", f"## {title}", "", "\n\n".join(filter(None, told)), ""]
        lines.append(table.results_table(record))
        if part in PICTURES:
            name = f"speed-{part}.png"
            lines += ["", f"![{title}]({name})"]
            if pictures is not None:
                PICTURES[part](record, pictures / name)
    return "\n".join([*lines, "", table.ROOM[0].upper() + table.ROOM[1:], ""])


def _record(folder: Path, machine: str, part: str) -> dict[str, Any] | None:
    file = folder / (f"{machine}-{part}.json" if part else f"{machine}.json")
    return harness.read_record(file) if file.exists() else None
