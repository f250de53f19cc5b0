"""Windows of sound features: rows out of them, and back."""

import numpy as np
import pytest

from gstalker.errors import CaptureError
from gstalker.prepare.audio import windows


def by_the_script(rows):
    """``deepspeech_features.py``, line by line: zeros, then a loop over starts."""
    padded = np.concatenate([np.zeros((8, rows.shape[1])), rows, np.zeros((8, rows.shape[1]))])
    return np.array([padded[k : k + 16] for k in range(0, len(padded) - 16, 2)])


@pytest.mark.parametrize("count", [40, 41])
def test_rows_are_found_and_cut_into_the_same_windows(count):
    rows = np.random.default_rng(0).normal(size=(count, 29))
    cut = by_the_script(rows)
    assert len(cut) == np.ceil(count / 2)  # peers.md: N = ceil((M - 1) / 2) with M - 1 rows left
    found = windows.rows_of(cut)
    np.testing.assert_array_equal(found[:count], rows)
    assert not found[count:].any()
    np.testing.assert_array_equal(windows.windows_of(found, len(cut)), cut)


@pytest.mark.parametrize("name", ["luther", "sugar"])
def test_real_deepspeech_features_come_back(shared, name, tmp_path):
    path = shared / "data" / "adnerf" / f"deepspeech_{name}.npy"
    heard = windows.read(path)
    assert heard.kind.name == "deepspeech"
    back = windows.entries_of(heard.kind, heard.rows, heard.count)
    assert back.dtype == np.float64
    np.testing.assert_array_equal(back, np.load(path).astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "kind", "rows", "dim"),
    [
        ((30, 16, 29), "deepspeech", 60, 29),
        ((30, 16, 44), "esperanto", 60, 44),
        ((30, 16, 32), "wav2vec2", 60, 32),
        ((30, 2, 1024), "hubert", 60, 1024),
        ((30, 512, 1), "ave", 30, 512),
        ((30, 1, 512), "ave", 30, 512),
    ],
)
def test_the_kind_is_told_by_the_trailing_shape(tmp_path, shape, kind, rows, dim):
    np.save(tmp_path / "aud.npy", np.zeros(shape, np.float32))
    heard = windows.read(tmp_path / "aud.npy")
    assert (heard.kind.name, heard.rows.shape, heard.count) == (kind, (rows, dim), 30)


@pytest.mark.parametrize("lost", [0, 7, 18])
def test_a_lost_entry_is_noticed(tmp_path, lost):
    cut = by_the_script(np.random.default_rng(0).normal(size=(40, 29)))
    np.save(tmp_path / "aud_ds.npy", np.delete(cut, lost, axis=0))
    if lost == 0:  # then only the zeros ahead are gone, which the count tells
        assert windows.read(tmp_path / "aud_ds.npy").count == 19
        return
    with pytest.raises(CaptureError, match=rf"aud_ds\.npy contradict each other at entry {lost}"):
        windows.read(tmp_path / "aud_ds.npy")


def test_an_unknown_shape_names_the_file_and_the_known_ones(tmp_path):
    np.save(tmp_path / "aud.npy", np.zeros((30, 16, 30)))
    with pytest.raises(CaptureError, match=r"aud\.npy .*\(30, 16, 30\).*deepspeech \(N, 16, 29\)"):
        windows.read(tmp_path / "aud.npy")
