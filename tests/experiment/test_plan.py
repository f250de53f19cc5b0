"""Rows x captures x seeds: which runs an experiment means, before anything runs."""

from __future__ import annotations

import json
import shutil
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from gstalker import config as configuration
from gstalker import files
from gstalker.data.dataset import FrameDataset
from gstalker.data.synthetic import make_synthetic_capture, synthetic_voice
from gstalker.data.writer import write_wav
from gstalker.encode.hashgrid import HashTriPlane
from gstalker.errors import CaptureError, ConfigError, RunError
from gstalker.experiment import cost, launch, speed, sweep
from gstalker.experiment.making import make_method
from gstalker.experiment.plan import read, split_values, sweep_name
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.experiment.trial import run_trial, standing
from gstalker.methods import METHODS
from gstalker.report.reported import choose

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(f for f in ROOT.glob("experiments/**/*.yaml") if f.name != "why.yaml")
GSTALKER = ROOT / "configs" / "gstalker.yaml"


@pytest.fixture
def experiment(tmp_path, tiny_capture):
    """Writes an experiment of given rows; returns its file and the words that name the capture."""

    def written(rows, **more):
        file = tmp_path / "mine.yaml"
        file.write_text(json.dumps({"config": str(GSTALKER), "rows": rows, **more}))
        return file, [f"captures={tiny_capture.folder}"]

    return written


@pytest.fixture(scope="module")
def other_capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captures") / "other"
    return make_synthetic_capture(folder, seconds=4.0, size=48, takes=2, seed=5)


def settings(trial):
    return trial.config.method.config


def test_every_row_is_run_on_every_capture_with_every_seed(
    experiment, tiny_capture, other_capture, tmp_path
):
    file, _ = experiment({"full": {}, "still": {"method.deform.torso": None}}, seeds=[0, 3])
    plan = read(file, [f"captures={tiny_capture.folder},{other_capture.folder}"], tmp_path)
    names = [(t.row, t.capture, t.seed) for t in plan.trials]
    assert names == [
        (r, c, s) for r in ("full", "still") for c in ("tiny", "other") for s in (0, 3)
    ]
    assert len({t.run.path for t in plan.trials}) == 8
    assert [settings(t).deform.torso is None for t in plan.trials] == [False] * 4 + [True] * 4
    assert all(t.config.seed == t.seed for t in plan.trials)
    assert not (tmp_path / "sweeps").exists()  # planning writes nothing


def test_what_is_common_is_weaker_than_a_row_and_the_command_line_is_strongest(
    experiment, tmp_path
):
    rows = {"a": {}, "b": {"method.deform.steps": 5}}
    file, words = experiment(rows, common={"method.deform.steps": 7})
    steps = [settings(t).deform.steps for t in read(file, words, tmp_path).trials]
    assert steps == [7, 5]
    plan = read(file, [*words, "method.deform.steps=9"], tmp_path)
    assert [settings(t).deform.steps for t in plan.trials] == [9, 9]
    assert [t.row for t in plan.trials] == ["a", "b"]


def test_a_runs_config_and_several_values_are_an_experiment(tiny_capture, tmp_path):
    words = [f"capture={tiny_capture.folder}", "seed=0,1", "method.deform.audio.code=8,16"]
    plan = read(GSTALKER, [*words, "stages=[static,deform]"], tmp_path)
    assert [(t.row, t.seed) for t in plan.trials] == [
        ("gstalker, code=8", 0),
        ("gstalker, code=8", 1),
        ("gstalker, code=16", 0),
        ("gstalker, code=16", 1),
    ]
    assert [settings(t).deform.audio.code for t in plan.trials] == [8, 8, 16, 16]
    assert all(t.config.stages == ("static", "deform") for t in plan.trials)


def test_two_keys_of_one_name_are_told_apart(tiny_capture, tmp_path):
    keys = ("method.static.steps=1,2", "method.deform.steps=3,4")
    plan = read(GSTALKER, [f"capture={tiny_capture.folder}", *keys], tmp_path)
    assert plan.trials[0].row == "gstalker, method.static.steps=1, method.deform.steps=3"
    assert len(plan.trials) == 4


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a", ["a"]),
        ("", [""]),
        ("1,2,3", ["1", "2", "3"]),
        ("{a: 1, b: 2},null", ["{a: 1, b: 2}", "null"]),
        ("'a,b',\"[c\",d", ["'a,b'", '"[c"', "d"]),
    ],
)
def test_commas_inside_of_brackets_and_quotes_are_no_separators(text, values):
    assert split_values(text) == values


@pytest.mark.parametrize(
    ("rows", "words", "told"),
    [
        ({"a": {"method.deform.tosro": None}}, [], r"'method.deform.tosro' in row 'a' of .*mine"),
        ({"a": {"seed": 3}}, [], "row 'a' of .* sets seed, which the sweep gives"),
        ({"a": {}}, ["method.deform.steps"], "not of the form key=value"),
        ({"a": {}}, ["seeds=x"], "seeds"),
        ({"a": {}}, ["runs=r"], "a sweep's runs go where --out says"),
        ({"a": {}}, ["speech=nothing.wav"], "there is no file nothing.wav"),
        ({"a": {"config": "nothing.yaml"}}, [], r"nothing\.yaml cannot be read"),
        ({}, [], "rows: there is none"),
        ({"a": {}}, ["seeds=[]"], "seeds: there is none"),
        ({"a": {}}, ["seeds=0,1,0"], "seeds: 0 stands there twice"),
        ({"a": {}}, ["seeds=0,-1"], "seeds is -1; give 0 to"),
        ({"a": {}}, ["method.deform.steps=100,0"], "method.deform.steps is 0; give 1 to"),
        (
            {"a": {}},
            ["columns=psnr_full,lpisp_alex"],
            "columns: no metric is called 'lpisp_alex'. Did you mean 'lpips_alex'",
        ),
    ],
)
def test_a_wrong_experiment_is_a_sentence(experiment, tmp_path, rows, words, told):
    file, capture = experiment(rows)
    with pytest.raises(ConfigError, match=told):
        read(file, [*capture, *words], tmp_path)


def test_columns_may_be_ours_with_or_without_a_detector_the_papers_what_costs_or_all(
    experiment, tmp_path
):
    named = ["lmd", "lmd_centred_mediapipe", "psnr", "frames_per_second", "all"]
    file, words = experiment({"a": {}}, columns=named)
    assert read(file, words, tmp_path).columns == tuple(named)


def test_an_experiment_without_captures_says_what_to_add(experiment):
    file, _ = experiment({"a": {}})
    with pytest.raises(ConfigError, match="no capture is named.\n  Add captures=FOLDER"):
        read(file)


def test_two_captures_of_one_name_are_refused(experiment, tiny_capture, tmp_path):
    shutil.copytree(tiny_capture.folder, tmp_path / "copy")
    file, words = experiment({"a": {}})
    with pytest.raises(ConfigError, match="both called 'tiny'"):
        read(file, [f"{words[0]},{tmp_path / 'copy'}"])


def test_a_trial_is_named_by_what_it_is_and_frozen_as_it_was_planned(experiment, tmp_path):
    file, words = experiment({"a": {}, "the same": {"method.deform.steps": 16000}})
    plan = read(file, words, tmp_path)
    first, second = plan.trials
    assert first.run == second.run
    assert plan.unique() == [second]
    first.freeze()
    assert first.run.config() == first.config
    assert first.run.path.name.endswith(first.fingerprint[:6])
    before = first.run.config_path.read_text()
    second.freeze()  # once more changes nothing
    assert first.run.config_path.read_text() == before


def test_a_folder_of_another_run_is_never_taken_for_this_one(experiment, tmp_path):
    file, words = experiment({"a": {}})
    (trial,) = read(file, words, tmp_path).trials
    (other,) = read(file, [*words, "method.deform.steps=4"], tmp_path).trials
    configuration.save(other.config, trial.run.config_path)
    with pytest.raises(ConfigError, match="holds another run than 'a, tiny, seed 0'"):
        trial.freeze()


def test_the_list_of_trials_names_every_run_folder(experiment, tmp_path):
    (tmp_path / "english.wav").write_bytes(b"")
    file, words = experiment({"a": {}}, columns=["psnr_full"], title="Mine")
    plan = read(file, [*words, f"speech={tmp_path / 'english.wav'}"], tmp_path / "runs")
    path = plan.save()
    assert path == tmp_path / "runs/sweeps/mine/sweep.json"
    listed = files.read_json(path)
    assert (listed["experiment"], listed["title"], listed["columns"]) == (
        "mine", "Mine", ["psnr_full"],
    )  # fmt: skip
    assert listed["rows"] == [{"name": "a", "config": str(GSTALKER), "overrides": []}]
    (trial,) = listed["trials"]
    assert (trial["row"], trial["capture"], trial["seed"]) == ("a", "tiny", 0)
    assert (path.parent / trial["run"]).resolve() == plan.trials[0].run.path.resolve()
    assert trial["driven"] == {str(tmp_path / "english.wav"): "driven/english.mp4"}


# ---------------------------------------------------------------------- those that are shipped


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_shipped_experiment_can_be_planned(file, tiny_capture, tmp_path):
    short = ["train_minutes=0.01"] if file.stem == "data_amount" else ["seeds=0,4"]
    plan = read(file, [f"captures={tiny_capture.folder}", *short], tmp_path)
    assert plan.trials
    if not short:
        assert len(plan.unique()) == len(plan.trials), "every row is another run"


def test_no_two_shipped_experiments_share_a_folder_of_sweeps():
    names = [sweep_name(file) for file in EXPERIMENTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("place", ["experiments", "experiments/small"])
def test_the_comparison_has_a_row_for_every_method(place, tiny_capture, tmp_path):
    plan = read(ROOT / place / "self_driven.yaml", [f"captures={tiny_capture.folder}"], tmp_path)
    assert {trial.config.method.name for trial in plan.trials} == set(METHODS)
    assert {trial.seed for trial in plan.trials} == {0, 1, 2}
    printed = {figure.method for figure in choose(["all"])}
    assert {row.name for row in plan.rows} <= printed, "a row is called as the papers call it"


@pytest.fixture(scope="module")
def ablation(tiny_capture):
    few = ["seeds=0", "method.static.start.max_gaussians=300"]
    words = [f"captures={tiny_capture.folder}", *few]
    return {t.row: t.config for t in read(ROOT / "experiments/ablation.yaml", words).trials}


ABSENT = {
    "full": lambda stage: False,
    "no tri-plane (frequency encoding)": lambda s: type(s.field.encoder).__name__ == "Frequency",
    "no hash (dense planes)": lambda stage: is_dense(stage.field.encoder),
    "no temporal smoothing": lambda stage: stage.audio.attention is None,
    "no torso field": lambda stage: stage.torso is None,
    "no rehearsal of the ears (ours)": lambda stage: stage.config.rehearsals == 0,
    "no attention": lambda stage: stage.field.gate is None,
    "no mouth weighting": lambda stage: stage.config.mouth_weight == 0,
    "mean only": lambda stage: set(stage.field.columns) == {"means"},
    "mean + rotation": lambda stage: set(stage.field.columns) == {"means", "quats"},
    "mean + scale": lambda stage: set(stage.field.columns) == {"means", "scales"},
}
"""What each row of the ablation takes away, asked of the module that it builds."""


def is_dense(encoder):
    return isinstance(encoder, HashTriPlane) and all(level.dense for level in encoder.levels)


@pytest.mark.parametrize("row", ABSENT)
def test_a_row_of_the_ablation_takes_away_one_part_and_no_other(
    row, ablation, tiny_capture, tmp_path
):
    method, _ = make_method(ablation[row], tiny_capture)
    stage = method.stages()[1].build(tmp_path)
    narrower = {"mean + rotation", "mean + scale"} if row == "mean only" else set()
    gone = {name for name, absent in ABSENT.items() if absent(stage)}
    assert gone - narrower == {row} - {"full"}
    loss = stage.training_step(FrameDataset(tiny_capture, "mel").frame(0), 0)["loss"]
    loss.backward()
    assert loss.isfinite()
    assert stage.field.out.weight.grad.abs().max() > 0


def test_without_a_static_start_only_the_second_stage_is_trained(ablation):
    assert ablation["no static start"].stages == ("deform",)


def test_every_row_of_the_ablation_was_asked(ablation):
    assert set(ablation) == {*ABSENT, "no static start"}


# ---------------------------------------------------------------------- how trials stand


def test_a_trial_of_a_capture_that_has_changed_is_refused(
    experiment, other_capture, tmp_path, monkeypatch
):
    file, words = experiment({"a": {}})
    (trial,) = read(file, words, tmp_path).trials
    trial.freeze()
    with pytest.raises(RunError, match="is not what it was when .* was planned"):
        run_trial(trial.run.path, where=[f"capture={other_capture.folder}"])
    stand = standing(trial.run)
    assert stand.state == "failed"
    assert "is not what it was" in stand.told


def test_a_trial_is_trained_scored_driven_and_timed_and_then_nothing_is_left(
    experiment, tmp_path, monkeypatch
):
    monkeypatch.setattr("gstalker.experiment.speed.FRAMES", 30)
    speech = tmp_path / "other.wav"
    write_wav(speech, synthetic_voice(1.0, seed=99))
    few = {"method.static.steps": 3, "method.deform.steps": 3}
    file, words = experiment(
        {"a": few}, common={"method.static.start.max_gaussians": 300}, speed=True
    )
    (trial,) = read(file, [*words, f"speech={speech}"], tmp_path).trials
    trial.freeze()
    run_trial(trial.run.path, speech=trial.speech, speed=True)
    assert launch.of(trial).state == "done"
    assert trial.run.driven_path(str(speech)).stat().st_size > 1000
    heard = files.read_json(trial.run.driven_scores_path(str(speech)))
    assert heard["protocol"]["frame_count"] == 25
    assert "sync=true" in heard["rows"]["ours"]["driven_sync_c"]["reason"]
    assert heard["rows"]["ours"]["sound_corr_filmed"]["mean"] > 0.3
    speed = files.read_json(trial.run.speed_path)
    assert speed["frames"] == 30
    assert speed["frames_per_second"] > 1
    status = trial.run.status()
    looked_s = status["static_looked_s"] + status["deform_looked_s"]
    spent = status["static_minutes"] + status["deform_minutes"] - looked_s / 60
    assert speed["train_minutes"] == pytest.approx(spent, abs=0.01)
    assert speed["parameters"] == status["deform_parameters"]  # the last stage moves all of them
    assert speed["weights_mb"] == pytest.approx(4e-6 * speed["parameters"], abs=1e-3)
    made = {p: p.stat().st_mtime_ns for p in trial.run.path.rglob("*") if p.is_file()}
    run_trial(trial.run.path, speech=trial.speech, speed=True)
    made.pop(trial.run.claim_path)
    assert all(path.stat().st_mtime_ns == when for path, when in made.items())
    write_wav(speech, synthetic_voice(1.0, seed=98))  # of the same name, and another sound
    assert launch.of(trial).state != "done"
    run_trial(trial.run.path, speech=trial.speech, speed=True)
    again = files.read_json(trial.run.driven_scores_path(str(speech)))
    assert again["protocol"]["speech_sha256"] == files.sha256(speech)
    assert launch.of(trial).state == "done"


def test_a_run_that_was_trained_by_hand_is_only_scored(experiment, tmp_path):
    file, words = experiment({"a": {}})
    (trial,) = read(file, words, tmp_path).trials
    assert standing(trial.run).state == "waiting"
    trial.freeze()
    trial.run.record("done", stage="deform", step=4, steps=4)
    assert (standing(trial.run).state, standing(trial.run).told) == (
        "waiting",
        "trained, not scored",
    )
    files.write_json(trial.run.scores_path, {})
    assert standing(trial.run).state == "done"
    assert standing(trial.run, speech=["a.wav"]).state == "waiting"


def test_the_table_of_states_has_a_line_for_every_trial_and_a_sum(experiment, tmp_path):
    file, words = experiment({"a": {}, "b": {"method.deform.torso": None}})
    plan = read(file, words, tmp_path)
    plan.trials[1].freeze()
    told = {"stage": "static", "step": 4, "term": "scales", "reason": "is nan"}
    plan.trials[1].run.record("diverged", **told)
    text = sweep.report(plan).text
    lines = [line.split() for line in text.splitlines()]
    assert lines[1][:4] == ["a", "tiny", "0", "waiting"]
    assert lines[2][:4] == ["b", "tiny", "0", "diverged"]
    assert "static, step 4: scales is nan" in text
    assert text.endswith("waiting 1, diverged 1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state", 3),
        ("state", "asleep"),
        ("stage", ["static"]),
        ("step", 10**400),
        ("step", float("inf")),
        ("step", float("nan")),
        ("steps", -4),
        ("reason", None),
        ("static_minutes", "3"),
        ("static_steps", True),
    ],
)
def test_a_trial_whose_status_is_damaged_is_shown_as_unreadable_and_not_started(
    experiment, tmp_path, key, value
):
    file, words = experiment({"a": {}, "b": {"method.deform.torso": None}})
    plan = read(file, words, tmp_path)
    plan.trials[0].freeze()
    path = plan.trials[0].run.path / "status.json"
    path.write_text(json.dumps({"state": "running", "stage": "static", key: value}))
    told = sweep.report(plan)
    assert f"status.json is damaged: {key} is " in told.text
    assert max(map(len, told.text.splitlines())) < 400
    assert told.text.endswith("unreadable 1, waiting 1")
    assert told.left == [plan.trials[1]]
    assert not told.healthy
    with pytest.raises(RunError, match=r"Remove it, and type the same command again"):
        plan.trials[0].run.record("running")
    assert cost.estimate([], [plan.trials[0].run], probe=False).minutes == 0


def test_a_job_that_is_no_job_is_shown_as_unreadable(experiment, tmp_path):
    file, words = experiment({"a": {}})
    (trial,) = read(file, words, tmp_path).trials
    trial.freeze()
    files.write_json(trial.run.job_path, {"job": [1]})
    assert standing(trial.run).state == "unreadable"
    assert "job.json is damaged" in standing(trial.run).told


def test_looking_names_what_would_fail_at_once(experiment, tmp_path):
    rows = {"a": {}, "b": {"stages": ["static", "mouth"]}, "c": {"rasterizer.name": "nobodys"}}
    file, words = experiment(rows)
    told = sweep.dry_run(file, words, out=tmp_path / "runs").splitlines()
    doomed = [line for line in told if line.startswith("would fail: ")]
    assert len(doomed) == 2
    assert doomed[0].startswith("would fail: b, tiny, seed 0: stages: mouth unknown; gstalker has:")
    assert doomed[1].startswith("would fail: c, tiny, seed 0: ")
    assert "nobodys" in doomed[1]


def test_a_slow_head_shows_its_speed_by_fewer_frames(monkeypatch):
    clock = (k / 2 for k in range(100))
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    pictures = iter(range(100))
    assert speed._paint(pictures, 20, 3.0) == (6, 3.5)
    assert next(pictures) == 6
    assert speed._paint(pictures, 3, 100.0)[0] == 3
    assert speed._paint(pictures, 20, 0.0)[0] == 1, "one frame, however slow"


# ---------------------------------------------------------------------- what it will take


def test_the_cost_is_that_of_past_runs_step_by_step(experiment, tmp_path):
    file, words = experiment({"a": {}, "past": {"method.deform.torso": None}})
    trial, past = read(file, words, tmp_path).trials
    past.freeze()
    facts = {"static_minutes": 2.0, "static_steps": 4000, "deform_minutes": 8.0}
    past.run.record("done", **facts, deform_steps=16000, evaluate_s=30.0)
    found = cost.estimate([trial], [past.run], probe=False)
    assert found.minutes == pytest.approx(10.5)  # the same steps: 2 + 8 minutes, and scoring
    assert found.sentence(1, 1).startswith("1 trials to run: about 11 minutes with 1 at once")
    trial.freeze()
    trial.run.record("interrupted", stage="static", step=2000)
    assert cost.estimate([trial], [past.run], probe=False).minutes == pytest.approx(9.5)


def test_a_smaller_run_of_the_method_says_nothing_of_a_larger(experiment, tmp_path):
    file, words = experiment({"a": {}, "small": {"method.static.start.max_gaussians": 500}})
    trial, small = read(file, words, tmp_path).trials
    small.freeze()
    small.run.record("done", static_minutes=2.0, static_steps=4000, evaluate_s=30.0)
    found = cost.estimate([trial], [small.run], probe=False)
    assert found.minutes is None
    assert found.told == "no past run of gstalker like it on tiny has finished"


def test_without_a_past_run_some_steps_are_tried_and_thrown_away(experiment, tmp_path, caplog):
    caplog.set_level("INFO")
    few = {"method.static.steps": 2000, "method.static.start.max_gaussians": 300}
    file, words = experiment({"a": {}}, common={**few, "method.deform.steps": 1000})
    (trial,) = read(file, words, tmp_path / "runs").trials
    assert cost.estimate([trial], [], probe=False).minutes is None
    found = cost.estimate([trial], [], probe=True)
    assert 0.01 < found.minutes < 60
    assert found.told == "after 20 steps, scoring not counted"
    # of a head of 20 steps nothing is said that could frighten
    assert caplog.messages == ["tries 20 steps of: a, tiny, seed 0"]
    assert not (tmp_path / "runs").exists()


# ---------------------------------------------------------------------- an amount of data


def test_the_first_minutes_alone_are_learned_from_and_the_test_part_stays(tiny_capture, tmp_path):
    words = [f"capture={tiny_capture.folder}", "train_minutes=0.05"]
    capture = open_capture(configuration.compose(GSTALKER, words))
    train, test = capture.split()
    whole, whole_test = tiny_capture.split()
    assert train.tolist() == whole[:75].tolist()  # 3 seconds
    assert test.tolist() == whole_test.tolist()


def test_more_data_than_there_is_is_refused(tiny_capture):
    words = [f"capture={tiny_capture.folder}", "train_minutes=4"]
    with pytest.raises(CaptureError, match="minutes to train on, but train_minutes is 4"):
        open_capture(configuration.compose(GSTALKER, words))


def test_an_amount_is_part_of_a_runs_name_and_none_leaves_names_as_they_were(tiny_capture):
    words = [f"capture={tiny_capture.folder}"]
    plain = configuration.compose(GSTALKER, words)
    less = configuration.compose(GSTALKER, [*words, "train_minutes=0.05"])
    assert RunFolder.of(plain, tiny_capture) != RunFolder.of(less, tiny_capture)
    told = configuration.as_dict(plain)
    for later in ("train_minutes", "minutes", "schedule"):
        del told[later]
    assert configuration.fingerprint(plain, "x") == _by_hand(told, "x")


def _by_hand(told, content_id):
    """The fingerprint of versions that had no ``train_minutes``."""
    import hashlib

    for key in ("capture", "runs", "logger", "threads", "device"):
        del told[key]
    text = json.dumps({**told, "content_id": content_id}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_run_of_a_version_without_amounts_is_still_read(tiny_capture, tmp_path):
    config = configuration.compose(GSTALKER, [f"capture={tiny_capture.folder}"])
    text = configuration.to_yaml(config)
    (tmp_path / "config.yaml").write_text(text.replace("train_minutes: null\n", ""))
    assert configuration.load(tmp_path / "config.yaml") == config


def test_a_run_has_a_plain_name_whoever_made_its_method_and_capture():
    method = configuration.Choice("my_lab.method:Mine", make_dataclass("MineConfig", [])())
    config = configuration.RunConfig(capture="x", runs="out", method=method)
    capture = SimpleNamespace(name="may: take 2/3", content_id="c")
    fingerprint = configuration.fingerprint(config, "c")[:6]
    assert RunFolder.of(config, capture).path == Path(f"out/Mine-may--take-2-3-{fingerprint}")
