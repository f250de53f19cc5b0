"""The audio net: a fixed map fitted to the training sound, then one smooth code per frame."""

import numpy as np
import pytest
import torch

from gstalker.deform.audio import (
    AudioConfig,
    AudioNet,
    Whitening,
    fit_whitening,
    spread_codes,
)
from gstalker.types import AudioWindow


def test_narrow_features_are_centred_and_scaled():
    rows = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7) + 3
    map_ = Whitening(6, 64)
    map_.fit(rows)
    out = map_(rows)
    torch.testing.assert_close(out.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(0), torch.ones(6), atol=2e-3, rtol=0)


def test_wide_features_keep_their_main_directions_only():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(800, 4, generator=generator)
    mixing = torch.randn(4, 40, generator=generator)
    rows = hidden @ mixing + 0.01 * torch.randn(800, 40, generator=generator)
    map_ = Whitening(40, 4)
    map_.fit(rows)
    out = map_(rows)
    assert out.shape == (800, 4)
    # independent check: numpy's least squares recovers the hidden directions from the output
    _, residual, *_ = np.linalg.lstsq(out.numpy(), (hidden - hidden.mean(0)).numpy(), rcond=None)
    assert residual.sum() / hidden.square().sum() < 1e-3
    torch.testing.assert_close(out.std(0), torch.linspace(1, 0.5, 4), atol=5e-3, rtol=0)


def window(b=2, dim=80, seed=0):
    features = torch.randn(b, 8, 16, dim, generator=torch.Generator().manual_seed(seed))
    return AudioWindow(features, torch.zeros(b, dtype=torch.long))


def leaky(x):
    return torch.where(x > 0, x, 0.02 * x)


def convolved(rows, layer, stride):
    """Rows ``[L, C]`` under three taps a row, written out."""
    padded = torch.nn.functional.pad(rows, (0, 0, 1, 1))
    windows = [padded[k : k + 3] for k in range(0, len(rows), stride)]
    return torch.stack([torch.einsum("oct,tc->o", layer.weight, w) + layer.bias for w in windows])


def coded(net, windows):
    """A frame's code of its eight windows ``[8, 16, E]``, as AD-NeRF's AudioNet and AudioAttNet."""
    codes = []
    for rows in windows:
        for k in (0, 2, 4, 6):
            rows = leaky(convolved(rows, net.window[k], 2))
        first, _, last = net.head
        codes.append(last.weight @ leaky(first.weight @ rows[0] + first.bias) + last.bias)
    scores = codes = torch.stack(codes)
    for k in (0, 2, 4, 6, 8):
        scores = leaky(convolved(scores, net.attention.scores[k], 1))
    mixed = net.attention.mix.weight @ scores[:, 0] + net.attention.mix.bias
    return (mixed.exp() / mixed.exp().sum()) @ codes


def test_a_code_is_the_networks_written_out_gradients_included():
    torch.manual_seed(0)
    net = AudioNet(29, AudioConfig(code=32, eye_code=0))
    fit_whitening(net, np.random.default_rng(0).normal(size=(100, 29)).astype(np.float32))
    heard, weights = window(dim=29), torch.randn(2, 32)
    codes = net(heard, torch.zeros(2))
    plain = torch.stack([coded(net, net.whitening(frame)) for frame in heard.features])
    torch.testing.assert_close(codes, plain)
    learned = list(net.parameters())
    ours, theirs = (torch.autograd.grad((c * weights).sum(), learned) for c in (codes, plain))
    assert len(ours) == 4 * 2 + 2 * 2 + 5 * 2 + 2
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("smooth", [True, False])
def test_a_code_has_the_size_that_the_config_says(smooth):
    net = AudioNet(80, AudioConfig(smooth=smooth))
    fit_whitening(net, np.random.default_rng(0).normal(size=(100, 80)).astype(np.float32))
    assert net(window(), torch.zeros(2)).shape == (2, 32) == (2, net.dim)


def test_without_smoothing_only_the_centre_frame_is_heard():
    net = AudioNet(80, AudioConfig(smooth=False))
    fit_whitening(net, np.random.default_rng(0).normal(size=(100, 80)).astype(np.float32))
    near = window()
    other = near.features.clone()
    other[:, [0, 1, 2, 3, 5, 6, 7]] = 0
    torch.testing.assert_close(
        net(near, torch.zeros(2)), net(AudioWindow(other, near.centre), torch.zeros(2))
    )


def test_with_smoothing_the_neighbours_are_heard_and_weights_sum_to_one():
    net = AudioNet(80, AudioConfig())
    fit_whitening(net, np.random.default_rng(0).normal(size=(100, 80)).astype(np.float32))
    same = window().features[:, 4:5].expand(-1, 8, -1, -1)
    alone = AudioNet(80, AudioConfig(smooth=False))
    alone.load_state_dict(net.state_dict(), strict=False)
    still = AudioWindow(same, torch.zeros(2, dtype=torch.long))
    # eight equal frames average to themselves whatever the attention says
    torch.testing.assert_close(net(still, torch.zeros(2)), alone(still, torch.zeros(2)))
    other = window().features.clone()
    other[:, 0] += 1
    changed = AudioWindow(other, torch.zeros(2, dtype=torch.long))
    assert not torch.allclose(net(changed, torch.zeros(2)), net(window(), torch.zeros(2)))


def test_the_eyes_change_the_eye_part_of_the_code_only():
    net = AudioNet(80, AudioConfig())
    fit_whitening(net, np.random.default_rng(0).normal(size=(100, 80)).astype(np.float32))
    shut, wide = net(window(), torch.full((2,), -2.0)), net(window(), torch.full((2,), 2.0))
    torch.testing.assert_close(shut[:, :28], wide[:, :28])
    assert (shut[:, 28:] != wide[:, 28:]).all()


def test_no_eye_code_means_no_eyes():
    net = AudioNet(80, AudioConfig(eye_code=0))
    fit_whitening(net, np.random.default_rng(0).normal(size=(100, 80)).astype(np.float32))
    assert net.dim == 28
    torch.testing.assert_close(net(window(), torch.ones(2)), net(window(), -torch.ones(2)))


def test_a_spread_nets_codes_differ_from_frame_to_frame_which_a_new_ones_hardly_do():
    torch.manual_seed(0)
    net = AudioNet(80, AudioConfig(code=32, eye_code=0))
    fit_whitening(net, np.random.default_rng(0).normal(size=(500, 80)).astype(np.float32))
    heard = window(b=300)

    def codes():
        with torch.no_grad():
            return net(heard, torch.zeros(300), smooth=False)

    assert codes().std(0).norm() < 0.1 * codes().mean(0).norm()
    spread_codes(net, heard.features[:, 4])  # the frame's own window among its neighbours'
    torch.testing.assert_close(codes().mean(0), torch.zeros(32), atol=1e-4, rtol=0)
    torch.testing.assert_close(codes().std(0), torch.ones(32), atol=1e-4, rtol=0)
