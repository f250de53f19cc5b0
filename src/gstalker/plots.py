"""Curves as SVG that takes its colours from the page it stands on: light, dark or on paper."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

Paint = Callable[[Any], None]
"""Draws on matplotlib's axes."""

_MARGIN = (0.068, 0.985)

# Colours that are replaced by the page's own; matplotlib itself knows only numbers.
INK, FAINT = "#010101", "#020202"
LINES = ("#030303", "#040404", "#050505", "#060606")
_PAGE_COLOURS = {INK: "ink", FAINT: "faint", **{c: f"line{k}" for k, c in enumerate(LINES)}}

LEGEND: dict[str, Any] = {
    "frameon": False,
    "fontsize": 9,
    "labelcolor": INK,
    "ncols": 3,
    "loc": "lower right",
    "bbox_to_anchor": (1.0, 0.98),
    "borderaxespad": 0.0,
}


def figure(
    rows: Sequence[tuple[Paint, str]],
    height: float,
    span: float | tuple[float, float],
    below: str = "seconds",
) -> str:
    """Plots above each other over one axis.

    Args:
        rows: what draws each, and what its values are.
        height: of all of it, in inches of a page 9.6 wide.
        span: end, or both ends, of the common axis.
        below: what the common axis is.
    """
    drawing = blank(9.6, height)
    all_axes = drawing.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (paint, label) in zip(all_axes, rows, strict=True):
        paint(axes)
        dress(axes, label)
    all_axes[-1].set_xlabel(below, color=INK, fontsize=9)
    all_axes[-1].set_xlim(span if isinstance(span, tuple) else (0, span))
    drawing.align_ylabels(all_axes)
    drawing.subplots_adjust(left=_MARGIN[0], right=_MARGIN[1], hspace=0.16)
    drawing.subplots_adjust(bottom=0.42 / height, top=1 - 0.24 / height)
    return svg(drawing)


def blank(width: float, height: float) -> Any:
    """An empty matplotlib figure, in inches."""
    from matplotlib.figure import Figure  # half a second; only pages need it

    return Figure(figsize=(width, height))


def dress(axes: Any, label: str) -> None:
    """Give axes the page's colours, and say what they show."""
    axes.set_facecolor("none")
    axes.set_ylabel(label, color=INK, fontsize=9)
    axes.tick_params(colors=INK, labelsize=9, color=FAINT)
    for side, spine in axes.spines.items():
        spine.set_color(FAINT)
        spine.set_visible(side in ("left", "bottom"))


def svg(drawing: Any) -> str:
    """A matplotlib figure as text to put into a page."""
    import matplotlib

    buffer = io.StringIO()
    drawing.patch.set_alpha(0)
    # Text stays text, in the page's font; the salt makes the same figure give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gstalker"}):
        drawing.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, name in _PAGE_COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text
