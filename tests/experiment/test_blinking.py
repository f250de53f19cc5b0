"""A driven head blinks as it is told to, with its own lids, and the pictures show it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gstalker import blinks
from gstalker import config as configuration
from gstalker.data.dataset import standardised
from gstalker.data.synthetic import synthetic_voice
from gstalker.errors import ConfigError, MediaError
from gstalker.experiment import blinking
from gstalker.experiment.drive import drive
from gstalker.experiment.head import Head
from gstalker.experiment.train import train

FRAMES = 60 * 25


def taken(capture, choice, seed=0, frames=FRAMES):
    opened = blinking.openings(capture, choice, seed, frames=frames)
    return np.array(list(itertools.islice(opened, frames)))


def found_in(opening):
    return blinks.find(opening, np.ones(len(opening), bool), [(0, len(opening))]).blinks


def test_by_the_clock_there_is_one_blink_a_period(tiny_capture):
    found = found_in(taken(tiny_capture, "period:3"))
    usual = taken(tiny_capture, f"period:{60 / 26}")
    np.testing.assert_array_equal(taken(tiny_capture, "period"), usual)
    assert [b.lowest for b in found] == pytest.approx([37 + 75 * k for k in range(20)], abs=1)


def test_eyes_that_never_blink_stay_at_the_usual_level(tiny_capture):
    opening = taken(tiny_capture, "none")
    usable = np.arange(tiny_capture.frame_count) < tiny_capture.test_start
    own = blinks.find(tiny_capture.eye, usable, tiny_capture.segments)
    assert (opening == own.open_level).all()


def test_natural_blinks_come_26_times_a_minute_on_average():
    minutes = 60
    bottoms = itertools.takewhile(lambda at: at < minutes * 60 * 25, blinking.natural(1))
    gaps = np.diff(list(bottoms)) / 25
    assert 60 / gaps.mean() == pytest.approx(blinking.RATE_PER_MINUTE, rel=0.1)
    assert gaps.min() >= 0.36  # 0.4 s, rounded to frames
    assert gaps.std() > 0.5 * gaps.mean()  # not by the clock


def test_the_same_seed_blinks_alike_and_another_differently(tiny_capture):
    one, same, other = (taken(tiny_capture, "natural", seed) for seed in (3, 3, 4))
    assert (one == same).all()
    assert (one != other).any()


def test_blinks_stay_within_the_range_of_these_eyes(tiny_capture):
    opening = taken(tiny_capture, "natural")
    own = blinking.lids(tiny_capture)
    assert opening.max() <= own.open_level + 1e-9
    assert opening.min() >= own.closed_level - 1e-9
    assert opening.min() == pytest.approx(own.closed_level)
    assert own.closed_level < 0.72 * own.open_level


def test_a_capture_that_never_blinks_gets_a_textbook_blink(tiny_capture, monkeypatch):
    monkeypatch.setitem(vars(tiny_capture), "eye", np.full(tiny_capture.frame_count, 0.1))
    opening = taken(tiny_capture, "period:2", frames=100)
    assert opening.max() == pytest.approx(0.1)
    assert opening.min() == pytest.approx(0.025)
    assert len(found_in(opening)) == 2


def test_openings_of_a_file_are_taken_as_they_are(tiny_capture, tmp_path):
    wanted = np.linspace(0.05, 0.1, 50)
    np.save(tmp_path / "eyes.npy", wanted)
    np.savetxt(tmp_path / "eyes.csv", wanted)
    for name in ("eyes.npy", "eyes.csv"):
        got = taken(tiny_capture, str(tmp_path / name), frames=50)
        assert got == pytest.approx(wanted)
    with pytest.raises(MediaError, match="50 openings, but the sound has 51 frames"):
        taken(tiny_capture, str(tmp_path / "eyes.npy"), frames=51)


@pytest.mark.parametrize("content", [np.zeros((5, 2)), np.array([0.1, np.nan]), None])
def test_a_file_without_openings_is_a_sentence(tiny_capture, tmp_path, content):
    path = tmp_path / "eyes.npy"
    if content is not None:
        np.save(path, content)
    with pytest.raises(MediaError, match=r"eyes\.npy"):
        taken(tiny_capture, str(path), frames=1)


@pytest.mark.parametrize("choice", ["wink", "period:", "period:x", "period:0.1", "period:nan"])
def test_an_unknown_way_to_blink_is_a_sentence(tiny_capture, choice):
    with pytest.raises(ConfigError, match="blink="):
        blinking.openings(tiny_capture, choice, frames=1)


def test_filmed_leaves_the_eyes_to_the_head(tiny_capture):
    assert blinking.eyes(tiny_capture, "filmed", frames=5) is None


def test_the_head_is_given_the_unit_that_it_was_trained_with(tiny_capture, tmp_path):
    np.save(tmp_path / "eyes.npy", tiny_capture.eye)
    count = tiny_capture.frame_count
    got = list(blinking.eyes(tiny_capture, str(tmp_path / "eyes.npy"), frames=count))
    assert got == pytest.approx(standardised(tiny_capture.eye, tiny_capture.split()[0]), abs=1e-4)


# ---------------------------------------------------------------------- in pictures


@pytest.fixture(scope="module")
def run(tiny_capture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("blinking")
    (folder / "gstalker.yaml").write_text("method:\n  name: gstalker\n")
    steps = ["method.static.steps=60", "method.deform.steps=150"]
    overrides = [f"capture={tiny_capture.folder}", f"runs={folder / 'runs'}", *steps]
    return train(
        configuration.compose(
            folder / "gstalker.yaml", [*overrides, "method.static.start.max_gaussians=800"]
        )
    )


def test_a_blink_reaches_the_pictures_and_only_then(run, tiny_capture):
    """One pose and silence, so that nothing but the lids can move."""
    head = Head.open(run.path)
    still = tiny_capture.poses[:1].expand(50, 4, 4)
    silence = np.zeros(50 * 640, np.float32)

    def pictures(choice):
        opened = blinking.eyes(tiny_capture, choice, frames=50)
        return np.stack(list(head.frames(silence, still, opened))).astype(int)

    change = np.abs(pictures("period:2") - pictures("none")).reshape(50, -1).sum(1)
    own = blinking.lids(tiny_capture)
    first, stop = 25 - own.bottom, 25 - own.bottom + len(own.shape)
    assert change[25] > 0
    assert change.argmax() == pytest.approx(25, abs=2)
    assert change[:first].max() == change[stop:].max() == 0


def test_drive_takes_the_choice_and_refuses_others(run, tmp_path):
    from gstalker.data.writer import write_wav

    write_wav(tmp_path / "a.wav", synthetic_voice(0.4, seed=1))
    out = drive(run, tmp_path / "a.wav", tmp_path / "o.mp4", ["blink=natural", "blink_seed=2"])
    assert out.stat().st_size > 0
    with pytest.raises(ConfigError, match="blink=wink"):
        drive(run, tmp_path / "a.wav", tmp_path / "no.mp4", ["blink=wink"])
    with pytest.raises(ConfigError, match="seed=1 would make another run"):
        drive(run, tmp_path / "a.wav", tmp_path / "no.mp4", ["seed=1"])
    assert not (tmp_path / "no.mp4").exists()
