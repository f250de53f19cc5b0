"""A trained head, ready to speak: sound in, pictures out, all at once or as the sound arrives.

Of its capture it takes the camera, the still background, and, where the caller brings none, how the
head and the eyes once moved; never a filmed frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gstalker.data.capture import FPS, Capture
from gstalker.data.dataset import standardised
from gstalker.data.windows import AudioTrack
from gstalker.experiment.listening import LOOKAHEAD, Hearing, checked_sound, speech_track
from gstalker.experiment.making import make_method
from gstalker.experiment.movie import ping_pong
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.methods import Performer
from gstalker.native import library
from gstalker.types import AudioWindow, Camera

BATCH = 128
"""Frames whose codes are computed together."""

Look = tuple[Tensor, float]
"""Pose ``[4, 4]`` and eye opening of a frame."""


class Head:
    """A trained run that speaks; make one with :meth:`open`.

    Args:
        performer: draws.
        capture: what it was trained on.
        features: kind of sound features that it hears.
    """

    fps = FPS
    lookahead_s = LOOKAHEAD / FPS
    """Sound that a streamed frame waits for beyond its own."""

    def __init__(self, performer: Performer, capture: Capture, features: str) -> None:
        self.performer = performer
        self.capture = capture
        self.features = features
        self.width, self.height = capture.width, capture.height
        train_ids, _ = capture.split()
        self.stretch = steady_stretch(capture)
        """First and end of the frames whose poses the head goes through by default."""
        self._eye = standardised(capture.eye, train_ids)
        self._background = torch.from_numpy(capture.background.copy()).float().div_(255)

    @classmethod
    def open(cls, run: RunFolder | str | Path, where: Sequence[str] = ()) -> Head:
        """The head of a run's folder.

        Args:
            run: the run or its folder.
            where: ``key=value`` that say where things are now, as ``device=cpu``.

        Raises:
            RunError: there is no run, or it is not trained or damaged; says what to type.
        """
        run = run if isinstance(run, RunFolder) else RunFolder.open(run)
        config = run.config(where)
        capture = open_capture(config)
        method, features = make_method(config, capture)
        return cls(method.load(run.path), capture, features)

    def frames(
        self,
        samples: np.ndarray,
        poses: Iterable[Any] | None = None,
        eyes: Iterable[float] | None = None,
        *,
        made: Path | None = None,
        threads: int | None = None,
    ) -> Iterator[np.ndarray]:
        """The head speaking a whole recording, ``uint8 [H, W, 3]`` for every 40 ms of it.

        Beside the sound and its features, memory does not grow with the length.

        Args:
            samples: ``float32`` in [-1, 1] or ``int16``, ``[S]`` at 16 kHz.
            poses: head to camera, ``[4, 4]`` for each frame; by default the head goes to and fro
                through the steadiest stretch of its training.
            eyes: eye opening for each frame, in deviations from the training mean; by default as
                in that stretch.
            made: the sound's features as another program made them, for a head that hears such; see
                :func:`gstalker.prepare.audio.imported.read_features`.
            threads: frames painted at the same time; by default as many as torch has threads. The
                pictures do not depend on it.

        Raises:
            ValueError: the sound is no such array; or, when their frame is due, poses or eyes are
                too few or misshapen.
            CaptureError: the sound cannot be heard as the capture's own was.
        """
        track = speech_track(checked_sound(samples), self.capture, self.features, made)
        return self._paint_all(track, self._looks(poses, eyes), threads or torch.get_num_threads())

    def stream(
        self,
        audio_chunks: Iterable[np.ndarray],
        poses: Iterable[Any] | None = None,
        eyes: Iterable[float] | None = None,
    ) -> Iterator[np.ndarray]:
        """The head speaking as the sound arrives, ``uint8 [H, W, 3]`` for every 40 ms of it.

        A frame is yielded at the latest when ``lookahead_s`` of sound beyond its own 40 ms has
        been taken from ``audio_chunks``; after the end of the sound, the frames still owed. The
        first frame costs more: what all streams share is made then. A few seconds of sound are
        held, no more.

        Args:
            audio_chunks: pieces of any length, ``float32`` in [-1, 1] or ``int16`` at 16 kHz. The
                pictures do not depend on how the sound is cut.
            poses: as in :meth:`frames`, taken one by one.
            eyes: as in :meth:`frames`, taken one by one.

        Raises:
            ValueError: as :meth:`frames`, when that piece of sound or that frame is due.
        """
        looks = self._looks(poses, eyes)
        for k, window in enumerate(self._hearing.listener().windows(audio_chunks)):
            pose, eye = next(looks)
            audio = AudioWindow(window[None], torch.tensor([k]))
            code = self.performer.listen(audio, torch.tensor([eye]))[0]
            yield self._paint(pose, code)

    @cached_property
    def _hearing(self) -> Hearing:
        return Hearing(self.capture, self.features, self.stretch[0])

    # ------------------------------------------------------------------ how the head moves

    def filmed(self, ids: Callable[[], Iterable[int]]) -> dict[str, Any]:
        """``poses`` and ``eyes`` for :meth:`frames`, as they were in filmed frames.

        Args:
            ids: gives the frames' numbers, from the first one on each time it is called.
        """
        return {
            "poses": (self.capture.poses[i] for i in ids()),
            "eyes": (self._eye[i] for i in ids()),
        }

    def _looks(self, poses: Iterable[Any] | None, eyes: Iterable[float] | None) -> Iterator[Look]:
        """Pose and eye opening of frame after frame, without end."""
        usual = self.filmed(lambda: ping_pong(*self.stretch))
        moved = usual["poses"] if poses is None else poses
        opened = usual["eyes"] if eyes is None else eyes
        looked, blinked = iter(moved), iter(opened)
        for k in count():
            yield _pose(next(looked, None), k), _opening(next(blinked, None), k)

    # ------------------------------------------------------------------ painting

    def _paint_all(
        self, track: AudioTrack, looks: Iterator[Look], threads: int
    ) -> Iterator[np.ndarray]:
        waiting: deque[Future[np.ndarray]] = deque()
        pool = ThreadPoolExecutor(threads, "paint")
        try:
            for pose, code in self._cued(track, looks, pool):
                waiting.append(pool.submit(self._paint_alone, pose, code))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _cued(
        self, track: AudioTrack, looks: Iterator[Look], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Pose and code of each frame; a batch's codes are made while the last one is painted."""
        coming: deque[tuple[list[Look], Future[Tensor]]] = deque()
        for first in range(0, track.frame_count, BATCH):
            part = list(islice(looks, min(BATCH, track.frame_count - first)))
            eyes = torch.tensor([eye for _, eye in part])
            coming.append((part, pool.submit(self._listen, track, first, eyes)))
            if len(coming) > 1:
                yield from _paired(*coming.popleft())
        while coming:
            yield from _paired(*coming.popleft())

    def _listen(self, track: AudioTrack, first: int, eyes: Tensor) -> Tensor:
        """Codes of ``len(eyes)`` frames from ``first`` on."""
        ids = np.arange(first, first + len(eyes))
        audio = AudioWindow(track.windows(ids), torch.from_numpy(ids))
        with library.limited(1):
            return self.performer.listen(audio, eyes)

    def _paint_alone(self, pose: Tensor, code: Tensor) -> np.ndarray:
        """One frame on one core, while other cores paint others."""
        with library.limited(1):
            return self._paint(pose, code)

    def _paint(self, pose: Tensor, code: Tensor) -> np.ndarray:
        camera = Camera(pose[None], self.capture.Ks[None], self.width, self.height)
        return self.performer.paint(camera, code, self._background).cpu().numpy()


def steady_stretch(capture: Capture) -> tuple[int, int]:
    """The longest stretch of training frames without a jump cut or a dropped frame."""
    train_ids, _ = capture.split()
    segment = np.empty(capture.frame_count, int)
    for k, (a, b) in enumerate(capture.segments):
        segment[a:b] = k
    breaks = np.flatnonzero((np.diff(train_ids) != 1) | (np.diff(segment[train_ids]) != 0)) + 1
    stretches = np.split(train_ids, breaks)
    longest = max(stretches, key=len)
    return int(longest[0]), int(longest[-1]) + 1


def _paired(part: list[Look], codes: Future[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    return zip((pose for pose, _ in part), codes.result(), strict=True)


def _pose(given: Any, k: int) -> Tensor:
    """A pose of the caller's, checked."""
    if given is None:
        raise ValueError(f"the poses end before the sound: there is none for frame {k}")
    pose = torch.as_tensor(given, dtype=torch.float32)
    if pose.shape != (4, 4) or not pose.isfinite().all():
        raise ValueError(f"expected poses of finite [4, 4], but frame {k} has {list(pose.shape)}")
    return pose


def _opening(given: float | None, k: int) -> float:
    """An eye opening of the caller's, checked."""
    if given is None:
        raise ValueError(f"the eyes end before the sound: there is none for frame {k}")
    eye = float(given)
    if not np.isfinite(eye):
        raise ValueError(f"expected finite eye openings, but frame {k} has {eye}")
    return eye
