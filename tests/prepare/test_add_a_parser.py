"""A stranger follows docs/add-a-parser.md to the letter: a face parser of their own."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from gstalker import cli
from gstalker.data.capture import Capture
from gstalker.prepare import parsers

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-parser.md").read_text()
NAME = "my_lab.parser:Oval"


def block(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)[0]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    pytest.importorskip("cv2")
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "parser.py").write_text(block("python"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_the_parser_of_the_page_draws_head_torso_and_mouth(lab):
    angle = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    face = 50 + np.stack([15 * np.cos(angle), 20 * np.sin(angle)], axis=1)
    lips = list(parsers.parsing._FACE.inner_lips)
    turn = np.linspace(0, 2 * np.pi, len(lips), endpoint=False)
    face[lips] = [50, 60] + 4 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    np.save(lab / "frames.npy", np.zeros((2, 100, 100, 3), np.uint8))
    np.save(lab / "landmarks.npy", np.stack([face, np.full_like(face, np.nan)]))
    jobs = parsers.pieces(lab / "frames.npy", lab / "landmarks.npy", NAME, 2, alone=True)
    drawn, without = parsers.parse(jobs[0])
    assert (drawn[40, 50], drawn[60, 50], drawn[90, 50], drawn[5, 5]) == (2, 3, 1, 0)
    assert not without.any()


@pytest.mark.slow
@pytest.mark.usefixtures("with_models")
def test_a_stranger_prepares_with_a_parser_by_the_page(lab, shared, capsys):
    may = shared / "data" / "video" / "may_5s_512.mp4"
    commands = [c for c in block("console").splitlines() if c.startswith("gstalker ")]
    assert [c.split()[1] for c in commands] == ["prepare", "inspect"]
    small = {"prepare": ["max_side=192", "refine=none", "workers=1"], "inspect": []}
    for command in commands:
        words = shlex.split(command.replace("talk.mp4", str(may)))[1:]
        assert cli.main([*words, *small[words[0]]]) == 0, command
    capture = Capture.open(lab / "captures" / "oval")
    assert capture.meta["parser"] == {
        "name": NAME,
        "tells": ["background", "torso", "head", "mouth"],
    }
    nose = capture.landmarks[60][4].astype(int)
    assert capture.mask(60)[nose[1], nose[0]] == 2
    assert "masks show" not in capsys.readouterr().out


def test_the_page_names_every_label_by_its_number():
    rows = re.findall(r"^\| (\d) \| `(\w+)`", PAGE, re.M)
    assert rows == [(str(k), label) for k, label in enumerate(parsers.LABELS)]
    assert f"up to {parsers._PIECE} pictures" in PAGE
