"""How cost grows: time against Gaussians, one line per picture size."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from gstalker import files


def growth(record: dict[str, Any], path: Path) -> None:
    """Draw the least times of a ``rasterize`` record, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 5))
    for (what, side), points in sorted(lines_of(record).items()):
        axis.plot(*zip(*sorted(points), strict=True), marker="o", label=f"{what}, {side} px")
    axis.set(xscale="log", yscale="log", xlabel="Gaussians", ylabel="least time (ms)")
    card, sticks = record["machine"], record["yardsticks"]
    axis.set_title(
        f"{card['processor']}, {sticks['threads']} threads, "
        f"{sticks['fma_all_gflops']:.0f} GFLOP/s peak",
        fontsize=9,
    )
    axis.grid(visible=True, which="both", alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot.close(figure)


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
