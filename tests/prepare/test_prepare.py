from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gstalker import config, weights
from gstalker.data.capture import Capture
from gstalker.errors import BackendMissing, CaptureError, ConfigError, MediaError
from gstalker.experiment.movie import MovieWriter
from gstalker.prepare import PrepareConfig, prepare, source, video
from gstalker.prepare.audio import reading
from gstalker.prepare.recipe import Recipe
from gstalker.prepare.steps import WORK
from gstalker.prepare.tracking import landmarks

Movie = Callable[..., Path]
SMALL = PrepareConfig(max_side=256, workers=1)


pytestmark = pytest.mark.usefixtures("with_models")


@pytest.fixture(scope="module")
def may(shared: Path) -> Path:
    """Five seconds of a woman who speaks, 512 x 512."""
    return shared / "data" / "video" / "may_5s_512.mp4"


@pytest.fixture(scope="module")
def finished(models: Path, may: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(weights.FOLDER_VARIABLE, str(models))
        out = tmp_path_factory.mktemp("captures") / "may"
        prepare(may, out, SMALL)
    return out


def written(folder: Path) -> dict[str, int]:
    """When each file was written."""
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.is_file()}


def test_a_face_that_is_not_there_leaves_no_folder_behind(may: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="face=3 was asked for"):
        prepare(may, tmp_path / "capture", replace(SMALL, face=3))
    assert not (tmp_path / "capture").exists()


def test_a_wrong_openface_file_is_refused_before_any_work(may: Path, tmp_path: Path) -> None:
    short = tmp_path / "au.csv"
    short.write_text("frame, success, AU45_r\n1, 1, 0.1\n")
    out = tmp_path / "capture"
    out.mkdir()
    with pytest.raises(MediaError, match="has 1 rows, but the video has 125 frames"):
        prepare(may, out, replace(SMALL, eye=str(short)))
    assert not list(out.iterdir())


def test_the_command_that_moves_the_sound_leaves_foreign_features_out(may: Path) -> None:
    told = Recipe(may, Path("out"), replace(SMALL, audio_features="ds.npy")).mend_command
    whole = Path("out").absolute()
    assert told == f"gstalker prepare {may} {whole} max_side=256 --fix-sync"


def test_files_that_were_chosen_are_told_whole(
    may: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "au.csv").touch()
    monkeypatch.chdir(tmp_path)
    told = Recipe(may, Path("out"), replace(SMALL, eye="au.csv")).mend_command
    whole = Path.cwd()
    assert told == f"gstalker prepare {may} {whole}/out max_side=256 eye={whole}/au.csv --fix-sync"


def test_a_video_becomes_a_capture(finished: Path) -> None:
    capture = Capture.open(finished)
    assert (capture.frame_count, capture.height, capture.width) == (125, 256, 256)
    assert capture.segments == [(0, 125)]
    assert not capture.dropped.any()
    assert capture.name == "may"
    assert set(capture.meta["features"]) == {"mel"}
    assert len(capture.audio()) == 125 * 640


def test_the_tracked_mesh_projects_onto_the_landmarks(finished: Path) -> None:
    capture = Capture.open(finished)
    # With 0.4 px of misfit in the rigid points; lips and lids move by themselves.
    assert capture.meta["tracker"]["reprojection_px"] < 0.6
    pose, points = capture.poses[60].numpy(), capture.landmarks[60]
    placed = capture.mesh @ pose[:3, :3].T + pose[:3, 3]
    pixels = (placed / placed[:, 2:]) @ capture.Ks.numpy().T
    assert np.median(np.linalg.norm(pixels[:, :2] - points[:468], axis=1)) < 1.5


def test_masks_tell_face_torso_and_wall_apart(finished: Path) -> None:
    capture = Capture.open(finished)
    mask, points = capture.mask(60), capture.landmarks[60]
    nose = points[4].astype(int)
    assert mask[nose[1], nose[0]] == 2
    assert mask[3, 3] == 0
    assert mask[250, 128] == 1
    share = [float((mask == label).mean()) for label in range(4)]
    assert share[0] > 0.2
    assert share[2] > 0.2


def test_the_plate_shows_the_wall(finished: Path) -> None:
    capture = Capture.open(finished)
    free = capture.mask(60) == 0
    free[:, 60:] = False  # the left edge, where her hair never is
    apart = np.abs(capture.background.astype(int) - capture.frame(60))[free]
    assert np.median(apart) < 6


def test_blinks_and_speech_show_in_the_signals(finished: Path) -> None:
    capture = Capture.open(finished)
    assert capture.eye.min() < 0.5 * np.median(capture.eye)
    assert capture.mouth.std() > 0.02


def test_a_second_run_writes_nothing(finished: Path, may: Path) -> None:
    before = written(finished)
    prepare(may, finished, SMALL)
    assert written(finished) == before


def test_a_lost_file_is_made_again_and_nothing_else(
    finished: Path, may: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(finished)
    content = Capture.open(finished).content_id
    (finished / "masks.npy").unlink()
    with pytest.raises(CaptureError, match="masks"):
        Capture.open(finished)
    monkeypatch.chdir(may.parent)
    capture = prepare(Path(may.name), finished, SMALL)
    after = written(finished)
    assert {n for n in after if after[n] != before[n]} == {"masks.npy", "capture.json"}
    assert capture.meta["source"]["path"] == str(may)  # so that its commands are true anywhere
    assert capture.content_id == content


def test_what_a_killed_run_left_half_written_is_swept_away(finished: Path, may: Path) -> None:
    for name in (".frames-a1b2c3.npy", f"{WORK}/.thumbs-x.npy", ".audio-y.wav"):
        (finished / name).write_bytes(b"half")
    (finished / "mouth.npy").unlink()
    prepare(may, finished, SMALL)
    assert [p.name for p in finished.glob(".*-*")] == []
    assert [p.name for p in (finished / WORK).glob(".*-*")] == []


def test_a_damaged_frame_is_repaired_by_redoing_the_frames(finished: Path, may: Path) -> None:
    with (finished / "frames.npy").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\xff" * 1000)
    with pytest.raises(CaptureError, match="redo frames"):
        Capture.open(finished).frame(5)
    capture = prepare(may, finished, SMALL, redo=["frames"])
    assert capture.frame(5).shape == (256, 256, 3)


def test_a_folder_made_from_another_video_is_refused(finished: Path, movie: Movie) -> None:
    with pytest.raises(CaptureError, match="another video"):
        prepare(movie(75), finished, SMALL)


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path, may: Path) -> None:
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(CaptureError, match="holds other things"):
        prepare(may, tmp_path, SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_video_without_a_face_leaves_nothing_behind(movie: Movie, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="shows no face"):
        prepare(movie(75, size=(128, 96)), tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_a_short_video_is_refused_before_anything_is_written(movie: Movie, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"too short: 1\.0 s"):
        prepare(movie(25), tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_missing_models_are_named_before_anything_is_written(
    may: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendMissing, match="gstalker weights download face_landmarker"):
        prepare(may, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_imported_features_cannot_be_moved(may: Path, tmp_path: Path) -> None:
    wanted = replace(SMALL, fix_sync=True, audio_features="aud_ds.npy")
    with pytest.raises(ConfigError, match="would stay where they are"):
        prepare(may, tmp_path / "out", wanted)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_late_sound_is_told_mended_and_put_back(may: Path, tmp_path: Path) -> None:
    out = tmp_path / "may"
    filmed = prepare(may, out, SMALL)
    offset = filmed.meta["sync"]["offset_frames"]
    assert offset == pytest.approx(3.0, abs=0.7)
    assert filmed.meta["sync"]["applied_frames"] == 0
    assert any("--fix-sync" in caution["do"] for caution in filmed.meta["cautions"])
    before, features = filmed.audio(), filmed.features("mel")
    untouched = written(out)["frames.npy"]

    mended = prepare(may, out, replace(SMALL, fix_sync=True))
    assert mended.meta["sync"]["applied_frames"] == offset
    assert mended.meta["sync"]["offset_frames"] == offset
    assert not [c for c in mended.meta["cautions"] if "--fix-sync" in c["do"]]
    by = round(offset * 640)
    kept = slice(2000, len(before) - by - 2000)
    assert np.abs(mended.audio()[kept] - before[by:][kept]).max() < 0.02  # resampled elsewhere
    assert not np.array_equal(mended.features("mel"), features)
    assert written(out)["frames.npy"] == untouched

    restored = prepare(may, out, SMALL)
    assert np.array_equal(restored.audio(), before)
    assert np.array_equal(restored.features("mel"), features)
    assert restored.content_id == filmed.content_id


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_where_it_was(may: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import sys; from gstalker.prepare import prepare, PrepareConfig\n"
        "if __name__ == '__main__': prepare(sys.argv[1], sys.argv[2], PrepareConfig(max_side=256))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(may), str(out)])
    book = out / WORK / "steps.json"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if book.exists() and "landmarks" in json.loads(book.read_text())["steps"]:
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(CaptureError, match="not a finished capture"):
        Capture.open(out)
    before = written(out)
    prepare(may, out, SMALL)
    after = written(out)
    assert after["frames.npy"] == before["frames.npy"]
    assert after["landmarks.npy"] == before["landmarks.npy"]


@pytest.mark.slow
def test_a_small_face_at_the_side_of_a_4k_picture_is_cut_out_and_kept(
    may: Path, shared: Path, tmp_path: Path
) -> None:
    import cv2

    small, (left, top), count = 400, (2900, 1500), 55
    whole = source.probe(may)
    filmed = list(video.pictures(whole, video.whole_view(whole, 512), range(count)))
    canvas = np.full((2160, 3840, 3), 90, np.uint8)
    film = tmp_path / "wide.mp4"
    with MovieWriter(film, 3840, 2160, reading.read_from(may, 0.0, count * 640)) as movie:
        for picture in filmed:
            canvas = canvas.copy()
            part = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
            canvas[top : top + small, left : left + small] = part
            movie.write(canvas)
    capture = prepare(film, tmp_path / "out", replace(SMALL, refine="none"))
    assert capture.frame_count == count
    assert not capture.dropped.any()
    view = capture.meta["view"]
    assert view["crop_width"] < 800
    assert (capture.width, capture.height) == (256, 256)
    # The points lie where they are in the clip that was put there, in the same frames.
    model = shared / "data" / "weights" / "face_landmarker.task"
    for index in (0, count // 2, count - 1):
        (known,) = next(landmarks.look_for_all([filmed[index]], model))
        found = capture.landmarks[index] * view["crop_width"] / view["width"]
        misses = found + [view["x"], view["y"]] - (known * small / 512 + [left, top])
        assert np.linalg.norm(misses, axis=1).mean() < 3  # of 400 pixels; the eyes are 120 apart


def test_the_capture_says_who_told_the_eyes_and_what_blinks_it_found(finished: Path) -> None:
    note = Capture.open(finished).meta["eye"]
    assert note["provider"] == "landmarks"
    assert note["blinks"] == 2  # at 0.3 and 4.0 s, as seen in the film
    assert note["blink_depth"] > 0.5


def test_another_provider_of_the_eyes_redoes_nothing_else(finished: Path, may: Path) -> None:
    before = written(finished)
    lids = Capture.open(finished).eye
    capture = prepare(may, finished, PrepareConfig(max_side=256, workers=1, eye="blendshapes"))
    after = written(finished)
    assert {n for n in after if after[n] != before[n]} == {"eye.npy", "capture.json"}
    assert capture.meta["eye"]["provider"] == "blendshapes"
    assert capture.meta["eye"]["blinks"] == 2
    assert np.corrcoef(lids, capture.eye)[0, 1] > 0.95


def test_the_capture_tells_hair_neck_and_teeth_and_who_told_them(finished: Path) -> None:
    capture = Capture.open(finished)
    assert capture.meta["parser"]["name"] == "colour"
    assert {"hair", "neck", "teeth"} <= set(capture.tells)
    parts = capture.parts(60)
    assert (parts[10:40, 100:150] == 4).mean() > 0.95  # on top of her head
    nose = capture.landmarks[60][4].astype(int)
    assert parts[nose[1], nose[0]] == 2
    assert (parts == 6).mean() > 0.02
    assert not (parts == 6)[:150].any()


def test_a_face_model_or_parser_that_is_none_is_told_before_anything_is_written(
    may: Path, tmp_path: Path
) -> None:
    for wrong, said in (
        ({"face_model": "bfm"}, "choose none, auto or ict_facekit"),
        ({"face_model": "lost.npz"}, "there is no such file"),
        ({"parser": "bisenet"}, "'bisenet' is not known"),
    ):
        with pytest.raises(ConfigError, match=said):
            prepare(may, tmp_path / "out", replace(SMALL, **wrong))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_face_model_is_fitted_and_left_out_again(
    may: Path, shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, plain = tmp_path / "may", replace(SMALL, refine="none")
    without = prepare(may, out, plain)
    assert without.expressions is None
    file = shared / "data" / "model3d" / "ict_facekit_face9409_fp16.npz"
    fitted = prepare(may, out, replace(plain, face_model=str(file)))
    tracker = fitted.meta["tracker"]
    assert tracker["face_model"] == file.name
    assert tracker["reprojection_px_all"] < 0.7 * without.meta["tracker"]["reprojection_px_all"]
    told = fitted.expressions
    assert told is not None
    lids = told[:, tracker["expressions"].index("eyeBlink_L")]
    assert np.corrcoef(lids, fitted.eye)[0, 1] < -0.9
    with caplog.at_level("INFO"):
        again = prepare(may, out, replace(plain, face_model="auto"))
    assert "face model ict_facekit: not here" in caplog.text
    assert again.expressions is None
    assert np.array_equal(again.mesh, without.mesh)
    assert np.array_equal(again.poses, without.poses)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("focal_px=0", "focal_px is 0.0; give more than 0, or null"),
        ("max_side=-3", "max_side is -3; give 32 to 8,192"),
        ("smooth_frames=-1", "smooth_frames is -1.0; give 0 or more"),
        ("max_gap_frames=-1", "max_gap_frames is -1; give 0 to 1,000,000,000"),
        ("min_face_share=2", "min_face_share is 2.0; give 0 to 1"),
    ],
)
def test_a_number_that_nothing_could_be_made_of_is_refused(word: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        config.from_overrides(PrepareConfig, [word])
