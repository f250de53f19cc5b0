"""What is measured of a capture is what was put into it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from gstalker.data.capture import BACKGROUND
from gstalker.inspect import facts as facts_of
from gstalker.inspect import looks
from gstalker.inspect.facts import gather, head_angles, hear
from gstalker.inspect.looks import blur


@pytest.fixture(scope="module")
def facts(tiny_capture):
    return gather(tiny_capture)


def test_angles_say_where_the_nose_points():
    turns = Rotation.from_euler("xyz", np.radians([[0, 20, 0], [15, 0, 0], [0, 0, 10]]))
    yaw, pitch, roll = head_angles(turns.as_matrix()).T
    # The nose, (0, 0, -1), turned by +20 degrees about the axis that points down, goes left;
    # by +15 about the one to the right, down in the picture's sense of y, which is up.
    nose = turns.apply([0, 0, -1])
    assert nose[0, 0] < 0
    assert nose[1, 1] > 0
    assert yaw == pytest.approx([-20, 0, 0], abs=1e-9)
    assert pitch == pytest.approx([0, -15, 0], abs=1e-9)
    assert roll == pytest.approx([0, 0, 10], abs=1e-9)


def test_levels_and_clipping_are_those_of_the_samples():
    rng = np.random.default_rng(0)
    samples = np.concatenate([0.1 * rng.standard_normal(640 * 50), np.zeros(640 * 50)])
    samples[:64] = 1.0
    sound = hear(samples.astype(np.float32), np.ones(100, bool))
    assert sound.speaks[1:50].all()
    assert not sound.speaks[50:].any()
    assert sound.speech_share == 0.5
    assert sound.level_db[20] == pytest.approx(-20, abs=1)
    assert sound.clipped_share == 64 / 64000
    assert sound.floor_db == -100


def test_the_blur_effect_is_that_of_scikit_image():
    measure = pytest.importorskip("skimage.measure")
    picture = np.random.default_rng(1).integers(0, 255, (60, 80, 3)).astype(float)
    for sigma in (0.0, 1.0, 3.0):
        soft = ndimage.gaussian_filter(picture, (sigma, sigma, 0))
        soft = (255 * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)
        wanted = measure.blur_effect(soft.astype(float).mean(-1), h_size=9)
        assert blur(soft) == pytest.approx(wanted, abs=1e-6)


def test_a_flat_picture_has_no_detail():
    assert blur(np.full((20, 20, 3), 7, np.uint8)) == 1.0
    assert blur(np.zeros((2, 20, 3), np.uint8)) == 1.0


def test_the_synthetic_head_is_measured_as_it_was_made(facts, tiny_capture):
    assert facts.seconds == 8.0
    assert facts.dropped_share == 0
    assert facts.test_start == tiny_capture.test_start
    assert np.abs(facts.angles).max() < 30
    assert facts.distance_cm.mean() == pytest.approx(84, abs=6)
    assert facts.misfit is None
    assert facts.looks.areas.sum(1) == pytest.approx(np.ones(len(facts.looks.areas)))
    assert facts.looks.areas[:, 2].mean() > 0.05
    assert np.nanmedian(facts.looks.plate_levels) <= 2
    assert np.nanmedian(facts.looks.noise_levels) < 1
    assert facts.sound.speech_share > 0.3
    assert facts.size_bytes > 200 * 64 * 64 * 4


def test_another_framing_of_a_dark_wall_is_far_from_the_plate():
    wall = np.full((64, 64, 3), 20, np.uint8)
    shelves = wall.copy()
    shelves[:, :24] = 60  # of three eighths of the pixels: their median stays
    nobody = np.full((64, 64), BACKGROUND, np.uint8)
    box = np.array([0, 0, 8, 8])
    (_, _, same, *_), _ = looks._measure(wall, nobody, SimpleNamespace(background=wall), box)
    (_, _, other, *_), _ = looks._measure(shelves, nobody, SimpleNamespace(background=wall), box)
    assert (same, other) == (0, 40)


def test_grain_is_no_other_framing_and_is_measured_apart_from_it():
    rng = np.random.default_rng(0)
    wall = np.full((128, 128, 3), 60, np.uint8)
    grainy = (wall + rng.normal(0, 15, (128, 128, 1))).round().astype(np.uint8)
    nobody = np.full((128, 128), BACKGROUND, np.uint8)
    plate = SimpleNamespace(background=wall)
    (_, _, levels, noise, _), _ = looks._measure(grainy, nobody, plate, np.array([0, 0, 8, 8]))
    assert levels < 6  # 15 / 4, and 75 % of absolute values are below 1.15 deviations: 4.3
    assert noise == pytest.approx(15 * np.sqrt(15 / 16), rel=0.1)  # less the mean of 16


def test_every_picture_is_read_once(tiny_capture):
    told = []
    gather(tiny_capture, told.append)
    assert sum(told) == tiny_capture.frame_count


def test_a_mesh_off_its_landmarks_is_off_by_as_much(tiny_capture, monkeypatch):
    """Landmarks made from mesh and poses, then moved by three pixels."""
    from gstalker.prepare.tracking.pose import Lens

    rng = np.random.default_rng(0)
    mesh = rng.uniform(-6, 1.5, (468, 3)).astype(np.float32)
    poses = tiny_capture.poses.numpy().astype(float)
    lens = Lens(*(tiny_capture.meta[k] for k in ("focal_px", "cx_px", "cy_px")))
    points = lens.project(mesh @ poses[:, :3, :3].swapaxes(1, 2) + poses[:, None, :3, 3])
    padded = np.concatenate([points + [3.0, 0.0], np.zeros((len(points), 10, 2))], axis=1)
    monkeypatch.setitem(vars(tiny_capture), "mesh", mesh)
    monkeypatch.setitem(vars(tiny_capture), "landmarks", padded)
    monkeypatch.setitem(tiny_capture.meta, "landmarks", "mediapipe478")
    misfit = facts_of._misfit(tiny_capture, poses, lens)
    assert misfit.frame_px == pytest.approx(np.full(len(points), 3.0), abs=1e-3)
    assert np.nanmax(misfit.vertex_px) == pytest.approx(3.0, abs=1e-3)
