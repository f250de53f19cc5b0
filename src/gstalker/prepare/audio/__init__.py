"""Sound features: 16 kHz samples become rows that run beside the video's frames.

Features are computed take by take, never across a jump cut, and in chunks of one length for the
capture and for the speech that drives it later, so that both are seen alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gstalker import weights
from gstalker.errors import CaptureError, ConfigError
from gstalker.plugins import did_you_mean
from gstalker.prepare.audio.reading import RATE_HZ, read

__all__ = [
    "IMPORTED_ONLY",
    "KINDS",
    "LONGEST_CHUNK_S",
    "MODELS",
    "RATE_HZ",
    "SHORTEST_CHUNK_S",
    "check_model",
    "chosen",
    "chunk_seconds",
    "extract",
    "identity",
    "read",
    "require",
    "spec",
]

FPS = 25
SAMPLES_PER_FRAME = RATE_HZ // FPS
SHORTEST_CHUNK_S, LONGEST_CHUNK_S = 3.0, 30.0
KINDS = {"mel": 4, "whisper": 2, "hubert": 2, "wav2vec2": 2}
"""Rows per video frame of each kind that can be made here."""
MODELS = ("hubert", "wav2vec2")
"""Kinds whose model is the user's own choice, so it is remembered by its sha256."""
IMPORTED_ONLY = ("deepspeech", "esperanto", "ave")
"""Kinds that are only read from files: nobody serves their network in a form that is safe here."""
_SOURCES = {"mel": "log-mel, 80 bands", "whisper": "Whisper tiny.en encoder, last layer"}


def chosen(wanted: str) -> list[str]:
    """Kinds to make, log-mel first.

    Args:
        wanted: ``auto``, or kinds with commas between.

    Raises:
        ConfigError: nobody knows one of them, or it can only be imported.
    """
    if wanted.strip() == "auto":
        return ["mel", "whisper"] if weights.have("whisper_tiny_en") else ["mel"]
    kinds = ["mel"]
    for kind in (part.strip() for part in wanted.split(",")):
        if kind in IMPORTED_ONLY:
            raise ConfigError(
                f"sound features '{kind}' cannot be made here, for its network is not to be had "
                "in files that are safe to load.\n  Make them with the program that you have, "
                "and give the file: audio_features=FILE.npy"
            )
        if kind not in KINDS:
            raise ConfigError(
                f"unknown sound features '{kind}'{did_you_mean(kind, KINDS)}\n"
                f"  known: auto, {', '.join(KINDS)}."
            )
        if kind not in kinds:
            kinds.append(kind)
    return kinds


def require(kind: str) -> None:
    """Raise :class:`BackendMissing`, with what to type, unless the kind can be made here."""
    if kind == "whisper":
        weights.find("whisper_tiny_en")
    elif kind in MODELS:
        from gstalker.prepare.audio import transformer

        transformer.require(kind)


def identity(kind: str) -> str:
    """Which model makes a kind of :data:`MODELS`: the sha256 of its files."""
    from gstalker.prepare.audio import transformer

    return transformer.identity(kind)


def _short(digests: str) -> str:
    """The beginning of each file's digest: the files of two models may differ in one only."""
    return " + ".join(f"{digest[:12]}…" for digest in digests.split("+"))


def spec(kind: str) -> dict[str, Any]:
    """What a capture remembers of the features that :func:`extract` makes."""
    rows = KINDS[kind]
    told: dict[str, Any] = {"rows_per_frame": rows, "rate_hz": FPS * rows}
    if kind not in MODELS:
        return {**told, "source": _SOURCES[kind]}
    from gstalker.prepare.audio import transformer

    return {**told, "source": transformer.MODELS[kind].source, "model_sha256": identity(kind)}


def check_model(kind: str, remembered: Mapping[str, Any]) -> None:
    """Refuse to hear new sound with another model than the capture's own sound was heard with.

    Args:
        kind: of features.
        remembered: what ``capture.json`` says of them.

    Raises:
        CaptureError: they were imported, or the model here is another one.
        BackendMissing: the model is not here.
    """
    if "imported" in remembered:
        raise CaptureError(
            f"this head hears '{kind}' features that another program made "
            f"({remembered['imported']['file']}), and which model made them is not known, so no "
            "other voice can be turned into them here.\n"
            "  Give this sound's features, made by that program: audio_features=FILE.npy\n"
            "  or train on features that are made here: gstalker prepare VIDEO OUT audio=whisper"
        )
    if kind not in MODELS:
        return
    require(kind)
    if identity(kind) != remembered.get("model_sha256"):
        from gstalker.prepare.audio import transformer

        raise CaptureError(
            f"the model in {transformer.folder(kind)} is not the one that heard the capture: its "
            f"sha256 is {_short(identity(kind))}, "
            f"wanted {_short(str(remembered.get('model_sha256')))}.\n"
            f"  Put the same files there, or let {weights.FOLDER_VARIABLE} name the folder that "
            f"holds them as '{kind}'."
        )


def chunk_seconds(segments_s: Sequence[tuple[float, float]]) -> float:
    """Length of the chunks that features are computed in: the longest take, in 3 to 30 s."""
    longest = max(stop - start for start, stop in segments_s)
    return float(min(max(longest, SHORTEST_CHUNK_S), LONGEST_CHUNK_S))


def extract(
    kind: str,
    samples: np.ndarray,
    segments_s: Sequence[tuple[float, float]] | None,
    chunk_s: float,
) -> np.ndarray:
    """Features of a whole recording.

    Args:
        kind: one of :data:`KINDS`.
        samples: ``float32 [S]`` in [-1, 1] at 16 kHz; ``F = ceil(S / 640)`` frames.
        segments_s: takes, start and stop in seconds; ``None``: all one take.
        chunk_s: how much is seen at once in features that look far around (Whisper).

    Returns:
        ``float32 [F * rows_per_frame, D]``.

    Raises:
        ConfigError: nobody knows ``kind``.
        BackendMissing: its weights are missing.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"sound features '{kind}' cannot be made here; known: {', '.join(KINDS)}."
        )
    frames = math.ceil(len(samples) / SAMPLES_PER_FRAME)
    samples = np.pad(
        np.asarray(samples, np.float32), (0, frames * SAMPLES_PER_FRAME - len(samples))
    )
    spans = [(0.0, frames / FPS)] if segments_s is None else segments_s
    bounds = [(round(a * FPS), round(b * FPS)) for a, b in spans]
    if [i for a, b in bounds for i in (a, b)][1:-1:2] != [a for a, _ in bounds[1:]] or (
        bounds and (bounds[0][0], bounds[-1][1]) != (0, frames)
    ):
        raise ValueError(
            f"segments {spans} do not cover the {frames} frames of the sound once, in order"
        )
    takes = [samples[a * SAMPLES_PER_FRAME : b * SAMPLES_PER_FRAME] for a, b in bounds]
    if kind == "mel":
        from gstalker.prepare.audio import mel

        return mel.features(takes)
    if kind in MODELS:
        from gstalker.prepare.audio import transformer

        return transformer.features(kind, takes)
    from gstalker.prepare.audio import whisper

    return whisper.features(takes, chunk_s)
