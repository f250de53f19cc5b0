"""Sound features of other programs: known by their shape, refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gstalker.errors import CaptureError, ConfigError
from gstalker.prepare import audio
from gstalker.prepare.audio.imported import read_features


def windows(rows: np.ndarray, frames: int) -> np.ndarray:
    """As the peers cut them: window ``i`` holds rows ``2 i - 8 .. 2 i + 7``, zeros beyond."""
    padded = np.pad(rows, ((8, 8), (0, 0)))
    return np.stack([padded[2 * i : 2 * i + 16] for i in range(frames)])


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def test_deepspeech_windows_give_their_rows_back(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(100, 29))
    found = read_features(saved(tmp_path / "a.npy", windows(rows, 50)), 50)
    assert (found.kind, found.rows_per_frame) == ("deepspeech", 2)
    assert np.allclose(found.rows, rows, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "kind", "per_frame", "dim"),
    [
        ((16, 44), "esperanto", 2, 44),
        ((16, 32), "wav2vec2", 2, 32),
        ((2, 1024), "hubert", 2, 1024),
        ((1, 512), "ave", 1, 512),
        ((512, 1), "ave", 1, 512),
    ],
)
def test_the_shape_tells_the_kind(
    tmp_path: Path, shape: tuple[int, int], kind: str, per_frame: int, dim: int
) -> None:
    array = np.zeros((30, *shape), np.float32)
    found = read_features(saved(tmp_path / "a.npy", array), 30)
    assert (found.kind, found.rows_per_frame) == (kind, per_frame)
    assert found.rows.shape == (30 * per_frame, dim)


def test_two_frames_more_or_less_are_cut_or_repeated(tmp_path: Path) -> None:
    array = np.arange(30, dtype=np.float32)[:, None, None] * np.ones((1, 2, 1024), np.float32)
    path = saved(tmp_path / "a.npy", array)
    assert read_features(path, 32).rows[-1, 0] == 29
    assert read_features(path, 28).rows[-1, 0] == 27
    assert read_features(path, 28).spec()["imported"]["found_frames"] == 30


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((60, 2, 1024), np.float32), "has 60 entries for 30 frames"),
        (np.zeros((30, 3, 1024), np.float32), "no known kind"),
        (np.zeros((30, 2, 1024), np.int64), "other values than finite floats"),
        (np.full((30, 2, 1024), np.nan, np.float32), "other values than finite floats"),
        (np.float32(3), "no known kind"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, array: np.ndarray, sentence: str) -> None:
    with pytest.raises(CaptureError, match=sentence):
        read_features(saved(tmp_path / "a.npy", array), 30)


def test_a_file_that_could_run_code_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(CaptureError, match="cannot be read"):
        read_features(path, 30)


def test_the_real_deepspeech_files_are_read(shared: Path) -> None:
    found = read_features(shared / "data" / "adnerf" / "deepspeech_sugar.npy", 325)
    assert found.rows.shape == (650, 29)


def test_imported_features_cannot_hear_another_voice(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", np.zeros((30, 16, 29)))
    with pytest.raises(CaptureError, match="another program made"):
        audio.check_model("deepspeech", read_features(path, 30).spec())


def test_what_can_only_be_imported_says_so() -> None:
    with pytest.raises(ConfigError, match="audio_features=FILE"):
        audio.chosen("deepspeech")
