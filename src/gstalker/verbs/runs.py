"""From a capture to a head that speaks, and what it is worth."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from gstalker.verbs.words import Verbs, add_verb, hush, takes_overrides, typed_path


def add(verbs: Verbs) -> None:
    """What may be typed."""
    verb = add_verb(verbs, "train", _train, "train a head on a capture; resumes", resumes=True)
    verb.add_argument(
        "config", type=typed_path, metavar="CONFIG", help="for example configs/gstalker.yaml"
    )
    takes_overrides(verb)

    verb = add_verb(verbs, "evaluate", _evaluate, "render and score a run's test split")
    verb.add_argument("run", type=typed_path, metavar="RUN", help="a run folder")
    takes_overrides(
        verb,
        "where things are now: device=cpu, capture=FOLDER, threads=N; what to measure as well: "
        "lpips_vgg=true, stlpips=true, ms_ssim=true, sync=true, identity=module:Class",
    )

    verb = add_verb(verbs, "sweep", _sweep, "train and score every run of a table", resumes=True)
    verb.add_argument(
        "file", type=typed_path, metavar="FILE", help="experiments/*.yaml, or a config and key=a,b"
    )
    verb.add_argument(
        "--out",
        type=typed_path,
        default=Path("runs"),
        metavar="FOLDER",
        help="for runs; default: runs",
    )
    verb.add_argument("--on", type=typed_path, metavar="YAML", help="configs/cluster/slurm.yaml")
    verb.add_argument("--jobs", type=int, metavar="N", help="trials at once")
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="say what would run and what it costs")
    how.add_argument("--status", action="store_true", help="say how every trial stands")
    takes_overrides(verb, "captures=A,B, seeds=0,1, and changes to every row; key=a,b tries each")

    verb = add_verb(verbs, "trial", _trial, "do what is left of one run of a sweep", resumes=True)
    verb.add_argument(
        "run", type=typed_path, metavar="RUN", help="a run folder with a frozen config"
    )
    verb.add_argument("--speech", action="append", default=[], metavar="AUDIO", help="drive it")
    verb.add_argument("--speed", action="store_true", help="measure how fast it paints")
    takes_overrides(
        verb,
        "where things are now: device=cpu, capture=FOLDER, threads=N; what to measure as well: "
        "sync=true, identity=module:Class",
    )

    verb = add_verb(
        verbs, "reproduce", _reproduce, "train a run again and say what differs", resumes=True
    )
    verb.add_argument("run", type=typed_path, metavar="RUN", help="a finished run's folder")
    verb.add_argument(
        "-o",
        "--out",
        type=typed_path,
        metavar="FOLDER",
        help="for the new run; default: reproduced",
    )
    takes_overrides(verb, "where things are now: device=cpu, capture=FOLDER, threads=N")

    verb = add_verb(verbs, "drive", _drive, "let a trained head speak new sound")
    verb.add_argument("run", type=typed_path, metavar="RUN", help="a run folder")
    verb.add_argument("audio", type=typed_path, metavar="AUDIO", help="any file with sound")
    verb.add_argument(
        "-o", "--out", type=typed_path, required=True, metavar="MP4", help="the video to write"
    )
    verb.add_argument(
        "--paste-back", type=typed_path, metavar="VIDEO", help="show the head in the filmed picture"
    )
    takes_overrides(
        verb,
        "blink=filmed|natural|period:SECONDS|none|FILE, and where things are now: device=cpu, "
        "capture=FOLDER, threads=N",
    )

    verb = add_verb(verbs, "demo", _demo, "all of it on a synthetic head, in minutes", resumes=True)
    verb.add_argument(
        "--out", type=typed_path, default=Path("demo"), metavar="FOLDER", help="default: demo"
    )


def _train(args: argparse.Namespace) -> None:
    from gstalker import config

    chosen = config.compose(args.config, args.overrides)
    from gstalker.experiment.pace import settle  # after the typos, for it takes seconds
    from gstalker.experiment.train import train

    hush()
    run = train(settle(chosen))
    print(f"{run.path}\nNext: gstalker evaluate {shlex.quote(str(run.path))}")


def _evaluate(args: argparse.Namespace) -> None:
    from gstalker.experiment.evaluate import evaluate, summary

    hush()
    print(summary(evaluate(args.run, args.overrides)))


def _trial(args: argparse.Namespace) -> int:
    from gstalker.errors import Claimed
    from gstalker.experiment.launch import BUSY
    from gstalker.experiment.trial import run_trial

    hush()
    from gstalker.experiment.evaluate import MAY_BE_CHOSEN

    measure = [text for text in args.overrides if text.partition("=")[0] in MAY_BE_CHOSEN]
    where = [text for text in args.overrides if text not in measure]
    try:
        run_trial(args.run, speech=args.speech, speed=args.speed, where=where, measure=measure)
    except Claimed as claimed:
        print(f"gstalker: {claimed}", file=sys.stderr)
        return BUSY
    return 0


def _sweep(args: argparse.Namespace) -> int:
    from gstalker.experiment import sweep

    hush()
    if args.status:
        print(sweep.report(sweep.read(args.file, args.overrides, args.out)).text)
        return 0
    choices = {"out": args.out, "on": args.on, "jobs": args.jobs}
    if args.dry_run:
        print(sweep.dry_run(args.file, args.overrides, **choices))
        return 0
    told = sweep.sweep(args.file, args.overrides, **choices)
    print(told.text)
    return 0 if told.healthy else 1


def _reproduce(args: argparse.Namespace) -> int:
    from gstalker.experiment.reproduce import reproduce

    hush()
    found = reproduce(args.run, args.out, args.overrides)
    print(found.text)
    return 0 if found.same else 1


def _drive(args: argparse.Namespace) -> None:
    from gstalker.experiment.drive import drive

    hush()
    print(drive(args.run, args.audio, args.out, args.overrides, paste_back=args.paste_back))


def _demo(args: argparse.Namespace) -> None:
    from gstalker.experiment.demo import closing, demo

    hush()
    print(closing(args.out, demo(args.out)))
