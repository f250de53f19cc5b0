"""``gstalker score`` on a small folder of pictures, figure by figure against plain numpy.

Everything here is written anew, in double precision: SSIM by its formula over every window, LPIPS
by looping over a trunk's layers, landmark distances by hand.
"""

import json
import sys

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from safetensors.torch import save_file

from gstalker import cli
from gstalker.data.synthetic import make_synthetic_capture

SIDE = 64
TRUNK = (  # width, kernel, stride, padding, and whether the picture is halved before
    (6, 11, 4, 2, False), (8, 5, 1, 2, True), (10, 3, 1, 1, True), (8, 3, 1, 1, False),
    (8, 3, 1, 1, False),
)  # fmt: skip
"""AlexNet's convolutions, with few channels."""


class Fixed:
    """Lips at made-up places: pictures with a red corner have some of them elsewhere."""

    name = "fixed"
    layout = "synthetic68"

    def __init__(self, capture):
        pass

    def begin(self):
        pass

    def close(self):
        pass

    def __call__(self, frame, index):
        points = np.zeros((68, 2), np.float32)
        points[36], points[45] = (0, 0), (10 + 10 * (index % 2), 0)  # the outer eye corners
        points[48:68] = np.random.default_rng(index).uniform(0, SIDE, (20, 2))
        if tuple(frame[0, 0]) == (255, 0, 0):
            points[48:58] += (6, 8)
            points[58:68] += (0, 8)
        return points


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """What the command writes, the pictures, their truth, and the weights of the trunk."""
    capture = make_synthetic_capture(tmp_path / "me", seconds=3, size=SIDE)
    ids = capture.split()[1]
    truth = np.stack([capture.frame(int(i)) for i in ids])
    noise = np.random.default_rng(0).normal(0, 20, truth.shape)
    pictures = np.clip(0.9 * truth + noise, 0, 255).astype(np.uint8)
    pictures[:, 0, 0] = (255, 0, 0)
    (tmp_path / "theirs").mkdir()
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "theirs" / f"{k}.png")
    torch.manual_seed(0)
    tensors, width = {}, 3
    for k, (out, kernel, *_) in enumerate(TRUNK):
        tensors[f"conv{k}.weight"] = torch.randn(out, width, kernel, kernel) / kernel
        tensors[f"conv{k}.bias"] = torch.randn(out) / 4
        tensors[f"lin{k}.weight"] = torch.rand(1, out, 1, 1)
        width = out
    save_file(tensors, tmp_path / "lpips_alexnet_fp16.safetensors")
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(tmp_path))
    monkeypatch.setitem(sys.modules, "lpips", None)  # its trunk has all channels
    words = ["score", str(tmp_path / "theirs"), str(capture.folder), "--as", "theirs"]
    assert cli.main([*words, f"landmarks={__name__}:Fixed", "resamples=10"]) == 0
    sheet = json.loads((tmp_path / "theirs" / "scores.json").read_text())
    known = {name: value.double().numpy() for name, value in tensors.items()}
    return sheet, pictures / 255, truth / 255, known, ids


def ssim(x, y):
    """Mean over channels and over all whole 11 x 11 windows (Wang et al. 2004)."""
    at = np.arange(-5, 6)
    bell = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    bell /= bell.sum()

    def mean(picture):
        return (sliding_window_view(picture, (11, 11), (0, 1)) * bell).sum((-1, -2))

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    top = (2 * mx * my + 0.01**2) * (2 * vxy + 0.03**2)
    return (top / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2))).mean()


def lpips(x, y, weights):
    """LPIPS v0.1: differences of unit features, weighed by the heads, over the five ReLUs."""

    def features(picture):
        shift, scale = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
        x = ((picture * 2 - 1 - shift) / scale).transpose(2, 0, 1)
        for k, (_, kernel, stride, padding, halved) in enumerate(TRUNK):
            if halved:
                x = sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2].max((-1, -2))
            x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
            windows = sliding_window_view(x, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
            x = np.einsum("chwij,ocij->ohw", windows, weights[f"conv{k}.weight"])
            x = np.maximum(x + weights[f"conv{k}.bias"][:, None, None], 0)
            yield x / (np.sqrt((x**2).sum(0)) + 1e-10)

    parts = zip(features(x), features(y), strict=True)
    return sum(
        ((a - b) ** 2 * weights[f"lin{k}.weight"][0]).sum(0).mean()
        for k, (a, b) in enumerate(parts)
    )


def test_a_folders_figures_are_those_worked_out_by_hand(scored):
    sheet, pictures, truth, weights, ids = scored
    row = {name: entry.get("mean") for name, entry in sheet["rows"]["theirs"].items()}
    pairs = list(zip(pictures, truth, strict=True))
    psnr = [-10 * np.log10(((a - b) ** 2).mean()) for a, b in pairs]
    assert row["psnr_full"] == pytest.approx(np.mean(psnr), abs=5e-5)
    assert row["ssim_full"] == pytest.approx(np.mean([ssim(a, b) for a, b in pairs]), abs=5e-5)
    by_hand = np.mean([lpips(a, b, weights) for a, b in pairs])
    assert by_hand > 0.01
    assert row["lpips_alex"] == pytest.approx(by_hand, abs=5e-5)
    # Ten points are (6, 8) away, ten (0, 8): 10 and 8 pixels. Their mean is (3, 8), from which
    # each is 3 away. The eye corners are 10 and 20 pixels apart in turn.
    eyes = np.mean([1 / (10 + 10 * (i % 2)) for i in ids])
    known = {"lmd": 9, "lmd_centred": 3, "lmd_iod": 9 * eyes, "lmd_centred_iod": 3 * eyes}
    for name, value in known.items():
        assert row[f"{name}_fixed"] == pytest.approx(value, abs=5e-5), name
    assert sheet["protocol"]["landmark_source"] == "fixed"
    assert sheet["protocol"]["backbones"]["lpips_alex"].startswith("AlexNet, LPIPS v0.1")
