"""What ``gstalker train`` holds at most, seen from outside.

Anonymous memory is what the program itself needs; file-backed memory is code and read files, which
the kernel may drop. Frames are read with ``pread`` and so are in neither: they lie in the kernel's
own cache. The peak is the kernel's high-water mark (``VmHWM``; ``ru_maxrss`` would begin with that
of the program that starts another); the two parts are sampled.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.captures import speaking_capture, work_folder
from benchmarks.harness import Bench, Result
from benchmarks.step import CONFIG
from gstalker.errors import GSTalkerError

PAUSE_S = 0.02
MIB_KIB = 1024


@dataclass
class Peak:
    """Mebibytes."""

    resident: float = 0.0
    """By the kernel's own count, up to the last look."""
    anonymous: float = 0.0
    """The most of all samples."""
    file_backed: float = 0.0
    """The most of all samples."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--capture", type=Path, metavar="FOLDER", help="not the synthetic speaker")
    parser.add_argument("--gaussians", type=int, metavar="N", help="default: the config's")
    parser.add_argument("--size", type=int, default=512, help="side in pixels; synthetic only")
    parser.add_argument("--steps", type=int, default=60, help="of each stage")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keeps what is made on the way")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Train for a moment in a process of its own."""
    with work_folder(choices.work) as work:
        capture = choices.capture or speaking_capture(work, size=choices.size).folder
        overrides = [
            f"capture={capture}",
            f"runs={work / f'runs-{time.time_ns()}'}",
            *(f"method.{stage}.steps={choices.steps}" for stage in ("static", "deform")),
        ]
        if choices.gaussians:
            overrides.append(f"method.static.start.max_gaussians={choices.gaussians}")
        peak = watch([sys.executable, "-m", "gstalker", "train", str(CONFIG), *overrides])
    title = f"gstalker train on {Path(capture).name}, {choices.steps} steps a stage"
    for name, value in vars(peak).items():
        bench.add(Result(f"train_{name}_mib", f"{title}, peak {name}", "MiB", value))


def watch(command: list[str]) -> Peak:
    """Run a command to its end and watch its memory.

    Raises:
        GSTalkerError: the command failed; with its last words.
    """
    peak = Peak()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    words = b""
    while True:
        words = (words + (process.stderr.read() or b""))[-2000:]
        if process.poll() is not None:
            break
        for name, kib in parts_of(Path(f"/proc/{process.pid}/status")):
            setattr(peak, name, max(getattr(peak, name), kib / MIB_KIB))
        time.sleep(PAUSE_S)
    words += process.stderr.read() or b""
    process.stderr.close()
    if process.returncode:
        last = words.decode(errors="replace").strip().splitlines()[-1:]
        raise GSTalkerError(f"`{' '.join(command)}` failed: {' '.join(last)}")
    return peak


def parts_of(status: Path) -> Iterator[tuple[str, int]]:
    """KiB of resident memory, the most yet and its parts; nothing where the process is gone."""
    names = {"VmHWM": "resident", "RssAnon": "anonymous", "RssFile": "file_backed"}
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name, _, rest = line.partition(":")
        if name in names:
            yield names[name], int(rest.split()[0])
