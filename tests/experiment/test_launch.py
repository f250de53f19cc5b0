"""Who is started when, here: with a trial that only pretends, so that kills can be many."""

from __future__ import annotations

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

from gstalker import config as configuration
from gstalker.errors import BackendMissing, Claimed, ConfigError, RunError
from gstalker.experiment import launch
from gstalker.experiment.claim import claim, holder
from gstalker.experiment.launch import Local, Slurm, cluster, run_here
from gstalker.experiment.plan import Trial
from gstalker.experiment.runs import RunFolder

FAKE = Path(__file__).with_name("fake_trial.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def trials(tmp_path):
    """Trials by their rows' names; the folders are there, as frozen ones are."""

    def made(*rows):
        config = configuration.RunConfig(capture="captures/me")
        folders = [RunFolder(tmp_path / row.replace(" ", "-")) for row in rows]
        for folder in folders:
            folder.path.mkdir()
        return [
            Trial(row, "me", 0, config, folder, "")
            for row, folder in zip(rows, folders, strict=True)
        ]

    return made


def fake(seconds=0.0):
    """Words of a pretended trial: the row's first word says how it ends."""

    def make(trial, threads, device):
        kind = trial.row.split()[0]
        return [sys.executable, str(FAKE), str(trial.run.path), kind, str(seconds)]

    return make


def lines(trial, name):
    path = trial.run.path / name
    return path.read_text().splitlines() if path.exists() else []


def states(trials):
    return [launch.of(trial).state for trial in trials]


def test_a_failed_trial_is_named_and_does_not_stop_the_others(trials):
    made = trials("done 1", "failed", "diverged", "crashes", "done 2")
    run_here(made, Local(jobs=2), fake())
    assert states(made) == ["done", "failed", "diverged", "failed", "done"]
    told = [launch.of(trial).told for trial in made]
    assert told[1] == "OSError: no space"
    assert told[2] == "static, step 4: photometric is nan"
    assert "its process ended with status 9" in told[3]
    assert "trial.log" in told[3]
    assert all(len(lines(trial, "began")) == 1 for trial in made)


def test_again_only_what_is_missing_runs_and_a_diverged_trial_stays_so(trials):
    made = trials("done", "failed", "diverged")
    for _ in range(2):
        run_here(made, Local(), fake())
    assert [len(lines(trial, "began")) for trial in made] == [1, 2, 1]


def test_never_more_run_at_once_than_allowed(trials, monkeypatch):
    made, most, start = trials(*(f"done {k}" for k in range(5))), [], launch.start
    started = []

    def counted(*args):
        most.append(sum(process.poll() is None for process in started))
        started.append(start(*args))
        return started[-1]

    monkeypatch.setattr(launch, "start", counted)
    run_here(made, Local(jobs=2), fake(0.2))
    assert states(made) == ["done"] * 5
    assert max(most) == 1  # beside the one that is just being started


def _sweeping(made, seconds, jobs=2):
    process = multiprocessing.get_context("fork").Process(
        target=run_here, args=(made, Local(jobs=jobs), fake(seconds))
    )
    process.start()
    return process


def test_two_sweeps_at_once_never_run_a_trial_twice(trials):
    made = trials(*(f"done {k}" for k in range(6)))
    sweeps = [_sweeping(made, 0.1) for _ in range(2)]
    for process in sweeps:
        process.join()
    assert states(made) == ["done"] * 6
    assert all(len(lines(trial, "ended")) == 1 for trial in made)
    assert all(len(lines(trial, "began")) == 1 for trial in made)


def test_a_sweep_killed_at_any_moment_loses_nothing_and_runs_nothing_twice(trials):
    made, chance = trials(*(f"done {k}" for k in range(6))), random.Random(3)
    for _ in range(10):
        process = _sweeping(made, 0.05)
        time.sleep(chance.uniform(0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    run_here(made, Local(jobs=2), fake())
    assert states(made) == ["done"] * 6
    assert all(len(lines(trial, "ended")) == 1 for trial in made)


def test_a_killed_trial_is_interrupted_and_the_next_sweep_does_it(trials):
    made = trials("done 1", "done 2")
    process = _sweeping(made, 30, jobs=1)
    while not lines(made[0], "began"):
        time.sleep(0.02)
    os.kill(int(lines(made[0], "began")[0]), signal.SIGKILL)
    while not lines(made[1], "began"):  # the sweep goes on with the other
        time.sleep(0.02)
    assert states(made) == ["interrupted", "running"]
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    run_here(made, Local(), fake())
    assert states(made) == ["done", "done"]


def test_a_trial_stops_when_its_sweep_is_killed(trials):
    (trial,) = trials("done")
    process = _sweeping([trial], 30)
    while not lines(trial, "began"):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with claim(trial.run.claim_path, "run", patience_s=5):  # whoever held it is gone
        pass


def test_a_claim_names_its_holder_and_goes_with_the_process(tmp_path):
    path = tmp_path / "run" / ".claim"
    code = f"import time; from gstalker.experiment.claim import claim; from pathlib import Path\n\
with claim(Path({str(path)!r}), 'run'): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    assert holder(path).startswith(f"process {process.pid} on ")
    with pytest.raises(Claimed, match=f"run x is being worked on by process {process.pid}"):
        claim(path, "run x", patience_s=0).__enter__()
    process.kill()
    process.wait()
    assert holder(path) is None
    assert holder(tmp_path / "nothing") is None


def test_every_shipped_cluster_is_read():
    assert cluster(ROOT / "configs/cluster/local.yaml") == Local()
    assert cluster(ROOT / "configs/cluster/local.yaml", jobs=3) == Local(jobs=3)
    assert cluster(ROOT / "configs/cluster/slurm.yaml") == Slurm()
    assert cluster(None) == Local()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: torque\n", "torque; known: local, slurm"),
        ("name: slurm\npartitoin: a\n", r"unknown key 'partitoin'.* Did you mean 'partition'"),
        ("name: slurm\nminutes: 1\ngrace_s: 60\n", "grace_s is 60, but a job has only 60"),
        ("name: local\njobs: 0\n", "jobs is 0"),
    ],
)
def test_a_wrong_cluster_is_a_sentence(tmp_path, text, told):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        cluster(tmp_path / "c.yaml")


def test_slurm_without_its_parts_says_what_to_install(trials, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(BackendMissing, match=r"pip install 'gstalker\[slurm\]'"):
        launch.submit(trials("done"), Slurm(), tmp_path)
    monkeypatch.setitem(sys.modules, "submitit", object())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendMissing, match="no sbatch or srun here"):
        launch.submit(trials("done 2"), Slurm(), tmp_path)


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A Slurm that answers what it is told to."""

    def answers(text, status=0):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "squeue"
        program.write_text(f"#!/bin/sh\ncat <<'X'\n{text}\nX\nexit {status}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    return answers


def test_a_trial_in_the_queue_is_queued_and_one_that_left_it_is_not(trials, squeue):
    made = trials("done 1", "done 2")
    for k, trial in enumerate(made):
        trial.run.job_path.write_text(json.dumps({"job": f"12_{k}"}))
    squeue("12_1 PENDING\n13 RUNNING")
    queue = launch.queue(trial.run.job_path for trial in made)
    assert queue == {"12_1": "PENDING", "13": "RUNNING"}
    assert [launch.of(trial, queue).state for trial in made] == ["waiting", "queued"]
    assert launch.of(made[1], queue).told == "job 12_1, pending"


def test_slurm_is_asked_only_about_runs_that_it_was_given(trials, squeue):
    (trial,) = trials("done")
    squeue("", status=1)
    assert launch.queue([trial.run.job_path]) is None
    trial.run.job_path.write_text('{"job": "1"}')
    with pytest.raises(RunError, match="squeue does not answer"):
        launch.queue([trial.run.job_path])


def test_the_words_of_a_trial_say_where_things_are_now(tmp_path):
    config = configuration.RunConfig(capture="captures/o'neill", threads=3)
    trial = Trial("r", "me", 0, config, RunFolder(tmp_path), "", ("a.wav",), speed=True)
    words = launch.command(trial, None, None)
    assert words[1:5] == ["-m", "gstalker", "trial", str(tmp_path)]
    assert words[5:8] == ["--speech", "a.wav", "--speed"]
    assert words[8:] == ['capture="captures/o\'neill"', "threads=3", 'device="cpu"']
    assert "threads=1" in launch.command(trial, 1, "cuda")
    assert 'device="cuda"' in launch.command(trial, 1, "cuda")
