"""Losses, the audio net and the fields on the GPU, against float64 on the CPU."""

import pytest
import torch
from devices import GPU, exact_convolutions, needs, on_both
from scenes import relative

from gstalker.data.windows import NEIGHBOURS, ROWS
from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.deform.field import DeformationField, FieldConfig
from gstalker.deform.torso import PoseField, TorsoConfig
from gstalker.losses import photometric
from gstalker.types import AudioWindow

__all__ = ["exact_convolutions"]
pytestmark = [needs(), pytest.mark.usefixtures("exact_convolutions")]

VALUES = 1e-5
"""Float32 sums of some hundred terms, relative."""
GRADIENTS = 1e-4


def pictures():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 40, 56, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(truth.shape, generator=generator, dtype=torch.float64)
    return (truth + 0.1 * noise).clamp(0, 1), truth


def boxes(device):
    return torch.tensor([[5, 7, 30, 20], [40, 30, 90, 60]], device=device)


LOSSES = {
    "L1 and D-SSIM": lambda p, t: photometric.l1_dssim(p, t, 0.2),
    "L1 of a region": lambda p, t: photometric.region_l1(p, t, boxes(p.device)),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_and_their_gradients_agree(loss):
    pred, truth = pictures()
    wide, narrow = pred.clone().requires_grad_(), pred.float().to(GPU).requires_grad_()
    wanted, found = loss(wide, truth), loss(narrow, truth.float().to(GPU))
    assert found.item() == pytest.approx(wanted.item(), abs=2e-6)
    wanted.backward()
    found.backward()
    assert relative(narrow.grad.cpu(), wide.grad) < GRADIENTS


def test_ssim_agrees_also_where_convolutions_may_be_coarse(monkeypatch):
    # A variance is a small difference of large moments: ten bits of mantissa would show here
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    pred, truth = pictures()
    found = photometric.ssim(pred.float().to(GPU), truth.float().to(GPU))
    torch.testing.assert_close(
        found.cpu().double(), photometric.ssim(pred, truth), atol=1e-5, rtol=0
    )


def like(module, *tensors):
    parameter = next(module.parameters())
    return [tensor.to(parameter) for tensor in tensors]


def agree(module, call):
    (wanted, pulls), (found, ours) = on_both(module, call)
    assert relative(found, wanted) < VALUES
    assert set(ours) == set(pulls)
    for name, pull in pulls.items():
        assert relative(ours[name], pull) < GRADIENTS or pull.abs().max() < 1e-12, name


def cloud(n=300):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(0)) * 4


def side_by_side(deltas):
    parts = [value.flatten(1) for value in vars(deltas).values() if value is not None]
    return torch.cat(parts, dim=1)


def test_the_deformation_field_agrees():
    torch.manual_seed(0)
    field = DeformationField(cloud(), 32, FieldConfig())
    torch.nn.init.normal_(field.out.weight, std=0.1)  # else it is still, and nothing is compared
    code = torch.randn(32)
    agree(field, lambda m: side_by_side(m(*like(m, cloud(), code))))


def test_the_pose_field_agrees():
    torch.manual_seed(0)
    field = PoseField(cloud(), torch.randn(20, 6), TorsoConfig())
    pose = torch.randn(6)
    agree(field, lambda m: m(*like(m, cloud(), pose)))


def test_the_audio_net_agrees():
    torch.manual_seed(0)
    net = AudioNet(40, AudioConfig())
    net.whitening.fit(torch.randn(500, 40))
    features, eye = torch.randn(3, len(NEIGHBOURS), ROWS, 40), torch.randn(3)

    def codes(module):
        rows, eyes = like(module, features, eye)
        return module(AudioWindow(rows, torch.arange(3, device=rows.device)), eyes)

    agree(net, codes)
