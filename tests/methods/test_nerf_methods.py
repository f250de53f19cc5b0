"""AD-NeRF, RAD-NeRF and ER-NeRF by the same commands as any method, and what they learn."""

from pathlib import Path

import av
import pytest
import torch

from gstalker import config
from gstalker.callbacks.average import MovingAverage
from gstalker.data.capture import HEAD, TORSO
from gstalker.data.datamodule import CaptureDataModule
from gstalker.data.synthetic import make_synthetic_capture, synthetic_voice
from gstalker.data.writer import write_wav
from gstalker.errors import ConfigError, RunError
from gstalker.experiment.drive import drive
from gstalker.experiment.evaluate import evaluate
from gstalker.experiment.head import Head
from gstalker.experiment.making import make_method
from gstalker.experiment.train import train
from gstalker.methods import StagePlan
from gstalker.radiance.waved import WavedField, WavedFieldConfig
from gstalker.stages.sampled_head import bodiless
from gstalker.types import Camera

CONFIGS = Path(__file__).parents[2] / "configs"
FEW_MARCHED = [
    "method.head.steps=3", "method.lips.steps=1", "method.torso.steps=1",
    "method.head.rays=256", "method.head.march.occupancy.cells=12",
]  # fmt: skip
FEW = {
    "small/er_nerf": FEW_MARCHED,
    "small/rad_nerf": FEW_MARCHED,
    "small/ad_nerf": [
        "method.head.steps=2", "method.torso.steps=1", "method.head.smooth_from_step=1",
        "method.head.rays=64", "method.torso.rays=64",
        "method.head.sampling={coarse: 6, fine: 4}", "method.torso.sampling={coarse: 6, fine: 4}",
    ],
}  # fmt: skip


def compose(name, capture, folder, *overrides):
    where = [f"capture={capture.folder}", f"runs={folder}"]
    return config.compose(CONFIGS / f"{name}.yaml", [*where, *FEW[name], *overrides])


@pytest.fixture(scope="module", params=FEW)
def run(request, speck_capture, tmp_path_factory):
    return train(compose(request.param, speck_capture, tmp_path_factory.mktemp("nerf")))


def first_test_batch(capture):
    data = CaptureDataModule(capture)
    return data.dataset[int(data.test_ids[0])]


def test_a_trained_run_speaks_by_the_command_that_knows_no_methods(run, tmp_path):
    write_wav(tmp_path / "speech.wav", synthetic_voice(0.4, seed=5))
    out = drive(run, tmp_path / "speech.wav", tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10


def test_a_painted_frame_is_the_frame_that_is_scored(run, speck_capture):
    head = Head.open(run)
    batch = first_test_batch(speck_capture)
    scored = head.performer(batch)[0]
    code = head.performer.listen(batch.audio, batch.eye)[0]
    painted = head.performer.paint(batch.camera, code, batch.background)
    assert torch.equal(painted, (scored * 255).round().to(torch.uint8))


def test_the_silent_head_hears_nothing_and_looks_the_same_under_any_sound(run, speck_capture):
    chosen = run.config()
    method, _ = make_method(chosen, speck_capture)
    silent = method.load(run.path, silent=True)
    data = CaptureDataModule(speck_capture)
    one, other = (
        data.dataset.frame(int(data.test_ids[0]), sound_of=int(k)) for k in data.train_ids[[3, 20]]
    )
    assert silent.listen(one.audio, one.eye).shape == (1, 0)
    assert torch.equal(silent(one), silent(other))


def test_the_torso_is_told_the_pose(run, speck_capture):
    performer = Head.open(run).performer
    batch = first_test_batch(speck_capture)
    assert isinstance(batch.camera, Camera)
    torso = performer.stage.torso if hasattr(performer.stage, "torso") else None
    if torso is None:
        pixels = torch.arange(4)
        code = performer.stage.deaf
        moved = batch.camera.viewmats.clone()
        moved[:, 0, 3] += 5
        other = Camera(moved, batch.camera.Ks, batch.camera.width, batch.camera.height)
        (rays, told), (same_rays, other_told) = (
            performer.stage.seen(camera, code, pixels) for camera in (batch.camera, other)
        )
        assert torch.equal(rays.origins, same_rays.origins)  # one fixed camera
        assert not torch.equal(told, other_told)
    else:
        assert torso.pose(batch.camera).shape == (6,)


def test_a_rasterizer_by_name_is_refused(speck_capture, tmp_path):
    chosen = compose("small/er_nerf", speck_capture, tmp_path, "rasterizer.name=native")
    with pytest.raises(ConfigError, match="draws no Gaussians"):
        train(chosen)


def test_eyes_in_the_audio_code_are_refused(speck_capture, tmp_path):
    chosen = compose("small/ad_nerf", speck_capture, tmp_path, "method.audio.eye_code=4")
    with pytest.raises(ConfigError, match="eye_code=0"):
        train(chosen)


def test_a_run_whose_torso_is_missing_says_how_to_go_on(speck_capture, tmp_path):
    done = train(compose("small/er_nerf", speck_capture, tmp_path, "stages=[head]"))
    assert not (done.path / "torso").exists()
    with pytest.raises(RunError, match="not trained to its end"):
        evaluate(done)


# ---------------------------------------------------------------------- learning


def overfit(stage, batch, count, monkeypatch):
    """Train on one frame."""
    optimizer = stage.configure_optimizers()["optimizer"]
    for step in range(count):
        monkeypatch.setattr(type(stage), "global_step", step)
        optimizer.zero_grad()
        stage.training_step(batch, 0)["loss"].backward()
        optimizer.step()


def psnr_where(shown, found, wanted):
    """Of some pixels alone."""
    return -10 * (found[shown] - wanted[shown]).square().mean().log10().item()


def mean_colour(shown, wanted):
    """The best picture of one colour."""
    return wanted[shown].mean(0).expand_as(wanted)


WHOLE = ["method.lips=null", "method.head.rays=512", "method.torso.rays=1024"]
SAMPLED = [
    "method.head.smooth_from_step=0", "method.head.rays=192", "method.head.lips_share=0",
    "method.head.sampling={coarse: 8, fine: 8}", "method.torso.rays=192",
    "method.torso.sampling={coarse: 8, fine: 8}",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "counts", "floors", "more"),
    [
        ("small/er_nerf", (120, 100), (30, 28), WHOLE),
        ("small/rad_nerf", (120, 100), (28, 23), WHOLE),
        pytest.param("small/ad_nerf", (400, 300), (22, 22), SAMPLED, marks=pytest.mark.slow),
    ],
)
def test_each_methods_head_and_torso_overfit_one_frame(
    name, counts, floors, more, speck_capture, tmp_path, monkeypatch
):
    """Their own pixels, in decibels: one colour, however well chosen, has 20 at most."""
    torch.manual_seed(0)
    method, features = make_method(compose(name, speck_capture, tmp_path, *more), speck_capture)
    data = CaptureDataModule(speck_capture, features=features)
    batch = data.dataset[int(data.train_ids[0])]
    head_plan, torso_plan = method.stages()
    over_the_plate = name == "small/ad_nerf"
    for plan, count, floor, shown, wanted in (
        (head_plan, counts[0], floors[0], batch.mask >= HEAD,
         bodiless(batch) if over_the_plate else batch.image),
        (torso_plan, counts[1], floors[1], batch.mask == TORSO, batch.image),
    ):  # fmt: skip
        stage = plan.build(tmp_path)
        overfit(stage, batch, count, monkeypatch)
        with torch.no_grad():
            found = stage(batch)
        assert psnr_where(shown, mean_colour(shown, wanted), wanted) < 20
        assert psnr_where(shown, found, wanted) > floor
        plan.export(stage, tmp_path)


def test_ad_nerf_begins_with_density_everywhere_whatever_the_seed():
    for seed in range(5):
        torch.manual_seed(seed)
        field = WavedField(8, WavedFieldConfig(hidden=16))
        density, _ = field(torch.randn(50, 4, 3), torch.randn(50, 3), torch.zeros(8))
        assert density.min() > 0.01, "a field that is empty everywhere never learns"


def test_an_ad_nerf_that_became_empty_hears_who_wants_more_and_nobody_else():
    torch.manual_seed(0)
    field = WavedField(8, WavedFieldConfig(hidden=16))
    torch.nn.init.constant_(field.density.bias, -3.0)
    places, directions, code = torch.randn(50, 4, 3), torch.randn(50, 3), torch.zeros(8)

    def density():
        return field(places, directions, code)[0]

    assert density().max() < 1e-5
    density().sum().backward()  # less is wanted, and there is nothing
    assert all(p.grad is None or (p.grad == 0).all() for p in field.parameters())
    optimizer = torch.optim.Adam(field.parameters(), 0.01)
    for _ in range(200):
        optimizer.zero_grad()
        (density() - 1).square().mean().backward()
        optimizer.step()
    assert density().min() > 0.5


def test_a_method_whose_frames_take_long_is_looked_at_seldom(speck_capture, tmp_path):
    chosen = compose("small/ad_nerf", speck_capture, tmp_path)
    method, _ = make_method(chosen, speck_capture)
    usual = StagePlan("any", 1, method.stages()[0].build, method.stages()[0].export, "any.pt")
    assert all(plan.validation_frames < usual.validation_frames for plan in method.stages())


def test_the_average_moves_towards_what_is_learned_and_is_what_is_left():
    class Stage(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([0.0]))
            self.kept = torch.nn.Parameter(torch.tensor([7.0]), requires_grad=False)

    stage, average = Stage(), MovingAverage(0.75)
    average.on_train_start(None, stage)
    for value in (4.0, 8.0):
        stage.weight.data.fill_(value)
        average.on_train_batch_end(None, stage)
    average.on_validation_start(None, stage)
    assert stage.weight.item() == pytest.approx(0.75 * 1.0 + 0.25 * 8.0)
    average.on_validation_end(None, stage)
    assert stage.weight.item() == 8.0
    average.on_train_end(None, stage)
    assert stage.weight.item() == pytest.approx(2.75)
    assert stage.kept.item() == 7.0


def scores_of_small(name, folder, *words, **synthetic):
    """What a small preset and its controls reach on frames never seen: ``mean(row, metric)``."""
    capture = make_synthetic_capture(folder / "syn", takes=1, **synthetic)
    where = [f"capture={capture.folder}", f"runs={folder}"]
    rows = evaluate(train(config.compose(CONFIGS / "small" / f"{name}.yaml", [*where, *words])))
    return lambda row, metric: rows["rows"][row][metric]["mean"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "hears"), [("er_nerf", True), ("rad_nerf", False)])
def test_the_small_preset_beats_its_controls_on_unseen_frames(name, hears, tmp_path):
    """With a part of its steps, too few for RAD-NeRF's mouth to follow the sound."""
    fewer = ("method.head.steps=2000", "method.lips.steps=300", "method.torso.steps=400")
    mean = scores_of_small(name, tmp_path, *fewer, seconds=24, size=64)
    for metric in ("psnr_full", "psnr_head", "psnr_mouth"):
        assert mean("ours", metric) > mean("mean_frame", metric) + 3
    if hears:
        assert mean("ours", "mouth_corr") > mean("shuffled_audio", "mouth_corr") + 0.1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_small_ad_nerf_beats_the_mean_frame(tmp_path):
    """With half of its steps, too few for its mouth to follow the sound; all of them take minutes,
    and docs/comparison.md has what they reach.
    """
    mean = scores_of_small("ad_nerf", tmp_path, "schedule=0.5", seconds=16, size=48)
    for metric, decibels in (("psnr_full", 1), ("psnr_head", 3), ("psnr_mouth", 3)):
        assert mean("ours", metric) > mean("mean_frame", metric) + decibels
