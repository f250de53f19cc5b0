"""LPIPS: zero for equals, growing with damage, one clear sentence without weights."""

import pytest
import torch

from gstalker.errors import BackendMissing
from gstalker.losses.perceptual import LPIPS


@pytest.fixture
def lpips(shared):
    return LPIPS(shared / "data/weights/lpips_alexnet_fp16.safetensors")


def picture(seed=0, side=64):
    small = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return (
        torch.nn.functional.interpolate(small, size=(side, side), mode="bicubic")
        .clamp(0, 1)
        .movedim(1, -1)
    )


def test_a_picture_is_at_no_distance_from_itself(lpips):
    assert lpips(picture(), picture()).item() == 0


def test_distance_grows_with_noise_and_is_symmetric(lpips):
    noise = torch.randn(1, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    little, much = (picture() + 0.02 * noise).clamp(0, 1), (picture() + 0.2 * noise).clamp(0, 1)
    assert 0 < lpips(picture(), little) < lpips(picture(), much)
    torch.testing.assert_close(lpips(picture(), much), lpips(much, picture()))


def test_the_trunk_and_heads_agree_with_torchmetrics_heads(lpips):
    torchmetrics = pytest.importorskip("torchmetrics")
    from pathlib import Path

    shipped = Path(torchmetrics.__file__).parent / "functional/image/lpips_models/alex.pth"
    theirs = torch.load(shipped, map_location="cpu", weights_only=True)
    for k, head in enumerate(lpips.heads):
        # stored as float16 here, so equal to three digits
        torch.testing.assert_close(
            head.data, theirs[f"lin{k}.model.1.weight"], rtol=1e-3, atol=1e-6
        )


def test_a_gradient_reaches_the_picture_and_no_weight(lpips):
    pred = picture().requires_grad_()
    lpips(pred, picture(1)).sum().backward()
    assert pred.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in lpips.parameters())


def test_small_pictures_are_refused_with_their_size(lpips):
    with pytest.raises(ValueError, match="31 pixels or more"):
        lpips(picture(side=16), picture(side=16))


def test_missing_weights_are_named_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendMissing, match="lpips_alexnet"):
        LPIPS()


def test_damaged_weights_are_a_sentence(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"no")
    with pytest.raises(BackendMissing, match="gstalker weights check"):
        LPIPS(tmp_path / "w.safetensors")
