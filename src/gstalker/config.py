"""What a run is: typed, typo-proof, frozen, and with a name that follows from its content.

Layers, weakest first: dataclass defaults, the files in ``include:``, the file itself, ``key=value``
from the command line. The ``method`` node is merged into that method's own ``Config`` dataclass, so
a key that nobody reads is an error. YAML trees end here: everybody else gets dataclasses.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from gstalker import files, limits
from gstalker.errors import ConfigError
from gstalker.limits import Count, Positive, Seed
from gstalker.plugins import did_you_mean, resolve

_WHERE = {"where": True}
"""Marks a field that says where or how conveniently a run runs, not what it is."""
_LATER = {"later": True}
"""Marks a field that runs of earlier versions lack. Its default is what they did, and while it has
that value it is no part of a run's name."""
Schema = TypeVar("Schema")


@dataclass(frozen=True)
class Named:
    """A backend chosen by name."""

    name: str
    """A key of the seam's table, or ``module:Class``."""


@dataclass(frozen=True)
class Choice(Named):
    """A part chosen by name, with that part's own config; one flat node in YAML."""

    config: Any = None
    """An instance of the ``Config`` dataclass of the class that ``name`` names."""


@dataclass(frozen=True)
class RunConfig:
    """One training run, whole and frozen."""

    capture: str = field(default="", metadata=_WHERE)
    """The capture folder; a run is named by the capture's content, not by where it lies."""
    seed: Seed = 0
    """Of every random choice."""
    runs: str = field(default="runs", metadata=_WHERE)
    """Where run folders go."""
    train_minutes: Positive | None = field(default=None, metadata=_LATER)
    """Minutes of the training part to learn from, its first; null: all. The test part stays."""
    stages: tuple[str, ...] | None = None
    """Which of the method's stages to train, in the method's own order; null: all of them."""
    minutes: Positive | None = field(default=None, metadata=_LATER)
    """Wall time that the steps of training may take, looks at validation frames not counted: some
    are tried on this machine, and ``schedule`` is set from what they cost and frozen. null: any."""
    schedule: Positive | None = field(default=None, metadata=_LATER)
    """Share of all that the method's config counts in steps (``steps``, ``decay_steps``,
    ``stop_step``) that is trained; may be above 1. null: 1, or measured where ``minutes`` asks."""
    method: Any = field(default_factory=lambda: Choice("gstalker"))
    """The method and all its values."""
    logger: Named = field(default_factory=lambda: Named("csv"), metadata=_WHERE)
    """csv, tensorboard, wandb, none."""
    rasterizer: Named = field(default_factory=lambda: Named("auto"))
    """auto, native, reference, gsplat, inria, or ``module:Class``."""
    threads: Count | None = field(default=None, metadata=_WHERE)
    """CPU threads; null: as many as torch chooses."""
    device: Literal["cpu", "cuda"] = field(default="cpu", metadata=_WHERE)
    """Where tensors live."""

    def __post_init__(self) -> None:
        if self.stages is not None and not self.stages:
            raise ConfigError("stages is empty; name some of the method's, or null for all of them")


@dataclass(frozen=True)
class _Layer:
    """Values from one place, and the place's name for messages."""

    source: str
    """For messages: ``in FILE`` or ``on the command line``."""
    values: DictConfig
    override: str = ""
    """The text ``key=value`` that it comes from, if it does."""


# ---------------------------------------------------------------------- composing


def compose(
    file: str | Path,
    overrides: Sequence[str] = (),
    *,
    row: tuple[str, Sequence[str]] = ("", ()),
    complete: bool = True,
) -> RunConfig:
    """The frozen config of a YAML file and ``key=value`` overrides.

    Args:
        file: a run's YAML, which may ``include:`` others, named relative to itself.
        overrides: strongest last.
        row: ``key=value`` of an experiment's row, weaker than ``overrides``, after the words that
            say for messages where they stand: ``in row 'x' of FILE``.
        complete: refuse a config without a capture.

    Raises:
        ConfigError: a file, key or value is wrong; says the whole key, where it stands, and what
            was probably meant.
    """
    told, inner = row
    layers = [*_file_layers(Path(file), ()), *_override_layers(inner, told)]
    config = _run_config([*layers, *_override_layers(overrides)])
    if complete and not config.capture:
        raise ConfigError(
            "no capture is named.\n  Add capture=FOLDER; to make one: gstalker prepare VIDEO FOLDER"
        )
    return config


def from_overrides(schema: type[Schema], overrides: Sequence[str]) -> Schema:
    """An instance of a config dataclass with some values changed.

    Args:
        schema: the dataclass; its defaults hold where nothing is said.
        overrides: ``key=value``, strongest last.

    Raises:
        ConfigError: a key or value is wrong.
    """
    return _to_object(_merged(OmegaConf.structured(schema), _override_layers(overrides)))


def from_file(schema: type[Schema], file: str | Path, overrides: Sequence[str] = ()) -> Schema:
    """An instance of a config dataclass with the values of a YAML file, then those of overrides.

    Raises:
        ConfigError: a file, key or value is wrong.
    """
    layers = [*_file_layers(Path(file), ()), *_override_layers(overrides)]
    return _to_object(_merged(OmegaConf.structured(schema), layers))


def to_type(file: str = "configs/gstalker.yaml") -> Path:
    """One of GSTalker's own configs as it is to be typed in this folder: whole in another's."""
    whole = files.CHECKOUT / file
    return whole if whole.is_file() and not Path(file).is_file() else Path(file)


def top_value(file: str | Path, key: str) -> Any:
    """What stands at the top of a YAML file under ``key``; ``None`` if nothing does.

    Raises:
        ConfigError: it cannot be read.
    """
    return _read(Path(file)).get(key)


def merged_value(file: str | Path, key: str) -> Any:
    """:func:`top_value` of the file or of what it includes, the strongest of them."""
    found = [layer.values.get(key) for layer in _file_layers(Path(file), ())]
    return next((value for value in reversed(found) if value is not None), None)


def _run_config(layers: list[_Layer]) -> RunConfig:
    _refuse_bare_names(layers)
    name = _method_name(layers)
    method_config = _config_class(name)
    schema = OmegaConf.structured(RunConfig)
    with read_write(schema):
        schema.method = OmegaConf.structured(_with_name(method_config, name))
    run = _to_object(_merged(schema, layers))
    if not isinstance(run.method, method_config):
        raise ConfigError(f"method is a node with a name and values, but found: {run.method}")
    values = {f.name: getattr(run.method, f.name) for f in fields(method_config)}
    return dataclasses.replace(run, method=Choice(name, method_config(**values)))


def _merged(schema: DictConfig, layers: Sequence[_Layer]) -> DictConfig:
    tree = schema
    for layer in layers:
        try:
            tree = OmegaConf.merge(tree, _with_text(layer, tree))  # type: ignore[assignment]
        except OmegaConfBaseException as error:
            raise ConfigError(_explain(error, layer)) from error
    return tree


def _to_object(tree: DictConfig) -> Any:
    try:
        OmegaConf.resolve(tree)
        made = OmegaConf.to_object(tree)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    limits.check(made)
    return made


def _with_name(schema: type, name: str) -> type:
    """The dataclass with ``name`` beside its fields, as the node stands in YAML."""
    if any(f.name == "name" for f in fields(schema)):
        raise ConfigError(f"{schema.__qualname__} must not have a field called 'name'.")
    frozen = schema.__dataclass_params__.frozen  # type: ignore[attr-defined]
    entry = ("name", str, field(default=name))
    return dataclasses.make_dataclass(schema.__name__, [entry], bases=(schema,), frozen=frozen)


def _config_class(method: str) -> type:
    from gstalker.methods import METHODS

    found = getattr(resolve(METHODS, method), "Config", None)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ConfigError(f"method '{method}' has no 'Config' dataclass, so it is not a method.")
    return found


def _method_name(layers: Sequence[_Layer]) -> str:
    named = [OmegaConf.select(layer.values, "method.name") for layer in layers]
    return str(next((name for name in reversed(named) if name is not None), "gstalker"))


def _refuse_bare_names(layers: Sequence[_Layer]) -> None:
    for layer in layers:
        for key in ("method", "logger", "rasterizer"):
            value = OmegaConf.select(layer.values, key)
            if value is not None and not isinstance(value, DictConfig):
                raise ConfigError(f"{key}={value} {layer.source}: write {key}.name={value}")


# ---------------------------------------------------------------------- layers


def _file_layers(path: Path, above: tuple[Path, ...]) -> list[_Layer]:
    """The files that ``path`` includes, weakest first, then itself."""
    place = path.resolve()
    if place in above:
        chain = " -> ".join(p.name for p in [*above, place])
        raise ConfigError(f"{path} includes itself: {chain}.")
    values = _read(path)
    include = values.pop("include", [])
    names = [include] if isinstance(include, str) else list(include or [])
    inner = [_file_layers(path.parent / str(name), (*above, place)) for name in names]
    return [*(layer for layers in inner for layer in layers), _Layer(f"in {path}", values)]


def _read(path: Path) -> DictConfig:
    try:
        values = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        ours = files.CHECKOUT / path
        there = "" if path.exists() or not ours.is_file() else f"\n  GSTalker's own is {ours}."
        raise ConfigError(f"config file {path} cannot be read: {reason}.{there}") from error
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, DictConfig):
        raise ConfigError(f"{path} is not a config: expected 'key: value' lines at its top.")
    return values


def _override_layers(overrides: Sequence[str], source: str = "on the command line") -> list[_Layer]:
    for text in overrides:
        key, equals, _ = text.partition("=")
        if not equals or not key.strip() or key != key.strip():
            raise ConfigError(f"'{text}' is not of the form key=value.")
    try:
        return [_Layer(source, OmegaConf.from_dotlist([o]), o) for o in overrides]
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{source}: {' '.join(str(error).split())}") from error


def _with_text(layer: _Layer, tree: DictConfig) -> DictConfig:
    """An override whose key wants text, as text: ``capture=2024_01`` is not the number 202401."""
    key, equals, text = layer.override.partition("=")
    wants_text = equals and isinstance(_select(tree, key), str)
    if wants_text and isinstance(_select(layer.values, key), int | float):
        return OmegaConf.from_dotlist([f"{key}='{text}'"])
    return layer.values


def _select(tree: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(tree, key)
    except OmegaConfBaseException:
        return None


def _explain(error: OmegaConfBaseException, layer: _Layer) -> str:
    key = getattr(error, "full_key", None)
    if isinstance(error, ConfigKeyError) and error.parent_node is not None:
        known = [str(k) for k in error.parent_node]
        word = str(key).rpartition(".")[2]
        hint = did_you_mean(word, known)
        return f"unknown key '{key}' {layer.source}{hint}\n  Known here: {', '.join(known)}."
    where = f"{key} {layer.source}" if key else layer.source
    return f"{where}: {str(error).splitlines()[0].rstrip('.')}."


# ---------------------------------------------------------------------- keeping


def as_dict(config: RunConfig) -> dict[str, Any]:
    """Plain values, the method's beside its name, as they stand in YAML."""
    plain = dataclasses.asdict(config)
    plain["stages"] = None if config.stages is None else list(config.stages)
    plain["method"] = {"name": config.method.name, **plain["method"]["config"]}
    return json.loads(json.dumps(plain))


def to_yaml(config: RunConfig) -> str:
    """The whole config as plain YAML; :func:`load` reads it back."""
    return yaml.safe_dump(as_dict(config), sort_keys=False, allow_unicode=True)


def save(config: RunConfig, path: Path) -> None:
    """Write the whole config, defaults included."""
    files.write_text(path, to_yaml(config))


def load(path: Path, where: Sequence[str] = ()) -> RunConfig:
    """Read what :func:`save` wrote.

    Args:
        path: of the file.
        where: ``key=value`` that say where things are now: ``device=cpu``, ``capture=FOLDER``.

    Raises:
        ConfigError: it cannot be read, is cut short, or is of another version of the program; or
            an override would change what the run is.
    """
    values = _read(path)
    movable = [f.name for f in fields(RunConfig) if f.metadata.get("where")]
    for layer in (changes := _override_layers(where)):
        key = layer.override.partition("=")[0]
        if key.partition(".")[0] not in movable:
            raise ConfigError(
                f"{layer.override} would make another run of it; here only these may be changed: "
                + ", ".join(movable)
            )
    needed = [f.name for f in fields(RunConfig) if not f.metadata.get("later")]
    lacking = [name for name in needed if name not in values]
    if lacking:
        raise ConfigError(f"{path} is damaged: it lacks {', '.join(lacking)}. Train the run again.")
    return _run_config([_Layer(f"in {path}", values), *changes])


def fingerprint(config: RunConfig, content_id: str) -> str:
    """Hex digest of what a run is: everything but where it runs, and the content of its capture.

    Args:
        config: the run's.
        content_id: the capture's ``content_id``; folders may be moved, content is what counts.
    """
    silent = {
        f.name
        for f in fields(RunConfig)
        if f.metadata.get("where")
        or (f.metadata.get("later") and getattr(config, f.name) == f.default)
    }
    told = {key: value for key, value in as_dict(config).items() if key not in silent}
    text = json.dumps({**told, "content_id": content_id}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
