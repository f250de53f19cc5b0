"""From runs to what is shown of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from gstalker.verbs.words import Verbs, add_verb


def add(verbs: Verbs) -> None:
    """What may be typed."""
    verb = add_verb(verbs, "table", _table, "tabulate what was scored, beside what papers print")
    verb.add_argument(
        "sources",
        nargs="*",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help="an experiment, its sweep, runs, a folder of runs, or a scores.json",
    )
    verb.add_argument(
        "--format", default="markdown", metavar="NAME", help="markdown, latex, csv or html"
    )
    verb.add_argument(
        "--reported",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="a file of experiments/reported, a method, FILE:METHOD, or all",
    )
    verb.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="NAME",
        help="of the papers' figures; default: self-driven",
    )
    verb.add_argument(
        "--metrics", nargs="+", action="extend", default=[], metavar="NAME", help="columns, or all"
    )
    verb.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="where an experiment's runs are",
    )
    verb.add_argument(
        "--controls", action="store_true", help="also without sound, shuffled, and the mean frame"
    )
    verb.add_argument(
        "--significance", choices=("frames", "seeds"), help="test differences, over these"
    )
    verb.add_argument("--against", metavar="ROW", help="hold rows against this; default: the first")
    verb.add_argument("-o", "--out", type=Path, metavar="FILE", help="default: the terminal")

    verb = add_verb(verbs, "report", _report, "write one HTML page that shows what runs came to")
    verb.add_argument("runs", nargs="+", metavar="RUN", help="run folders; also capture=FOLDER")
    verb.add_argument("-o", "--out", type=Path, metavar="HTML", help="default: RUN/report.html")


def _table(args: argparse.Namespace) -> None:
    from gstalker import files, report

    text = report.tabulate(
        args.sources,
        args.format,
        reported=args.reported,
        settings=args.setting or ["self-driven"],
        metrics=[name for told in args.metrics for name in told.split(",") if name],
        runs=args.runs,
        controls=args.controls,
        over=args.significance,
        against=args.against,
    )
    if args.out is None:
        print(text, end="")
    else:
        files.write_text(args.out, text)


def _report(args: argparse.Namespace) -> None:
    from gstalker.report import story

    where = [text for text in args.runs if "=" in text]
    runs = [text for text in args.runs if "=" not in text]
    print(story.write(runs, args.out, where))
