"""What a run cost and what made it: minutes, memory, speed, commit; as its files tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gstalker import files
from gstalker.errors import GSTalkerError
from gstalker.experiment.runs import RunFolder

Entry = dict[str, Any]
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
    spent = [minutes for key, minutes in status.items() if key.endswith("_minutes")]
    speed = files.read_object(run.speed_path) if run.speed_path.is_file() else {}
    timed = _card(speed.get("machine"), device)
    timed |= {k: speed[k] for k in ("width", "height", "threads") if k in speed}
    return {
        "train_minutes": _entry(sum(spent) if spent else None, card, lacking),
        "peak_memory_mib": _entry(status.get("peak_memory_mib"), card, lacking),
        "frames_per_second": _entry(
            speed.get("frames_per_second"), timed, "speed.json does not tell it"
        ),
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
    ]
    return ", ".join(told)


def _entry(value: Any, machine: dict[str, Any], lacking: str) -> Entry:
    if not isinstance(value, int | float) or not abs(value) <= MOST:  # NaN is not
        return {"value": "n/a", "reason": lacking}
    return {"mean": float(value), "protocol": json.dumps(machine), "words": machine}


def _card(told: Any, device: str) -> dict[str, Any]:
    machine = told if isinstance(told, dict) else {}
    names = ("machine", "cores", "threads", "kernels")
    return {"device": device, **{name: machine.get(name) for name in names}}
