"""Of several faces, the subject's is found and kept."""

import numpy as np
import pytest

from gstalker.errors import ConfigError
from gstalker.prepare.tracking.subject import Follower, box, choose, persons


def face(x, y, height):
    """Four points whose middle and height are these."""
    half = height / 2
    return np.array([[x - half, y], [x + half, y], [x, y - half], [x, y + half]], np.float32)


def looks(*people):
    """Pictures in which each of ``people`` is seen where its list says; None: not there."""
    return [
        np.array([face(*at) for at in seen if at is not None], np.float32).reshape(-1, 4, 2)
        for seen in zip(*people, strict=True)
    ]


def test_a_box_is_the_middle_and_the_height():
    assert box(face(30, 20, 10)).tolist() == [30, 20, 10]


def test_two_people_are_told_apart_and_counted_from_the_left():
    left, right = [(100, 50, 40)] * 6, [(300, 60, 30), (310, 60, 31)] * 3
    people = persons(looks(right, left))
    assert [round(p.height) for p in people] == [40, 30]
    assert [p.share for p in people] == [1.0, 1.0]


def test_somebody_who_moves_about_stays_one_person():
    walk = [(100 + 20 * k, 50, 40) for k in range(10)]
    assert len(persons(looks(walk))) == 1


def test_a_passer_by_is_not_a_person_of_the_video():
    stranger = [None] * 19 + [(400, 50, 20)]
    assert len(persons(looks([(100, 50, 40)] * 20, stranger))) == 1


def test_nobody_is_nobody():
    assert persons([np.zeros((0, 4, 2), np.float32)] * 3) == []


def test_the_larger_is_chosen():
    people = persons(looks([(100, 50, 30)] * 6, [(300, 50, 60)] * 6))
    assert choose(people, 0) == 1


def test_of_two_of_one_size_the_one_who_is_there_more_often_is_chosen():
    people = persons(looks([(100, 50, 40), None] * 3, [(300, 50, 40)] * 6))
    assert choose(people, 0) == 1


def test_of_two_of_one_size_the_steadier_is_chosen():
    restless = [(100 + 25 * (k % 2), 50, 40) for k in range(8)]
    people = persons(looks(restless, [(300, 50, 40)] * 8))
    assert choose(people, 0) == 1


def test_a_large_and_still_poster_is_not_taken_for_the_speaker_beside_it():
    """The last two points of these faces are their lips."""
    rng = np.random.default_rng(0)
    shots = []
    for k in range(12):
        poster = np.vstack([face(100, 50, 60), [[100, 60], [100, 60.5 + 0.1 * rng.normal()]]])
        speaker = np.vstack([face(300, 50, 40), [[300, 55], [300, 56 + 2 * (k % 3)]]])
        shots.append(np.array([poster, speaker], np.float32))
    people = persons(shots, gap=(4, 5))
    assert people[1].lips == pytest.approx(2 * np.sqrt(2 / 3) / 40, rel=1e-4)
    assert choose(people, 0) == 1
    assert choose(people, 1) == 0
    assert choose(persons(shots), 0) == 0  # nobody asked about their lips: the larger


def test_a_number_chooses_from_the_left():
    people = persons(looks([(100, 50, 30)] * 6, [(300, 50, 60)] * 6))
    assert choose(people, 1) == 0


@pytest.mark.parametrize("number", [3, -1])
def test_a_number_that_nobody_has_is_refused(number):
    people = persons(looks([(100, 50, 30)] * 6, [(300, 50, 60)] * 6))
    with pytest.raises(ConfigError, match=f"face={number} was asked for, but 2 faces are seen"):
        choose(people, number)


def test_the_subject_is_followed_whatever_the_order():
    follower = Follower(np.array([[100.0, 50, 40]]))
    mine, other = face(110, 50, 42), face(300, 50, 60)
    assert follower.pick([other, mine]) == 1
    assert follower.pick([mine, other]) == 0


def test_another_face_is_not_taken_while_the_subject_is_away():
    follower = Follower(np.array([[100.0, 50, 40]]))
    follower.pick([face(100, 50, 40)])
    assert follower.pick([face(300, 50, 40)]) is None
    assert follower.pick([face(104, 50, 90)]) is None


def test_the_subject_may_walk_far_from_where_the_looks_saw_it():
    follower = Follower(np.array([[100.0, 50, 40]]))
    picks = [follower.pick([face(100 + 5 * k, 50, 40)]) for k in range(60)]
    assert picks == [0] * 60


def test_after_a_while_only_the_looks_count():
    follower = Follower(np.array([[100.0, 50, 40]]))
    for k in range(40):
        follower.pick([face(100 + 5 * k, 50, 40)])
    for _ in range(30):
        assert follower.pick([]) is None
    assert follower.pick([face(295, 50, 40)]) is None
    assert follower.pick([face(105, 50, 40)]) == 0
