"""Which runs make a table: rows x captures x seeds become frozen configs, each with its folder.

An experiment is a YAML file of rows, each a method's config and what differs from it; a run's
config with several values for a key is an experiment too. Nothing here writes or starts anything,
but for ``freeze`` and ``save``.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gstalker import config as configuration
from gstalker import files
from gstalker.config import RunConfig
from gstalker.data.capture import Capture
from gstalker.errors import ConfigError
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.experiment.schedule import settled
from gstalker.limits import Seed
from gstalker.metrics import vocabulary
from gstalker.metrics.protocol import Protocol
from gstalker.plugins import did_you_mean

_SINGULAR = {"capture": "captures", "seed": "seeds"}
"""A run's word for what an experiment has several of; on the command line both will do."""
_TAKEN = ("capture", "seed", "runs")
"""What the plan gives to every trial, so no row may."""


@dataclass(frozen=True)
class ExperimentFile:
    """What stands in an experiment's YAML."""

    rows: dict[str, dict[str, Any]]
    """Name of a row: what differs in it, ``key: value``; ``config`` names another config file."""
    title: str = ""
    """Of the table."""
    name: str = ""
    """Of its folder among the sweeps; by default the file's."""
    config: str = ""
    """The rows' config file, relative to this one."""
    captures: list[str] = field(default_factory=list)
    """Capture folders."""
    seeds: list[Seed] = field(default_factory=lambda: [0])
    """Each row is trained once for each."""
    common: dict[str, Any] = field(default_factory=dict)
    """What differs in every row alike."""
    speech: list[str] = field(default_factory=list)
    """Files with other people's sound that every trained head is driven with."""
    speed: bool = False
    """Measure how fast every trained head paints."""
    measure: dict[str, Any] = field(default_factory=dict)
    """What is scored as well, as ``evaluate`` takes it: ``sync: true``,
    ``identity: my_lab.faces:Embed``."""
    columns: list[str] = field(default_factory=list)
    """Metrics of the table, for who prints it; empty: the usual ones."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    config: Path
    """The method's config file."""
    overrides: tuple[str, ...]
    """``key=value`` of the row."""


@dataclass(frozen=True)
class Trial:
    """One run of the table: train, evaluate, and drive or time it if the experiment says so."""

    row: str
    capture: str
    """Name of the capture."""
    seed: int
    config: RunConfig
    run: RunFolder
    fingerprint: str
    speech: tuple[str, ...] = ()
    speed: bool = False
    measure: tuple[str, ...] = ()
    """``key=value`` of what is scored as well."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.row}, {self.capture}, seed {self.seed}"

    def freeze(self) -> None:
        """Write the run's config, unless it is there.

        Raises:
            ConfigError: the folder is another run's, by a coincidence of short names.
        """
        if not self.run.config_path.exists():
            configuration.save(self.config, self.run.config_path)
            return
        there = self.run.config([f"capture={json.dumps(self.config.capture)}"])
        content = open_capture(there).content_id
        if configuration.fingerprint(there, content) != self.fingerprint:
            raise ConfigError(
                f"{self.run.path} holds another run than '{self.name}', though their names are "
                "alike.\n  Choose another folder for the runs: --out FOLDER"
            )


@dataclass(frozen=True)
class Plan:
    """All trials of an experiment."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    trials: tuple[Trial, ...]
    folder: Path
    """Of this sweep: ``OUT/sweeps/NAME``."""

    def save(self) -> Path:
        """Write ``sweep.json``, the list of trials for who makes a table of them.

        ``experiment`` and ``title``; ``columns``; ``rows``, each with ``name``, ``config`` and
        ``overrides``; ``trials``, each with ``row``, ``capture``, ``seed``, ``run`` (its folder,
        relative to the file's own) and ``driven`` (speech to mp4, relative to the run).
        """
        path = self.folder / "sweep.json"
        listed = {
            "experiment": self.name,
            "title": self.title,
            "columns": list(self.columns),
            "rows": [
                {"name": row.name, "config": str(row.config), "overrides": list(row.overrides)}
                for row in self.rows
            ],
            "trials": [
                {
                    "row": trial.row,
                    "capture": trial.capture,
                    "seed": trial.seed,
                    "run": os.path.relpath(trial.run.path, self.folder),
                    "driven": {
                        speech: os.path.relpath(trial.run.driven_path(speech), trial.run.path)
                        for speech in trial.speech
                    },
                }
                for trial in self.trials
            ],
        }
        files.write_json(path, listed)
        return path

    def unique(self) -> list[Trial]:
        """Trials whose runs differ: two rows may come to the same run, which is made once."""
        return list({trial.run.path: trial for trial in self.trials}.values())


def read(file: str | Path, overrides: Sequence[str] = (), out: str | Path = "runs") -> Plan:
    """The plan of an experiment's file, or of a run's config and a grid.

    Args:
        file: an experiment (it has ``rows``) or a run's config.
        overrides: ``key=value``; ``key=a,b`` runs every row with each of the values.
        out: where run folders go.

    Raises:
        ConfigError: a file, key or value is wrong, or nothing says on which captures.
        CaptureError: a capture cannot be used.
    """
    file, out = Path(file), Path(out)
    own, grid = _sorted_out(overrides)
    experiment = _experiment(file, own)
    _check(experiment)
    plain = [_row(file, experiment, name) for name in experiment.rows]
    rows = [_with(row, choice, grid) for row in plain for choice in _choices(grid)]
    trials = _trials([(row.name, _compose(file, row, out)) for row in rows], experiment)
    _check_names(trials)
    name = f"{file.stem}-grid" if is_run(file) else sweep_name(file)
    columns, folder = tuple(experiment.columns), out / "sweeps" / name
    return Plan(name, experiment.title, columns, tuple(rows), tuple(trials), folder)


def _trials(rows: Sequence[tuple[str, RunConfig]], experiment: ExperimentFile) -> list[Trial]:
    """Every row on every capture with every seed."""
    captures: dict[tuple[str, float | None], Capture] = {}
    trials = []
    each = itertools.product(rows, experiment.captures, experiment.seeds)
    for (name, base), folder, seed in each:
        config = replace(base, capture=folder, seed=seed)
        key = (folder, config.train_minutes)
        capture = captures[key] = captures.get(key) or open_capture(config)
        config = settled(config, capture)
        trials.append(
            Trial(
                row=name,
                capture=capture.name,
                seed=seed,
                config=config,
                run=RunFolder.of(config, capture),
                fingerprint=configuration.fingerprint(config, capture.content_id),
                speech=tuple(experiment.speech),
                speed=experiment.speed,
                measure=tuple(f"{k}={json.dumps(v)}" for k, v in experiment.measure.items()),
            )
        )
    return trials


def _check(experiment: ExperimentFile) -> None:
    speech, measure = experiment.speech, experiment.measure
    if not experiment.captures:
        raise ConfigError("no capture is named.\n  Add captures=FOLDER,FOLDER")
    if not experiment.rows or not experiment.seeds:
        lacking = "seeds: there is none" if experiment.rows else "rows: there is none"
        raise ConfigError(f"{lacking}, so nothing would run.")
    for key in ("captures", "seeds"):
        several = getattr(experiment, key)
        twice = [value for k, value in enumerate(several) if value in several[:k]]
        if twice:
            raise ConfigError(f"{key}: {twice[0]} stands there twice; a table counts it once.")
    configuration.from_overrides(Protocol, [f"{k}={json.dumps(v)}" for k, v in measure.items()])
    for name in experiment.columns:
        if name != "all" and not vocabulary.is_known(name):
            hint = did_you_mean(name, vocabulary.names())
            raise ConfigError(
                f"columns: no metric is called '{name}'{hint}\n"
                f"  Known: all, {', '.join(vocabulary.names())}."
            )
    if len({Path(path).stem for path in speech}) < len(speech):
        raise ConfigError(f"speech: two files have the same name: {', '.join(speech)}")
    for path in speech:
        if not Path(path).is_file():
            raise ConfigError(f"speech: there is no file {path}")


def is_run(file: Path) -> bool:
    """Whether a file is a run's config and no experiment, which has rows or includes some."""
    return configuration.merged_value(file, "rows") is None


def sweep_name(file: Path) -> str:
    """Of an experiment's folder among the sweeps.

    Raises:
        ConfigError: it is no name of a folder.
    """
    name = str(configuration.top_value(file, "name") or file.stem)
    if Path(name).name != name:
        raise ConfigError(f"name in {file} is '{name}'; give the name of one folder.")
    return name


def _experiment(file: Path, own: list[str]) -> ExperimentFile:
    if not is_run(file):
        return configuration.from_file(ExperimentFile, file, own)
    with_row = [f"rows={json.dumps({file.stem: {}})}", f"config={json.dumps(file.name)}"]
    return configuration.from_overrides(ExperimentFile, [*with_row, *own])


def _sorted_out(overrides: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Those that are the experiment's own, and the values of every other key."""
    lists = ("captures", "seeds", "speech", "columns")
    own, grid = [], {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or key != key.strip():
            raise ConfigError(f"'{text}' is not of the form key=value.")
        key, values = _SINGULAR.get(key, key), split_values(value)
        if key in lists:
            own.append(text if value[:1] == "[" else f"{key}=[{','.join(map(_quoted, values))}]")
        elif key.partition(".")[0] in ("speed", "measure"):
            own.append(text)
        elif key == "runs":
            raise ConfigError(f"{text}: a sweep's runs go where --out says.")
        else:
            grid[key] = values
    return own, grid


def _quoted(value: str) -> str:
    """Text that YAML must not take for anything else; numbers and quoted text stay."""
    return value if value.isdecimal() or value[:1] in ("'", '"') else json.dumps(value)


def split_values(text: str) -> list[str]:
    """Values between commas, those inside of brackets and quotes left whole.

    >>> split_values("1,2")
    ['1', '2']
    >>> split_values("[static,deform],'a,b'")
    ['[static,deform]', "'a,b'"]
    """
    values, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += (letter in "[{") - (letter in "]}") if not quote else 0
        if letter == "," and not depth and not quote:
            values.append("")
        else:
            values[-1] += letter
    return values


def _row(file: Path, experiment: ExperimentFile, name: str) -> Row:
    values = {**experiment.common, **experiment.rows[name]}
    config = values.pop("config", experiment.config)
    if not config:
        raise ConfigError(f"row '{name}' of {file} names no config file: add 'config: FILE'.")
    for key in _TAKEN:
        if key in values:
            raise ConfigError(f"row '{name}' of {file} sets {key}, which the sweep gives.")
    overrides = tuple(f"{key}={json.dumps(value)}" for key, value in values.items())
    return Row(name, file.parent / str(config), overrides)


def _choices(grid: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _with(row: Row, choice: Mapping[str, str], grid: Mapping[str, list[str]]) -> Row:
    """The row with one choice of the grid; keys with several values become part of its name."""
    several = {key: value for key, value in choice.items() if len(grid[key]) > 1}
    leaves = [key.rpartition(".")[2] for key in several]
    told = [
        f"{leaf if leaves.count(leaf) == 1 else key}={value}"
        for leaf, (key, value) in zip(leaves, several.items(), strict=True)
    ]
    overrides = (*row.overrides, *(f"{key}={value}" for key, value in choice.items()))
    return Row(", ".join([row.name, *told]), row.config, overrides)


def _compose(file: Path, row: Row, out: Path) -> RunConfig:
    """A row's config, but for the capture and the seed."""
    told = (f"in row '{row.name}' of {file}", row.overrides)
    given = [f"runs={json.dumps(str(out))}"]
    return configuration.compose(row.config, given, row=told, complete=False)


def _check_names(trials: Sequence[Trial]) -> None:
    """Captures are told apart by name in the table, so two must not share one."""
    folders: dict[str, str] = {}
    for trial in trials:
        if folders.setdefault(trial.capture, trial.config.capture) != trial.config.capture:
            raise ConfigError(
                f"captures: {folders[trial.capture]} and {trial.config.capture} are both called "
                f"'{trial.capture}'; a table could not tell them apart."
            )
