"""Steps of training on the GPU, and runs that begin on one device and go on upon the other."""

import csv
import dataclasses

import lightning as L
import pytest
import torch
from devices import GPU, RASTERIZERS, exact_convolutions, needs
from scenes import relative

from gstalker import cli, face
from gstalker.callbacks.checkpoint import Checkpoint
from gstalker.callbacks.curve import Curve
from gstalker.callbacks.density import Densification
from gstalker.data.datamodule import CaptureDataModule
from gstalker.deform.audio import fit_whitening
from gstalker.experiment.evaluate import evaluate
from gstalker.experiment.making import make_method
from gstalker.experiment.runs import RunFolder
from gstalker.gaussians import start
from gstalker.gaussians.density import DensityConfig
from gstalker.gaussians.rotations import mean_viewmat
from gstalker.render import make_rasterizer
from gstalker.stages.deform import DeformStage
from gstalker.stages.handoff import Handoff
from gstalker.stages.settings import DeformConfig, StaticConfig
from gstalker.stages.static import StaticStage

__all__ = ["exact_convolutions"]
pytestmark = [needs(), pytest.mark.usefixtures("exact_convolutions")]


@pytest.fixture(scope="module")
def data(tiny_capture):
    return CaptureDataModule(tiny_capture, validation_frames=3)


def rest(capture):
    return mean_viewmat(capture.poses[capture.split()[0]])


def first_cloud(capture):
    return start.frame_cloud(
        capture.frame(0), capture.mask(0), capture.poses[0], rest(capture), capture.Ks,
        capture.mesh, capture.landmarks[0], face.layout("synthetic68"), max_gaussians=600,
    )  # fmt: skip


def static_stage(data, rasterizer):
    capture = data.capture
    return StaticStage(first_cloud(capture), rest(capture), rasterizer, StaticConfig(steps=20))


def deform_stage(data, rasterizer):
    capture = data.capture
    cloud = {k: v.detach().clone() for k, v in first_cloud(capture).state_dict().items()}
    torch.manual_seed(0)
    features = capture.features("mel")
    stage = DeformStage(
        Handoff(cloud, rest(capture), capture.name, capture.content_id),
        features.shape[1], capture.poses, rasterizer, DeformConfig(steps=20),
    )  # fmt: skip
    fit_whitening(stage.audio, features)
    torch.nn.init.normal_(stage.field.out.weight, std=0.05)  # so that the sound moves something
    return stage


STAGES = {"static": static_stage, "deform": deform_stage}


@pytest.mark.parametrize("name", [*RASTERIZERS, "reference"])
@pytest.mark.parametrize("make", STAGES.values(), ids=STAGES)
def test_a_training_step_is_the_same_on_both_devices(make, name, data):
    batch = data.dataset[int(data.train_ids[3])]
    ours, theirs = make(data, make_rasterizer(name)).to(GPU), make(data, make_rasterizer())
    theirs.load_state_dict(ours.state_dict())
    found = ours.training_step(batch.to(GPU), 0)
    wanted = theirs.training_step(batch, 0)
    found["loss"].backward()
    wanted["loss"].backward()
    # Gaussians at all but equal depths may be drawn in either order (measured between the kernels
    # and the reference in float32: 0.004); the INRIA code also leaves the ends of tails out.
    tolerance = 0.03 if name == "inria" else 0.01
    assert found["loss"].item() == pytest.approx(wanted["loss"].item(), rel=tolerance / 10)
    pulls = dict(theirs.named_parameters())
    for what, parameter in ours.named_parameters():
        pull = pulls[what].grad
        assert (parameter.grad is None) == (pull is None), what
        if pull is not None and pull.norm() > 1e-7:
            assert relative(parameter.grad.cpu(), pull.double()) < tolerance, what
    ours_seen, theirs_seen = found["render"].means2d.grad, wanted["render"].means2d.grad
    assert relative(ours_seen.cpu(), theirs_seen.double()) < tolerance


def trainer(device, steps, *callbacks):
    return L.Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu" if device == "cpu" else "gpu", devices=1,
        callbacks=list(callbacks), logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip


def rasterizer_for(device):
    return make_rasterizer("auto", "cpu") if device == "cpu" else make_rasterizer("gsplat")


@needs("gsplat")
@pytest.mark.parametrize("make", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize(("first", "then"), [("cpu", GPU), (GPU, "cpu")])
def test_a_run_goes_on_upon_the_other_device(first, then, make, data, tmp_path):
    growing = DensityConfig(start_step=4, every_steps=4, grow_grad2d=1e-5, max_gaussians=650)
    extra = [Densification(growing)] if make is static_stage else []
    trainer(first, 10, Checkpoint(tmp_path), *extra).fit(make(data, rasterizer_for(first)), data)
    extra = [Densification(growing)] if make is static_stage else []
    stage, curve = make(data, rasterizer_for(then)), Curve(tmp_path / "metrics.csv", 5)
    trainer(then, 20, curve, *extra).fit(
        stage, data, ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True
    )
    assert [row["step"] for row in curve.rows] == [15, 20]
    optimizer = stage.trainer.optimizers[0]
    steps = {int(state["step"]) for state in optimizer.state.values()}
    assert max(steps) == 20


SMALL = [
    "method.static.steps=12",
    "method.static.start.max_gaussians=600",
    "method.deform.steps=12",
]


@needs("gsplat")
def test_a_run_trained_on_the_gpu_is_evaluated_there_and_drawn_on_the_cpu(tiny_capture, tmp_path):
    file = tmp_path / "gstalker.yaml"
    file.write_text("method:\n  name: gstalker\n")
    where = [f"capture={tiny_capture.folder}", f"runs={tmp_path / 'runs'}", f"device={GPU}"]
    assert cli.main(["train", str(file), *where, *SMALL]) == 0
    run = RunFolder.open(next((tmp_path / "runs").iterdir()))
    for stage in ("static", "deform"):
        rows = list(csv.DictReader((run.path / stage / "metrics.csv").open()))
        assert float(rows[-1]["loss"]) < 1
    scores = evaluate(run)
    assert scores["rows"]["ours"]["psnr_full"]["mean"] > 15
    config = run.config()
    data = CaptureDataModule(tiny_capture)
    batch = data.dataset[int(data.test_ids[0])]
    pictures = []
    for device in (GPU, "cpu"):
        method, _ = make_method(dataclasses.replace(config, device=device), tiny_capture)
        pictures.append(method.load(run.path)(batch).cpu())
    # gsplat lets alpha reach 0.999: a hundredth, where one Gaussian is as solid as that
    torch.testing.assert_close(*pictures, atol=0.02, rtol=0)


@needs("gsplat")
def test_growing_on_the_gpu_draws_the_halves_of_the_cpu(data):
    sizes = []
    for device in ("cpu", GPU):
        stage = static_stage(data, rasterizer_for(device))
        growing = DensityConfig(start_step=4, every_steps=4, grow_grad2d=1e-5, max_gaussians=650)
        trainer(device, 6, Densification(growing)).fit(stage, data)
        sizes.append(len(stage.cloud))
    assert 600 < sizes[0] == sizes[1] <= 650
