"""Encoders on the GPU read the tables that float64 on the CPU reads; gradients too."""

import pytest
import tiny_grid
import torch
from devices import GPU, needs
from scenes import relative

from gstalker.encode import make_encoder
from gstalker.encode.hashgrid import HashTriPlane, unit_cube

pytestmark = needs()

SIZES = {
    "defaults": {},
    "two features": {
        "levels": 4,
        "features_per_level": 2,
        "log2_table": 8,
        "base": 4,
        "finest": 64,
    },
    "one level": {
        "levels": 1,
        "features_per_level": 4,
        "log2_table": 6,
        "base": 8,
        "finest": 8,
    },
}


def clear_of_lines(scales, shift, n=1000):
    """Points that both precisions put into the same cells; some outside of the cube."""
    points = torch.rand(n, 3, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    for scale in scales:
        place = unit_cube(points.double()) * scale + shift
        points = points[((place - place.round()).abs() > 1e-3).all(1)]
    assert len(points) > 300
    return points


def agree(found, wanted, ours, theirs, tables):
    """Features to rounding, gradients of tables and positions to 1e-4 of their length."""
    torch.testing.assert_close(found.detach().cpu().double(), wanted.detach(), atol=1e-6, rtol=0)
    pull = torch.randn(
        wanted.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    wanted.backward(pull)
    found.backward(pull.to(found))
    for mine, reference in tables:
        assert relative(mine.grad.cpu(), reference.grad) < 1e-4
    assert relative(ours.grad.cpu(), theirs.grad) < 1e-4


@pytest.mark.parametrize("name", ["hashgrid", "auto"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_the_tri_plane_agrees(name, sizes):
    torch.manual_seed(0)
    ours = make_encoder(name, **sizes)
    reference = HashTriPlane(**sizes)
    reference.load_state_dict(ours.state_dict())
    reference, ours = reference.double(), ours.to(GPU)
    points = clear_of_lines({level.cells for level in reference.levels}, 0)
    wide, narrow = points.double().requires_grad_(), points.to(GPU).requires_grad_()
    agree(
        ours(narrow), reference(wide), narrow, wide,
        [(ours.tables, reference.tables)],
    )  # fmt: skip


@needs("tinycudann")
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_tiny_cuda_nn_agrees_with_what_it_documents(sizes):
    torch.manual_seed(0)
    ours = make_encoder("tinycudann", **sizes).to(GPU)
    encoding = ours.planes[0].encoding_config
    levels, entries = tiny_grid.levels_of(encoding)
    tables = [plane.params.detach().cpu().double().requires_grad_() for plane in ours.planes]
    assert len(tables[0]) == entries * encoding["n_features_per_level"]
    points = clear_of_lines([level[0] for level in levels], 0.5)
    wide, narrow = points.double().requires_grad_(), points.to(GPU).requires_grad_()
    x, y, z = unit_cube(wide).unbind(1)
    wanted = torch.cat(
        [
            tiny_grid.read(table, torch.stack(pair, 1), encoding)
            for table, pair in zip(tables, ((x, y), (y, z), (x, z)), strict=True)
        ],
        dim=1,
    )
    agree(
        ours(narrow), wanted, narrow, wide,
        zip([plane.params for plane in ours.planes], tables, strict=True),
    )  # fmt: skip


@needs("tinycudann")
@pytest.mark.parametrize("count", [1, 255, 256, 257])
def test_tiny_cuda_nn_takes_any_number_of_positions(count):
    # it works on whole groups of 256
    encoder = make_encoder("tinycudann").to(GPU)
    points = torch.rand(300, 3, device=GPU) * 2 - 1
    assert torch.equal(encoder(points[:count]), encoder(points)[:count])
