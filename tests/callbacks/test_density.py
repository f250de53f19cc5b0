"""The clock and the wiring of densification, under a real Trainer and a stage made of blobs."""

from dataclasses import replace
from unittest.mock import Mock

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from gstalker.callbacks.density import Densification
from gstalker.errors import ConfigError
from gstalker.gaussians.cloud import PARAMETERS, GaussianCloud
from gstalker.gaussians.density import DensityConfig
from gstalker.types import Render

SIDE = 16


def cloud(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return GaussianCloud(
        means=torch.rand(n, 3, generator=generator) * SIDE,
        scales=torch.rand(n, 3, generator=generator),
        quats=torch.randn(n, 4, generator=generator),
        opacities=torch.zeros(n),
        sh=torch.rand(n, 1, 3, generator=generator),
        follow=torch.zeros(n),
    )


def target(step):
    """A bright square that wanders, so that every step has its own picture."""
    picture = torch.zeros(1, SIDE, SIDE, 3)
    at = 2 + step % 9
    picture[:, at : at + 4, 3:11] = 0.8
    return picture


class Blobs(L.LightningModule):
    """A stage that paints round blobs; pixels are world units."""

    def __init__(self, n):
        super().__init__()
        self.cloud = cloud(n)
        self.seen = []

    def render(self):
        splats = self.cloud.splats()
        means2d = splats.means[None, :, :2] * 1
        means2d.retain_grad()
        axis = torch.arange(SIDE) + 0.5
        pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 1, 2)
        distance2 = (pixels - means2d).square().sum(-1)
        cover = splats.opacities * torch.exp(-0.5 * distance2 / splats.scales.mean(1) ** 2)
        image = (cover @ splats.sh[:, 0]).view(1, SIDE, SIDE, 3)
        alpha = cover.sum(1).view(1, SIDE, SIDE, 1)
        return Render(image, alpha, means2d, torch.ones(1, len(splats), dtype=torch.int32))

    def training_step(self, batch, batch_idx):
        render = self.render()
        # Every tensor is pulled on, so every one has a state to be moved.
        unused = 1e-3 * (self.cloud.quats.square().mean() + self.cloud.follow.square().mean())
        loss = (render.image - target(self.global_step)).square().mean() + unused
        self.seen.append((loss.item(), len(self.cloud)))
        return {"loss": loss, "render": render}

    def configure_optimizers(self):
        groups = [{"name": n, "params": [getattr(self.cloud, n)], "lr": 1e-2} for n in PARAMETERS]
        return torch.optim.Adam(groups, eps=1e-15, fused=True)


GROWING = DensityConfig(
    start_step=4, stop_step=30, every_steps=4, reset_every_steps=16, grow_grad2d=1e-4,
    grow_scale3d=1.6, max_gaussians=60,
)  # fmt: skip


def fit(stage, steps, *callbacks, ckpt_path=None, **options):
    trainer = L.Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", callbacks=list(callbacks), logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        **options,
    )  # fmt: skip
    trainer.fit(stage, DataLoader(range(200)), ckpt_path=ckpt_path, weights_only=True)
    return trainer


class SaveAt(L.Callback):
    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, stage, *args):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
def test_a_run_resumed_after_growth_has_the_curve_of_one_never_stopped(tmp_path):
    whole, steps, saved = Blobs(10), 18, 11
    # 10, 20, 40, and then, one step after the save, room for the hardest pulled of them only:
    # who that is depends on the counts of three steps that the checkpoint has to bring back.
    # All of them are large enough to be split, so the draw of the halves has to be the same too.
    config = replace(GROWING, max_gaussians=50, grow_scale3d=0.5)
    trainer = fit(whole, steps, Densification(config), SaveAt(saved, tmp_path / "k.ckpt"))
    resumed = Blobs(10)
    fit(resumed, steps, Densification(config), ckpt_path=str(tmp_path / "k.ckpt"))
    sizes = [n for _, n in whole.seen]
    assert sizes[0] == 10 < sizes[saved] < sizes[-1]  # it grew before the save and after it
    assert resumed.seen == whole.seen[saved:]  # bit for bit
    for name in PARAMETERS:
        assert torch.equal(getattr(resumed.cloud, name), getattr(whole.cloud, name)), name
    groups = trainer.optimizers[0].param_groups
    assert [g["name"] for g in groups] == list(PARAMETERS)
    assert all(g["params"] == [getattr(whole.cloud, g["name"])] for g in groups)


def test_counts_since_the_last_operation_are_part_of_the_checkpoint():
    callback = Densification(GROWING)
    fit(Blobs(10), 6, callback)  # operated at 4, counted twice since
    state = callback.state_dict()
    assert set(state) == {"grad2d", "count"}
    assert torch.equal(state["count"], torch.full_like(state["count"], 2))
    other = Densification(GROWING)
    other.load_state_dict(state)
    assert torch.equal(other.stats.mean(), callback.stats.mean())
    assert Densification(GROWING).state_dict() == {}


def test_without_the_callback_the_size_stays_and_with_it_the_limit_holds():
    still, grown = Blobs(10), Blobs(10)
    fit(still, 14)
    fit(grown, 14, Densification(GROWING))
    assert {n for _, n in still.seen} == {10}
    assert len(grown.cloud) == 60  # it would have grown further


def test_nothing_changes_before_the_start_nor_from_the_stop_on():
    config = DensityConfig(
        start_step=8, stop_step=16, every_steps=4, reset_every_steps=0, grow_grad2d=1e-5,
        max_gaussians=500,
    )  # fmt: skip
    stage = Blobs(10)
    fit(stage, 22, Densification(config))
    sizes = [n for _, n in stage.seen]
    changes = [k for k in range(1, 22) if sizes[k] != sizes[k - 1]]
    assert changes == [8, 12]  # the batch after step 8 and after step 12


def test_accumulated_batches_are_counted_each_but_operated_on_once_a_step(monkeypatch):
    operated = []
    monkeypatch.setattr(
        Densification, "_operate", lambda self, optimizer, cloud, step: operated.append(step)
    )
    callback = Densification(GROWING)
    fit(Blobs(10), 10, callback, accumulate_grad_batches=3)
    assert operated == [4, 8]
    assert torch.equal(callback.stats.count, torch.full((10,), 6.0))  # two steps of three batches


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_gaussian_that_is_no_longer_a_number_is_pruned_whatever_of_it_is_not(name):
    stage = Blobs(10)
    callback = Densification(replace(GROWING, grow_grad2d=1e9, prune_opacity=0.0))
    trainer = fit(stage, 2, callback)
    with torch.no_grad():
        getattr(stage.cloud, name)[3] = torch.nan
    kept = stage.cloud.means[torch.arange(10) != 3].clone()
    callback._operate(trainer.optimizers[0], stage.cloud, 4)
    assert torch.equal(stage.cloud.means, kept)


# From here on the callback alone, its inputs worked out by hand.


def after_step(step, of, pull, **changes):
    """What one call does to a cloud whose Gaussians were pulled by ``pull`` half image sides."""
    config = DensityConfig(
        **{
            "start_step": 1, "every_steps": 10, "reset_every_steps": 0, "grow_grad2d": 1.0,
            "grow_scale3d": 0.5, "prune_opacity": 0.1, "prune_scale3d": 4.0, **changes,
        }
    )  # fmt: skip
    groups = [{"name": n, "params": [getattr(of, n)]} for n in PARAMETERS]
    optimizer = torch.optim.Adam(groups, lr=1e-2)
    means2d = torch.zeros(1, len(of), 2, requires_grad=True)
    means2d.grad = torch.zeros_like(means2d)
    means2d.grad[0, :, 0] = torch.tensor(pull) / (SIDE / 2)
    seen = torch.ones(1, len(of), dtype=torch.int32)
    render = Render(torch.zeros(1, SIDE, SIDE, 3), torch.zeros(1, SIDE, SIDE, 1), means2d, seen)
    trainer = Mock(spec=L.Trainer, global_step=step, optimizers=[optimizer])
    callback = Densification(config)
    callback.on_train_batch_end(
        trainer, Mock(spec=L.LightningModule, cloud=of), {"render": render}, None, 0
    )
    return callback


def sized(sizes, opacities):
    of = cloud(len(sizes))
    of.scales.data = torch.tensor(sizes).log()[:, None].repeat(1, 3)
    of.opacities.data = torch.logit(torch.tensor(opacities))
    return of


def test_the_small_are_copied_the_large_halved_the_faint_and_huge_removed():
    of = sized([0.2, 1.0, 0.2, 0.2, 9.0], [0.5, 0.5, 0.5, 0.05, 0.5])
    before = of.means.detach().clone()
    after_step(10, of, [2.0, 2.0, 0.5, 2.0, 2.0])
    # left: 0 and 2; then a copy of 0, and two halves of 1; 3 is too faint to be worth a copy, and
    # 4 too large for a head
    assert len(of) == 5
    assert torch.equal(of.means[:3], before[[0, 2, 0]])
    torch.testing.assert_close(
        of.scales.exp()[:, 0].detach(), torch.tensor([0.2, 0.2, 0.2, 1 / 1.6, 1 / 1.6])
    )
    assert (of.means[3:] - before[1]).norm(dim=1).max() < 5  # within some deviations of 1 cm


def test_where_there_is_no_room_for_all_the_hardest_pulled_grow():
    of = sized([0.2] * 4, [0.5] * 4)
    before = of.means.detach().clone()
    after_step(10, of, [2.0, 5.0, 3.0, 4.0], max_gaussians=6)
    assert len(of) == 6
    assert {tuple(row) for row in of.means[4:].tolist()} == {
        tuple(row) for row in before[[1, 3]].tolist()
    }


def test_a_cloud_beyond_the_limit_does_not_grow_but_is_still_pruned():
    of = sized([0.2] * 4, [0.5, 0.5, 0.05, 0.5])
    after_step(10, of, [2.0] * 4, max_gaussians=2)
    assert len(of) == 3


def test_between_operations_there_is_only_counting():
    of = sized([0.2] * 2, [0.5, 0.05])
    callback = after_step(9, of, [3.0, 0.0])
    assert len(of) == 2
    torch.testing.assert_close(callback.stats.mean(), torch.tensor([3.0, 0.0]))


def test_opacities_are_reset_on_their_own_clock():
    of = sized([0.2] * 3, [0.5, 0.15, 0.9])
    after_step(15, of, [0.0] * 3, reset_every_steps=15, reset_opacity=0.2)
    torch.testing.assert_close(torch.sigmoid(of.opacities).detach(), torch.tensor([0.2, 0.15, 0.2]))


def test_a_render_without_a_gradient_is_named():
    of = cloud(2)
    means2d, seen = torch.zeros(1, 2, 2), torch.ones(1, 2, dtype=torch.int32)
    render = Render(torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 4, 1), means2d, seen)
    trainer = Mock(spec=L.Trainer, global_step=1, optimizers=[])
    with pytest.raises(ValueError, match="kept its gradient"):
        Densification().on_train_batch_end(
            trainer, Mock(spec=L.LightningModule, cloud=of), {"render": render}, None, 0
        )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"reset_opacity": 0.01, "prune_opacity": 0.01}, "would leave no Gaussian"),
    ],
)
def test_a_schedule_that_would_destroy_the_cloud_is_refused(changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Densification(DensityConfig(**changes))
    harmless = DensityConfig(reset_every_steps=0, reset_opacity=0.01, prune_opacity=0.01)
    assert Densification(harmless).config is harmless
