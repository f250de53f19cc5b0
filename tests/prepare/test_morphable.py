"""A morphable face fitted to landmarks: who it is, what it expresses, where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gstalker.errors import GSTalkerError
from gstalker.prepare.tracking import canonical, head, morphable, person, pose
from gstalker.prepare.tracking.morphable import FaceModel
from gstalker.prepare.tracking.pose import Lens
from gstalker.prepare.tracking.smooth import mean_rotation, rotation_vectors

FRAMES = 60
LENS = Lens(1200.0, 256.0, 256.0)


@pytest.fixture(scope="module")
def face(shared: Path) -> np.ndarray:
    return canonical.vertices(shared / "data" / "weights" / "face_landmarker.task")


@pytest.fixture(scope="module")
def file(shared: Path) -> Path:
    return shared / "data" / "model3d" / "ict_facekit_face9409_fp16.npz"


@pytest.fixture(scope="module")
def model(file: Path, face: np.ndarray) -> FaceModel:
    return morphable.read(file, face)


class Acted:
    """Somebody known, who speaks and looks around; landmarks of it with noise."""

    def __init__(self, model: FaceModel, noise_px: float = 0.3) -> None:
        rng = np.random.default_rng(4)
        self.identity = rng.normal(size=len(model.identity)) * (np.arange(len(model.identity)) < 10)
        self.neutral = model.rest + np.tensordot(self.identity, model.identity, 1)
        t = np.arange(FRAMES)
        self.expressions = np.zeros((FRAMES, len(model.expression)))
        for name, values in {
            "jawOpen": 0.35 * (0.5 - 0.5 * np.cos(t / 3)),
            "eyeBlink_L": (t % 30 > 26) * 0.9,
            "eyeBlink_R": (t % 30 > 26) * 0.9,
            "mouthSmile_L": 0.4 * (t > 40),
            "mouthSmile_R": 0.4 * (t > 40),
            "browInnerUp_L": 0.5 * (0.5 + 0.5 * np.sin(t / 8)),
            "browInnerUp_R": 0.5 * (0.5 + 0.5 * np.sin(t / 8)),
        }.items():
            self.expressions[:, model.expression_names.index(name)] = values
        turn = np.stack([0.15 * np.sin(t / 9), 0.45 * np.sin(t / 13), 0.1 * np.sin(t / 7)], 1)
        self.rotations = pose.rotation_matrices(turn)
        self.translations = np.stack([2 * np.sin(t / 17), np.cos(t / 11), 90 + 3 * np.sin(t)], 1)
        shape = self.neutral + np.tensordot(self.expressions, model.expression, 1)
        placed = shape @ self.rotations.transpose(0, 2, 1) + self.translations[:, None]
        self.points = LENS.project(placed) + noise_px * rng.normal(size=placed[..., :2].shape)


@pytest.fixture(scope="module")
def acted(model: FaceModel) -> Acted:
    return Acted(model)


@pytest.fixture(scope="module")
def found(acted: Acted, model: FaceModel) -> head.Head:
    return follow(acted.points, model)


def follow(
    points: np.ndarray, model: FaceModel | None, face: np.ndarray | None = None
) -> head.Head:
    return head.track(
        np.pad(points, ((0, 0), (0, 10), (0, 0))),
        np.empty((468, 3)) if face is None else face,
        segments=[(0, len(points))],
        unusable=np.zeros(len(points), bool),
        filmed_side=512,
        centre=(LENS.cx_px, LENS.cy_px),
        focal_px=LENS.focal_px,
        smooth_frames=0.0,
        model=model,
    )


def degrees(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.degrees(np.linalg.norm(rotation_vectors(found.transpose(0, 2, 1) @ true), axis=1))


def onto(mesh: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The mesh turned, moved and scaled onto the true one (Procrustes, by scipy's rotation fit).

    Where a head's axes lie, and how large it is at its distance, is nobody's truth.
    """
    a, b = mesh - mesh.mean(0), true - true.mean(0)
    turn = Rotation.align_vectors(b, a)[0]
    turned = turn.apply(a)
    return turned * (turned * b).sum() / (turned**2).sum() + true.mean(0)


def test_the_model_lies_on_mediapipes_face(model: FaceModel, face: np.ndarray) -> None:
    assert model.rest.shape == face.shape
    assert model.identity.shape == (100, 468, 3)
    # Two mean faces that other people made: a few millimetres apart, more only under the ears.
    away = np.linalg.norm(model.rest - face, axis=1)
    assert np.median(away) < 0.4
    assert away.max() < 2.5


def test_each_lip_moves_with_its_own_expressions(model: FaceModel) -> None:
    jaw = model.expression[model.expression_names.index("jawOpen")]
    moved = np.linalg.norm(jaw, axis=1)
    lower, upper = [17, 14, 87, 317, 88, 318], [0, 13, 82, 312, 80, 310]
    assert moved[lower].min() > 4 * moved[upper].max()
    assert moved[[10, 168, 33, 263]].max() < 0.05  # forehead, nose and eyes stay
    lids = model.expression[model.expression_names.index("eyeBlink_L")]
    assert lids[386, 1] > 0.5  # the upper lid of her left eye goes down
    assert abs(lids[159, 1]) < 0.01


def test_who_it_is_is_recovered(found: head.Head, acted: Acted, model: FaceModel) -> None:
    assert found.report["face_model"] == model.name
    off = np.linalg.norm(onto(found.mesh, acted.neutral) - acted.neutral, axis=1)
    usual = np.linalg.norm(onto(model.rest, acted.neutral) - acted.neutral, axis=1)
    assert off.mean() < 0.65 * usual.mean()
    identity = np.array(found.report["identity"])
    assert np.corrcoef(identity[:10], acted.identity[:10])[0, 1] > 0.85


def test_poses_are_recovered_under_expressions(
    found: head.Head, acted: Acted, face: np.ndarray
) -> None:
    turned, moved = pose_errors(found, acted)
    assert turned.mean() < 0.3
    assert moved.max() < 0.005
    # 0.3 px of noise a coordinate is 0.38 px of distance.
    assert found.report["reprojection_px"] < 0.42
    assert found.report["reprojection_px_all"] < 0.42
    plain = follow(acted.points, None, face)
    assert plain.expressions is None
    assert plain.report["face_model"] is None
    assert plain.report["reprojection_px_all"] > 2 * found.report["reprojection_px_all"]
    assert pose_errors(plain, acted)[1].max() > moved.max()


def pose_errors(found: head.Head, acted: Acted) -> tuple[np.ndarray, np.ndarray]:
    """Degrees, and shares of the distance, with both heads' axes, origins and sizes made one."""
    rotations, places = found.poses[:, :3, :3], found.poses[:, :3, 3]
    axes = mean_rotation(acted.rotations.transpose(0, 2, 1) @ rotations)
    known = np.concatenate(
        [acted.translations.reshape(-1, 1), acted.rotations.reshape(-1, 3)], axis=1
    )
    fitted = known @ np.linalg.lstsq(known, places.reshape(-1), rcond=None)[0]
    misses = np.linalg.norm(fitted.reshape(-1, 3) - places, axis=1)
    return degrees(acted.rotations @ axes, rotations), misses / np.linalg.norm(places, axis=1)


def test_expressions_are_recovered_and_stay_in_their_range(
    found: head.Head, acted: Acted, model: FaceModel
) -> None:
    told = found.expressions
    assert told is not None
    assert told.min() >= 0
    assert told.max() <= 1
    for name in ("jawOpen", "eyeBlink_L", "eyeBlink_R", "browInnerUp_L"):
        k = model.expression_names.index(name)
        true = acted.expressions[:, k]
        assert np.corrcoef(told[:, k], true)[0, 1] > 0.9, name
        assert np.ptp(told[:, k]) == pytest.approx(np.ptp(true), rel=0.45), name  # pulled to zero
    moves = person.moved(told, model) + found.mesh
    true_moves = acted.neutral + person.moved(acted.expressions, model)
    gap = np.linalg.norm(moves[:, 13] - moves[:, 14], axis=1)
    true_gap = np.linalg.norm(true_moves[:, 13] - true_moves[:, 14], axis=1)
    assert np.abs(gap - true_gap).mean() < 0.15  # centimetres; it opens by 0.9


def test_missing_frames_hold_the_nearest_and_wild_points_are_overruled(
    acted: Acted, model: FaceModel, found: head.Head
) -> None:
    points = acted.points.copy()
    points[50:54] = np.nan
    points[20, 100:120] += 6.0  # something passes
    hurt = follow(points, model)
    assert hurt.dropped == [(50, 54, "no face found")]
    assert hurt.expressions is not None
    assert np.array_equal(hurt.expressions[50:52], np.repeat(hurt.expressions[49:50], 2, axis=0))
    assert np.isfinite(hurt.poses).all()
    assert degrees(hurt.poses[20:21, :3, :3], found.poses[20:21, :3, :3])[0] < 0.3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "no face model that can be read"),
        ({"neutral": np.zeros((9, 3))}, "no face model that can be read"),
        (
            {
                "neutral": np.zeros((99, 3)),
                "id_delta": np.zeros((5, 99, 3)),
                "exp_delta": np.zeros((1, 98, 3)),
                "exp_names": np.array(["blink"]),
                "landmarks68": np.full(68, 99),
            },
            r"exp_delta is \(1, 98, 3\), 1 exp_names lack jawOpen, landmarks68 are not",
        ),
    ],
)
def test_a_wrong_file_is_told_in_a_sentence(
    content: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "face.npz", **content)
    with pytest.raises(GSTalkerError, match=said):
        morphable.read(tmp_path / "face.npz", np.zeros((468, 3)))


def test_a_damaged_or_absent_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "face.npz").write_bytes(b"PK no zip at all")
    with pytest.raises(GSTalkerError, match="no face model that can be read"):
        morphable.read(tmp_path / "face.npz", np.zeros((468, 3)))
    with pytest.raises(GSTalkerError, match="there is no face model at"):
        morphable.read(tmp_path / "none.npz", np.zeros((468, 3)))
