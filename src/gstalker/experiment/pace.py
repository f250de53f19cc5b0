"""Equal training time: how many steps of a method fit into given minutes on this machine.

A run that is stopped by the clock could never be made again, so the clock is asked before: a short
training is timed, the share of the method's schedule that fits the minutes is frozen into the run's
config, and from then on steps alone count. What was measured lies in ``OUT/paces``, one file for a
config on a capture whatever the seed, so that seeds train alike and the same command finds the same
runs again.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import asdict, dataclass, replace
from typing import Any

from gstalker import files
from gstalker.callbacks.provenance import machine_card
from gstalker.config import Named, RunConfig
from gstalker.errors import ConfigError
from gstalker.experiment.claim import claim
from gstalker.experiment.cost import PROBE_STEPS, of_stages, unheard
from gstalker.experiment.making import make_method
from gstalker.experiment.runs import open_capture
from gstalker.experiment.schedule import is_open, pace_path, settled
from gstalker.experiment.train import chosen_stages, train

log = logging.getLogger(__name__)

PILOT = 0.25
"""Share of the minutes that the second, longer try may take: a cloud grows and empty space is left
out only after the first steps, so they say little of the later ones."""
MOST = 1000.0
"""Times the method's own schedule that is trained at most."""
PATIENCE_S = 3600.0
"""Two measurements at once would slow one another, and disagree."""


@dataclass(frozen=True)
class Pace:
    """What a stage costs."""

    steps: int
    """In the method's own schedule."""
    step_s: float
    """Seconds of one late step, in the mean: some methods do more every few steps."""
    start_s: float = 0.0
    """Seconds that the first steps take longer than late ones, all together."""


def settle(config: RunConfig) -> RunConfig:
    """:func:`settled`, measured now if nobody did.

    Raises:
        ConfigError: the minutes are too few for the method.
        GSTalkerError: it cannot be trained.
    """
    capture = open_capture(config)
    path = pace_path(config, capture)
    if is_open(config):
        with claim(path.parent / ".claim", "another measurement of pace", PATIENCE_S):
            if not path.is_file():
                files.write_json(path, _measured(config))
    return settled(config, capture)


def _measured(config: RunConfig) -> dict[str, Any]:
    """What the file says."""
    minutes, paces = config.minutes or 0.0, measure(config)
    share = _share(minutes, paces)
    log.info("%g minutes are %g of its schedule", minutes, share)
    return {
        "minutes": minutes,
        "schedule": share,
        "stages": {name: asdict(pace) for name, pace in paces.items()},
        "machine": machine_card(),
    }


def measure(config: RunConfig) -> dict[str, Pace]:
    """What each stage costs here, by two tries that are thrown away: some steps, then a short run.

    Args:
        config: with minutes, not settled.
    """
    plain = replace(config, minutes=None, logger=Named("none"))
    method, _ = make_method(plain, open_capture(plain))
    steps = {plan.name: plan.steps for plan in chosen_stages(method, plain).values()}
    log.info("measures how fast %s trains on %s", config.method.name, config.capture)
    with unheard(), tempfile.TemporaryDirectory(prefix="gstalker-pace-") as folder:
        first = train(replace(plain, runs=folder), at_most=PROBE_STEPS, looks=False).status()
        tried = of_stages(first, "_step_s")
        paces = {name: Pace(n, tried[name]) for name, n in steps.items()}
        whole_s = sum(pace.steps * pace.step_s for pace in paces.values())
        pilot = min(PILOT * 60 * (config.minutes or 0.0) / max(whole_s, 1e-9), 1.0)
        if pilot * min(steps.values()) > PROBE_STEPS:
            short = train(replace(plain, runs=folder, schedule=pilot), looks=False).status()
            paces = {name: _pace(short, name, n) for name, n in steps.items()}
    return paces


def _pace(status: dict[str, Any], stage: str, steps: int) -> Pace:
    """What a short run says of a stage that has so many steps in the method's own schedule."""
    late_s = float(status[f"{stage}_late_s"])
    whole_s = 60 * float(status[f"{stage}_minutes"])
    return Pace(steps, late_s, max(whole_s - int(status[f"{stage}_steps"]) * late_s, 0.0))


def _share(minutes: float, paces: dict[str, Pace]) -> float:
    """The share of every stage's steps that fits, to three digits.

    >>> _share(1.0, {"a": Pace(100, 0.5), "b": Pace(100, 1.0)})
    0.4
    >>> _share(1.0, {"a": Pace(100, 0.5, start_s=15), "b": Pace(100, 1.0)})
    0.3

    Raises:
        ConfigError: a stage would not get one step.
    """
    whole_s = sum(pace.steps * pace.step_s for pace in paces.values())
    left_s = max(60 * minutes - sum(pace.start_s for pace in paces.values()), 0.0)
    share = min(float(f"{left_s / max(whole_s, 1e-9):.3g}"), MOST)
    for name, pace in paces.items():
        if pace.steps * share < 1:
            raise ConfigError(
                f"minutes={minutes:g} is too little: the whole schedule takes about "
                f"{whole_s / 60:.0f} minutes here, and stage {name} would not get one step.\n"
                "  Give more minutes, or a smaller config."
            )
    return share
