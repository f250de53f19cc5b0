"""A method's schedule, longer or shorter: everything that is counted in steps, by one share.

The rule is of names, so it holds for every method, a stranger's too: a field called ``steps``, or
whose name ends in ``_steps`` or ``_step``, is a length or a moment of training and is scaled. How
often something happens (``every_steps``) and how much is done at once (``frames_per_step``) is not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

from gstalker import config as configuration
from gstalker import files
from gstalker.config import RunConfig
from gstalker.data.capture import Capture
from gstalker.errors import ConfigError

_RATES = ("every", "per")
"""Words of names that say how often or how much, not when."""


def method_config(config: RunConfig) -> Any:
    """The method's config with the run's share of its steps.

    Raises:
        ConfigError: the share was to be measured, and nobody did.
    """
    if is_open(config):
        raise ConfigError(
            f"minutes={config.minutes:g}: how many steps that is was not measured yet.\n"
            "  gstalker train and gstalker sweep measure it; or say it yourself: schedule=SHARE"
        )
    return scaled(config.method.config, config.schedule or 1.0)


def scaled(part: Any, share: float) -> Any:
    """A config dataclass whose lengths and moments are ``share`` of what they were.

    What was at least one step stays at least one; 0, which means never or at once, stays 0.
    """
    if share == 1.0 or not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    changed = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if is_moment(field.name) and isinstance(value, int) and value > 0:
            changed[field.name] = max(round(value * share), 1)
        elif dataclasses.is_dataclass(value):
            changed[field.name] = scaled(value, share)
    return replace(part, **changed)


def is_moment(name: str) -> bool:
    """Whether a field of this name is a length or a moment of training.

    >>> [is_moment(name) for name in ("steps", "decay_steps", "stop_step", "smooth_from_step")]
    [True, True, True, True]
    >>> [is_moment(name) for name in ("every_steps", "reset_every_steps", "frames_per_step")]
    [False, False, False]
    """
    words = name.split("_")
    return words[-1] in ("step", "steps") and not set(words) & set(_RATES)


# ---------------------------------------------------------------------- minutes as a share


def is_open(config: RunConfig) -> bool:
    """Whether the steps that a config's minutes allow are not known yet."""
    return config.minutes is not None and config.schedule is None


def settled(config: RunConfig, capture: Capture) -> RunConfig:
    """The config with the schedule that its minutes were measured to allow, if they were.

    A config without minutes, or whose schedule is given, is settled already.
    """
    path = pace_path(config, capture)
    if not is_open(config) or not path.is_file():
        return config
    told = files.read_object(path).get("schedule")
    if not isinstance(told, int | float):
        raise ConfigError(f"{path} is damaged: it tells no schedule. Delete it to measure again.")
    return replace(config, schedule=float(told))


def pace_path(config: RunConfig, capture: Capture) -> Path:
    """Where the measurement lies; one for all seeds."""
    key = configuration.fingerprint(replace(config, seed=0, schedule=None), capture.content_id)
    kind = config.method.name.rpartition(":")[2]
    return Path(config.runs) / "paces" / f"{kind}-{capture.name}-{key[:6]}.json"
