"""Spatial-audio attention against torch's own multi-head attention, and by finite differences."""

import pytest
import torch
import torch.nn.functional as F

from gstalker.deform.crossattention import (
    ATTRIBUTES,
    CanonicalHeads,
    CrossAttention,
    CrossConfig,
    waves,
)

DIM, SOUND = 8, 6


def attention(layers=1, dropout=0.0):
    torch.manual_seed(0)
    config = CrossConfig(layers=layers, heads=2, feed_forward=12, dropout=dropout, hidden=10)
    made = CrossAttention(DIM, SOUND, harmonics=4, config=config).double()
    for head in made.out.values():
        torch.nn.init.normal_(head[2].weight, std=0.5)
    return made


def inputs():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(7, DIM, generator=generator, dtype=torch.float64)
    code = torch.randn(SOUND + 1, generator=generator, dtype=torch.float64)
    viewmat = torch.eye(4, dtype=torch.float64)
    viewmat[:3, 3] = torch.tensor([0.1, -0.2, 0.9])
    return features, code, viewmat


def by_torch(layer, x, tokens):
    """One layer by ``torch.nn.MultiheadAttention`` with the same weights."""
    theirs = torch.nn.MultiheadAttention(DIM, layer.heads, batch_first=True).double()
    asking = (layer.ask, layer.keys, layer.values)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in asking]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in asking]))
        theirs.out_proj.weight.copy_(layer.told.weight)
        theirs.out_proj.bias.copy_(layer.told.bias)
    told = theirs(x[None], tokens[None], tokens[None], need_weights=False)[0][0]
    x = F.layer_norm(x + told, (DIM,), layer.first.weight, layer.first.bias)
    wide = torch.relu(F.linear(x, layer.wide.weight, layer.wide.bias))
    x = x + F.linear(wide, layer.narrow.weight, layer.narrow.bias)
    return F.layer_norm(x, (DIM,), layer.second.weight, layer.second.bias)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_layer_is_torchs_own_multi_head_attention(layers):
    made = attention(layers)
    features, code, viewmat = inputs()
    x, tokens = features, made.tokens(code, viewmat)
    for layer in made.layers:
        x = by_torch(layer, x, tokens)
    changes = made(features, code, viewmat)
    for name in ("means", "quats", "opacities"):
        first, last = made.out[name][0], made.out[name][2]
        wanted = last(torch.relu(first(x)))
        torch.testing.assert_close(changes[name], wanted)


def test_every_attribute_changes_and_colours_in_every_harmonic():
    changes = attention()(*inputs())
    assert {name: tuple(changes[name].shape) for name in ATTRIBUTES} == {
        "means": (7, 3), "scales": (7, 3), "quats": (7, 4), "opacities": (7, 1), "sh": (7, 4, 3),
    }  # fmt: skip


def test_gradients_pass_finite_differences():
    made = attention()
    features, code, viewmat = inputs()

    def changes(features, code):
        return tuple(made(features, code, viewmat).values())

    assert torch.autograd.gradcheck(changes, (features.requires_grad_(), code.requires_grad_()))


@pytest.mark.parametrize("number", range(SOUND + 1))
def test_each_number_of_the_code_is_heard(number):
    made, (features, code, viewmat) = attention(), inputs()
    other = code.clone()
    other[number] += 0.5
    assert not torch.allclose(
        made(features, code, viewmat)["means"], made(features, other, viewmat)["means"]
    )


def test_dropout_is_for_training_alone():
    made = attention(dropout=0.5)
    one, two = (made.train()(*inputs())["means"] for _ in range(2))
    assert not torch.equal(one, two)
    one, two = (made.eval()(*inputs())["means"] for _ in range(2))
    assert torch.equal(one, two)


def test_waves_are_sines_then_cosines():
    found = waves(torch.tensor([0.5]), 4)
    angles = torch.tensor([0.5 * 2**-2, 0.5 * 2**4])
    torch.testing.assert_close(found, torch.cat([angles.sin(), angles.cos()]))
    assert len(waves(torch.tensor([0.5]), 5)) == 5


def test_canonical_heads_say_one_opacity_and_all_harmonics():
    opacities, sh = CanonicalHeads(DIM, 4, 16)(torch.zeros(3, DIM))
    assert (tuple(opacities.shape), tuple(sh.shape)) == ((3,), (3, 4, 3))
    assert (opacities.sigmoid() > 0.5).all()


def test_canonical_heads_are_two_perceptrons_written_out_gradients_included():
    torch.manual_seed(2)
    made = CanonicalHeads(DIM, 4, 16).double()
    features = torch.randn(7, DIM, dtype=torch.float64).requires_grad_()

    def plainly(head, place):
        first, last = head[0], head[2]
        hidden = (first.weight @ place + first.bias).clamp_min(0)
        return last.weight @ hidden + last.bias

    opacities = torch.stack([plainly(made.opacity, place)[0] for place in features])
    colours = [plainly(made.colour, place) for place in features]
    sh = torch.stack([torch.stack([c[3 * k : 3 * k + 3] for k in range(4)]) for c in colours])
    found = made(features)
    torch.testing.assert_close(found, (opacities, sh))
    learned = [*made.parameters(), features]
    pulls = [
        torch.autograd.grad((logits.cos().sum() + harmonics.square().sum()), learned)
        for logits, harmonics in (found, (opacities, sh))
    ]
    torch.testing.assert_close(*pulls)
