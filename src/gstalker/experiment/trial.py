"""One trial of a sweep, from a frozen config to its scores, and how it stands.

State is files: ``status.json``, ``scores.json`` and who holds the claim. There is no daemon, so a
sweep may be typed again, killed, or asked from another shell.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from gstalker import config as configuration
from gstalker import files
from gstalker.errors import Diverged, GSTalkerError, RunError
from gstalker.experiment.claim import claim, holder
from gstalker.experiment.drive import drive
from gstalker.experiment.driven import score_driven
from gstalker.experiment.evaluate import evaluate
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.experiment.speed import measure as time_head
from gstalker.experiment.train import train_claimed

Stand = Literal[
    "done", "running", "queued", "waiting", "interrupted", "failed", "diverged", "unreadable"
]


def run_trial(
    folder: str | Path,
    *,
    speech: Sequence[str] = (),
    speed: bool = False,
    where: Sequence[str] = (),
    measure: Sequence[str] = (),
) -> None:
    """Do what is not done yet: train, evaluate, drive, time.

    Args:
        folder: a run whose ``config.yaml`` is frozen.
        speech: files with sound to drive it with.
        speed: measure how fast it paints.
        where: ``key=value`` that say where things are now: ``capture=FOLDER``, ``threads=2``.
        measure: ``key=value`` of what is scored as well: ``sync=true``.

    Raises:
        Claimed: another process does it.
        GSTalkerError: it failed or diverged; ``status.json`` says so too.
    """
    run = RunFolder.open(folder)
    with claim(run.claim_path, f"run {run.path}"):
        if is_finished(run, speech, speed, measure):
            return
        try:
            _run(run, speech, speed, where, measure)
        except Diverged:  # recorded where it was noticed
            raise
        except KeyboardInterrupt:
            run.record("interrupted")
            raise
        except Exception as error:
            run.record("failed", reason=f"{type(error).__name__}: {error}")
            raise


def _run(
    run: RunFolder,
    speech: Sequence[str],
    speed: bool,
    where: Sequence[str],
    measure: Sequence[str],
) -> None:
    config = run.config(where)
    capture = open_capture(config)
    named = configuration.fingerprint(config, capture.content_id)[:6]
    if not run.path.name.endswith(named):
        raise RunError(
            f"{config.capture} is not what it was when {run.path.name} was planned.\n"
            "  Sweep again: the changed capture makes another run."
        )
    train_claimed(config, capture, run)
    if not is_scored(run, measure):
        run.record("running", stage="evaluate")
        began = time.monotonic()
        evaluate(run, [*where, *measure])
        run.record("running", evaluate_s=round(time.monotonic() - began, 1))
    for path in speech:
        if not is_driven(run, path):
            run.record("running", stage="drive")
            drive(run, path, run.driven_path(path), where)
        if not is_heard(run, path, measure):
            run.record("running", stage="score the film")
            score_driven(run, path, where, _of_films(measure))
    if speed and not run.speed_path.exists():
        run.record("running", stage="speed")
        files.write_json(run.speed_path, time_head(run, where))
    run.record("done")


def is_finished(
    run: RunFolder, speech: Iterable[str] = (), speed: bool = False, measure: Iterable[str] = ()
) -> bool:
    """Whether nothing is left to do."""
    measure = list(measure)
    return (
        is_scored(run, measure)
        and all(is_heard(run, s, measure) for s in speech)
        and (not speed or run.speed_path.exists())
    )


def is_scored(run: RunFolder, measure: Iterable[str] = ()) -> bool:
    """Whether a run has scores, of all that was to be measured as well."""
    return _has_asked(run.scores_path, measure)


def is_driven(run: RunFolder, speech: str) -> bool:
    """Whether there is a film of this very sound; another file may have had its name."""
    path = run.driven_scores_path(speech)
    if not (path.exists() and run.driven_path(speech).exists()):
        return False
    told = files.read_object(path).get("protocol", {})
    if "speech_sha256" not in told:  # made before it was kept
        return bool(told.get("speech") == Path(speech).name)
    return bool(told["speech_sha256"] == files.sha256(Path(speech)))


def is_heard(run: RunFolder, speech: str, measure: Iterable[str] = ()) -> bool:
    """Whether the film of a speech was scored, in all that can be asked of a film."""
    wanted = _of_films(measure)
    return is_driven(run, speech) and _has_asked(run.driven_scores_path(speech), wanted)


def _of_films(measure: Iterable[str]) -> list[str]:
    """What of it needs no true picture."""
    return [text for text in measure if text.partition("=")[0] in ("sync", "identity")]


def _has_asked(path: Path, measure: Iterable[str]) -> bool:
    """Whether a file of scores is there, and its protocol has all that was asked for."""
    if not path.exists():
        return False
    asked = dict(text.split("=", 1) for text in measure)
    told = files.read_object(path).get("protocol", {}) if asked else {}
    return all(key in told and told[key] == yaml.safe_load(v) for key, v in asked.items())


@dataclass(frozen=True)
class Standing:
    """How a trial stands."""

    state: Stand
    told: str = ""
    """What else there is to say: the step, the reason."""

    @property
    def is_left(self) -> bool:
        """Whether a sweep should start it."""
        return self.state in ("waiting", "interrupted", "failed")


def standing(
    run: RunFolder,
    speech: Iterable[str] = (),
    speed: bool = False,
    queue: Mapping[str, str] | None = None,
    measure: Iterable[str] = (),
) -> Standing:
    """How a run of a sweep stands.

    Args:
        run: the run.
        speech: files that it is driven with.
        speed: whether it is timed.
        queue: state of every job that the cluster knows; ``None`` where there is none to ask.
        measure: what is scored as well.
    """
    held = holder(run.claim_path)
    if held is None and is_finished(run, speech, speed, measure):
        return Standing("done")
    try:
        status, job = run.status(), run.job()
    except GSTalkerError as error:
        return Standing("unreadable", str(error))
    where = _where(status)
    if held is not None:
        return Standing("running", f"{where} ({held})".strip())
    if queue and job is not None and job in queue:
        return Standing("queued", f"job {job}, {queue[job].lower()}; {where}".rstrip("; "))
    state = status.get("state")
    if state == "diverged":
        told = f"{status.get('term', '')} {status.get('reason', '')}".strip()
        return Standing("diverged", f"{where}: {told}")
    if state == "failed":
        return Standing("failed", f"{where}: {status.get('reason', '')}".lstrip(": "))
    if state is None:
        return Standing("waiting")
    if state == "done":
        return Standing("waiting", "trained, not scored")
    return Standing("interrupted", where)


def _where(status: Mapping[str, object]) -> str:
    if "stage" not in status:
        return ""
    if "step" in status:
        steps = f" of {status['steps']}" if "steps" in status else ""
        return f"{status['stage']}, step {status['step']}{steps}"
    return str(status["stage"])
