"""Films with foreign sound: what is said of them, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gstalker.data.capture import SAMPLES_PER_FRAME
from gstalker.errors import MediaError
from gstalker.experiment.head import steady_stretch
from gstalker.metrics import driven
from gstalker.metrics.driven import Film, loudness_db
from gstalker.metrics.protocol import Protocol, sentence

STILL = {"sound_corr", "sound_lag", "sound_corr_elsewhere"}


def filmed(capture, count):
    """Filmed frames in a row, as if they had been rendered, with the sound that goes with them."""
    first, stop = steady_stretch(capture)
    ids = np.arange(first, min(first + count, stop))
    own = capture.audio()[ids[0] * SAMPLES_PER_FRAME : (ids[-1] + 1) * SAMPLES_PER_FRAME]
    return ids, own


def film(capture, ids, samples, shown=None):
    frames = (capture.frame(int(i)) for i in ids)
    return Film(frames, samples, ids if shown is None else shown, "speech.wav", "5a3c")


def score(*args):
    return driven.score(*args)[0]


class MeanColour:
    """A face recogniser of its own kind: nobody is in a picture without red."""

    def __call__(self, picture):
        return picture.mean((0, 1)) if picture[..., 0].any() else None


def test_loudness_is_told_in_decibels_below_the_loudest_frame():
    samples = np.repeat([0.5, 0.05, 0.0], SAMPLES_PER_FRAME).astype(np.float32)
    assert loudness_db(samples, 3) == pytest.approx([0, -20, -40])
    assert loudness_db(samples, 4)[-1] == -driven.FLOOR_DB, "what is missing is silence"


def test_a_filmed_mouth_goes_with_its_own_sound_and_not_with_another_part_of_it(tiny_capture):
    ids, samples = filmed(tiny_capture, 90)
    found = score(film(tiny_capture, ids, samples), tiny_capture, Protocol())
    assert found["sound_corr"]["mean"] > 0.5
    assert found["sound_corr"]["mean"] > found["sound_corr_elsewhere"]["mean"] + 0.3
    assert found["sound_corr_filmed"]["mean"] > 0.5
    assert found["driven_faces_found"]["mean"] == 1.0


def test_a_mouth_that_is_late_is_told_by_how_much(tiny_capture):
    ids, samples = filmed(tiny_capture, 90)
    lags = [
        score(film(tiny_capture, ids, heard), tiny_capture, Protocol())["sound_lag"]["mean"]
        for heard in (samples, np.concatenate([samples[3 * SAMPLES_PER_FRAME :], samples[:1920]]))
    ]
    assert lags[1] - lags[0] == pytest.approx(3, abs=0.6)


def test_a_mouth_that_does_not_move_has_no_figure_instead_of_a_zero(tiny_capture):
    ids, samples = filmed(tiny_capture, 40)
    same = np.full_like(ids, ids[0])
    found = score(film(tiny_capture, same, samples[: 40 * 640]), tiny_capture, Protocol())
    assert {found[name]["reason"] for name in STILL} == {"the mouth does not move"}
    assert found["shake_lips"]["mean"] == pytest.approx(0)


def test_points_that_jump_to_and_fro_shake(tiny_capture):
    ids, samples = filmed(tiny_capture, 40)
    jumping = ids.copy()
    jumping[1::2] = ids[1::2] + 20
    calm, wild = (
        score(film(tiny_capture, which, samples), tiny_capture, Protocol())["shake_lips"]["mean"]
        for which in (ids, jumping)
    )
    assert wild > 2 * calm


def test_second_differences_are_in_thousandths_of_an_eye_distance():
    points = np.zeros((5, 1, 2))
    points[2] = (0.0, 0.01)  # of an eye distance; second differences 10, 20, 10 thousandths
    figures = driven.Figures(np.zeros(5, int), 10, 0)
    assert driven._shaking(points, figures)["mean"] == pytest.approx(40 / 3)


def test_what_cannot_be_asked_is_a_gap_with_its_reason(tiny_capture):
    ids, samples = filmed(tiny_capture, 20)
    found = score(film(tiny_capture, ids, samples), tiny_capture, Protocol())
    assert found["driven_sync_c"]["reason"] == "costs much and was not asked for: sync=true"
    asked = score(film(tiny_capture, ids, samples), tiny_capture, Protocol(sync=True))
    assert "syncnet_v2.model" in asked["driven_sync_c"]["reason"]
    assert "identity=my_lab.faces:Embed" in found["driven_identity"]["reason"]
    assert "lips only" in found["shake_eyes"]["reason"]
    silent = score(film(tiny_capture, ids, 0 * samples), tiny_capture, Protocol())
    assert "equally loud" in silent["sound_corr"]["reason"]


def test_a_film_that_breaks_off_is_refused(tiny_capture):
    ids, samples = filmed(tiny_capture, 10)
    short = film(tiny_capture, ids[:4], samples, ids)
    with pytest.raises(MediaError, match="breaks off after 4 frames"):
        score(short, tiny_capture, Protocol())
    long = film(tiny_capture, ids, samples, ids[:4])
    with pytest.raises(MediaError, match="more frames than the 4"):
        score(long, tiny_capture, Protocol())


def test_whose_face_it_is_is_held_to_the_frames_of_its_poses(tiny_capture):
    ids, samples = filmed(tiny_capture, 6)
    name = f"{__name__}:MeanColour"
    frames = [tiny_capture.frame(int(i)) // 2 for i in ids]
    frames[1] = frames[1][..., ::-1]
    frames[4] = np.zeros_like(frames[4])
    told = Film(frames, samples, ids, "speech.wav", "5a3c")
    found, record = driven.score(told, tiny_capture, Protocol(identity=name))
    entry = found[f"driven_identity_{name.replace(':', '.')}"]
    cosines = []
    for k in (0, 1, 2, 3, 5):
        a, b = (p.reshape(-1, 3).mean(0) for p in (frames[k], tiny_capture.frame(int(ids[k]))))
        cosines.append(a @ b / np.sqrt((a @ a) * (b @ b)))
    assert entry["mean"] == pytest.approx(np.mean(cosines), abs=1e-9)
    assert entry["n"] == 5
    assert record.backbones == {"driven_identity": name}


def test_what_was_done_to_a_film_is_a_protocol_like_any_other(tiny_capture):
    ids, samples = filmed(tiny_capture, 20)
    frames = [tiny_capture.frame(int(i)) for i in ids]
    frames[7] = tiny_capture.background
    to_and_fro = np.concatenate([ids[:12], ids[10:2:-1]])
    told = Film(frames, samples, to_and_fro, "speech.wav", "5a3c")
    chosen = Protocol(driven="sound", composite="drawn", codec="h264")
    record = driven.score(told, tiny_capture, chosen)[1].as_dict()
    assert record["split"] == {"rule": "film", "ids": f"{ids[0]}-{ids[11]}"}
    assert (record["offset"], record["frame_count"]) == (ids[0], 20)
    assert record["landmark_misses"] == {"ours": 1}
    assert (record["speech"], record["speech_sha256"]) == ("speech.wav", "5a3c")
    text = sentence(record)
    for part in (
        f"Film of speech.wav (20 frames, poses of frames {ids[0]}-{ids[11]})", "truth: none",
        "driven: sound", "codec: h264", "landmarks: synthetic (frames without a face: ours 1)",
        "regions: full the whole frame; mouth the points of the lips",
    ):  # fmt: skip
        assert part in text, text


def test_films_of_one_sound_share_a_column_whatever_was_missed(tiny_capture):
    ids, samples = filmed(tiny_capture, 20)

    def record(protocol=None, sha="5a3c", blank=()):
        frames = [
            tiny_capture.background if k in blank else tiny_capture.frame(int(i))
            for k, i in enumerate(ids)
        ]
        told = Film(frames, samples, ids, "speech.wav", sha)
        return driven.score(told, tiny_capture, protocol or Protocol())[1].fingerprint

    assert record() == record(blank=[3]) == record(Protocol(sync=True))
    assert len({record(), record(sha="99"), record(Protocol(max_lag=3))}) == 3
