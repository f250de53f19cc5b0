"""Shapes made of landmarks, and a morphable face made this speaker's."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gstalker.data.capture import Capture
from gstalker.deform.blendshapes import displacements, from_landmarks, from_model
from gstalker.errors import CaptureError, ConfigError

FRAMES, FOCAL = 60, 400.0


def speaker(moved, mesh):
    """A capture whose 68 landmarks are seen where the mesh, moved, is."""
    rng = np.random.default_rng(1)
    poses = np.tile(np.eye(4), (len(moved), 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.03, (len(moved), 3))).as_matrix()
    poses[:, :3, 3] = rng.normal(0, 1, (len(moved), 3)) + [0, 0, 80]
    Ks = np.array([[FOCAL, 0, 64], [0, FOCAL, 64], [0, 0, 1.0]])
    camera = np.einsum("fij,flj->fli", poses[:, :3, :3], mesh + moved) + poses[:, None, :3, 3]
    pixels = camera[..., :2] / camera[..., 2:] * FOCAL + 64
    gap = np.linalg.norm(moved[:, 66] - moved[:, 62], axis=1)
    capture = Capture.__new__(Capture)  # no folder: only what is asked of it here
    vars(capture).update(
        folder="captures/me", meta={"landmarks": "synthetic68"}, mesh=mesh.astype(np.float32),
        landmarks=pixels, poses=torch.from_numpy(poses).float(),
        Ks=torch.from_numpy(Ks).float(), mouth=gap.astype(np.float32),
    )  # fmt: skip
    return capture


def face_points():
    rng = np.random.default_rng(0)
    return rng.uniform([-6, -8, -2], [6, 8, 0], (68, 3))


@pytest.fixture
def two_ways():
    """Landmarks that move in two ways across the view."""
    rng = np.random.default_rng(2)
    ways = rng.normal(0, 1, (2, 68, 3)) * [1, 1, 0]
    amounts = rng.normal(0, 1, (FRAMES, 2)) * [0.4, 0.2]
    return ways, amounts, np.einsum("fk,klc->flc", amounts, ways)


def test_a_displacement_is_found_across_the_view_in_centimetres(two_ways):
    _, _, moved = two_ways
    vertices, found = displacements(speaker(moved, face_points()))
    assert vertices.tolist() == list(range(68))
    # What a turn of some degrees takes out of the view is not seen: mostly depth, a little across.
    assert np.abs(found - moved)[..., :2].max() < 0.03
    assert np.abs(found - moved)[..., 2].max() < 0.25


def test_shapes_made_of_landmarks_say_again_what_was_seen(two_ways):
    _, _, moved = two_ways
    capture = speaker(moved, face_points())
    face = from_landmarks(capture, np.arange(FRAMES), count=2)
    again = face.rest + np.einsum("fk,kvc->fvc", face.seen, face.shapes)
    assert np.abs(again - (face_points() + moved)).max() < 0.15
    assert face.seen.std(0) == pytest.approx([1, 1], rel=0.02)
    assert face.triangles.max() == 67


def test_frames_without_a_face_have_the_mean_and_only_training_frames_are_learned_from(two_ways):
    _, _, moved = two_ways
    capture = speaker(moved, face_points())
    whole = from_landmarks(capture, np.arange(40), count=2)
    capture.landmarks[50:] = np.nan
    part = from_landmarks(capture, np.arange(40), count=2)
    assert np.array_equal(whole.shapes, part.shapes)
    assert (part.seen[50:] == 0).all()
    with pytest.raises(CaptureError, match="3 training frames with a face, too few for 4"):
        from_landmarks(capture, np.arange(3), count=4)


@pytest.fixture
def model_file(tmp_path):
    """A morphable face in units and axes of its own, whose landmarks are every second vertex."""
    rng = np.random.default_rng(4)
    neutral = np.repeat(face_points(), 2, axis=0) / 7
    expressions = rng.normal(0, 0.06, (5, 136, 3))
    identities = rng.normal(0, 0.01, (3, 136, 3))
    arrays = {
        "neutral": neutral.astype(np.float32), "exp_delta": expressions.astype(np.float16),
        "id_delta": identities.astype(np.float16), "quads": np.array([[0, 2, 4, 6]], np.int32),
        "landmarks68": np.arange(0, 136, 2, dtype=np.int32),
    }  # fmt: skip
    np.savez(tmp_path / "face.npz", **arrays)
    return tmp_path / "face.npz", arrays


def test_a_morphable_face_is_brought_to_the_speaker_and_its_expressions_are_found(model_file):
    path, model = model_file
    turn = Rotation.from_euler("xyz", [180, 5, 3], degrees=True).as_matrix()
    mesh = 9.0 * model["neutral"][::2].astype(float) @ turn.T + [0.3, 1.0, -2.0]
    rng = np.random.default_rng(6)
    amounts = rng.uniform(0, 1, (FRAMES, 5))
    shapes = 9.0 * model["exp_delta"][:, ::2].astype(float) @ turn.T
    capture = speaker(np.einsum("fk,klc->flc", amounts, shapes), mesh)
    capture.landmarks[7] = np.nan
    face = from_model(path, capture, np.arange(FRAMES))
    assert np.abs(face.rest[::2] - mesh).max() < 0.05
    found = np.delete(face.seen, 7, axis=0)
    assert np.abs(found - np.delete(amounts, 7, axis=0)).mean() < 0.08
    assert face.seen[7] == pytest.approx(found.mean(0))
    assert (face.seen >= 0).all()
    assert face.triangles.tolist() == [[0, 2, 4], [0, 4, 6]]


@pytest.mark.parametrize("fault", ["absent", "text", "pickled", "lacks"])
def test_a_file_that_is_no_face_is_refused_in_a_sentence(tmp_path, model_file, fault, two_ways):
    path = tmp_path / "other.npz"
    if fault == "text":
        path.write_text("no model")
    elif fault == "pickled":
        np.savez(path, **{**model_file[1], "neutral": np.array([object()])})
    elif fault == "lacks":
        np.savez(path, neutral=np.zeros((4, 3)))
    with pytest.raises(ConfigError, match=r"method\.model"):
        from_model(path, speaker(two_ways[2], face_points()), np.arange(3))


def test_the_open_morphable_face_fits_the_synthetic_speaker(shared, tiny_capture):
    """Real file: jaw and lips of the synthetic head are found in its expressions."""
    path = shared / "data/model3d/ict_facekit_face9409_fp16.npz"
    train, _ = tiny_capture.split()
    face = from_model(path, tiny_capture, train)
    names = list(np.load(path, allow_pickle=False)["exp_names"])
    jaw = face.seen[:, names.index("jawOpen")]
    # how well: from the same 68 points whose inner-lip gap is the capture's mouth signal
    assert np.corrcoef(jaw, tiny_capture.mouth)[0, 1] > 0.8
    box = np.ptp(face.rest, axis=0)
    assert 10 < box[0] < 30
    assert 15 < box[1] < 40
