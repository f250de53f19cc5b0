"""The definition of the photometric losses, against others' implementations and by hand."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from gstalker.losses.photometric import l1_dssim, reference_l1_dssim, region_l1, ssim_map
from gstalker.losses.regularize import mean_change
from gstalker.types import Deltas


def pictures():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 40, 50, 3, generator=generator, dtype=torch.float64)
    return (truth + 0.1 * torch.randn(truth.shape, generator=generator, dtype=torch.float64)).clamp(
        0, 1
    ), truth


def test_ssim_is_that_of_scikit_image_inside_of_the_borders():
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    pred, truth = pictures()
    _, theirs = structural_similarity(
        truth[0].numpy(), pred[0].numpy(), gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=1.0, channel_axis=-1, full=True,
    )  # fmt: skip
    ours = ssim_map(pred, truth)[0].numpy()
    inside = (slice(5, -5), slice(5, -5))  # beyond, they mirror and we have zeros
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-6)


def test_equal_pictures_lose_nothing():
    _, truth = pictures()
    assert reference_l1_dssim(truth, truth).item() == pytest.approx(0, abs=1e-12)
    assert l1_dssim(truth.float(), truth.float()).item() == pytest.approx(0, abs=1e-6)


def test_without_dssim_it_is_the_mean_absolute_error():
    pred, truth = pictures()
    assert reference_l1_dssim(pred, truth, 0.0).item() == pytest.approx(
        (pred - truth).abs().mean().item()
    )


def test_the_reference_passes_finite_differences():
    pred, truth = (p[:, :3, :4] for p in pictures())
    assert torch.autograd.gradcheck(
        lambda p: reference_l1_dssim(p, truth), pred.contiguous().requires_grad_()
    )


def test_shapes_that_differ_are_named():
    pred, truth = pictures()
    with pytest.raises((ValueError, TypeCheckError), match="truth|39"):
        l1_dssim(pred, truth[:, 1:])


def test_a_region_counts_its_own_pixels_only():
    truth = torch.zeros(2, 6, 8, 3)
    pred = truth.clone()
    pred[0, 1:3, 2:5] = 0.5
    pred[1, 0, 0] = 9
    boxes = torch.tensor([[2, 1, 5, 3], [4, 4, 6, 6]])
    assert region_l1(pred, truth, boxes).item() == pytest.approx(0.25)


def test_a_box_without_pixels_is_no_error_rather_than_not_a_number():
    truth = torch.zeros(2, 6, 8, 3)
    pred = (truth + 1).requires_grad_()
    boxes = torch.tensor([[3, 3, 3, 5], [-4, -4, 2, 1]])
    loss = region_l1(pred, truth, boxes)
    assert loss.item() == pytest.approx(0.5)  # nothing, and the two pixels that are inside
    loss.backward()
    assert pred.grad.isfinite().all()
    assert pred.grad[1, 0, :2].abs().min() > 0


def test_autocast_does_not_coarsen_the_definition():
    pred, truth = (p.float() for p in pictures())
    wanted = ssim_map(pred, truth)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = ssim_map(pred, truth)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    # a picture of eight bits costs its own rounding, not the windows'
    coarse = ssim_map(pred.bfloat16(), truth.bfloat16())
    assert coarse.dtype == torch.float32
    assert (coarse - wanted).abs().max() < 0.05


def test_mean_change_sums_over_the_parts_there_are():
    deltas = Deltas(means=torch.full((4, 3), -2.0), quats=torch.full((4, 4), 0.5))
    assert mean_change(deltas).item() == pytest.approx(2.5)
    with pytest.raises(ValueError, match="at least one part"):
        mean_change(Deltas())
