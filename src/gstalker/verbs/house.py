"""What is here, and what would be done."""

from __future__ import annotations

import argparse

from gstalker.verbs.words import Verbs, add_verb, takes_overrides, typed_path


def add(verbs: Verbs) -> None:
    """What may be typed."""
    verb = add_verb(verbs, "config", _config, "print the whole resolved config; run nothing")
    verb.add_argument("config", type=typed_path, metavar="CONFIG")
    takes_overrides(verb)

    add_verb(
        verbs, "doctor", _doctor, "say what is installed, and what each missing part would need"
    )

    verb = add_verb(verbs, "weights", _weights, "list, check or download model files")
    actions = ("list", "check", "download")
    verb.add_argument(
        "action", nargs="?", default="list", choices=actions, metavar="|".join(actions)
    )
    verb.add_argument("name", nargs="?", metavar="NAME", help="one file only")


def _config(args: argparse.Namespace) -> None:
    from gstalker import config

    print(config.to_yaml(config.compose(args.config, args.overrides, complete=False)), end="")


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
