"""What a sweep will take, said before it starts: from past runs, or from twenty steps of it."""

from __future__ import annotations

import contextlib
import logging
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gstalker.config import RunConfig, as_dict
from gstalker.errors import GSTalkerError
from gstalker.experiment.making import make_method
from gstalker.experiment.plan import Trial
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.experiment.schedule import is_moment
from gstalker.experiment.train import chosen_stages, train

log = logging.getLogger(__name__)

PROBE_STEPS = 20


@dataclass(frozen=True)
class Kind:
    """Runs that cost alike, step by step."""

    capture: str
    """The capture's name."""
    method: str
    """The method's."""
    sizes: Mapping[str, int]
    """Every whole number of the method's config that is no step: how many, how wide, how fine."""

    @classmethod
    def of(cls, capture: str, config: RunConfig) -> Kind:
        """The kind of a run on a capture."""
        return cls(capture, config.method.name, dict(_sizes(as_dict(config)["method"])))

    def like(self, other: Kind) -> bool:
        """Whether they agree in all that both have; an ablation lacks a part and no more."""
        both = self.sizes.keys() & other.sizes.keys()
        agree = all(self.sizes[name] == other.sizes[name] for name in both)
        return agree and (self.capture, self.method) == (other.capture, other.method)


@dataclass(frozen=True)
class Rate:
    """What runs of one kind cost."""

    step_s: dict[str, float]
    """Seconds of a step of each stage."""
    evaluate_s: float | None
    """Seconds of scoring; ``None``: not known."""


NOTHING_KNOWN = Rate({}, None)


@dataclass(frozen=True)
class Cost:
    """What is left to pay."""

    minutes: float | None
    """``None``: not known."""
    told: str
    """Where the number comes from, or why there is none."""

    def sentence(self, count: int, jobs: int) -> str:
        """For the terminal."""
        if self.minutes is None:
            return f"{count} trials to run; how long they take is n/a: {self.told}."
        here = self.minutes / max(min(jobs, count), 1)
        return f"{count} trials to run: about {_duration(here)} with {jobs} at once, {self.told}."


def estimate(trials: Sequence[Trial], past: Iterable[RunFolder], *, probe: bool) -> Cost:
    """Minutes that trials will take, one after the other.

    Args:
        trials: those that are left.
        past: runs that may say what a step costs.
        probe: where no past run of the kind does, train some steps to see.
    """
    known = _learned(past)
    kinds = [Kind.of(trial.capture, trial.config) for trial in trials]
    sources = {"past runs" for kind in kinds if _rate(kind, known) is not NOTHING_KNOWN}
    for trial, kind in zip(trials, kinds, strict=True):
        if trial.config.minutes is not None or _rate(kind, known) is not NOTHING_KNOWN:
            continue
        alike = [t for t, other in zip(trials, kinds, strict=True) if other.like(kind)]
        found = _probe(alike) if probe else None
        if found is None:
            return Cost(
                None, f"no past run of {kind.method} like it on {kind.capture} has finished"
            )
        known.append((kind, found))
        sources.add(f"{PROBE_STEPS} steps")
    if any(trial.config.minutes is not None for trial in trials):
        sources.add("the minutes asked for")
    rates = [_rate(kind, known) for kind in kinds]
    seconds = sum(map(_seconds, trials, rates))
    silent = any(rate.evaluate_s is None for rate in rates)
    told = f"after {' and '.join(sorted(sources))}"
    return Cost(seconds / 60, f"{told}, scoring not counted" if silent else told)


def _sizes(part: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Whole numbers in plain nested values with their paths, steps left out."""
    if isinstance(part, Mapping):
        for name, value in part.items():
            if not is_moment(name):
                yield from _sizes(value, f"{path}.{name}")
    elif isinstance(part, list):
        for place, value in enumerate(part):
            yield from _sizes(value, f"{path}.{place}")
    elif isinstance(part, int) and not isinstance(part, bool):
        yield path, part


def _rate(kind: Kind, known: Sequence[tuple[Kind, Rate]]) -> Rate:
    """The middle of what is known of a kind."""
    rates = [rate for of, rate in known if of.like(kind)]
    return _middle(rates) if rates else NOTHING_KNOWN


def _learned(past: Iterable[RunFolder]) -> list[tuple[Kind, Rate]]:
    """What every finished run has cost."""
    found = []
    for run in past:
        try:
            status, config = run.status(), run.config()
            name = open_capture(config).name
        except GSTalkerError:
            continue  # a folder that cannot be read has nothing to tell
        spent = {
            stage: 60 * status[f"{stage}_minutes"] / steps
            for stage, steps in of_stages(status, "_steps").items()
            if steps and f"{stage}_minutes" in status
        }
        if spent:
            found.append((Kind.of(name, config), Rate(spent, status.get("evaluate_s"))))
    return found


def _middle(rates: Sequence[Rate]) -> Rate:
    stages = {stage for rate in rates for stage in rate.step_s}
    steps = {
        stage: statistics.median(r.step_s[stage] for r in rates if stage in r.step_s)
        for stage in stages
    }
    scored = [rate.evaluate_s for rate in rates if rate.evaluate_s is not None]
    return Rate(steps, statistics.median(scored) if scored else None)


def _probe(trials: Sequence[Trial]) -> Rate | None:
    """Some steps of every stage of the first trial that can take them, then thrown away."""
    for trial in trials:
        log.info("tries %d steps of: %s", PROBE_STEPS, trial.name)
        with unheard(), tempfile.TemporaryDirectory(prefix="gstalker-probe-") as folder:
            try:
                status = train(
                    replace(trial.config, runs=folder), at_most=PROBE_STEPS, looks=False
                ).status()
            except GSTalkerError:
                continue  # it will fail in its own place, and be named there
        return Rate(of_stages(status, "_step_s"), None)
    return None


def of_stages(status: Mapping[str, Any], fact: str) -> dict[str, Any]:
    """What ``status.json`` says of every stage under names that end in ``fact``."""
    return {name.removesuffix(fact): v for name, v in status.items() if name.endswith(fact)}


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """What some steps say of a head's health would only frighten."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _seconds(trial: Trial, rate: Rate) -> float:
    """Left to spend on one trial; a stage whose rate nobody knows costs as the dearest known.

    A trial that was given minutes takes them, whatever of it is done.
    """
    if trial.config.minutes is not None:
        return 60 * trial.config.minutes + (rate.evaluate_s or 0.0)
    try:
        with unheard():
            method, _ = make_method(trial.config, open_capture(trial.config))
    except GSTalkerError:
        return 0.0  # it will fail at once
    status, total = trial.run.status(), rate.evaluate_s or 0.0
    dearest = max(rate.step_s.values())
    for plan in chosen_stages(method, trial.config).values():
        if (trial.run.path / plan.artefact).exists():
            continue
        begun = status.get("step", 0) if status.get("stage") == plan.name else 0
        total += (plan.steps - begun) * rate.step_s.get(plan.name, dearest)
    return total


def _duration(minutes: float) -> str:
    """Minutes in words, rounded up.

    >>> _duration(0.4), _duration(12.3), _duration(150)
    ('1 minute', '13 minutes', '2.5 hours')
    """
    if minutes <= 90:
        whole = max(int(-(-minutes // 1)), 1)
        return f"{whole} minute{'s' * (whole > 1)}"
    return f"{minutes / 60:.1f} hours"
