"""The cloud: raw inside, activated outside."""

import pytest
import torch
from jaxtyping import TypeCheckError

from gstalker.gaussians.cloud import PARAMETERS, GaussianCloud
from gstalker.gaussians.harmonics import sh_to_rgb
from gstalker.types import Deltas, Splats


def splats(n=6, terms=1):
    generator = torch.Generator().manual_seed(0)
    quats = torch.randn(n, 4, generator=generator)
    return Splats(
        means=torch.randn(n, 3, generator=generator),
        scales=torch.rand(n, 3, generator=generator) + 0.1,
        quats=quats,
        opacities=torch.rand(n, generator=generator) * 0.9 + 0.05,
        sh=torch.randn(n, terms, 3, generator=generator),
    )


def test_activation_undoes_making():
    before = splats()
    after = GaussianCloud.from_splats(before).splats()
    for name in ("means", "scales", "quats", "opacities", "sh"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name))


def test_deltas_are_added_in_raw_space():
    cloud = GaussianCloud.from_splats(splats())
    deltas = Deltas(scales=torch.full((6, 3), 0.5), opacities=torch.full((6,), -1.0))
    moved, still = cloud.splats(deltas), cloud.splats()
    torch.testing.assert_close(moved.scales, still.scales * torch.tensor(0.5).exp())
    torch.testing.assert_close(moved.opacities, torch.sigmoid(cloud.opacities - 1))
    assert moved.means is still.means


def test_deltas_of_some_rows_leave_the_others():
    cloud = GaussianCloud.from_splats(splats())
    rows = torch.tensor([4, 1])
    moved = cloud.splats(Deltas(means=torch.tensor([[1.0, 0, 0], [0, 2.0, 0]])), rows)
    wanted = cloud.means.detach().clone()
    wanted[4, 0] += 1
    wanted[1, 1] += 2
    torch.testing.assert_close(moved.means.detach(), wanted)


def test_a_colour_change_moves_the_constant_harmonic_only():
    cloud = GaussianCloud.from_splats(splats(terms=4))
    moved = cloud.splats(Deltas(sh=torch.ones(6, 1, 3)))
    torch.testing.assert_close(moved.sh[:, 0], cloud.sh[:, 0] + 1)
    torch.testing.assert_close(moved.sh[:, 1:], cloud.sh[:, 1:])


def test_a_state_of_another_size_can_be_loaded():
    grown = GaussianCloud.from_splats(splats(11, terms=4))
    cloud = GaussianCloud.empty()
    cloud.load_state_dict(grown.state_dict())
    assert len(cloud) == 11
    assert cloud.sh_degree == 1
    for name in PARAMETERS:
        assert torch.equal(getattr(cloud, name), getattr(grown, name))


def test_a_gradient_of_the_old_size_does_not_survive_loading():
    cloud = GaussianCloud.from_splats(splats(3))
    cloud.means.sum().backward()
    cloud.load_state_dict(GaussianCloud.from_splats(splats(5)).state_dict())
    cloud.means.sum().backward()
    assert torch.equal(cloud.means.grad, torch.ones(5, 3))


def test_loading_keeps_the_parameters_that_an_optimizer_holds():
    cloud = GaussianCloud.empty()
    held = dict(cloud.named_parameters())
    cloud.load_state_dict(GaussianCloud.from_splats(splats(5)).state_dict())
    assert all(getattr(cloud, name) is parameter for name, parameter in held.items())


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("scales", torch.zeros(4, 3), "disagree on the number of Gaussians"),
        ("means", torch.zeros(6, 7), "size mismatch for means"),
        ("opacities", torch.tensor(0.0), "disagree on the number of Gaussians"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_no_size(name, value, complaint):
    state = {**GaussianCloud.from_splats(splats()).state_dict(), name: value}
    cloud = GaussianCloud.from_splats(splats(3))
    with pytest.raises(RuntimeError, match=complaint):
        cloud.load_state_dict(state)
    assert {len(getattr(cloud, n)) for n in PARAMETERS} == {3}


def test_tensors_of_different_lengths_are_refused():
    s = splats()
    with pytest.raises((ValueError, TypeCheckError), match="scales"):
        GaussianCloud(s.means, s.scales[:5], s.quats, s.opacities, s.sh, s.opacities)


def test_colours_are_kept_displayable():
    cloud = GaussianCloud.from_splats(splats())
    cloud.sh.data.mul_(100)
    cloud.limit_colors()
    colours = sh_to_rgb(cloud.sh)
    assert colours.min() >= -1e-6
    assert colours.max() <= 1 + 1e-6
    assert colours.max() > 0.99
