"""``python -m benchmarks PART``: measure a part, print a table, keep a file."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gstalker import process
from gstalker.errors import GSTalkerError

PARTS = {
    "card": "what the README promises, in under a minute",
    "rasterize": "drawing, with and without the gradient",
    "encode": "the hash tri-plane",
    "loss": "L1 and D-SSIM",
    "step": "whole training iterations of both stages, through Lightning",
    "render": "from sound to pictures, and to an mp4",
    "levers": "what a driven frame would cost without what makes it cheap",
    "stream": "pictures while the sound arrives, and what they lose by it",
    "prepare": "a video becomes a capture",
    "memory": "what `gstalker train` holds at most",
    "threads": "the kernels on 1, 2, ... threads",
    "heads": "several heads side by side",
    "quality": "how good a head is after how many minutes; takes an hour",
}
"""Every measuring part is a module with ``arguments(parser)`` and ``run(choices, bench)``."""
RESULTS = Path(__file__).parent / "results"
"""What ``--keep`` keeps."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast is it?")
    verbs = top.add_subparsers(metavar="PART", required=True, dest="part")
    for name, text in PARTS.items():
        verb = verbs.add_parser(name, help=text, description=text)
        importlib.import_module(f"benchmarks.{name}").arguments(verb)
        _common(verb)
        verb.set_defaults(function=measure)
    verb = verbs.add_parser("table", help="the README's table of a file that `card` left")
    verb.add_argument("file", type=Path, metavar="FILE", help="benchmarks/results/....json")
    verb.add_argument("--write", type=Path, metavar="README", help="replace the marked part there")
    verb.set_defaults(function=table)
    verb = verbs.add_parser("page", help="all that one machine's files tell, as a page")
    verb.add_argument("machine", help="what they begin with, as 2026-11-22-some-processor")
    verb.add_argument("--write", type=Path, metavar="FILE", help="there, with pictures beside it")
    verb.set_defaults(function=page)
    return top


def _common(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--seconds", type=float, default=2.0, help="for each measurement, about")
    verb.add_argument("--threads", type=int, help="default: as many as torch chooses")
    verb.add_argument("--json", type=Path, metavar="FILE", help="also write this file")
    verb.add_argument("--keep", action="store_true", help="also write into benchmarks/results")
    verb.add_argument("--compare", type=Path, metavar="OLD", help="with a file from before")


def measure(choices: argparse.Namespace, load: float) -> str:
    """Take the yardsticks, measure, take them again; what to print."""
    import torch

    from benchmarks import harness, yardstick
    from benchmarks import table as tables
    from benchmarks.compare import comparison

    old = harness.read_record(choices.compare) if choices.compare else None
    if choices.threads:
        torch.set_num_threads(choices.threads)
    bench = harness.Bench(choices.seconds)
    clocks = harness.Ticks.now()
    before = yardstick.measure(torch.get_num_threads())
    importlib.import_module(f"benchmarks.{choices.part}").run(choices, bench)
    sticks = yardstick.best(before, yardstick.measure(torch.get_num_threads()))
    card = harness.machine(load, clocks, harness.Ticks.now())
    record = harness.as_record(shlex.join(choices.typed), card, sticks, bench.results)
    _keep(record, choices)
    parts = [tables.report(record)]
    if old is not None:
        parts.append(comparison(old, record, choices.compare.name))
    if getattr(choices, "plot", None):
        from benchmarks.plot import growth
        from benchmarks.quality import curves

        (curves if choices.part == "quality" else growth)(record, choices.plot)
        parts.append(f"Plot: {choices.plot}")
    return "\n\n".join(parts)


def table(choices: argparse.Namespace, load: float) -> str:
    """The README's table of a file, and with ``--write`` the README that has it."""
    from benchmarks import harness
    from benchmarks import table as tables
    from gstalker import files

    text = tables.readme_part(harness.read_record(choices.file), choices.file.name)
    if choices.write:
        whole = tables.replaced(choices.write.read_text(), text, str(choices.write))
        files.write_text(choices.write, whole)
    return text


def page(choices: argparse.Namespace, load: float) -> str:
    """The page of one machine, and with ``--write`` its file and pictures."""
    from benchmarks import page as pages
    from gstalker import files

    beside = choices.write.parent if choices.write else None
    text = pages.page(RESULTS, choices.machine, beside)
    if choices.write:
        files.write_text(choices.write, text)
    return text


def _keep(record: dict[str, Any], choices: argparse.Namespace) -> None:
    from benchmarks import harness
    from gstalker import files

    paths = [choices.json] if choices.json else []
    if choices.keep:
        trained = getattr(choices, "head", None) is not None
        name = harness.kept_name(record["machine"], choices.part, trained=trained)
        paths.append(RESULTS / name)
    for path in paths:
        files.write_json(path, record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    load = os.getloadavg()[0]  # first, before we are the load ourselves
    typed = list(sys.argv[1:] if arguments is None else arguments)
    choices = parser().parse_args(typed)
    choices.typed = ["python", "-m", "benchmarks", *typed]
    for name in ("lightning.pytorch", "lightning.fabric", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        print(choices.function(choices, load))
    except GSTalkerError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    process.tune()  # before torch is imported
    sys.exit(main())
