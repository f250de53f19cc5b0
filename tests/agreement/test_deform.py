"""The kernels that move a cloud compute, and differentiate, what plain torch defines."""

import pytest
import torch
from scenes import relative

from gstalker.deform import kernels
from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.deform.place import Changes, Rows, place
from gstalker.gaussians.cloud import PARAMETERS, GaussianCloud
from gstalker.native import library
from gstalker.types import AudioWindow

pytestmark = [
    pytest.mark.skipif(not library.available(), reason="the native kernels are not built"),
    pytest.mark.parametrize("isa", library.supported_isas(), indirect=True),
]
ROUNDING = 2e-6
"""Relative error of sums of some hundred float32 products."""


@pytest.fixture
def isa(request, monkeypatch):
    monkeypatch.setenv(library.ISA_VARIABLE, request.param)


def random(*shape, seed=0, scale=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double() * scale


def both(function, inputs):
    """Values and gradients of a function in float64 and float32, from the same float32 numbers."""
    results = []
    for dtype in (torch.float64, torch.float32):
        leaves = [t.float().to(dtype).requires_grad_() for t in inputs]
        values = function(*leaves)
        pulls = [random(*v.shape, seed=9 + k).to(dtype) for k, v in enumerate(values)]
        torch.autograd.backward(values, pulls)
        results.append((values, [t.grad for t in leaves]))
    (wanted, pulled), (found, drawn) = results
    return zip([*wanted, *pulled], [*found, *drawn], strict=True)


# ------------------------------------------------------------------ the perceptron


def layers(inside, hidden, out):
    shapes = ((hidden, inside), (hidden,), (hidden, hidden), (hidden,), (out, hidden), (out,))
    return [random(*s, seed=k, scale=s[-1] ** -0.5) for k, s in enumerate(shapes)]


def perceptron(x, w1, b1, w2, b2, w3, b3):
    if x.dtype == torch.float32:
        return (kernels.perceptron(x, w1, b1, w2, b2, w3, b3),)
    return (torch.relu(torch.relu(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3,)


@pytest.mark.parametrize(
    ("count", "inside", "hidden", "out"),
    [
        (1, 1, 16, 1),
        (95, 36, 64, 10),
        (97, 21, 32, 3),
        (2000, 36, 64, 17),
        (7, 128, 128, 128),
        (0, 4, 16, 2),
    ],
)
def test_the_perceptron_and_all_its_gradients(isa, count, inside, hidden, out):
    inputs = [random(count, inside, seed=7), *layers(inside, hidden, out)]
    for wanted, found in both(perceptron, inputs):
        assert relative(found, wanted) < 5 * ROUNDING


def test_rows_kept_column_by_column(isa):
    x = library.columns(97, 36)
    x.copy_(random(97, 36))
    assert library.as_columns(x) is x
    weights = [t.float() for t in layers(36, 64, 10)]
    pulls, values = [], []
    for rows in (x, x.contiguous()):
        leaf = rows.detach().requires_grad_()
        values.append(kernels.perceptron(leaf, *weights))
        values[-1].square().sum().backward()
        pulls.append(leaf.grad)
    assert torch.equal(*values)
    assert torch.equal(*pulls)


def test_rows_that_need_no_gradient_get_none(isa):
    x, *weights = [t.float() for t in (random(50, 8), *layers(8, 16, 2))]
    weights = [w.requires_grad_() for w in weights]
    kernels.perceptron(x, *weights).sum().backward()
    assert x.grad is None
    assert all(w.grad is not None for w in weights)


def test_the_perceptrons_bits_do_not_depend_on_the_threads(isa):
    x, *weights = [t.float() for t in (random(3000, 36), *layers(36, 64, 10))]
    runs = []
    for threads in (1, 2):
        leaves = [t.clone().requires_grad_() for t in (x, *weights)]
        with library.limited(threads):
            out = kernels.perceptron(*leaves)
            out.square().sum().backward()
        runs.append([out, *(t.grad for t in leaves)])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


# ------------------------------------------------------------------ placing


def viewmat(turn, shift):
    matrix = torch.eye(4, dtype=torch.float64)
    x, y, z = turn
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    matrix[:3, :3] = torch.linalg.matrix_exp(skew)
    matrix[:3, 3] = torch.tensor(shift, dtype=torch.float64)
    return matrix.float().double()


REST = viewmat((0.02, -0.05, 0.01), (0.5, -1.0, 13.0))
FRAMES = {
    "at rest": REST,
    "turned": viewmat((0.1, 0.6, -0.2), (2.0, 1.0, 12.0)),
    "behind": viewmat((0.1, 3.1, 0.05), (2.0, 1.0, 12.0)),
}


def raw_cloud(n):
    return [
        random(n, 3, seed=1, scale=3.0),
        random(n, 3, seed=2) - 1,
        random(n, 4, seed=3),
        random(n, seed=4, scale=2.0),
        random(n, seed=5, scale=3.0),
    ]


def placing(frame, columns, moved, torso):
    """Place a cloud given as loose tensors, with changes and a shift of some rows."""

    def run(means, scales, quats, opacities, follow, values, shift):
        cloud = GaussianCloud.empty()
        held = {"means": means, "scales": scales, "quats": quats}
        held |= {"opacities": opacities, "follow": follow, "sh": torch.zeros(len(means), 1, 3)}
        for name in PARAMETERS:
            del cloud._parameters[name]
            setattr(cloud, name, held[name].to(means.dtype))
        splats = place(
            cloud, frame.to(means.dtype), REST.to(means.dtype),
            changes=(Changes(values, columns), moved), shift=(shift, torso),
        )  # fmt: skip
        return splats.means, splats.scales, splats.quats, splats.opacities

    return run


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize(
    "columns",
    [
        {"means": 0, "scales": 3, "quats": 6},
        {"means": 0},
        {"quats": 0, "opacities": 4},
        {"means": 0, "scales": 3, "quats": 6, "opacities": 10},
    ],
    ids=lambda c: "+".join(c),
)
def test_a_placed_cloud_and_all_its_gradients(isa, frame, columns):
    n = 2501  # more than one chunk of the kernel, and not a multiple of sixteen
    moved, torso = Rows.where(random(n, seed=6) > -0.5), Rows.where(random(n, seed=7) > 0.5)
    width = (
        max(columns.values())
        + {"means": 3, "scales": 3, "quats": 4, "opacities": 1}[max(columns, key=columns.get)]
    )
    inputs = [
        *raw_cloud(n),
        random(len(moved.index), width, seed=8, scale=0.3),
        random(len(torso.index), 3, seed=9),
    ]
    for wanted, found in both(placing(frame, columns, moved, torso), inputs):
        # A gradient of `follow` is a difference of numbers some ten times as large.
        assert relative(found, wanted) < 10 * ROUNDING


def test_a_cloud_without_changes_is_activated_and_carried(isa):
    cloud = GaussianCloud.empty()
    assert len(place(cloud, REST.float(), REST.float())) == 0
    raw = raw_cloud(33)
    cloud = GaussianCloud(*(t.float() for t in raw[:4]), torch.zeros(33, 1, 3), raw[4].float())
    wide = GaussianCloud(
        *(t.float().double() for t in raw[:4]),
        torch.zeros(33, 1, 3).double(),
        raw[4].float().double(),
    )
    found = place(cloud, FRAMES["turned"].float(), REST.float())
    wanted = place(wide, FRAMES["turned"], REST)
    for name in ("means", "scales", "quats", "opacities"):
        assert relative(getattr(found, name), getattr(wanted, name)) < ROUNDING


def test_what_is_not_a_number_is_not_made_one(isa):
    raw = [t.float() for t in raw_cloud(20)]
    raw[1][3, 0] = raw[3][5] = float("nan")
    cloud = GaussianCloud(*raw[:4], torch.zeros(20, 1, 3), raw[4])
    splats = place(cloud, REST.float(), REST.float())
    assert torch.isnan(splats.scales).nonzero().tolist() == [[3, 0]]
    assert torch.isnan(splats.opacities).nonzero().tolist() == [[5]]


# ------------------------------------------------------------------ listening


@pytest.mark.parametrize(
    ("batch", "length", "widths", "stride"),
    [(8, 16, (64, 32, 32, 8), 2), (1, 1, (5, 3), 2), (2, 7, (3, 1, 2), 1), (3, 2, (4, 16), 2)],
)
@pytest.mark.parametrize("pulled", [True, False], ids=["with g_x", "without"])
def test_convolutions_and_all_their_gradients(isa, batch, length, widths, stride, pulled):
    rows = random(batch, length, widths[0], seed=1)

    def run(x, *tensors):
        x = x if pulled else rows.float().to(x.dtype) + 0 * x.detach()
        layers = list(zip(tensors[::2], tensors[1::2], strict=True))
        if x.dtype == torch.float32:
            y = kernels.leaky_convs(x, layers, stride=stride, slope=0.02)
        else:
            y = x.transpose(1, 2)
            for weight, bias in layers:
                y = torch.nn.functional.conv1d(y, weight, bias, stride, padding=1)
                y = torch.nn.functional.leaky_relu(y, 0.02)
            y = y.transpose(1, 2)
        return (y, x * 1) if pulled else (y, tensors[0] * 1)

    tensors = []
    for k, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        tensors += [random(after, before, 3, seed=k, scale=0.3), random(after, seed=9 + k)]
    for wanted, found in both(run, [rows, *tensors]):
        assert (wanted is None and found is None) or relative(found, wanted) < 5 * ROUNDING


@pytest.mark.parametrize("smooth", [True, False])
def test_the_audio_net_hears_the_same_with_and_without_its_kernel(isa, smooth):
    torch.manual_seed(0)
    net = AudioNet(24, AudioConfig(smooth=smooth))
    net.whitening.fit(random(100, 24).float())
    sound, eye = random(3, 8, 16, 24, seed=4), random(3, seed=5)
    found = net(AudioWindow(sound.float(), torch.arange(3)), eye.float())
    wanted = net.double()(
        AudioWindow(sound.float().double(), torch.arange(3)), eye.float().double()
    )
    assert relative(found, wanted) < 10 * ROUNDING
