"""Volume rendering and sampling against cases worked by hand."""

import math

import pytest
import torch

from gstalker.rays.sampling import importance, stratified
from gstalker.rays.volume import reference_composite, weights_along


def test_a_homogeneous_fog_hides_what_beer_and_lambert_say():
    # Density 2 over a length of 0.5 in any number of pieces lets exp(-1) through.
    for pieces in (1, 4, 100):
        density = torch.full((1, pieces), 2.0, dtype=torch.float64)
        lengths = torch.full_like(density, 0.5 / pieces)
        hidden = weights_along(density, lengths).sum()
        assert hidden.item() == pytest.approx(1 - math.exp(-1), abs=1e-12)


def test_a_wall_hides_what_is_behind_it():
    density = torch.tensor([0.0, 1e4, 1e4])
    colors = torch.tensor([[9.0], [2.0], [5.0]])
    sums, alpha = reference_composite(density, torch.ones(3), colors, torch.tensor([0, 3]))
    assert sums.item() == pytest.approx(2.0)
    assert alpha.item() == pytest.approx(1.0)


def test_two_samples_worked_by_hand():
    # kept 1/2 then 1/4: weights 1/2 and 1/2 * 3/4
    density = torch.tensor([math.log(2), 2 * math.log(2)])
    weights = weights_along(density[None], torch.ones(1, 2))
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.375]]))


def test_stratified_places_are_one_in_each_stretch():
    near, far = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 10.0])
    drawn = stratified(near, far, 8, torch.Generator().manual_seed(0))
    share = (drawn - near[:, None]) / (far - near)[:, None] * 8
    assert torch.equal(share.floor(), torch.arange(8.0).expand(2, 8))
    middles = stratified(near, far, 2)
    torch.testing.assert_close(middles, torch.tensor([[1.5, 2.5], [4.0, 8.0]]))


def test_importance_draws_where_the_weights_are():
    places = torch.linspace(0, 1, 11)[None].expand(1, 11)
    weights = torch.zeros(1, 11)
    weights[0, 7] = 1.0  # its stretch is 0.65 to 0.75
    drawn = importance(places, weights, 500, torch.Generator().manual_seed(1))
    inside = ((drawn > 0.65) & (drawn < 0.75)).float().mean()
    assert inside > 0.99


def test_importance_draws_in_proportion():
    places = torch.linspace(0, 1, 5)[None]  # edges 1/8, 3/8, 5/8, 7/8
    weights = torch.tensor([[0.0, 1.0, 3.0, 0.0, 0.0]])
    drawn = importance(places, weights, 4000)
    assert ((drawn > 0.125) & (drawn < 0.375)).float().mean() == pytest.approx(0.25, abs=0.01)
    assert ((drawn > 0.375) & (drawn < 0.625)).float().mean() == pytest.approx(0.75, abs=0.01)


def test_importance_sends_no_gradient_to_the_coarse_pass():
    weights = torch.rand(2, 6).requires_grad_()
    assert not importance(torch.linspace(0, 1, 6).expand(2, 6), weights, 3).requires_grad
