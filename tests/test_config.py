"""Configs: layers, mistakes, names and files. A method of the tests' own stands for all methods."""

import dataclasses

import pytest

from gstalker import config
from gstalker.errors import ConfigError

LAB = """
from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Grow:
    grow_grad2d: float = 0.5


@dataclass
class Part:
    steps: int = 10
    name: str = "frame"
    grow: Grow | None = None
    torso: Grow | None = field(default_factory=Grow)


@dataclass
class LabConfig:
    static: Part = field(default_factory=Part)
    deform: Part = field(default_factory=Part)


class Method:
    Config = LabConfig


class NoMethod:
    pass
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder with a method and a config for it."""
    (tmp_path / "config_lab.py").write_text(LAB)
    (tmp_path / "base.yaml").write_text(
        "capture: captures/me\nmethod: {name: 'config_lab:Method', static: {steps: 20}}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def compose(lab):
    return lambda *overrides, file="base.yaml": config.compose(lab / file, overrides)


# ---------------------------------------------------------------------- layers


def test_defaults_hold_where_nothing_is_said(compose):
    run = compose()
    assert (run.seed, run.runs, run.stages) == (0, "runs", None)
    assert run.method.config.deform.steps == 10


def test_the_file_beats_the_defaults_and_the_command_line_beats_the_file(compose):
    assert compose().method.config.static.steps == 20
    assert compose("method.static.steps=30").method.config.static.steps == 30
    assert compose("seed=1", "seed=2").seed == 2


def test_an_included_file_is_weaker_than_the_one_that_includes_it(compose, lab):
    (lab / "sub").mkdir()
    (lab / "sub" / "child.yaml").write_text(
        "include: [../base.yaml]\nmethod: {static: {steps: 7}}\n"
    )
    run = compose(file="sub/child.yaml")
    assert run.capture == "captures/me"
    assert run.method.config.static.steps == 7


def test_the_last_of_several_included_files_is_the_strongest(compose, lab):
    (lab / "a.yaml").write_text("seed: 1\nthreads: 1\n")
    (lab / "b.yaml").write_text("seed: 2\n")
    (lab / "c.yaml").write_text("include: [base.yaml, a.yaml, b.yaml]\n")
    run = compose(file="c.yaml")
    assert (run.seed, run.threads) == (2, 1)


def test_files_that_include_each_other_are_refused(compose, lab):
    (lab / "a.yaml").write_text("include: b.yaml\n")
    (lab / "b.yaml").write_text("include: a.yaml\n")
    with pytest.raises(ConfigError, match=r"a\.yaml -> b\.yaml -> a\.yaml"):
        compose(file="a.yaml")


def test_an_absent_part_can_be_asked_for_and_a_present_one_left_out(compose):
    run = compose("method.static.grow.grow_grad2d=0.7", "method.deform.torso=null")
    assert run.method.config.static.grow.grow_grad2d == 0.7
    assert run.method.config.deform.torso is None


def test_the_methods_config_is_an_instance_of_its_own_class(compose):
    assert type(compose().method.config).__name__ == "LabConfig"


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method.static.stepz=3", r"'method\.static\.stepz'.*Did you mean 'steps'"),
        ("method.static.grow.grow_grad=3", r"'method\.static\.grow\.grow_grad'.*'grow_grad2d'"),
        ("methd.static=3", "'methd'.*Did you mean 'method'"),
        ("method.static.steps=abc", r"^method\.static\.steps .*'abc'"),
        ("method.static.steps=1.5", r"^method\.static\.steps .*Integer"),
        ("seed=true", "^seed .*Integer"),
        ("seed=-1", "seed is -1"),
        ("threads=0", "threads is 0"),
        ("device=tpu", r"device .*\['cpu', 'cuda'\]"),
        ("stages=static", "^stages "),
        ("stages=[]", "stages is empty"),
        ("rasterizer=native", r"write rasterizer\.name=native"),
        ("method=gstalker", r"write method\.name=gstalker"),
        ("method=null", "method is a node"),
        ("method.name=gstalkr", "Did you mean 'gstalker'"),
        ("method.name=config_lab:NoMethod", "no 'Config' dataclass"),
        ("method.name=null", "^method.name "),
        ("seed", "not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("seed=[1", "on the command line"),
        ("seed=${nowhere}", "^seed"),
        ("capture=", "^capture "),
    ],
)
def test_a_mistake_is_answered_with_its_whole_key(compose, override, message):
    with pytest.raises(ConfigError, match=message):
        compose(override)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "duplicate key"),
        ("- 1\n", "is not a config"),
        ("seed: [\n", "is not YAML"),
        ("method: {name: 'config_lab:Method', static: {stepz: 1}}", r"stepz' in .*wrong\.yaml"),
        ("include: [nowhere.yaml]\n", r"nowhere\.yaml cannot be read"),
        ("x: !!python/object/apply:os.getcwd []\n", "is not YAML"),
    ],
)
def test_a_bad_file_is_named(compose, lab, text, message):
    (lab / "wrong.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        compose(file="wrong.yaml")


def test_a_file_that_is_not_text_is_named(compose, lab):
    (lab / "wrong.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match=r"wrong\.yaml"):
        compose(file="wrong.yaml")


def test_a_config_without_a_capture_may_be_looked_at_but_not_run(lab):
    file = lab / "bare.yaml"
    file.write_text("method: {name: 'config_lab:Method'}\n")
    assert config.compose(file, complete=False).capture == ""
    with pytest.raises(ConfigError, match="capture=FOLDER"):
        config.compose(file)


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize("folder", ["2024_01", "007", "1e3", "0x10", "on", "12:30"])
def test_a_folder_that_looks_like_a_number_stays_what_was_typed(compose, folder):
    assert compose(f"capture={folder}").capture == folder


def test_a_frozen_config_cannot_be_changed(compose):
    with pytest.raises(dataclasses.FrozenInstanceError):
        compose().seed = 3


def test_any_dataclass_takes_overrides():
    @dataclasses.dataclass(frozen=True)
    class Choices:
        name: str = ""
        size: int = 3

    assert config.from_overrides(Choices, ["size=4", "name=007"]) == Choices("007", 4)
    with pytest.raises(ConfigError, match="'sise'.*Did you mean 'size'"):
        config.from_overrides(Choices, ["sise=4"])


# ---------------------------------------------------------------------- keeping


def test_a_saved_config_reads_back_equal(compose, tmp_path):
    run = compose("method.static.grow.grow_grad2d=1e-4", "stages=[deform]", "threads=2")
    config.save(run, tmp_path / "config.yaml")
    assert config.load(tmp_path / "config.yaml") == run


def test_a_saved_config_holds_plain_values_only(compose):
    assert "!!" not in config.to_yaml(compose())


def test_a_damaged_saved_config_is_named(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: {")
    with pytest.raises(ConfigError, match=r"config\.yaml is not YAML"):
        config.load(tmp_path / "config.yaml")


def test_a_saved_config_that_is_cut_short_is_not_filled_up_with_defaults(compose, tmp_path):
    file = tmp_path / "config.yaml"
    config.save(compose(), file)
    file.write_text(file.read_text().partition("logger:")[0])
    with pytest.raises(ConfigError, match="is damaged: it lacks logger, rasterizer"):
        config.load(file)


def test_where_a_run_runs_does_not_change_its_name(compose):
    told = ("capture=elsewhere", "runs=/r", "threads=1", "device=cuda", "logger.name=wandb")
    assert config.fingerprint(compose(*told), "abc") == config.fingerprint(compose(), "abc")


@pytest.mark.parametrize(
    "override", ["seed=1", "stages=[deform]", "method.static.steps=21", "rasterizer.name=reference"]
)
def test_what_a_run_is_changes_its_name(compose, override):
    assert config.fingerprint(compose(override), "abc") != config.fingerprint(compose(), "abc")


def test_another_capture_gives_another_name(compose):
    assert config.fingerprint(compose(), "abc") != config.fingerprint(compose(), "abd")


def test_where_things_are_may_change_after_a_run_and_nothing_else(tmp_path):
    frozen = tmp_path / "config.yaml"
    (tmp_path / "run.yaml").write_text("method:\n  name: gstalker\n")
    config.save(config.compose(tmp_path / "run.yaml", ["capture=here", "device=cuda"]), frozen)
    moved = config.load(frozen, ["device=cpu", "capture=there", "threads=1"])
    assert (moved.device, moved.capture, moved.threads) == ("cpu", "there", 1)
    for change in ("seed=1", "method.static.steps=3"):
        with pytest.raises(ConfigError, match=f"{change} would make another run of it"):
            config.load(frozen, [change])
