from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from gstalker.errors import GSTalkerError
from gstalker.prepare.tracking import canonical, head, pose, shape
from gstalker.prepare.tracking.pose import Lens
from gstalker.prepare.tracking.smooth import jitter, rotation_vectors, smooth

FRAMES = 120
LENS = Lens(1000.0, 160.0, 140.0)


def egg(seed: int = 0) -> np.ndarray:
    """468 points on the front of an egg the size of a face, y down, nose towards the camera."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, (2, 468))
    inside = np.hypot(x, y)
    x, y = x / np.maximum(inside, 1) * 0.95, y / np.maximum(inside, 1) * 0.95
    depth = -5.0 * np.sqrt(1 - x**2 - y**2) + 0.8 * np.sin(4 * x) * np.cos(3 * y)
    points = np.stack([7 * x, 9 * y, depth], axis=1)
    points[33], points[263] = [-4.5, -2.5, -3.0], [4.5, -2.5, -3.0]
    points[13], points[14] = [0.0, 4.0, -5.0], [0.0, 4.4, -5.0]
    return points


def subject() -> np.ndarray:
    """Somebody whose face differs smoothly from the canonical one."""
    face = egg()
    return face + 0.3 * np.stack(
        [np.sin(face[:, 1] / 4), np.cos(face[:, 0] / 3), np.sin(face[:, 0] / 5)], axis=1
    )


def motion(count: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and translations of a head that looks around."""
    t = np.arange(count)
    turn = np.stack([0.12 * np.sin(t / 9), 0.3 * np.sin(t / 13), 0.08 * np.sin(t / 7)], axis=1)
    place = np.stack([2 * np.sin(t / 17), np.cos(t / 11), 100 + 3 * np.sin(t / 23)], axis=1)
    return pose.rotation_matrices(turn), place


def seen(face: np.ndarray, noise_px: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Landmarks ``[F, 478, 2]`` of a face in motion, and the motion."""
    rotations, translations = motion()
    pixels = LENS.project(face @ rotations.transpose(0, 2, 1) + translations[:, None])
    pixels += noise_px * np.random.default_rng(1).normal(size=pixels.shape)
    return np.pad(pixels, ((0, 0), (0, 10), (0, 0))), rotations, translations


def follow(
    points: np.ndarray,
    segments: list[tuple[int, int]] | None = None,
    sigma: float = 0.0,
    refine: head.Refine | None = None,
) -> head.Head:
    return head.track(
        points,
        egg(),
        segments=segments or [(0, len(points))],
        unusable=np.zeros(len(points), bool),
        filmed_side=280,
        centre=(LENS.cx_px, LENS.cy_px),
        focal_px=LENS.focal_px,
        smooth_frames=sigma,
        refine=refine,
    )


def _misshapen(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two shapes after moving, turning and scaling one onto the other."""
    a, b = a - a.mean(0), b - b.mean(0)
    u, s, v = np.linalg.svd(a.T @ b)
    fitted = (s.sum() / (a**2).sum()) * a @ u @ v
    return float(np.linalg.norm(fitted - b, axis=1).mean())


def degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.linalg.norm(rotation_vectors(a.transpose(0, 2, 1) @ b), axis=1))


def test_poses_of_a_known_face_are_recovered() -> None:
    face = egg()
    points, rotations, translations = seen(face)
    weights = np.ones(len(face))
    start = pose.first_guess(points[:, :468], face, LENS)
    found = pose.solve(points[:, :468], face, weights, LENS, start, rounds=12)
    assert degrees_between(found.rotations, rotations).max() < 1e-4
    assert np.abs(found.translations - translations).max() < 1e-4
    assert found.error_px.max() < 1e-4


def test_a_few_wild_points_do_not_move_the_pose() -> None:
    face = egg()
    points, rotations, _ = seen(face)
    points[:, 5:30] += 40.0
    start = pose.first_guess(points[:, :468], face, LENS)
    found = pose.solve(points[:, :468], face, np.ones(468), LENS, start, rounds=20)
    assert degrees_between(found.rotations, rotations).max() < 0.2


def test_the_subjects_own_shape_is_found_and_fits_better() -> None:
    points, _, _ = seen(subject(), noise_px=0.2)
    canonical_face = egg()
    weights = pose.rigid_weights(canonical_face)
    start = pose.first_guess(points[:, :468], canonical_face, LENS)
    before = pose.solve(points[:, :468], canonical_face, weights, LENS, start, rounds=12)
    found, after, _ = shape.fit_shape(points[:, :468], canonical_face, LENS)
    # Noise of 0.2 px a coordinate is 0.25 px of distance.
    assert before.error_px.mean() > 0.8
    assert after.error_px.mean() < 0.3
    assert _misshapen(found, subject()) < 0.5 * _misshapen(canonical_face, subject())


def test_poses_are_smoothed_and_the_report_says_how_much() -> None:
    points, rotations, _ = seen(subject(), noise_px=0.5)
    raw, steady = follow(points), follow(points, sigma=1.0)
    # A Gaussian of one frame leaves about 0.53 of white noise, and less of its second difference.
    assert steady.report["jitter_deg"] < 0.5 * raw.report["jitter_deg"]
    assert steady.report["jitter_deg_raw"] == pytest.approx(raw.report["jitter_deg"])
    error = [np.diff(degrees_between(h.poses[:, :3, :3], rotations)).std() for h in (raw, steady)]
    assert error[1] < error[0]


def test_smoothing_never_crosses_a_cut() -> None:
    points, _, _ = seen(subject())
    cut = points.copy()
    cut[60:] += 25.0
    joined, apart = (follow(cut, s, sigma=2.0).poses for s in ([(0, 120)], [(0, 60), (60, 120)]))
    first = follow(cut, [(0, 60), (60, 120)]).poses
    # The cut moves the head by 2.5 cm; the head's own way within two frames is 0.1 cm.
    assert np.abs(joined[59] - first[59]).max() > 0.5
    assert np.abs(apart[59] - first[59]).max() < 0.2


def test_frames_without_a_face_are_dropped_and_hold_the_nearest_pose() -> None:
    points, _, _ = seen(subject())
    points[50:56] = np.nan
    found = follow(points)
    assert found.dropped == [(50, 56, "no face found")]
    assert np.array_equal(found.poses[50:53], np.repeat(found.poses[49:50], 3, axis=0))
    assert np.array_equal(found.poses[55], found.poses[56])
    assert np.isfinite(found.mouth).all()
    assert found.report["face_share"] == pytest.approx(114 / 120)


def test_frames_whose_points_do_not_fit_are_dropped() -> None:
    points, _, _ = seen(subject(), noise_px=0.2)
    points[30, :468] = np.random.default_rng(2).uniform(0, 300, (468, 2))
    assert follow(points).dropped == [(30, 31, "the landmarks do not fit the head")]


def test_openings_are_measured_by_the_distance_of_the_eye_corners() -> None:
    points, _, _ = seen(egg())
    found = follow(points)
    # 0.4 cm between the inner lips, 9 cm between the outer eye corners, foreshortened alike.
    assert found.mouth.mean() == pytest.approx(0.4 / 9, rel=0.1)


def test_the_focal_length_stays_near_the_expected_one_when_the_data_say_little() -> None:
    points, _, _ = seen(subject(), noise_px=0.3)
    still = np.repeat(points[:1], 40, axis=0)
    focal = shape.estimate_focal(still[:, :468], egg(), 280, LENS.cx_px, LENS.cy_px)
    assert focal.focal_px == pytest.approx(shape.FOCAL_SHARE * 280, rel=0.25)
    assert 0.3 < focal.spread < 0.35


def test_rotation_vectors_undo_rotation_matrices() -> None:
    vectors = np.array([[0.0, 0.0, 0.0], [1e-7, 0.0, 0.0], [0.3, -0.2, 0.9], [0.0, 3.0, 0.0]])
    assert np.abs(rotation_vectors(pose.rotation_matrices(vectors)) - vectors).max() < 1e-9


def test_jitter_of_white_noise_is_its_deviation() -> None:
    rng = np.random.default_rng(0)
    turns = np.radians(0.3) * rng.normal(size=(4000, 3))
    places = np.array([0.0, 0.0, 100.0]) + np.stack(
        [0.05 * rng.normal(size=4000)] * 2 + [np.zeros(4000)], axis=1
    )
    degrees, pixels = jitter(pose.rotation_matrices(turns), places, [(0, 4000)], LENS)
    assert degrees == pytest.approx(0.3, rel=0.05)
    assert pixels == pytest.approx(0.5, rel=0.05)


def test_steady_turning_is_no_jitter_and_smoothing_keeps_it() -> None:
    turns = np.radians(np.arange(200))[:, None] * np.array([0.0, 0.1, 0.0])
    rotations, places = pose.rotation_matrices(turns), np.tile([0.0, 0.0, 90.0], (200, 1))
    assert jitter(rotations, places, [(0, 200)], LENS)[0] < 1e-6
    steady, _ = smooth(rotations, places, [(0, 200)], 1.0)
    assert degrees_between(steady[10:-10], rotations[10:-10]).max() < 1e-3


def test_the_nearest_good_frame_is_of_the_same_take() -> None:
    good = np.array([1, 0, 0, 0, 1, 1, 0, 0], bool)
    assert head.nearest_good(good, [(0, 4), (4, 6), (6, 8)]).tolist() == [0, 0, 0, 0, 4, 5, 5, 5]


def bundle(path: Path, floats: np.ndarray) -> Path:
    """A landmarker bundle with nothing in it but a mesh, as protocol buffers write it."""
    vertices = b"".join(b"\x1d" + np.float32(v).tobytes() for v in floats.ravel())
    mesh = b"\x08\x00" + vertices
    length = bytes([len(mesh) & 127 | 128, len(mesh) >> 7 & 127 | 128, len(mesh) >> 14])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("geometry_pipeline_metadata_landmarks.binarypb", b"\x0a" + length + mesh)
    return path


def test_the_canonical_face_is_read_from_the_bundle_with_y_down(tmp_path: Path) -> None:
    floats = np.arange(468 * 5, dtype=np.float32).reshape(468, 5)
    vertices = canonical.vertices(bundle(tmp_path / "a.task", floats))
    assert np.array_equal(vertices, floats[:, :3] * [1, -1, -1])


def test_a_damaged_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(GSTalkerError, match="gstalker weights check"):
        canonical.vertices(bundle(tmp_path / "a.task", np.zeros((467, 5))))
    (tmp_path / "b.task").write_bytes(b"no zip")
    with pytest.raises(GSTalkerError, match="damaged"):
        canonical.vertices(tmp_path / "b.task")


def test_the_canonical_face_is_mediapipes(shared: Path) -> None:
    known = (shared / "data" / "model3d" / "mediapipe_canonical_face_model.obj").read_text()
    wanted = [line.split()[1:4] for line in known.splitlines() if line.startswith("v ")]
    found = canonical.vertices(shared / "data" / "weights" / "face_landmarker.task")
    assert np.abs(found - np.array(wanted, float) * [1, -1, -1]).max() < 1e-5
