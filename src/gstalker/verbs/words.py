"""What all verbs share."""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

Verb = Callable[[argparse.Namespace], int | None]
Verbs = argparse._SubParsersAction  # argparse gives it no public name


def add_verb(
    verbs: Verbs,
    name: str,
    function: Verb,
    text: str,
    *,
    resumes: bool = False,
) -> argparse.ArgumentParser:
    """Let a verb be typed.

    Args:
        verbs: those there are.
        name: what is typed.
        function: what it does; its answer is the exit status.
        text: for ``--help``, in small letters.
        resumes: typed again after a stop, it goes on from there.
    """
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verb.set_defaults(function=function, resumes=resumes)
    return verb


def typed_path(text: str) -> Path:
    """A path as it was typed; whole where it begins with a dash.

    A relative one would be taken for a flag in every command that is told with it, and pathlib
    does not keep the ``./`` that helps.
    """
    path = Path(text)
    return path.absolute() if str(path).startswith("-") else path


def takes_overrides(
    verb: argparse.ArgumentParser, help_text: str = "changes to the config"
) -> None:
    """Let ``key=value`` follow a verb."""
    verb.add_argument("overrides", nargs="*", metavar="key=value", help=help_text)


def hush() -> None:
    """Hear only warnings of others; after the imports, for Lightning sets its levels in its own."""
    for name in ("lightning.pytorch", "lightning.fabric", "matplotlib", "PIL"):
        logging.getLogger(name).setLevel(logging.WARNING)
    noises = (".*does not have many workers.*", ".*treespec, LeafSpec.*", ".*`srun` command.*")
    for noise in noises:
        warnings.filterwarnings("ignore", message=noise)
