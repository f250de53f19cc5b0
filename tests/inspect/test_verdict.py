"""Every doubt about a capture has its reason and what mends it, and a good one has none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gstalker.blinks import Blinking
from gstalker.inspect.advice import prepare_command
from gstalker.inspect.facts import Facts, Misfit, Sound
from gstalker.inspect.looks import Looks
from gstalker.inspect.verdict import judge, verdict
from gstalker.prepare.tracking import cover

F = 25 * 120
META = {
    "name": "me",
    "width": 512,
    "height": 512,
    "focal_px": 1700.0,
    "landmarks": "mediapipe478",
    "content_id": "0" * 64,
    "dropped": [],
    "features": {"whisper": {"dim": 384, "rows_per_frame": 2}},
    "tracker": {"reprojection_px": 0.6, "smooth_frames": 1.0},
    "source": {"file": "talk.mp4", "width": 512},
    "view": {"crop_width": 512},
}


@pytest.fixture
def good() -> Facts:
    """Two minutes of a close, sharp, well-recorded talker."""
    rng = np.random.default_rng(0)
    looks = Looks(
        ids=np.arange(0, F, 30),
        areas=np.tile([0.5, 0.2, 0.296, 0.004], (100, 1)),
        blur=np.full(100, 0.47),
        plate_levels=np.full(100, 2.0),
        noise_levels=np.full(100, 0.5),
        cut_off=np.zeros(100, bool),
        unseen_share=0.5,
    )
    sound = Sound(np.full(F, -25.0), np.ones(F, bool), -25.0, -60.0, 0.0)
    return Facts(
        folder=Path("captures/me"),
        meta=META,
        usable=np.ones(F, bool),
        segments=[(0, F)],
        train_frames=2727,
        test_frames=273,
        test_start=2727,
        eye_px=130.0,
        face_px=280.0,
        angles=rng.normal(0, 4, (F, 3)),
        distance_cm=np.full(F, 100.0),
        jitter_deg=0.09,
        jitter_px=0.15,
        misfit=Misfit(np.full(F, 0.6), np.full(468, 0.6)),
        eye=rng.normal(0.1, 0.01, F),
        mouth=rng.normal(0.1, 0.045, F),
        blinking=Blinking((), 120.0, 0.1, 0.02, 0.001),
        sound=sound,
        looks=looks,
        size_bytes=10**9,
    )


@pytest.fixture(autouse=True)
def _blinks(good: Facts) -> None:
    from gstalker.blinks import Blink

    blinks = tuple(Blink(k, k + 2, k + 4, 0.02) for k in range(50, F, 60))
    object.__setattr__(good, "blinking", dataclasses.replace(good.blinking, blinks=blinks))


def with_meta(facts: Facts, **changes: object) -> Facts:
    return dataclasses.replace(facts, meta={**facts.meta, **changes})


def with_sound(facts: Facts, **changes: object) -> Facts:
    return dataclasses.replace(facts, sound=dataclasses.replace(facts.sound, **changes))


def with_looks(facts: Facts, **changes: object) -> Facts:
    return dataclasses.replace(facts, looks=dataclasses.replace(facts.looks, **changes))


def shortened(facts: Facts, seconds: float) -> Facts:
    n = round(seconds * 25)
    signals = {name: getattr(facts, name)[:n] for name in ("usable", "angles", "eye", "mouth")}
    return dataclasses.replace(facts, **signals)


def test_a_good_capture_has_no_doubts(good: Facts) -> None:
    assert judge(good) == []
    assert verdict(judge(good)) == "fit to train"


CAUTIONS = {
    "29 s": (lambda g: shortened(g, 29), "29.0 s of usable film", "prepare LONGER.mp4"),
    "a fifth lost": (
        lambda g: with_meta(
            dataclasses.replace(g, usable=np.arange(F) % 5 > 0),
            dropped=[
                {"start": 0, "stop": 500, "reason": "no face found"},
                {"start": 500, "stop": 600, "reason": "damaged picture: grey"},
            ],
        ),
        "20% of the frames were dropped, most of them for: no face found",
        "prepare BETTER.mp4 captures/NEW",
    ),
    "a fifth damaged": (
        lambda g: with_meta(
            dataclasses.replace(g, usable=np.arange(F) % 5 > 0),
            dropped=[{"start": 0, "stop": 600, "reason": "the file is damaged: broken blocks"}],
        ),
        "20% of the frames were dropped, most of them for: the file is damaged",
        "copy the file anew",
    ),
    "twelve pictures a second": (
        lambda g: with_meta(g, source={"file": "talk.mp4", "width": 512, "fps": 12.0}),
        "12 pictures a second: 52% of the frames repeat another",
        "25 pictures a second",
    ),
    "a small face": (
        lambda g: with_meta(
            dataclasses.replace(g, eye_px=30.0, face_px=60.0), view={"crop_width": 1920}
        ),
        "60 pixels tall",
        "crop=head",
    ),
    "a small face filmed small": (
        lambda g: dataclasses.replace(g, eye_px=30.0, face_px=60.0),
        "lips and teeth will be coarse",
        "film closer",
    ),
    "a blurred mouth": (lambda g: with_looks(g, blur=np.full(100, 0.9)), "0.90", "max_side=256"),
    "a profile": (
        lambda g: dataclasses.replace(
            g, angles=np.where(np.arange(F) < 300, 60, 0)[:, None] + [0, 0, 0]
        ),
        "10% of the frames the head is turned by more than 45",
        "cut these stretches out",
    ),
    "shaking poses": (
        lambda g: dataclasses.replace(g, jitter_px=3.0),
        "tremble by 3.0 pixels",
        "smooth_frames=2",
    ),
    "another's face": (
        lambda g: with_meta(g, tracker={"reprojection_px": 3.9}),
        "misses its landmarks by 3.9 pixels",
        "focal_px=",
    ),
    "a dub": (
        lambda g: with_meta(g, sync={"offset_frames": None, "reason": "no lag stands out"}),
        "no lag stands out",
        "is it this person",
    ),
    "quiet": (lambda g: with_sound(g, speech_db=-50.0, floor_db=-80.0), "50 dB below", "recording"),
    "clipped": (lambda g: with_sound(g, clipped_share=0.01), "1.0% of the sound", "recording"),
    "noise": (lambda g: with_sound(g, floor_db=-30.0), "only 5 dB louder", "recording"),
    "silence": (lambda g: with_sound(g, speaks=np.arange(F) < 600), "Only 20%", "silence out"),
    "a calm mouth": (
        lambda g: dataclasses.replace(g, mouth=g.mouth / 4),
        "The mouth hardly moves",
        "in which this person speaks",
    ),
    "no mouth mask": (
        lambda g: with_looks(g, areas=np.tile([0.5, 0.2, 0.3, 0.0], (100, 1))),
        "no mouth interior",
        "parser=my_lab.parser:Oval",
    ),
    "no mouth by a parser of one's own": (
        lambda g: with_meta(
            with_looks(g, areas=np.tile([0.5, 0.2, 0.3, 0.0], (100, 1))),
            parser={"name": "my_lab.parser:Oval"},
        ),
        "no mouth interior",
        "take ours: gstalker prepare talk.mp4 captures/me parser=colour",
    ),
    "no blink": (
        lambda g: dataclasses.replace(g, blinking=Blinking((), 120.0, 0.1, None, 0.001)),
        "No blink was seen in 120 s",
        "eye=blendshapes",
    ),
    "faint blinks": (
        lambda g: dataclasses.replace(g, blinking=dataclasses.replace(g.blinking, noise=0.02)),
        "only 4 times deeper",
        "eye=blendshapes",
    ),
    "a moving camera": (
        lambda g: with_looks(g, plate_levels=np.full(100, 30.0)),
        "by 30 levels",
        "fixed camera",
    ),
    "a film of a dim room": (
        lambda g: with_looks(g, noise_levels=np.full(100, 5.1)),
        "tremble by 5.1 levels. No head can learn that, so none scores more than about 34 dB",
        "more light",
    ),
    "a head cut off": (
        lambda g: with_looks(g, cut_off=np.arange(100) < 50),
        "out of the picture in 50%",
        "air around it",
    ),
    "only mel": (
        lambda g: with_meta(g, features={"mel": {"dim": 80, "rows_per_frame": 4}}),
        "only sound features are log-mel",
        "audio=whisper",
    ),
    "what prepare said": (
        lambda g: with_meta(g, cautions=[{"what": "A second face.", "do": "--face 2"}]),
        "A second face.",
        "--face 2",
    ),
}
FATAL = {
    "no head mask": (
        lambda g: with_looks(g, areas=np.tile([0.5, 0.45, 0.05, 0.0], (100, 1))),
        "a head on 5.0% of the picture: far too little for a face 280 pixels tall",
        "parser=colour",
    ),
    "4 s": (lambda g: shortened(g, 4), "4.0 s of usable film are too little", "LONGER"),
    "no test": (lambda g: dataclasses.replace(g, test_frames=0), "0 to test with", "LONGER"),
    "a dot": (lambda g: dataclasses.replace(g, eye_px=10.0), "one or two pixels", "closer"),
    "silent": (lambda g: with_sound(g, speech_db=-70.0), "as good as silent", "recording"),
    "a still mouth": (
        lambda g: dataclasses.replace(g, mouth=np.full(F, 0.1)),
        "does not move",
        "speaks",
    ),
}


@pytest.mark.parametrize("case", CAUTIONS.values(), ids=CAUTIONS)
def test_one_fault_is_one_caution_with_what_mends_it(good: Facts, case) -> None:
    spoil, words, mend = case
    findings = judge(spoil(good))
    assert [f.severity for f in findings] == ["caution"]
    assert words in findings[0].sentence
    assert mend in findings[0].mend
    assert verdict(findings) == "fit with cautions"


@pytest.mark.parametrize("case", FATAL.values(), ids=FATAL)
def test_what_cannot_be_trained_is_not_fit(good: Facts, case) -> None:
    spoil, words, mend = case
    first = judge(spoil(good))[0]
    assert first.severity == "fatal"
    assert words in first.sentence
    assert mend in first.mend
    assert verdict([first]) == "not fit"


def test_the_fatal_come_first(good: Facts) -> None:
    both = with_looks(dataclasses.replace(good, test_frames=0), blur=np.full(100, 0.9))
    assert [f.severity for f in judge(both)] == ["fatal", "caution"]


def test_a_known_offset_is_left_to_the_cautions_of_prepare(good: Facts) -> None:
    assert judge(with_meta(good, sync={"offset_frames": 3.0, "reason": ""})) == []


def test_eyes_that_were_chosen_constant_are_no_fault(good: Facts) -> None:
    still = dataclasses.replace(good, eye=np.ones(F))
    assert judge(dataclasses.replace(still, blinking=Blinking((), 120.0, 1.0, None, 0.0))) == []


def test_a_take_that_is_lost_for_its_face_may_be_another_persons(good: Facts) -> None:
    takes = dataclasses.replace(good, segments=[(0, 75), (75, 150), (150, F)])

    def lost(start: int, stop: int, reason: str = cover.REASON) -> list[str]:
        told = with_meta(takes, dropped=[{"start": start, "stop": stop, "reason": reason}])
        return [finding.sentence for finding in judge(told)]

    assert lost(75, 150) == [
        "Take 2 of 3 (seconds 3.0 to 6.0 of the film) was left out as a whole: its lower face does "
        "not look like the other takes'. Is it another person's?"
    ]
    assert lost(75, 149) == []  # a hand that came and went
    assert lost(75, 150, "damaged picture: grey") == []


def test_names_with_spaces_are_quoted_in_commands(good: Facts) -> None:
    spaced = with_meta(good, source={"file": "my talk.mp4", "width": 512})
    (doubt,) = judge(with_meta(spaced, features={"mel": {}}))
    assert doubt.mend.endswith("gstalker prepare 'my talk.mp4' captures/me audio=whisper")


def test_what_was_chosen_is_chosen_again_and_another_film_wants_another_folder(good: Facts) -> None:
    source = {"path": "films/talk.mp4", "choices": {"face": 2, "eye": "blendshapes"}}
    chosen = with_meta(good, source=source, sync={"applied_frames": 4.8, "offset_frames": 4.8})
    assert prepare_command(chosen, "eye=landmarks") == (
        "gstalker prepare films/talk.mp4 captures/me face=2 --fix-sync eye=landmarks"
    )
    (quiet,) = judge(with_sound(chosen, speech_db=-50.0, floor_db=-80.0))
    assert quiet.mend.endswith(
        "gstalker prepare BETTER.mp4 captures/NEW face=2 eye=blendshapes --fix-sync"
    )


def test_eyes_are_asked_of_whom_was_not_asked_yet(good: Facts) -> None:
    unseen = dataclasses.replace(good, blinking=Blinking((), 120.0, 1.0, None, 0.0))
    for asked, other in (("landmarks", "blendshapes"), ("blendshapes", "landmarks")):
        (doubt,) = judge(with_meta(unseen, eye={"provider": asked}))
        assert doubt.mend.endswith(f"eye={other}")


def test_an_imported_capture_is_mended_by_import_or_from_the_video_itself(good: Facts) -> None:
    brought = with_meta(good, source={"file": "May", "imported": {"layout": "er-nerf"}})
    (deaf,) = judge(with_meta(brought, features={"mel": {}}))
    assert deaf.mend.endswith("gstalker import May captures/me audio=whisper")
    (quiet,) = judge(with_sound(brought, speech_db=-50.0, floor_db=-80.0))
    assert quiet.mend.endswith("gstalker prepare BETTER.mp4 captures/NEW")
    assert prepare_command(brought, "focal_px=900") == (
        "gstalker prepare VIDEO captures/NEW focal_px=900"
    )
