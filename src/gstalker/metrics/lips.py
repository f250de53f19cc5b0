"""Everything measured on landmarks: distances of lips, openings against the truth, lag, jitter.

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
from gstalker.metrics.bootstrap import (
    Figures,
    mean_of_rows,
    not_available,
    ratio_of_rows,
    with_ones,
)
from gstalker.metrics.landmarks import LandmarkDetector, lip_points, lmd, mouth_opening
from gstalker.metrics.pairs import Pair, Scores, Values
from gstalker.metrics.protocol import Protocol, speech_frames
from gstalker.metrics.temporal import follows, jitter_rows

OPENING_METRICS = (
    "mouth_corr",
    "mouth_corr_residual",
    "mouth_corr_speech",
    "mouth_lag",
    "mouth_amp",
)
DISTANCES = ("lmd", "lmd_centred", "lmd_iod", "lmd_centred_iod")
"""The detector's name stands behind these and the jitters."""
_FEWEST_FACES = 0.5


def lip_metrics(source: str) -> list[str]:
    """Names of everything that needs landmarks of this source."""
    by_source = [f"{name}_{source}" for name in (*DISTANCES, "jitter_lips", "jitter_eyes")]
    return [*by_source, *OPENING_METRICS]


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

    @property
    def source(self) -> str:
        """The detector's name."""
        return self._detector.name

    @property
    def misses(self) -> int:
        """True frames without a face."""
        return int((~np.isfinite(self.opening)).sum())

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

    def scores(self, points: np.ndarray) -> tuple[Scores, Values]:
        """All figures for rendered points ``[n, L, 2]``, and the values of each frame."""
        opening = self._opening(points)
        found = np.isfinite(opening)
        seen = found & np.isfinite(self.opening)
        scores = {"faces_found": self._figures(with_ones(found.astype(float)), mean_of_rows)}
        values = {"mouth_opening": opening, "mouth_opening_truth": self.opening}
        if seen.mean() < _FEWEST_FACES:
            reason = f"a face was found in only {int(seen.sum())} of {len(seen)} frames"
            return scores | {n: not_available(reason) for n in lip_metrics(self.source)}, values
        distances = {f"{k}_{self.source}": v for k, v in self._distances(points).items()}
        for name, distance in distances.items():
            scores[name] = self._figures(with_ones(distance[seen]), mean_of_rows, seen)
        scores |= self._jitter(points) | self._opening_scores(opening, seen)
        return scores, values | distances

    def _distances(self, points: np.ndarray) -> Values:
        """Lip distances of each frame, in pixels and in eye distances; NaN without a face."""
        lips = lip_points(self._layout)
        ours, true = (torch.from_numpy(side[:, lips]).double() for side in (points, self.points))
        plain, centred = (lmd(ours, true, centred=c).numpy() for c in (False, True))
        corners = self.points[:, list(self._layout.eye_corners)].astype(np.float64)
        ruler = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=-1)
        return dict(zip(DISTANCES, (plain, centred, plain / ruler, centred / ruler), strict=True))

    def _jitter(self, points: np.ndarray) -> Scores:
        """How much lips and eye corners shake, over how much the true ones do."""
        near = follows(self._ids, self._capture.segments)
        lips, eyes = lip_points(self._layout), list(self._layout.eye_corners)
        scores: Scores = {}
        for name, which in (("jitter_lips", lips), ("jitter_eyes", eyes)):
            rows = jitter_rows(points[:, which], self.points[:, which], near)
            if name == "jitter_eyes" and getattr(self._detector, "lips_only", False):
                entry = not_available(f"landmarks '{self.source}' are found on lips only")
            elif not rows[:, 1].any():
                entry = not_available("no three frames in a row with a face in motion were scored")
            else:
                entry = self._figures(rows, ratio_of_rows)
            scores[f"{name}_{self.source}"] = entry
        return scores

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


class LipFamily:
    """Measures one row.

    Args:
        truth: the lips to hold it to.
    """

    def __init__(self, truth: LipTruth) -> None:
        self._truth = truth
        self._points: list[np.ndarray] = []

    def add(self, pair: Pair) -> None:
        """Look at the next frame."""
        self._points.append(self._truth.detect(pair.pred, pair.place))

    def result(self, figures: Figures) -> tuple[Scores, Values]:
        """The figures over all frames."""
        try:
            return self._truth.scores(np.stack(self._points))
        finally:
            self._truth.close()
