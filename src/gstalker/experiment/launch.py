"""Trials are started: here in processes of their own, or on Slurm as a job array through submitit.

Either way a trial is the command ``gstalker trial RUN``, so the numbers do not depend on where it
ran (but for the number of threads, see ``reproduce``), and what it says goes to ``trial.log`` in
its folder.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gstalker import config as configuration
from gstalker import files
from gstalker.errors import BackendMissing, ConfigError, RunError
from gstalker.experiment.plan import Trial
from gstalker.experiment.schedule import is_open
from gstalker.experiment.trial import Standing, standing
from gstalker.limits import Count, Positive, Whole
from gstalker.plugins import missing

log = logging.getLogger(__name__)

BUSY = 75
"""Exit status of a trial that another process works on: ``EX_TEMPFAIL``."""
_PAUSE_S = 0.2
_ARRAY = 1000
"""Jobs in one array; Slurm allows 1001 unless told otherwise."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Local:
    """This machine."""

    name: str = "local"
    jobs: Count = 1
    """Trials at once."""
    threads: Count | None = None
    """CPU threads of each; null: the cores shared out evenly."""
    device: str | None = None
    """cpu or cuda; null: as the config says."""

    @property
    def threads_each(self) -> int | None:
        """CPU threads of one trial; ``None``: as many as torch chooses."""
        if self.threads or self.jobs == 1:
            return self.threads
        return max(len(os.sched_getaffinity(0)) // self.jobs, 1)


@dataclass(frozen=True)
class Slurm:
    """A cluster that Slurm runs."""

    name: str = "slurm"
    partition: str | None = None
    """null: the cluster's default."""
    minutes: Count = 240
    """Time limit of a job. A trial that needs longer is requeued and goes on where it was."""
    grace_s: Whole = 120
    """Seconds before the limit at which a trial saves its step and is requeued."""
    time_outs: Whole = 20
    """Times that a trial may reach its limit."""
    cpus: Count = 2
    """CPU cores of a job, and threads of its trial."""
    memory_gb: Positive = 4.0
    gpus: Whole = 0
    """Of a job; more than 0 trains with device=cuda."""
    jobs: Count = 20
    """Trials at once."""
    setup: list[str] = field(default_factory=list)
    """Shell lines before each trial, such as ``module load``."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Other options of sbatch: ``account: lab``, ``qos: low``."""

    def __post_init__(self) -> None:
        if self.grace_s >= self.minutes * 60:
            raise ConfigError(
                f"grace_s is {self.grace_s}, but a job has only {self.minutes * 60} seconds."
            )


def cluster(file: str | Path | None, jobs: int | None = None) -> Local | Slurm:
    """Where trials shall run.

    Args:
        file: a cluster's YAML; none: this machine.
        jobs: trials at once; none: as the file says.

    Raises:
        ConfigError: the file is wrong.
    """
    changes = [] if jobs is None else [f"jobs={jobs}"]
    if file is None:
        return configuration.from_overrides(Local, changes)
    kinds: dict[str, type[Local] | type[Slurm]] = {"local": Local, "slurm": Slurm}
    name = configuration.top_value(file, "name")
    if name not in kinds:
        raise ConfigError(f"name in {file} is {name}; known: {', '.join(kinds)}")
    return configuration.from_file(kinds[str(name)], file, changes)


def command(trial: Trial, threads: int | None, device: str | None) -> list[str]:
    """The words that run one trial."""
    where = {
        "capture": trial.config.capture,
        "threads": trial.config.threads if threads is None else threads,
        "device": device or trial.config.device,
    }
    words = [sys.executable, "-m", "gstalker", "trial", str(trial.run.path)]
    words += [word for path in trial.speech for word in ("--speech", path)]
    words += ["--speed"] if trial.speed else []
    return [*words, *(f"{key}={json.dumps(value)}" for key, value in where.items()), *trial.measure]


def start(words: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
    """A process that adds what it says to a log, and is told to stop when its parent dies."""
    prctl = ctypes.CDLL(None).prctl

    def before() -> None:  # in the child
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm tells the whole job; submitit's
        # process answers by telling us to stop

    quiet = {**os.environ, "TQDM_DISABLE": "1"}
    with log_path.open("ab") as file:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=quiet, preexec_fn=before
        )


# ---------------------------------------------------------------------- here


def run_here(
    trials: Sequence[Trial],
    place: Local,
    make: Callable[[Trial, int | None, str | None], list[str]] = command,
) -> None:
    """Run what is left, some at once; returns when nothing is left that could be started.

    Trials that another sweep runs are waited for, and taken over if it dies.

    Args:
        trials: of different runs.
        place: how many at once.
        make: the words that run a trial.
    """
    running: dict[subprocess.Popen[bytes], Trial] = {}
    tried: set[Path] = set()
    try:
        while True:
            for process in [p for p in running if p.poll() is not None]:
                _told_end(running.pop(process), process.returncode, tried)
            busy = {trial.run.path for trial in running.values()}
            others = [t for t in trials if t.run.path not in busy | tried]
            left = [t for t in others if of(t).is_left]
            for trial in left[: place.jobs - len(running)]:
                log.info("starts: %s", trial.name)
                running[
                    start(make(trial, place.threads_each, place.device), trial.run.log_path)
                ] = trial
            if not running and not any(of(t).state == "running" for t in others):
                return
            time.sleep(_PAUSE_S)
    finally:
        for process in running:
            process.terminate()  # it saves its step; whoever is killed before loses half a minute
        for process in running:
            process.wait()


def of(trial: Trial, queue: dict[str, str] | None = None) -> Standing:
    """How a trial stands."""
    found = standing(trial.run, trial.speech, trial.speed, queue, trial.measure)
    if is_open(trial.config) and found.state == "waiting":
        return replace(found, told="how many steps its minutes allow is to be measured")
    return found


def _told_end(trial: Trial, status: int, tried: set[Path]) -> None:
    """Say how a trial ended; one that ended by itself is not tried again in this sweep."""
    if status == BUSY:
        return
    tried.add(trial.run.path)
    stand = of(trial)
    if status > 0 and stand.state not in ("failed", "diverged", "done", "running"):
        told = f"its process ended with status {status}; see {trial.run.log_path}"
        trial.run.record("failed", reason=told)
        stand = of(trial)
    log.info("%s: %s", stand.state, f"{trial.name} {stand.told}".strip())


# ---------------------------------------------------------------------- Slurm


class SlurmTrial:
    """What a Slurm job does, as submitit wants it: called, and told when its time is over.

    The trial is a process of its own, so that it is the same as elsewhere.

    Args:
        words: the trial's command.
        log_path: its log.
    """

    def __init__(self, words: list[str], log_path: str) -> None:
        self.words = words
        self.log_path = log_path
        self.process: subprocess.Popen[bytes] | None = None
        self.cancelled = False

    def __call__(self) -> int:
        """Run the trial to its end.

        Raises:
            RunError: it ended with an error; its folder says which.
        """
        signal.signal(signal.SIGTERM, self._cancel)
        self.process = start(self.words, Path(self.log_path))
        while (status := self.process.poll()) is None:
            time.sleep(_PAUSE_S)
        # Preempted or cancelled: Slurm decides what becomes of the job, if we do not end it first.
        while self.cancelled:
            time.sleep(1)
        if status not in (0, BUSY):
            raise RunError(f"the trial ended with status {status}; see {self.log_path}")
        return status

    def checkpoint(self) -> Any:
        """At the time limit: the trial saves its step, and the job is to be run again."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            # Not wait(): we may be inside of poll(), which holds its lock.
            while not os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                time.sleep(_PAUSE_S)
        return DelayedSubmission(SlurmTrial(self.words, self.log_path))

    def _cancel(self, number: int, frame: Any) -> None:
        self.cancelled = True
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()


def submit(trials: Sequence[Trial], place: Slurm, folder: Path) -> list[str]:
    """Hand trials to Slurm as a job array; returns at once.

    Args:
        trials: of different runs, all left to run.
        place: what each job gets.
        folder: for submitit's own files; every node must see it.

    Returns:
        The jobs' ids.

    Raises:
        BackendMissing: no submitit, or no Slurm.
        RunError: Slurm refused; says why.
    """
    try:
        import submitit
    except ImportError as error:
        raise BackendMissing(missing("slurm", error)) from error
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise BackendMissing(
            "slurm was asked for, but there is no sbatch or srun here.\n"
            "  Type this on a node of the cluster, or leave out --on."
        )
    executor = submitit.SlurmExecutor(folder.resolve(), max_num_timeout=place.time_outs)
    executor.update_parameters(
        job_name=f"gstalker-{folder.parent.name}",
        time=place.minutes,
        signal_delay_s=place.grace_s,
        cpus_per_task=place.cpus,
        mem=f"{round(place.memory_gb * 1024)}MB",
        array_parallelism=place.jobs,
        **({"partition": place.partition} if place.partition else {}),
        **({"gpus_per_node": place.gpus} if place.gpus else {}),
        **({"setup": list(place.setup)} if place.setup else {}),
        additional_parameters={"requeue": True, **place.extra},
    )
    device = "cuda" if place.gpus else None
    ids = []
    for k in range(0, len(trials), _ARRAY):
        part = trials[k : k + _ARRAY]
        calls = [
            SlurmTrial(command(t, place.cpus, device), str(t.run.log_path.resolve())) for t in part
        ]
        try:
            with executor.batch():
                jobs = [executor.submit(call) for call in calls]
        except submitit.core.utils.FailedJobError as error:
            raise RunError(f"Slurm refused the jobs: {' '.join(str(error).split())}") from error
        for trial, job in zip(part, jobs, strict=True):
            files.write_json(trial.run.job_path, {"job": job.job_id})
            ids.append(job.job_id)
    return ids


def queue(runs: Iterable[Path]) -> dict[str, str] | None:
    """State of every job of this user that Slurm has not finished with, by its id.

    Args:
        runs: ``job.json`` of runs; Slurm is asked only if one exists.

    Returns:
        ``None`` where no run was ever submitted.

    Raises:
        RunError: runs were submitted, but Slurm does not answer.
    """
    if not any(path.exists() for path in runs):
        return None
    asked = ["squeue", "--me", "--noheader", "--array", "--format=%i %T"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise RunError(
            f"trials were handed to Slurm, but squeue does not answer: {str(reason).strip()}\n"
            "  Type this on a node of the cluster, or remove job.json from the run folders."
        ) from error
    pairs = (line.split(maxsplit=1) for line in told.stdout.splitlines() if line.strip())
    return dict(itertools.starmap(lambda job, state: (job, state), pairs))
