"""Clouds as ply files, read by somebody else's reader and back by ours."""

import numpy as np
import pytest
import torch

from gstalker.errors import RunError
from gstalker.gaussians import ply
from gstalker.gaussians.cloud import PARAMETERS, GaussianCloud


def cloud(n=7, terms=4):
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "means": (n, 3),
        "scales": (n, 3),
        "quats": (n, 4),
        "opacities": (n,),
        "sh": (n, terms, 3),
        "follow": (n,),
    }
    return GaussianCloud(**{k: torch.randn(*s, generator=generator) for k, s in shapes.items()})


@pytest.mark.parametrize("terms", [1, 4, 16])
def test_what_is_written_is_read_bit_by_bit(tmp_path, terms):
    before = cloud(terms=terms)
    ply.write(tmp_path / "a.ply", before)
    after = ply.read(tmp_path / "a.ply")
    for name in PARAMETERS:
        assert torch.equal(getattr(after, name), getattr(before, name))


def test_another_reader_finds_the_inria_columns(tmp_path):
    plyfile = pytest.importorskip("plyfile")
    before = cloud()
    ply.write(tmp_path / "a.ply", before)
    vertex = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"]
    np.testing.assert_array_equal(vertex["y"], before.means[:, 1].detach())
    np.testing.assert_array_equal(vertex["f_dc_2"], before.sh[:, 0, 2].detach())
    # the rest goes channel by channel: three higher terms of red, then green, then blue
    np.testing.assert_array_equal(vertex["f_rest_4"], before.sh[:, 2, 1].detach())
    np.testing.assert_array_equal(vertex["rot_0"], before.quats[:, 0].detach())
    np.testing.assert_array_equal(vertex["opacity"], before.opacities.detach())


def test_a_file_of_others_without_follow_is_all_head(tmp_path):
    plyfile = pytest.importorskip("plyfile")
    ply.write(tmp_path / "a.ply", cloud(terms=1))
    table = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"].data
    names = [n for n in table.dtype.names if n not in ("follow", "nx")]
    theirs = np.rec.fromarrays([table[n] for n in names], names=names)
    plyfile.PlyData(
        [plyfile.PlyElement.describe(np.asarray(theirs), "vertex")], byte_order="<"
    ).write(tmp_path / "b.ply")
    read = ply.read(tmp_path / "b.ply")
    assert torch.sigmoid(read.follow).min() > 0.999
    assert torch.equal(read.means, cloud(terms=1).means)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a binary little-endian ply"),
        (b"ply\nformat ascii 1.0\nend_header\n", "not a binary little-endian ply"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\n"
            b"end_header\n",
            "lacks: y, z",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex many\nend_header\n",
            "should count vertices",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement face 3\nend_header\n",
            "should count vertices",
        ),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, content, complaint):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(RunError, match=complaint):
        ply.read(tmp_path / "a.ply")


def test_a_number_of_harmonics_that_no_degree_has_is_refused(tmp_path):
    ply.write(tmp_path / "a.ply", cloud(terms=3))
    with pytest.raises(RunError, match="has 6 columns f_rest_"):
        ply.read(tmp_path / "a.ply")


def test_a_file_cut_short_is_noticed(tmp_path):
    ply.write(tmp_path / "a.ply", cloud())
    whole = (tmp_path / "a.ply").read_bytes()
    (tmp_path / "a.ply").write_bytes(whole[:-10])
    with pytest.raises(RunError, match="cut short"):
        ply.read(tmp_path / "a.ply")
