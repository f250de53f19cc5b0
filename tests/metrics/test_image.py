"""Picture metrics against scikit-image and by hand."""

import numpy as np
import pytest
import torch

from gstalker.metrics.distance import LPIPS
from gstalker.metrics.image import (
    MSSSIM,
    PSNR,
    SSIM,
    PooledPSNR,
    ms_ssim,
    psnr,
    sharpness,
    ssim,
)

metrics = pytest.importorskip(
    "skimage.metrics", reason="scikit-image is the independent judge here"
)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    smooth = rng.random((4, 9, 7, 3)).repeat(5, 1).repeat(6, 2)
    noisy = np.clip(
        smooth + rng.normal(0, [[[[0.02]]], [[[0.05]]], [[[0.1]]], [[[0.3]]]], smooth.shape), 0, 1
    )
    return torch.from_numpy(noisy).float(), torch.from_numpy(smooth).float()


def test_psnr_of_each_picture_is_scikit_images(pictures):
    pred, truth = pictures
    theirs = [
        metrics.peak_signal_noise_ratio(t.numpy(), p.numpy(), data_range=1)
        for p, t in zip(pred, truth, strict=True)
    ]
    np.testing.assert_allclose(psnr(pred, truth).numpy(), theirs, rtol=1e-5)


def test_the_mean_psnr_is_of_decibels_not_of_errors(pictures):
    pred, truth = pictures
    metric = PSNR()
    metric.update(pred[:3], truth[:3])
    metric.update(pred[3:], truth[3:])
    theirs = np.mean(
        [
            metrics.peak_signal_noise_ratio(t.numpy(), p.numpy(), data_range=1)
            for p, t in zip(pred, truth, strict=True)
        ]
    )
    pooled = metrics.peak_signal_noise_ratio(truth.numpy(), pred.numpy(), data_range=1)
    assert float(metric.compute()) == pytest.approx(theirs, rel=1e-5)
    assert abs(theirs - pooled) > 3


def test_equal_pictures_have_a_hundred_decibels(pictures):
    assert psnr(pictures[0], pictures[0]).tolist() == [100.0] * 4


def test_ssim_of_each_picture_is_scikit_images(pictures):
    pred, truth = pictures
    theirs = [
        metrics.structural_similarity(
            t.numpy(), p.numpy(), data_range=1, channel_axis=-1,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
        for p, t in zip(pred.double(), truth.double(), strict=True)
    ]  # fmt: skip
    # float32 against float64: variances near zero lose some digits.
    np.testing.assert_allclose(ssim(pred, truth).numpy(), theirs, atol=2e-4)
    np.testing.assert_allclose(ssim(pred.double(), truth.double()).numpy(), theirs, atol=1e-10)
    metric = SSIM()
    metric.update(pred, truth)
    assert float(metric.compute()) == pytest.approx(np.mean(theirs), abs=2e-4)


def test_a_picture_smaller_than_the_window_has_no_ssim():
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim(torch.zeros(10, 20, 3), torch.zeros(10, 20, 3))


def test_sharpness_by_hand():
    grey = torch.tensor([[0.0, 0.2], [0.1, 0.0]])
    picture = grey[..., None].expand(2, 2, 3)
    assert float(sharpness(picture)) == pytest.approx(255 * 0.15, rel=1e-6)


def test_lpips_averages_one_distance_a_picture():
    metric = LPIPS(lambda pred, truth: (pred - truth).square().mean())
    metric.update(
        torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 4, 4, 3), torch.zeros(2, 4, 4, 3)
    )
    assert float(metric.compute()) == pytest.approx((1 + 9) / 2)
    assert metric.higher_is_better is False


def test_the_pooled_psnr_is_scikit_images_over_all_pictures_at_once(pictures):
    pred, truth = pictures
    metric = PooledPSNR()
    metric.update(pred[:1], truth[:1])
    metric.update(pred[1:], truth[1:])
    pooled = metrics.peak_signal_noise_ratio(truth.numpy(), pred.numpy(), data_range=1)
    assert float(metric.compute()) == pytest.approx(pooled, rel=1e-5)


def waves(height, width):
    """A picture, and the same two pixels aside under a veil; made by a formula."""
    at = torch.arange(181, dtype=torch.float64)
    y, x = torch.meshgrid(at, at, indexing="ij")
    stripes = [(x / (5 + 2 * c) + (c + 1) * y / 11).sin() * (y / (7 + c)).cos() for c in range(3)]
    truth = 0.5 + 0.5 * torch.stack(stripes, -1)
    pred = (0.8 * truth.roll(2, 1) + 0.2 * (x > y)[..., None].double()).clamp(0, 1)
    return pred.float()[:height, :width].double(), truth.float()[:height, :width].double()


@pytest.mark.parametrize(
    ("height", "theirs"), [(181, 0.8816762378397843), (177, 0.8824626097716411)]
)
def test_ms_ssim_is_the_pytorch_msssim_packages(height, theirs):
    # pytorch-msssim 1.0.0, ms_ssim(..., data_range=1), in double precision
    assert float(ms_ssim(*waves(height, 181))) == pytest.approx(theirs, abs=1e-6)


def test_the_ms_ssim_metric_averages_pictures_and_refuses_small_ones():
    pred, truth = waves(181, 181)
    metric = MSSSIM()
    metric.update(torch.stack([pred, truth]).float(), torch.stack([truth, truth]).float())
    assert float(metric.compute()) == pytest.approx((0.88168 + 1) / 2, abs=1e-4)
    with pytest.raises(ValueError, match="at least 161 x 161"):
        ms_ssim(pred[:160], truth[:160])
