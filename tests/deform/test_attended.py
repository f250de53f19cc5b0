"""The attended field computes what TalkingGaussian's description says, gradients included."""

import pytest
import torch

from gstalker.deform.attended import AttendedConfig, AttendedField, middle
from gstalker.deform.field import EncoderConfig

PLANES = EncoderConfig("hashgrid", levels=2, log2_table=8, base=3, finest=5)
SOUND = 4


def field(**choices):
    torch.manual_seed(0)
    config = AttendedConfig(PLANES, hidden=16, attention=5, eye_attention=3, **choices)
    made = AttendedField(torch.zeros(3), SOUND, config)
    torch.nn.init.normal_(made.last.weight, std=0.3)
    return made


def plainly(made, mean, code):
    """One Gaussian, layer by layer."""
    f = made.encoder(mean[None] / made.reach)[0]
    heard = made.hears[2].weight @ torch.relu(made.hears[0].weight @ f)
    seen = torch.relu(made.sees[2].weight @ torch.relu(made.sees[0].weight @ f))
    x = torch.cat([f, heard * code[:SOUND], seen * code[SOUND:]])
    for layer in (made.first, made.second):
        x = torch.relu(layer.weight @ x)
    return (made.last.weight @ x) * made.gain


def inputs(dtype):
    generator = torch.Generator().manual_seed(3)
    means = torch.randn(20, 3, generator=generator, dtype=torch.float64) * 8
    return means.to(dtype), torch.randn(SOUND + 1, generator=generator).to(dtype)


def test_it_computes_what_a_loop_over_gaussians_computes_gradients_included():
    made = field(means=(1.0, 2.0, 3.0)).double()
    means, code = inputs(torch.float64)
    found = made(means, code).values
    wanted = torch.stack([plainly(made, mean, code) for mean in means])
    torch.testing.assert_close(found, wanted)
    parameters = list(made.parameters())
    pull = torch.randn_like(wanted)
    for ours, theirs in zip(
        torch.autograd.grad(found, parameters, pull, retain_graph=True),
        torch.autograd.grad(wanted, parameters, pull),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_the_kernel_computes_the_same_in_float32():
    made = field()
    means, code = inputs(torch.float32)
    found = made(means, code).values
    wanted = made.double()(means.double(), code.double()).values
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-6)


def test_a_branch_without_attention_hears_the_same_everywhere_and_has_no_eyes():
    config = AttendedConfig(PLANES, hidden=16, attention=0, eye_attention=0, scales=0.0, quats=0.0)
    made = AttendedField(torch.zeros(3), SOUND, config)
    means, code = inputs(torch.float32)
    changes = made(means, code)
    assert dict(changes.columns) == {"means": 0}
    other = code.clone()
    other[-1] += 5
    assert torch.equal(changes.values, made(means, other).values)


def test_the_columns_are_those_of_the_raw_tensors():
    deltas = field()(*inputs(torch.float32)).deltas()
    shapes = [getattr(deltas, name).shape[1] for name in ("means", "scales", "quats")]
    assert shapes == [3, 3, 4]
    assert deltas.opacities is None


def test_gains_are_centimetres_of_each_axis():
    one, two = field(), field(means=(0.2, 1.0, 0.2))
    moved, slowed = (f(*inputs(torch.float32)).values[:, :3] for f in (one, two))
    torch.testing.assert_close(slowed, moved * torch.tensor([0.2, 1.0, 0.2]))


def test_the_middle_is_that_of_the_box():
    assert middle(torch.tensor([[0.0, 0, 0], [2, 4, 6], [0, 0, 1]])).tolist() == pytest.approx(
        [1, 2, 3]
    )
