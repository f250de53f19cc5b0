"""Long steps go on with the piece at which they were stopped."""

from dataclasses import dataclass
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
