"""What one encoder has learned: taken by those that define it alike, refused by the others."""

import sys

import pytest
import tiny_grid
import torch
from torch import nn

from gstalker.encode import make_encoder
from gstalker.encode.hashgrid import SPREAD, HashTriPlane
from gstalker.errors import BackendMissing, RunError
from gstalker.native import library

SIZES = {"levels": 3, "features_per_level": 2, "log2_table": 8, "base": 4, "finest": 32}
native = pytest.mark.skipif(not library.available(), reason="the native kernels are not built")


@pytest.fixture
def _tinycudann(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinycudann", tiny_grid.tinycudann)


def points(n=50):
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1


@native
@pytest.mark.parametrize(("ours", "theirs"), [("hashgrid", "native"), ("native", "hashgrid")])
def test_the_reference_and_the_kernels_read_each_others_tables(ours, theirs):
    learned, empty = make_encoder(ours, **SIZES), make_encoder(theirs, **SIZES)
    empty.load_state_dict(learned.state_dict())
    torch.testing.assert_close(empty(points()), learned(points()))


def within(encoder):
    """The encoder where a run has it: inside of other modules."""
    return nn.ModuleDict({"field": nn.ModuleDict({"encoder": encoder})})


@pytest.mark.usefixtures("_tinycudann")
@pytest.mark.parametrize(
    ("ours", "theirs", "named"),
    [
        ("tinycudann", "hashgrid", "hashgrid or native"),
        ("hashgrid", "tinycudann", "tinycudann"),
        pytest.param("native", "tinycudann", "tinycudann", marks=native),
    ],
)
def test_tables_of_tiny_cuda_nn_are_not_ours(ours, theirs, named):
    learned = within(make_encoder(theirs, **SIZES)).state_dict()
    with pytest.raises(RunError, match=rf"learned by the encoder '{named}'.*\n.*encoder\.name"):
        within(make_encoder(ours, **SIZES)).load_state_dict(learned)


@pytest.mark.usefixtures("_tinycudann")
def test_tiny_cuda_nn_reads_its_own_tables_back():
    torch.manual_seed(0)
    learned, empty = make_encoder("tinycudann", **SIZES), make_encoder("tinycudann", **SIZES)
    assert not torch.equal(learned(points()), empty(points()))
    empty.load_state_dict(learned.state_dict())
    assert torch.equal(learned(points()), empty(points()))


@pytest.mark.usefixtures("_tinycudann")
def test_tiny_cuda_nn_starts_as_the_others_do_and_from_the_runs_seed():
    starts = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        starts.append(torch.cat([p.detach() for p in make_encoder("tinycudann").parameters()]))
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert 0.99 * SPREAD < starts[0].abs().max() <= SPREAD
    first, second, third = make_encoder("tinycudann").planes
    assert not torch.equal(first.params, second.params)
    assert not torch.equal(second.params, third.params)


@pytest.mark.usefixtures("_tinycudann")
def test_a_single_level_of_tiny_cuda_nn_is_ours_moved_by_half_a_cell():
    # So the planes' axes, the order of features, the hash and the number of cells are those of the
    # definition; with several levels no one shift undoes the half cells of all.
    sizes = {"levels": 1, "features_per_level": 2, "base": 20, "finest": 20}
    for log2_table in (8, 14):  # hashed: 441 points do not fit 256 entries; and stored whole
        ours = HashTriPlane(**sizes, log2_table=log2_table)
        tiny = make_encoder("tinycudann", **sizes, log2_table=log2_table)
        for plane, part in zip(tiny.planes, ours.tables.detach().chunk(3), strict=True):
            plane.params.data[: part.numel()] = part.flatten()
        x = points() * 0.8
        torch.testing.assert_close(tiny(x - 1 / 20), ours(x), atol=1e-7, rtol=1e-4)


@pytest.mark.usefixtures("_tinycudann")
def test_tiny_cuda_nn_takes_the_same_sizes_and_refuses_the_same():
    assert make_encoder("tinycudann").dim == make_encoder("hashgrid").dim == 36
    scales = [
        level[0]
        for level in tiny_grid.levels_of(make_encoder("tinycudann").planes[0].encoding_config)[0]
    ]
    assert (scales[0], scales[-1]) == (pytest.approx(16), pytest.approx(256))
    with pytest.raises(ValueError, match="expected levels >= 1"):
        make_encoder("tinycudann", base=9, finest=8)


@pytest.mark.usefixtures("_tinycudann")
def test_positions_on_another_device_than_the_tables_are_refused():
    with pytest.raises(ValueError, match="expected positions on cpu, but got meta"):
        make_encoder("tinycudann")(points().to("meta"))


def test_a_tiny_cuda_nn_that_finds_no_gpu_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    (tmp_path / "tinycudann.py").write_text('raise EnvironmentError("no compute capability")\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendMissing, match=r"cannot be used here: no compute capability\n"):
        make_encoder("tinycudann")
