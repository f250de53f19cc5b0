"""The methods of Gaussians: they learn, resume, are read back and beat controls."""

import dataclasses
import itertools
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

from gstalker import config as configuration
from gstalker.callbacks.checkpoint import Checkpoint
from gstalker.callbacks.curve import Curve
from gstalker.data.capture import HEAD, MOUTH
from gstalker.data.datamodule import CaptureDataModule
from gstalker.data.synthetic import make_synthetic_capture
from gstalker.errors import RunError
from gstalker.experiment.evaluate import evaluate
from gstalker.experiment.making import make_method
from gstalker.experiment.runs import RunFolder
from gstalker.experiment.train import train
from gstalker.losses.photometric import ssim_map
from gstalker.metrics.image import psnr
from gstalker.stages.branch import GREEN, unlike

SMALL = Path(__file__).parents[2] / "configs" / "small"
LENGTHS = {
    "gstalker": {"static": 120, "deform": 120},
    "talkinggaussian": {"face": 150, "mouth": 100, "fuse": 100},
    "gaussiantalker": {"coarse": 120, "fine": 120},
    "blendshape_gaussians": {"look": 120, "speak": 60},
}
"""Steps in which one frame of 64 x 64 is learned by heart."""
START = {
    "gstalker": ["method.static.start.max_gaussians=900", "method.deform.rehearsals=0"],
    "talkinggaussian": [
        "method.face.start.max_gaussians=900",
        "method.face.warm_steps=60",
        "method.mouth.max_gaussians=150",
        "method.mouth.warm_steps=40",
        "method.fuse.colours=0.02",
    ],
    "gaussiantalker": ["method.coarse.start.max_gaussians=900", "method.cross.dropout=0.0"],
    "blendshape_gaussians": ["method.start.max_gaussians=900"],
}


def make_config(name, folder, capture, steps=None, more=()):
    lengths = [f"method.{k}.steps={v}" for k, v in (steps or LENGTHS[name]).items()]
    where = [f"capture={capture.folder}", f"runs={folder}"]
    return configuration.compose(SMALL / f"{name}.yaml", [*where, *START[name], *lengths, *more])


def trainer(steps, *callbacks):
    return L.Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", callbacks=list(callbacks),
        enable_checkpointing=False, logger=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip


class _OneFrame(torch.utils.data.Sampler):
    def __init__(self, index):
        self.index = index

    def __iter__(self):
        return itertools.repeat(self.index)


def learn_by_heart(plan, folder, data, index):
    """One stage on one frame."""
    torch.manual_seed(0)
    stage = plan.build(folder)
    loader = torch.utils.data.DataLoader(data.dataset, batch_size=None, sampler=_OneFrame(index))
    trainer(plan.steps).fit(stage, loader)
    plan.export(stage, folder)
    return stage


@pytest.fixture(scope="module", params=LENGTHS)
def learned(request, tiny_capture, tmp_path_factory):
    """A method with all its stages trained on the frame whose mouth is widest open."""
    folder = tmp_path_factory.mktemp(request.param)
    config = make_config(request.param, folder, tiny_capture)
    method, features = make_method(config, tiny_capture)
    data = CaptureDataModule(tiny_capture, features=features)
    index = int(data.train_ids[np.nanargmax(tiny_capture.mouth[data.train_ids])])
    stages = [learn_by_heart(plan, folder, data, index) for plan in method.stages()]
    return method, folder, data.dataset[index], stages[-1]


def test_it_learns_one_frame_by_heart(learned, tiny_capture):
    method, folder, batch, _ = learned
    picture = method.load(folder)(batch)
    assert psnr(picture[0], batch.image[0]) > 27
    x0, y0, x1, y1 = batch.mouth_box[0].tolist()
    assert psnr(picture[0, y0:y1, x0:x1], batch.image[0, y0:y1, x0:x1]) > 24


def test_what_was_saved_is_what_was_trained_and_holds_tensors_alone(learned):
    method, folder, batch, stage = learned
    with torch.no_grad():
        before = stage.eval()(batch)
    assert torch.equal(method.load(folder)(batch), before)
    for plan in method.stages():
        torch.load(folder / plan.artefact, weights_only=True)


def test_what_it_paints_is_what_it_draws(learned):
    method, folder, batch, _ = learned
    performer = method.load(folder)
    code = performer.listen(batch.audio, batch.eye)
    painted = performer.paint(batch.camera, code[0], batch.background)
    drawn = (performer(batch)[0] * 255).round()
    assert (painted.float() - drawn).abs().max() <= 1


def test_the_silent_head_is_the_same_under_any_sound_but_turns_with_the_camera(
    learned, tiny_capture
):
    method, folder, batch, _ = learned
    silent = method.load(folder, silent=True)
    data = CaptureDataModule(tiny_capture, features=method.features)
    one, other = (data.dataset.frame(3, sound_of=k) for k in (3, 90))
    assert torch.equal(silent(one), silent(other))
    assert not torch.equal(silent(one), silent(batch))


def test_another_captures_or_another_versions_file_is_refused(learned, monkeypatch):
    method, folder, _, _ = learned
    monkeypatch.setattr(method, "files", dataclasses.replace(method.files, version=99))
    with pytest.raises(RunError, match="train again"):
        method.load(folder)
    monkeypatch.undo()
    monkeypatch.setattr(method.capture, "content_id", "f" * 8)
    with pytest.raises(RunError, match="another capture|from capture"):
        method.load(folder)


class _Stop(Exception):
    pass


class _At(L.Callback):
    def __init__(self, saved, killed, folder):
        self.saved, self.killed, self.folder = saved, killed, folder

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.saved:
            Checkpoint(self.folder)._save(trainer)
        if trainer.global_step == self.killed:
            raise _Stop


@pytest.mark.parametrize(
    ("name", "more"),
    [
        (
            "talkinggaussian",
            [
                "method.face.warm_steps=5", "method.mouth.warm_steps=4",
                "method.face.densify={start_step: 2, every_steps: 3, stop_step: 12, "
                "grow_grad2d: 1e-5, max_gaussians: 930, reset_every_steps: 0}",
            ],
        ),
        ("gaussiantalker", ["method.fine.frames_per_step=2", "method.cross.dropout=0.2"]),
        ("blendshape_gaussians", []),
    ],
)  # fmt: skip
def test_every_stage_killed_and_resumed_ends_where_one_never_killed_does(
    name, more, tiny_capture, tmp_path
):
    steps = dict.fromkeys(LENGTHS[name], 14)
    config = make_config(name, tmp_path, tiny_capture, steps, more)
    method, features = make_method(config, tiny_capture)

    def fresh(plan, *callbacks):
        torch.manual_seed(0)
        data = CaptureDataModule(tiny_capture, features=features)
        stage = next(p for p in method.stages() if p.name == plan.name)
        curve = Curve(tmp_path / "curve.csv", every_steps=1)
        return stage.build(tmp_path), data, trainer(14, *stage.callbacks, curve, *callbacks), curve

    for plan in method.stages():
        whole, data, fit, curve = fresh(plan)
        fit.fit(whole, data)
        killed, data, fit, _ = fresh(plan, _At(6, 9, tmp_path / plan.name))
        with pytest.raises(_Stop):
            fit.fit(killed, data)
        again, data, fit, resumed = fresh(plan)
        checkpoint = str(tmp_path / plan.name / "last.ckpt")
        with torch.random.fork_rng():
            fit.fit(again, data, ckpt_path=checkpoint, weights_only=True)
        assert [row["loss"] for row in resumed.rows] == [row["loss"] for row in curve.rows]
        for key, value in whole.state_dict().items():
            assert torch.equal(again.state_dict()[key], value), (plan.name, key)
        plan.export(whole, tmp_path)


def test_a_branch_is_shown_its_own_labels_over_green(tiny_capture, tmp_path):
    config = make_config("talkinggaussian", tmp_path, tiny_capture)
    method, features = make_method(config, tiny_capture)
    batch = CaptureDataModule(tiny_capture, features=features).dataset[20]
    labels = torch.from_numpy(tiny_capture.mask(20))
    face, mouth = (plan.build(tmp_path) for plan in list(method.stages())[:2])
    for branch, label, other in ((face, HEAD, MOUTH), (mouth, MOUTH, HEAD)):
        picture, shown = branch.truth(batch)
        assert torch.equal(picture[0][labels == label], batch.image[0][labels == label])
        assert (picture[0][labels == other] == torch.tensor(GREEN)).all()
        assert shown[0, ..., 0][labels == label].all()


def test_a_branchs_loss_has_l1_whole():
    torch.manual_seed(0)
    pred, truth = torch.rand(2, 1, 20, 20, 3)
    wanted = (pred - truth).abs().mean() + 0.2 * (1 - ssim_map(pred, truth).mean())
    torch.testing.assert_close(unlike(pred, truth, 0.2), wanted)


def test_a_branchs_networks_have_their_own_betas_decay_and_fall(tiny_capture, tmp_path):
    steps = {"face": 50_000, "mouth": 50_000}
    config = make_config("talkinggaussian", tmp_path, tiny_capture, steps)
    method, _ = make_method(config, tiny_capture)
    for plan in list(method.stages())[:2]:
        branch = plan.build(tmp_path)
        made = branch.configure_optimizers()
        groups = {group["name"]: group for group in made["optimizer"].param_groups}
        networks = set(groups) - dict(branch.cloud.named_parameters()).keys()
        assert networks >= {"encoder", "networks", "attention"}
        for name, group in groups.items():
            assert group["betas"] == ((0.9, 0.99) if name in networks else (0.9, 0.999))
        falls = dict(zip(groups, made["lr_scheduler"]["scheduler"].lr_lambdas, strict=True))
        for step, left in ((0, 1), (20_000, 0.5**0.5), (40_000, 0.1**0.8), (50_000, 0.1)):
            assert falls["networks"](step) == pytest.approx(left)
        assert falls["networks"](39_999) == pytest.approx(0.5, rel=1e-4)
        for step, left in ((22_500, 0.1), (45_000, 0.01), (50_000, 0.01)):
            assert falls["means"](step) == pytest.approx(left)
        assert falls["sh"](50_000) == 1
        # nothing pulls: what changes now is what decays
        before = {id(p): p.detach().clone() for p in branch.parameters()}
        for parameter in branch.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for group in groups.values():
            group["lr"] = 1000.0
        made["optimizer"].step()
        for name, group in groups.items():
            kept = 1 - 1000 * 1e-4 if name == "attention" else 1
            for parameter in group["params"]:
                torch.testing.assert_close(parameter.detach(), before[id(parameter)] * kept)


def test_gaussians_that_learned_the_backdrop_go(tiny_capture, tmp_path):
    config = make_config("talkinggaussian", tmp_path, tiny_capture)
    method, _ = make_method(config, tiny_capture)
    face = next(iter(method.stages())).build(tmp_path)
    before = len(face.cloud)
    with torch.no_grad():
        face.cloud.sh[:5, 0] = (torch.tensor(GREEN) - 0.5) / 0.28209479
    assert face.drop_green() == 5
    assert len(face.cloud) == before - 5


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", LENGTHS)
def test_the_small_preset_beats_its_controls_on_unseen_frames(name, tmp_path):
    capture = make_synthetic_capture(tmp_path / "syn", seconds=24, size=64, takes=1)
    where = [f"capture={capture.folder}", f"runs={tmp_path}", "schedule=0.6"]
    run = train(configuration.compose(SMALL / f"{name}.yaml", where))
    rows = evaluate(RunFolder.open(run.path))["rows"]

    def mean(row, metric):
        return rows[row][metric]["mean"]

    assert mean("ours", "psnr_full") > mean("mean_frame", "psnr_full") + 3
    assert mean("ours", "psnr_mouth") > mean("mean_frame", "psnr_mouth") + 3
    assert mean("ours", "psnr_mouth") > mean("static", "psnr_mouth") + 0.5
    assert mean("ours", "mouth_corr") > mean("shuffled_audio", "mouth_corr") + 0.1
