"""Which frames a stage sees first: lessons, each a window over the frames ordered by a signal.

TalkingGaussian draws frames by how far mouth and eyes are open, so that what moves most is learned
in small pieces ("incremental sampling"). Like the usual order, a step's frames follow from the seed
and the step alone, so a run that was killed and resumed sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gstalker.data.datamodule import StepSampler

Window = tuple[float, float]
"""From and to, as shares of the frames in the order of the signal, lowest first."""


@dataclass(frozen=True)
class Lesson:
    """Steps in which frames are drawn from a window that moves."""

    start_step: int
    stop_step: int
    signal: np.ndarray
    """``[F]`` one number for each frame of the capture; frames with none are not in the lesson."""
    first: Window
    """At the first step."""
    last: Window
    """At the last; between them it moves evenly."""
    every_steps: int = 1
    """One step in so many is the lesson's; the others draw as usual."""

    def frames(self, ids: np.ndarray, step: int) -> np.ndarray:
        """Those of ``ids`` in the window at a step; at least one, unless none has a number."""
        values = self.signal[ids]
        ordered = ids[np.isfinite(values)][np.argsort(values[np.isfinite(values)], kind="stable")]
        passed = (step - self.start_step) / max(self.stop_step - self.start_step - 1, 1)
        low, high = np.array(self.first) + passed * (np.array(self.last) - np.array(self.first))
        begin = min(int(low * len(ordered)), max(len(ordered) - 1, 0))
        return ordered[begin : max(round(high * len(ordered)), begin + 1)]


class Curriculum(StepSampler):
    """The usual order of frames, but for the steps that belong to lessons.

    Args:
        usual: the order that it stands in for.
        lessons: the first one that a step belongs to is given.
        frames_per_step: drawn together; a list of so many ids is yielded where it is not 1.
    """

    def __init__(
        self, usual: StepSampler, lessons: Sequence[Lesson] = (), frames_per_step: int = 1
    ) -> None:
        super().__init__(usual.ids, usual.seed, usual.expect)
        self.lessons = tuple(lessons)
        self.frames_per_step = frames_per_step

    def drawn(self, step: int) -> list[int]:
        """The frames of one step."""
        count = self.frames_per_step
        for lesson in self.lessons:
            ours = lesson.start_step <= step < lesson.stop_step
            if ours and (step - lesson.start_step) % lesson.every_steps == 0:
                among = lesson.frames(self.ids, step)
                if len(among):
                    return self._choose(among, step)
        return [self.at(step * count + k) for k in range(count)]

    def _choose(self, among: np.ndarray, step: int) -> list[int]:
        rng = np.random.default_rng([self.seed, step, len(self.ids)])
        return [int(i) for i in rng.choice(among, self.frames_per_step)]

    def __iter__(self) -> Iterator[int | list[int]]:  # type: ignore[override]
        step = self.start_step
        while True:
            frames = self.drawn(step)
            for index in frames:
                self.expect(index)
            yield frames[0] if self.frames_per_step == 1 else frames
            step += 1
