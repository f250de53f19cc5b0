"""From a capture to a talking mp4 and its scores, small: what the commands do, in their order."""

import json
import shutil
import signal

import av
import numpy as np
import pytest
import torch

from gstalker import config as configuration
from gstalker.data.synthetic import synthetic_voice
from gstalker.data.writer import write_wav
from gstalker.errors import CaptureError, ConfigError, GSTalkerError, MediaError, RunError
from gstalker.experiment.demo import contact_sheet, curves, side_by_side
from gstalker.experiment.drive import drive
from gstalker.experiment.evaluate import ROWS, evaluate, summary
from gstalker.experiment.head import steady_stretch
from gstalker.experiment.runs import RunFolder
from gstalker.experiment.train import train

SMALL = [
    "method.static.steps=150",
    "method.static.start.max_gaussians=900",
    "method.deform.steps=150",
]


def make_config(folder, capture, *overrides):
    file = folder / "gstalker.yaml"
    file.write_text("method:\n  name: gstalker\n")
    return configuration.compose(
        file, [f"capture={capture.folder}", f"runs={folder / 'runs'}", *SMALL, *overrides]
    )


@pytest.fixture(scope="module")
def run(tiny_capture, tmp_path_factory):
    return train(make_config(tmp_path_factory.mktemp("flow"), tiny_capture))


@pytest.fixture(scope="module")
def scores(run):
    return evaluate(run)


def test_a_run_folder_says_what_it_is_and_how_it_came_to_be(run, tiny_capture):
    assert run.path.name.startswith("gstalker-tiny-")
    assert json.loads((run.path / "status.json").read_text())["state"] == "done"
    starts = json.loads((run.path / "provenance.json").read_text())["starts"]
    assert [s["stage"] for s in starts] == ["StaticStage", "DeformStage"]
    assert starts[0]["packages"]["torch"]
    for name in (
        "static/handoff.pt",
        "static/metrics.csv",
        "static/preview.png",
        "deform/model.pt",
    ):
        assert (run.path / name).stat().st_size > 0


def test_the_same_config_is_the_same_run_and_is_not_trained_again(run, tiny_capture, tmp_path):
    before = (run.path / "deform" / "model.pt").stat().st_mtime_ns
    again = train(make_config(run.path.parents[1], tiny_capture))
    assert again.path == run.path
    assert (run.path / "deform" / "model.pt").stat().st_mtime_ns == before


def test_the_weights_do_not_depend_on_the_number_of_threads(tiny_capture, tmp_path):
    before, models = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            folder = tmp_path / str(threads)
            folder.mkdir()
            steps = ("method.static.steps=12", "method.deform.steps=12")
            done = train(make_config(folder, tiny_capture, *steps, f"threads={threads}"))
            models.append(torch.load(done.path / "deform" / "model.pt", weights_only=True)["state"])
    finally:
        torch.set_num_threads(before)
    assert models[0].keys() == models[1].keys()
    assert [k for k in models[0] if not torch.equal(models[0][k], models[1][k])] == []


def test_evaluate_scores_ours_and_all_controls(run, scores, tiny_capture):
    assert tuple(scores["rows"]) == ROWS
    for row in scores["rows"].values():
        for name in (
            "psnr_full",
            "psnr_head",
            "psnr_mouth",
            "ssim_full",
            "mouth_corr",
            "mouth_lag",
            "lpips_alex",
        ):
            figure = row[name]
            assert {"mean", "stderr", "n"} <= set(figure) or (
                figure["value"] == "n/a" and figure["reason"]
            )
    assert (
        scores["rows"]["ours"]["psnr_full"]["mean"]
        > scores["rows"]["mean_frame"]["psnr_full"]["mean"]
    )
    assert json.loads(run.scores_path.read_text()) == json.loads(json.dumps(scores))
    assert scores["protocol"]["words"]["psnr_head"]
    assert len(scores["protocol"]["fingerprint"]) == 12
    assert scores["protocol"]["composite"] == "drawn"
    assert scores["protocol"]["split"]["rule"] == "test"
    assert scores["metrics"]["psnr_full"]["higher_is_better"] is True
    pictures = sorted(p.stem for p in run.frames_path.glob("*.png"))
    assert pictures == [f"{i:06d}" for i in tiny_capture.split()[1]]


def test_the_summary_names_every_row_and_metric(scores):
    text = summary(scores)
    assert all(name in text for name in [*ROWS, "psnr_mouth", "lpips_alex"])
    reason = scores["rows"]["ours"]["lpips_alex"]["reason"]  # no LPIPS weights in the tests
    assert text.count(" ".join(reason.split()).rstrip(".")) == 1


def test_the_summary_says_why_a_figure_is_not_there_once_for_each_reason(scores):
    lacking = {"value": "n/a", "reason": "no face\n  was found."}
    slow = {"value": "n/a", "reason": "costs much"}
    rows = {"ours": {"a": {"mean": 1.0}, "b": slow}, "static": {"a": lacking, "b": slow}}
    lines = summary({**scores, "rows": rows}).splitlines()
    assert lines[1].split() == ["a", "1.000", "n/a"]
    assert lines[3:5] == ["n/a b: costs much.", "n/a a of static: no face was found."]


def test_drive_speaks_for_as_long_as_the_sound_lasts(run, tmp_path):
    write_wav(tmp_path / "speech.wav", synthetic_voice(3.0, seed=99))
    out = drive(run, tmp_path / "speech.wav", tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    with av.open(str(out)) as container:
        heard = sum(f.samples for f in container.decode(audio=0))
    assert len(frames) == 75
    assert abs(heard / 16000 - 3.0) < 0.2
    assert np.abs(np.diff(np.stack(frames).astype(float), axis=0)).max() > 5  # it moves


@pytest.mark.parametrize(
    "content", [b"", b"RIFF not a wave", b"\0" * 4000], ids=["empty", "header", "zeros"]
)
def test_a_file_that_is_no_sound_is_a_sentence_and_leaves_nothing(run, tmp_path, content):
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(MediaError, match=r"bad\.wav"):
        drive(run, tmp_path / "bad.wav", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_the_head_moves_along_one_stretch_without_a_cut(tiny_capture):
    first, stop = steady_stretch(tiny_capture)
    (a, b) = tiny_capture.segment_of(first)
    assert a <= first < stop <= b
    assert stop - first >= 90


def test_pictures_of_the_demo_are_made(run, scores, tiny_capture, tmp_path):
    side_by_side(run, tiny_capture, tmp_path / "s.mp4")
    contact_sheet(run, tiny_capture, tmp_path / "c.png")
    curves(run, tmp_path / "k.png")
    assert all((tmp_path / n).stat().st_size > 1000 for n in ("s.mp4", "c.png", "k.png"))


@pytest.fixture
def copied(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    return RunFolder.open(tmp_path / "run")


@pytest.mark.parametrize("damage", ["empty", "cut"])
def test_a_damaged_model_is_a_sentence(copied, damage):
    path = copied.path / "deform" / "model.pt"
    data = path.read_bytes()
    path.write_bytes(b"" if damage == "empty" else data[: len(data) // 2])
    with pytest.raises(RunError, match=r"model\.pt is damaged or not ours"):
        evaluate(copied)


def test_a_run_that_was_not_trained_says_what_to_type(copied):
    (copied.path / "deform" / "model.pt").unlink()
    with pytest.raises(RunError, match="gstalker train"):
        evaluate(copied)


def test_a_folder_that_is_no_run_names_the_runs_beside_it(copied):
    with pytest.raises(RunError, match=r"no run at .*nothing[\s\S]*Runs there: run"):
        RunFolder.open(copied.path.parent / "nothing")


def test_a_damaged_checkpoint_is_refused_before_training(tiny_capture, tmp_path):
    config = make_config(tmp_path, tiny_capture, "method.static.steps=30", "stages=[static]")
    run = RunFolder.create(config, tiny_capture)
    (run.path / "static").mkdir()
    (run.path / "static" / "last.ckpt").write_bytes(b"broken")
    with pytest.raises(RunError, match=r"checkpoint .*last\.ckpt is damaged"):
        train(config)


def test_stages_that_do_not_exist_are_named(tiny_capture, tmp_path):
    with pytest.raises(ConfigError, match="stages: later unknown; gstalker has: static, deform"):
        train(make_config(tmp_path, tiny_capture, "stages=[static,later]"))


def test_features_that_the_capture_lacks_are_named(tiny_capture, tmp_path):
    with pytest.raises(CaptureError, match="no 'whisper' sound features, only: mel"):
        train(make_config(tmp_path, tiny_capture, "method.deform.audio.features=whisper"))


def test_without_a_static_stage_the_deformation_starts_from_the_mesh(tiny_capture, tmp_path):
    run = train(make_config(tmp_path, tiny_capture, "stages=[deform]", "method.deform.steps=20"))
    assert (run.path / "deform" / "model.pt").exists()
    assert not (run.path / "static" / "metrics.csv").exists()


@pytest.mark.parametrize("name", ["mesh", "random"])
def test_the_other_starts_train_too(tiny_capture, tmp_path, name):
    overrides = [
        f"method.static.start.name={name}",
        "method.static.steps=20",
        "stages=[static]",
        "method.static.densify={}",
    ]
    run = train(make_config(tmp_path, tiny_capture, *overrides))
    assert (run.path / "static" / "handoff.pt").exists()


def test_a_runs_folder_that_cannot_be_written_is_a_sentence(tiny_capture, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GSTalkerError, match="cannot write"):
        train(make_config(tmp_path, tiny_capture, f"runs={tmp_path / 'file' / 'runs'}"))


def test_ctrl_c_saves_the_whole_step_and_the_same_call_goes_on(tiny_capture, tmp_path, monkeypatch):
    from gstalker.experiment import train as module

    class Interrupted(module.Curve):
        def on_train_batch_start(self, trainer, *args):
            if trainer.global_step == 11:
                signal.raise_signal(signal.SIGINT)

    config = make_config(tmp_path, tiny_capture, "method.static.steps=30", "stages=[static]")
    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(module, "Curve", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.undo()
    (folder,) = (tmp_path / "runs").iterdir()
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["stage"], status["step"]) == ("interrupted", "static", 12)
    assert train(config).path == folder
    starts = json.loads((folder / "provenance.json").read_text())["starts"]
    assert [s["from_step"] for s in starts] == [0, 12]
