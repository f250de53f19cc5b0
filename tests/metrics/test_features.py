"""FID against torchmetrics and scipy; identity by hand."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from gstalker.metrics.bootstrap import Figures
from gstalker.metrics.catalogue import meanings
from gstalker.metrics.features import FID, FeatureFamily, IdentitySimilarity, frechet, networks
from gstalker.metrics.pairs import Pair
from gstalker.metrics.protocol import Protocol
from gstalker.metrics.vocabulary import column


def by_definition(a, b):
    away = np.square(a.mean(0) - b.mean(0)).sum()
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return away + np.trace(one + two - 2 * sqrtm(one @ two).real)


@pytest.mark.parametrize(("rows", "columns"), [(60, 5), (9, 20)])
def test_the_distance_is_the_textbooks(rows, columns):
    rng = np.random.default_rng(rows)
    a = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))
    b = rng.normal(size=(rows + 3, columns)) + 0.3
    # With fewer rows than columns the product is singular, and sqrtm loses half the digits.
    assert frechet(a, b) == pytest.approx(by_definition(a, b), rel=1e-6 if rows > columns else 1e-3)


class Tiny(nn.Module):
    """Means of the four quarters of a uint8 picture."""

    num_features = 12

    def forward(self, pictures):
        halves = torch.nn.functional.adaptive_avg_pool2d(pictures.float() / 255, 2)
        return halves.flatten(1).double()


def test_the_metric_is_torchmetrics_with_the_same_features():
    from torchmetrics.image.fid import FrechetInceptionDistance

    rng = np.random.default_rng(0)
    pred, truth = (torch.from_numpy(rng.integers(0, 256, (30, 8, 8, 3), np.uint8)) for _ in "ab")
    theirs = FrechetInceptionDistance(feature=Tiny())
    theirs.update(truth.permute(0, 3, 1, 2), real=True)
    theirs.update(pred.permute(0, 3, 1, 2), real=False)
    ours = FID(lambda p: Tiny()((p * 255).round().permute(0, 3, 1, 2)))
    for part in (slice(0, 11), slice(11, 30)):
        ours.update(pred[part] / 255, truth[part] / 255)
    assert float(ours.compute()) == pytest.approx(float(theirs.compute()), rel=1e-4)


def test_without_its_weights_fid_says_which_file_goes_where(tmp_path, monkeypatch):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    told = networks(Protocol(fid=True))["fid"]
    assert "weights-inception-2015-12-05-6726825d.pth" in told
    assert str(tmp_path) in told


def pair(place, pred, truth):
    labels = np.zeros(pred.shape[:2], np.uint8)
    return Pair(place, place, place > 0, pred, truth, labels, (0, 0, 4, 4))


def mean_colour(picture):
    return None if picture.max() == 0 else picture.mean((0, 1))


def test_the_family_gives_both_with_their_spread():
    rng = np.random.default_rng(1)
    networks = {"fid": lambda p: p.mean((1, 2)).double(), "identity": mean_colour}
    family = FeatureFamily(networks, "my_lab.faces:Embed")
    pred, truth = rng.integers(0, 256, (2, 12, 8, 8, 3), np.uint8)
    pred[3] = 0  # no face
    for k in range(12):
        family.add(pair(k, pred[k], truth[k]))
    scores, values = family.result(Figures(np.arange(12) // 2, 50, 0))
    colours = [side.mean((1, 2)) / 255 for side in (pred, truth)]
    assert scores["fid"]["mean"] == pytest.approx(by_definition(*colours), rel=1e-3)
    assert scores["fid"]["stderr"] > 0
    assert scores["identity_my_lab.faces.Embed"]["n"] == 11
    assert np.isnan(values["identity_my_lab.faces.Embed"][3])
    by_hand = [
        a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)
        for k, (a, b) in enumerate(zip(*colours, strict=True))
        if k != 3
    ]
    assert scores["identity_my_lab.faces.Embed"]["mean"] == pytest.approx(
        np.mean(by_hand), rel=1e-6
    )


def test_two_recognisers_share_no_column_and_none_is_a_gap_under_the_plain_name():
    names = set()
    for recogniser in ("a:Embed", "b:Embed"):
        family = FeatureFamily({"fid": "not asked for", "identity": mean_colour}, recogniser)
        family.add(pair(0, np.full((8, 8, 3), 9, np.uint8), np.full((8, 8, 3), 9, np.uint8)))
        scores, values = family.result(Figures(np.zeros(1, int), 2, 0))
        names |= set(values)
        assert meanings(list(scores))[next(iter(values))]["higher_is_better"] is True
    assert names == {"identity_a.Embed", "identity_b.Embed"}
    assert [column(name).title for name in sorted(names)] == [
        "identity a.Embed",
        "identity b.Embed",
    ]
    lacking = FeatureFamily({"fid": "not asked for", "identity": "needs one"})
    assert lacking.result(Figures(np.zeros(1, int), 2, 0))[0]["identity"]["reason"] == "needs one"


def test_identity_counts_frames_without_a_face():
    metric = IdentitySimilarity(mean_colour)
    grey = np.full((4, 4, 3), 7, np.uint8)
    metric.update(grey, grey * 2)
    metric.update(np.zeros_like(grey), grey)
    assert float(metric.compute()) == pytest.approx(1)
    assert int(metric.missed) == 1
