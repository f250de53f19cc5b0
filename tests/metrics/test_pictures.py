"""What is rendered and what is filmed, in a picture of four blocks."""

import numpy as np

from gstalker.data.capture import HEAD, TORSO
from gstalker.metrics.pairs import Pair
from gstalker.metrics.pictures import filmed_blocks


def seen(pred, truth, labels):
    pred, truth = (side.astype(np.uint8)[..., None].repeat(3, axis=2) for side in (pred, truth))
    return Pair(0, 0, False, pred, truth, labels.astype(np.uint8), (0, 0, 4, 4))


def test_blocks_are_filmed_where_they_are_rough_and_the_same():
    checks = np.indices((16, 16)).sum(0) % 2 * 8.0 + 100  # 4 levels about the mean of 104
    truth = checks.copy()
    truth[8:, :8] = checks[8:, :8] / 4 + 78  # a plain coat: 1 level about its mean
    pred = truth.copy()
    pred[:8, 8:] = 104  # the right mean, but nothing of the pattern
    labels = np.full((16, 16), TORSO)
    assert filmed_blocks(seen(pred, truth, labels), 1.0).tolist() == [[2, 3], [0, 0]]
    labels[:, 8:] = HEAD
    assert filmed_blocks(seen(pred, truth, labels), 1.0).tolist() == [[1, 1], [1, 2]]
    # of video, two levels count as the same, and only blocks rougher than four
    assert filmed_blocks(seen(pred, truth, labels), 2.0).tolist() == [[0, 0], [0, 0]]
