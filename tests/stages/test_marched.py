"""Training of the marched head: what a step draws, what it costs, and that a killed run goes on."""

from dataclasses import replace

import lightning as L
import pytest
import torch

from gstalker.callbacks.average import MovingAverage
from gstalker.callbacks.checkpoint import Checkpoint
from gstalker.callbacks.curve import Curve
from gstalker.data.datamodule import CaptureDataModule
from gstalker.deform.audio import AudioConfig, fit_whitening
from gstalker.deform.field import EncoderConfig
from gstalker.methods.layered import fit_head_box
from gstalker.radiance.marched import MarchedFieldConfig
from gstalker.rays.occupancy import OccupancyConfig
from gstalker.stages.draws import (
    draw_inside,
    draw_mostly_inside,
    draw_of_frame,
    draw_pixels,
    inside,
    step_generator,
)
from gstalker.stages.marched_head import MarchConfig, MarchedHead, MarchedHeadConfig, entropy
from gstalker.stages.marched_lips import MarchedLips, MarchedLipsConfig
from gstalker.stages.marched_rates import MarchedRates, marched_adam
from gstalker.stages.trainable import trainable
from gstalker.types import Camera

GRID = EncoderConfig(levels=4, log2_table=8, base=4, finest=32)


def head(data, steps=20, kind=MarchedHead, field=None, **more):
    torch.manual_seed(0)
    features = data.capture.features("mel")
    stage = trainable(kind)(
        fit_head_box(data.capture), features.shape[1], data.capture.frame_count, 0,
        field=field or MarchedFieldConfig(encoder=GRID, hidden=16, geometry=8),
        audio=AudioConfig(code=8, eye_code=0),
        config=MarchedHeadConfig(
            steps=steps, rays=128,
            march=MarchConfig(OccupancyConfig(cells=12, every_steps=4), samples=6),
        ),
        **more,
    )  # fmt: skip
    fit_whitening(stage.audio, features)
    return stage


@pytest.fixture(scope="module")
def data(speck_capture):
    return CaptureDataModule(speck_capture, features="mel", validation_frames=1)


class _Killed(Exception):
    """Stands for a kill: nothing is saved on the way out."""


class _SaveAndKill(L.Callback):
    def __init__(self, folder, saved, killed):
        self.folder, self.saved, self.killed = folder, saved, killed

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.saved:
            Checkpoint(self.folder)._save(trainer)
        if trainer.global_step == self.killed:
            raise _Killed


def fit(data, folder, *callbacks, resume=None):
    L.seed_everything(3, verbose=False)
    stage, curve = head(data), Curve(folder / "m.csv", every_steps=1)
    L.seed_everything(3, verbose=False)
    trainer = L.Trainer(
        max_steps=20, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False,
        callbacks=[MovingAverage(0.9), curve, *callbacks], enable_progress_bar=False,
        enable_model_summary=False, val_check_interval=6, check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(stage, data, ckpt_path=resume, weights_only=True if resume else None)
    return stage, [row["loss"] for row in curve.rows if "loss" in row]


def test_a_run_killed_anywhere_and_resumed_ends_as_one_never_killed(data, tmp_path):
    whole, losses = fit(data, tmp_path)
    with pytest.raises(_Killed):
        fit(data, tmp_path, _SaveAndKill(tmp_path, 9, 14))
    resumed, again = fit(data, tmp_path, resume=str(tmp_path / "last.ckpt"))
    assert again == losses
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_ray_that_meets_nothing_shows_what_is_behind(data):
    stage = head(data).eval()
    stage.grid.occupied.zero_()
    batch = data.dataset[int(data.train_ids[0])]
    with torch.no_grad():
        found = stage.picture(batch.camera, stage.deaf, batch.background)
    assert torch.equal(found, batch.background)


def test_a_step_draws_by_seed_and_number_alone():
    torch.manual_seed(5)
    one = torch.rand(3, generator=step_generator(7))
    torch.rand(100)  # whatever else was drawn
    assert torch.equal(one, torch.rand(3, generator=step_generator(7)))
    assert not torch.equal(one, torch.rand(3, generator=step_generator(8)))
    torch.manual_seed(6)
    assert not torch.equal(one, torch.rand(3, generator=step_generator(7)))


def test_pixels_are_drawn_once_and_mostly_inside_the_box():
    camera = Camera(torch.eye(4)[None], torch.eye(3)[None], 40, 30)
    generator, box = torch.Generator().manual_seed(0), torch.tensor([10, 5, 30, 25])
    drawn = draw_mostly_inside(box, 200, 0.9, camera, generator)
    assert len(drawn.unique()) == 200
    assert inside(drawn, box, 40).sum() == 180
    assert torch.equal(draw_pixels(2000, 1200, generator), torch.arange(1200))


def test_pixels_inside_a_box_are_all_of_it_where_it_has_no_more():
    camera = Camera(torch.eye(4)[None], torch.eye(3)[None], 40, 30)
    generator, box = torch.Generator().manual_seed(0), torch.tensor([-3, 25, 4, 33])
    few = draw_inside(box, 6, camera, generator)
    assert len(few.unique()) == 6
    assert inside(few, box, 40).all()
    everything = draw_inside(box, 1000, camera, generator)
    wanted = [y * 40 + x for y in range(25, 30) for x in range(4)]  # what the picture has of it
    assert sorted(everything.tolist()) == wanted


def test_the_lips_get_their_share_of_the_rays_and_none_by_default(data):
    batch = data.dataset[int(data.train_ids[0])]
    plain = draw_of_frame(batch, 128, step_generator(3))
    assert torch.equal(plain, draw_pixels(128, 32 * 32, step_generator(3)))
    drawn = draw_of_frame(batch, 128, step_generator(3), face_share=0.5, lips_share=0.25)
    x0, y0, x1, y1 = batch.mouth_box[0].tolist()
    lips = min(32, (x1 - x0) * (y1 - y0))
    assert len(drawn) == 128
    assert inside(drawn[:lips], batch.mouth_box[0], 32).all()
    assert inside(drawn[lips:], batch.face_box[0], 32).sum() == round((128 - lips) * 0.5)


def test_the_audio_net_learns_at_the_networks_rate_unless_it_has_its_own(data):
    stage = head(data)

    def rate_of(parameter, rates):
        groups = marched_adam(stage, rates).param_groups
        found = [g["lr"] for g in groups if any(p is parameter for p in g["params"])]
        assert len(found) == 1
        return found[0]

    heard, seen = stage.audio.window[0].weight, stage.field.color.layers[0].weight
    assert rate_of(heard, MarchedRates()) == rate_of(seen, MarchedRates()) == 1e-3
    own = MarchedRates(audio=2e-4)
    assert (rate_of(heard, own), rate_of(seen, own)) == (2e-4, 1e-3)
    assert rate_of(next(stage.audio.attention.parameters()), own) == 5e-3


RAD_NERF = MarchedFieldConfig(
    encoder=GRID, sound="ambient", sound_grid=GRID, eye_attention=False, hidden=16, geometry=8
)


def price_of_sound(stage, batch, box, monkeypatch, step):
    """What a step adds for the sound where the face's box is ``box``; and what the rays saw."""
    monkeypatch.setattr(type(stage), "global_step", step)
    torch.nn.init.normal_(stage.field.encoder.tables)  # else sound and eye hardly matter anywhere
    stage.config = replace(stage.config, entropy_weight=0.0, sound_weight=2.0)
    batch = replace(batch, face_box=torch.tensor([box]))
    pixels = torch.arange(32 * 32)
    code = stage.listen(batch.audio, batch.eye)[0]
    _, price = stage.learn_from(batch, pixels, code, torch.Generator().manual_seed(1))
    jitter = torch.rand(len(pixels), generator=torch.Generator().manual_seed(1))
    rays, latent = stage.box.rays(batch.camera, pixels), stage.latents[batch.frame_ids[0]]
    return price.item(), stage.shade(rays, code, latent, jitter)


NOWHERE, EVERYWHERE = [0, 0, 0, 0], [0, 0, 32, 32]


@pytest.mark.parametrize("field", [None, RAD_NERF])
def test_sound_that_matters_outside_of_the_face_has_a_price(field, data, monkeypatch):
    stage, batch = head(data, field=field), data.dataset[int(data.train_ids[0])]
    price, seen = price_of_sound(stage, batch, NOWHERE, monkeypatch, step=5)
    assert price == pytest.approx(2.0 * 5 / 20 * seen.sound.mean().item())
    assert price > 0


def test_inside_the_face_er_nerf_pays_for_what_sound_and_eye_share_and_rad_nerf_for_nothing(
    data, monkeypatch
):
    batch = data.dataset[int(data.train_ids[0])]
    price, seen = price_of_sound(head(data), batch, EVERYWHERE, monkeypatch, step=20)
    assert price == pytest.approx(2.0 * (seen.sound * seen.eye).mean().item())
    assert price > 0
    price, _ = price_of_sound(head(data, field=RAD_NERF), batch, EVERYWHERE, monkeypatch, step=20)
    assert price == 0


def test_the_price_of_sound_that_grew_with_the_head_stays_in_the_polish(data, monkeypatch):
    polish = MarchedLipsConfig(patch_weight=0.0, lips_weight=0.0)
    lips = head(data, kind=MarchedLips, polish=polish)
    batch = data.dataset[int(data.train_ids[0])]
    price, seen = price_of_sound(lips, batch, NOWHERE, monkeypatch, step=0)
    assert price == pytest.approx(2.0 * seen.sound.mean().item())


def test_entropy_is_a_bit_where_alpha_is_undecided():
    assert entropy(torch.tensor([0.5])).item() == pytest.approx(1.0)
    assert entropy(torch.tensor([0.0, 1.0])).item() < 1e-3
