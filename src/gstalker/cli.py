"""``gstalker``: one command, and one sentence for everything that goes wrong.

What changes the result is ``key=value`` and is recorded; what changes only this invocation is a
``--flag``. What each verb does is in ``verbs``.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gstalker import __version__, process
from gstalker.errors import GSTalkerError
from gstalker.verbs import captures, house, runs, tables

INTERRUPTED = 130
"""128 + SIGINT, the shell's convention."""
_SPACE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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
    for part in (captures, runs, tables, house):
        part.add(verbs)
    return top


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Arguments of a command line; ``key=value`` may stand on either side of a flag."""
    top = parser()
    for text in itertools.takewhile(lambda text: text != "--", arguments):
        if text.startswith("-") and Path(text).is_file():
            top.error(f"{text} begins with a dash, as flags do; write {shlex.quote(f'./{text}')}")
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
