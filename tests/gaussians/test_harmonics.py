"""Spherical harmonics, against scipy's."""

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from gstalker.gaussians import harmonics


def real_harmonic(degree, order, dirs):
    """Scipy's complex harmonic as a real one, with the sign that 3DGS has."""
    polar, azimuth = np.arccos(dirs[:, 2]), np.arctan2(dirs[:, 1], dirs[:, 0])
    value = sph_harm_y(degree, abs(order), polar, azimuth)
    if order == 0:
        return value.real
    return np.sqrt(2) * (value.imag if order < 0 else value.real)


def test_every_term_is_scipys_up_to_its_place():
    dirs = torch.nn.functional.normalize(
        torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=1
    )
    place = 0
    for degree in range(4):
        for order in range(-degree, degree + 1):
            sh = torch.zeros(50, 16, 3, dtype=torch.float64)
            sh[:, place] = 0.1  # small: the colour stays above the clamp
            found = (harmonics.sh_to_rgb(sh, dirs)[:, 0] - 0.5) / 0.1
            np.testing.assert_allclose(found, real_harmonic(degree, order, dirs.numpy()), atol=1e-6)
            place += 1


def test_a_constant_colour_comes_back():
    rgb = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(harmonics.sh_to_rgb(harmonics.rgb_to_sh(rgb)[:, None]), rgb)


def test_no_colour_is_below_zero():
    assert harmonics.sh_to_rgb(torch.full((1, 1, 3), -10.0)).min() == 0


def test_directions_are_asked_for_where_they_matter():
    with pytest.raises(ValueError, match="need viewing directions"):
        harmonics.sh_to_rgb(torch.zeros(1, 4, 3))
    with pytest.raises(ValueError, match="1, 4, 9 or 16"):
        harmonics.sh_to_rgb(torch.zeros(1, 5, 3))
