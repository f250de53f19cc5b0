"""Where the first Gaussians come from: a made-up person in front of a made-up camera."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from gstalker.face import FaceLayout
from gstalker.gaussians import start
from gstalker.gaussians.harmonics import sh_to_rgb

WIDTH, HEIGHT, FOCAL = 120, 190, 400.0
K = torch.tensor([[FOCAL, 0, 60.0], [0, FOCAL, 80.0], [0, 0, 1]])
LAYOUT = FaceLayout(
    lips=(2, 3, 4, 5), inner_lips=(), gap=(0, 0), eye_corners=(0, 1), lids=(), chin=6
)


def pose(degrees, depth=60.0):
    viewmat = torch.eye(4)
    turn = Rotation.from_euler("yx", degrees, degrees=True).as_matrix()
    viewmat[:3, :3] = torch.from_numpy(turn).float()
    viewmat[2, 3] = depth
    return viewmat


VIEWMAT, REST = pose([8.0, -4.0]), pose([-3.0, 2.0])


def face():
    """A bulging face, 12 x 14 cm: the nose is nearest to the camera."""
    x, y = np.meshgrid(np.linspace(-6, 6, 21), np.linspace(-7, 7, 21))
    return np.stack([x, y, -4 + (x**2 + y**2) / 20], -1).reshape(-1, 3)


def projected(points, viewmat=VIEWMAT):
    seen = torch.as_tensor(points).float() @ viewmat[:3, :3].T + viewmat[:3, 3]
    return (seen @ K.T)[:, :2] / seen[:, 2:], seen[:, 2]


def person():
    """Picture, labels and landmarks: a head over a torso, each of one colour."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[(columns > 8) & (columns < 112) & (rows > 135)] = 1
    mask[((columns - 60) / 46) ** 2 + ((rows - 80) / 55) ** 2 < 1] = 2
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[mask == 1], image[mask == 2] = (0, 0, 200), (200, 100, 50)
    eyes, chin = [[-4, -2, -3], [4, -2, -3]], [[0, 7, -1.5]]
    lips = [[-2.5, 3, -3.4], [0, 3.6, -3.4], [2.5, 3, -3.4], [0, 2.4, -3.4]]
    spots = eyes + lips + chin
    landmarks = projected(np.array(spots, float))[0].numpy()
    return image, mask, landmarks


def cloud(most=2000, **options):
    image, mask, landmarks = person()
    return start.frame_cloud(
        image, mask, VIEWMAT, REST, K, face(), landmarks, LAYOUT, max_gaussians=most, **options
    )


@pytest.fixture(scope="module")
def made():
    return cloud()


def placed(of):
    """Where each Gaussian is seen: the head's by this frame's pose, the torso's by the resting."""
    head = torch.sigmoid(of.follow) > 0.5
    by_pose, by_rest = projected(of.means.detach()), projected(of.means.detach(), REST)
    return (
        torch.where(head[:, None], by_pose[0], by_rest[0]),
        torch.where(head, by_pose[1], by_rest[1]),
        head,
    )


def split(of):
    """Rows of the picture's pixels, and of the dark behind the lips, which comes last."""
    colours = sh_to_rgb(of.sh.detach())
    dark = (colours - torch.tensor([0.30, 0.12, 0.10])).abs().amax(1) < 1e-5
    return ~dark, dark, colours


def test_as_many_as_allowed_are_used_and_no_more(made):
    assert 0.85 * 2000 < len(made) <= 2000
    assert len(cloud(500)) <= 500


def test_every_gaussian_is_seen_on_its_own_pixel_in_that_pixels_colour(made):
    image, mask, _ = person()
    pixels, _, colours = split(made)
    px = placed(made)[0][pixels].numpy()
    # 1e-3 px: rounding of float32 means may carry a point over a pixel's edge; those are left out
    sure = np.abs(px - px.round()).min(1) > 1e-3
    at = px[sure].astype(int)
    assert sure.mean() > 0.99
    assert (mask[at[:, 1], at[:, 0]] > 0).all()
    np.testing.assert_allclose(
        colours[pixels].numpy()[sure], image[at[:, 1], at[:, 0]] / 255, atol=1e-6
    )


def test_the_person_is_covered_without_holes(made):
    _, mask, _ = person()
    px = placed(made)[0].numpy()
    rows, columns = np.nonzero(mask)
    targets = np.stack([columns, rows], 1) + 0.5
    nearest, _ = cKDTree(px).query(targets)
    # a grid step of sqrt(area / number) ~ 2.4 px, its diagonal, and the jitter
    assert nearest.max() < 2 * np.sqrt((mask > 0).sum() / len(made))


def test_depth_on_the_face_is_the_meshs_own(made):
    pixels, _, _ = split(made)
    px, depth, head = placed(made)
    face_px, _ = projected(face())
    low, high = face_px.amin(0) + 6, face_px.amax(0) - 6
    on_face = pixels & head & ((px > low) & (px < high)).all(1)
    assert on_face.sum() > 400
    x, y, z = made.means.detach()[on_face].unbind(1)
    # the mesh is sampled each 0.6 cm: a chord lies within 0.3**2 / 20 of the paraboloid, per axis
    np.testing.assert_allclose(z, -4 + (x**2 + y**2) / 20, atol=0.02)
    assert depth[on_face].min() > 50


def test_the_skull_falls_back_from_the_edge_of_the_face(made):
    pixels, _, _ = split(made)
    px, depth, _ = placed(made)
    face_px, face_depth = projected(face())
    above = pixels & (px[:, 1] < face_px[:, 1].amin() - 2)
    edge = face_depth[face_px[:, 1] < face_px[:, 1].amin() + 4].amin()
    assert above.sum() > 5
    assert (depth[above] > edge).all()


def test_the_face_follows_the_head_and_the_torso_rests_behind_it(made):
    px, depth, _ = placed(made)
    pixels, _, colours = split(made)
    follow = torch.sigmoid(made.follow.detach())
    torso = pixels & (colours[:, 2] > 0.7) & (px[:, 1] > 160)
    face_px, face_depth = projected(face())
    middle = pixels & ((px - face_px.mean(0)).norm(dim=1) < 20)
    assert follow[middle].min() > 0.97
    assert follow[torso].max() < 0.05
    assert torso.sum() > 100
    # Half-way lies 0.22 outer-eye distances below the chin, where 0.98 and 0.02 meet.
    _, _, landmarks = person()
    ruler = np.linalg.norm(landmarks[0] - landmarks[1])
    half = landmarks[6, 1] + 0.22 * ruler
    # From 0.12 of them below it nothing is nearer than 5 cm behind the middle of the face, not even
    # where the face's edge is near enough to ask for less.
    off_face = px[:, 1] > max(landmarks[6, 1] + 0.12 * ruler, face_px[:, 1].max()) + 0.1
    close = pixels & off_face & (px[:, 1] < 146)
    assert close.sum() > 50
    assert depth[pixels & off_face].min() > face_depth.mean() + 5 - 1e-3
    neck = pixels & (px[:, 1] > 136)
    torch.testing.assert_close(follow[neck] > 0.5, px[neck, 1] < half)


def test_dark_gaussians_lie_a_little_behind_the_lips(made):
    _, dark, _ = split(made)
    _, _, landmarks = person()
    px, depth, head = placed(made)
    lips = landmarks[list(LAYOUT.lips)]
    assert 30 < int(dark.sum()) < 80  # 2.5 % of 2000
    assert head[dark].all()
    assert (px[dark].numpy() > lips.min(0) - 1e-3).all()
    face_px, face_depth = projected(face())
    nearest = torch.cdist(px[dark], face_px).argmin(1)
    torch.testing.assert_close(depth[dark], face_depth[nearest] + 0.8, rtol=0, atol=1e-3)


def test_the_mouth_is_finer_than_the_face_and_the_face_than_the_rest(made):
    pixels, _, _ = split(made)
    px, depth, _ = placed(made)
    _, _, landmarks = person()
    step = made.scales.detach().exp()[:, 0] / depth * FOCAL / 0.55
    lips = torch.from_numpy(landmarks[list(LAYOUT.lips)]).float()
    near = (px - lips.mean(0)).norm(dim=1) < 4
    rest = px[:, 1] > 150
    # sizes are in steps of the grid, of 1 : 2 between the mouth and the rest, but never under 1 px
    assert step[pixels & near].max() < 0.6 * step[pixels & rest].min()
    # and each stands for its own share of the person: together they are the person's area
    _, mask, _ = person()
    area = step[pixels].square().sum().item()
    assert area == pytest.approx((mask > 0).sum(), rel=0.05)


def test_the_grid_is_jittered_the_same_way_for_the_same_seed(made):
    again, other = cloud(), cloud(seed=1)
    assert torch.equal(again.means, made.means)
    assert other.means.shape != made.means.shape or not torch.equal(other.means, made.means)
    # a regular grid has one row per step; this one has as many as points
    assert len(placed(made)[0][:, 1].round(decimals=2).unique()) > 0.5 * len(made)


def test_quats_opacities_and_harmonics_start_plain():
    of = cloud(300, sh_degree=2)
    assert torch.equal(of.quats, torch.tensor([1.0, 0, 0, 0]).expand(len(of), 4))
    torch.testing.assert_close(of.opacities, torch.full((len(of),), 2.0), rtol=0, atol=0.01)
    assert of.sh_degree == 2
    assert of.sh[:, 1:].abs().max() == 0


def test_a_picture_without_a_person_is_refused():
    image, mask, landmarks = person()
    with pytest.raises(ValueError, match="no person"):
        start.frame_cloud(image, mask * 0, VIEWMAT, REST, K, face(), landmarks, LAYOUT)


def test_random_points_fill_a_cube_around_the_face():
    of = start.random_cloud(4000, face(), sh_degree=1, seed=3)
    span = of.means.amax(0) - of.means.amin(0)
    # 2.5 times the largest extent, 14 cm
    torch.testing.assert_close(span.detach(), torch.full((3,), 35.0), rtol=0.02, atol=0)
    assert of.sh.shape == (4000, 4, 3)
    assert torch.equal(of.means, start.random_cloud(4000, face(), sh_degree=1, seed=3).means)
    # about the distance between neighbours: 35 cm / 4000^(1/3) = 2.2
    assert 0.5 < of.scales.exp().median() < 3


def test_points_on_the_mesh_are_its_vertices_and_points_between():
    mesh = face()
    of = start.mesh_cloud(mesh, 1000)
    np.testing.assert_allclose(of.means[: len(mesh)].detach(), mesh, atol=1e-6)
    x, y, z = of.means.detach().unbind(1)
    np.testing.assert_allclose(z, -4 + (x**2 + y**2) / 20, atol=0.1)


def test_fewer_points_than_vertices_still_cover_the_face():
    of = start.mesh_cloud(face(), 60)
    assert len(of) == 60
    span = of.means.amax(0) - of.means.amin(0)
    assert span[0] > 10
    assert span[1] > 11


@pytest.mark.parametrize("make", [start.random_cloud, lambda n, mesh: start.mesh_cloud(mesh, n)])
def test_one_gaussian_will_do_and_none_will_not(make):
    assert make(1, face()).scales.isfinite().all()
    with pytest.raises(ValueError, match="at least one"):
        make(0, face())
