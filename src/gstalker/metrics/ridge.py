"""The yardstick: how well the sound features alone predict the mouth opening, by ridge regression.

Seconds instead of a training run, and no renderer: a head that follows the sound much worse than
this has lost something that its features hold. The penalty is chosen on the last training takes;
the test part is looked at once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from gstalker.data.capture import Capture
from gstalker.data.windows import shuffled_frames
from gstalker.metrics import sync

CONTEXT = 5
"""Video frames of sound to either side."""
PENALTIES = (1e2, 1e3, 1e4, 1e5, 1e6)
HELD_OUT_SHARE = 0.12
"""Of the training part, its last frames, for choosing the penalty."""
_CHOICE_ROWS = 3000
"""At most this many frames fit while the penalty is chosen."""
_PROFILE_TAKES = 5
_COLUMNS = 512


@dataclass(frozen=True)
class Yardstick:
    """Correlations of predicted and true mouth opening on the test part."""

    features: str
    r: float
    r_residual: float | None
    """After subtracting the mean training opening per frame of the take; ``None`` with fewer than
    five training takes."""
    r_shuffled: float
    """Predicted from another take's sound, or from sound half the test part away."""
    penalty: float
    train_frames: int
    test_frames: int

    def as_dict(self) -> dict[str, object]:
        """For ``scores.json``."""
        return asdict(self)

    def sentence(self) -> str:
        """For people: *the sound predicts r = 0.92 …*."""
        beyond = ""
        if self.r_residual is not None:
            beyond = f" ({self.r_residual:.2f} beyond what all takes share)"
        return (
            f"the sound ({self.features}) predicts the mouth opening with r = {self.r:.2f}"
            f"{beyond}, shuffled sound with {self.r_shuffled:.2f} (ridge regression, "
            f"{self.test_frames} test frames)"
        )


def yardstick(capture: Capture, features: str, *, context: int = CONTEXT) -> Yardstick:
    """Fit on the training part, measure on the test part.

    Args:
        capture: gives sound features and mouth openings.
        features: kind of sound features.
        context: video frames of sound to either side; takes' edges are repeated.

    Raises:
        CaptureError: the capture has no such features.
        ValueError: fewer than ten training or three test frames show a mouth.
    """
    train_ids, test_ids = (ids[np.isfinite(capture.mouth[ids])] for ids in capture.split())
    if len(train_ids) < 10 or len(test_ids) < 3:
        raise ValueError(
            f"expected at least 10 training and 3 test frames with a mouth, "
            f"but got {len(train_ids)} and {len(test_ids)}"
        )
    rows = _with_context(capture, features, context)
    _standardise(rows, train_ids)
    opening = torch.from_numpy(capture.mouth.astype(np.float32))
    penalty = _choose_penalty(rows, opening, train_ids)
    swapped = shuffled_frames(test_ids, capture.segments)
    seen = np.concatenate([test_ids, swapped])
    fit, heard = rows[train_ids], rows[seen]
    del rows  # before matrices as large are made
    said = _predict(fit, opening[train_ids], heard, [penalty])[0].double().numpy()
    said, said_shuffled = said[: len(test_ids)], said[len(test_ids) :]
    true = capture.mouth[test_ids].astype(np.float64)
    course = sync.profile(
        capture.mouth.astype(np.float64), train_ids, capture.segments, _PROFILE_TAKES
    )
    residual = None
    if course is not None:
        residual = _correlation(said - course[test_ids], true - course[test_ids])
    return Yardstick(
        features=features,
        r=_correlation(said, true),
        r_residual=residual,
        r_shuffled=_correlation(said_shuffled, true),
        penalty=penalty,
        train_frames=len(train_ids),
        test_frames=len(test_ids),
    )


def _with_context(capture: Capture, features: str, context: int) -> Tensor:
    """Sound of each frame and its neighbours in the take, ``float32 [F, (2 context + 1) r D]``."""
    sound = torch.from_numpy(capture.features(features)).reshape(capture.frame_count, -1)
    first, last = np.zeros(capture.frame_count, int), np.zeros(capture.frame_count, int)
    for start, stop in capture.segments:
        first[start:stop], last[start:stop] = start, stop - 1
    beside = np.arange(capture.frame_count)[:, None] + np.arange(-context, context + 1)
    beside = np.clip(beside, first[:, None], last[:, None])
    return sound[torch.from_numpy(beside)].reshape(capture.frame_count, -1)


def _standardise(rows: Tensor, train_ids: np.ndarray) -> None:
    """Mean 0 and deviation 1 over the training rows, in place and a few columns at a time.

    With five minutes of Whisper the rows are 250 MB; copies of them would be the most memory that
    training ever holds.
    """
    for columns in rows.split(_COLUMNS, dim=1):
        fit = columns[train_ids]
        columns.sub_(fit.mean(0)).div_(fit.std(0) + 1e-5)


def _choose_penalty(rows: Tensor, opening: Tensor, train_ids: np.ndarray) -> float:
    """The penalty that predicts the last training frames best."""
    kept = len(train_ids) - max(int(len(train_ids) * HELD_OUT_SHARE), 3)
    fit, held = train_ids[:kept], train_ids[kept:]
    fit = fit[:: -(-len(fit) // _CHOICE_ROWS)]
    # A penalty weighs against the number of frames, so a thinned fit takes a thinned penalty.
    thinned = [penalty * len(fit) / len(train_ids) for penalty in PENALTIES]
    said = _predict(rows[fit], opening[fit], rows[held], thinned).double().numpy()
    true = opening[held].double().numpy()
    return PENALTIES[int(np.argmax([_correlation(guess, true) for guess in said]))]


def _predict(rows: Tensor, opening: Tensor, seen: Tensor, penalties: list[float]) -> Tensor:
    """Ridge predictions ``[penalties, M]`` for rows ``seen [M, P]``; kernel form if P > N."""
    mean = opening.mean()
    wide = rows.shape[1] > rows.shape[0]
    gram = rows @ rows.T if wide else rows.T @ rows
    target = opening - mean if wide else rows.T @ (opening - mean)
    diagonal, out = gram.diagonal().clone(), []
    for penalty in penalties:
        gram.diagonal().copy_(diagonal + penalty)
        weights = torch.cholesky_solve(target[:, None], torch.linalg.cholesky(gram))[:, 0]
        out.append(seen @ (rows.T @ weights if wide else weights) + mean)
    return torch.stack(out)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r, 0 where one side does not move."""
    sums = sync.correlation_rows(a - a.mean(), b - b.mean()).sum(0)
    return float(np.nan_to_num(sync.correlation(sums)))
