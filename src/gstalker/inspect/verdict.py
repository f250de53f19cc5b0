"""Is a capture fit to train a head from? Every doubt with its reason and what mends it.

Pure functions from measured facts to findings. Each threshold says where it comes from: "trial" is
the feasibility trial on five minutes of one man at 288 x 288, whose outer eye corners are 64 pixels
apart; "clips" are four clips of other people, 5 to 10 s at 512 x 512.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gstalker.data.capture import FPS
from gstalker.inspect.advice import other_film, prepare_command
from gstalker.inspect.facts import Facts
from gstalker.prepare.tracking import cover

Severity = Literal["caution", "fatal"]
Verdict = Literal["fit to train", "fit with cautions", "not fit"]

LEAST_SECONDS, FEW_SECONDS = 5.0, 30.0
"""The field trains on minutes, the fewest ever shown being some seconds (InsTaG: 5 s, after
pre-training on others, which we have not); the last eleventh is kept for the test."""
LEAST_FPS = 20.0
"""Below, more than a fifth of the frames repeat another; a syllable takes about five."""
DROPPED_SHARE = 0.1
"""The trial dropped 1.3 % of its frames, the clips none: a tenth is another kind of film."""
LEAST_EYE_PX, SMALL_EYE_PX = 16.0, 40.0
"""At 40 pixels the mouth's box (0.88 x 0.69 of it) has 950 pixels where the trial had 2450; at 16,
150, and lips are one or two pixels thick."""
BLURRED = 0.75
"""``looks.blur`` of the mouth's box: the clips have 0.49 to 0.62 as filmed, and 0.75 to 0.81
after a Gaussian of two pixels."""
TURNED_DEGREES, TURNED_SHARE = 45.0, 0.02
"""Beyond, one eye and half the mouth are hidden and their landmarks are guesses."""
TREMBLE = 0.01
"""Of the outer-eye distance: a pixel at 512 x 512, where users of other tools see heads shake. The
trial has 0.0006, the clips at most 0.004."""
MISFIT = 0.02
"""Of the outer-eye distance. The trial has 0.004 with the man's own shape and 0.025 with another's;
the clips at most 0.011."""
SILENT_DB, QUIET_DB = -60.0, -45.0
"""Speech is recorded at -30 to -15 dB; at -60 a 16-bit file has five bits left for it."""
CLIPPED_SHARE = 1e-3
"""Of all samples: a few peaks do no harm, a thousandth is heard."""
FLOOR_BELOW_DB = 10.0
"""Speech less than this above the quietest moments is buried in noise or music."""
SPEECH_SHARE = 0.3
STILL_MOUTH, CALM_MOUTH = 0.006, 0.02
"""Deviation of the opening in outer-eye distances. Landmark noise alone gives 0.004 in the trial,
its speech 0.055."""
BLINK_SECONDS = 20.0
"""Talkers blink about 26 times a minute (Bentivoglio et al. 1997), few of them under 3."""
BLINK_CONTRAST = 10.0
PLATE_LEVELS = 15.0
"""From here ``prepare`` calls takes foreign to each other; light drifts by up to 12 in GRID."""
NOISE_LEVELS = 2.5
"""The clips have 0.4 to 0.8. A picture without this grain differs from the film by 40 dB."""
CUT_OFF_SHARE = 0.2
MOUTH_SEEN = 1e-4
"""Of the picture, on average over time: below, no mouth interior was found in any frame."""
HEAD_SEEN = 0.4
"""Of the face's height squared: heads of the trial and the clips have 0.9 to 1.5 in every frame."""


@dataclass(frozen=True)
class Finding:
    """One doubt."""

    severity: Severity
    sentence: str
    """What is so, with its number, and what follows for the head."""
    mend: str
    """What to do about it, a command where there is one."""


def judge(facts: Facts) -> list[Finding]:
    """Everything that speaks against training on a capture, the fatal first."""
    found = [finding for check in _CHECKS for finding in check(facts)]
    return sorted(found, key=lambda finding: finding.severity != "fatal")


def verdict(findings: list[Finding]) -> Verdict:
    """The findings in three words."""
    if any(finding.severity == "fatal" for finding in findings):
        return "not fit"
    return "fit with cautions" if findings else "fit to train"


# ---------------------------------------------------------------------- one check each


def _length(facts: Facts) -> list[Finding]:
    longer = "use a longer video: gstalker prepare LONGER.mp4 captures/NEW"
    if facts.train_frames == 0 or facts.test_frames == 0:
        return [
            Finding(
                "fatal",
                f"There are {facts.train_frames} usable frames to train on and {facts.test_frames} "
                "to test with; both are needed.",
                longer,
            )
        ]
    text = f"{facts.seconds:.1f} s of usable film"
    if facts.seconds < LEAST_SECONDS:
        return [Finding("fatal", f"{text} are too little to learn from.", longer)]
    if facts.seconds < FEW_SECONDS:
        what = "hold few of the sounds of a language; the mouth will be right for some of them only"
        return [Finding("caution", f"{text} {what}. Minutes are better.", longer)]
    return []


def _rate(facts: Facts) -> list[Finding]:
    fps = facts.meta.get("source", {}).get("fps") or FPS
    if fps >= LEAST_FPS:
        return []
    text = (
        f"The film has {fps:.3g} pictures a second: {1 - fps / FPS:.0%} of the frames repeat "
        "another, and the head will move its lips in steps."
    )
    return [Finding("caution", text, f"use a film of {FPS} pictures a second or more")]


def _drops(facts: Facts) -> list[Finding]:
    if facts.dropped_share < DROPPED_SHARE:
        return []
    reasons: dict[str, int] = {}
    for gap in facts.meta["dropped"]:
        what = gap["reason"].partition(":")[0]
        reasons[what] = reasons.get(what, 0) + gap["stop"] - gap["start"]
    worst = max(reasons, key=lambda reason: reasons[reason])
    mend = "cut these stretches out of the video"
    if "damaged" in worst:
        mend = "copy the file anew from where it is whole, or cut these stretches out"
    return [
        Finding(
            "caution",
            f"{facts.dropped_share:.0%} of the frames were dropped, most of them for: {worst}.",
            f"{mend}, then: {other_film(facts)}",
        )
    ]


def _takes(facts: Facts) -> list[Finding]:
    """Takes lost as a whole because their face is not the others': two people, or two lights."""
    unlike = np.zeros(len(facts.usable), bool)
    for gap in facts.meta["dropped"]:
        unlike[gap["start"] : gap["stop"]] |= gap["reason"] == cover.REASON
    return [
        Finding(
            "caution",
            f"Take {number} of {len(facts.segments)} (seconds {start / FPS:.1f} to "
            f"{stop / FPS:.1f} of the film) was left out as a whole: its lower face does not look "
            "like the other takes'. Is it another person's?",
            "give each person a film of their own, or one light to all takes, then: "
            + other_film(facts),
        )
        for number, (start, stop) in enumerate(facts.segments, 1)
        if unlike[start:stop].all()
    ]


def _size(facts: Facts) -> list[Finding]:
    meta = facts.meta
    text = f"The face is {facts.face_px:.0f} pixels tall ({facts.eye_px:.0f} between the eyes)"
    filmed = meta.get("view", {}).get("crop_width", meta["width"])
    mend = "film closer, or use a video of a higher resolution"
    if filmed > 1.2 * meta["width"]:
        mend = prepare_command(facts, "crop=head")
    if facts.eye_px < LEAST_EYE_PX:
        return [Finding("fatal", f"{text}: lips are one or two pixels thick.", mend)]
    if facts.eye_px < SMALL_EYE_PX:
        return [Finding("caution", f"{text}: lips and teeth will be coarse.", mend)]
    return []


def _sharpness(facts: Facts) -> list[Finding]:
    blurred = float(np.median(facts.looks.blur)) if len(facts.looks.blur) else 0.0
    if blurred <= BLURRED:
        return []
    return [
        Finding(
            "caution",
            f"The mouth is blurred ({blurred:.2f} where 0 is sharp and 1 is without detail); the "
            "head will be as soft as the film.",
            "use a sharper or less compressed video, or a smaller picture: "
            + prepare_command(facts, f"max_side={max(facts.meta['width'] // 2, 128)}"),
        )
    ]


def _turning(facts: Facts) -> list[Finding]:
    share = facts.turned_share(TURNED_DEGREES)
    if share < TURNED_SHARE:
        return []
    return [
        Finding(
            "caution",
            f"In {share:.0%} of the frames the head is turned by more than {TURNED_DEGREES:.0f} "
            "degrees, where half of the mouth is hidden and its landmarks are guesses.",
            "cut these stretches out of the video, then: " + other_film(facts),
        )
    ]


def _tracking(facts: Facts) -> list[Finding]:
    found = []
    if facts.tremble > TREMBLE:
        smoother = 2 * float(facts.meta.get("tracker", {}).get("smooth_frames") or 0.5)
        found.append(
            Finding(
                "caution",
                f"Head poses tremble by {facts.tremble * facts.eye_px:.1f} pixels at the edge of "
                "the head; it will shake, and the picture will be soft.",
                prepare_command(facts, f"smooth_frames={smoother:g}"),
            )
        )
    share = facts.misfit_share
    if share is not None and share > MISFIT:
        found.append(
            Finding(
                "caution",
                f"The tracked face misses its landmarks by {share * facts.eye_px:.1f} pixels, as "
                "if it were another person's; poses will be off.",
                "look at the contact sheet: are the points on the face? If the lens is known: "
                + prepare_command(facts, "focal_px=PIXELS"),
            )
        )
    return found


def _sync(facts: Facts) -> list[Finding]:
    """A late sound is among ``prepare``'s own cautions; here, a sound that might be anybody's."""
    sync = facts.meta.get("sync") or {}
    told = sync.get("offset_frames") is not None or not sync.get("reason")
    if told or facts.seconds < FEW_SECONDS:  # few words seldom tell it
        return []
    return [
        Finding(
            "caution",
            f"Whether lips and sound belong together cannot be told ({sync['reason']}).",
            "listen to the video; is it this person who speaks, in time?",
        )
    ]


def _loudness(facts: Facts) -> list[Finding]:
    sound, again = facts.sound, "use a better recording: " + other_film(facts)
    level = f"{sound.speech_db:.0f} dB below full scale".replace("-", "")
    if sound.speech_db < SILENT_DB:
        return [Finding("fatal", f"The sound is as good as silent ({level}).", again)]
    found = []
    if sound.speech_db < QUIET_DB:
        found.append(Finding("caution", f"The speech is very quiet ({level}).", again))
    if sound.clipped_share > CLIPPED_SHARE:
        text = f"{sound.clipped_share:.1%} of the sound is clipped; its features are distorted."
        found.append(Finding("caution", text, again))
    if sound.speech_db - sound.floor_db < FLOOR_BELOW_DB:
        text = (
            f"Speech is only {sound.speech_db - sound.floor_db:.0f} dB louder than the quietest "
            "moments: noise, music, or somebody who never pauses."
        )
        found.append(Finding("caution", text, again))
    if sound.speech_share < SPEECH_SHARE:
        text = f"Only {sound.speech_share:.0%} of the film has speech in it."
        found.append(Finding("caution", text, "cut the silence out, then: " + other_film(facts)))
    return found


def _mouth(facts: Facts) -> list[Finding]:
    spread = facts.mouth_spread
    mend = "use a video in which this person speaks: " + other_film(facts)
    if spread < STILL_MOUTH:
        return [Finding("fatal", "The mouth does not move: there is nothing to learn.", mend)]
    found = []
    if spread < CALM_MOUTH:
        text = f"The mouth hardly moves (deviation {spread:.3f} of the distance of the eyes)."
        found.append(Finding("caution", text, mend))
    return found


def _masks(facts: Facts) -> list[Finding]:
    areas = facts.looks.areas
    if not len(areas):
        return []
    ours = ":" not in facts.meta.get("parser", {}).get("name", "")
    mend = "mend the face parser, or take ours: " + prepare_command(facts, "parser=colour")
    share = float(np.median(areas[:, 2]))
    if share * facts.meta["width"] * facts.meta["height"] < HEAD_SEEN * facts.face_px**2:
        text = f"The masks show a head on {share:.1%} of the picture: far too little"
        return [Finding("fatal", f"{text} for a face {facts.face_px:.0f} pixels tall.", mend)]
    if areas[:, 3].mean() < MOUTH_SEEN:
        text = "The masks show no mouth interior in any picture; teeth will not be learned."
        if ours:
            mend = "put a face parser of your own in place of ours (docs/add-a-parser.md): "
            mend += prepare_command(facts, "parser=my_lab.parser:Oval")
        return [Finding("caution", text, mend)]
    return []


def _eyes(facts: Facts) -> list[Finding]:
    blinking = facts.blinking
    if facts.eye[facts.usable].std() == 0:  # chosen so, with eye=constant
        return []
    told_by = (facts.meta.get("eye") or {}).get("provider")
    instead = "landmarks" if told_by == "blendshapes" else "blendshapes"
    other = prepare_command(facts, f"eye={instead}")
    if not blinking.blinks and facts.seconds >= BLINK_SECONDS:
        text = f"No blink was seen in {facts.seconds:.0f} s; the head will not learn to blink."
        return [Finding("caution", text, other)]
    if blinking.contrast is not None and blinking.contrast < BLINK_CONTRAST:
        text = f"Blinks are only {blinking.contrast:.0f} times deeper than the eyes' trembling."
        return [Finding("caution", text, other)]
    return []


def _background(facts: Facts) -> list[Finding]:
    levels = facts.looks.plate_levels
    apart = float(np.nanpercentile(levels, 75)) if np.isfinite(levels).any() else 0.0
    found = []
    if apart > PLATE_LEVELS:
        text = (
            f"What is behind the person differs from the still plate by {apart:.0f} levels: the "
            "camera or the background moves, or a cut changes the framing, and the head will carry "
            "some of it along."
        )
        mend = "use a video, or the takes of one, from a fixed camera with one framing"
        found.append(Finding("caution", text, mend))
    noise = facts.looks.noise_levels
    grain = float(np.median(noise[np.isfinite(noise)])) if np.isfinite(noise).any() else 0.0
    if grain > NOISE_LEVELS and apart <= PLATE_LEVELS:  # what moves is as rough
        ceiling = 20 * np.log10(255 / grain)
        text = (
            f"The film is grainy: its pixels tremble by {grain:.1f} levels. No head can learn "
            f"that, so none scores more than about {ceiling:.0f} dB."
        )
        found.append(Finding("caution", text, "film with more light"))
    share = float(facts.looks.cut_off.mean()) if len(facts.looks.cut_off) else 0.0
    if share > CUT_OFF_SHARE:
        text = f"The head reaches out of the picture in {share:.0%} of the frames."
        wider = facts.meta.get("view", {}).get("crop_width") not in (
            None,
            facts.meta.get("source", {}).get("width"),
        )
        mend = prepare_command(facts, "crop=none") if wider else "use a video with air around it"
        found.append(Finding("caution", text, mend))
    return found


def _features(facts: Facts) -> list[Finding]:
    kinds = set(facts.meta["features"])
    if kinds - {"mel"}:
        return []
    return [
        Finding(
            "caution",
            "The only sound features are log-mel; with Whisper's, mouths followed the sound with "
            "r = 0.85 instead of 0.76 in the trial.",
            "gstalker weights   (says how to get whisper_tiny_en), then: "
            + prepare_command(facts, "audio=whisper"),
        )
    ]


def _told(facts: Facts) -> list[Finding]:
    """What ``prepare`` had to say, as it said it."""
    return [
        Finding("caution", str(note.get("what", note)), str(note.get("do", "")))
        for note in facts.meta.get("cautions", [])
        if isinstance(note, dict)
    ]


_CHECKS: tuple[Callable[[Facts], list[Finding]], ...] = (
    _length,
    _rate,
    _drops,
    _takes,
    _size,
    _sharpness,
    _turning,
    _tracking,
    _sync,
    _loudness,
    _mouth,
    _masks,
    _eyes,
    _background,
    _features,
    _told,
)
