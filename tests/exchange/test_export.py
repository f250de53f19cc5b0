"""What is exported is read by loaders written from the format's description alone."""

import csv
import json
import shutil
import wave

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image

from gstalker import cli
from gstalker.data.capture import Capture
from gstalker.errors import CaptureError, ConfigError
from gstalker.exchange import (
    ExportConfig,
    colours,
    export_capture,
    import_folder,
    portrait,
    seam,
    torso,
)
from gstalker.exchange.blendshapes import _PAIRS, _SINGLE

from .conftest import DROPPED, FRAMES


def read_jpg(path):
    return np.asarray(Image.open(path).convert("RGB"))


def er_nerf(folder, part, width, height):
    """RAD-NeRF and ER-NeRF: intrinsics, then poses by ``nerf_matrix_to_ngp`` with scale 4."""
    content = json.loads((folder / f"transforms_{part}.json").read_text())
    assert (int(content["cy"]) * 2, int(content["cx"]) * 2) == (height, width)
    for frame in content["frames"]:
        p = np.array(frame["transform_matrix"], np.float32).astype(float)
        pose = np.array(
            [
                [p[1, 0], -p[1, 1], -p[1, 2], p[1, 3] * 4],
                [p[2, 0], -p[2, 1], -p[2, 2], p[2, 3] * 4],
                [p[0, 0], -p[0, 1], -p[0, 2], p[0, 3] * 4],
                [0, 0, 0, 1],
            ]
        )

        def project(points_m, pose=pose):
            world = points_m[:, [1, 2, 0]] * 4
            seen = (world - pose[:3, 3]) @ pose[:3, :3]
            middle = [content["cx"], content["cy"]]
            return seen[:, :2] / seen[:, 2:] * content["focal_len"] + middle

        yield frame, project


def talkinggaussian(folder, part, width, height):
    """TalkingGaussian and InsTaG: COLMAP axes, field of view from focal and size, no cx or cy."""
    content = json.loads((folder / f"transforms_{part}.json").read_text())
    for frame in content["frames"]:
        c2w = np.array(frame["transform_matrix"])
        c2w[:3, 1:3] *= -1
        w2c = np.linalg.inv(c2w)
        fov = [2 * np.arctan(size / (2 * content["focal_len"])) for size in (width, height)]

        def project(points_m, w2c=w2c, fov=fov):
            seen = points_m @ w2c[:3, :3].T + w2c[:3, 3]
            ndc = seen[:, :2] / seen[:, 2:] / np.tan(np.array(fov) / 2)
            return (ndc + 1) / 2 * [width, height]

        yield frame, project


def gaussiantalker(folder, part, width, height):
    """GaussianTalker: poses from ``track_params.pt`` in decimetres, the JSON only for the rest."""
    content = json.loads((folder / f"transforms_{part}.json").read_text())
    track = torch.load(folder / "track_params.pt", weights_only=True)
    assert track["vertices"].mean(0).shape[1] == 3
    for frame in content["frames"]:
        theta, phi, psi = track["euler"][frame["img_id"]].double().numpy()
        c, s = np.cos, np.sin
        turn = np.array([[1, 0, 0], [0, c(theta), s(theta)], [0, -s(theta), c(theta)]])
        turn = turn @ [[c(phi), 0, -s(phi)], [0, 1, 0], [s(phi), 0, c(phi)]]
        turn = turn @ [[c(psi), -s(psi), 0], [s(psi), c(psi), 0], [0, 0, 1]]
        shift = track["trans"][frame["img_id"]].double().numpy()

        def project(points_m, turn=turn, shift=shift):
            seen = (points_m * 10 @ turn.T + shift) * [1, -1, -1]
            middle = [content["cx"], content["cy"]]
            return seen[:, :2] / seen[:, 2:] * float(track["focal"]) + middle

        yield frame, project


def ad_nerf(folder, part, width, height):
    """AD-NeRF: a ray of every pixel, turned by the matrix; here, the ray that meets a point."""
    content = json.loads((folder / f"transforms_{part}.json").read_text())
    for frame in content["frames"]:
        pose = np.array(frame["transform_matrix"])

        def project(points_m, pose=pose):
            seen = (points_m - pose[:3, 3]) @ pose[:3, :3]
            i = content["cx"] - content["focal_len"] * seen[:, 0] / seen[:, 2]
            j = content["cy"] + content["focal_len"] * seen[:, 1] / seen[:, 2]
            return np.stack([i, j], 1)

        yield frame, project


LOADERS = {
    "er-nerf": er_nerf,
    "talkinggaussian": talkinggaussian,
    "gaussiantalker": gaussiantalker,
    "ad-nerf": ad_nerf,
}


@pytest.mark.parametrize("name", LOADERS)
def test_every_loader_puts_the_face_where_the_capture_has_it(family, speaker, name):
    folder, k = family / name, speaker.Ks.double().numpy()
    points = speaker.mesh[:68].astype(float)  # the landmarks of the face at rest
    count = 0
    for part in ("train", "val"):
        for frame, project in LOADERS[name](folder, part, 64, 64):
            i = frame["img_id"]
            pose = speaker.poses[i].double().numpy()
            seen = points @ pose[:3, :3].T + pose[:3, 3]
            truth = seen[:, :2] / seen[:, 2:] * k[0, 0] + k[:2, 2]
            away = np.abs(project(points * [1, -1, -1] / 100) - truth).max()
            assert away < 0.01, (i, away)
            assert read_jpg(folder / f"ori_imgs/{i}.jpg").shape == (64, 64, 3)
            assert np.loadtxt(folder / f"ori_imgs/{i}.lms").shape == (68, 2)
            count += 1
    assert count == (FRAMES - len(DROPPED) if name == "ad-nerf" else FRAMES)


def test_everything_that_talkinggaussian_opens_is_there(family, speaker):
    folder = family / "talkinggaussian"
    with (folder / "au.csv").open() as file:
        header = file.readline().rstrip("\n").split(",")
        rows = list(csv.reader(file))
    for unit in (1, 4, 5, 6, 7, 25, 45):
        assert f" AU{unit:02d}_r" in header  # with the space, as pandas keeps it
    assert len(rows) == FRAMES
    plate = read_jpg(folder / "bc.jpg").astype(float)
    for i in (0, 50, 99):
        colours = np.asarray(Image.open(folder / f"parsing/{i}.png").convert("RGB"))
        teeth = np.load(folder / f"teeth_mask/{i}.npy")
        assert teeth.dtype == bool
        face = (colours == (0, 0, 255)).all(-1) ^ teeth
        mouth = (colours == (100, 100, 100)).all(-1) | teeth
        np.testing.assert_array_equal(face, speaker.mask(i) == 2)
        np.testing.assert_array_equal(mouth, speaker.mask(i) == 3)
        torso = np.asarray(Image.open(folder / f"torso_imgs/{i}.png"))
        assert set(np.unique(torso[..., 3])) <= {0, 255}
        assert not torso[torso[..., 3] == 0].any()
        assert (torso[..., 3] == 255)[speaker.mask(i) == 1].all()
        behind = np.where(torso[..., 3:] == 255, torso[..., :3], plate)
        shown = read_jpg(folder / f"gt_imgs/{i}.jpg")
        outside = np.isin(speaker.mask(i), (0, 1))
        assert np.abs(behind - shown)[outside].mean() < 3


def test_the_neck_goes_on_under_the_head(family, speaker):
    shown = np.asarray(Image.open(family / "er-nerf/torso_imgs/30.png"))[..., 3] == 255
    new = shown & (speaker.mask(30) != 1)
    assert new.any()
    assert np.isin(speaker.mask(30)[new], (2, 3)).all()  # only where the head hides it


def test_a_neck_goes_on_without_stripes_and_without_the_hair_beside_it():
    """Left a neck whose columns differ by a few levels, right hair of quite another colour."""
    height, width, chin = 256, 120, 128
    rng = np.random.default_rng(0)
    line = np.where(np.arange(width) < 80, 180, 60) + rng.integers(-6, 7, width)
    picture = np.broadcast_to(line[None, :, None], (height, width, 3)).astype(np.uint8)
    head = np.zeros((height, width), bool)
    head[:chin] = True
    found = torso.cut_out(picture, ~head, head)[chin - 12, :, 0].astype(int)
    assert np.abs(np.diff(found[10:70])).max() <= 1  # up to 12 in the film
    assert found[10:77] == pytest.approx(180, abs=5)
    assert found[83:110] == pytest.approx(60, abs=5)


def test_sound_is_cut_at_ten_elevenths_for_gaussiantalker(family, speaker):
    def samples(name):
        with wave.open(str(family / "gaussiantalker" / name)) as file:
            assert (file.getframerate(), file.getnchannels()) == (16000, 1)
            return np.frombuffer(file.readframes(file.getnframes()), "<i2")

    whole = samples("aud.wav")
    assert len(whole) == FRAMES * 640
    assert len(samples("aud_train.wav")) == 90 * 640
    np.testing.assert_array_equal(
        np.concatenate([samples("aud_train.wav"), samples("aud_novel.wav")]), whole
    )


def test_frames_without_a_face_are_left_out_and_the_rest_counted_anew(gappy, tmp_path):
    report = export_capture(gappy.folder, tmp_path / "er", "er-nerf")
    kept = FRAMES - len(DROPPED)
    pictures = list((tmp_path / "er/ori_imgs").glob("*.jpg"))
    marks = list((tmp_path / "er/ori_imgs").glob("*.lms"))
    assert len(pictures) == len(marks) == report.frames == kept
    assert "3 of 100 frames are left out" in report.text
    numbers = json.loads((tmp_path / "er/gstalker_export.json").read_text())["frames"]
    assert numbers[19:21] == [19, 23]
    capture = import_folder(tmp_path / "er", tmp_path / "back")
    assert torch.equal(capture.poses, gappy.poses[numbers])
    heard = gappy.audio().reshape(FRAMES, 640)[numbers]
    np.testing.assert_array_equal(capture.audio(), heard.ravel())


def test_import_and_export_again_loses_nothing_that_the_formats_hold(family, tmp_path):
    first = family / "talkinggaussian"
    capture = import_folder(first, tmp_path / "capture")
    export_capture(capture.folder, tmp_path / "second", "talkinggaussian")
    for part in ("train", "val"):
        a, b = (
            json.loads((f / f"transforms_{part}.json").read_text())
            for f in (first, tmp_path / "second")
        )
        assert a == b
    for name in ("aud_ds.npy", "aud.npy", "aud_hu.npy"):
        a, b = np.load(first / name), np.load(tmp_path / "second" / name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    for name in ("aud.wav", "au.csv", "ori_imgs/7.lms", "parsing/7.png", "teeth_mask/7.npy"):
        assert (first / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_what_cannot_be_made_is_named(speaker, tmp_path):
    report = export_capture(speaker.folder, tmp_path / "tg", "talkinggaussian")
    assert "missing: AU01, AU04, AU05, AU06, AU07" in report.text
    assert "missing: sound features of TalkingGaussian and InsTaG" in report.text
    assert "missing: sapiens/, the depth and normals that InsTaG trains with" in report.text
    assert not list((tmp_path / "tg").glob("aud*.npy"))


def test_a_lens_off_the_middle_cuts_the_picture_evenly(speaker, tmp_path):
    meta = json.loads((speaker.folder / "capture.json").read_text())
    folder = tmp_path / "off"
    folder.mkdir()
    for path in speaker.folder.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "capture.json").unlink()
    (folder / "capture.json").write_text(json.dumps({**meta, "cx_px": 28.3, "cy_px": 32.0}))
    report = export_capture(folder, tmp_path / "er", "er-nerf")
    assert "cut from 64x64 to 56x64" in report.text
    capture = Capture.open(folder)
    points = capture.mesh.astype(float)
    for frame, project in er_nerf(tmp_path / "er", "train", 56, 64):
        pose = capture.poses[frame["img_id"]].double().numpy()
        seen = points @ pose[:3, :3].T + pose[:3, 3]
        truth = seen[:, :2] / seen[:, 2:] * meta["focal_px"] + [28.3, 32.0]
        away = np.abs(project(points * [1, -1, -1] / 100) - truth).max()
        # a turn stands in for 0.3 px; at 64 pixels and 160 px of focal length it is this good
        assert away < 0.02


@pytest.mark.parametrize(
    ("split", "train"), [("ten-elevenths", 363), ("last-12-seconds", 99), ("capture", 363)]
)
def test_splits_are_those_of_the_scripts(split, train):
    from gstalker.exchange.poses import split_at

    assert split_at(400, split, 363) == train


def test_a_split_that_leaves_nothing_is_refused(speaker, tmp_path):
    with pytest.raises(CaptureError, match="split=last-12-seconds makes 0 training"):
        export_capture(
            speaker.folder, tmp_path / "x", "er-nerf", ExportConfig(split="last-12-seconds")
        )


def test_an_unknown_layout_says_what_was_meant(speaker, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'gaussiantalker'"):
        export_capture(speaker.folder, tmp_path / "x", "gausiantalker")


def test_nothing_is_overwritten(speaker, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").write_text("mine")
    with pytest.raises(CaptureError, match="is there already"):
        export_capture(speaker.folder, tmp_path / "x", "er-nerf")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_both_verbs_may_be_typed(speaker, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli.process, "tune", lambda: None)
    out = str(tmp_path / "tg")
    typed = ["export", str(speaker.folder), out, "--layout", "talkinggaussian", "jpg_quality=90"]
    assert cli.main(typed) == 0
    assert "90 to train on and 10 to validate with" in capsys.readouterr().out
    assert cli.main(["import", out, str(tmp_path / "capture"), "name=again"]) == 0
    assert "Next: gstalker train" in capsys.readouterr().out
    assert Capture.open(tmp_path / "capture").name == "again"
    assert cli.main(["import", str(tmp_path / "none"), str(tmp_path / "capture2")]) == 1
    assert "there is no folder" in capsys.readouterr().err


@pytest.fixture
def fine(speaker, tmp_path):
    """The speaker with hair, teeth, a neck, and expressions of a face model."""
    folder = shutil.copytree(speaker.folder, tmp_path / "fine")
    masks = np.load(folder / "masks.npy")
    rows = np.arange(masks.shape[1])[None, :, None]
    lips = np.argwhere(masks == 3)
    masks[(masks == 2) & (rows < 16)] = 4
    masks[(masks == 3) & (np.indices(masks.shape)[2] < np.median(lips[:, 2]))] = 5
    masks[(masks == 1) & (rows < 56)] = 6
    np.save(folder / "masks.npy", masks)
    names = [*(f"{n}_{s}" for n in _PAIRS for s in "LR"), *_SINGLE, "PupilDilate_L"]
    told = np.zeros((FRAMES, len(names)), np.float32)
    told[:, names.index("eyeBlink_R")] = np.linspace(0, 1, FRAMES)
    np.save(folder / "expressions.npy", told)
    meta = json.loads((folder / "capture.json").read_text())
    meta["parser"] = {"name": "colour", "tells": ["torso", "hair", "teeth", "neck"]}
    meta["tracker"] = {"face_model": "ict.npz", "expressions": names}
    (folder / "capture.json").write_text(json.dumps(meta))
    return Capture.open(folder)


def test_hair_teeth_and_neck_are_exported_where_the_capture_has_them(fine, tmp_path):
    report = export_capture(fine.folder, tmp_path / "out", "talkinggaussian")
    i = int(np.argmax([(fine.parts(k) == 5).sum() for k in range(FRAMES)]))
    parts = fine.parts(i)
    assert {4, 5, 6} <= set(np.unique(parts))
    colours = np.asarray(Image.open(tmp_path / f"out/parsing/{i}.png").convert("RGB"))
    teeth = np.load(tmp_path / f"out/teeth_mask/{i}.npy")
    np.testing.assert_array_equal(teeth, parts == 5)
    np.testing.assert_array_equal((colours == (0, 0, 0)).all(-1), parts == 4)
    np.testing.assert_array_equal((colours == (0, 255, 0)).all(-1), parts == 6)
    np.testing.assert_array_equal((colours == (0, 0, 255)).all(-1) ^ teeth, parts == 2)
    np.testing.assert_array_equal(
        (colours == (100, 100, 100)).all(-1) | teeth, (parts == 3) | teeth
    )
    told = " ".join(report.notes)
    assert "told by colour" in told
    assert "teeth_mask is empty" not in told
    assert "all of the torso is cloth" not in told


def test_expressions_become_the_blendshapes_that_synctalk_reads(fine, tmp_path):
    """Columns 8 and 9 of bs.npy are the lids; a straight line is its own smoothing."""
    report = export_capture(fine.folder, tmp_path / "out", "er-nerf")
    shapes = np.load(tmp_path / "out/bs.npy")
    assert shapes.shape == (FRAMES, 52)
    np.testing.assert_allclose(shapes[:, 9], np.linspace(0, 1, FRAMES), atol=1e-6)
    assert not np.delete(shapes, 9, axis=1).any()
    assert any("ict.npz, not Basel's" in note for note in report.notes)


def test_the_soft_face_that_synctalk_blends_by_is_there(family, fine, speaker, tmp_path):
    """Its loader takes (255 - green) / 255 for the share of the rendered face."""
    share = []
    for i in range(FRAMES):
        picture = np.asarray(Image.open(family / f"er-nerf/parsing/{i}_face.png"))
        share.append((255 - picture[..., 1].astype(float)) / 255)
        assert (picture[..., 2] == 255).all()  # blue on white
        head = np.isin(speaker.mask(i), (2, 3))
        inside = scipy.ndimage.binary_erosion(head, iterations=2)
        near = scipy.ndimage.binary_dilation(head, iterations=3)
        assert inside.any()
        assert (share[i][inside] > 0.99).all()
        assert (share[i][~near] == 0).all()
    assert ((np.array(share) > 0.05) & (np.array(share) < 0.95)).any()  # soft
    report = export_capture(fine.folder, tmp_path / "out", "er-nerf")
    assert any("_face.png" in note and "ears are not told" in note for note in report.notes)
    with_hair = np.asarray(Image.open(tmp_path / "out/parsing/30_face.png"))[..., 1]
    hair = fine.parts(30) == 4
    assert (with_hair[scipy.ndimage.binary_erosion(hair, iterations=2)] == 255).all()


def test_a_soft_face_goes_on_below_the_chin_in_the_middle():
    """By SyncTalk's script at 512: ten rows, in the middle half of the columns, then a blur."""
    classes = np.full((512, 512), colours.NONE, np.uint8)
    classes[100:300, 100:301] = colours.SKIN
    classes[200:220, 180:220] = colours.INSIDE
    classes[300:, 150:250] = colours.NECK
    share = (255 - portrait.soft_face(classes)[..., 1].astype(float)) / 255
    assert share[290, 105:295].min() > 0.99
    assert share[205, 200] == 1  # the mouth is face
    assert np.flatnonzero(share[305] > 0.5).tolist() == list(range(150, 251))
    assert share[309, 200] == pytest.approx(0.5, abs=0.07)
    assert share[314, 200] == 0


def test_the_seam_of_the_exported_torso_is_told_and_kept(family):
    record = json.loads((family / "er-nerf/gstalker_export.json").read_text())
    assert 0 <= record["seam_levels"] < seam.VISIBLE_LEVELS
    assert any(f"seam {record['seam_levels']:.1f} of 255" in note for note in record["notes"])


@pytest.mark.parametrize(
    ("layout", "loses"), [("er-nerf", True), ("gaussiantalker", True), ("talkinggaussian", False)]
)
def test_what_four_colours_lose_is_told(speaker, tmp_path, layout, loses):
    notes = export_capture(speaker.folder, tmp_path / "folder", layout).notes
    assert any("does not get them back" in note for note in notes) == loses
