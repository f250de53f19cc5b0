"""The yardstick against numpy's own solution, and on a voice whose mouth is known."""

import numpy as np
import pytest
import torch

from gstalker.data.synthetic import make_synthetic_capture
from gstalker.metrics import ridge
from gstalker.metrics.ridge import yardstick


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ridge") / "me"
    return make_synthetic_capture(folder, seconds=66, size=16, seed=4, takes=22)


@pytest.mark.parametrize(("frames", "columns"), [(50, 8), (20, 90)])
def test_both_forms_give_the_textbook_solution(frames, columns):
    rng = np.random.default_rng(0)
    rows, target, seen = (
        rng.normal(size=(frames, columns)),
        rng.normal(size=frames),
        rng.normal(size=(7, columns)),
    )
    weights = np.linalg.solve(
        rows.T @ rows + 3.0 * np.eye(columns), rows.T @ (target - target.mean())
    )
    ours = ridge._predict(*(torch.from_numpy(a) for a in (rows, target, seen)), [3.0])
    np.testing.assert_allclose(ours[0].numpy(), seen @ weights + target.mean(), atol=1e-10)


def test_the_sound_predicts_the_synthetic_mouth_far_better_than_loudness_does(capture):
    found = yardstick(capture, "mel")
    _, test = capture.split()
    loudness = np.log(np.sqrt(np.square(capture.audio().reshape(1650, -1)).mean(1)) + 1e-4)
    by_loudness = np.corrcoef(loudness[test], capture.mouth[test])[0, 1]
    assert found.r > 0.8
    assert found.r > by_loudness + 0.15
    assert found.r_shuffled < 0.5
    assert found.r_residual > 0.8
    assert found.test_frames == 150


def test_the_test_part_has_no_say_in_the_fit(capture, monkeypatch):
    honest = yardstick(capture, "mel")
    mouth = capture.mouth.copy()
    mouth[capture.split()[1]] *= -1
    monkeypatch.setitem(capture.__dict__, "mouth", mouth)
    turned = yardstick(capture, "mel")
    assert turned.penalty == honest.penalty
    assert turned.r == pytest.approx(-honest.r, abs=1e-5)


def test_context_stops_at_the_cut(capture):
    rows = ridge._with_context(capture, "mel", 2).reshape(1650, 5, -1)
    sound = torch.from_numpy(capture.features("mel")).reshape(1650, -1)
    assert torch.equal(rows[75], sound[[75, 75, 75, 76, 77]])
    assert torch.equal(rows[74], sound[[72, 73, 74, 74, 74]])


def test_the_sentence_names_the_correlation(capture):
    found = yardstick(capture, "mel")
    assert f"r = {found.r:.2f}" in found.sentence()
    assert found.as_dict()["features"] == "mel"
