"""Fused stages against the same stages apart; run by ``test_fuse.py`` in a process of its own.

The suite checks shapes of every call, and what checks them cannot be traced. FUSE_BACKEND names the
backend of ``torch.compile``, FUSE_DEVICE where the stages lie.
"""

import os

import pytest
import torch

from gstalker.data.synthetic import make_synthetic_capture
from gstalker.deform.field import EncoderConfig, FieldConfig
from gstalker.gaussians.rotations import mean_viewmat
from gstalker.gaussians.start import mesh_cloud
from gstalker.render import make_rasterizer
from gstalker.stages.deform import DeformStage
from gstalker.stages.handoff import Handoff
from gstalker.stages.settings import DeformConfig
from gstalker.stages.static import StaticStage
from gstalker.types import Camera

BACKEND = os.environ.get("FUSE_BACKEND", "aot_eager")
DEVICE = os.environ.get("FUSE_DEVICE", "cpu")
CLOSE = {"rtol": 1e-10, "atol": 1e-12}
"""Float64, which the CPU's own kernels leave to torch; sums may be taken in another order."""


@pytest.fixture(scope="session")
def capture(tmp_path_factory):
    return make_synthetic_capture(tmp_path_factory.mktemp("captures") / "c", seconds=2.0, size=64)


@pytest.fixture
def stages(capture):
    """Two equal stages in float64, with a field that moves and a torso that turns."""
    rest = mean_viewmat(capture.poses)
    cloud = mesh_cloud(capture.mesh, 200)
    follow = torch.linspace(-4, 4, len(cloud))  # from the torso to the head
    state = {**{k: v.detach().clone() for k, v in cloud.state_dict().items()}, "follow": follow}
    handoff = Handoff(state, rest, capture.name, capture.content_id)
    encoder = EncoderConfig(name="hashgrid", levels=3)
    config = DeformConfig(steps=10, field=FieldConfig(encoder=encoder))
    plain, other = (
        DeformStage(handoff, 20, capture.poses, make_rasterizer("reference"), config)
        for _ in range(2)
    )
    torch.manual_seed(0)
    torch.nn.init.normal_(plain.field.out.weight, std=0.1)  # else it is still: nothing to compare
    torch.nn.init.normal_(plain.torso.last.weight, std=0.1)
    other.load_state_dict(plain.state_dict())
    return plain.double().to(DEVICE), other.double().to(DEVICE)


def camera(capture, frame):
    poses = capture.poses[frame : frame + 1].double()
    return Camera(poses, capture.Ks[None].double(), 64, 64).to(DEVICE)


def values_and_pulls(stage, capture, frame, code):
    stage.zero_grad()
    splats = stage.splats(camera(capture, frame), code)
    sum((value**2).sum() for value in vars(splats).values()).backward()
    pulls = {name: p.grad for name, p in stage.named_parameters() if p.grad is not None}
    return vars(splats), pulls


def test_a_fused_stage_moves_its_gaussians_as_before_and_learns_the_same(stages, capture):
    plain, other = stages
    other.fuse(BACKEND)
    for frame, seed in ((3, 1), (40, 2)):  # the second is not traced again
        noise = torch.Generator().manual_seed(seed)
        code = torch.randn(32, dtype=torch.float64, generator=noise).to(DEVICE)
        wanted, pulls = values_and_pulls(plain, capture, frame, code)
        found, ours = values_and_pulls(other, capture, frame, code)
        assert set(ours) == set(pulls)
        assert {"field.encoder.tables", "torso.last.weight", "cloud.follow"} <= set(ours)
        for name in pulls:
            torch.testing.assert_close(ours[name], pulls[name], **CLOSE)
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], **CLOSE)


def test_a_fused_stage_paints_as_before(stages, capture):
    plain, other = (stage.eval() for stage in stages)
    other.fuse(BACKEND)
    code = torch.ones(32, dtype=torch.float64, device=DEVICE)
    with torch.inference_mode():
        wanted = plain.splats(camera(capture, 7), code)
        for _ in range(2):  # the second time, position features are at hand
            found = other.splats(camera(capture, 7), code)
            for name, value in vars(wanted).items():
                torch.testing.assert_close(getattr(found, name), value, **CLOSE)


@pytest.mark.parametrize("kind", ["static", "deform"])
def test_a_fused_loss_is_the_same_for_every_box(stages, capture, kind):
    stage = stages[1]
    if kind == "static":
        rest = mean_viewmat(capture.poses)
        stage = StaticStage(mesh_cloud(capture.mesh, 20), rest, make_rasterizer("reference"))
    plain, fused = stage._loss, stage.fuse(BACKEND)._loss
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 24, 30, 3, dtype=torch.float64, generator=generator).to(DEVICE)
    for box in ([3, 4, 20, 17], [-5, 20, 40, 60], [9, 9, 9, 12]):
        asked = (
            {}
            if kind == "static"
            else {"boxes": torch.tensor([box], device=DEVICE), "box_weight": 0.3}
        )
        pulls = []
        for loss in (plain, fused):
            pred = (truth * 0.9).requires_grad_()
            value = loss(pred, truth, 0.2, **asked)
            value.backward()
            pulls += [value.detach(), pred.grad]
        torch.testing.assert_close(pulls[2], pulls[0], **CLOSE)
        torch.testing.assert_close(pulls[3], pulls[1], **CLOSE)
