"""Numbers of a config that have limits, as types: ``steps: Count = 4000``.

Whoever reads a config calls :func:`check`, so a value that nothing could be made of is refused
before anything starts, by its whole key. A float without a type of these may be anything but NaN
and infinite.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from gstalker.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """What a number may be."""

    least: float
    most: float = math.inf
    above: bool = False
    """Whether ``least`` itself is not allowed."""

    def allow(self, value: float) -> bool:
        """Whether ``value`` lies within; NaN and infinity never do."""
        fits = self.least < value if self.above else self.least <= value
        return fits and value <= self.most and -math.inf < value < math.inf

    def __str__(self) -> str:
        if self.most < math.inf:
            return f"{self.least:,} to {self.most:,}"
        return f"more than {self.least}" if self.above else f"{self.least} or more"


_MANY = 1_000_000_000

Count = Annotated[int, Limits(1, _MANY)]
Whole = Annotated[int, Limits(0, _MANY)]
Amount = Annotated[float, Limits(0)]
Positive = Annotated[float, Limits(0, above=True)]
Share = Annotated[float, Limits(0, 1)]
Degree = Annotated[int, Limits(0, 3)]
"""Of spherical harmonics."""
Seed = Annotated[int, Limits(0, 4_000_000)]
"""Stages take a thousand times as much, and generators 32 bits."""

_ANY = Limits(-math.inf)


def check(config: Any, key: str = "") -> None:
    """Refuse a config dataclass in which a number is beyond its limits.

    Args:
        config: with all the dataclasses inside of it.
        key: where it stands, for the message.

    Raises:
        ConfigError: says the whole key, what it is and what it may be.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        name, value = f"{key}.{field.name}".strip("."), getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            check(value, name)
            continue
        limits = next(_told(hints[field.name]), _ANY)
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int | float) and not limits.allow(number):
                or_null = ", or null" if type(None) in get_args(hints[field.name]) else ""
                what = "a finite number" if limits is _ANY else str(limits)
                raise ConfigError(f"{name} is {reprlib.repr(number)}; give {what}{or_null}.")


def _told(hint: Any) -> Iterator[Limits]:
    """The limits in a type, in a union or a list of types."""
    if get_origin(hint) is Annotated:
        yield from (told for told in hint.__metadata__ if isinstance(told, Limits))
    elif get_origin(hint) in (Union, UnionType, list, tuple):
        for inner in get_args(hint):
            yield from _told(inner)
