"""The bootstrap against theory, scipy and by hand."""

import numpy as np
import pytest

from gstalker.metrics.bootstrap import blocks, estimate, mean_of_rows, with_ones
from gstalker.metrics.sync import correlation, correlation_rows


def test_five_takes_are_the_blocks():
    segments = [(10 * k, 10 * k + 10) for k in range(6)]
    found = blocks(np.array([10, 11, 20, 31, 45, 59]), segments, 3)
    assert found.tolist() == [0, 0, 1, 2, 3, 4]


def test_few_takes_are_cut_into_stretches_that_do_not_cross_a_cut():
    found = blocks(np.arange(5, 21), [(0, 10), (10, 30)], 4)
    assert found.tolist() == [0, 0, 0, 0, 1] + [2] * 4 + [3] * 4 + [4] * 3


def test_the_figure_is_that_of_all_frames_and_not_of_the_resamples():
    rng = np.random.default_rng(1)
    values = rng.normal(3, 1, 500)
    known = estimate(with_ones(values), np.arange(500) // 50, mean_of_rows)
    assert known.mean == pytest.approx(values.mean(), rel=1e-12)
    assert known.n == 500


def test_the_spread_of_a_mean_over_equal_blocks_is_the_textbook_one():
    rng = np.random.default_rng(2)
    offsets = rng.normal(size=40)
    values = (offsets[:, None] + 0.01 * rng.normal(size=(40, 25))).ravel()
    known = estimate(with_ones(values), np.arange(1000) // 25, mean_of_rows, resamples=4000)
    # Frames of a block agree, so only 40 independent values stand behind the mean. The bootstrap's
    # own noise with 4000 draws is about 1 %.
    textbook = values.reshape(40, 25).mean(1).std() / np.sqrt(40)
    assert known.stderr == pytest.approx(textbook, rel=0.05)


def test_the_spread_of_a_correlation_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    a = rng.normal(size=200)
    b = a + rng.normal(size=200)
    ours = estimate(correlation_rows(a, b), np.arange(200), correlation, resamples=3000)
    theirs = stats.bootstrap(
        (a, b), lambda x, y: stats.pearsonr(x, y)[0], paired=True, vectorized=False,
        n_resamples=1500, method="percentile", rng=np.random.default_rng(4),
    )  # fmt: skip
    assert ours.stderr == pytest.approx(theirs.standard_error, rel=0.08)


def test_a_single_block_still_has_a_spread():
    known = estimate(with_ones(np.array([1.0, 2.0, 3.0, 4.0])), np.zeros(4, int), mean_of_rows)
    assert 0.3 < known.stderr < 0.8


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        estimate(np.zeros((0, 2)), np.zeros(0, int), mean_of_rows)
