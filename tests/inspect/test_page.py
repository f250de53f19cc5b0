"""The page carries everything in it, and a capture that is damaged is a sentence."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from gstalker import files
from gstalker.data.capture import Capture
from gstalker.errors import CaptureError
from gstalker.inspect import PAGE, curves, inspect, sheet, summary
from gstalker.inspect.facts import gather

from ..conftest import well_formed


@pytest.fixture(scope="module")
def inspection(tiny_capture, tmp_path_factory):
    return inspect(tiny_capture.folder, tmp_path_factory.mktemp("inspected"))


@pytest.fixture
def copied(tiny_capture, tmp_path):
    return shutil.copytree(tiny_capture.folder, tmp_path / "me")


def test_the_page_is_one_file_that_asks_for_nothing(inspection):
    text = inspection.page.read_text()
    well_formed(text)
    assert len(text) < 3_000_000


def test_the_page_shows_a_dozen_frames_and_the_plate(inspection, tiny_capture):
    data = re.findall(r"data:image/jpeg;base64,([^\"]+)", inspection.page.read_text())
    pictures = [Image.open(io.BytesIO(base64.b64decode(d))) for d in data]
    assert len(pictures) == sheet.FRAMES + 1
    assert {p.size for p in pictures} == {(sheet.WIDTH_PX, sheet.WIDTH_PX)}


def test_curves_take_their_colours_from_the_page(inspection):
    text = inspection.page.read_text()
    assert "var(--line0)" in text
    assert not re.search(r"#0[1-6]0[1-6]0[1-6]", text)


def test_the_same_capture_gives_the_same_page(inspection, tiny_capture, tmp_path):
    again = inspect(tiny_capture.folder, tmp_path)
    assert again.page.read_bytes() == inspection.page.read_bytes()


def test_the_terminal_says_the_verdict_first_and_the_page_last(inspection):
    lines = inspection.text.splitlines()
    assert lines[0] == "tiny: fit with cautions"
    assert lines[2].startswith("  caution: 8.0 s of usable film")
    assert lines[-1] == str(inspection.page)


def test_by_default_the_page_lies_in_the_capture_which_stays_one(copied):
    before = Capture.open(copied).content_id
    assert inspect(copied).page == copied / PAGE
    assert Capture.open(copied).content_id == before


def test_a_measured_sync_is_shown_with_its_curve(copied):
    meta = files.read_json(copied / "capture.json")
    curve = [[lag, float(np.exp(-((lag - 2) ** 2)))] for lag in range(-10, 11)]
    meta["sync"] = {
        "offset_frames": 2.0,
        "stderr_frames": 0.31,
        "foreign_r": 0.1,
        "curve": curve,
        "applied_frames": 0,
    }
    files.write_json(copied / "capture.json", meta)
    found = inspect(copied)
    assert "+2.00 frames (+80 ms), known to 0.31 frames" in found.text
    assert "sound later than lips, frames" in found.page.read_text()


def test_trembling_is_shown_beside_what_it_was_and_the_lens_with_what_was_tried(copied):
    page = inspect(copied).page.read_text()
    assert "Trembling of the head" in page
    assert "before smoothing" not in page.split("Trembling")[1].split("</svg>")[0].split("<svg")[1]
    assert "Focal length<" not in page
    rng = np.random.default_rng(0)
    raw = np.load(copied / "poses.npy") + np.zeros(1, np.float32)
    raw[:, :3, 3] += rng.normal(size=(len(raw), 3)).astype(np.float32)
    np.save(copied / "poses_raw.npy", raw)
    meta = files.read_json(copied / "capture.json")
    meta["tracker"] = {"focal_curve": [[300.0, 2.5], [600.0, 1.0], [1200.0, 2.0]]}
    files.write_json(copied / "capture.json", meta)
    page = inspect(copied).page.read_text()
    well_formed(page)
    assert "before smoothing" in page.split("Trembling")[1].split("</svg>")[0].split("<svg")[1]
    assert "focal length, pixels" in page


def test_a_cut_or_a_gap_is_no_trembling(tiny_capture):
    facts = dataclasses.replace(gather(tiny_capture), segments=[(0, 100), (100, 200)])
    facts.usable[50] = False
    angles = np.zeros((200, 3))
    angles[100:] = 30.0  # another take, another pose
    angles[50] = 99.0  # nobody knows
    angles[150, 0] = 1.0
    found = curves.shaking(facts, angles)
    assert np.flatnonzero(np.isnan(found)).tolist() == [0, 49, 50, 51, 99, 100, 199]
    assert found[[149, 150, 151]].tolist() == [29.0, 58.0, 29.0]
    assert np.nansum(found) == 116.0


def test_without_sync_the_page_says_what_to_run(inspection):
    assert "n/a: not measured; run: gstalker prepare" in inspection.text


def test_the_sheet_holds_the_ends_of_what_the_head_does(tiny_capture):
    facts = gather(tiny_capture)
    shots = {shot.why: shot.index for shot in sheet.choose(facts)}
    assert shots["mouth widest"] == int(np.argmax(tiny_capture.mouth))
    assert facts.angles[shots["furthest to the right"], 0] == facts.angles[:, 0].max()
    times = [shot.index for shot in sheet.choose(facts)]
    assert times == sorted(set(times))
    assert len(times) == sheet.FRAMES


def test_dropped_frames_are_told_with_their_reason(copied):
    meta = files.read_json(copied / "capture.json")
    meta["dropped"] = [{"start": 10, "stop": 20, "reason": "no face <found>"}]
    files.write_json(copied / "capture.json", meta)
    found = inspect(copied)
    assert "frames 10 to 19: no face &lt;found&gt;" in found.page.read_text()
    assert ("dropped", "10 frames (5.0%)") in summary.rows(found.facts)


def test_a_capture_without_a_usable_frame_is_a_sentence(copied):
    meta = files.read_json(copied / "capture.json")
    meta["dropped"] = [{"start": 0, "stop": meta["frame_count"], "reason": "no face found"}]
    files.write_json(copied / "capture.json", meta)
    with pytest.raises(CaptureError, match="no usable frame"):
        inspect(copied)


@pytest.mark.parametrize("damage", ["missing", "shorter", "no folder", "a changed picture"])
def test_a_broken_capture_is_a_sentence_and_leaves_no_page(copied, damage):
    if damage == "missing":
        (copied / "poses.npy").unlink()
    elif damage == "shorter":
        os.truncate(copied / "masks.npy", 1000)
    elif damage == "no folder":
        shutil.rmtree(copied)
    else:
        with (copied / "frames.npy").open("r+b") as file:
            file.seek(-1000, os.SEEK_END)  # a frame that no curve or sheet looks at
            file.write(b"\x55" * 1000)
    with pytest.raises(CaptureError, match="gstalker prepare"):
        inspect(copied)
    assert not (copied / PAGE).exists()


def test_where_several_were_seen_the_page_shows_who_was_taken(copied):
    meta = files.read_json(copied / "capture.json")
    seen = {"share": 1.0, "height_px": 90.0, "middle_px": [50, 60]}
    meta["people"] = [{**seen, "subject": False}, {**seen, "subject": True}]
    files.write_json(copied / "capture.json", meta)
    told = inspect(copied).page.read_text()
    assert "Who is seen" in told
    assert "<code>face=1</code>" in told
    assert "2: seen in 100% of the looks, 90 px tall <b>(taken)</b>" in told
    assert "everybody seen" not in told  # captures of old have no picture of them
    Image.new("RGB", (64, 36)).save(copied / "people.jpg")
    assert "everybody seen" in inspect(copied).page.read_text()
    assert "Who is seen" not in _alone(copied)


def _alone(folder):
    meta = files.read_json(folder / "capture.json")
    meta["people"] = meta["people"][:1]
    files.write_json(folder / "capture.json", meta)
    return inspect(folder).page.read_text()
