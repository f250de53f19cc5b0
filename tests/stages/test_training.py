"""Both stages under a plain Lightning Trainer, as a notebook would have them."""

import os
import signal

import lightning as L
import pytest
import torch

from gstalker import face
from gstalker.callbacks.average import MovingAverage
from gstalker.callbacks.checkpoint import Checkpoint
from gstalker.callbacks.curve import Curve
from gstalker.callbacks.density import Densification
from gstalker.callbacks.scores import ScoreFrames
from gstalker.callbacks.trial import Guard
from gstalker.data.datamodule import CaptureDataModule
from gstalker.deform.audio import fit_whitening
from gstalker.gaussians import start
from gstalker.gaussians.density import DensityConfig
from gstalker.gaussians.rotations import mean_viewmat
from gstalker.render import make_rasterizer
from gstalker.stages.deform import DeformStage
from gstalker.stages.handoff import Handoff
from gstalker.stages.late import patch_around
from gstalker.stages.settings import DeformConfig, PerceptualConfig, StaticConfig
from gstalker.stages.static import StaticStage


@pytest.fixture(scope="module")
def data(tiny_capture):
    return CaptureDataModule(tiny_capture, validation_frames=3)


def rest(capture):
    return mean_viewmat(capture.poses[capture.split()[0]])


def first_cloud(capture, most=600):
    return start.frame_cloud(
        capture.frame(0), capture.mask(0), capture.poses[0], rest(capture), capture.Ks,
        capture.mesh, capture.landmarks[0], face.layout("synthetic68"), max_gaussians=most,
    )  # fmt: skip


def static_stage(capture, steps):
    return StaticStage(
        first_cloud(capture), rest(capture), make_rasterizer(), StaticConfig(steps=steps)
    )


def handoff(capture, cloud):
    return Handoff(
        cloud={k: v.detach().clone() for k, v in cloud.state_dict().items()},
        rest_viewmat=rest(capture),
        capture_name=capture.name,
        capture_id=capture.content_id,
    )


def deform_stage(data, steps, seed=0):
    capture = data.capture
    torch.manual_seed(seed)
    features = capture.features("mel")
    stage = DeformStage(
        handoff(capture, first_cloud(capture)), features.shape[1], capture.poses, make_rasterizer(),
        DeformConfig(steps=steps),
    )  # fmt: skip
    fit_whitening(stage.audio, features)
    return stage


def trainer(steps, *callbacks, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", callbacks=list(callbacks),
        enable_checkpointing=False, **quiet, **options,
    )  # fmt: skip


def losses(curve):
    return [row["loss"] for row in curve.rows if "loss" in row]


def test_a_plain_trainer_fits_the_static_stage_and_validation_scores_it(data, tmp_path):
    stage = static_stage(data.capture, 120)
    curve = Curve(tmp_path / "metrics.csv", every_steps=20)
    fit = trainer(120, ScoreFrames(), curve, val_check_interval=60, check_val_every_n_epoch=None)
    fit.fit(stage, data)
    assert losses(curve)[-1] < 0.8 * losses(curve)[0]
    assert fit.callback_metrics["val_psnr_full"] > 20
    assert (tmp_path / "metrics.csv").read_text().startswith("step,")


def test_densification_grows_the_cloud_and_training_goes_on(data, tmp_path):
    stage = static_stage(data.capture, 60)
    before = len(stage.cloud)
    config = DensityConfig(
        start_step=10,
        every_steps=10,
        stop_step=50,
        reset_every_steps=0,
        grow_grad2d=1e-5,
        max_gaussians=700,
    )
    curve = Curve(tmp_path / "m.csv", every_steps=10)
    trainer(60, Densification(config), curve).fit(stage, data)
    assert before < len(stage.cloud) <= 700
    groups = {g["name"]: g["params"][0] for g in stage.trainer.optimizers[0].param_groups}
    assert all(groups[name] is p for name, p in stage.cloud.named_parameters())
    assert losses(curve)[-1] < losses(curve)[0]


def test_the_deformation_stage_beats_its_handoff_on_the_mouth(data):
    stage = deform_stage(data, 150)
    batches = [data.dataset[int(i)] for i in data.train_ids[::20]]

    def mouth_error():
        with torch.no_grad():
            total = 0.0
            for batch in batches:
                x0, y0, x1, y1 = batch.mouth_box[0].tolist()
                total += (stage(batch) - batch.image)[:, y0:y1, x0:x1].abs().mean().item()
        return total

    before = mouth_error()
    trainer(150).fit(stage, data)
    assert mouth_error() < 0.85 * before


class _Killed(Exception):
    """Stands for a kill: nothing is saved on the way out."""


class _KillAt(L.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.step:
            raise _Killed


@pytest.mark.parametrize("kind", ["static, growing", "deform"])
def test_a_run_killed_anywhere_and_resumed_has_the_curve_of_one_never_killed(data, tmp_path, kind):
    steps, saved, killed = 40, 17, 26

    def make():
        if kind == "deform":
            return deform_stage(data, steps), []
        growing = DensityConfig(
            start_step=5, every_steps=5, stop_step=35, grow_grad2d=1e-5, max_gaussians=650
        )
        return static_stage(data.capture, steps), [Densification(growing)]

    class SaveAt(L.Callback):
        def on_train_batch_end(self, trainer, *args):
            if trainer.global_step == saved:
                Checkpoint(tmp_path)._save(trainer)

    whole_stage, extra = make()
    whole = Curve(tmp_path / "whole.csv", every_steps=1)
    trainer(steps, *extra, whole).fit(whole_stage, data)

    stage, extra = make()
    with pytest.raises(_Killed):
        trainer(
            steps, *extra, Curve(tmp_path / "half.csv", every_steps=1), SaveAt(), _KillAt(killed)
        ).fit(stage, data)

    stage, extra = make()
    resumed = Curve(tmp_path / "resumed.csv", every_steps=1)
    trainer(steps, *extra, resumed).fit(
        stage, data, ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True
    )
    assert [row["step"] for row in resumed.rows] == list(range(1, steps + 1))
    assert losses(resumed) == losses(whole)
    for name, value in whole_stage.state_dict().items():
        assert torch.equal(stage.state_dict()[name], value), name


class _InterruptAt(L.Callback):
    """Interrupts once: after a step's training, or after the second of its validation frames."""

    def __init__(self, step, is_looking, how):
        self.step, self.is_looking, self.how = step, is_looking, how

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.step and not self.is_looking:
            os.kill(os.getpid(), self.how)

    def on_validation_batch_end(self, trainer, stage, outputs, batch, k, *args):
        if trainer.global_step == self.step and self.is_looking and k == 1:
            os.kill(os.getpid(), self.how)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
@pytest.mark.parametrize("is_looking", [False, True], ids=["before validation", "in validation"])
def test_a_run_interrupted_near_validation_looks_again_and_has_the_whole_curve(
    data, tmp_path, how, is_looking
):
    often = {"val_check_interval": 4, "check_val_every_n_epoch": None, "num_sanity_val_steps": 0}

    def fit(name, *more, **options):
        stage, curve = static_stage(data.capture, 12), Curve(tmp_path / name, every_steps=1)
        callbacks = [MovingAverage(), ScoreFrames(), curve, *more]
        trainer(12, *callbacks, **often).fit(stage, data, **options)
        return stage, (tmp_path / name).read_text()

    whole_stage, whole = fit("whole.csv")
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        fit("half.csv", _InterruptAt(8, is_looking, how), Checkpoint(tmp_path))
    signal.signal(signal.SIGINT, handler)  # Lightning ignores it from the first one on
    last = str(tmp_path / "last.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] == 8
    stage, resumed = fit("resumed.csv", ckpt_path=last, weights_only=True)
    assert resumed == whole
    assert "val_psn" in whole
    for name, value in whole_stage.state_dict().items():
        assert torch.equal(stage.state_dict()[name], value), name


def test_a_loss_that_is_no_number_ends_the_run_with_its_step(data, tmp_path):
    from gstalker.errors import RunError

    stage = static_stage(data.capture, 20)

    class NanLoss(StaticStage):
        def training_step(self, batch, batch_idx):
            out = super().training_step(batch, batch_idx)
            if self.trainer.global_step == 4:
                out["loss"] = out["loss"] * torch.nan
            return out

    stage.__class__ = NanLoss
    with pytest.raises(RunError, match="training diverged at step 5: loss is nan"):
        trainer(20, Guard(), Curve(tmp_path / "m.csv")).fit(stage, data)


def test_moving_the_face_costs_its_mean_squared_distance(data):
    stage = deform_stage(data, 4)
    torch.nn.init.normal_(stage.field.out.weight, std=0.3)
    batch = next(iter(data.train_dataloader()))
    with torch.no_grad():
        outputs = stage.training_step(batch, 0)
        at_rest = stage.cloud.means[stage.face_index]
        moved = stage.field(at_rest, stage.codes(batch)[0]).means.norm(dim=1)
    assert moved.max() > 0.1
    torch.testing.assert_close(outputs["terms"]["still"], 0.01 * (moved**2).mean())
    torch.testing.assert_close(outputs["loss"], sum(outputs["terms"].values()))


def test_what_need_not_move_comes_to_rest(data):
    stage = deform_stage(data, 100)
    torch.nn.init.normal_(stage.field.out.weight, std=0.3)
    stage.config.still_weight = 100.0

    class Distances(L.Callback):
        seen: list[float] = []

        def on_train_batch_end(self, trainer, stage, outputs, *args):
            self.seen.append(float(outputs["terms"]["still"]))

    distances = Distances()
    trainer(100, distances).fit(stage, data)
    assert distances.seen[-1] < 0.01 * distances.seen[0]


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ([40, 30, 60, 50], (8, 72, 18, 82)),
        ([0, 0, 10, 10], (0, 64, 0, 64)),
        ([95, 75, 100, 80], (16, 80, 36, 100)),
    ],
)
def test_the_perceptual_patch_lies_around_the_mouth_and_inside_the_picture(box, wanted):
    _, rows, columns, _ = patch_around(box, 64, (80, 100))
    assert (rows.start, rows.stop, columns.start, columns.stop) == wanted


def test_the_perceptual_term_comes_late_and_is_not_stored(data, shared, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(shared / "data/weights"))
    capture = data.capture
    config = DeformConfig(steps=10, perceptual=PerceptualConfig(weight=10.0, start_share=0.5))
    stage = DeformStage(
        handoff(capture, first_cloud(capture)), 80, capture.poses, make_rasterizer(), config
    )
    fit_whitening(stage.audio, capture.features("mel"))
    assert not any("lpips" in name for name in stage.state_dict())
    seen = []

    class Losses(L.Callback):
        def on_train_batch_end(self, trainer, stage, outputs, *args):
            seen.append(float(outputs["loss"]))

    trainer(10, Losses()).fit(stage, data)
    assert min(seen[5:]) > 2 * max(seen[:5])
