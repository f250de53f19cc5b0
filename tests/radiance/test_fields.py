"""The NeRF methods' networks against the same written out plainly, and their published sizes."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gstalker import config as configuration
from gstalker.deform.audio import AudioNet
from gstalker.deform.field import EncoderConfig
from gstalker.errors import ConfigError
from gstalker.gaussians.harmonics import basis
from gstalker.radiance.flat_torso import POINTS, FlatTorso, FlatTorsoConfig
from gstalker.radiance.layers import Perceptron, joined, waves
from gstalker.radiance.marched import MarchedField, MarchedFieldConfig
from gstalker.radiance.waved import WavedField, WavedFieldConfig
from gstalker.types import Camera

SMALL = EncoderConfig("hashgrid", levels=2, log2_table=8, base=4, finest=16)
DEEPSPEECH = 29
CONFIGS = Path(__file__).parents[2] / "configs"
"""Numbers in a row of the features that the papers trained with."""


def relu(x):
    return x.clamp_min(0)


@pytest.mark.parametrize("layers", [2, 3])
def test_a_perceptron_is_its_matrices(layers):
    torch.manual_seed(0)
    ours = Perceptron(7, 16, 3, layers)  # float32: three layers go to the kernel
    matrices = [w.detach().double().requires_grad_() for w in ours.parameters()]
    x = torch.randn(50, 7)
    wanted = x.double()
    for matrix in matrices[:-1]:
        wanted = relu(wanted @ matrix.T)
    wanted = wanted @ matrices[-1].T
    found = ours(x)
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=0)
    wanted.square().sum().backward()
    found.square().sum().backward()
    for a, b in zip(ours.parameters(), matrices, strict=True):
        torch.testing.assert_close(a.grad.double(), b.grad, atol=1e-3, rtol=1e-4)


def test_waves_are_the_number_and_its_octaves():
    found = waves(torch.tensor([[0.3, -2.0]]), 2)
    wanted = [0.3, -2.0]
    for octave in (1, 2):
        wanted += [math.sin(octave * v) for v in (0.3, -2.0)]
        wanted += [math.cos(octave * v) for v in (0.3, -2.0)]
    torch.testing.assert_close(found, torch.tensor([wanted]))


def test_parts_joined_where_they_stand_are_parts_side_by_side():
    torch.manual_seed(0)
    layer = torch.nn.Linear(3 + 2 + 4, 5).double()
    of_each = torch.randn(6, 7, 3, dtype=torch.float64)
    of_ray, of_frame = torch.randn(6, 1, 2).double(), torch.randn(4).double()
    beside = torch.cat([of_each, of_ray.expand(6, 7, 2), of_frame.expand(6, 7, 4)], dim=-1)
    torch.testing.assert_close(joined(layer, of_each, of_ray, of_frame), layer(beside))


def test_ad_nerfs_network_is_what_the_paper_draws():
    torch.manual_seed(1)
    config = WavedFieldConfig(layers=8, hidden=12, place_octaves=3, direction_octaves=2)
    ours = WavedField(5, config).double()
    places = torch.randn(4, 6, 3, dtype=torch.float64)
    directions = F.normalize(torch.randn(4, 3, dtype=torch.float64), dim=1)
    code = torch.randn(5, dtype=torch.float64).requires_grad_()
    weights = dict(ours.named_parameters())

    def layer(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    given = torch.cat([waves(places, 3), code.expand(4, 6, 5)], -1)
    x = given
    for k in range(8):
        x = relu(layer(f"trunk.{k}", torch.cat([given, x], -1) if k == 5 else x))
    density = relu(layer("density", x))[..., 0] + 1e-6
    x = torch.cat([x, waves(directions, 2)[:, None].expand(4, 6, -1)], -1)
    for k in range(3):
        x = relu(layer(f"branch.{k}", x))
    color = 1 / (1 + torch.exp(-layer("color", x)))
    found = ours(places, directions, code)
    torch.testing.assert_close(found[0], density)
    torch.testing.assert_close(found[1], color)
    (wanted_pull,) = torch.autograd.grad((density.sum() + color.square().sum()), code)
    (found_pull,) = torch.autograd.grad((found[0].sum() + found[1].square().sum()), code)
    torch.testing.assert_close(found_pull, wanted_pull)


@pytest.mark.parametrize("sound", ["attention", "ambient"])
def test_the_marched_head_is_what_its_papers_draw(sound):
    torch.manual_seed(2)
    config = MarchedFieldConfig(
        encoder=SMALL, sound=sound, sound_grid=SMALL, eye_attention=sound == "attention",
        hidden=16, geometry=8, latent=2, widened=0.001 if sound == "attention" else 0.0,
    )  # fmt: skip
    ours = MarchedField(3, config).double()
    torch.nn.init.normal_(ours.encoder.tables)  # as it starts, everything would be near zero
    places = torch.rand(20, 3, dtype=torch.float64) * 2 - 1
    code = torch.tensor([0.5, -1.0, 0.2, 0.7], dtype=torch.float64).requires_grad_()
    directions = F.normalize(torch.randn(5, 3, dtype=torch.float64), dim=1)
    ray, latent = torch.arange(20) % 5, torch.randn(2, dtype=torch.float64)

    def mlp(net, x):
        *hidden, last = (layer.weight for layer in net.layers)
        for weight in hidden:
            x = relu(x @ weight.T)
        return x @ last.T

    features = ours.encoder(places)
    if sound == "attention":
        gate = mlp(ours.attention, features)
        heard, loud = gate * code[:3], gate.square().sum(1).sqrt()
        eye = 1 / (1 + torch.exp(-mlp(ours.eye_attention, features)))
    else:
        asked = mlp(ours.attention, torch.cat([features, code[:3].expand(20, 3)], 1)).tanh()
        heard, loud = ours.sound_grid(asked), asked.abs().mean(1)
        eye = torch.ones(20, 1, dtype=torch.float64)
    out = mlp(ours.density, torch.cat([features, heard, eye * code[3]], 1))
    seen = torch.cat([basis(directions, 16)[ray], latent.expand(20, 2), out[:, 1:]], 1)
    color = 1 / (1 + torch.exp(-mlp(ours.color, seen)))
    if sound == "attention":
        color = 1.002 * color - 0.001

    found = ours(places, code)
    colors = ours.colors(found, directions, ray, latent)
    torch.testing.assert_close(found.density, out[:, 0].exp())
    torch.testing.assert_close(found.sound, loud)
    torch.testing.assert_close(found.eye, eye[:, 0])
    torch.testing.assert_close(colors, color)
    (wanted_pull,) = torch.autograd.grad(out[:, 0].exp().sum() + color.square().sum(), code)
    (found_pull,) = torch.autograd.grad(found.density.sum() + colors.square().sum(), code)
    torch.testing.assert_close(found_pull, wanted_pull)
    assert wanted_pull.abs().min() > 0  # sound and eye both matter


def camera(shift=(0.0, 0.0)):
    viewmat = torch.eye(4)
    viewmat[:3, 3] = torch.tensor([*shift, 60.0])
    K = torch.tensor([[90.0, 0, 32], [0, 90.0, 24], [0, 0, 1]])
    return Camera(viewmat[None], K[None], 64, 48)


def test_er_nerfs_points_are_seen_where_a_pinhole_camera_shows_them():
    torso = FlatTorso(
        torch.tensor([0.0, 1, 2]), torch.tensor(10.0), torch.eye(4), FlatTorsoConfig()
    )
    found = torso.pose(camera((3.0, -1.0)))
    wanted = []
    for point in POINTS:
        x, y, z = (p * 10 + c for p, c in zip(point, (0, 1, 2), strict=True))
        x, y, z = x + 3, y - 1, z + 60
        wanted += [(90 * x / z + 32) / 64 * 2 - 1, (90 * y / z + 24) / 48 * 2 - 1]
    torch.testing.assert_close(found, torch.tensor(wanted))
    assert torso.weights_away_from_one() == 0


def test_rad_nerfs_pose_is_nothing_at_rest_and_grows_with_the_shift():
    config = FlatTorsoConfig(pose="numbers", pose_octaves=4)
    torso = FlatTorso(torch.zeros(3), torch.tensor(10.0), camera().viewmats[0], config)
    assert not torso.pose(camera()).any()
    assert torso.pose(camera((5.0, 0.0)))[3].item() == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["points", "numbers"])
def test_the_flat_torso_is_what_its_papers_draw_gradients_included(kind):
    torch.manual_seed(3)
    config = FlatTorsoConfig(
        pose=kind, pose_octaves=2, pixel_octaves=3, shrink=0.8, hidden=12,
        grid=EncoderConfig("grid2d", 2, 2, 8, 4, 8), latent=3,
    )  # fmt: skip
    centre, radius = torch.tensor([0.5, -1.0, 2.0]), torch.tensor(10.0)
    ours = FlatTorso(centre, radius, camera().viewmats[0], config).double()
    torch.nn.init.normal_(ours.grid.tables)  # as it starts, everything would be near zero
    turn = torch.tensor([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]])
    seen = camera((3.0, -2.0))
    seen.viewmats[0, :3, :3] = turn
    seen = Camera(seen.viewmats.double(), seen.Ks.double(), seen.width, seen.height)
    pixels = torch.rand(30, 2, dtype=torch.float64) * 2 - 1
    latent = torch.randn(3, dtype=torch.float64).requires_grad_()

    def octaves(x, count):
        parts = [x]
        for k in range(count):
            parts += [torch.sin(2**k * x), torch.cos(2**k * x)]
        return torch.cat(parts)

    if kind == "points":
        pose = []
        for point in ours.points:
            x, y, z = turn.double() @ (point[:3] / point[3] * 10 + centre) + seen.viewmats[0, :3, 3]
            pose += [(90 * x / z + 32) / 32 - 1, (90 * y / z + 24) / 24 - 1]
        pose = torch.stack(pose)
    else:  # a turn about y by the angle whose cosine is 0.6: 2 sin(half of it) is 2 sqrt(0.2)
        pose = torch.tensor([0, 2 * math.sqrt(0.2), 0, 0.3, -0.2, 0], dtype=torch.float64)
    wanted_color, wanted_alpha = [], []
    for pixel in pixels * 0.8:
        x = torch.cat([octaves(pixel, 3), octaves(pose, 2), latent])
        for layer in ours.bend.layers[:2]:
            x = relu(layer.weight @ x)
        x = ours.grid((pixel + ours.bend.layers[2].weight @ x)[None])[0]
        for layer in ours.paint.layers[:2]:
            x = relu(layer.weight @ x)
        *color, alpha = 1 / (1 + torch.exp(-(ours.paint.layers[2].weight @ x)))
        wanted_color.append(torch.stack(color))
        wanted_alpha.append(alpha)
    wanted = torch.stack(wanted_color), torch.stack(wanted_alpha)
    found = ours(pixels, ours.pose(seen), latent)
    assert (tuple(found[0].shape), tuple(found[1].shape)) == ((30, 3), (30,))
    torch.testing.assert_close(found, wanted)
    learned = [*ours.parameters(), latent]
    pulls = [
        torch.autograd.grad(color.square().sum() + (alpha * alpha.detach().cos()).sum(), learned)
        for color, alpha in (found, wanted)
    ]
    torch.testing.assert_close(*pulls)
    assert all(pull.abs().max() > 0 for pull in pulls[0])


def test_the_torso_follows_the_pose_and_its_points_learn():
    torch.manual_seed(0)
    config = FlatTorsoConfig(grid=EncoderConfig("grid2d", 4, 2, 10, 4, 32))
    torso = FlatTorso(torch.zeros(3), torch.tensor(10.0), torch.eye(4), config)
    torch.nn.init.normal_(torso.grid.tables)
    pixels = torch.rand(40, 2) * 2 - 1
    color, alpha = torso(pixels, torso.pose(camera()), torch.zeros(8))
    moved, _ = torso(pixels, torso.pose(camera((4.0, 0.0))), torch.zeros(8))
    assert color.shape == (40, 3)
    assert alpha.shape == (40,)
    assert not torch.allclose(color, moved)
    (color.sum() + alpha.sum()).backward()
    assert torso.points.grad[:, :3].abs().min() > 0


@pytest.mark.parametrize("make", [
    lambda: MarchedField(4, MarchedFieldConfig(sound="loud")),
    lambda: FlatTorso(torch.zeros(3), torch.ones(()), torch.eye(4), FlatTorsoConfig(pose="six")),
])  # fmt: skip
def test_a_kind_that_nobody_knows_is_refused(make):
    with pytest.raises(ConfigError, match="known: "):
        make()


def megabytes(*modules):
    """Weights as 32-bit numbers; a whitening is no weight."""
    return sum(p.numel() for m in modules for p in m.parameters()) * 4 / 1e6


def shipped(name):
    """The method's config as ``configs/`` has it."""
    return configuration.compose(CONFIGS / f"{name}.yaml", ["capture=any"]).method.config


def listener(config):
    return AudioNet(DEEPSPEECH, config.audio)


@pytest.mark.parametrize(("name", "wanted"), [("er_nerf", 2.51), ("rad_nerf", 11.8)])
def test_a_shipped_marched_head_has_the_published_size(name, wanted):
    config = shipped(name)  # sizes: ER-NeRF table 1, megabytes
    size = megabytes(listener(config), MarchedField(config.audio.code, config.field))
    assert size == pytest.approx(wanted, rel=0.02)


def test_the_shipped_ad_nerf_has_the_published_size():
    # ER-NeRF table 1: 5.21 MB; what is described of the networks makes 4.91.
    config = shipped("ad_nerf")
    fields = [WavedField(config.audio.code, config.head.field) for _ in range(2)]
    assert sum(p.numel() for p in fields[0].parameters()) == 595_844
    assert megabytes(listener(config), *fields) == pytest.approx(5.21, rel=0.06)
