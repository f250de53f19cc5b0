"""Who to clone, split or prune: hand-worked."""

import pytest
import torch
from jaxtyping import TypeCheckError

from gstalker.gaussians import density
from gstalker.gaussians.density import GrowthStats

SCALES = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.1, 0.9], [0.1, 0.1, 0.1], [0.9, 0.1, 0.1]])
PULL = torch.tensor([3.0, 3.0, 1.0, 1.0])
LIMITS = {"grow_grad2d": 2.0, "grow_scale3d": 0.5}


def test_the_small_and_hard_pulled_are_cloned_the_large_split():
    assert density.clone_mask(PULL, SCALES, **LIMITS).tolist() == [True, False, False, False]
    assert density.split_mask(PULL, SCALES, **LIMITS).tolist() == [False, True, False, False]


def test_the_faint_and_the_huge_are_pruned():
    opacities = torch.tensor([0.5, 0.001, 0.5, 0.5])
    limits = {"prune_opacity": 0.01, "prune_scale3d": 0.8}
    assert density.prune_mask(opacities, SCALES, **limits).tolist() == [False, True, False, True]


def test_whatever_of_a_gaussian_is_no_number_makes_it_broken():
    means, quats = torch.zeros(4, 3), torch.ones(4, 4)
    opacities, sh = torch.full((4,), 0.5), torch.zeros(4, 4, 3)
    means[0, 2], quats[1, 0], sh[3, 3, 1] = torch.nan, torch.inf, -torch.inf
    broken = density.broken_mask(means, SCALES, quats, opacities, sh)
    assert broken.tolist() == [True, True, False, True]
    opacities[2] = torch.nan
    assert density.broken_mask(opacities).tolist() == [False, False, True, False]
    assert density.broken_mask(means[:0], opacities[:0]).tolist() == []


def test_pull_is_counted_in_half_image_sides_over_the_pictures_that_saw_it():
    stats = GrowthStats.zeros(3)
    pull = torch.tensor([[[0.03, 0.04], [1.0, 0.0], [9.0, 9.0]]])
    stats.add(pull, torch.tensor([[2, 1, 0]]), width=200, height=200)
    stats.add(pull, torch.tensor([[2, 0, 0]]), width=200, height=200)
    # |(0.03, 0.04)| * 100 = 5 both times; the second once; the third was never seen
    torch.testing.assert_close(stats.mean(), torch.tensor([5.0, 100.0, 0.0]))


def test_halves_are_smaller_and_lie_within_the_large_one():
    rows = {
        "means": torch.zeros(500, 3),
        "scales": torch.tensor([2.0, 0.5, 0.1]).log().expand(500, 3).clone(),
        "quats": torch.tensor([1.0, 0, 0, 0]).expand(500, 4).clone(),
        "opacities": torch.zeros(500),
    }
    halves = density.split_rows(rows, torch.Generator().manual_seed(0))
    assert len(halves["means"]) == 1000 == len(halves["opacities"])
    torch.testing.assert_close(halves["scales"].exp()[0], torch.tensor([2.0, 0.5, 0.1]) / 1.6)
    torch.testing.assert_close(
        halves["means"].std(0), torch.tensor([2.0, 0.5, 0.1]), rtol=0.1, atol=0
    )


def test_lengths_that_differ_are_refused():
    with pytest.raises((ValueError, TypeCheckError), match="grad"):
        density.clone_mask(PULL[:3], SCALES, **LIMITS)
