"""One head, one camera, four ways to say it: the same pixel in all of them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from gstalker.errors import CaptureError
from gstalker.exchange import conventions, poses

FOCAL, CENTRE = 1100.0, 225.0


@pytest.fixture
def track():
    """Random heads as the family's tracker says them: radians and decimetres."""
    rng = np.random.default_rng(0)
    euler = rng.uniform(-0.7, 0.7, (20, 3))
    trans = np.concatenate([rng.uniform(-1, 1, (20, 2)), rng.uniform(-10, -4, (20, 1))], 1)
    return euler, trans


@pytest.fixture
def points_cm():
    """Random points of our head space."""
    return np.random.default_rng(1).uniform(-9, 9, (30, 3))


def tracker_pixels(euler, trans, points_dm):
    """AD-NeRF's tracker, term by term: Y = R X + t, u = -f Yx/Yz + c, v = f Yy/Yz + c."""
    theta, phi, psi = euler
    c, s = np.cos, np.sin
    rx = np.array([[1, 0, 0], [0, c(theta), s(theta)], [0, -s(theta), c(theta)]])
    ry = np.array([[c(phi), 0, -s(phi)], [0, 1, 0], [s(phi), 0, c(phi)]])
    rz = np.array([[c(psi), -s(psi), 0], [s(psi), c(psi), 0], [0, 0, 1]])
    y = points_dm @ (rx @ ry @ rz).T + trans
    return np.stack([-FOCAL * y[:, 0] / y[:, 2], FOCAL * y[:, 1] / y[:, 2]], 1) + CENTRE


def pinhole(viewmat, points):
    posed = points @ viewmat[:3, :3].T + viewmat[:3, 3]
    return FOCAL * posed[:, :2] / posed[:, 2:] + CENTRE


def test_every_loader_puts_a_point_of_the_head_on_the_same_pixel(track, points_cm):
    euler, trans = track
    viewmats = conventions.viewmats_from_track(euler, trans)
    matrices = conventions.transforms_from_viewmats(viewmats)
    metres = points_cm * [1, -1, -1] / 100
    for k in range(len(euler)):
        truth = tracker_pixels(euler[k], trans[k], metres * 10)
        ngp = np.linalg.inv(conventions.ngp_from_transform(matrices[k]))
        found = {
            "ours": pinhole(viewmats[k], points_cm),
            "RAD-NeRF": pinhole(ngp, 4 * metres[:, [1, 2, 0]]),
            "TalkingGaussian": pinhole(conventions.colmap_from_transform(matrices[k]), metres),
            "GaussianTalker": pinhole(
                conventions.colmap_from_track(euler[k : k + 1], trans[k : k + 1])[0], metres * 10
            ),
        }
        for name, pixels in found.items():
            np.testing.assert_allclose(pixels, truth, atol=1e-8, err_msg=name)


def test_angles_come_back(track):
    rotations = conventions.rotations_from_euler(track[0])
    np.testing.assert_allclose(conventions.euler_from_rotations(rotations), track[0], atol=1e-12)


def test_the_json_matrix_is_the_formula_of_process_data(track):
    euler, trans = track
    matrices = conventions.transforms_from_viewmats(conventions.viewmats_from_track(euler, trans))
    turns = conventions.rotations_from_euler(euler)
    np.testing.assert_allclose(matrices[:, :3, :3], turns.transpose(0, 2, 1), atol=1e-12)
    centres = -np.einsum("nji,nj->ni", turns, trans / 10)
    np.testing.assert_allclose(matrices[:, :3, 3], centres, atol=1e-12)


def test_float32_poses_survive_the_way_out_and_back(track):
    ours = conventions.viewmats_from_track(*track).astype(np.float32)
    text = json.dumps(conventions.transforms_from_viewmats(ours).tolist())
    back = conventions.viewmats_from_transforms(np.array(json.loads(text)))
    assert np.array_equal(back.astype(np.float32), ours)


@pytest.fixture
def obama(shared, tmp_path):
    """The real files, under the names they have in a data set."""
    source = shared / "data" / "adnerf"
    for name in ("track_params.pt", "transforms_val.json", "bc.jpg"):
        (tmp_path / name).symlink_to(source / f"adnerf_obama_{name}")
    content = json.loads((tmp_path / "transforms_val.json").read_text())
    # the published half is the second; the first is not needed to read it
    first = {**content, "frames": [{**content["frames"][0], "img_id": 0}]}
    (tmp_path / "transforms_train.json").write_text(json.dumps(first))
    return tmp_path


def test_the_published_transforms_load_and_come_back(obama):
    transforms = poses.read_transforms(obama)
    assert transforms.img_ids[1:].tolist() == list(range(7272, 8000))
    assert Image.open(obama / "bc.jpg").size == (2 * transforms.cx_px, 2 * transforms.cy_px)
    viewmats = conventions.viewmats_from_transforms(transforms.matrices)
    assert (viewmats[:, 2, 3] > 20).all()
    assert (viewmats[:, 2, 3] < 150).all()
    back = conventions.transforms_from_viewmats(viewmats.astype(np.float32))
    # their matrices are orthonormal to float32 only, ours are stored in it
    assert np.abs(back - transforms.matrices).max() < 1e-6


def test_two_published_files_of_different_trackings_are_told_apart(obama):
    """Track and JSON come from two projects that tracked one video: 1200 and 1100 px."""
    track, transforms = poses.read_track(obama), poses.read_transforms(obama)
    assert track.euler.shape == (8000, 3)
    with pytest.raises(CaptureError, match="has 8000 poses, but .* have 729"):
        poses.track_viewmats(track, transforms)
    part = transforms.img_ids
    cut = poses.Track(track.file, track.euler[part], track.trans[part], 10.0, track.focal_px, None)
    with pytest.raises(CaptureError, match="focal length of 1200 px.* 1100 px: .*two trackings"):
        poses.track_viewmats(cut, transforms)


def test_the_two_trackings_saw_one_head_with_angles_of_opposite_sign(obama):
    """A find of this test: Improved-AD-NeRF's angles are the negatives of the formula's."""
    track, transforms = poses.read_track(obama), poses.read_transforms(obama)
    val = transforms.img_ids[1:]
    theirs = conventions.viewmats_from_transforms(transforms.matrices[1:])

    def away_deg(sign):
        found = conventions.viewmats_from_track(sign * track.euler[val], track.trans[val])
        between = found[:, :3, :3] @ theirs[:, :3, :3].transpose(0, 2, 1)
        trace = np.trace(between, axis1=1, axis2=2)
        return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))

    assert away_deg(-1).max() < 1 < 10 < np.median(away_deg(1))
    found = conventions.viewmats_from_track(-track.euler[val], track.trans[val])
    # as far off in depth as the focal lengths are, and at the same place in the picture
    at = [v[:, :2, 3] / v[:, 2:3, 3] * f for v, f in ((found, 1200), (theirs, 1100))]
    assert np.abs(at[0] - at[1]).max() < 1.5
    assert np.median(found[:, 2, 3] / theirs[:, 2, 3]) == pytest.approx(12 / 11, rel=0.01)


def test_a_track_with_negated_angles_is_accepted_and_said(track):
    euler, trans = track
    matrices = conventions.transforms_from_viewmats(conventions.viewmats_from_track(euler, trans))
    said = poses.Transforms(
        np.arange(20), [*range(20)], matrices, np.arange(20) > 17, FOCAL, CENTRE, CENTRE, None
    )
    for sign, remark in ((1, ""), (-1, "opposite sign")):
        found, told = poses.track_viewmats(
            poses.Track("track_params.pt", sign * euler, trans, 10.0, FOCAL, None), said
        )
        np.testing.assert_allclose(found, conventions.viewmats_from_track(euler, trans))
        assert remark in told
    euler[7] += 0.01
    with pytest.raises(CaptureError, match="pose of img_id 7"):
        poses.track_viewmats(poses.Track("track_params.pt", euler, trans, 10.0, FOCAL, None), said)


def test_nothing_that_can_run_is_read_from_a_track(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("it ran",))

    torch.save({"euler": Evil()}, tmp_path / "track_params.pt")
    with pytest.raises(CaptureError, match=r"track_params\.pt .* could run code"):
        poses.read_track(tmp_path)
