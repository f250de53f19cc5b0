"""Long steps go on with the piece at which they were stopped."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from gstalker.prepare import pieces


@dataclass(frozen=True)
class Job:
    source: Path
    number: int


@pytest.fixture
def jobs(tmp_path):
    source = tmp_path / "source.npy"
    np.save(source, np.arange(4))
    return [Job(source, k) for k in range(4)]


class Worker:
    """Answers with its job's number, remembers what it did, and may be killed at one."""

    def __init__(self, dies_at=None):
        self.did, self.dies_at = [], dies_at

    def __call__(self, job):
        if job.number == self.dies_at:
            raise KeyboardInterrupt
        self.did.append(job.number)
        return np.full((2, 3), job.number, np.uint8)


def numbers(results):
    return [int(rows[0, 0]) for rows in results]


def test_what_a_killed_run_had_done_is_not_done_again(jobs, tmp_path):
    first, second = Worker(dies_at=2), Worker()
    with pytest.raises(KeyboardInterrupt):
        list(pieces.resumed(first, jobs, 1, tmp_path / "pieces"))
    assert numbers(pieces.resumed(second, jobs, 1, tmp_path / "pieces")) == [0, 1, 2, 3]
    assert (first.did, second.did) == ([0, 1], [2, 3])


def test_pieces_of_another_source_are_not_taken_up(jobs, tmp_path):
    list(pieces.resumed(Worker(), jobs, 1, tmp_path / "pieces"))
    np.save(jobs[0].source, np.arange(5))
    again = Worker()
    list(pieces.resumed(again, jobs, 1, tmp_path / "pieces"))
    assert again.did == [0, 1, 2, 3]


@dataclass(frozen=True)
class Weighed(Job):
    """A job that holds an array, and a part that holds one."""

    weights: np.ndarray
    part: Job | None = None


def test_pieces_of_jobs_whose_arrays_differ_by_one_number_are_not_taken_up(jobs, tmp_path):
    weights = np.zeros(5000)
    deep = Weighed(jobs[0].source, 7, weights)
    these = [Weighed(job.source, job.number, weights, deep) for job in jobs]
    list(pieces.resumed(Worker(), these, 1, tmp_path / "pieces"))
    again = Worker()
    list(pieces.resumed(again, these, 1, tmp_path / "pieces"))
    assert again.did == []
    other = weights.copy()
    other[2500] = 1e-9
    for one in (
        replace(these[1], weights=other),
        replace(these[1], part=replace(deep, weights=other)),
    ):
        again = Worker()
        list(pieces.resumed(again, [these[0], one, *these[2:]], 1, tmp_path / "pieces"))
        assert again.did == [0, 1, 2, 3]


def test_pieces_of_other_jobs_are_taken_away(jobs, tmp_path):
    list(pieces.resumed(Worker(), jobs, 1, tmp_path / "pieces"))
    list(pieces.resumed(Worker(), jobs[:2], 1, tmp_path / "pieces"))
    assert len(list((tmp_path / "pieces").iterdir())) == 1


def test_a_damaged_piece_is_made_again(jobs, tmp_path):
    list(pieces.resumed(Worker(), jobs, 1, tmp_path / "pieces"))
    (damaged,) = (tmp_path / "pieces").glob("*/1.npz")
    damaged.write_bytes(damaged.read_bytes()[:20])
    again = Worker()
    assert numbers(pieces.resumed(again, jobs, 1, tmp_path / "pieces")) == [0, 1, 2, 3]
    assert again.did == [1]


def test_forgotten_pieces_are_gone(jobs, tmp_path):
    list(pieces.resumed(Worker(), jobs, 1, tmp_path / "pieces"))
    pieces.forget(tmp_path / "pieces")
    assert not (tmp_path / "pieces").exists()


SHAPE = (5, 2, 3)


def row(k):
    return np.full(SHAPE[1:], k, np.uint8)


class Maker:
    """Makes rows from a number on, remembers which, and may be killed at one."""

    def __init__(self, dies_at=None):
        self.did, self.dies_at = [], dies_at

    def __call__(self, done):
        for k in range(done, SHAPE[0]):
            if k == self.dies_at:
                raise KeyboardInterrupt
            self.did.append(k)
            yield row(k)


def grow(tmp_path, maker, key="a"):
    return list(pieces.grown(tmp_path / "rows.npy", key, SHAPE, maker))


def test_rows_grow_on_from_where_they_were_killed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, Maker(dies_at=3))
    assert not (tmp_path / "rows.npy").exists()
    second = Maker()
    seen = grow(tmp_path, second)
    assert second.did == [3, 4]
    np.testing.assert_array_equal(seen, [row(k) for k in range(5)])
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy", allow_pickle=False), seen)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


def test_half_a_row_is_made_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, Maker(dies_at=3))
    (part,) = tmp_path.glob(".rows-*")
    part.write_bytes(part.read_bytes()[:-1])  # killed while the third was written
    second = Maker()
    grow(tmp_path, second)
    assert second.did == [2, 3, 4]
    assert np.load(tmp_path / "rows.npy")[:, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_what_was_begun_of_another_video_is_removed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        grow(tmp_path, Maker(dies_at=3), key="b")
    second = Maker()
    grow(tmp_path, second)
    assert second.did == [0, 1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


def test_a_maker_that_stops_early_leaves_no_file_of_too_few_rows(tmp_path):
    with pytest.raises(ValueError, match="expected 5 rows, but got 2"):
        list(pieces.grown(tmp_path / "rows.npy", "a", SHAPE, lambda done: iter([row(0), row(1)])))
    assert not (tmp_path / "rows.npy").exists()
