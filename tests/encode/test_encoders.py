"""The encoders' definition: by hand, and by finite differences."""

import pytest
import torch

from gstalker.encode import make_encoder
from gstalker.encode.hashgrid import PRIME, HashTriPlane, make_levels
from gstalker.errors import BackendMissing, ConfigError


def test_levels_grow_geometrically_and_hash_only_what_does_not_fit():
    levels = make_levels(levels=3, log2_table=8, base=4, finest=64)
    assert [level.cells for level in levels] == [4, 16, 64] * 3
    assert [level.dense for level in levels[:3]] == [
        True,
        False,
        False,
    ]  # 25, 289, 4225 points; 256 fit
    assert [level.size for level in levels[:3]] == [25, 256, 256]
    assert levels[3].offset == 25 + 256 + 256


def test_a_grid_point_reads_its_own_entry_and_the_middle_reads_the_mean_of_four():
    grid = HashTriPlane(levels=1, log2_table=8, base=4, finest=4).double()
    with torch.no_grad():
        grid.tables.copy_(torch.arange(75, dtype=torch.float64)[:, None])
    corner = torch.tensor(
        [[-1 + 2 * 1 / 4, -1 + 2 * 3 / 4, -1.0]], dtype=torch.float64
    )  # x 1, y 3, z 0
    # xy: entry 3 * 5 + 1; yz: u = y, v = z, entry 25 + 0 * 5 + 3; xz: u = x, entry 50 + 0 * 5 + 1
    assert grid(corner)[0].tolist() == pytest.approx([16, 28, 51])
    middle = corner + torch.tensor([[0.25, 0.25, 0]], dtype=torch.float64)
    # half a cell on: x 1.5, y 3.5, the mean of entries 16, 17, 21, 22
    assert grid(middle)[0, 0].item() == pytest.approx(19)


def test_a_hashed_level_reads_where_the_hash_points():
    grid = HashTriPlane(levels=1, log2_table=4, base=8, finest=8).double()
    with torch.no_grad():
        grid.tables.copy_(torch.arange(48, dtype=torch.float64)[:, None])
    point = torch.tensor([[-1 + 2 * 3 / 8, -1 + 2 * 5 / 8, -1.0]], dtype=torch.float64)
    assert grid(point)[0, 0].item() == pytest.approx((3 ^ (5 * PRIME)) & 15)


def test_gradients_pass_finite_differences():
    torch.manual_seed(0)
    grid = HashTriPlane(levels=2, features_per_level=2, log2_table=6, base=3, finest=7).double()
    points = (torch.rand(6, 3, dtype=torch.float64) * 1.6 - 0.8).requires_grad_()
    assert torch.autograd.gradcheck(grid, points)


def test_beyond_the_cube_the_nearest_face_is_read_and_positions_have_no_pull():
    grid = HashTriPlane(levels=1, log2_table=8, base=4, finest=4)
    outside = torch.tensor([[3.0, 0.1, 0.1]], requires_grad=True)
    torch.testing.assert_close(grid(outside), grid(torch.tensor([[1.0, 0.1, 0.1]])))
    grid(outside).sum().backward()
    assert outside.grad[0, 0] == 0


@pytest.mark.parametrize(
    "sizes",
    [
        {"levels": 0},
        {"base": 0},
        {"base": 9, "finest": 8},
        {"log2_table": 0},
        {"features_per_level": 3},
    ],
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="expected"):
        HashTriPlane(**sizes)


def test_the_frequency_encoder_takes_the_same_config():
    encoder = make_encoder(
        "frequency", levels=12, features_per_level=1, log2_table=14, base=16, finest=256
    )
    x = torch.tensor([[0.25, -0.5, 0.0]])
    features = encoder(x)
    assert features.shape == (1, encoder.dim) == (1, 39)
    torch.testing.assert_close(features[:, :3], x)
    torch.testing.assert_close(features[:, 3:6], torch.sin(torch.pi * x))
    torch.testing.assert_close(features[:, -3:], torch.cos(32 * torch.pi * x))


def test_unknown_and_absent_encoders_are_two_sentences():
    with pytest.raises(ConfigError, match="hashgrid"):
        make_encoder("hashgird")
    with pytest.raises(BackendMissing, match="tinycudann"):
        make_encoder("tinycudann")
