"""A real sweep of small heads under ``kill -9``: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gstalker import files
from gstalker.data.synthetic import make_synthetic_capture
from gstalker.experiment import sweep
from gstalker.experiment.launch import Local, run_here

KILLS = int(os.environ.get("GSTALKER_TEST_KILLS", "3"))
AT_MOST_S = 6.0
"""That a trial works before it is killed; both together take some four times as long."""
ROOT = Path(__file__).parents[2]
MADE = ("static/handoff.pt", "deform/model.pt", "scores.json")
"""What a trial leaves, in this order; each is made once."""


@pytest.fixture
def experiment(tmp_path):
    capture = make_synthetic_capture(tmp_path / "captures" / "me", seconds=6, size=64, takes=2)
    few = {
        "method.static.steps": 800,
        "method.static.start.max_gaussians": 300,
        "method.deform.steps": 400,
    }
    rows = {"full": {}, "no torso field": {"method.deform.torso": None}}
    told = {"config": str(ROOT / "configs/gstalker.yaml"), "common": few, "rows": rows}
    file = tmp_path / "kills.yaml"
    file.write_text(json.dumps({**told, "captures": [str(capture.folder)]}))
    return file


def swept(file, out):
    """The command, to its end."""
    words = [sys.executable, "-m", "gstalker", "sweep", str(file), "--out", str(out), "threads=1"]
    quiet = {**os.environ, "TQDM_DISABLE": "1"}
    return subprocess.run(words, env=quiet, capture_output=True, text=True, check=True).stdout


def _sweep_here(trials):
    os.setsid()  # so that it can be killed with all that it started
    run_here(trials, Local())


def started(plan):
    """What the command does once it knows what is left, in a process group of its own."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_sweep_here, args=(plan.unique(),))
    process.start()
    return process


def wait_for_work(plan, process):
    """Until a trial of it says how it stands anew, or nothing is left."""
    places = [trial.run.path / "status.json" for trial in plan.trials]
    before = [place.exists() and place.stat().st_mtime_ns for place in places]
    while process.is_alive():
        if [place.exists() and place.stat().st_mtime_ns for place in places] != before:
            return
        time.sleep(0.05)


def finished(plan):
    """When each lasting file of each run was made."""
    paths = [trial.run.path / name for trial in plan.trials for name in MADE]
    return {path: path.stat().st_mtime_ns for path in paths if path.exists()}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_sweep_killed_at_random_moments_ends_as_one_never_killed(experiment, tmp_path):
    chance, before = random.Random(5), {}
    plan = sweep.read(experiment, ["threads=1"], tmp_path / "killed")
    for trial in plan.trials:
        trial.freeze()
    for k in range(KILLS):
        process = started(plan)
        wait_for_work(plan, process)
        time.sleep(chance.uniform(0, AT_MOST_S))
        # the sweep alone, whose trial then saves its step; or all that runs, which saves nothing
        with contextlib.suppress(ProcessLookupError):  # it may have come to its end
            (os.killpg if k % 2 else os.kill)(process.pid, signal.SIGKILL)
        process.join()
        made = finished(plan)
        assert made | before == made  # what was there is there, and was not made again
        before = made
        steps = [trial.run.status().get("step") for trial in plan.trials]
        print(f"kill {k + 1}: {len(made)} of {len(MADE) * len(plan.trials)} files, steps {steps}")
    assert "done 2" in swept(experiment, tmp_path / "killed")
    made = finished(plan)
    assert made | before == made
    assert "done 2" in swept(experiment, tmp_path / "killed")  # nothing is left to do
    assert finished(plan) == made

    assert "done 2" in swept(experiment, tmp_path / "whole")
    for trial, other in zip(
        plan.trials, sweep.read(experiment, ["threads=1"], tmp_path / "whole").trials, strict=True
    ):
        one, two = trial.run.path, other.run.path
        assert one.name == two.name
        states = [torch.load(p / MADE[1], weights_only=True)["state"] for p in (one, two)]
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
        scores = [files.read_json(p / MADE[2])["rows"] for p in (one, two)]
        assert scores[0] == scores[1]
        for stage in ("static", "deform"):
            curves = [(p / stage / "metrics.csv").read_text() for p in (one, two)]
            assert _learned(curves[0]) == _learned(curves[1])


def _learned(curve):
    """A curve's lines but for the clock; a step is there once."""
    lines = [line.split(",") for line in curve.splitlines()]
    steps = [line[0] for line in lines]
    assert len(set(steps)) == len(steps)
    return lines
