"""Two runs beside each other, raw and each by its own yardstick."""

from __future__ import annotations

from typing import Any

from benchmarks.table import number


def comparison(old: dict[str, Any], new: dict[str, Any], name: str) -> str:
    """A table of what both measured; below 1 the new one takes less.

    ``raw`` compares times (or memory) as measured, ``by yardstick`` the room of each time on its
    own machine: the first is right on one quiet machine, the second between machines and hours.
    """
    lines = [
        f"Compared with {name} (below 1: less time, or less memory, than before):",
        "",
        "| what | old | new | new/old raw | new/old by yardstick |",
        "|---|---|---|---|---|",
    ]
    both = [key for key in new["results"] if key in old["results"]]
    for key in both:
        before, after = old["results"][key], new["results"][key]
        cells = [
            after["title"],
            f"{number(before['value'])} {before['unit']}",
            f"{number(after['value'])} {after['unit']}",
            _times(raw_ratio(before, after)),
            _times(room_ratio(before, after)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for text, here, there in (("only now", new, old), ("only before", old, new)):
        missing = [key for key in here["results"] if key not in there["results"]]
        if missing:
            lines += ["", f"{text}: {', '.join(missing)}"]
    changed = changed_counts(old, new, both)
    if changed:
        lines += ["", "Counts that differ, so it is not the same work: " + "; ".join(changed)]
    return "\n".join(lines)


def raw_ratio(before: dict[str, Any], after: dict[str, Any]) -> float | None:
    """New over old of the time of one, or of the memory."""
    if before["unit"] != after["unit"] or not before["value"] or not after["value"]:
        return None
    ratio = after["value"] / before["value"]
    return 1 / ratio if after["unit"].endswith("/s") else ratio


def room_ratio(before: dict[str, Any], after: dict[str, Any]) -> float | None:
    """New over old of the room."""
    old, new = before.get("room_mflop"), after.get("room_mflop")
    return new / old if old and new else None


def changed_counts(old: dict[str, Any], new: dict[str, Any], keys: list[str]) -> list[str]:
    """Counts of one name and two values."""
    told = []
    for key in keys:
        before, after = old["results"][key]["counts"], new["results"][key]["counts"]
        told += [
            f"{key} {name} {before[name]} -> {after[name]}"
            for name in before.keys() & after.keys()
            if before[name] != after[name]
        ]
    return sorted(told)


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3f}"
