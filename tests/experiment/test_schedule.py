"""Longer and shorter schedules, and equal training time: measured once, then frozen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gstalker import config as configuration
from gstalker import files
from gstalker.errors import ConfigError
from gstalker.experiment import pace, sweep
from gstalker.experiment.making import make_method
from gstalker.experiment.pace import Pace, settle
from gstalker.experiment.plan import read
from gstalker.experiment.runs import open_capture
from gstalker.experiment.schedule import is_open, scaled
from gstalker.experiment.speed import sizes
from gstalker.experiment.train import train
from gstalker.experiment.trial import is_scored
from gstalker.metrics.protocol import Protocol
from gstalker.stages.static import StaticStage

ROOT = Path(__file__).parents[2]
GSTALKER = ROOT / "configs" / "gstalker.yaml"
SPEEDS = {"static": Pace(4000, 0.01), "deform": Pace(16000, 0.05)}
"""A whole schedule of 840 seconds."""


def config(name, *words):
    return configuration.compose(ROOT / "configs" / name, ["capture=captures/me", *words])


@pytest.fixture
def run(tiny_capture, tmp_path):
    """A config of GSTalker on the tiny capture."""

    def made(*words):
        lies = [f"capture={tiny_capture.folder}", f"runs={tmp_path}"]
        return configuration.compose(GSTALKER, [*lies, *words])

    return made


@pytest.fixture
def measured(monkeypatch):
    """Says that every method costs ``SPEEDS``; returns the configs that were measured."""
    seen = []
    monkeypatch.setattr(pace, "measure", lambda config: seen.append(config) or SPEEDS)
    return seen


# ---------------------------------------------------------------------- what is counted in steps


def test_all_lengths_and_moments_shrink_alike_and_pauses_do_not():
    head = scaled(config("ad_nerf.yaml").method.config, 0.1).head
    assert (head.steps, head.decay_steps, head.smooth_from_step) == (40_000, 25_000, 20_000)
    face = scaled(config("talkinggaussian.yaml").method.config, 0.1).face
    whole = config("talkinggaussian.yaml").method.config.face
    assert face.warm_steps == round(0.1 * whole.warm_steps)
    assert face.densify.stop_step == round(0.1 * whole.densify.stop_step)
    assert face.densify.every_steps == whole.densify.every_steps
    assert face.densify.reset_every_steps == whole.densify.reset_every_steps
    march = scaled(config("er_nerf.yaml").method.config, 0.1).head.march
    assert march.occupancy.every_steps == 16


def test_nothing_but_steps_is_scaled_and_the_whole_is_left_alone():
    whole = config("gaussiantalker.yaml").method.config
    assert scaled(whole, 1.0) is whole
    half = scaled(whole, 0.5)
    assert half.fine.frames_per_step == whole.fine.frames_per_step
    assert half.fine.rates == whole.fine.rates
    assert half.cross == whole.cross


def test_a_stage_keeps_at_least_one_step_and_a_zero_stays():
    method = replace(config("gstalker.yaml").method.config)
    method.static.densify = SimpleNamespace()  # no dataclass, so it is nobody's schedule
    tiny = scaled(method, 1e-9)
    assert (tiny.static.steps, tiny.deform.steps) == (1, 1)
    assert tiny.static.densify is method.static.densify
    grown = configuration.compose(
        GSTALKER, ["capture=x", "method.static.densify.start_step=0"]
    ).method.config
    assert scaled(grown, 3.0).static.densify.start_step == 0
    assert scaled(grown, 3.0).static.steps == 12_000


def test_a_run_trains_its_share_of_the_steps(run, tiny_capture):
    method, _ = make_method(run("schedule=0.25"), tiny_capture)
    assert [(plan.name, plan.steps) for plan in method.stages()] == [
        ("static", 1000),
        ("deform", 4000),
    ]


def test_a_share_is_part_of_a_runs_name_and_none_leaves_names_as_they_were(run):
    plain = configuration.fingerprint(run(), "x")
    assert configuration.fingerprint(run("schedule=null", "minutes=null"), "x") == plain
    names = [configuration.fingerprint(run(w), "x") for w in ("schedule=0.5", "minutes=5")]
    assert len({plain, *names}) == 3


@pytest.mark.parametrize("word", ["schedule=0", "minutes=-1", "minutes=.inf", "schedule=.nan"])
def test_a_share_or_minutes_of_nothing_are_refused(run, word):
    with pytest.raises(ConfigError, match="give more than 0, or null"):
        run(word)


# ---------------------------------------------------------------------- minutes


def test_minutes_become_the_share_that_fits_them_for_all_seeds_and_are_measured_once(run, measured):
    first = settle(run("minutes=7"))
    assert first.schedule == 0.5  # 420 of 840 seconds
    assert first.minutes == 7
    assert settle(run("minutes=7", "seed=3")).schedule == 0.5
    assert settle(run("minutes=28")).schedule == 2.0  # longer than the method's own
    assert len(measured) == 2
    (kept,) = [p for p in Path(first.runs).glob("paces/*.json") if "0.5" in p.read_text()]
    assert files.read_object(kept)["stages"]["deform"] == {
        "steps": 16000, "step_s": 0.05, "start_s": 0.0
    }  # fmt: skip


def test_who_names_the_share_or_no_minutes_is_not_measured(run, measured):
    assert settle(run()) == run()
    assert settle(run("minutes=7", "schedule=0.1")).schedule == 0.1
    assert not measured


def test_minutes_that_allow_not_one_step_are_refused(run, measured):
    with pytest.raises(ConfigError, match="stage static would not get one step"):
        settle(run("minutes=0.003"))


def test_a_run_whose_minutes_were_not_measured_is_not_trained(run):
    with pytest.raises(ConfigError, match=r"gstalker train and gstalker sweep measure it"):
        train(run("minutes=7"))


def test_a_damaged_measurement_is_a_sentence(run, measured):
    settle(run("minutes=7"))
    (file,) = Path(run().runs).glob("paces/*.json")
    files.write_json(file, {"schedule": "fast"})
    with pytest.raises(ConfigError, match="Delete it to measure again"):
        settle(run("minutes=7"))


def test_what_is_measured_is_what_the_stages_cost_here(run, tiny_capture):
    few = ["method.static.start.max_gaussians=300", "method.static.steps=60"]
    chosen = run("minutes=0.01", *few, "method.deform.steps=60")
    paces = pace.measure(chosen)
    assert {name: p.steps for name, p in paces.items()} == {"static": 60, "deform": 60}
    assert all(1e-4 < p.step_s < 5 for p in paces.values())
    assert not list(Path(chosen.runs).iterdir()), "what was tried is thrown away"


def test_the_first_steps_extra_time_is_paid_once_and_not_by_every_step():
    status = {"static_minutes": 1.0, "static_steps": 100, "static_late_s": 0.4}
    assert pace._pace(status, "static", 4000) == Pace(4000, 0.4, start_s=20.0)
    faster_at_first = {**status, "static_late_s": 0.7}
    assert pace._pace(faster_at_first, "static", 4000).start_s == 0


def test_minutes_that_the_first_steps_use_up_are_refused(run, monkeypatch):
    slow = {name: replace(p, start_s=300.0) for name, p in SPEEDS.items()}
    monkeypatch.setattr(pace, "measure", lambda config: slow)
    with pytest.raises(ConfigError, match="would not get one step"):
        settle(run("minutes=7"))


def test_what_is_tried_to_be_timed_looks_at_no_validation_frames(run, tiny_capture, monkeypatch):
    looked = []
    drawn = StaticStage.validation_step
    monkeypatch.setattr(
        StaticStage, "validation_step", lambda *args: looked.append(args) or drawn(*args)
    )
    few = ["method.static.start.max_gaussians=300", "method.static.steps=9", "stages=[static]"]
    train(run(*few), looks=False)
    assert not looked
    train(run(*few, "seed=1"))
    assert looked


# ---------------------------------------------------------------------- a sweep of equal time


@pytest.fixture
def experiment(tmp_path, tiny_capture):
    rows = {"a": {}, "b": {"method.deform.torso": None}}
    told = {"config": str(GSTALKER), "rows": rows, "seeds": [0, 1], "common": {"minutes": 7}}
    (tmp_path / "mine.yaml").write_text(json.dumps(told))
    return tmp_path / "mine.yaml", [f"captures={tiny_capture.folder}"], tmp_path / "runs"


def test_a_sweep_measures_each_row_once_and_freezes_the_share(experiment, measured, monkeypatch):
    monkeypatch.setattr(sweep.launch, "run_here", lambda trials, place: None)
    before = sweep.report(read(*experiment))
    assert "is to be measured" in before.text
    assert "about 28 minutes" in sweep.dry_run(experiment[0], experiment[1], out=experiment[2])
    assert not measured, "looking measures nothing"
    plan = sweep.sweep(experiment[0], experiment[1], out=experiment[2]).plan
    assert len(measured) == 2
    assert {t.config.schedule for t in plan.trials} == {0.5}
    assert all(t.run.config().schedule == 0.5 for t in plan.trials)
    again = sweep.sweep(experiment[0], experiment[1], out=experiment[2]).plan
    assert [t.run.path for t in again.trials] == [t.run.path for t in plan.trials]
    assert len(measured) == 2


def test_a_row_that_cannot_be_measured_fails_by_itself(experiment, monkeypatch):
    def measure(config):
        if config.method.config.deform.torso is None:
            tried.append(config)
            raise ConfigError("no torso, no time")
        return SPEEDS

    started, tried = [], []
    monkeypatch.setattr(pace, "measure", measure)
    monkeypatch.setattr(sweep.launch, "run_here", lambda trials, place: started.extend(trials))
    told = sweep.sweep(experiment[0], experiment[1], out=experiment[2])
    assert [t.row for t in started] == ["a", "a"]
    assert not told.healthy
    assert told.text.count("ConfigError: no torso, no time") == 2
    assert told.sum == "waiting 2, failed 2"
    assert len(tried) == 1, "seeds share the answer"


def test_minutes_are_not_measured_on_a_clusters_front_door(experiment, measured):
    slurm = ROOT / "configs" / "cluster" / "slurm.yaml"
    with pytest.raises(ConfigError, match="must be measured where it will train"):
        sweep.sweep(experiment[0], experiment[1], out=experiment[2], on=slurm)
    assert not measured


def test_trials_that_share_cores_are_measured_with_as_many_threads(experiment, measured):
    place = sweep.launch.cluster(None, jobs=64)
    assert place.threads_each == 1
    assert sweep.launch.cluster(None).threads_each is None
    sweep._measure_paces(read(*experiment), place)
    assert {c.threads for c in measured} == {1}


# ---------------------------------------------------------------------- what a table wants to know


def test_every_learned_number_of_what_paints_is_counted_once():
    net = torch.nn.Linear(3, 4)
    assert sizes(SimpleNamespace(stage=net, same=net, device="cpu")) == (16, 6.4e-05)
    assert sizes(SimpleNamespace(device="cpu")) == (None, None)


def test_a_run_is_scored_only_if_all_that_was_asked_for_was_measured(run, tiny_capture):
    trial = sweep.read(GSTALKER, [f"capture={tiny_capture.folder}"], run().runs).trials[0]
    assert not is_scored(trial.run)
    told = {"sync": False, "identity": "my_lab.faces:Embed"}
    files.write_json(trial.run.scores_path, {"protocol": told, "rows": {}})
    assert is_scored(trial.run)
    assert is_scored(trial.run, ["sync=false"])
    assert not is_scored(trial.run, ["sync=true"])
    assert is_scored(trial.run, ["identity=my_lab.faces:Embed"])
    assert is_scored(trial.run, ['identity="my_lab.faces:Embed"'])
    assert not is_scored(trial.run, ["identity=my_lab.faces:Other"])


def test_what_an_experiment_measures_as_well_reaches_every_trial(experiment, tmp_path):
    words = [*experiment[1], "measure={sync: true}"]
    plan = read(experiment[0], words, experiment[2])
    assert all(is_open(t.config) for t in plan.trials)
    assert sweep.launch.command(plan.trials[0], 1, None)[-1] == "sync=true"
    words = [*experiment[1], "measure={identity: 'my_lab.faces:Embed'}"]
    asked = sweep.launch.command(read(experiment[0], words, experiment[2]).trials[0], 1, None)[-1]
    assert configuration.from_overrides(Protocol, [asked]).identity == "my_lab.faces:Embed"
    with pytest.raises(ConfigError, match="unknown key 'synk'"):
        read(experiment[0], [*experiment[1], "measure={synk: true}"], experiment[2])
    assert open_capture(plan.trials[0].config).name == "tiny"


def test_a_sweeps_folder_has_a_plain_name(experiment):
    file = experiment[0]
    file.write_text(json.dumps({**json.loads(file.read_text()), "name": "../elsewhere"}))
    with pytest.raises(ConfigError, match="give the name of one folder"):
        read(*experiment)
