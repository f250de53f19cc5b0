"""A stranger follows docs/add-a-method.md to the letter: a method of their own, by the commands."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from gstalker import cli
from gstalker.data.synthetic import synthetic_voice
from gstalker.data.writer import write_wav

PAGE = (Path(__file__).parents[1] / "docs" / "add-a-method.md").read_text()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.S).group(1)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The files that the page names and the speech that it supposes, on the path."""
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "method.py").write_text(block("python"))
    (tmp_path / "mine.yaml").write_text(block("yaml").replace("steps: 400", "steps: 120"))
    write_wav(tmp_path / "speech.wav", synthetic_voice(1.0, seed=5))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_stranger_adds_a_method_by_the_page(lab, tiny_capture, capsys):
    (lab / "captures").mkdir()
    (lab / "captures" / "me").symlink_to(tiny_capture.folder, target_is_directory=True)
    commands = [c for c in block("console").splitlines() if c.startswith("gstalker ")]
    assert [c.split()[1] for c in commands] == ["config", "train", "evaluate", "drive"]
    for command in commands:
        runs = sorted(lab.glob("runs/*"))
        words = command.replace("runs/RUN", str(runs[0])) if runs else command
        assert cli.main(shlex.split(words)[1:]) == 0, command
    rows = json.loads((runs[0] / "scores.json").read_text())["rows"]
    assert rows["ours"]["psnr_full"]["mean"] > 15
    assert rows["ours"]["psnr_full"]["mean"] != rows["static"]["psnr_full"]["mean"]
    assert (lab / "out.mp4").stat().st_size > 1000
    trained = (runs[0] / "pictures" / "model.pt").stat().st_mtime_ns
    assert cli.main(["train", "mine.yaml", "capture=captures/me"]) == 0
    assert (runs[0] / "pictures" / "model.pt").stat().st_mtime_ns == trained


def test_a_key_that_the_strangers_config_lacks_is_answered_with_the_nearest(lab, capsys):
    assert cli.main(["config", "mine.yaml", "method.rat=0.02"]) != 0
    assert "Did you mean 'rate'" in capsys.readouterr().err


def test_the_page_names_only_what_there_is():
    root = Path(__file__).parents[1] / "src" / "gstalker"
    for name in re.findall(r"`((?:methods|stages)/\w+\.py)`", PAGE):
        assert (root / name).is_file(), name
    assert np.all([word in PAGE for word in ("DrawInOrder", "ModelFiles", "partial")])
