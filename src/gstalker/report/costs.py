"""What a run cost and what made it: minutes, memory, speed, commit; as its files tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gstalker import files
from gstalker.experiment.runs import RunFolder

Entry = dict[str, Any]


def costs(run: RunFolder, device: str) -> dict[str, Entry]:
    """Entries as in ``scores.json`` for what has to do with the machine.

    They carry a protocol of their own, the machine: times of two machines may not be compared.
    """
    status = _read(run.path / "status.json")
    card = _card(next(iter(starts(run.path)), {}), device)
    spent = [v for k, v in status.items() if k.endswith("_minutes") and isinstance(v, int | float)]
    speed = _read(run.path / "speed.json")
    timed = _card(speed.get("machine") or {}, device)
    timed |= {k: speed[k] for k in ("width", "height", "threads") if k in speed}
    return {
        "train_minutes": _entry(float(sum(spent)) if spent else None, card, "status.json"),
        "peak_memory_mib": _entry(status.get("peak_memory_mib"), card, "status.json"),
        "frames_per_second": _entry(speed.get("frames_per_second"), timed, "speed.json"),
    }


def starts(folder: Path) -> list[dict[str, Any]]:
    """What ``provenance.json`` tells of each start of training; empty if it is not there."""
    return list(_read(folder / "provenance.json").get("starts") or [])


def made_by(folder: Path) -> str:
    """Commit, machine and libraries that trained a run, in words; empty for anything else."""
    there = starts(folder)
    if not there:
        return ""
    last, packages = there[-1], there[-1].get("packages") or {}
    told = [
        f"commit {str(last.get('commit'))[:10]}",
        *(f"{name} {packages[name]}" for name in ("gstalker", "torch") if packages.get(name)),
        f"{last.get('cores')} cores {last.get('machine')}",
        *([f"features {last['features']}"] if last.get("features") else []),
    ]
    return ", ".join(told)


def _entry(value: Any, machine: dict[str, Any], file: str) -> Entry:
    if not isinstance(value, int | float):
        return {"value": "n/a", "reason": f"{file} does not tell it"}
    return {"mean": float(value), "protocol": json.dumps(machine), "words": machine}


def _card(machine: dict[str, Any], device: str) -> dict[str, Any]:
    names = ("machine", "cores", "threads", "kernels")
    return {"device": device, **{name: machine.get(name) for name in names}}


def _read(path: Path) -> dict[str, Any]:
    return dict(files.read_json(path)) if path.is_file() else {}
