"""What sets runs apart, and so how a table calls them: ``gstalker deform.torso=null``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from gstalker.errors import RunError

_LATER = ("train_minutes", "minutes", "schedule")
_BESIDES = {"capture", "seed", "runs", "logger", "threads", "device"}
"""Keys of a config in which runs of one row may differ."""
_INSTEAD = {"minutes": "schedule", "schedule": "minutes"}
"""How long a run is, said in either way."""
TOLD = 3
"""Settings that a row's name tells; further ones are counted."""


def read_config(folder: Path) -> dict[str, Any]:
    """A run's frozen config as plain values; it is whole, so no schema is needed to read it.

    Raises:
        RunError: it is damaged.
    """
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
    """What to call rows: their method, and what they have differently from the row of that method
    which is most like the others.

    A key is told by as much of its end as no other key of the method shares. Rows that would be
    called alike are numbered; the folders beneath a table say which is which.

    Args:
        configs: of :func:`told_config`, no two the same.

    >>> full = {"method.name": "gstalker", "method.static.steps": 900, "method.deform.steps": 800}
    >>> names([full, {**full, "method.static.steps": 50}, {"method.name": "ad_nerf"}])
    ['gstalker', 'gstalker static.steps=50', 'ad_nerf']
    """
    told = []
    for config in configs:
        method = config.get("method.name", "?")
        alike = [other for other in configs if other.get("method.name", "?") == method]
        base, keys = _usual(alike), {key for other in alike for key in other}
        apart = [_words(key, config, base, keys) for key in _apart(config, base)]
        more = [f"and {len(apart) - TOLD} more"] if len(apart) > TOLD else []
        told.append(" ".join([str(method), *apart[:TOLD], *more]))
    return [
        name if told.count(name) == 1 else f"{name} ({told[: k + 1].count(name)})"
        for k, name in enumerate(told)
    ]


def _usual(configs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The config with the fewest differences from all others; the first of equals."""
    return min(configs, key=lambda base: sum(len(_apart(config, base)) for config in configs))


def _apart(config: dict[str, Any], base: dict[str, Any]) -> list[str]:
    """The keys that differ; a part that is off (``null``) covers all that the other has in it."""
    off = {key for side in (config, base) for key, value in side.items() if value is None}
    return [
        key
        for key in dict.fromkeys([*config, *base])
        if (key in config, config.get(key)) != (key in base, base.get(key))
        and key != "method.name"
        and not any(top in off for top in _above(key))
        and (key in config or _INSTEAD.get(key) not in config)
    ]


def _words(key: str, config: dict[str, Any], base: dict[str, Any], keys: AbstractSet[str]) -> str:
    """How the config differs from its base in a key."""
    ends = [key, *(key[k + 1 :] for k, sign in enumerate(key) if sign == ".")]
    end = [e for e in ends if sum(f".{other}".endswith(f".{e}") for other in keys) == 1][-1]
    if key in config:
        value = config[key]
        return f"{end}={value if isinstance(value, str) else json.dumps(value, default=str)}"
    return f"{end} {'on' if any(other.startswith(f'{key}.') for other in config) else 'absent'}"


def _above(key: str) -> Iterator[str]:
    parts = key.split(".")
    return (".".join(parts[:k]) for k in range(1, len(parts)))
