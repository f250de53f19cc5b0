"""From a video, or another's data set, to a capture that is fit to train."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from gstalker.verbs.words import Verbs, add_verb, takes_overrides, typed_path


def add(verbs: Verbs) -> None:
    """What may be typed."""
    verb = add_verb(verbs, "prepare", _prepare, "turn a video into a capture folder", resumes=True)
    verb.add_argument(
        "video", type=typed_path, metavar="VIDEO", help="of one speaking person, with sound"
    )
    verb.add_argument("out", type=typed_path, metavar="OUT", help="the capture folder to make")
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
    verb.add_argument(
        "--face", metavar="N", help="whose face, counted from 1 at the left; same as face=N"
    )
    takes_overrides(verb)

    verb = add_verb(verbs, "import", _import, "turn a data set of AD-NeRF's family into a capture")
    verb.add_argument(
        "folder", type=typed_path, metavar="FOLDER", help="with ori_imgs and transforms"
    )
    verb.add_argument("out", type=typed_path, metavar="OUT", help="the capture folder to make")
    takes_overrides(verb, "what the files leave open, for example image_ids=frame")

    verb = add_verb(verbs, "export", _export, "write a capture as a data set of AD-NeRF's family")
    verb.add_argument("capture", type=typed_path, metavar="CAPTURE", help="a capture folder")
    verb.add_argument("folder", type=typed_path, metavar="FOLDER", help="the folder to make")
    verb.add_argument(
        "--layout",
        required=True,
        metavar="NAME",
        help="er-nerf, talkinggaussian, gaussiantalker or ad-nerf",
    )
    takes_overrides(verb, "for example split=last-12-seconds")

    verb = add_verb(verbs, "inspect", _inspect, "say whether a capture is fit to train, and why")
    verb.add_argument("capture", type=typed_path, metavar="CAPTURE", help="a capture folder")
    verb.add_argument(
        "-o",
        "--out",
        type=typed_path,
        metavar="FOLDER",
        help="for inspect.html; default: the capture's",
    )


def _prepare(args: argparse.Namespace) -> None:
    from gstalker import config, prepare

    fix = ["fix_sync=true"] if args.fix_sync else []
    fix += [f"face={args.face}"] if args.face else []
    choices = config.from_overrides(prepare.PrepareConfig, [*args.overrides, *fix])
    prepare.prepare(args.video, args.out, choices, redo=args.redo)
    print(f"Next: gstalker inspect {shlex.quote(str(args.out))}")


def _import(args: argparse.Namespace) -> None:
    from gstalker import config, exchange

    choices = config.from_overrides(exchange.ImportConfig, args.overrides)
    capture = exchange.import_folder(args.folder, args.out, choices)
    print(f"{capture.folder}\n{_train(capture.folder)}")


def _export(args: argparse.Namespace) -> None:
    from gstalker import config, exchange

    choices = config.from_overrides(exchange.ExportConfig, args.overrides)
    print(exchange.export_capture(args.capture, args.folder, args.layout, choices).text)


def _inspect(args: argparse.Namespace) -> None:
    from gstalker.inspect import inspect

    found = inspect(args.capture, args.out)
    print(found.text)
    if all(finding.severity != "fatal" for finding in found.findings):
        print(_train(args.capture))


def _train(capture: Path) -> str:
    from gstalker import config

    words = ["gstalker", "train", str(config.to_type()), f"capture={capture}"]
    return f"Next: {shlex.join(words)}"
