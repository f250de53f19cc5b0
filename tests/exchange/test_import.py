"""Folders in every dialect become captures; one file amiss is a sentence that names it."""

import itertools
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gstalker import config as configuration
from gstalker.data.capture import Capture
from gstalker.data.writer import write_wav
from gstalker.errors import BackendMissing, CaptureError, ConfigError
from gstalker.exchange import ImportConfig, colours, export_capture, import_folder
from gstalker.exchange.tree import scan
from gstalker.experiment.train import train
from gstalker.prepare import audio, sync

from .conftest import DROPPED, FRAMES, deepspeech


def imported(folder, tmp_path, **choices):
    return import_folder(folder, tmp_path / "out", ImportConfig(**choices))


def edit_json(folder, change, parts=("train", "val")):
    for part in parts:
        path = folder / f"transforms_{part}.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))


def swap(folder, a, b):
    kept = (folder / a).read_bytes()
    (folder / a).write_bytes((folder / b).read_bytes())
    (folder / b).write_bytes(kept)


# ---------------------------------------------------------------------- what comes in


@pytest.mark.parametrize("layout", ["er-nerf", "talkinggaussian", "gaussiantalker"])
def test_a_folder_gives_back_what_was_exported(family, speaker, layout, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    capture = imported(family / layout, tmp_path)
    assert torch.equal(capture.poses, speaker.poses)
    np.testing.assert_allclose(capture.landmarks, speaker.landmarks, atol=1e-6)
    np.testing.assert_allclose(capture.mesh, speaker.mesh, atol=1e-5)
    np.testing.assert_array_equal(capture.audio(), speaker.audio())
    assert capture.meta["focal_px"] == speaker.meta["focal_px"]
    assert capture.test_start == speaker.test_start == 90
    assert not capture.dropped.any()
    for i in (0, 31, 99):
        away = np.abs(capture.frame(i).astype(int) - speaker.frame(i))
        assert away.mean() < 1.5  # jpg
        same = capture.mask(i) == speaker.mask(i)
        if layout == "talkinggaussian":
            assert same.all()  # six colours say all four labels
        else:
            assert same.mean() > 0.985  # the mouth's inside is redrawn from the lips
    assert np.corrcoef(capture.eye, speaker.eye)[0, 1] > 0.95
    np.testing.assert_allclose(capture.mouth, speaker.mouth, atol=1e-5)
    said = capture.meta["source"]["imported"]
    assert said["parsing"].startswith("6-colour" if layout == "talkinggaussian" else "4-colour")
    assert "the same" in said["img_id"]
    assert said["parsing"] in caplog.text
    assert said["absent"] == "nothing"


def test_sound_features_keep_their_names_and_rows(family, tmp_path, monkeypatch):
    monkeypatch.chdir(family)
    capture = imported(Path("er-nerf"), tmp_path)
    assert capture.meta["source"]["path"] == str(family / "er-nerf")  # for commands typed anywhere
    assert sorted(capture.meta["features"]) == ["deepspeech", "hubert", "mel"]
    assert capture.rows_per_frame("deepspeech") == capture.rows_per_frame("hubert") == 2
    rows = capture.features("deepspeech")
    np.testing.assert_array_equal(rows[2 * 40 : 2 * 41], deepspeech(FRAMES)[40, 8:10])
    hubert = capture.features("hubert")
    assert hubert.shape == (200, 1024)
    np.testing.assert_array_equal(hubert[-1], hubert[-3])  # the 99 entries' last row goes on


def test_ad_nerf_counts_pictures_and_frames_without_a_face_are_dropped(family, gappy, tmp_path):
    capture = imported(family / "ad-nerf", tmp_path)
    assert np.flatnonzero(capture.dropped).tolist() == list(DROPPED)
    used = ~capture.dropped
    assert torch.equal(capture.poses[used], gappy.poses[used])
    assert np.isnan(capture.landmarks[21]).all()
    said = capture.meta["source"]["imported"]
    assert said["layout"] == "AD-NeRF"
    assert said["absent"] == "gt_imgs, torso_imgs"
    assert said["img_id"].startswith("number of the picture")


def test_a_running_index_is_told_from_picture_numbers(copied, gappy, tmp_path):
    """RAD-NeRF and its heirs: the ids skip nothing although pictures without a face do."""
    folder = copied("ad-nerf")
    (folder / "com_imgs").rename(folder / "gt_imgs")
    rank = {int(i): k for k, i in enumerate(np.flatnonzero(~gappy.dropped))}

    def renumber(content):
        for frame in content["frames"]:
            frame["img_id"] = frame["aud_id"] = rank[frame["img_id"]]

    edit_json(folder, renumber)
    capture = imported(folder, tmp_path)
    assert capture.meta["source"]["imported"]["img_id"].startswith("running index")
    used = ~capture.dropped
    assert np.flatnonzero(~used).tolist() == list(DROPPED)
    assert torch.equal(capture.poses[used], gappy.poses[used])
    with pytest.raises(CaptureError, match="img_id 20 has a pose, but no ori_imgs/20.lms"):
        imported(folder, tmp_path / "again", image_ids="frame")


def test_the_folders_own_split_is_kept(copied, tmp_path):
    folder = copied("er-nerf")
    whole = {
        part: json.loads((folder / f"transforms_{part}.json").read_text())
        for part in ("train", "val")
    }
    frames = whole["train"]["frames"] + whole["val"]["frames"]
    for part, chosen in (("train", frames[:70]), ("val", frames[70:])):
        text = json.dumps({**whole[part], "frames": chosen})
        (folder / f"transforms_{part}.json").write_text(text)
    assert imported(folder, tmp_path).test_start == 70


def test_without_vertices_a_template_is_fitted_and_said(copied, speaker, tmp_path):
    folder = copied("er-nerf")
    track = torch.load(folder / "track_params.pt", weights_only=True)
    del track["vertices"]
    torch.save(track, folder / "track_params.pt")
    capture = imported(folder, tmp_path)
    said = capture.meta["source"]["imported"]["mesh"]
    assert "synthetic speaker's face" in said
    assert "no measurement" in said
    # the template is this very speaker: the fit must find it where it is
    away = np.linalg.norm(capture.mesh - speaker.mesh, axis=1)
    assert np.median(away) < 0.35


def test_an_imported_capture_trains(family, tmp_path):
    capture = imported(family / "er-nerf", tmp_path)
    file = tmp_path / "gstalker.yaml"
    file.write_text("method:\n  name: gstalker\n")
    overrides = [
        *(f"method.{stage}.steps=20" for stage in ("static", "deform")),
        "method.static.start.max_gaussians=600",
        "method.deform.audio.features=deepspeech",
    ]
    chosen = configuration.compose(
        file, [f"capture={capture.folder}", f"runs={tmp_path / 'runs'}", *overrides]
    )
    run = train(chosen)
    model = torch.load(run.path / "deform" / "model.pt", weights_only=True)
    assert model["features"] == "deepspeech"
    assert all(v.isfinite().all() for v in model["state"].values() if v.is_floating_point())


def test_import_may_be_typed_again(family, tmp_path):
    first = imported(family / "er-nerf", tmp_path)
    assert imported(family / "er-nerf", tmp_path).content_id == first.content_id
    with pytest.raises(CaptureError, match="holds something else"):
        imported(family / "ad-nerf", tmp_path)


# ---------------------------------------------------------------------- what is amiss


def no(name):
    return lambda folder: (folder / name).unlink()


def copy(source, target):
    return lambda folder: (folder / target).write_bytes((folder / source).read_bytes())


def other_content(name, source):
    """The second name of a picture gets one of its own."""

    def change(folder):
        (folder / name).unlink()
        (folder / name).write_bytes((folder / source).read_bytes())

    return change


def transparent(name):
    def change(folder):
        Image.fromarray(np.zeros((64, 64, 4), np.uint8)).save(folder / name)

    return change


def opaque(name):
    def change(folder):
        with Image.open(folder / name) as picture:
            picture.convert("RGB").save(folder / name)

    return change


def rename(source, target):
    return lambda folder: (folder / source).rename(folder / target)


def repaint(name, old, new):
    def change(folder):
        picture = np.array(Image.open(folder / name))
        picture[(picture == old).all(-1)] = new
        Image.fromarray(picture).save(folder / name)

    return change


def resize(name):
    def change(folder):
        Image.open(folder / name).resize((62, 64)).save(folder / name)

    return change


def renumber(old, new):
    def change(content):
        for frame in content["frames"]:
            if frame["img_id"] == old:
                frame["img_id"] = new

    return lambda folder: edit_json(folder, change)


def in_decimetres(content):
    for frame in content["frames"]:
        for row in frame["transform_matrix"][:3]:
            row[3] *= 10


def shorter(name, rows):
    def change(folder):
        np.save(folder / name, np.load(folder / name)[:-rows])

    return change


def without_line(number):
    def change(folder):
        lines = (folder / "au.csv").read_text().splitlines(keepends=True)
        del lines[number]
        (folder / "au.csv").write_text("".join(lines))

    return change


def lms_of_67(folder):
    path = folder / "ori_imgs/12.lms"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def other_focal(folder):
    track = torch.load(folder / "track_params.pt", weights_only=True)
    track["focal"] += 100
    torch.save(track, folder / "track_params.pt")


def turned_pose(folder):
    track = torch.load(folder / "track_params.pt", weights_only=True)
    track["euler"][33] += 0.01
    torch.save(track, folder / "track_params.pt")


def exchanged_poses(folder):
    (folder / "track_params.pt").unlink()
    edit_json(folder, lambda c: _exchange(c["frames"], 10, 60), parts=("train",))


def _exchange(frames, a, b):
    frames[a]["transform_matrix"], frames[b]["transform_matrix"] = (
        frames[b]["transform_matrix"],
        frames[a]["transform_matrix"],
    )


def mirrored_pose(content):
    content["frames"][0]["transform_matrix"][0] = [
        -v for v in content["frames"][0]["transform_matrix"][0]
    ]


def file_that_runs_code(folder):
    class Command:
        def __reduce__(self):
            return os.mkdir, (str(folder / "was_run"),)

    torch.save({"euler": Command()}, folder / "track_params.pt")


def track_not_finite(folder):
    content = torch.load(folder / "track_params.pt")
    content["trans"][33, 0] = float("nan")
    torch.save(content, folder / "track_params.pt")


BLUE, BLACK, WHITE = (0, 0, 255), (0, 0, 0), (255, 255, 255)
AMISS = {
    "a picture missing": (no("ori_imgs/30.jpg"), r"ori_imgs/30\.jpg is missing"),
    "a picture that does not follow": (
        copy("ori_imgs/99.jpg", "ori_imgs/777.jpg"),
        r"ori_imgs/777\.jpg does not follow 99\.jpg: it is extra or misnumbered",
    ),
    "landmarks missing": (no("ori_imgs/30.lms"), r"img_id 30 has a pose, but no ori_imgs/30\.lms"),
    "a map missing": (no("parsing/30.png"), r"parsing/30\.png is missing"),
    "a composed picture missing": (no("gt_imgs/30.jpg"), r"gt_imgs/30\.jpg is missing"),
    "a torso missing": (no("torso_imgs/30.png"), r"torso_imgs/30\.png is missing"),
    "a soft face missing": (no("parsing/30_face.png"), r"parsing/30_face\.png is missing"),
    "a soft face more": (
        copy("parsing/99_face.png", "parsing/100_face.png"),
        r"parsing/100_face\.png .* it is extra",
    ),
    "a soft face of another size": (
        resize("parsing/50_face.png"),
        r"parsing/50_face\.png is 62x64",
    ),
    "a soft face with a padded number": (
        rename("parsing/7_face.png", "parsing/007_face.png"),
        r"parsing/007_face\.png is misnumbered",
    ),
    "bc missing": (no("bc.jpg"), r"lacks bc\.jpg"),
    "sound missing": (no("aud.wav"), r"lacks aud\.wav"),
    "val missing": (no("transforms_val.json"), r"transforms_val\.json is missing"),
    "a picture more": (
        copy("ori_imgs/99.jpg", "ori_imgs/100.jpg"),
        r"ori_imgs/100\.jpg has neither ori_imgs/100\.lms nor parsing/100\.png",
    ),
    "landmarks more": (
        copy("ori_imgs/99.lms", "ori_imgs/100.lms"),
        r"ori_imgs/100\.lms has no ori_imgs/100\.jpg",
    ),
    "a map more": (copy("parsing/99.png", "parsing/100.png"), r"parsing/100\.png .* it is extra"),
    "a composed picture more": (
        copy("gt_imgs/99.jpg", "gt_imgs/100.jpg"),
        r"gt_imgs/100\.jpg .* it is extra",
    ),
    "a picture's ending in capitals": (
        rename("ori_imgs/7.jpg", "ori_imgs/7.JPG"),
        r"ori_imgs/7\.JPG has its ending in capitals[\s\S]* Rename it to 7\.jpg",
    ),
    "the landmarks' ending in capitals": (
        rename("ori_imgs/7.lms", "ori_imgs/7.LMS"),
        r"ori_imgs/7\.LMS has its ending in capitals[\s\S]* Rename it to 7\.lms",
    ),
    "the sound of another frame": (
        lambda f: edit_json(f, lambda c: c["frames"][33].update(aud_id=34), parts=("train",)),
        r"img_id 33 of the transforms files has aud_id 34",
    ),
    "a tracking that is not finite": (
        track_not_finite,
        r"track_params\.pt: euler or trans of entry 33 is not finite",
    ),
    "a tracking that would run code": (
        file_that_runs_code,
        r"track_params\.pt .* could run code, so it is not loaded\.\n.* poses=transforms$",
    ),
    "a padded number": (rename("ori_imgs/7.jpg", "ori_imgs/007.jpg"), r"007\.jpg is misnumbered"),
    "an id twice": (renumber(30, 31), r"img_id 31 occurs twice"),
    "an id beyond": (renumber(99, 100), r"img_id 100 has a pose, but no ori_imgs/100\.lms"),
    "landmarks exchanged": (
        lambda f: swap(f, "ori_imgs/10.lms", "ori_imgs/60.lms"),
        r"ori_imgs/\d+\.lms fits the pose of frame \d+ and not its own",
    ),
    "maps exchanged": (
        lambda f: swap(f, "parsing/10.png", "parsing/60.png"),
        r"parsing/10\.png fits (gt|com)_imgs/60\.jpg and not its own picture",
    ),
    "neighbouring maps exchanged": (
        lambda f: swap(f, "parsing/49.png", "parsing/50.png"),
        r"parsing/49\.png fits (gt|com)_imgs/50\.jpg better than its own picture",
    ),
    "poses exchanged": (exchanged_poses, r"\.lms fits the pose of frame \d+ and not its own"),
    "pictures exchanged": (
        lambda f: swap(f, "ori_imgs/10.jpg", "ori_imgs/60.jpg"),
        r"gt_imgs/10\.jpg does not show the person of ori_imgs/10\.jpg",
    ),
    "neighbours exchanged": (
        lambda f: swap(f, "gt_imgs/40.jpg", "gt_imgs/41.jpg"),
        r"gt_imgs/40\.jpg does not show .*\n?.*misnumbered",
    ),
    "neighbouring landmarks exchanged": (
        lambda f: swap(f, "ori_imgs/40.lms", "ori_imgs/41.lms"),
        r"ori_imgs/40\.lms fits (ori|gt)_imgs/41\.jpg better than its own picture",
    ),
    "landmarks of another frame": (
        copy("ori_imgs/10.lms", "ori_imgs/60.lms"),
        r"ori_imgs/10\.lms and ori_imgs/60\.lms are the same, but their pictures differ",
    ),
    "torsos exchanged": (
        lambda f: swap(f, "torso_imgs/40.png", "torso_imgs/41.png"),
        r"torso_imgs/40\.png does not show the torso of ori_imgs/40\.jpg: .* grey levels there; "
        r"it is nearest to ori_imgs/41\.jpg",
    ),
    "a torso of another frame": (
        copy("torso_imgs/10.png", "torso_imgs/60.png"),
        r"torso_imgs/60\.png does not .* nearest to ori_imgs/10\.jpg",
    ),
    "a hole in a torso": (
        transparent("torso_imgs/60.png"),
        r"torso_imgs/60\.png does not show the torso of ori_imgs/60\.jpg: they differ by [\d.]+ "
        r"grey levels there",
    ),
    "a torso without transparency": (
        opaque("torso_imgs/60.png"),
        r"torso_imgs/60\.png has no transparency, .*\n.*alpha channel",
    ),
    "a second composed picture of another frame": (
        other_content("com_imgs/60.jpg", "com_imgs/10.jpg"),
        r"com_imgs/60\.jpg does not show the person .* nearest to ori_imgs/10\.jpg",
    ),
    "a picture of another size": (resize("ori_imgs/50.jpg"), r"ori_imgs/50\.jpg is 62x64"),
    "a map of another size": (resize("parsing/50.png"), r"parsing/50\.png is 62x64"),
    "another camera": (
        lambda f: edit_json(f, lambda c: c.update(cx=33.0)),
        r"of pictures of 66x64 \(2 cx and 2 cy\), the pictures are 64x64",
    ),
    "two cameras": (
        lambda f: edit_json(f, lambda c: c.update(focal_len=99.0), parts=("val",)),
        r"are of two cameras",
    ),
    "decimetres": (
        lambda f: (edit_json(f, in_decimetres), (f / "track_params.pt").unlink()),
        r"outer eye corners are .* cm apart",
    ),
    "no rotation": (
        lambda f: edit_json(f, mirrored_pose, parts=("val",)),
        r"transforms_val\.json: transform_matrix of img_id 90 is no rotation",
    ),
    "another tracking": (other_focal, r"track_params\.pt has a focal length of 260 px.*160 px"),
    "a pose of its own": (turned_pose, r"disagree about the pose of img_id 33"),
    "67 points": (lms_of_67, r"ori_imgs/12\.lms holds 67x2 numbers where 68 lines"),
    "too few features": (shorter("aud_ds.npy", 5), r"aud_ds\.npy has 95 entries for 100 frames"),
    "features that differ": (
        lambda f: np.save(f / "aud.npy", deepspeech(FRAMES, seed=3)),
        r"aud\.npy and aud_ds\.npy both hold deepspeech features, but not the same",
    ),
    "an action unit lost": (without_line(31), r"au\.csv: row 30 .*says frame 32 where 31"),
    "the last action unit lost": (without_line(-1), r"au\.csv has 99 rows for 100 frames"),
    "a colour of no dialect": (
        repaint("parsing/9.png", BLUE, (0, 0, 250)),
        r"parsing/9\.png holds the colour \(0, 0, 250\)",
    ),
    "two dialects": (
        lambda f: [repaint(f"parsing/{i}.png", BLUE, BLACK)(f) for i in range(40)],
        r"speaks two dialects: parsing/0\.png has .* parsing/40\.png[\s\S]*parsing=6-colour",
    ),
    "a short sound": (
        lambda f: write_wav(f / "aud.wav", np.full(32000, 0.1)),
        r"aud\.wav lasts 2\.00 s, 100 pictures .* last 4\.00 s",
    ),
    "a background not replaced": (
        repaint("parsing/9.png", BLUE, WHITE),
        r"gt_imgs/9\.jpg differs from bc\.jpg by",
    ),
}


@pytest.mark.parametrize("what", AMISS)
def test_one_thing_amiss_is_a_sentence_that_names_it(copied, tmp_path, what):
    damage, sentence = AMISS[what]
    folder = copied("er-nerf")
    damage(folder)
    with pytest.raises(CaptureError, match=sentence):
        imported(folder, tmp_path)
    assert not (tmp_path / "out" / "capture.json").exists()


@pytest.mark.parametrize("layout", ["talkinggaussian", "gaussiantalker", "ad-nerf"])
@pytest.mark.parametrize(
    "what",
    [
        *("a picture missing", "a map missing", "landmarks exchanged", "maps exchanged"),
        *("neighbouring landmarks exchanged", "neighbouring maps exchanged"),
    ],
)
def test_it_is_named_in_every_layout(copied, tmp_path, layout, what):
    damage, sentence = AMISS[what]
    folder = copied(layout)
    damage(folder)
    with pytest.raises(CaptureError, match=sentence):
        imported(folder, tmp_path)


@pytest.mark.parametrize("layout", ["talkinggaussian", "gaussiantalker"])
@pytest.mark.parametrize("what", ["torsos exchanged", "a torso of another frame"])
def test_a_torso_is_held_to_its_frame(copied, tmp_path, layout, what):
    damage, sentence = AMISS[what]
    folder = copied(layout)
    damage(folder)
    with pytest.raises(CaptureError, match=sentence):
        imported(folder, tmp_path)


@pytest.mark.parametrize(("a", "b"), [(40, 41), (10, 60)])
def test_a_head_is_held_to_its_frame(copied, tmp_path, a, b):
    folder = copied("ad-nerf")
    swap(folder, f"head_imgs/{a}.jpg", f"head_imgs/{b}.jpg")
    sentence = r"head_imgs/\d+\.jpg does not show the head of ori_imgs/\d+\.jpg"
    with pytest.raises(CaptureError, match=sentence):
        imported(folder, tmp_path)


def test_teeth_are_held_to_the_lips(copied, tmp_path):
    """Teeth between the lips pass, the same on the forehead or under a shut mouth do not."""
    folder = copied("talkinggaussian")
    mouth = np.loadtxt(folder / "ori_imgs/40.lms")[60:68].mean(0).round().astype(int)

    def teeth(dy):
        mask = np.zeros((64, 64), bool)
        mask[mouth[1] + dy : mouth[1] + dy + 2, mouth[0] - 2 : mouth[0] + 2] = True
        np.save(folder / "teeth_mask/40.npy", mask)

    teeth(-1)
    imported(folder, tmp_path / "right")
    for dy in (-15, 8):
        teeth(dy)
        with pytest.raises(CaptureError, match=r"half of the teeth of teeth_mask/40\.npy lie"):
            imported(folder, tmp_path)


def test_teeth_of_two_frames_exchanged_are_named(copied, tmp_path):
    """They lie beside each other's lips, too near for any of them alone to look wrong."""
    folder = copied("talkinggaussian")
    lips = [np.loadtxt(folder / f"ori_imgs/{i}.lms")[60:68] for i in range(100)]
    mouths = [(points.mean(0) - 0.5).astype(int) for points in lips]
    for i, (x, y) in enumerate(mouths):
        mask = np.zeros((64, 64), bool)
        mask[y, x - 2 : x + 3] = True
        np.save(folder / f"teeth_mask/{i}.npy", mask)
    imported(folder, tmp_path / "right")
    shut = [i for i in range(100) if np.ptp(lips[i][[2, 6], 1]) < 0.1]
    a, b = next(
        (a, b) for a, b in itertools.combinations(shut, 2) if abs(mouths[a][1] - mouths[b][1]) == 1
    )
    swap(folder, f"teeth_mask/{a}.npy", f"teeth_mask/{b}.npy")
    sentence = rf"teeth_mask/{a}\.npy lie between the lips of ori_imgs/{b}\.lms and not between"
    with pytest.raises(CaptureError, match=sentence):
        imported(folder, tmp_path)


def test_rows_of_action_units_beyond_the_last_frame_are_told(copied, tmp_path, caplog):
    folder = copied("er-nerf")
    with (folder / "au.csv").open("a") as file:
        file.write((folder / "au.csv").read_text().splitlines()[-1] + "\n")
    imported(folder, tmp_path, au_rows="position")
    assert "au.csv has 101 rows for 100 frames" in caplog.text


def blinks_unknown(folder, frames):
    """Write nan for AU45 in the rows of some frames."""
    header, *rows = [r.split(", ") for r in (folder / "au.csv").read_text().splitlines()]
    for k in frames:
        rows[k][header.index("AU45_r")] = "nan"
    (folder / "au.csv").write_text("\n".join(", ".join(row) for row in [header, *rows]) + "\n")


def test_a_map_of_four_colours_among_those_of_six_is_named():
    dialect, why = colours.detect(
        [True] * 10 + [False], [True] * 11, [f"{i}.png" for i in range(11)]
    )
    assert dialect == "6-colour"
    assert why == "black in 10 and grey in 11 of 11 maps; no black in 10.png"


def test_frames_whose_blink_is_not_a_number_are_counted(copied, tmp_path):
    folder = copied("er-nerf")
    blinks_unknown(folder, [3, 4, 50])
    capture = imported(folder, tmp_path)
    assert "not known in 3 frames" in capture.meta["source"]["imported"]["eye"]
    assert np.flatnonzero(~np.isfinite(capture.eye)).tolist() == [3, 4, 50]


def test_action_units_that_tell_no_blink_at_all_are_refused(copied, tmp_path):
    folder = copied("er-nerf")
    blinks_unknown(folder, range(FRAMES))
    with pytest.raises(CaptureError, match=r"au\.csv tells AU45 of no frame\.\n.*eye=landmarks"):
        imported(folder, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_lost_row_of_action_units_is_no_nan_to_who_reads_the_export(copied, tmp_path):
    folder = copied("er-nerf")
    without_line(31)(folder)
    imported(folder, tmp_path, au_rows="frame")
    report = export_capture(tmp_path / "out", tmp_path / "again", "er-nerf")
    rows = [line.split(", ") for line in (tmp_path / "again" / "au.csv").read_text().splitlines()]
    assert len(rows) == 1 + FRAMES
    lost, before = rows[31], rows[30]  # below the header
    success, unit = rows[0].index("success"), rows[0].index("AU45_r")
    assert (lost[0], lost[success], lost[unit]) == ("31", "0", before[unit])
    assert any("au.csv: 1 rows tell no AU45" in note for note in report.notes)


def test_the_mouth_that_landmarks_tell_is_there_for_readers_of_six_colours(
    copied, speaker, tmp_path
):
    imported(copied("er-nerf"), tmp_path)  # four colours say face where the mouth is
    export_capture(tmp_path / "out", tmp_path / "six", "talkinggaussian")
    back = import_folder(tmp_path / "six", tmp_path / "back", ImportConfig())
    first = Capture.open(tmp_path / "out")
    opened = [i for i in range(FRAMES) if (first.mask(i) == 3).any()]
    assert opened
    for i in opened:
        np.testing.assert_array_equal(back.mask(i) == 3, first.mask(i) == 3)


def test_action_units_amiss_are_told_before_anything_is_written(copied, tmp_path):
    folder = copied("er-nerf")
    without_line(31)(folder)
    with pytest.raises(CaptureError, match="says frame 32 where 31"):
        imported(folder, tmp_path)
    assert not (tmp_path / "out").exists()


def test_what_is_ambiguous_is_decided_by_the_key_that_is_named(copied, tmp_path):
    folder = copied("er-nerf")
    without_line(31)(folder)
    np.testing.assert_array_equal(
        np.isnan(imported(folder, tmp_path, au_rows="frame").eye), np.arange(FRAMES) == 30
    )


def test_a_folder_that_is_none_says_what_to_name(tmp_path):
    with pytest.raises(CaptureError, match="there is no folder"):
        imported(tmp_path / "nothing", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaptureError, match="Name the folder that holds ori_imgs"):
        imported(tmp_path / "empty", tmp_path)


def test_an_import_never_leaves_half_a_capture(copied, tmp_path):
    folder = copied("er-nerf")
    (folder / "ori_imgs/70.jpg").write_bytes((folder / "ori_imgs/70.jpg").read_bytes()[:400])
    with pytest.raises(CaptureError, match=r"ori_imgs/70\.jpg"):
        imported(folder, tmp_path)
    with pytest.raises(CaptureError, match="not a finished capture|there is no capture"):
        Capture.open(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_import_that_fails_leaves_the_one_before_it_whole(copied, tmp_path):
    folder = copied("er-nerf")
    before = imported(folder, tmp_path)
    there = sorted(path.name for path in before.folder.iterdir())
    (folder / "ori_imgs/70.jpg").write_bytes((folder / "ori_imgs/70.jpg").read_bytes()[:400])
    with pytest.raises(CaptureError, match=r"ori_imgs/70\.jpg"):
        imported(folder, tmp_path)
    assert sorted(path.name for path in before.folder.iterdir()) == there
    assert Capture.open(before.folder).content_id == before.content_id


@pytest.mark.parametrize("name", ["._0.lms", "._0.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"])
def test_what_a_system_leaves_in_a_folder_is_no_frame(copied, name):
    folder = copied("er-nerf")
    for place in ("ori_imgs", "parsing", "gt_imgs", "torso_imgs"):
        (folder / place / name).write_bytes(b"x")
    tree = scan(folder)
    assert tree.count == FRAMES
    assert len(tree.faces) == FRAMES


def test_the_sound_is_held_to_the_lips_and_a_late_one_is_told(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(sync, "_FEWEST_FRAMES", FRAMES)
    capture = imported(copied("er-nerf"), tmp_path)
    assert len(capture.meta["sync"]["curve"]) == 2 * sync.MAX_LAG + 1
    assert capture.meta["sync"]["applied_frames"] == 0
    late = sync.Sync(3.0, 9.0, 0.1, [(3, 0.8)], 0.1, "")
    monkeypatch.setattr(sync, "estimate", lambda *args: late)
    (caution,) = imported(copied("talkinggaussian"), tmp_path / "late").meta["cautions"]
    assert caution["what"] == "the sound is 3.0 frames late"
    assert "--fix-sync" in caution["do"]


def test_features_that_cannot_be_made_are_refused_before_anything_is_written(copied, tmp_path):
    folder = copied("er-nerf")
    with pytest.raises(BackendMissing, match="whisper"):
        imported(folder, tmp_path, audio="whisper")
    with pytest.raises(ConfigError, match="unknown sound features 'wisper'"):
        imported(folder, tmp_path, audio="wisper")
    assert not (tmp_path / "out").exists()


def test_a_head_of_their_features_asks_for_their_features_of_a_new_voice(copied, tmp_path):
    capture = imported(copied("er-nerf"), tmp_path)
    for kind in ("deepspeech", "hubert"):
        with pytest.raises(CaptureError, match="audio_features=FILE"):
            audio.check_model(kind, capture.meta["features"][kind])


def test_features_of_a_smaller_model_of_ours_are_no_file_of_theirs(speaker, tmp_path):
    folder = shutil.copytree(speaker.folder, tmp_path / "small")
    np.save(folder / "features" / "hubert.npy", np.zeros((2 * FRAMES, 768), np.float32))
    meta = json.loads((folder / "capture.json").read_text())
    meta["features"]["hubert"] = {"dim": 768, "rows_per_frame": 2, "chunk_s": 4.0}
    (folder / "capture.json").write_text(json.dumps(meta))
    report = export_capture(folder, tmp_path / "out", "er-nerf")
    assert not list((tmp_path / "out").glob("aud*.npy"))
    assert any("hubert" in line for line in report.missing)


def test_the_symbols_say_which_wav2vec2_it_was(speaker, tmp_path):
    for symbols, file in ((32, "aud.npy"), (44, "aud_eo.npy")):
        folder = shutil.copytree(speaker.folder, tmp_path / f"heard{symbols}")
        rows = np.zeros((2 * FRAMES, symbols), np.float32)
        np.save(folder / "features" / "wav2vec2.npy", rows)
        meta = json.loads((folder / "capture.json").read_text())
        meta["features"]["wav2vec2"] = {"dim": symbols, "rows_per_frame": 2, "chunk_s": 4.0}
        (folder / "capture.json").write_text(json.dumps(meta))
        export_capture(folder, tmp_path / f"out{symbols}", "er-nerf")
        found = [path.name for path in (tmp_path / f"out{symbols}").glob("aud*.npy")]
        assert found == [file]


def test_a_capture_that_was_inspected_can_be_imported_again(copied, tmp_path):
    folder = copied("er-nerf")
    capture = imported(folder, tmp_path)
    (capture.folder / "inspect.html").write_text("page")
    assert imported(folder, tmp_path, audio="mel").content_id == capture.content_id


def test_whisper_features_are_made_where_its_weights_are(copied, tmp_path, shared, monkeypatch):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(shared / "data" / "weights"))
    capture = imported(copied("er-nerf"), tmp_path, audio="whisper")
    assert capture.meta["features"]["whisper"]["rows_per_frame"] == 2
    assert capture.features("whisper").shape == (2 * capture.frame_count, 384)
