"""The fused loss kernel measures, and differentiates, what the reference defines."""

import pytest
import torch
from scenes import relative, same_for_any_threads

from gstalker.losses import photometric
from gstalker.native import library

pytestmark = pytest.mark.skipif(not library.available(), reason="the native kernels are not built")


def pictures(height, width, count=1):
    generator = torch.Generator().manual_seed(height * 1000 + width)
    truth = torch.rand(count, height, width, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(truth.shape, generator=generator, dtype=torch.float64)
    return (truth + 0.1 * noise).clamp(0, 1), truth


@pytest.mark.parametrize("isa", library.supported_isas())
@pytest.mark.parametrize(
    ("height", "width"), [(64, 96), (33, 17), (11, 11), (5, 3), (1, 1), (100, 1)]
)
def test_loss_and_gradient_agree(isa, height, width, monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", isa)
    pred, truth = pictures(height, width)
    wide, narrow = pred.clone().requires_grad_(), pred.float().requires_grad_()
    wanted = photometric.reference_l1_dssim(wide, truth, 0.2)
    found = photometric.l1_dssim(narrow, truth.float(), 0.2)
    assert found.item() == pytest.approx(wanted.item(), abs=2e-6)
    (3 * wanted).backward()
    (3 * found).backward()
    assert relative(narrow.grad, wide.grad) < 1e-4


def test_a_batch_is_the_mean_of_its_pictures():
    pred, truth = (p.float() for p in pictures(20, 30, count=3))
    together = pred.clone().requires_grad_()
    loss = photometric.l1_dssim(together, truth)
    loss.backward()
    parts, gradients = [], []
    for k in range(3):
        alone = pred[k : k + 1].clone().requires_grad_()
        part = photometric.l1_dssim(alone, truth[k : k + 1])
        part.backward()
        parts.append(part.item())
        gradients.append(alone.grad / 3)
    assert loss.item() == pytest.approx(sum(parts) / 3, abs=1e-6)
    torch.testing.assert_close(together.grad, torch.cat(gradients))


def test_a_cut_out_that_is_not_contiguous_gives_the_same():
    pred, truth = (p.float() for p in pictures(40, 50))
    window = (slice(None), slice(5, 31), slice(7, 44))
    torch.testing.assert_close(
        photometric.l1_dssim(pred[window], truth[window]),
        photometric.l1_dssim(pred[window].contiguous(), truth[window].contiguous()),
        rtol=0,
        atol=0,
    )


def test_any_number_of_threads_gives_the_same_bits():
    pred, truth = (p.float() for p in pictures(90, 70))

    def results():
        x = pred.clone().requires_grad_()
        loss = photometric.l1_dssim(x, truth)
        loss.backward()
        return loss.detach(), x.grad

    assert same_for_any_threads(results)


def test_ssim_alone_agrees_too():
    pred, truth = pictures(40, 30, count=2)
    torch.testing.assert_close(
        photometric.ssim(pred.float(), truth.float()).double(),
        photometric.ssim(pred, truth),
        atol=1e-5,
        rtol=0,
    )


def test_the_mouths_share_of_the_loss_is_that_of_plain_torch():
    pred, truth = pictures(40, 50, count=2)
    boxes = torch.tensor([[5, 10, 30, 28], [-3, 35, 20, 60]])
    wide = pred.clone().requires_grad_()
    narrow = pred.detach().float().requires_grad_()
    wanted = photometric.l1_dssim(wide, truth.double(), boxes=boxes, box_weight=0.3)
    found = photometric.l1_dssim(narrow, truth.float(), boxes=boxes, box_weight=0.3)
    wanted.backward()
    (2 * found).backward()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert relative(narrow.grad, 2 * wide.grad) < 1e-4
