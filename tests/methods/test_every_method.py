"""Every method through the commands that know no methods: sweep, drive, score, table."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import av
import pytest
import yaml

from gstalker import cli
from gstalker import config as configuration
from gstalker.data.synthetic import synthetic_voice
from gstalker.data.writer import write_wav
from gstalker.experiment import launch
from gstalker.experiment.launch import command

from ..report.conftest import read_csv
from ..test_configs import FEW

SMALL = Path(__file__).parents[2] / "configs" / "small"
HEAVY = {"lightning", "torchmetrics", "scipy", "matplotlib", "torch"}
"""Of these a head that speaks needs torch alone; the others cost each start seconds."""


@pytest.fixture
def in_this_process(monkeypatch):
    """A trial is the same command as ever, but no process is started for each."""

    def run_here(trials, place):
        for trial in trials:
            words = command(trial, place.threads_each, place.device)
            assert cli.main(words[words.index("gstalker") + 1 :]) == 0, trial.name

    monkeypatch.setattr(launch, "run_here", run_here)


def roots_loaded_to_drive(run, sound, out):
    """Packages that a process of its own has imported once the head has spoken."""
    code = (
        "import sys; from gstalker.cli import main; assert main(['drive', *sys.argv[1:]]) == 0; "
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    words = [sys.executable, "-c", code, run, sound, "-o", out]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


def psnr_of_the_head(path):
    return json.loads(path.read_text())["rows"]["ours"]["psnr_full"]["mean"]


@pytest.mark.parametrize("file", sorted(SMALL.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_method_is_swept_driven_scored_and_put_into_a_table_like_any_other(
    file, speck_capture, tmp_path, monkeypatch, in_this_process
):
    monkeypatch.chdir(tmp_path)
    write_wav(Path("speech.wav"), synthetic_voice(0.4, seed=5))
    write_wav(Path("other.wav"), synthetic_voice(0.2, seed=6))
    name = configuration.compose(file, ["capture=any"]).method.name
    few = {key: yaml.safe_load(value) for key, _, value in (w.partition("=") for w in FEW[name])}
    experiment = {
        "name": "each",
        "rows": {"Mine": {"config": str(file), **few}},
        "seeds": [0, 1],
        "speech": ["speech.wav"],
        "columns": ["psnr_full", "mouth_corr", "sound_corr"],
    }
    Path("each.yaml").write_text(json.dumps(experiment))
    assert cli.main(["sweep", "each.yaml", f"captures={speck_capture.folder}"]) == 0

    runs = sorted(path.parent for path in Path("runs").glob("*/scores.json"))
    ours = [psnr_of_the_head(run / "scores.json") for run in runs]
    assert len(ours) == 2
    assert ours[0] != ours[1]  # the seed counts

    assert roots_loaded_to_drive(runs[0], "other.wav", "other.mp4") & HEAVY == {"torch"}
    films = [(run / "driven" / "speech.mp4", 10) for run in runs]
    for film, frames in [*films, (Path("other.mp4"), 5)]:
        with av.open(str(film)) as container:
            assert sum(1 for _ in container.decode(video=0)) == frames

    frames, capture = str(runs[0] / "frames"), str(speck_capture.folder)
    assert cli.main(["score", frames, capture, "--as", "Theirs", "-o", "theirs.json"]) == 0
    assert cli.main(["table", "each.yaml", "theirs.json", "--format", "csv", "-o", "t.csv"]) == 0
    cells = read_csv(Path("t.csv").read_text())
    assert float(cells["Mine", "psnr_full"]["mean"]) == pytest.approx(sum(ours) / 2)
    assert float(cells["Theirs", "psnr_full"]["mean"]) == pytest.approx(ours[0], abs=0.05)
    assert cells["Mine", "psnr_full"]["runs"] == "2"
