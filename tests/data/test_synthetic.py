"""The synthetic speaker: exact where it says so, and hard where it should be."""

import numpy as np
import pytest

from gstalker import face as layouts
from gstalker.data import synthetic
from gstalker.data import synthetic_face as face
from gstalker.data.capture import BACKGROUND, HEAD, MOUTH, TORSO
from gstalker.data.synthetic import make_synthetic_capture
from gstalker.data.synthetic_voice import CONSONANTS, VOWELS, speak, synthetic_voice

SIZE = 64


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "two"
    return make_synthetic_capture(folder, seconds=8, size=SIZE, seed=3, takes=2)


def test_landmarks_are_the_projected_face_under_the_exact_pose(capture):
    # A nose point does not move with the mouth, so it is mesh vertex 30 in every frame.
    nose = capture.mesh[30]
    for i in (0, 57, 199):
        seen = capture.poses[i, :3, :3].numpy() @ nose + capture.poses[i, :3, 3].numpy()
        pixel = (capture.Ks.numpy() @ (seen / seen[2]))[:2]
        np.testing.assert_allclose(capture.landmarks[i, 30], pixel, atol=1e-3)


def test_poses_are_rotations(capture):
    rotation = capture.poses[:, :3, :3].numpy()
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (200, 3, 3)), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-6)


@pytest.mark.parametrize(("gap_cm", "width"), [(0.0, 1.0), (0.7, 1.16), (2.1, 0.66)])
def test_moving_a_point_and_asking_where_it_was_at_rest_gives_it_back(gap_cm, width):
    mouth = face.Mouth(gap_cm, width)
    rest, jaw = face.landmark_places()
    there = face.moved(rest[48:, 0], rest[48:, 1], mouth, jaw[48:])
    x, y, _ = face.rest_place(there[:, 0], there[:, 1], mouth)
    # 45 bisections of a few centimetres leave less than 1e-12 cm.
    np.testing.assert_allclose(np.stack([x, y], axis=1), rest[48:], atol=1e-9)


def test_the_inner_lips_part_by_exactly_the_gap():
    rest, jaw = face.landmark_places()
    there = face.moved(rest[[62, 66], 0], rest[[62, 66], 1], face.Mouth(1.3, 1.1), jaw[[62, 66]])
    assert there[1, 1] - there[0, 1] == pytest.approx(1.3, abs=1e-9)
    assert there[0, 0] == pytest.approx(0, abs=1e-9)


def test_landmarks_lie_on_the_surface_that_is_painted(capture):
    for index in (3, 120, 180):
        mask, points = capture.mask(index), capture.landmarks[index]
        # Between the outer and the inner contour there is lip; the mouth's middle is mouth.
        for a, b in ((51, 62), (57, 66)):
            x, y = (points[a] + points[b]) / 2
            assert mask[int(y), int(x)] == MOUTH
        x, y = points[33]
        assert mask[int(y), int(x)] == HEAD


def test_mouth_and_eye_are_gaps_over_the_outer_eye_distance(capture):
    points = capture.landmarks.astype(np.float64)
    ruler = np.linalg.norm(points[:, 36] - points[:, 45], axis=-1)
    gap = np.linalg.norm(points[:, 62] - points[:, 66], axis=-1)
    lids = (
        np.linalg.norm(points[:, 37] - points[:, 41], axis=-1)
        + np.linalg.norm(points[:, 44] - points[:, 46], axis=-1)
    ) / 2
    np.testing.assert_allclose(capture.mouth, gap / ruler, atol=1e-5)
    np.testing.assert_allclose(capture.eye, lids / ruler, atol=1e-5)


def test_the_wall_stands_still_and_shows_wherever_the_mask_says_background(capture):
    for index in (0, 99, 150):
        empty = capture.mask(index) == BACKGROUND
        # Three pixels from the speaker: his edges are soft.
        inner = empty.copy()
        for axis in (0, 1):
            for step in range(-3, 4):
                inner &= np.roll(empty, step, axis)
        assert inner.mean() > 0.2
        np.testing.assert_array_equal(capture.frame(index)[inner], capture.background[inner])


def test_every_label_is_seen(capture):
    shares = np.bincount(capture.mask(0).ravel(), minlength=4) / SIZE**2
    assert shares[BACKGROUND] > 0.2
    assert shares[TORSO] > 0.1
    assert shares[HEAD] > 0.15
    assert 0.002 < shares[MOUTH] < 0.05


def test_an_open_mouth_is_darker_than_a_closed_one(capture):
    layout = layouts.layout("synthetic68")

    def darkest(index):
        points = capture.landmarks[index][list(layout.inner_lips)]
        (x0, y0), (x1, y1) = points.min(0).astype(int), np.ceil(points.max(0)).astype(int) + 1
        return int(capture.frame(index)[y0:y1, x0:x1, 0].min())

    assert darkest(int(capture.mouth.argmax())) < darkest(int(capture.mouth.argmin())) - 25


def test_takes_are_segments_with_a_jump_between_them(capture):
    assert capture.segments == [(0, 100), (100, 200)]
    step = np.linalg.norm(np.diff(capture.landmarks[:, 30], axis=0), axis=-1)
    assert step.argmax() == 99


def test_the_mesh_is_the_resting_face_with_the_landmarks_first(capture):
    assert len(capture.mesh) >= 300
    rest, _ = face.landmark_places()
    np.testing.assert_allclose(capture.mesh[:68, :2], rest, atol=1e-5)
    assert capture.mesh[:, 2].max() < 3


def test_the_same_seed_films_the_same_capture_and_another_seed_another(tmp_path):
    def film(name, seed):
        folder = tmp_path / name / "one"
        return make_synthetic_capture(folder, seconds=1, size=16, seed=seed).content_id

    assert film("a", 0) == film("b", 0)
    assert film("a", 0) != film("c", 1)


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0.5}, {"size": 8}, {"takes": 0}, {"seconds": 3, "takes": 4}]
)
def test_what_cannot_be_filmed_is_refused_before_a_file_is_written(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected at least 1 take"):
        make_synthetic_capture(tmp_path / "x", **{"seconds": 2, "size": 16, **wrong})
    assert not (tmp_path / "x").exists()


# ---------------------------------------------------------------------- movement and sound


def test_blinks_are_blind_to_the_sound():
    motion = synthetic._motion(3000, [5, 0])
    assert abs(np.corrcoef(motion.openness, motion.speech.opening)[0, 1]) < 0.1
    blinks = np.diff((motion.openness < 0.3).astype(int)) == 1
    assert 20 <= blinks.sum() <= 70  # in two minutes


def test_the_torso_follows_the_head_late():
    motion = synthetic._motion(3000, [5, 0])
    head, torso = motion.viewmats[:, 0, 3], motion.torso[:, 0]
    curve = [np.corrcoef(head[50:-50], np.roll(torso, -lag)[50:-50])[0, 1] for lag in range(25)]
    assert 4 <= int(np.argmax(curve)) <= 16
    assert max(curve) > curve[0] + 0.01


def test_a_driving_voice_is_repeatable_of_the_asked_length_and_new_for_a_new_seed():
    one = synthetic_voice(2.0, 4)
    assert one.dtype == np.float32
    assert one.shape == (32000,)
    assert 0.05 < np.abs(one).max() <= 1
    np.testing.assert_array_equal(one, synthetic_voice(2.0, 4))
    assert not np.array_equal(one, synthetic_voice(2.0, 5))


def test_loudness_and_opening_are_set_apart():
    assert VOWELS["u"].voiced > VOWELS["a"].voiced
    assert VOWELS["u"].opening < 0.2 * VOWELS["a"].opening
    assert CONSONANTS["m"].voiced > 0.5
    assert CONSONANTS["m"].opening == 0
    assert CONSONANTS["s"].noise[0] > 0.6
    assert CONSONANTS["s"].opening < 0.2


def test_loudness_alone_tells_little_about_the_mouth():
    speech = speak(60, 1)
    loudness = np.sqrt(np.square(speech.samples.reshape(-1, 640)).mean(1))
    for signal in (loudness, np.log(loudness + 1e-4)):
        assert np.corrcoef(signal, speech.opening)[0, 1] < 0.7


def test_vowels_sound_at_their_formants():
    # Long-term spectra of a voice that says one vowel only peak within a harmonic of F1.
    from gstalker.data import synthetic_voice as voice

    for name in ("a", "i"):
        phone = VOWELS[name]
        track = {f"formant{k}": np.full(400, float(f)) for k, f in enumerate(phone.formants_hz)}
        track |= {"voiced": np.ones(400), "pitch_hz": np.full(400, 100.0)}
        samples = voice._voiced(track)
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(1.0, rel=0.02)
        power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
        hertz = np.fft.rfftfreq(len(samples), 1 / 16000)
        assert hertz[power.argmax()] == pytest.approx(phone.formants_hz[0], abs=101)


def test_lips_are_shut_in_the_middle_of_a_pause():
    speech = speak(60, 2)
    loudness = np.sqrt(np.square(speech.samples.reshape(-1, 640)).mean(1))
    quiet = np.convolve(loudness < 2e-3, np.ones(7), mode="same") == 7
    assert quiet.sum() > 20
    assert np.median(speech.opening[quiet]) < 0.05
