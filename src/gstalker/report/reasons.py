"""Why our figures differ from the papers', said by hand and kept beside the experiments.

A YAML file: experiment, column (no detector's name behind it), two methods, a sentence or more::

    self_driven:
      lpips_alex:
        ER-NeRF, AD-NeRF: The perceptual terms are off at this size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gstalker.errors import ConfigError

Key = tuple[str, str, frozenset[str]]
"""Experiment, column, the two methods in any order."""


@dataclass
class Reasons:
    """What the file says, and what of it was used."""

    told: dict[Key, str] = field(default_factory=dict)
    _used: set[Key] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> Reasons:
        """The reasons of a file.

        Raises:
            ConfigError: it cannot be read, or is no such file.
        """
        try:
            tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        try:
            return cls(
                {
                    (str(experiment), str(column), _pair(methods, path)): " ".join(text.split())
                    for experiment, columns in tree.items()
                    for column, pairs in columns.items()
                    for methods, text in pairs.items()
                }
            )
        except AttributeError as error:
            raise ConfigError(
                f"{path} is no file of reasons.\n"
                "  Three levels are expected: experiment, column, 'METHOD, METHOD': sentence."
            ) from error

    def of(self, experiment: str, column: str, first: str, second: str) -> str:
        """The reason for a pair; empty where none was given."""
        key = (experiment, column, frozenset((first, second)))
        if key in self.told:
            self._used.add(key)
        return self.told.get(key, "")

    def unused(self, experiment: str) -> Iterator[str]:
        """Reasons for differences of an experiment that are no longer there, if there are such."""
        left = [key for key in self.told if key[0] == experiment and key not in self._used]
        if left:
            yield "### Reasons that fit nothing\n"
            yield "No difference needs them any more:\n"
        for _, column, methods in left:
            yield f"- {column}, {', '.join(sorted(methods))}"
        yield ""


def _pair(text: object, path: Path) -> frozenset[str]:
    names = frozenset(name.strip() for name in str(text).split(","))
    if len(names) != 2:
        raise ConfigError(
            f"{path}: '{text}' does not name two methods, as 'ER-NeRF, AD-NeRF' does."
        )
    return names
