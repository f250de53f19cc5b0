"""From runs to what is shown of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from gstalker.verbs.words import Verbs, add_verb, hush, takes_overrides, typed_path


def add(verbs: Verbs) -> None:
    """What may be typed."""
    verb = add_verb(verbs, "score", _score, "score anybody's video or pictures with the same code")
    verb.add_argument(
        "frames",
        type=typed_path,
        metavar="VIDEO_OR_FOLDER",
        help="an mp4, or numbered png or jpg files",
    )
    verb.add_argument(
        "capture", type=typed_path, metavar="CAPTURE", help="the truth: a capture folder"
    )
    verb.add_argument("--as", dest="name", required=True, metavar="NAME", help="of the row")
    verb.add_argument(
        "-o",
        "--out",
        type=typed_path,
        metavar="JSON",
        help="the scores; default: beside the pictures",
    )
    takes_overrides(
        verb,
        "offset=N, fit=resize|crop, rate=nearest|frames, composite=drawn|true-torso|pasted, "
        "driven=test|sound, truth=plate, lpips_vgg=true, …",
    )

    verb = add_verb(verbs, "table", _table, "tabulate what was scored, beside what papers print")
    verb.add_argument(
        "sources",
        nargs="*",
        type=typed_path,
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
        type=typed_path,
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
    verb.add_argument("-o", "--out", type=typed_path, metavar="FILE", help="default: the terminal")

    verb = add_verb(verbs, "compare", _compare, "write a page: our sweeps beside what papers print")
    verb.add_argument(
        "experiments",
        nargs="+",
        type=typed_path,
        metavar="EXPERIMENT",
        help="experiments, or sweeps",
    )
    verb.add_argument(
        "--runs",
        type=typed_path,
        default=Path("runs"),
        metavar="FOLDER",
        help="where their runs are",
    )
    verb.add_argument(
        "--why",
        type=typed_path,
        metavar="YAML",
        help="reasons by hand; default: why.yaml beside the first",
    )
    verb.add_argument(
        "-o",
        "--out",
        type=typed_path,
        default=Path("docs/comparison.md"),
        metavar="MD",
        help="default: docs/comparison.md",
    )

    verb = add_verb(verbs, "report", _report, "write one HTML page that shows what runs came to")
    verb.add_argument("runs", nargs="+", metavar="RUN", help="run folders; also capture=FOLDER")
    verb.add_argument(
        "-o", "--out", type=typed_path, metavar="HTML", help="default: RUN/report.html"
    )
    verb.set_defaults(overrides=[])  # of what follows a flag


def _score(args: argparse.Namespace) -> None:
    from gstalker.experiment.evaluate import summary
    from gstalker.experiment.scoring import default_out, score_foreign

    hush()
    scores = score_foreign(args.frames, args.capture, args.name, args.out, args.overrides)
    print(f"{summary(scores)}\n{args.out or default_out(args.frames)}")


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


def _compare(args: argparse.Namespace) -> None:
    from gstalker.report import comparison

    beside = args.experiments[0].parent / "why.yaml"
    why = args.why or (beside if beside.is_file() else None)
    print(comparison.write(args.experiments, args.out, runs=args.runs, why=why))


def _report(args: argparse.Namespace) -> None:
    from gstalker.report import story

    given = [*args.runs, *args.overrides]
    where = [text for text in given if "=" in text]
    runs = [text for text in given if "=" not in text]
    print(story.write(runs, args.out, where))
