"""A protocol says what two figures have in common, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from gstalker.data.capture import BACKGROUND
from gstalker.data.synthetic import make_synthetic_capture
from gstalker.errors import ConfigError
from gstalker.metrics.protocol import Protocol, Record, ranges, sentence, true_frame

CHOSEN = Protocol(composite="drawn", driven="test")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return [
        make_synthetic_capture(folder / name, seconds=s, size=32, seed=k)
        for k, (name, s) in enumerate((("a", 3), ("b", 5)))
    ]


def record(capture, protocol=CHOSEN, ids=None, **changed):
    ids = capture.split()[1] if ids is None else ids
    known = Record(protocol, capture, ids, "synthetic", {"lpips_alex": "AlexNet"}, 0)
    return replace(known, **changed)


def test_test_splits_of_two_captures_may_share_a_column_but_are_not_the_same_frames(two):
    a, b = record(two[0]), record(two[1])
    assert a.fingerprint == b.fingerprint
    assert a.same_frames != b.same_frames


@pytest.mark.parametrize(
    "changed",
    [
        {"truth": "plate"}, {"composite": "pasted"}, {"driven": "sound"}, {"codec": "h264"},
        {"fit": "resize"}, {"rate": "nearest"}, {"max_lag": 4}, {"open_above": 0.2},
    ],
    ids=str,
)  # fmt: skip
def test_what_changes_a_figure_changes_the_fingerprint(two, changed):
    other = record(two[0], replace(CHOSEN, **changed))
    assert other.fingerprint != record(two[0]).fingerprint
    assert other.same_frames == record(two[0]).same_frames


def test_other_frames_points_or_sizes_change_it_too(two, tmp_path):
    known = record(two[0])
    assert record(two[0], ids=known.ids[:-1]).fingerprint != known.fingerprint
    assert record(two[0], detector="mediapipe").fingerprint != known.fingerprint
    larger = make_synthetic_capture(tmp_path / "larger", seconds=3, size=48)
    assert record(larger).fingerprint != known.fingerprint


@pytest.mark.parametrize(
    "changed",
    [{"lpips": False}, {"lpips_vgg": True}, {"sync": True}, {"resamples": 10}, {"seed": 3}],
    ids=str,
)
def test_measuring_more_or_resampling_otherwise_does_not(two, changed):
    assert record(two[0], replace(CHOSEN, **changed)).fingerprint == record(two[0]).fingerprint


def test_scores_of_earlier_versions_may_still_share_a_column(tmp_path):
    larger = make_synthetic_capture(tmp_path / "larger", seconds=3, size=96)
    # docs/comparison.md's: the test split at 96 x 96 with MediaPipe's landmarks
    assert record(larger, detector="mediapipe").fingerprint == "b0c3e338e8c4"


def test_whoever_asks_a_backbone_is_told_and_makes_no_other_protocol(two):
    known = record(two[0])
    packaged = record(two[0], backbones={"lpips_alex": "AlexNet (lpips package)"})
    assert packaged.fingerprint == known.fingerprint
    assert "lpips_alex: AlexNet (lpips package)" in sentence(packaged.as_dict())


def test_the_split_is_told_as_a_rule(two):
    train, test = two[1].split()
    assert record(two[1]).split == {"rule": "test"}
    assert record(two[1], ids=np.concatenate([train, test])).split == {"rule": "all"}
    part = record(two[1], ids=test[2:5]).split
    assert part == {"rule": "part", "count": 3, "of_test": len(test), "from_test": 2}
    assert record(two[1], ids=train[:5]).split["from_test"] == -1


def test_the_sentence_under_a_table_says_what_was_done(two):
    told = sentence(record(two[0]).as_dict() | {"cautions": ["theirs: only 3 of 7 frames"]})
    for part in (
        "test split", f"offset {two[0].split()[1][0]}", "32 x 32", "regions: full the whole frame; "
        "head rows 0 to", "mouth 0.44 0.31 0.44 0.375 eye distances around the true lips",
        "truth: filmed", "composite: drawn", "codec: lossless",
        "landmarks: synthetic", "lpips_alex: AlexNet", "Caution: theirs: only 3 of 7 frames.",
        "mean ± standard error", record(two[0]).fingerprint,
    ):  # fmt: skip
        assert part in told, part


def test_against_the_plate_only_the_speaker_is_filmed(two):
    capture = two[0]
    found = true_frame(capture, replace(CHOSEN, truth="plate"), 4)
    away = capture.mask(4) == BACKGROUND
    assert (found[away] == capture.background[away]).all()
    assert (found[~away] == capture.frame(4)[~away]).all()
    assert (true_frame(capture, CHOSEN, 4) == capture.frame(4)).all()


def test_ids_are_written_as_ranges():
    assert ranges(np.array([7])) == "7"
    assert ranges(np.array([0, 1, 2, 5, 7, 8])) == "0-2,5,7-8"


def test_half_of_openfaces_files_is_an_error():
    with pytest.raises(ConfigError, match="openface_truth"):
        Protocol(openface="a.csv")
