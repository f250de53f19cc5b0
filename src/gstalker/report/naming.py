"""What sets runs apart, and so how a table calls them: ``gstalker method.deform.torso=null``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gstalker.errors import RunError

_LATER = ("train_minutes", "minutes", "schedule")
_BESIDES = {"capture", "seed", "runs", "logger", "threads", "device"}
"""Keys of a config in which runs of one row may differ."""


def read_config(folder: Path) -> dict[str, Any]:
    """A run's frozen config as plain values; it is whole, so no schema is needed to read it.

    Raises:
        RunError: it is damaged.
    """
    import json

    import yaml

    path = folder / "config.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is
    try:
        told = yaml.load(path.read_text(), loader)  # both are safe
        json.dumps(told, default=str)  # refuses a part that holds itself
        return {**told, "capture": str(told["capture"]), "seed": int(told["seed"])}
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise RunError(f"{path} is not a run's config ({type(error).__name__}).") from error


def told_config(folder: Path) -> dict[str, Any]:
    """What a run is, but for its capture and seed: ``method.deform.steps`` to its value."""
    if not (folder / "config.yaml").is_file():  # a scores.json that was copied away from its run
        return {"method.name": folder.resolve().name}
    config = read_config(folder)
    if config.get("minutes") is not None:
        config.pop("schedule", None)  # found by measuring, so it differs between captures
    for key in _LATER:
        if config.get(key) is None:
            config.pop(key, None)  # runs of earlier versions lack it
    return dict(_flat({k: v for k, v in config.items() if k not in _BESIDES}))


def _flat(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from _flat(value, f"{key}.{name}".strip("."))
    else:
        yield key, node


def names(configs: Sequence[dict[str, Any]]) -> list[str]:
    """The method's name, and whatever the first config has differently."""
    base = configs[0] if configs else {}
    return [" ".join([str(c.get("method.name", "?")), *_apart(c, base)]) for c in configs]


def _apart(config: dict[str, Any], base: dict[str, Any]) -> Iterator[str]:
    """``key=value`` of what differs; a part that is off (``null``) covers all that was in it."""
    for key in dict.fromkeys([*config, *base]):
        there = key in config
        same = there == (key in base) and config.get(key) == base.get(key)
        if same or key == "method.name":
            continue
        if there:
            yield f"{key}={'null' if config[key] is None else config[key]}"
        elif not any(config.get(top, "") is None for top in _above(key)):
            yield f"{key} absent"


def _above(key: str) -> Iterator[str]:
    parts = key.split(".")
    return (".".join(parts[:k]) for k in range(1, len(parts)))
