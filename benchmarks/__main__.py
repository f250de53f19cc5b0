"""``python -m benchmarks rasterize|encode|loss``: time a part, print a table, keep a JSON file."""

from __future__ import annotations

import argparse
from pathlib import Path

from gstalker import process

process.tune()


def main() -> None:
    """Parse, measure, print."""
    from benchmarks.harness import measure, report, yardstick
    from benchmarks.parts import PARTS

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time the hot parts.")
    parser.add_argument("parts", nargs="+", choices=[*PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--backends", nargs="+", default=["auto"], help="default: auto")
    parser.add_argument("--gaussians", nargs="+", type=int, default=[30_000])
    parser.add_argument("--size", nargs="+", type=int, default=[512], help="picture side in pixels")
    parser.add_argument("--json", type=Path, help="also write this file")
    choices = parser.parse_args()
    timings = [yardstick()]
    seen: set[str] = set()
    for name in choices.parts:
        for backend in choices.backends:
            for count in choices.gaussians:
                for side in choices.size:
                    for title, part in PARTS[name](count, side, backend).items():
                        if title not in seen:
                            seen.add(title)
                            timings.append(measure(title, part, yardstick_ms=timings[0].least_ms))
    print(report(timings, choices.json))


if __name__ == "__main__":
    main()
