"""What each method has over its own controls: the mean frame, and itself hearing another sentence.

Run by run, for a control of the same head shares its seed and its test frames. A method that does
not beat the mean frame has learned no picture, one whose mouth is as good with another sentence's
sound does not follow the sound, however well it ranks among others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gstalker.metrics import vocabulary
from gstalker.metrics.vocabulary import Column
from gstalker.report import cells
from gstalker.report.sources import CONTROLS, Row, controls_of

HELD = (
    ("psnr_full", "mean_frame"),
    ("lpips_alex", "mean_frame"),
    ("psnr_mouth", "mean_frame"),
    ("psnr_mouth", "shuffled_audio"),
    ("mouth_corr", "shuffled_audio"),
)
"""What is held against which control."""


def beside(rows: Sequence[Row]) -> Iterator[str]:
    """A Markdown table of differences, method minus control; nothing where no run has controls."""
    held = [(vocabulary.column(name), entry) for name, entry in HELD]
    gains = [
        (row.name, [_gain(row, controls[entry], column) for column, entry in held])
        for row in rows
        if (controls := controls_of(row))
    ]
    if not any(cell for _, told in gains for cell in told):
        return
    yield "### Beside the controls\n"
    yield (
        "Each head minus its own control on the same frames: the mean over runs, and in brackets "
        "the worst run. Where a control is as good, nothing of that kind was learned.\n"
    )
    headings = [f"{c.heading} − {CONTROLS[entry]}{c.arrow}" for c, entry in held]
    yield "| method | " + " | ".join(headings) + " |\n" + "|---" * (len(held) + 1) + "|"
    for name, told in gains:
        yield "| " + " | ".join([name, *(cell or "n/a" for cell in told)]) + " |"
    yield ""
    if not all(cell for _, told in gains for cell in told):
        yield (
            "n/a: no run has that figure both of its own and of that control; "
            "`gstalker evaluate RUN` scores both.\n"
        )


def _gain(row: Row, control: Row, column: Column) -> str:
    """Ours minus the control's, paired by capture and seed; empty if no run has both."""
    ours, theirs = cells.values(row, column), cells.values(control, column)
    gaps: list[list[float]] = []
    for capture, mine in ours.items():
        other = theirs.get(capture, {})
        if both := mine.keys() & other.keys():
            gaps.append([mine[seed] - other[seed] for seed in both])
    if not gaps:
        return ""
    mean = float(np.mean([np.mean(group) for group in gaps]))
    worst = max((gap for group in gaps for gap in group), key=column.badness)
    return f"{mean:+.{column.digits}f} ({worst:+.{column.digits}f})"
