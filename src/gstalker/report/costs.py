"""What a run cost and what made it: minutes, memory, speed, commit; as its files tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gstalker import files
from gstalker.errors import GSTalkerError
from gstalker.experiment.runs import RunFolder, train_minutes
from gstalker.report import naming

Entry = dict[str, Any]
_UNTIMED = "speed.json does not tell it"
MOST = 1e12
"""Minutes, MiB or frames a second that nobody has; what is above is a damaged file."""


def costs(run: RunFolder, device: str) -> dict[str, Entry]:
    """Entries as in ``scores.json`` for what has to do with the machine.

    They carry a protocol of their own, the machine: times of two machines may not be compared.
    """
    lacking = "status.json does not tell it"
    try:
        status = run.status()
    except GSTalkerError as error:
        status, lacking = {}, str(error).splitlines()[0].rstrip(".")
    card = _card(next(iter(run.starts()), {}), device)
    speed = files.read_object(run.speed_path) if run.speed_path.is_file() else {}
    timed = _card(speed.get("machine"), device)
    timed |= {k: speed[k] for k in ("width", "height", "threads") if k in speed}
    sizes = {
        "counted": "learned numbers of the head that paints, each once; 4 bytes each, 1e6 a MB"
    }
    return {
        "train_minutes": _entry(train_minutes(status), card, lacking),
        "peak_memory_mib": _entry(status.get("peak_memory_mib"), card, lacking),
        "frames_per_second": _entry(speed.get("frames_per_second"), timed, _UNTIMED),
        "parameters": _entry(speed.get("parameters"), sizes, _UNTIMED),
        "weights_mb": _entry(speed.get("weights_mb"), sizes, _UNTIMED),
    }


def made_by(folder: Path) -> str:
    """Commit, machine and libraries that trained a run, in words; empty for anything else."""
    there = RunFolder(folder).starts()
    if not there:
        return ""
    last = there[-1]
    packages = last["packages"] if isinstance(last.get("packages"), dict) else {}
    told = [
        f"commit {str(last.get('commit') or 'n/a')[:10]}",
        *(f"{name} {packages[name]}" for name in ("gstalker", "torch") if packages.get(name)),
        f"{last.get('cores')} cores {last.get('machine')}",
        *([f"features {last['features']}"] if last.get("features") else []),
        *_scheduled(naming.read_config(folder)),
    ]
    return ", ".join(told)


def _scheduled(config: dict[str, Any]) -> Iterator[str]:
    """How much of its method's schedule a run was given, and why so much."""
    share, minutes = config.get("schedule"), config.get("minutes")
    if share is not None:
        why = "" if minutes is None else f", measured to take {minutes:g} minutes"
        yield f"{share:g} of its schedule{why}"


def _entry(value: Any, machine: dict[str, Any], lacking: str) -> Entry:
    if not isinstance(value, int | float) or not abs(value) <= MOST:  # NaN is not
        return {"value": "n/a", "reason": lacking}
    return {"mean": float(value), "protocol": json.dumps(machine), "words": machine}


def _card(told: Any, device: str) -> dict[str, Any]:
    machine = told if isinstance(told, dict) else {}
    names = ("machine", "processor", "cores", "threads", "kernels")
    return {"device": device, **{name: machine.get(name) for name in names}}
