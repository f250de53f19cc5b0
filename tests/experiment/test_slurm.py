"""A sweep on a real Slurm of one node, which the test installs and starts: kills of every kind, and
a table equal to that of the same sweep run here.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
PACKAGES = ("slurmctld", "slurmd", "slurm-client")
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/log/ctld.log
SlurmdLogFile={folder}/log/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=10
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
"""
"""No munge, cgroups or systemd: nothing but the three programs. It promises four processors, so
that an array of four runs at once. Jobs of ``urgent`` put those of ``main`` back into the queue,
which are told so ten seconds before."""


def install():
    """Slurm's programs, or a reason why not."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking and shutil.which("apt-get") and os.getuid() == 0:
        for words in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends"]):
            asked = ["apt-get", *words, *(PACKAGES if "install" in words else ())]
            subprocess.run(asked, capture_output=True, check=False, timeout=300)
        lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking:
        return f"no Slurm: {', '.join(lacking)} cannot be found or installed"
    return "" if os.getuid() == 0 else "Slurm without munge runs as root alone"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A Slurm that ends with the tests; what it says of itself lies in the folder."""
    pytest.importorskip("submitit")
    if reason := install():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool", "log"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(
        CONF.format(
            host=socket.gethostname().partition(".")[0],
            folder=folder,
            port=free_port(),
            node_port=free_port(),
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        daemons = []
        try:
            for name in ("slurmctld", "slurmd"):
                quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                daemons.append(subprocess.Popen([name, "-D"], start_new_session=True, **quiet))
                time.sleep(1)
            until(lambda: said("sinfo", "-h", "-o", "%t") == "idle", 60, "the node to be idle")
            yield folder
        finally:
            subprocess.run(["scancel", "--me"], check=False)
            subprocess.run(["scancel", "--me", "--signal=KILL"], check=False)
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait()


def said(*words):
    """What a program of Slurm's prints; a busy controller is asked again: silence is no answer."""
    deadline = time.monotonic() + 60
    while True:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode == 0:
            return done.stdout.strip()
        assert time.monotonic() < deadline, f"{' '.join(words)}: {done.stderr}"
        time.sleep(0.5)


def until(true, seconds, what):
    deadline, pending = time.monotonic() + seconds, {}
    while not true():
        release(pending)
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.5)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """An ablation of four small trials; the third takes longer than its job may."""
    shared = {"method.name": "paused_head:PausedHead", "method.static.start.max_gaussians": 300}
    few = {"method.static.steps": 8, "method.deform.steps": 12}
    rows = {
        "full": few,
        "no torso field": {**few, "method.deform.torso": None},
        "longer": {**few, "method.deform.steps": 140},
        "diverging": {**few, "method.static.rates.scales": 1e38},
    }
    text = {"config": str(ROOT / "configs/gstalker.yaml"), "common": shared, "rows": rows}
    (tmp_path / "ablation.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    cluster = {"name": "slurm", "minutes": 2, "grace_s": 30, "cpus": 1, "memory_gb": 0.1}
    (tmp_path / "slurm.yaml").write_text(yaml.safe_dump(cluster))
    paths = [str(ROOT / "src"), str(Path(__file__).parent), *sys.path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in paths if p))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gstalker(*words):
    """Type a command; its exit status and what it printed."""
    asked = [sys.executable, "-m", "gstalker", *map(str, words)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=600)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def runs_of(out):
    """Run folder of every row."""
    folder = out / "sweeps" / "ablation"
    listed = json.loads((folder / "sweep.json").read_text())
    return {trial["row"]: (folder / trial["run"]).resolve() for trial in listed["trials"]}


def status_of(run):
    path = run / "status.json"
    return json.loads(path.read_text()) if path.exists() else {}


def starts_of(run):
    """When each stage began, or went on."""
    return json.loads((run / "provenance.json").read_text())["starts"]


def is_at(status, stage, step):
    return status.get("stage") == stage and status.get("step", 0) >= step


def release(pending):
    """Slurm holds a requeued job for two minutes; not in a test. Nor is it started at once: the
    node takes a job for revoked that begins in the second in which it ended.

    ``pending``: since when each job is, as far as was seen.
    """
    told = said("squeue", "--me", "-h", "-r", "-t", "PENDING", "-o", "%i").splitlines()
    now = time.monotonic()
    for gone in pending.keys() - set(told):
        del pending[gone]
    for job in told:
        if now - pending.setdefault(job, now) > 3:
            words = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
            subprocess.run(words, capture_output=True, check=False)  # it may have started by itself


def working():
    """Jobs that run."""
    return said("squeue", "--me", "-h", "-r", "-t", "RUNNING", "-o", "%i").splitlines()


def ended():
    return not said("squeue", "--me", "-h")


def table(out):
    """What a table is made of: every row's scores, or how it diverged."""
    cells = {}
    for row, run in runs_of(out).items():
        if (run / "scores.json").exists():
            cells[row] = json.loads((run / "scores.json").read_text())["rows"]
        else:
            status = status_of(run)
            cells[row] = {key: status[key] for key in ("state", "stage", "step", "term")}
    return cells


SHOWN = ("psnr_full", "psnr_mouth", "ssim_full", "sharpness_mouth")
"""Columns that do not depend on how long something took."""


def printed_table(out):
    """The lines of ``gstalker table``, but for the comments, which name the runs' folders."""
    words = ["--runs", out, "--format", "csv", "--metrics", ",".join(SHOWN)]
    status, told = gstalker("table", "ablation.yaml", *words)
    assert status == 0
    return [line for line in told.splitlines() if not line.startswith("#")]


def test_a_sweep_on_slurm_survives_kills_and_gives_the_table_of_a_sweep_here(
    slurm, experiment, tiny_capture, monkeypatch
):
    words = ["ablation.yaml", f"captures={tiny_capture.folder}"]
    there = [*words, "--out", "there", "--on", "slurm.yaml"]
    monkeypatch.setenv("PAUSE_S", "0.7")
    status, told = gstalker("sweep", *there)
    assert status == 0
    assert "queued 4" in told or "running" in told
    runs = runs_of(experiment / "there")

    # A sweep typed again hands nothing over a second time.
    jobs = said("squeue", "--me", "-h", "-r", "-o", "%i").splitlines()
    assert len({job.partition("_")[0] for job in jobs}) == 1, "one array"
    gstalker("sweep", *there)
    assert said("squeue", "--me", "-h", "-r", "-o", "%i").splitlines() == jobs

    # One is cancelled in the middle of training.
    until(lambda: status_of(runs["full"]).get("step", 0) >= 2, 300, "the first row's steps")
    job = json.loads((runs["full"] / "job.json").read_text())["job"]
    subprocess.run(["scancel", job], check=True)
    until(lambda: job not in said("squeue", "--me", "-h", "-r", "-o", "%i"), 60, "its end")
    assert status_of(runs["full"])["state"] == "interrupted"
    assert not (runs["full"] / "scores.json").exists()

    # One reaches its time limit, is requeued, and goes on from its last step.
    until(ended, 900, "the other trials")
    starts = starts_of(runs["longer"])
    assert len([s for s in starts if s["stage"] == "DeformStage"]) >= 2
    assert max(s["from_step"] for s in starts) > 10
    job = json.loads((runs["longer"] / "job.json").read_text())["job"]
    log = "".join(p.read_text() for p in Path("there/sweeps/ablation/slurm").glob(f"{job}_*_log.*"))
    assert "Requeued job" in log

    # One diverged, and says where.
    assert status_of(runs["diverging"])["state"] == "diverged"
    assert status_of(runs["diverging"])["term"] == "scales"
    status, told = gstalker("sweep", *words, "--out", "there", "--status")
    assert "done 2, interrupted 1, diverged 1" in told

    # Sweep again: what is missing runs, and nothing else.
    before = {row: (run / "scores.json").stat().st_mtime_ns for row, run in runs.items()
              if (run / "scores.json").exists()}  # fmt: skip
    gstalker("sweep", *there)
    until(ended, 300, "the cancelled trial")
    status, told = gstalker("sweep", *words, "--out", "there", "--status")
    assert "done 3, diverged 1" in told
    assert {row: (runs[row] / "scores.json").stat().st_mtime_ns for row in before} == before
    # Whether there were steps left of the stage depends on when the cancelling reached it.
    assert "goes on from" in (runs["full"] / "trial.log").read_text()

    # The same sweep here.
    monkeypatch.setenv("PAUSE_S", "0")
    status, told = gstalker("sweep", *words, "--out", "here", "--jobs", 2)
    assert status == 1  # one diverged
    assert "done 3, diverged 1" in told
    assert table(experiment / "there") == table(experiment / "here")
    printed = printed_table("there")
    assert printed == printed_table("here")
    assert [line.partition(",")[0] for line in printed[1:]] == [row for row in runs for _ in SHOWN]
    figures = list(csv.DictReader(printed))
    assert all(float(line["mean"]) for line in figures if line["row"] != "diverging")
    assert all("diverged" in line["gaps"] for line in figures if line["row"] == "diverging")


def test_a_preempted_trial_saves_its_step_and_goes_on_when_slurm_runs_it_again(
    slurm, experiment, tiny_capture, monkeypatch
):
    words = ["ablation.yaml", f"captures={tiny_capture.folder}", "--out", "there"]
    rows = yaml.safe_load(Path("ablation.yaml").read_text())
    rows["rows"] = {"full": {**rows["rows"]["longer"], "method.deform.steps": 90}}
    Path("ablation.yaml").write_text(yaml.safe_dump(rows))
    monkeypatch.setenv("PAUSE_S", "0.2")
    gstalker("sweep", *words, "--on", "slurm.yaml")
    run = runs_of(experiment / "there")["full"]
    until(lambda: is_at(status_of(run), "deform", 5), 300, "the second stage")

    # A job that goes before takes the whole node.
    asked = ["--partition=urgent", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 600"]
    urgent = said("sbatch", "--parsable", *asked)
    until(lambda: urgent in working(), 120, "the urgent job to have the node")
    left, before = status_of(run), starts_of(run)
    assert (left["state"], left["stage"]) == ("interrupted", "deform")
    _, told = gstalker("sweep", *words, "--status")
    assert "queued 1" in told

    # Once it is over, Slurm runs the trial again, which loses nothing.
    subprocess.run(["scancel", urgent], check=True)
    until(ended, 300, "the trial's end")
    job = json.loads((run / "job.json").read_text())["job"]
    assert f"preempted JobId={job} has been requeued" in (slurm / "log" / "ctld.log").read_text()
    assert starts_of(run)[len(before)]["from_step"] == left["step"]
    assert "goes on from" in (run / "trial.log").read_text()
    assert all(float(line["mean"]) for line in csv.DictReader(printed_table("there")))
