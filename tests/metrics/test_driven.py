"""Films with foreign sound: what is said of them, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gstalker.data.capture import SAMPLES_PER_FRAME
from gstalker.errors import MediaError
from gstalker.experiment.head import steady_stretch
from gstalker.metrics import driven
from gstalker.metrics.driven import Film, loudness_db, score
from gstalker.metrics.protocol import Protocol

STILL = {"sound_corr", "sound_lag", "sound_corr_elsewhere"}


def filmed(capture, count):
    """Filmed frames in a row, as if they had been rendered, with the sound that goes with them."""
    first, stop = steady_stretch(capture)
    ids = np.arange(first, min(first + count, stop))
    own = capture.audio()[ids[0] * SAMPLES_PER_FRAME : (ids[-1] + 1) * SAMPLES_PER_FRAME]
    return ids, own


def film(capture, ids, samples):
    return Film((capture.frame(int(i)) for i in ids), samples, ids)


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
    assert "no recogniser" in found["driven_identity"]["reason"]
    assert "lips only" in found["shake_eyes"]["reason"]
    silent = score(film(tiny_capture, ids, 0 * samples), tiny_capture, Protocol())
    assert "equally loud" in silent["sound_corr"]["reason"]


def test_a_film_that_breaks_off_is_refused(tiny_capture):
    ids, samples = filmed(tiny_capture, 10)
    short = Film((tiny_capture.frame(int(i)) for i in ids[:4]), samples, ids)
    with pytest.raises(MediaError, match="breaks off after 4 frames"):
        score(short, tiny_capture, Protocol())
    long = Film((tiny_capture.frame(int(i)) for i in ids), samples, ids[:4])
    with pytest.raises(MediaError, match="more frames than the 4"):
        score(long, tiny_capture, Protocol())
