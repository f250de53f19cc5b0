"""The page of a run holds what the run left behind, and says what it did not."""

from __future__ import annotations

import base64
import io
import re
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from gstalker import cli, files
from gstalker.errors import ConfigError, RunError
from gstalker.report import pictures, story
from gstalker.report.pictures import error_map

from ..conftest import well_formed
from .conftest import entry, load, write_scores

STAGES = {"static": [(100, 0.05, 25.0), (200, 0.04, 26.0)], "deform": [(100, 0.03, 27.0)]}


@pytest.fixture
def run(make_run, tiny_capture):
    """A run on the tiny capture: ours is the truth with 10 levels more in the lower half."""
    ours = {"psnr_full": entry(30.0), "psnr_mouth": entry(28.0), "mouth_corr": entry(0.8)}
    heard = {"psnr_full": entry(29.0), "psnr_mouth": entry(24.0), "mouth_corr": entry(0.1)}
    _, ids = tiny_capture.split()
    folder = make_run(
        "head",
        ours,
        folder_of=tiny_capture.folder,
        content_id=tiny_capture.content_id,
        controls={"shuffled_audio": heard},
    )
    for name, rows in STAGES.items():
        lines = ["step,loss,val_psnr_full", *(f"{a},{b},{c}" for a, b, c in rows)]
        files.write_text(folder / name / "metrics.csv", "\n".join(lines) + "\n")
    (folder / "frames").mkdir()
    for index in ids:
        picture = np.array(tiny_capture.frame(int(index))).astype(int)
        picture[32:] += 10
        Image.fromarray(np.minimum(picture, 255).astype(np.uint8)).save(
            folder / "frames" / f"{index:06d}.png"
        )
    return folder


def _with_frames(folder, capture):
    """Values per frame: the true sound opens the mouth as filmed, another sentence later."""
    _, ids = capture.split()
    truth = np.nan_to_num(capture.mouth[ids]).astype(np.float32)
    rows = {
        "ours/mouth_opening": truth * 0.9,
        "ours/mouth_opening_truth": truth,
        "shuffled_audio/mouth_opening": np.roll(truth, 20),
        "ours/psnr_full": np.full(len(ids), 30.0),
        "ours/psnr_mouth": np.where(ids == ids[3], 11.0, 28.0),
    }
    np.savez(folder / "scores_frames.npz", ids=ids, block=np.zeros(len(ids), int), **rows)


def test_the_page_is_one_file_with_everything_in_it(run, tiny_capture):
    _with_frames(run, tiny_capture)
    path = story.write([run])
    assert path == run / "report.html"
    text = path.read_text()
    seen = [tag for tag, _ in well_formed(text)]
    assert seen.count("img") == pictures.STILLS + 1  # and the worst mouth
    assert seen.count("video") == 1
    assert len(text) < 2_000_000
    for words in ("hears another sentence", "hears the true sound", "the worst mouth by PSNR"):
        assert words in text
    assert "commit 0123456789" in text
    assert "log2_table" in text
    assert "n/a: no values per frame" not in text
    film = re.search(r"data:video/mp4;base64,([^\"]+)", text)[1]
    caption = re.search(r"frames (\d+) to (\d+), ", text)
    _plays(base64.b64decode(film), *map(int, caption.groups()))


def _plays(mp4, first, last):
    """As many pictures as the caption says, and the sound."""
    with av.open(io.BytesIO(mp4)) as film:
        frames = sum(1 for _ in film.decode(video=0))
        assert len(film.streams.audio) == 1
    assert frames == last - first + 1


def test_stills_show_truth_ours_and_their_error(run, tiny_capture):
    _, ids = tiny_capture.split()
    from gstalker.experiment.runs import RunFolder

    jpeg = pictures.still(RunFolder(run), tiny_capture, int(ids[0]))
    picture = np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)
    assert picture.shape == (64, 3 * 64, 3)
    true = np.asarray(tiny_capture.frame(int(ids[0]))).astype(int)
    assert np.abs(picture[:, :64] - true).mean() < 6  # jpeg's own loss
    error = picture[:, 128:]
    assert error[:24].mean() < 8
    assert error[40:].mean() > error[:24].mean() + 8


def test_the_error_map_is_brightest_at_its_named_level():
    black = np.zeros((1, 3, 3), np.uint8)
    grey = np.array([[[0] * 3, [32] * 3, [255] * 3]], np.uint8)
    light = error_map(grey, black).astype(int).sum(-1)[0]
    assert light[0] < light[1] < light[2]
    at_level = np.full((1, 1, 3), 64, np.uint8)
    assert (
        error_map(at_level, black[:, :1]).tolist() == error_map(grey[:, 2:], black[:, 2:]).tolist()
    )


def test_stills_go_from_the_closed_mouth_to_the_widest(tiny_capture):
    _, ids = tiny_capture.split()
    chosen = pictures.choose(ids, tiny_capture, worst=int(ids[5]))
    mouths = [tiny_capture.mouth[s.index] for s in chosen[:-1]]
    assert mouths == sorted(mouths)
    assert mouths[0] == tiny_capture.mouth[ids].min()
    assert mouths[-1] == tiny_capture.mouth[ids].max()
    assert (chosen[0].why, chosen[-2].why) == ("mouth most closed", "mouth widest")
    assert chosen[-1].index == ids[5]


def test_the_busiest_stretch_stays_within_a_take(tiny_capture):
    ids = np.arange(tiny_capture.frame_count)
    stretch = pictures.busiest(ids, tiny_capture)
    assert len(stretch) == 75
    assert (np.diff(stretch) == 1).all()
    ends = [(a, b) for a, b in tiny_capture.segments if a <= stretch[0] < b]
    assert stretch[-1] < ends[0][1]


def test_what_was_not_left_behind_is_said(run):
    shutil.rmtree(run / "frames")
    assert cli.main(["report", str(run)]) == 0
    text = (run / "report.html").read_text()
    assert "n/a: there is no scores_frames.npz" in text
    assert "mouth r 0.800, with another sentence 0.100." in text
    assert "n/a: the run kept no pictures; run: gstalker evaluate" in text
    (run / "scores.json").unlink()
    for stage in STAGES:
        shutil.rmtree(run / stage)
    text = story.write([run]).read_text()
    assert "n/a: head: trained, not evaluated; run: gstalker evaluate" in text
    assert "n/a: no stage left a metrics.csv" in text
    well_formed(text)


def test_curves_stand_in_the_order_of_training(run):
    files.write_json(run / "status.json", {"state": "done", "torso_minutes": 1, "face_minutes": 2})
    for stage in STAGES:
        shutil.rmtree(run / stage)
    for stage in ("face", "torso"):
        files.write_text(run / stage / "metrics.csv", "step,loss\n1,0.5\n2,0.4\n")
    text = story.write([run]).read_text()
    assert 0 < text.index("<p>torso</p>") < text.index("<p>face</p>")


def test_a_capture_that_moved_or_changed_is_said_and_can_be_named(run, tiny_capture, tmp_path):
    moved = shutil.copytree(tiny_capture.folder, tmp_path / "moved")
    text = story.write([run], tmp_path / "a.html", [f"capture={tmp_path / 'none'}"]).read_text()
    assert "Say where it is: capture=FOLDER" in text
    assert "<img" not in text
    named = story.write([run], tmp_path / "b.html", [f"capture={moved}"]).read_text()
    assert named.count("<img") == pictures.STILLS
    scores = load(run / "scores.json")
    write_scores(run / "scores.json", scores["rows"], content_id="of another day")
    changed = story.write([run], tmp_path / "c.html").read_text()
    assert "is not the capture that was scored" in changed


def test_a_damaged_picture_or_curve_is_a_sentence(run):
    first = sorted((run / "frames").glob("*.png"))
    for path in first:
        path.write_bytes(b"no picture")
    text = story.write([run]).read_text()
    assert "is damaged" in text
    assert "<img" not in text
    files.write_text(run / "static" / "metrics.csv", "step,loss\nmany,0.1\n")
    with pytest.raises(RunError, match="metrics.csv is damaged"):
        story.write([run])


def test_several_runs_share_a_page_with_a_name_of_its_own(run, make_run, tmp_path):
    other = make_run("other", {"psnr_full": entry(20.0)}, overrides=["method.deform.torso=null"])
    with pytest.raises(ConfigError, match="Say which file"):
        story.write([run, other])
    text = story.write([run, other], tmp_path / "both.html").read_text()
    assert "gstalker deform.torso=null" in text
    assert text.count("Made by") == 2
    with pytest.raises(RunError, match="there is no run at"):
        story.write([tmp_path])
