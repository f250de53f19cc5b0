"""How cost grows: time against Gaussians, one line per picture size."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

from gstalker import files


def growth(record: dict[str, Any], path: Path) -> None:
    """Draw the least times of a ``rasterize`` record, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import LogFormatter, NullFormatter

    figure, axis = pyplot.subplots(figsize=(7, 5))
    for (what, side), points in sorted(lines_of(record).items()):
        axis.plot(*zip(*sorted(points), strict=True), marker="o", label=f"{what}, {side} px")
    axis.set(xscale="log", yscale="log", xlabel="Gaussians", ylabel="least time (ms)")
    numbers = sorted({count for points in lines_of(record).values() for count, _ in points})
    axis.set_xticks(numbers, [f"{count:,}" for count in numbers])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    axis.set_title(title_of(record), fontsize=8)
    axis.grid(visible=True, which="both", alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot.close(figure)


def title_of(record: dict[str, Any]) -> str:
    """What was drawn, and on what."""
    card, sticks = record["machine"], record["yardsticks"]
    titles = (entry["title"] for entry in record["results"].values())
    scene = next(titles).partition(" Gaussians, ")[0].rpartition(", ")[0]
    peak = f"{sticks['fma_all_gflops']:.0f} GFLOP/s at most"
    scene = textwrap.fill(scene, 100)
    return f"{scene}\n{card['processor']}, {sticks['threads']} threads, {peak}"


def lines_of(record: dict[str, Any]) -> dict[tuple[str, int], list[tuple[int, float]]]:
    """Points (Gaussians, milliseconds) by what was timed and the picture's side."""
    lines: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)
    for key, entry in record["results"].items():
        counts = entry["counts"]
        if entry["unit"] != "ms" or not {"gaussians", "side"} <= set(counts):
            continue
        parts = key.split("-")
        what = f"{parts[1]}, " if parts[0] == "rasterize" else ""
        what += "forward + backward" if "forward_backward" in key else "forward"
        lines[what, counts["side"]].append((counts["gaussians"], entry["value"]))
    return dict(lines)
