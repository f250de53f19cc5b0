"""Poses refined on the pictures come nearer to the truth than the landmarks bring them."""

from dataclasses import replace

import numpy as np
import pytest

from gstalker.data import synthetic
from gstalker.data.synthetic import make_synthetic_capture
from gstalker.experiment.movie import MovieWriter
from gstalker.prepare import PrepareConfig, prepare
from gstalker.prepare.tracking import canonical, head, landmarks, looks, pose, refine, relief
from gstalker.prepare.tracking.pose import Lens
from gstalker.prepare.tracking.smooth import mean_rotation, rotation_vectors

cv2 = pytest.importorskip("cv2")

LENS = Lens(600.0, 100.0, 90.0)
PIXELS_PER_CM = 12


def card():
    """A flat card of 16 x 14 cm as a mesh, with a random picture on it."""
    x, y = np.meshgrid(np.linspace(-8, 8, 17), np.linspace(-7, 7, 15))
    mesh = np.stack([x.ravel(), y.ravel(), 0.01 * np.cos(x * y).ravel()], axis=1)
    rng = np.random.default_rng(0)
    size = (14 * PIXELS_PER_CM, 16 * PIXELS_PER_CM)
    print_ = cv2.GaussianBlur(rng.uniform(0, 255, size).astype(np.float32), (0, 0), 5)
    print_ = 128 + 60 * (print_ - print_.mean()) / print_.std()
    return mesh, np.repeat(print_[..., None], 3, axis=2)


def photographed(print_, rotation, translation, gain=1.0, shade=0.0):
    """The card as a camera sees it: its plane's homography, by OpenCV.

    ``shade`` is how much brighter its right edge is lit than its middle.
    """
    print_ = print_ * (1 + shade * np.linspace(-1, 1, print_.shape[1]))[:, None]
    print_ = print_.astype(np.float32)
    # Print pixels (continuous) to centimetres, to the camera, to pixels.
    to_cm = np.array(
        [[1 / PIXELS_PER_CM, 0, -8], [0, 1 / PIXELS_PER_CM, -7], [0, 0, 1]], np.float64
    )
    to_camera = np.stack([rotation[:, 0], rotation[:, 1], translation], axis=1)
    K = np.array([[LENS.focal_px, 0, LENS.cx_px], [0, LENS.focal_px, LENS.cy_px], [0, 0, 1]])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from pixel centres
    homography = np.linalg.inv(half) @ K @ to_camera @ to_cm @ half
    picture = cv2.warpPerspective(print_, homography, (200, 180), flags=cv2.INTER_LINEAR)
    return np.clip(gain * picture, 0, 255).astype(np.uint8)


def turn(*degrees):
    return pose.rotation_matrices(np.radians([degrees]))[0]


PLACE = np.array([0.0, 0.0, 60.0])


def turns_and_places():
    """Nine poses, frontal on the whole."""
    rotations = np.stack([turn(8 * np.sin(k), 10 * np.cos(2 * k), 3 * np.sin(k)) for k in range(9)])
    places = PLACE + np.stack([[np.sin(k), np.cos(k), k / 4] for k in range(9)])
    return rotations, places


def filmed():
    """Pictures of the card in known poses."""
    mesh, print_ = card()
    rotations, places = turns_and_places()
    pictures = [photographed(print_, r, t) for r, t in zip(rotations, places, strict=True)]
    samples = looks.surface(mesh, np.ones(len(mesh)), 800)
    usual = looks.texture(pictures.__getitem__, np.arange(9), rotations, places, samples, LENS)
    return print_, samples, usual


def angle_deg(a, b):
    return float(np.degrees(np.linalg.norm(rotation_vectors((a.T @ b)[None]))))


def test_samples_lie_on_the_mesh_and_look_at_the_camera():
    mesh, _ = card()
    samples = looks.surface(mesh, np.ones(len(mesh)), 500)
    assert np.abs(samples.points[:, 2]).max() < 0.02
    assert (np.abs(samples.points[:, :2]) <= [8, 7]).all()
    np.testing.assert_allclose(np.linalg.norm(samples.normals, axis=1), 1)
    assert (samples.normals[:, 2] < -0.99).all()


def test_parts_that_move_by_themselves_carry_no_samples():
    mesh, _ = card()
    samples = looks.surface(mesh, (mesh[:, 1] < 0).astype(float), 500)
    assert samples.points[:, 1].max() <= 0


@pytest.mark.parametrize(("gain", "shade"), [(1.0, 0.0), (0.7, 0.0), (0.8, 0.3)])
def test_a_pose_that_is_a_little_off_is_put_right(gain, shade):
    print_, samples, usual = filmed()
    truth, place = turn(5, -6, 2), PLACE + [0.5, -0.3, 1.0]
    picture = photographed(print_, truth, place, gain, shade)
    start, known = turn(0.9, -0.7, 0.5) @ truth, (samples, usual, LENS)
    found, at, likeness = refine.align(picture, start, place + [0.15, 0.1, 0.3], *known)
    assert angle_deg(start, truth) > 1
    assert angle_deg(found, truth) < 0.15
    assert np.linalg.norm(at - place) / 60 < 0.002
    assert likeness > 0.97


def test_a_pose_that_is_only_looked_at_stays_and_its_likeness_is_what_the_usual_looks_explain():
    print_, samples, usual = filmed()
    truth = turn(5, -6, 2)
    picture = photographed(print_, truth, PLACE)
    likeness = []
    for off_cm in (0.0, 0.5, 2.0):
        told = PLACE + [off_cm, 0, 0]
        found, at, alike = refine.align(picture, truth, told, samples, usual, LENS, move=False)
        np.testing.assert_array_equal(found, truth)
        np.testing.assert_array_equal(at, told)
        likeness.append(alike)
    assert likeness[0] > 0.95
    assert likeness[0] > likeness[1] > likeness[2]
    assert likeness[2] < 0.3


def test_what_covers_a_part_hardly_moves_the_pose():
    print_, samples, usual = filmed()
    truth = turn(5, -6, 2)
    picture = photographed(print_, truth, PLACE)
    picture[90:120, 60:90] = 255
    found, _, _ = refine.align(picture, turn(0.5, 0.5, 0) @ truth, PLACE, samples, usual, LENS)
    assert angle_deg(found, truth) < 0.3


def test_a_picture_without_the_face_leaves_the_pose_near_where_it_was():
    _, samples, usual = filmed()
    noise = np.random.default_rng(3).integers(0, 255, (180, 200, 3)).astype(np.uint8)
    found, at, likeness = refine.align(noise, np.eye(3), PLACE, samples, usual, LENS)
    assert angle_deg(found, np.eye(3)) < 6
    assert np.linalg.norm(at - PLACE) / 60 < 0.06
    assert likeness < 0.1


def told_as_bowed():
    """Pictures of the card under wandering lamps, and a mesh of it that is not flat."""
    mesh, print_ = card()
    rotations, places = turns_and_places()
    lamps = 0.2 * np.cos(np.arange(9))
    pictures = [
        photographed(print_, r, t, shade=s)
        for r, t, s in zip(rotations, places, lamps, strict=True)
    ]
    bow = 1.5 * (mesh[:, 0] / 8) ** 2
    told = mesh + np.stack([0 * bow, 0 * bow, bow], axis=1)
    return pictures, looks.surface(told, np.ones(len(mesh)), 800)


def bow_of(samples):
    """How much deeper the card's sides lie than its middle, centimetres."""
    x, y, z = samples.points.T
    square, *_ = np.linalg.lstsq(np.stack([x**2, x, y, x**0], axis=1), z, rcond=None)[0]
    return float(square * 8**2)


def test_a_depth_told_wrongly_is_put_right_together_with_the_poses():
    """Poses are told as turned too much."""
    pictures, samples = told_as_bowed()
    rotations, places = turns_and_places()
    told = pose.rotation_matrices(0.15 * rotation_vectors(rotations)) @ rotations
    deeper, usual = relief.adjust(pictures.__getitem__, np.arange(9), told, places, samples, LENS)
    flat = samples.moved(deeper.at(samples.points))
    assert bow_of(samples) > 1.4
    assert abs(bow_of(flat)) < 0.3
    found = [
        refine.align(picture, r, t, flat, usual, LENS)[0]
        for picture, r, t in zip(pictures, told, places, strict=True)
    ]
    before, _ = pose_errors(placed(told, places), placed(rotations, places))
    errors, _ = pose_errors(placed(found, places), placed(rotations, places))
    assert before.mean() > 0.8
    assert errors.mean() < 0.25


def test_pictures_without_the_face_do_not_spoil_its_depth():
    pictures, samples = told_as_bowed()
    rotations, places = turns_and_places()
    noise = np.random.default_rng(3).integers(0, 255, (180, 200, 3)).astype(np.uint8)
    pictures[4], pictures[7] = noise, np.zeros_like(noise)
    deeper, _ = relief.adjust(pictures.__getitem__, np.arange(9), rotations, places, samples, LENS)
    assert abs(bow_of(samples.moved(deeper.at(samples.points)))) < 0.3


def placed(rotations, places):
    matrices = np.tile(np.eye(4), (len(places), 1, 1))
    matrices[:, :3, :3], matrices[:, :3, 3] = rotations, places
    return matrices


@pytest.mark.slow
def test_poses_of_the_synthetic_head_are_true_to_half_a_degree(shared, tmp_path):
    """Through the detector's landmarks, moved in one way; in another it goes through mp4 below.

    Where the head's own axes lie is nobody's truth, so one change of axes for the whole clip is
    allowed for, and nothing else.
    """
    model = shared / "data" / "weights" / "face_landmarker.task"
    capture = make_synthetic_capture(tmp_path, seconds=4, size=256, seed=11)
    frames, count = capture.folder / "frames.npy", capture.frame_count
    piece = landmarks.Piece(frames, model, 0, 0, count, ((128.0, 128.0, 110.0),), 1)
    points, face = landmarks.track(piece), canonical.vertices(model)
    assert np.isfinite(points).all()
    weights = pose.rigid_weights(face)
    errors = {}
    for how in ("landmarks", "pictures"):
        found = head.track(
            points,
            face,
            segments=[(0, count)],
            unusable=np.zeros(count, bool),
            filmed_side=256,
            centre=(128.0, 128.0),
            focal_px=capture.meta["focal_px"],
            smooth_frames=1.0,
            refine=None
            if how == "landmarks"
            else lambda r, t, ids, mesh, lens: refine.refine(
                frames, r, t, ids, mesh, weights, lens, 1, tmp_path / "kept"
            ),
        )
        errors[how] = pose_errors(found.poses, capture.poses.numpy().astype(np.float64))
    turned, moved = errors["pictures"]
    assert turned.mean() <= 0.5
    assert moved.max() <= 0.01
    assert errors["landmarks"][0].mean() > turned.mean()


def test_frames_refined_before_a_kill_are_not_refined_again(tmp_path, monkeypatch):
    mesh, print_ = card()
    rotations, places = turns_and_places()
    frames = tmp_path / "frames.npy"
    np.save(frames, [photographed(print_, r, t) for r, t in zip(rotations, places, strict=True)])
    off = rotations @ turn(1, -1, 1)
    align, calls, dies_at = refine.align, [], [None]

    def counted(*known, **how):
        if len(calls) == dies_at[0]:
            raise KeyboardInterrupt
        calls.append(1)
        return align(*known, **how)

    def refined(kept):
        calls.clear()
        ids, weights = np.arange(9), np.ones(len(mesh))
        return refine.refine(frames, off, places, ids, mesh, weights, LENS, 1, tmp_path / kept)

    monkeypatch.setattr(refine, "_PIECE", 3)
    monkeypatch.setattr(refine, "align", counted)
    unkilled = refined("a")
    assert len(calls) == 9
    dies_at[0] = 7
    with pytest.raises(KeyboardInterrupt):
        refined("b")
    resumed = refined("b")
    assert len(calls) == 3
    for name in ("rotations", "translations", "mesh", "likeness"):
        np.testing.assert_array_equal(getattr(unkilled, name), getattr(resumed, name))


@pytest.mark.slow
@pytest.mark.usefixtures("with_models")
def test_poses_of_the_synthetic_head_filmed_as_a_video_are_true(tmp_path):
    """Through mp4 and ``prepare``, first with the lens known, then with it estimated.

    With seeds 0, 1, 3 (here) and 11 the means were 0.20 to 0.29 degrees and 95 % of the frames
    within 0.45 to 0.56. The estimated lens is a quarter too long, which turns a head that stands
    aside: 0.39 to 0.54, and 0.55 to 1.10. Places were off by 0.3 % at most (mean), 95 % of them
    within 0.5 %.
    """
    truth = make_synthetic_capture(tmp_path / "truth", seconds=12, size=256, seed=3)
    film, out = tmp_path / "film.mp4", tmp_path / "out"
    with MovieWriter(film, 256, 256, truth.audio()) as movie:
        for index in range(truth.frame_count):
            movie.write(truth.frame(index))
    known = PrepareConfig(workers=1, focal_px=truth.meta["focal_px"])
    told = truth.poses.numpy().astype(np.float64)
    for config, mean_deg, p95_deg in ((known, 0.5, 0.7), (replace(known, focal_px=None), 0.6, 1.3)):
        capture = prepare(film, out, config)
        assert capture.frame_count == truth.frame_count
        assert not capture.dropped.any()
        turned, moved = pose_errors(capture.poses.numpy().astype(np.float64), told)
        assert turned.mean() <= mean_deg
        assert np.percentile(turned, 95) <= p95_deg
        assert moved.mean() <= 0.005
        assert np.percentile(moved, 95) <= 0.01


@pytest.mark.slow
@pytest.mark.usefixtures("with_models")
def test_a_head_that_looks_aside_in_a_film_never_has_a_wild_pose(tmp_path, monkeypatch):
    """It turns by 35, 62 and 85 degrees to one side and by 70 to the other, 75 degrees a second.

    The landmarker draws a face turned by 30 to 50 degrees there. The lens is estimated, a quarter
    too long; without the look at the pictures 31 frames were kept whose poses were 6 to 53 degrees
    off.
    """
    rotations_of = synthetic._rotations
    looks_aside = [(45, 35), (100, 62), (170, 85), (225, -70)]

    def aside(turns):
        frame = np.arange(len(turns))
        bumps = [np.sign(d) * np.clip(abs(d) - 3 * abs(frame - k), 0, None) for k, d in looks_aside]
        return rotations_of(turns + np.radians(sum(bumps))[:, None] * [0, 1, 0])

    monkeypatch.setattr(synthetic, "_rotations", aside)
    truth = make_synthetic_capture(tmp_path / "truth", seconds=11, size=320, seed=5)
    film = tmp_path / "film.mp4"
    with MovieWriter(film, 320, 320, truth.audio()) as movie:
        for index in range(truth.frame_count):
            movie.write(truth.frame(index))
    capture = prepare(film, tmp_path / "out", PrepareConfig(workers=1))
    told = truth.poses.numpy().astype(np.float64)
    yaw = np.degrees(np.abs(np.arctan2(told[:, 0, 2], told[:, 2, 2])))
    assert not capture.dropped[yaw < 25].any()
    assert capture.dropped[yaw > 60].all()
    kept = np.flatnonzero(~capture.dropped)
    turned, _ = pose_errors(capture.poses.numpy().astype(np.float64)[kept], told[kept])
    assert turned.max() < 6
    assert turned[yaw[kept] < 25].mean() < 1


def pose_errors(found, truth):
    """Degrees, and shares of the distance, with both heads' axes, origins and sizes made one."""
    rotations, places = found[:, :3, :3], found[:, :3, 3]
    axes = mean_rotation(truth[:, :3, :3].transpose(0, 2, 1) @ rotations)
    away = (truth[:, :3, :3] @ axes).transpose(0, 2, 1) @ rotations
    degrees = np.degrees(np.linalg.norm(rotation_vectors(away), axis=-1))
    known = np.concatenate([truth[:, :3, 3:].reshape(-1, 1), truth[:, :3, :3].reshape(-1, 3)], 1)
    fitted = known @ np.linalg.lstsq(known, places.reshape(-1), rcond=None)[0]
    misses = np.linalg.norm(fitted.reshape(-1, 3) - places, axis=-1)
    return degrees, misses / np.linalg.norm(places, axis=-1)
