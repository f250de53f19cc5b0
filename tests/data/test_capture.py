"""The capture folder: written whole, read lazily, refused in a sentence."""

import json
import shutil

import numpy as np
import pytest

from gstalker.data.capture import Capture
from gstalker.data.writer import CaptureWriter
from gstalker.errors import CaptureError

F, H, W = 22, 6, 8


@pytest.fixture
def folder(tmp_path):
    """A tiny capture of noise with three takes and one dropped stretch."""
    rng = np.random.default_rng(0)
    writer = CaptureWriter(tmp_path / "noise")
    pictures = rng.integers(0, 255, (F, H, W, 3), dtype=np.uint8)
    writer.frames(iter(pictures), F, H, W)
    writer.rows("masks", iter(pictures[..., 0] % 4), (F, H, W))
    writer.array("background", pictures[0])
    writer.array("poses", np.tile(np.eye(4, dtype=np.float32), (F, 1, 1)))
    writer.array("landmarks", rng.random((F, 68, 2), dtype=np.float32))
    writer.array("mesh", rng.random((9, 3), dtype=np.float32))
    writer.array("eye", np.ones(F, np.float32))
    writer.array("mouth", np.ones(F, np.float32))
    writer.array("features/mel", rng.random((F * 4, 5), dtype=np.float32))
    writer.audio(rng.uniform(-0.5, 0.5, F * 640))
    writer.finish(
        {
            "name": "noise",
            "frame_count": F,
            "width": W,
            "height": H,
            "focal_px": 10.0,
            "cx_px": 4.0,
            "cy_px": 3.0,
            "segments": [[0, 10], [10, 20], [20, 22]],
            "dropped": [{"start": 3, "stop": 5, "reason": "no face"}],
            "features": {"mel": {"dim": 5, "rows_per_frame": 4, "chunk_s": 3.0}},
            "landmarks": "synthetic68",
            "tracker": {"name": "exact"},
            "source": {},
        }
    )
    return tmp_path / "noise"


def test_frames_come_back_as_they_were_written(folder):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (F, H, W, 3), dtype=np.uint8)
    capture = Capture.open(folder)
    for k in (0, 7, F - 1):
        np.testing.assert_array_equal(capture.frame(k), pictures[k])
        np.testing.assert_array_equal(capture.mask(k), pictures[k, ..., 0] % 4)


def test_the_split_is_ten_elevenths_moved_to_a_close_cut_without_dropped_frames(folder):
    train, test = Capture.open(folder).split()
    # 22 * 10/11 = 20, which is a cut
    assert train.tolist() == [i for i in range(20) if i not in (3, 4)]
    assert test.tolist() == [20, 21]


def test_sound_comes_back_within_half_a_step_of_pcm16(folder):
    rng = np.random.default_rng(0)
    rng.integers(0, 255, (F, H, W, 3), dtype=np.uint8)
    sound = Capture.open(folder).audio()
    assert sound.shape == (F * 640,)
    assert np.abs(sound).max() <= 0.5 + 1e-4
    assert sound.std() == pytest.approx(0.5 / np.sqrt(3), rel=0.05)


def test_the_content_id_changes_with_one_pixel(folder, tmp_path):
    before = Capture.open(folder).content_id
    capture = Capture.open(folder)
    pictures = [capture.frame(k).copy() for k in range(F)]
    meta = {k: v for k, v in capture.meta.items() if k not in ("version", "fps", "content_id")}
    pictures[5][0, 0, 0] ^= 1
    writer = CaptureWriter(folder)
    writer.frames(iter(pictures), F, H, W)
    assert writer.finish(meta).content_id != before


def test_the_content_id_does_not_tell_where_the_film_lies(folder):
    capture = Capture.open(folder)
    meta = {k: v for k, v in capture.meta.items() if k not in ("version", "fps", "content_id")}
    ids = []
    for source in (
        {"file": "a.mp4", "path": "/films/a.mp4", "choices": {"eye": "/films/au.csv"}},
        {"file": "a.mp4", "path": "/mnt/a.mp4", "choices": {"eye": "/mnt/au.csv"}},
        {"file": "b.mp4", "path": "/mnt/a.mp4", "choices": {"eye": "/mnt/au.csv"}},
    ):
        writer = CaptureWriter(folder)
        ids.append(writer.finish({**meta, "source": source}).content_id)
        assert Capture.open(folder).meta["source"] == source
    assert ids[0] == ids[1] != ids[2]


def test_a_folder_without_capture_json_is_unfinished(folder):
    (folder / "capture.json").unlink()
    with pytest.raises(CaptureError, match="not a finished capture.*\n  Run: gstalker prepare"):
        Capture.open(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CaptureError, match="there is no capture at .*nowhere"):
        Capture.open(tmp_path / "nowhere")


def test_a_missing_file_is_named(folder):
    (folder / "poses.npy").unlink()
    with pytest.raises(CaptureError, match=r"poses\.npy is missing"):
        Capture.open(folder)


def test_a_truncated_video_is_noticed_before_it_is_read(folder):
    path = folder / "frames.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CaptureError, match=r"frames\.npy is damaged \(shorter or longer"):
        Capture.open(folder)


def test_a_damaged_frame_is_noticed_when_it_is_read(folder):
    data = bytearray((folder / "frames.npy").read_bytes())
    data[-1] ^= 255
    (folder / "frames.npy").write_bytes(bytes(data))
    capture = Capture.open(folder)
    capture.frame(0)
    with pytest.raises(CaptureError, match=f"frame {F - 1} of frames.npy does not match"):
        capture.frame(F - 1)


def test_poses_fewer_than_frames_are_refused_with_both_numbers(folder):
    np.save(folder / "poses.npy", np.zeros((F - 1, 4, 4), np.float32))
    with pytest.raises(
        CaptureError, match=f"float32 {F - 1}x4x4 where float32 {F}x4x4 was expected"
    ):
        Capture.open(folder)


def test_poses_that_are_not_numbers_are_refused_unless_dropped(folder):
    poses = np.load(folder / "poses.npy")
    poses[3] = np.nan
    np.save(folder / "poses.npy", poses)
    Capture.open(folder)
    poses[6] = np.nan
    np.save(folder / "poses.npy", poses)
    with pytest.raises(CaptureError, match="not numbers"):
        Capture.open(folder)


def test_a_pickle_in_place_of_an_array_is_not_loaded(folder):
    np.save(folder / "eye.npy", np.array([{"run": "me"}] * F, object), allow_pickle=True)
    with pytest.raises(CaptureError, match=r"eye\.npy"):
        Capture.open(folder)


def test_other_sound_features_are_named_with_the_ones_there_are(folder):
    with pytest.raises(CaptureError, match="no 'hubert' sound features, only: mel"):
        Capture.open(folder).features("hubert")


def test_segments_that_leave_frames_out_are_refused(folder):
    meta = json.loads((folder / "capture.json").read_text())
    meta["segments"] = [[0, 10], [11, F]]
    (folder / "capture.json").write_text(json.dumps(meta))
    with pytest.raises(CaptureError, match="do not cover"):
        Capture.open(folder)


def test_rewriting_a_capture_unfinishes_it_first(folder):
    CaptureWriter(folder)
    with pytest.raises(CaptureError, match="not a finished capture"):
        Capture.open(folder)


def test_a_copy_elsewhere_is_the_same_capture(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert Capture.open(tmp_path / "elsewhere").content_id == Capture.open(folder).content_id


def test_finer_labels_are_part_of_the_coarse_ones(folder):
    """Hair is of the head, teeth of the mouth, the neck of the torso."""
    masks = np.load(folder / "masks.npy")
    masks[3, 0, :7] = range(7)
    np.save(folder / "masks.npy", masks)
    capture = Capture.open(folder)
    assert capture.parts(3)[0, :7].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert capture.mask(3)[0, :7].tolist() == [0, 1, 2, 3, 2, 3, 1]
    assert capture.tells == ("background", "torso", "head", "mouth")  # as captures of old


def test_a_label_that_nobody_knows_is_a_sentence(folder):
    masks = np.load(folder / "masks.npy")
    masks[3, 0, 0] = 9
    np.save(folder / "masks.npy", masks)
    with pytest.raises(CaptureError, match="label 9 in frame 3"):
        Capture.open(folder).mask(3)


def test_expressions_are_there_or_not_and_must_fit_their_names(folder):
    assert Capture.open(folder).expressions is None
    told = np.random.default_rng(0).random((F, 2), dtype=np.float32)
    np.save(folder / "expressions.npy", told)
    with pytest.raises(
        CaptureError, match=r"expressions\.npy holds float32 22x2 where float32 22x0"
    ):
        Capture.open(folder)
    meta = json.loads((folder / "capture.json").read_text())
    meta["tracker"] = {"expressions": ["jawOpen", "eyeBlink_L"]}
    (folder / "capture.json").write_text(json.dumps(meta))
    np.testing.assert_array_equal(Capture.open(folder).expressions, told)
