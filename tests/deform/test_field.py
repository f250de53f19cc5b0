"""The deformation field: still at first, moved by the code, and only what it may move."""

import pytest
import torch

from gstalker.deform.field import DeformationField, EncoderConfig, FieldConfig
from gstalker.encode.hashgrid import HashTriPlane

MEANS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * 5


def field(**choices):
    torch.manual_seed(1)
    return DeformationField(MEANS, 8, FieldConfig(**choices))


def code(seed=0):
    return torch.randn(8, generator=torch.Generator().manual_seed(seed))


def test_it_starts_all_but_still():
    deltas = field()(MEANS, code())
    assert deltas.means.abs().max() < 0.02
    assert deltas.scales.abs().max() < 0.02
    assert deltas.opacities is None
    assert deltas.sh is None


def test_an_ablation_is_an_absence():
    deltas = field(scales=0.0, quats=0.0)(MEANS, code())
    assert deltas.means.shape == (40, 3)
    assert deltas.scales is None
    assert deltas.quats is None


def test_optional_parts_have_the_clouds_shapes():
    deltas = field(opacities=1.0, sh=1.0)(MEANS, code())
    assert deltas.opacities.shape == (40,)
    assert deltas.sh.shape == (40, 1, 3)


def test_the_sum_over_inputs_is_the_mlp_on_their_concatenation_gradients_included():
    module = field()
    torch.nn.init.normal_(module.out.weight, std=0.1)
    features = module.encode(MEANS)
    joined = torch.cat([features, module.gate(features) * code()], dim=1)
    weight = torch.cat([module.position.weight, module.condition.weight], dim=1)
    hidden = torch.relu(torch.nn.functional.linear(joined, weight, module.position.bias))
    out = module.out(torch.relu(module.hidden(hidden)))
    deltas = module(MEANS, code())
    torch.testing.assert_close(deltas.means, out[:, :3] * 0.5)
    torch.testing.assert_close(deltas.scales, out[:, 3:6] * 0.5)
    torch.testing.assert_close(deltas.quats, out[:, 6:10] * 0.3)
    weights, learned = torch.randn(40, 10), list(module.parameters())
    moved = torch.cat([deltas.means, deltas.scales, deltas.quats], dim=1)
    plain = out[:, :10] * torch.tensor([0.5] * 6 + [0.3] * 4)
    ours, theirs = (torch.autograd.grad((m * weights).sum(), learned) for m in (moved, plain))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_without_a_gate_the_code_is_the_same_everywhere():
    module = field(gate=False)
    assert module.gate is None
    assert module(MEANS, code()).means.shape == (40, 3)


def test_the_box_of_the_means_fills_the_encoders_cube_but_for_the_margin():
    module = field()
    inside = (MEANS - module.low) / module.span
    assert inside.min() > 0
    assert inside.max() < 1
    torch.testing.assert_close(inside.amin(0) * module.span, torch.full((3,), 0.5))


@pytest.mark.parametrize("gate", [True, False])
def test_it_learns_to_open_a_mouth_by_its_code(gate):
    module = field(gate=gate, encoder=EncoderConfig(name="hashgrid", levels=4))
    assert isinstance(module.encoder, HashTriPlane)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    below = (MEANS[:, 1:2] > 0).float() * torch.tensor([[0.0, 1.0, 0.0]])
    for step in range(200):
        loud = float(step % 2)
        found = module(MEANS, torch.full((8,), loud)).means
        loss = (found - loud * below).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    opened, closed = (module(MEANS, torch.full((8,), v)).means for v in (1.0, 0.0))
    assert (opened - below).abs().mean() < 0.05
    assert closed.abs().mean() < 0.05
