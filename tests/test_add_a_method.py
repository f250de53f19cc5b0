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
from gstalker.experiment.plan import read

PAGE = (Path(__file__).parents[1] / "docs" / "add-a-method.md").read_text()


def block(language, number=0):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)[number]


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
    assert [c.split()[1] for c in commands] == [
        "config", "train", "evaluate", "drive", "sweep", "table", "score"
    ]  # fmt: skip
    run = None
    for command in commands:
        words = shlex.split(command.replace("runs/RUN", str(run)))[1:]
        assert cli.main(words) == 0, command
        run = run or next(iter(lab.glob("runs/Mine-*")), None)
        if words[0] == "table":
            assert "1 capture, 2 runs" in capsys.readouterr().out
    rows = json.loads((run / "scores.json").read_text())["rows"]
    assert rows["ours"]["psnr_full"]["mean"] > 15
    assert rows["ours"]["psnr_full"]["mean"] != rows["static"]["psnr_full"]["mean"]
    assert (lab / "out.mp4").stat().st_size > 1000
    by_frames = json.loads((lab / "frames.json").read_text())["rows"]
    (theirs,) = [row for name, row in by_frames.items() if name.startswith("Mine")]
    ours = rows["ours"]["psnr_full"]["mean"]
    assert theirs["psnr_full"]["mean"] == pytest.approx(ours, abs=0.05)
    trained = (run / "pictures" / "model.pt").stat().st_mtime_ns
    assert cli.main(["train", "mine.yaml", "capture=captures/me"]) == 0
    assert (run / "pictures" / "model.pt").stat().st_mtime_ns == trained


def test_the_strangers_method_stands_as_a_row_beside_ours(lab, tiny_capture):
    ours = Path(__file__).parents[1]
    (lab / "rows.yaml").write_text(block("yaml", 1).replace("CHECKOUT", str(ours)))
    plan = read("rows.yaml", [f"captures={tiny_capture.folder}"], "runs")
    rows = [(trial.row, trial.config.method.name, trial.seed) for trial in plan.trials]
    mine = [("Mine", "my_lab.method:Mine", seed) for seed in (0, 1)]
    assert rows == [*mine, ("GSTalker", "gstalker", 0), ("GSTalker", "gstalker", 1)]


def test_a_key_that_the_strangers_config_lacks_is_answered_with_the_nearest(lab, capsys):
    assert cli.main(["config", "mine.yaml", "method.rat=0.02"]) != 0
    assert "Did you mean 'rate'" in capsys.readouterr().err


def test_the_page_names_only_what_there_is():
    root = Path(__file__).parents[1] / "src" / "gstalker"
    for name in re.findall(r"`((?:methods|stages)/\w+\.py)`", PAGE):
        assert (root / name).is_file(), name
    assert np.all([word in PAGE for word in ("DrawInOrder", "ModelFiles", "partial")])
