"""Rows come and go with Adam's memory of them, as if they had always or never been there."""

import pytest
import torch

from gstalker.gaussians import surgery
from gstalker.gaussians.cloud import PARAMETERS, GaussianCloud

RATE = 1e-2


def cloud(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "means": (n, 3),
        "scales": (n, 3),
        "quats": (n, 4),
        "opacities": (n,),
        "sh": (n, 1, 3),
        "follow": (n,),
    }
    return GaussianCloud(**{k: torch.randn(*s, generator=generator) for k, s in shapes.items()})


def adam(of, **options):
    groups = [{"name": n, "params": [getattr(of, n)], "lr": RATE} for n in PARAMETERS]
    return torch.optim.Adam(groups, **(options or {"fused": True}))


def step(of, optimizer, weights):
    """One step of a loss in which every row stands for itself."""
    loss = sum(
        (w * getattr(of, n).reshape(len(of), -1).sum(1).sin()).sum()
        for n, w in zip(PARAMETERS, weights, strict=True)
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"amsgrad": True}])
def test_a_pruned_gaussian_takes_its_adam_state_with_it(options):
    whole, mask = cloud(8), torch.tensor([1, 0, 1, 1, 0, 0, 1, 1], dtype=torch.bool)
    optimizer = adam(whole, **options)
    weights = torch.rand(6, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        step(whole, optimizer, weights)
    # the same five rows alone, trained by an optimizer that never saw the others
    alone = cloud(8)
    surgery.keep(None, alone, mask)
    other = adam(alone, **options)
    for _ in range(3):
        step(alone, other, weights[:, mask])
    surgery.keep(optimizer, whole, mask)
    for _ in range(3):
        step(whole, optimizer, weights[:, mask])
        step(alone, other, weights[:, mask])
    for name in PARAMETERS:
        torch.testing.assert_close(getattr(whole, name), getattr(alone, name), rtol=1e-6, atol=1e-8)
        ours, theirs = (o.state[getattr(c, name)] for o, c in ((optimizer, whole), (other, alone)))
        assert set(ours) == set(theirs)
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-6, atol=1e-8)
    assert len(optimizer.state) == len(PARAMETERS)  # nothing of the replaced tensors is left


def test_a_new_gaussian_starts_without_a_memory_and_leaves_the_others_alone():
    grown, small = cloud(5), cloud(5)
    first, second = adam(grown), adam(small)
    weights = torch.rand(6, 7, generator=torch.Generator().manual_seed(1))
    for of, optimizer in ((grown, first), (small, second)):
        step(of, optimizer, weights[:, :5])
    new = {name: getattr(cloud(2, seed=3), name).detach() for name in PARAMETERS}
    surgery.append(first, grown, new)
    assert len(grown) == 7
    for name in PARAMETERS:
        assert torch.equal(getattr(grown, name)[5:], new[name])
        state = first.state[getattr(grown, name)]
        assert state["exp_avg"][5:].abs().max() == 0 == state["exp_avg_sq"][5:].abs().max()
    step(grown, first, weights)
    step(small, second, weights[:, :5])
    for name in PARAMETERS:
        torch.testing.assert_close(getattr(grown, name)[:5], getattr(small, name), rtol=0, atol=0)


def test_an_opacity_reset_lowers_only_what_is_above_and_forgets():
    of = cloud(6)
    optimizer = adam(of)
    step(of, optimizer, torch.ones(6, 6))
    before = torch.sigmoid(of.opacities.detach())
    surgery.reset_opacities(optimizer, of, 0.4)
    torch.testing.assert_close(torch.sigmoid(of.opacities.detach()), before.clamp_max(0.4))
    assert optimizer.state[of.opacities]["exp_avg"].abs().max() == 0
    assert optimizer.state[of.means]["exp_avg"].abs().max() > 0


def test_a_group_that_is_not_there_is_named():
    of = cloud(3)
    optimizer = torch.optim.Adam([{"name": "means", "params": [of.means]}])
    with pytest.raises(ValueError, match="no group named 'scales'"):
        surgery.keep(optimizer, of, torch.tensor([True, False, True]))
    assert {len(getattr(of, name)) for name in PARAMETERS} == {3}  # not half done


def test_an_optimizer_of_another_cloud_is_refused_before_anything_changes():
    of = cloud(3)
    with pytest.raises(ValueError, match="hold the cloud's means and nothing else"):
        surgery.keep(adam(cloud(3)), of, torch.tensor([True, False, True]))
    assert {len(getattr(of, name)) for name in PARAMETERS} == {3}


def test_rows_that_do_not_fit_are_refused():
    of = cloud(3)
    with pytest.raises(ValueError, match="a mask of 3 rows, but got 2"):
        surgery.keep(None, of, torch.tensor([True, False]))
    with pytest.raises(ValueError, match="one tensor of one length"):
        surgery.append(None, of, {"means": torch.zeros(1, 3)})
    narrow = {**surgery.rows_of(of, torch.tensor([0])), "quats": torch.zeros(1, 3)}
    with pytest.raises(ValueError, match=r"rows of quats of shape \[4\], but got \[3\]"):
        surgery.append(None, of, narrow)
