"""What the README tells people to type can be typed."""

from __future__ import annotations

import ast
import re
import shlex
from inspect import signature
from pathlib import Path

import pytest

from gstalker import cli, config
from gstalker.experiment.head import Head
from gstalker.prepare import PrepareConfig

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
STEPS = 3


def _blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [text for told, text in found if told == language]


def _commands():
    lines = "\n".join(_blocks("console")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


GSTALKER = [words[1:] for words in _commands() if words[0] == "gstalker"]


def _overrides(words):
    return [word for word in words if "=" in word and not word.startswith("-")]


def test_the_five_commands_of_a_real_video_are_there():
    verbs = {words[0] for words in GSTALKER}
    assert {"prepare", "train", "evaluate", "drive", "doctor"} <= verbs


@pytest.mark.parametrize("words", GSTALKER, ids=" ".join)
def test_a_command_of_the_readme_parses(words):
    cli.parse(words)


@pytest.mark.parametrize(
    "words", [w for w in GSTALKER if w[0] in ("train", "config")], ids=" ".join
)
def test_a_config_and_its_overrides_compose(words):
    config.compose(ROOT / words[1], _overrides(words), complete=words[0] == "train")


@pytest.mark.parametrize("words", [w for w in GSTALKER if w[0] == "prepare"], ids=" ".join)
def test_the_choices_of_prepare_exist(words):
    config.from_overrides(PrepareConfig, _overrides(words))


def test_every_make_target_exists():
    targets = {words[1] for words in _commands() if words[0] == "make"}
    assert {"demo", "test"} <= targets
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets <= known


def test_every_path_of_the_tree_exists():
    tree = next(block for block in _blocks("") if "src/gstalker/" in block)
    top = re.findall(r"^(\w+)/ ", tree, re.MULTILINE)
    rooms = re.findall(r"^  ([\w.]+)/? ", tree, re.MULTILINE)
    assert len(rooms) > 12
    for path in [*top, *(f"src/gstalker/{room}" for room in rooms)]:
        assert (ROOT / path).exists(), path


def test_the_notebook_block_runs(tiny_capture, tmp_path, monkeypatch):
    _, block = _blocks("python")
    monkeypatch.chdir(tmp_path)
    block = block.replace('"captures/me"', repr(str(tiny_capture.folder))).replace("8000)", "500)")
    quiet = "logger=False, enable_checkpointing=False, enable_progress_bar=False, max_epochs=-1"
    block, trainers = re.subn(r"max_steps=\d+", f"max_steps={STEPS}, {quiet}", block)
    assert trainers == 2
    names: dict[str, object] = {}
    exec(compile(ast.parse(block), "README.md", "exec"), names)
    assert names["talker"].trainer.global_step == STEPS


def test_the_streaming_block_asks_for_what_a_head_has(monkeypatch):
    block, _ = _blocks("python")
    shown = []

    def stream(self, audio_chunks, poses=None, eyes=None):
        return iter(audio_chunks)

    assert list(signature(stream).parameters) == list(signature(Head.stream).parameters)
    monkeypatch.setattr(Head, "stream", stream)
    monkeypatch.setattr(Head, "open", lambda run: Head.__new__(Head))
    exec(compile(block, "README.md", "exec"), {"chunks_of_sound": [1, 2], "show": shown.append})
    assert shown == [1, 2]
