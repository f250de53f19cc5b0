"""BRISQUE: OpenCV's with a model of our own making, against the paper's formulas by hand."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.special import gamma

from gstalker import weights
from gstalker.errors import BackendMissing
from gstalker.metrics import brisque
from gstalker.metrics.bootstrap import Figures
from gstalker.metrics.brisque import Brisque, BrisqueFamily, load
from gstalker.metrics.pairs import Pair

SHARPNESS = 0.03
"""Of the model's radial basis functions."""


@pytest.fixture
def cv2():
    found = pytest.importorskip("cv2")
    if not hasattr(found, "quality"):
        pytest.skip("this OpenCV has no module quality: pip install opencv-contrib-python")
    return found


def pictures(count=8):
    """More and more blurred noise, ``uint8 [96, 80, 3]`` RGB."""
    rng = np.random.default_rng(0)
    for sigma in np.linspace(0.5, 3, count):
        noise = gaussian_filter1d(
            gaussian_filter1d(rng.normal(size=(96, 80, 3)), sigma, 0), sigma, 1
        )
        yield (128 + 50 * noise / noise.std()).clip(0, 255).astype(np.uint8)


def fitted(x):
    """Shape, and left and right variance of an asymmetric generalised Gaussian (section III.A)."""
    left, right = np.mean(x[x < 0] ** 2), np.mean(x[x > 0] ** 2)
    ratio = np.sqrt(left / right)
    wanted = np.mean(np.abs(x)) ** 2 / np.mean(x**2)
    wanted *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes = np.arange(0.2, 10, 0.001)
    curve = gamma(2 / shapes) ** 2 / gamma(1 / shapes) / gamma(3 / shapes)
    return shapes[np.abs(curve - wanted).argmin()], left, right


def features(cv2, picture):
    """The 36 features of the paper; OpenCV's own halving and grey."""
    grey, found = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) / 255, []
    for _ in range(2):
        blur = {"sigma": 7 / 6, "radius": 3, "mode": "nearest"}
        mean, square = (
            gaussian_filter1d(gaussian_filter1d(side, axis=0, **blur), axis=1, **blur)
            for side in (grey, grey**2)
        )
        normal = (grey - mean) / (np.sqrt(square - mean**2) + 1 / 255)
        shape, left, right = fitted(normal)
        found += [shape, (left + right) / 2]
        for down, across in ((0, 1), (1, 0), (1, 1), (-1, 1)):
            padded = np.pad(normal, 1)
            height, width = normal.shape
            beside = padded[1 + down : 1 + down + height, 1 + across : 1 + across + width]
            shape, left, right = fitted(normal * beside)
            scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
            mean = (np.sqrt(right) - np.sqrt(left)) * gamma(2 / shape) / gamma(1 / shape) * scale
            found += [shape, mean, left, right]
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=2)
    return np.array(found)


@pytest.fixture
def model(cv2, tmp_path, monkeypatch):
    """A small model of our own among the weights; what it says of 36 features."""
    known = np.stack([features(cv2, picture) for picture in pictures()])
    least, most = known.min(0), known.max(0)
    scaled = (2 * (known - least) / (most - least) - 1).astype(np.float32)
    machine = cv2.ml.SVM_create()
    machine.setType(cv2.ml.SVM_EPS_SVR)
    machine.setKernel(cv2.ml.SVM_RBF)
    machine.setGamma(SHARPNESS)
    machine.setC(500)
    machine.setP(0.1)
    wanted = np.linspace(20, 80, len(known)).astype(np.float32)
    machine.train(scaled, cv2.ml.ROW_SAMPLE, wanted)
    machine.save(str(tmp_path / brisque.MODEL))
    file = cv2.FileStorage(str(tmp_path / brisque.RANGE), cv2.FILE_STORAGE_WRITE)
    file.write("range", np.stack([least, most]).astype(np.float32))
    file.release()
    monkeypatch.setattr(weights, "folders", lambda: [tmp_path])
    places = machine.getSupportVectors()
    rho, shares, order = machine.getDecisionFunction(0)

    def say(found):
        at = 2 * (found - least) / (most - least) - 1
        near = np.exp(-SHARPNESS * np.square(places[order.ravel()] - at).sum(1))
        return float(shares.ravel() @ near - rho)

    return say


def test_the_score_is_the_papers_formulas_by_hand(cv2, model):
    judge = load()
    for picture in pictures(5):
        by_hand = model(features(cv2, picture))
        assert 0 < by_hand < 100
        # OpenCV computes in 32 bits and tries shapes in steps of 0.001
        assert judge(picture) == pytest.approx(by_hand, abs=1e-3)


def test_the_metric_and_the_family_are_means_that_leave_plain_frames_out(cv2, model):
    rows = [*pictures(4), np.full((96, 80, 3), 9, np.uint8)]
    judge = load()
    values = [judge(picture) for picture in rows[:4]]
    metric, family = Brisque(judge), BrisqueFamily(judge)
    for k, picture in enumerate(rows):
        metric.update(picture)
        family.add(Pair(k, k, k > 0, picture, picture * 0, picture[..., 0], (0, 0, 4, 4)))
    assert float(metric.compute()) == pytest.approx(np.mean(values))
    assert metric.higher_is_better is False
    scores, of_frames = family.result(Figures(np.arange(5), 50, 0))
    assert (scores["brisque"]["n"], scores["brisque"]["mean"]) == (
        4,
        pytest.approx(np.mean(values)),
    )
    assert np.isfinite(of_frames["brisque"]).tolist() == [True] * 4 + [False]


def test_without_its_files_or_with_damaged_ones_it_says_what_to_do(cv2, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "folders", lambda: [tmp_path])
    family = BrisqueFamily(brisque.judge_or_why())
    reason = family.result(Figures(np.arange(1), 2, 0))[0]["brisque"]["reason"]
    assert brisque.MODEL in reason
    assert brisque.RANGE in reason
    assert f"Put both into {tmp_path}." in reason
    for name in (brisque.MODEL, brisque.RANGE):
        (tmp_path / name).write_text("no model")
    with pytest.raises(BackendMissing, match="copy them again"):
        load()


def test_an_opencv_without_the_module_says_what_to_install(cv2, monkeypatch):
    monkeypatch.delattr(cv2, "quality")
    with pytest.raises(BackendMissing, match="pip install opencv-contrib-python"):
        load()
