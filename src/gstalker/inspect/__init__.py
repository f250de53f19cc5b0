"""Look at a capture before spending hours on it: a verdict with reasons, and a page to look at.

``facts`` measures, ``looks`` reads the pictures, ``verdict`` judges, ``summary`` tells in words,
``sheet`` and ``curves`` draw, ``page`` binds all of it into one HTML file. Nothing here trains, and
nothing is written but the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gstalker.inspect.facts import Facts
    from gstalker.inspect.verdict import Finding

__all__ = ["PAGE", "Inspection", "inspect"]

PAGE = "inspect.html"


@dataclass(frozen=True)
class Inspection:
    """What :func:`inspect` found."""

    facts: Facts
    findings: list[Finding]
    page: Path
    text: str
    """For the terminal."""


def inspect(capture: str | Path, out: str | Path | None = None) -> Inspection:
    """Measure a capture, judge it, and write the page.

    Args:
        capture: its folder.
        out: folder for ``inspect.html``; by default the capture's own.

    Raises:
        CaptureError: the capture is missing, unfinished or damaged; says what to type.
    """
    from tqdm import tqdm

    from gstalker import files
    from gstalker.data.capture import Capture
    from gstalker.inspect import page, summary, verdict
    from gstalker.inspect.facts import gather

    opened = Capture.open(capture)
    with tqdm(total=opened.frame_count, desc="inspect", unit="frame", disable=None) as bar:
        facts = gather(opened, bar.update)
    findings = verdict.judge(facts)
    path = Path(out or capture) / PAGE
    files.write_text(path, page.render(opened, facts, findings))
    return Inspection(facts, findings, path, summary.terminal(facts, findings, str(path)))
