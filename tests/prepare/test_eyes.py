"""How open the eyes are: every provider gives one number a frame, or says why it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from gstalker.errors import ConfigError, MediaError
from gstalker.face import LAYOUTS
from gstalker.prepare import eyes

LAYOUT = LAYOUTS["synthetic68"]


def write_openface(path, strengths, success=None, header="frame, timestamp, success, AU45_r"):
    success = [1] * len(strengths) if success is None else success
    rows = [
        f"{k + 1}, {k / 25:.3f}, {ok}, {au}"
        for k, (au, ok) in enumerate(zip(strengths, success, strict=True))
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def opening(choice, frames=5, blendshapes=None):
    return eyes.opening(str(choice), np.zeros((frames, 68, 2)), LAYOUT, blendshapes)


def test_lids_are_measured_by_the_distance_of_the_eye_corners():
    points = np.zeros((1, 68, 2))
    points[0, LAYOUT.eye_corners[1]] = (100, 0)
    for (upper, lower), gap in zip(LAYOUT.lids, (8, 12), strict=True):
        points[0, upper], points[0, lower] = (50, 0), (50, gap)
    assert eyes.lid_gap(points, LAYOUT) == pytest.approx([0.1])


def test_blendshapes_say_how_closed_so_the_opening_is_the_rest():
    found = opening("blendshapes", blendshapes=lambda: np.array([[0.2, 0.4], [1.0, 1.0]]))
    assert found == pytest.approx([0.7, 0.0])


def test_constant_eyes_never_move():
    assert (opening("constant", 7) == np.ones(7)).all()


def test_openface_is_read_with_the_spaces_in_its_header(tmp_path):
    path = write_openface(tmp_path / "au.csv", [0, 1, 2, 3.5, 0.5], success=[1, 1, 1, 1, 0])
    found = opening(path)
    assert found[:4] == pytest.approx([1, 0.5, 0, 0])
    assert np.isnan(found[4])


@pytest.mark.parametrize(
    ("strengths", "header", "words"),
    [
        ([0, 0, 0], "frame, timestamp, success, AU45_r", "3 rows, but the video has 5 frames"),
        ([0] * 6, "frame, timestamp, success, AU45_r", "6 rows, but the video has 5 frames"),
        ([0] * 5, "frame, timestamp, success, AU45_c", "no column AU45_r"),
        ([0, 0, "x", 0, 0], "frame, timestamp, success, AU45_r", "row 3 holds no number"),
        ([0, 0, "nan", 0, 0], "frame, timestamp, success, AU45_r", "row 3 holds no number"),
        ([], "frame, timestamp, success, AU45_r", "no column AU45_r"),
    ],
    ids=["short", "long", "misnamed", "text", "nan", "empty"],
)
def test_an_openface_file_that_does_not_fit_is_a_sentence(tmp_path, strengths, header, words):
    path = write_openface(tmp_path / "au.csv", strengths, header=header)
    with pytest.raises(MediaError, match=words):
        opening(path)


def test_an_openface_file_that_never_found_a_face_is_refused(tmp_path):
    path = write_openface(tmp_path / "au.csv", [0] * 5, success=[0] * 5)
    with pytest.raises(MediaError, match="tells no frame's eyes.*\n.*eye=landmarks"):
        opening(path)


@pytest.mark.parametrize("choice", ["landmark", "au.txt", "no/such/au.csv"])
def test_what_is_no_provider_is_a_sentence(choice):
    with pytest.raises(ConfigError, match="eye="):
        eyes.check(choice)


def test_the_report_counts_blinks_and_says_how_far_they_stand_out():
    eye = np.full(250, 0.1)
    eye[[50, 51, 150, 151]] = 0.02
    note = eyes.report("landmarks", eye, np.ones(250, bool), [(0, 250)])
    assert note["provider"] == "landmarks"
    assert note["blinks"] == 2
    assert note["blinks_per_minute"] == pytest.approx(12)
    assert note["blink_depth"] == pytest.approx(0.8)
    assert eyes.report("constant", eye, np.ones(250, bool), [(0, 250)]) == {"provider": "constant"}
    assert eyes.report("x/au.csv", eye, np.ones(250, bool), [(0, 250)])["file"] == "au.csv"
