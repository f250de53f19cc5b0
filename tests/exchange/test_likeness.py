"""Which file belongs to which frame: what is accused, and what cannot be told."""

import numpy as np
import pytest
from PIL import Image

from gstalker.errors import CaptureError
from gstalker.exchange import checks, colours, likeness


def held(levels, shown):
    """One number per picture stands for the picture; the difference is how far it is off."""
    return lambda frame, file: abs(levels[frame] - shown[file])


def found(levels, shown):
    off = held(levels, shown)
    return likeness.misplaced(np.array([off(k, k) for k in range(len(levels))]), off)


STEADY = np.arange(40.0)


def test_files_that_fit_their_frames_are_not_accused():
    assert found(STEADY, STEADY + 0.2) is None  # all a little off, alike


def test_of_two_exchanged_neighbours_the_first_is_named():
    shown = STEADY.copy()
    shown[[7, 8]] = shown[[8, 7]]
    assert found(STEADY, shown) == 7


def test_a_stretch_counted_one_too_far_is_noticed_at_its_first_file():
    """File k shows frame k + 1 from 20 on: the usual slip of a hand-made folder."""
    shown = STEADY + (np.arange(40) >= 20)
    assert found(STEADY, shown) == 20


def test_a_copy_of_a_distant_file_is_noticed():
    shown = STEADY.copy()
    shown[30] = STEADY[3]
    assert found(STEADY, shown) == 30


def test_where_two_frames_look_the_same_nobody_is_accused():
    still = np.zeros(40)
    shown = still + np.random.default_rng(0).uniform(-0.2, 0.2, 40)
    assert found(still, shown) is None


def test_a_file_that_fits_no_frame_is_no_other_frames():
    shown = STEADY.copy()
    shown[12] = 500
    assert found(STEADY, shown) is None


def test_only_what_is_surely_seen_is_compared():
    """Half of the picture is a head on a neck; blocks that show both are neither."""
    classes = np.full((128, 128), colours.NONE, np.uint8)
    classes[:, :64] = colours.SKIN
    classes[41:80, :64] = colours.NECK
    classes[80:, :64] = colours.CLOTH
    bits = likeness.surely(classes)
    assert bits.shape == (64, 64)
    assert not bits[:, 32:].any()
    column = bits[:, 0]
    assert (column[:20] == likeness.PERSON | likeness.HEAD).all()
    assert (column[20:40] == likeness.PERSON).all()  # row 20 covers skin and neck
    assert (column[40:] == likeness.PERSON | likeness.CLOTH).all()


@pytest.fixture
def walk(tmp_path):
    """A textured face that goes to the right by 2 px a frame, and where its points are."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 255, (30, 50)), np.ones((4, 4))).astype(np.uint8)
    (tmp_path / "ori_imgs").mkdir()
    face = np.stack([rng.uniform(20, 80, 68), rng.uniform(20, 100, 68)], 1)
    face[36], face[45] = (25, 40), (75, 40)
    points = []
    for i in range(6):
        shown = texture[:120, 60 - 2 * i : 180 - 2 * i]
        Image.fromarray(np.repeat(shown[..., None], 3, 2)).save(
            tmp_path / f"ori_imgs/{i}.jpg", quality=95
        )
        points.append(face + [2 * i, 0])
    return tmp_path, np.array(points)


def look(folder, points):
    where = np.full((len(points), 64, 64), likeness.PERSON | likeness.HEAD, np.uint8)
    same = likeness.Likeness(folder, "ori_imgs", np.arange(len(points)), where, points)
    same.check_landmarks()


def test_landmarks_lie_on_the_same_places_of_the_face(walk):
    folder, points = walk
    look(folder, points)
    look(folder, points + np.random.default_rng(1).normal(0, 0.7, points.shape))
    bad = np.random.default_rng(2).normal(0, 0.1, points.shape) + points[0]
    look(folder, bad)  # they fit badly, exchanged or not
    exchanged = points.copy()
    exchanged[[2, 3]] = exchanged[[3, 2]]
    with pytest.raises(CaptureError, match=r"ori_imgs/2\.lms fits ori_imgs/3\.jpg better"):
        look(folder, exchanged)


def test_landmarks_of_a_head_that_keeps_still_cannot_be_told_apart(walk):
    folder, points = walk
    for i in range(1, 6):
        (folder / f"ori_imgs/{i}.jpg").write_bytes((folder / "ori_imgs/0.jpg").read_bytes())
    still = points[0] + np.random.default_rng(2).normal(0, 0.3, points.shape)
    look(folder, still)
    look(folder, still[[0, 2, 1, 3, 4, 5]])


def test_one_list_of_landmarks_is_not_that_of_two_pictures(walk):
    folder, points = walk
    copied = points.copy()
    copied[4] = copied[3]
    with pytest.raises(
        CaptureError, match=r"ori_imgs/3\.lms and ori_imgs/4\.lms are the same, but"
    ):
        look(folder, copied)
    (folder / "ori_imgs/4.jpg").write_bytes((folder / "ori_imgs/3.jpg").read_bytes())
    look(folder, copied)  # of the same picture they are


def covered(body, opaque):
    checks.torsos_covered(np.arange(len(body)), body.__getitem__, opaque.__getitem__)


def test_a_torso_picture_covers_the_torso_of_its_own_map():
    """A torso of ten columns goes to the right; its picture has a neck column more on each side."""
    columns = np.arange(40)[None]
    body = [np.repeat((columns >= k) & (columns < k + 10), 4, 0) for k in (3, 8, 8, 20)]
    opaque = [np.repeat((columns >= k - 1) & (columns < k + 11), 4, 0) for k in (3, 8, 8, 20)]
    covered(body, opaque)
    covered(body, [opaque[k] for k in (0, 2, 1, 3)])  # alike: nothing tells
    thin = [mask & (columns % 2 == 0) for mask in opaque]
    covered(body, thin)  # another tool's torsos: no better the other way round
    with pytest.raises(CaptureError, match=r"torso_imgs/0\.png covers the torso of parsing/1\.png"):
        covered(body, [opaque[k] for k in (1, 0, 2, 3)])


def test_neighbouring_maps_are_held_to_the_plate():
    """A person of ten columns goes to the right by ``step``; the plate shows beside her."""
    columns = np.arange(40)[None]

    def shown(step, noise=0.0):
        person = np.stack([np.repeat((columns >= k) & (columns < k + 10), 8, 0) for k in (5, step)])
        grain = np.random.default_rng(0).uniform(0, noise, person.shape)
        return np.where(person, 60, 0) + grain, ~person

    def held_to(off, free):
        checks.maps_in_order((7, 8), off, free, "gt_imgs")

    for step in (5, 6, 20):
        held_to(*shown(step))
        held_to(*shown(step, noise=50))
    off, free = shown(6)
    with pytest.raises(CaptureError, match=r"parsing/7\.png fits gt_imgs/8\.jpg better"):
        held_to(off, free[::-1])
    held_to(off[:, :3], free[::-1, :3])  # six pixels tell nothing
    held_to(0.05 * off, free[::-1])  # nor does a person in the plate's colours
    both = np.stack([free[1], free[1]])
    held_to(off, both)  # one is wrong, but not the other's
