"""The files of a score sheet, and what they warn of."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from gstalker.data.synthetic import make_synthetic_capture
from gstalker.errors import GSTalkerError
from gstalker.metrics.catalogue import METRICS, base_name
from gstalker.metrics.protocol import Protocol
from gstalker.metrics.score import Scorer
from gstalker.metrics.sheet import Sheet, frames_path, read, read_frames, row_cautions

PROTOCOL = Protocol(lpips=False, resamples=20)


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return make_synthetic_capture(tmp_path_factory.mktemp("sheet") / "me", seconds=4, size=64)


@pytest.fixture(scope="module")
def written(capture, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "scores.json"
    sheet = Sheet(Scorer(capture, capture.split()[1], PROTOCOL))
    noise = np.random.default_rng(0).integers(-6, 7, (64, 64, 3))
    sheet.add("noisy (mine)", lambda i: np.clip(capture.frame(i) + noise, 0, 255).astype(np.uint8))
    sheet.add(
        "pasted",
        lambda i: np.where(capture.mask(i)[..., None] > 1, 0, capture.frame(i)).astype(np.uint8),
    )
    return path, sheet.write(path, run="r")


def test_the_file_holds_protocol_meanings_and_rows(written):
    path, sheet = written
    assert json.loads(path.read_text()) == sheet
    assert sheet["run"] == "r"
    assert set(sheet["metrics"]) == set(sheet["rows"]["pasted"])
    for name, told in sheet["metrics"].items():
        assert told["higher_is_better"] is METRICS[base_name(name)].higher_is_better
        assert isinstance(told["unit"], str)
    assert sheet["metrics"]["lmd_synthetic"]["unit"] == "px"
    assert sheet["metrics"]["mouth_lag"]["best"] == 0
    assert sheet["protocol"]["frame_count"] == 10


def test_the_values_of_every_frame_lie_beside_and_average_to_the_figures(written, capture):
    path, sheet = written
    assert sheet["protocol"]["frames_file"] == frames_path(path).name == "scores_frames.npz"
    ids, block, rows = read_frames(path)
    assert (ids == capture.split()[1]).all()
    assert len(block) == len(ids)
    for metric in ("psnr_full", "ssim_full", "lmd_synthetic", "temporal_full"):
        values = rows["noisy (mine)"][metric]
        mean = sheet["rows"]["noisy (mine)"][metric]["mean"]
        assert np.nanmean(values) == pytest.approx(mean, rel=1e-5), metric
    pooled = -10 * np.log10(rows["noisy (mine)"]["squared_error"].mean())
    assert sheet["rows"]["noisy (mine)"]["psnr_pooled"]["mean"] == pytest.approx(pooled, rel=1e-5)


def test_filmed_pixels_are_found_and_warned_of(written):
    _, sheet = written
    assert sheet["rows"]["pasted"]["pasted_torso"]["mean"] == 1
    assert sheet["rows"]["noisy (mine)"]["pasted_torso"]["mean"] == 0
    cautions = sheet["protocol"]["cautions"]
    assert any("pasted: 100% of the torso looks filmed" in text for text in cautions)
    assert not any(text.startswith("noisy") and "filmed, not" in text for text in cautions)


def test_a_head_that_is_too_still_and_lost_faces_are_warned_of():
    row = {"jitter_eyes_mediapipe": {"mean": 0.3}, "faces_found": {"mean": 0.8}}
    told = row_cautions("theirs", row)
    assert "0.30 times" in told[0]
    assert "20% of the frames" in told[1]
    assert row_cautions("ours", {"jitter_eyes_mediapipe": {"value": "n/a", "reason": "x"}}) == []
    assert len(row_cautions("ours", row, poses_known=True)) == 1  # drawn here: only blurred


def test_faces_missed_are_counted_per_row(capture, tmp_path):
    sheet = Sheet(Scorer(capture, capture.split()[1], replace(PROTOCOL, resamples=2)))
    sheet.add("blank", lambda _: capture.background)
    assert sheet.as_dict()["protocol"]["landmark_misses"] == {"truth": 0, "blank": 10}


def test_missing_values_are_a_sentence(tmp_path):
    with pytest.raises(GSTalkerError, match="evaluate or score again"):
        read_frames(tmp_path / "scores.json")


def test_what_was_written_is_read(written):
    path, sheet = written
    assert read(path) == {**sheet, "capture": {}}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["rows"], 3),
        (["rows"], {}),
        (["rows", "pasted"], [1]),
        (["rows", "pasted", "psnr_full"], None),
        (["rows", "pasted", "psnr_full", "mean"], "30"),
        (["rows", "pasted", "psnr_full", "mean"], math.nan),
        (["rows", "pasted", "psnr_full", "stderr"], []),
        (["rows", "pasted", "psnr_full", "n"], 10**400),
        (["protocol"], "x"),
        (["protocol", "split"], [1]),
        (["protocol", "size"], 3),
        (["protocol", "landmark_misses"], 1),
        (["protocol", "backbones"], "x"),
        (["protocol", "cautions"], 1),
        (["capture"], "x"),
    ],
)
def test_scores_that_nobody_wrote_so_are_a_sentence(written, tmp_path, place, value):
    told = json.loads(written[0].read_text())
    inner = told
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(told))
    with pytest.raises(GSTalkerError, match=r"scores\.json is not a scores\.json of gstalker"):
        read(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_a_file_that_holds_no_object_is_a_sentence(tmp_path, text):
    path = tmp_path / "scores.json"
    path.write_text(text)
    with pytest.raises(GSTalkerError, match=r"scores\.json (cannot be read|is damaged)"):
        read(path)


def test_a_program_killed_between_the_two_files_leaves_a_pair_that_is_refused(
    written, capture, tmp_path, monkeypatch
):
    path = tmp_path / "scores.json"
    sheets = []
    for row in ("first", "second"):
        sheets.append(Sheet(Scorer(capture, capture.split()[1], PROTOCOL)))
        sheets[-1].add(row, lambda i, row=row: capture.frame(0 if row == "first" else i))
    sheets[0].write(path)
    assert set(read_frames(path)[2]) == {"first"}

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gstalker.files.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        sheets[1].write(path)
    assert set(read(path)["rows"]) == {"first"}
    with pytest.raises(GSTalkerError, match="not of the same evaluation as scores.json"):
        read_frames(path)
    monkeypatch.undo()
    sheets[1].write(path)
    assert set(read_frames(path)[2]) == {"second"}


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("block", np.zeros(3, np.int64)),
        ("block", np.array("x")),
        ("ids", np.zeros((2, 5), np.int64)),
        ("ids", np.array([{"code": "runs"}], dtype=object)),
        ("pasted/psnr_full", np.full(10, "a")),
        ("pasted/psnr_full", np.zeros(9, np.float32)),
    ],
)
def test_values_that_do_not_fit_their_frames_are_a_sentence(written, tmp_path, name, array):
    with np.load(frames_path(written[0])) as file:
        arrays = dict(file)
    path = tmp_path / "scores.json"
    path.write_text("{}")  # an earlier version's, without a digest
    np.savez(frames_path(path), **{**arrays, name: array})
    with pytest.raises(GSTalkerError, match="evaluate or score again"):
        read_frames(tmp_path / "scores.json")
