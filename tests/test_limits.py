"""What a number of a config may be, and that a config beyond it is refused when it is read."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

import pytest

from gstalker import config, limits
from gstalker.errors import ConfigError
from gstalker.limits import Amount, Count, Degree, Limits, Positive, Seed, Share, Whole
from gstalker.methods import METHODS
from gstalker.plugins import resolve

GSTALKER = Path(__file__).parents[1] / "configs" / "gstalker.yaml"


@dataclass
class Inner:
    share: Share = 0.5
    free: float = -3.0
    degree: Degree = 1


@dataclass
class Outer:
    steps: Count = 1
    least: Whole = 0
    weight: Amount = 0.0
    size: Positive | None = None
    betas: tuple[Share, Share] = (0.0, 1.0)
    seeds: list[Seed] = field(default_factory=lambda: [0, 3])
    few: Annotated[int, Limits(2, 5)] = 2
    inner: Inner | None = field(default_factory=Inner)
    word: str = "-1"


def test_what_lies_within_its_limits_is_let_through():
    limits.check(Outer())
    limits.check(Outer(size=0.1, inner=None, few=5))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": 0}, "a.steps is 0; give 1 to 1,000,000,000."),
        ({"steps": 10**400}, "a.steps is 1000"),
        ({"least": -1}, "a.least is -1; give 0 to 1,000,000,000."),
        ({"weight": -0.1}, "a.weight is -0.1; give 0 or more."),
        ({"weight": math.nan}, "a.weight is nan; give 0 or more."),
        ({"weight": math.inf}, "a.weight is inf; give 0 or more."),
        ({"size": 0.0}, "a.size is 0.0; give more than 0, or null."),
        ({"betas": (0.9, 1.5)}, "a.betas is 1.5; give 0 to 1."),
        ({"seeds": [0, -1]}, "a.seeds is -1; give 0 to 4,000,000."),
        ({"few": 6}, "a.few is 6; give 2 to 5."),
        ({"inner": Inner(share=1.1)}, "a.inner.share is 1.1; give 0 to 1."),
        ({"inner": Inner(free=math.nan)}, "a.inner.free is nan; give a finite number."),
        ({"inner": Inner(degree=4)}, "a.inner.degree is 4; give 0 to 3."),
    ],
)
def test_what_is_beyond_its_limits_is_refused_by_its_whole_key(change, told):
    with pytest.raises(ConfigError) as refused:
        limits.check(Outer(**change), "a")
    assert str(refused.value).startswith(told)
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("method.deform.steps=0", "method.deform.steps is 0; give 1 to"),
        ("method.static.steps=-5", "method.static.steps is -5"),
        ("method.static.rates.means=-1e-3", "method.static.rates.means is -0.001"),
        ("method.deform.final_rate_share=2", "method.deform.final_rate_share is 2.0; give 0 to 1"),
        ("method.deform.torso.gain=.nan", "method.deform.torso.gain is nan; give a finite number"),
        ("train_minutes=0", "train_minutes is 0.0; give more than 0, or null"),
    ],
)
def test_a_run_that_could_not_be_is_refused_when_its_config_is_read(override, told):
    with pytest.raises(ConfigError, match=told):
        config.compose(GSTALKER, ["capture=x", override])


def _whole_numbers(schema, key):
    hints = get_type_hints(schema)
    told = get_type_hints(schema, include_extras=True)
    for entry in dataclasses.fields(schema):
        kinds = get_args(hints[entry.name]) or (hints[entry.name],)
        for kind in kinds:
            if dataclasses.is_dataclass(kind):
                yield from _whole_numbers(kind, f"{key}.{entry.name}")
        if int in kinds:
            yield f"{key}.{entry.name}", bool(list(limits._told(told[entry.name])))


@pytest.mark.parametrize("method", METHODS)
def test_every_whole_number_of_a_shipped_method_has_limits(method):
    found = dict(_whole_numbers(resolve(METHODS, method).Config, method))
    assert found
    assert not [key for key, has_limits in found.items() if not has_limits]
