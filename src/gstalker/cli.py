"""``gstalker``: one verb, one function, no logic.

What changes the result is ``key=value`` and is recorded; what changes only this invocation is a
``--flag``. Rooms are imported when their verb is typed, so ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gstalker import __version__, process
from gstalker.errors import GSTalkerError

Verb = Callable[[argparse.Namespace], int | None]

INTERRUPTED = 130
"""128 + SIGINT, the shell's convention."""
_SPACE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


# ---------------------------------------------------------------------- verbs


def _prepare(args: argparse.Namespace) -> None:
    from gstalker import config, prepare

    fix = ["fix_sync=true"] if args.fix_sync else []
    choices = config.from_overrides(prepare.PrepareConfig, [*args.overrides, *fix])
    prepare.prepare(args.video, args.out, choices, redo=args.redo)
    print(f"Next: gstalker inspect {shlex.quote(str(args.out))}")


def _inspect(args: argparse.Namespace) -> None:
    from gstalker.inspect import inspect

    print(inspect(args.capture, args.out).text)


def _import(args: argparse.Namespace) -> None:
    from gstalker import config, exchange

    choices = config.from_overrides(exchange.ImportConfig, args.overrides)
    capture = exchange.import_folder(args.folder, args.out, choices)
    print(f"{capture.folder}\nNext: gstalker train configs/gstalker.yaml capture={capture.folder}")


def _export(args: argparse.Namespace) -> None:
    from gstalker import config, exchange

    choices = config.from_overrides(exchange.ExportConfig, args.overrides)
    print(exchange.export_capture(args.capture, args.folder, args.layout, choices).text)


def _train(args: argparse.Namespace) -> None:
    from gstalker import config

    chosen = config.compose(args.config, args.overrides)
    from gstalker.experiment.train import train  # after the typos, for it takes seconds

    _hush()
    run = train(chosen)
    print(f"{run.path}\nNext: gstalker evaluate {run.path}")


def _evaluate(args: argparse.Namespace) -> None:
    from gstalker.experiment.evaluate import evaluate, summary

    _hush()
    print(summary(evaluate(args.run, args.overrides)))


def _score(args: argparse.Namespace) -> None:
    from gstalker.experiment.evaluate import summary
    from gstalker.experiment.scoring import default_out, score_foreign

    _hush()
    scores = score_foreign(args.frames, args.capture, args.name, args.out, args.overrides)
    print(f"{summary(scores)}\n{args.out or default_out(args.frames)}")


def _drive(args: argparse.Namespace) -> None:
    from gstalker.experiment.drive import drive

    _hush()
    print(drive(args.run, args.audio, args.out, args.overrides, paste_back=args.paste_back))


def _doctor(args: argparse.Namespace) -> int:
    from gstalker import doctor

    found = doctor.report()
    print(found.text)
    return 0 if found.healthy else 1


def _weights(args: argparse.Namespace) -> int:
    from gstalker import doctor, weights

    if args.action == "download":
        names = [name for name, entry in weights.TABLE.items() if entry.url]
        for name in [args.name] if args.name else names:
            print(weights.download(name))
        return 0
    found = weights.check(args.name) if args.action == "check" else weights.listing()
    print(doctor.weights_table(found))
    if args.name is None:
        print("\n".join(doctor.speech_models()))
    return 1 if any(file.state == "different" for file in found) else 0


def _config(args: argparse.Namespace) -> None:
    from gstalker import config

    print(config.to_yaml(config.compose(args.config, args.overrides, complete=False)), end="")


def _demo(args: argparse.Namespace) -> None:
    from gstalker.experiment.demo import closing, demo

    _hush()
    print(closing(args.out, demo(args.out)))


# ---------------------------------------------------------------------- what may be typed


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="gstalker",
        description="A talking head of 3-D Gaussians from one video, driven by sound.",
        epilog="What changes the result is key=value; a --flag changes this invocation only.",
    )
    top.add_argument("--version", action="version", version=f"gstalker {__version__}")
    verbs = top.add_subparsers(metavar="VERB", required=True)

    verb = _verb(verbs, "prepare", _prepare, "turn a video into a capture folder", resumes=True)
    verb.add_argument(
        "video", type=Path, metavar="VIDEO", help="of one speaking person, with sound"
    )
    verb.add_argument("out", type=Path, metavar="OUT", help="the capture folder to make")
    verb.add_argument(
        "--redo",
        action="append",
        default=[],
        metavar="STEP",
        help="do this step again, though done",
    )
    verb.add_argument(
        "--fix-sync", action="store_true", help="move the sound to the lips; same as fix_sync=true"
    )
    _takes_overrides(verb)

    verb = _verb(verbs, "import", _import, "turn a data set of AD-NeRF's family into a capture")
    verb.add_argument("folder", type=Path, metavar="FOLDER", help="with ori_imgs and transforms")
    verb.add_argument("out", type=Path, metavar="OUT", help="the capture folder to make")
    _takes_overrides(verb, "what the files leave open, for example image_ids=frame")

    verb = _verb(verbs, "export", _export, "write a capture as a data set of AD-NeRF's family")
    verb.add_argument("capture", type=Path, metavar="CAPTURE", help="a capture folder")
    verb.add_argument("folder", type=Path, metavar="FOLDER", help="the folder to make")
    verb.add_argument(
        "--layout",
        required=True,
        metavar="NAME",
        help="er-nerf, talkinggaussian, gaussiantalker or ad-nerf",
    )
    _takes_overrides(verb, "for example split=last-12-seconds")

    verb = _verb(verbs, "inspect", _inspect, "say whether a capture is fit to train, and why")
    verb.add_argument("capture", type=Path, metavar="CAPTURE", help="a capture folder")
    verb.add_argument(
        "-o", "--out", type=Path, metavar="FOLDER", help="for inspect.html; default: the capture's"
    )

    verb = _verb(verbs, "train", _train, "train a head on a capture; resumes", resumes=True)
    verb.add_argument(
        "config", type=Path, metavar="CONFIG", help="for example configs/gstalker.yaml"
    )
    _takes_overrides(verb)

    verb = _verb(verbs, "evaluate", _evaluate, "render and score a run's test split")
    verb.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    _takes_overrides(
        verb,
        "where things are now: device=cpu, capture=FOLDER, threads=N; what to measure as well: "
        "lpips_vgg=true, stlpips=true, ms_ssim=true, sync=true",
    )

    verb = _verb(verbs, "score", _score, "score anybody's video or pictures with the same code")
    verb.add_argument(
        "frames", type=Path, metavar="VIDEO_OR_FOLDER", help="an mp4, or numbered png or jpg files"
    )
    verb.add_argument("capture", type=Path, metavar="CAPTURE", help="the truth: a capture folder")
    verb.add_argument("--as", dest="name", required=True, metavar="NAME", help="of the row")
    verb.add_argument(
        "-o", "--out", type=Path, metavar="JSON", help="the scores; default: beside the pictures"
    )
    _takes_overrides(
        verb,
        "offset=N, fit=resize|crop, rate=nearest|frames, composite=drawn|true-torso|pasted, "
        "driven=test|sound, truth=plate, lpips_vgg=true, …",
    )

    verb = _verb(verbs, "drive", _drive, "let a trained head speak new sound")
    verb.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    verb.add_argument("audio", type=Path, metavar="AUDIO", help="any file with sound")
    verb.add_argument(
        "-o", "--out", type=Path, required=True, metavar="MP4", help="the video to write"
    )
    verb.add_argument(
        "--paste-back", type=Path, metavar="VIDEO", help="show the head in the filmed picture"
    )
    _takes_overrides(
        verb,
        "blink=filmed|natural|period:SECONDS|none|FILE, and where things are now: device=cpu, "
        "capture=FOLDER, threads=N",
    )

    _verb(verbs, "doctor", _doctor, "say what is installed, and what each missing part would need")

    verb = _verb(verbs, "weights", _weights, "list, check or download model files")
    actions = ("list", "check", "download")
    verb.add_argument(
        "action", nargs="?", default="list", choices=actions, metavar="|".join(actions)
    )
    verb.add_argument("name", nargs="?", metavar="NAME", help="one file only")

    verb = _verb(verbs, "config", _config, "print the whole resolved config; run nothing")
    verb.add_argument("config", type=Path, metavar="CONFIG")
    _takes_overrides(verb)

    verb = _verb(verbs, "demo", _demo, "all of it on a synthetic head, in minutes", resumes=True)
    verb.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="FOLDER", help="default: demo"
    )
    return top


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    function: Verb,
    text: str,
    *,
    resumes: bool = False,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verb.set_defaults(function=function, resumes=resumes)
    return verb


def _takes_overrides(
    verb: argparse.ArgumentParser, help_text: str = "changes to the config"
) -> None:
    verb.add_argument("overrides", nargs="*", metavar="key=value", help=help_text)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Arguments of a command line; ``key=value`` may stand on either side of a flag."""
    top = parser()
    args, rest = top.parse_known_args(arguments)
    takes = hasattr(args, "overrides") and all("=" in text and text[0] != "-" for text in rest)
    if rest and not takes:
        top.error(f"unrecognized arguments: {shlex.join(rest)}")
    if rest:
        args.overrides = [*args.overrides, *rest]
    return args


# ---------------------------------------------------------------------- running it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    args = parse(typed)
    process.tune()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return args.function(args) or 0
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        sentence, status = _last_words(error, args, typed)
        if args.debug or sentence is None:
            raise
        print(f"gstalker: {sentence}", file=sys.stderr)
        return status


def _hush() -> None:
    """Hear only warnings of others; after the imports, for Lightning sets its levels in its own."""
    for name in ("lightning.pytorch", "lightning.fabric", "matplotlib", "PIL"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for noise in (".*does not have many workers.*", ".*treespec, LeafSpec.*"):
        warnings.filterwarnings("ignore", message=noise)


def _last_words(
    error: BaseException, args: argparse.Namespace, typed: list[str]
) -> tuple[str | None, int]:
    """What to tell of an error, and the exit status; no sentence for a fault of ours."""
    causes = list(_chain(error))
    if any(isinstance(cause, KeyboardInterrupt) for cause in causes):
        again = "The same command goes on from there" if args.resumes else "To start again"
        return f"interrupted. {again}: gstalker {shlex.join(typed)}", INTERRUPTED
    if isinstance(error, GSTalkerError):
        return f"{type(error).__name__}: {error}", 1
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "the reader of the output went away.", 1
    if any(isinstance(cause, OSError) and cause.errno in _SPACE_ERRORS for cause in causes):
        return "the disk is full. Free some space, then run the same command again.", 1
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}.", 1
    if isinstance(error, MemoryError):
        return "out of memory. Close other programs, or use a smaller capture (max_side=256).", 1
    if "torchvision::nms" in str(error):
        from gstalker.doctor import TORCHVISION_CURE

        return TORCHVISION_CURE, 1
    return None, 1


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


if __name__ == "__main__":
    sys.exit(main())
