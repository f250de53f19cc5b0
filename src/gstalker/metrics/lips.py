"""Everything measured on lips: distances, openings against the truth, lag and amplitude.

The detector sees true and rendered frames in the same way, take by take. The true side, and the
training profile that the residual correlation subtracts, are looked at once.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch

from gstalker import face
from gstalker.data.capture import Capture
from gstalker.metrics import sync
from gstalker.metrics.bootstrap import Figures, mean_of_rows, not_available, with_ones
from gstalker.metrics.landmarks import LandmarkDetector, lip_points, lmd, mouth_opening
from gstalker.metrics.protocol import Protocol, speech_frames

OPENING_METRICS = (
    "mouth_corr",
    "mouth_corr_residual",
    "mouth_corr_speech",
    "mouth_lag",
    "mouth_amp",
)
_FEWEST_FACES = 0.5


def lip_metrics(source: str) -> list[str]:
    """Names of everything that needs landmarks of this source."""
    return [f"lmd_{source}", f"lmd_centred_{source}", *OPENING_METRICS]


class LipTruth:
    """The true lips of some frames, and how to score others against them.

    Args:
        capture: the truth.
        ids: frames to score, in time order.
        protocol: what the figures mean.
        detector: finds the lips.
        figures: turns sums into figures with their uncertainty.
    """

    def __init__(
        self,
        capture: Capture,
        ids: np.ndarray,
        protocol: Protocol,
        detector: LandmarkDetector,
        figures: Figures,
    ) -> None:
        self._capture = capture
        self._ids = ids
        self._protocol = protocol
        self._detector = detector
        self._figures = figures
        self._layout = face.layout(detector.layout)
        self._fresh = self._first_of_take(ids)

    def detect(self, frame: np.ndarray, k: int) -> np.ndarray:
        """Points ``[L, 2]`` of the frame rendered for the ``k``-th id; call in order."""
        if self._fresh[k]:
            self._detector.begin()
        return self._detector(frame, int(self._ids[k]))

    def close(self) -> None:
        """Free the detector; it begins anew with the next row."""
        self._detector.close()

    @cached_property
    def points(self) -> np.ndarray:
        """What the detector says of the true frames, ``float32 [n, L, 2]``."""
        return np.stack(
            [self.detect(self._capture.frame(int(i)), k) for k, i in enumerate(self._ids)]
        )

    @cached_property
    def opening(self) -> np.ndarray:
        """True mouth opening ``[n]``, NaN without a face."""
        return self._opening(self.points)

    @cached_property
    def profile(self) -> np.ndarray | None:
        """Mean training opening for each id as this detector measures it; see ``sync.profile``."""
        train_ids, _ = self._capture.split()
        fresh = self._first_of_take(train_ids)
        if fresh.sum() < self._protocol.profile_takes:
            return None
        meta = self._capture.meta
        if meta["landmarks"] == self._detector.layout and meta["tracker"].get("name") != "exact":
            points = self._capture.landmarks[train_ids]
        else:
            points = np.empty((len(train_ids), *self.points.shape[1:]), np.float32)
            for k, index in enumerate(train_ids):
                if fresh[k]:
                    self._detector.begin()
                points[k] = self._detector(self._capture.frame(int(index)), int(index))
        opening = np.full(self._capture.frame_count, np.nan)
        opening[train_ids] = self._opening(points)
        takes = self._capture.segments
        whole = sync.profile(opening, train_ids, takes, self._protocol.profile_takes)
        return None if whole is None else whole[self._ids]

    def scores(self, points: np.ndarray) -> dict[str, dict[str, Any]]:
        """All figures for rendered points ``[n, L, 2]``."""
        opening = self._opening(points)
        found = np.isfinite(opening)
        seen = found & np.isfinite(self.opening)
        scores = {"faces_found": self._figures(with_ones(found.astype(float)), mean_of_rows)}
        names = lip_metrics(self._detector.name)
        if seen.mean() < _FEWEST_FACES:
            reason = f"a face was found in only {int(seen.sum())} of {len(seen)} frames"
            return scores | {name: not_available(reason) for name in names}
        lips = lip_points(self._layout)
        ours, true = (
            torch.from_numpy(side[seen][:, lips]).double() for side in (points, self.points)
        )
        for name, centred in zip(names[:2], (False, True), strict=True):
            distance = lmd(ours, true, centred=centred).numpy()
            scores[name] = self._figures(with_ones(distance), mean_of_rows, seen)
        return scores | self._opening_scores(opening, seen)

    def _opening_scores(self, opening: np.ndarray, seen: np.ndarray) -> dict[str, dict[str, Any]]:
        """Correlations, lag and amplitude of openings ``[n]``, over the frames ``seen``."""
        if opening[seen].std() < 1e-6 or self.opening[seen].std() < 1e-6:
            return {name: not_available("the mouth does not move") for name in OPENING_METRICS}
        few = f"takes cannot be compared: fewer than {self._protocol.profile_takes} training takes"
        residual = not_available(few)
        if self.profile is not None:
            residual = self._correlated(opening - self.profile, self.opening - self.profile, seen)
        takes = self._capture.segments
        speech = seen & speech_frames(self._capture, self._protocol)[self._ids]
        lags = sync.lag_rows(opening, self.opening, self._ids, takes, self._protocol.max_lag)
        pairs = sync.correlation_rows(opening[seen], self.opening[seen])
        return {
            "mouth_corr": self._correlated(opening, self.opening, seen),
            "mouth_corr_residual": residual,
            "mouth_corr_speech": self._correlated(opening, self.opening, speech),
            "mouth_lag": self._figures(lags, sync.best_lag),
            "mouth_amp": self._figures(pairs, sync.amplitude, seen),
        }

    def _correlated(
        self, opening: np.ndarray, true: np.ndarray, where: np.ndarray
    ) -> dict[str, Any]:
        ours, theirs = opening[where], true[where]
        if len(ours) < 3 or ours.std() < 1e-6 or theirs.std() < 1e-6:
            return not_available("the mouth does not move in these frames")
        rows = sync.correlation_rows(ours - ours.mean(), theirs - theirs.mean())
        return self._figures(rows, sync.correlation, where)

    def _opening(self, points: np.ndarray) -> np.ndarray:
        return mouth_opening(points, self._layout).astype(np.float64)

    def _first_of_take(self, ids: np.ndarray) -> np.ndarray:
        """Which ids are the first of their take, ``bool [n]``."""
        take = np.searchsorted([start for start, _ in self._capture.segments], ids, side="right")
        return np.diff(take, prepend=-1) != 0
