"""The rasterizer on all CPU cores, with its backward pass; kernels in ``native/src/raster*``."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gstalker.gaussians.harmonics import sh_to_rgb
from gstalker.native import library
from gstalker.render.reference import view_directions
from gstalker.types import Camera, Render, Splats

_P, _I = ctypes.c_void_p, ctypes.c_int


class NativeRasterizer:
    """Same definition as the reference, in float32.

    Args:
        isa: instruction set; the best that this processor has, if not given.

    Raises:
        BackendMissing: the kernels are not built.
    """

    def __init__(self, isa: str | None = None) -> None:
        self._kernels = _Kernels(isa)

    def __call__(
        self, splats: Splats, camera: Camera, background: Float[Tensor, "H W 3"] | None = None
    ) -> Render:
        """See :class:`gstalker.render.Rasterizer`.

        Raises:
            ValueError: the splats or the background are not float32 on the CPU, or the background
                is not of the picture's size.
        """
        background = _checked(splats, camera, background)
        # A leaf that the forward pass fills with the centres and the backward pass with the pull
        # on them: the two things that densification wants of one tensor.
        frames, grows = len(camera.viewmats), torch.is_grad_enabled()
        means2d = torch.empty(frames, len(splats), 2, requires_grad=grows)
        if frames == 1:
            image, alpha, radii = self._one(splats, camera, 0, background, means2d)
            return Render(image, alpha, means2d, radii)
        parts = [
            self._one(splats, camera, k, background, means2d[k : k + 1]) for k in range(frames)
        ]
        image, alpha, radii = (torch.cat(part) for part in zip(*parts, strict=True))
        return Render(image, alpha, means2d, radii)

    def _one(
        self, splats: Splats, camera: Camera, k: int, background: Tensor | None, means2d: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        colors, harmonic = _colors(splats, camera, k)
        drawn: tuple[Tensor, Tensor, Tensor] = _Rasterize.apply(
            splats.means, splats.scales, splats.quats, splats.opacities, colors, means2d,
            background, harmonic, _View(camera, k), self._kernels,
        )  # fmt: skip
        return drawn

    @torch.no_grad()
    def paint(
        self, splats: Splats, camera: Camera, background: Float[Tensor, "H W 3"] | None = None
    ) -> UInt8[Tensor, "H W 3"]:
        """The picture alone, rounded to 8 bits; nothing is kept for a backward pass.

        Several Python threads may paint at the same time.

        Args:
            splats: what to draw.
            camera: from where; a batch of one.
            background: what shines through; black if not given.

        Raises:
            ValueError: as for a call, or the batch is not of one.
        """
        background = _checked(splats, camera, background)
        inputs, harmonic = _one_view(splats, camera)
        picture = torch.empty(camera.height, camera.width, 3, dtype=torch.uint8)
        lease, p = _Lease(self._kernels), library.pointer
        status = self._kernels.paint(
            lease.workspace.address, len(splats), *map(p, inputs), harmonic,
            *_View(camera, 0).arguments, p(background), p(picture), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_raster_paint")
        return picture

    @torch.no_grad()
    def counts(self, splats: Splats, camera: Camera) -> dict[str, int]:
        """What drawing asks of the kernels: a measure of work that no busy machine disturbs.

        Args:
            splats: what to draw.
            camera: from where; a batch of one.

        Returns:
            ``gaussians``; ``pairs`` of a Gaussian and a tile that it touches; ``lanes``,
            Gaussians at pixels of blocks that were not finished. A few more are evaluated, as
            finished blocks are looked for now and then only.

        Raises:
            ValueError: as for ``paint``.
        """
        _checked(splats, camera, None)
        inputs, harmonic = _one_view(splats, camera)
        size = (camera.height, camera.width)
        image, alpha = torch.empty(*size, 3), torch.empty(size)
        lease, p = _Lease(self._kernels), library.pointer
        status = self._kernels.forward(
            lease.workspace.address, len(splats), *map(p, inputs), harmonic,
            *_View(camera, 0).arguments, p(None), p(image), p(alpha), p(None), p(None),
            1, library.threads(),
        )  # fmt: skip
        library.check(status, "gst_raster_forward")
        found = (ctypes.c_int64 * 2)()
        library.check(self._kernels.counts(lease.workspace.address, found), "gst_raster_counts")
        return {"gaussians": len(splats), "pairs": found[0], "lanes": found[1]}


def _checked(splats: Splats, camera: Camera, background: Tensor | None) -> Tensor | None:
    """The background as the kernels read it, or the reason why they cannot draw."""
    if splats.means.dtype != torch.float32 or splats.means.device.type != "cpu":
        raise ValueError(
            "expected float32 splats on the CPU, "
            f"but got {splats.means.dtype} on {splats.means.device}"
        )
    if background is None:
        return None
    wanted = (camera.height, camera.width, 3)
    if background.dtype != torch.float32 or tuple(background.shape) != wanted:
        raise ValueError(
            f"expected a float32 background of shape {list(wanted)}, "
            f"but got {background.dtype} of shape {list(background.shape)}"
        )
    return background.detach().contiguous()


def _one_view(splats: Splats, camera: Camera) -> tuple[list[Tensor], int]:
    """What the kernels draw for a batch of one camera, and whether colours are harmonics."""
    if len(camera.viewmats) != 1:
        raise ValueError(f"expected a batch of one camera, but got {len(camera.viewmats)}")
    colors, harmonic = _colors(splats, camera, 0)
    return _rows(splats.means, splats.scales, splats.quats, splats.opacities, colors), harmonic


def _colors(splats: Splats, camera: Camera, k: int) -> tuple[Tensor, int]:
    """Colours, or the constant harmonics where there are no others, and whether it is these."""
    if splats.sh.shape[1] == 1:
        return splats.sh, 1
    return sh_to_rgb(splats.sh, view_directions(splats.means, camera.viewmats[k])), 0


def _rows(*tensors: Tensor) -> list[Tensor]:
    return [t if t.is_contiguous() else t.contiguous() for t in tensors]


class _View:
    """A camera as the kernels take it: focal lengths and centre, three rows of the view, size."""

    def __init__(self, camera: Camera, k: int) -> None:
        (fx, _, cx), (_, fy, cy), _ = camera.Ks[k].tolist()
        rows = camera.viewmats[k].tolist()[:3]
        self.size = (camera.height, camera.width)
        numbers = (ctypes.c_float * 16)(fx, fy, cx, cy, *rows[0], *rows[1], *rows[2])
        self.arguments = (numbers, camera.width, camera.height)


class _Kernels:
    """The library's functions, and a pool of workspaces: one per forward pass still wanted."""

    def __init__(self, isa: str | None) -> None:
        self.isa = isa
        self._bind()

    def _bind(self) -> None:
        kernels = library.load(self.isa)
        scene = (_P, _I, *[_P] * 5, _I, _P, _I, _I, _P)
        self.forward = library.declare(kernels, "gst_raster_forward", *scene, *[_P] * 4, _I, _I)
        self.paint = library.declare(kernels, "gst_raster_paint", *scene, _P, _I)
        self.counts = library.declare(kernels, "gst_raster_counts", _P, _P)
        self.backward = library.declare(kernels, "gst_raster_backward", _P, _I, *[_P] * 14, _I)
        self._new, self._free = kernels.gst_raster_new, kernels.gst_raster_free
        self._new.restype, self._free.argtypes, self._free.restype = _P, [_P], None
        self._idle: list[Workspace] = []
        self._lock = threading.Lock()

    def take(self) -> Workspace:
        """A workspace nobody uses."""
        with self._lock:
            return self._idle.pop() if self._idle else Workspace(self._new(), self._free)

    def give(self, workspace: Workspace) -> None:
        """Put it back."""
        with self._lock:
            self._idle.append(workspace)

    def __getstate__(self) -> dict[str, Any]:
        return {"isa": self.isa}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.isa = state["isa"]
        self._bind()

    def __deepcopy__(self, memo: dict[int, Any]) -> _Kernels:
        return self


class Workspace:
    """Scratch memory of one forward pass and its backward pass; freed with this object."""

    def __init__(self, address: int | None, free: Any) -> None:
        if not address:
            raise MemoryError("no memory for a rasterizer workspace")
        self.address, self._free = address, free

    def __del__(self) -> None:
        self._free(self.address)


class _Lease:
    """Returns a workspace to its pool when the graph that needed it is gone."""

    def __init__(self, kernels: _Kernels) -> None:
        self.kernels, self.workspace = kernels, kernels.take()

    def __del__(self) -> None:
        if hasattr(self, "workspace"):
            self.kernels.give(self.workspace)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means: Float[Tensor, "N 3"],
        scales: Float[Tensor, "N 3"],
        quats: Float[Tensor, "N 4"],
        opacities: Float[Tensor, " N"],
        colors: Tensor,
        means2d: Float[Tensor, "1 N 2"],
        background: Float[Tensor, "H W 3"] | None,
        harmonic: int,
        view: _View,
        kernels: _Kernels,
    ) -> tuple[Tensor, Tensor, Tensor]:
        inputs = _rows(means, scales, quats, opacities, colors)
        image, alpha = torch.empty(1, *view.size, 3), torch.empty(1, *view.size, 1)
        radii = torch.empty(1, len(means), dtype=torch.int32)
        lease, p = _Lease(kernels), library.pointer
        keep = any(ctx.needs_input_grad)
        status = kernels.forward(
            lease.workspace.address, len(means), *map(p, inputs), harmonic, *view.arguments,
            p(background), p(image), p(alpha), p(means2d), p(radii),
            int(keep), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_raster_forward")
        ctx.mark_non_differentiable(radii)
        ctx.set_materialize_grads(False)  # seldom does anybody ask about alpha
        ctx.size = view.size
        if keep:
            ctx.lease, ctx.kernels = lease, kernels
            ctx.save_for_backward(*inputs, background)
        return image, alpha, radii

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, g_image: Tensor | None, g_alpha: Tensor | None, _: Any
    ) -> tuple[Any, ...]:
        *inputs, background = ctx.saved_tensors
        g_image = torch.zeros(1, *ctx.size, 3) if g_image is None else g_image.contiguous()
        g_alpha = None if g_alpha is None else g_alpha.contiguous()
        count = len(inputs[0])
        out = [torch.empty_like(t) for t in inputs]
        g_means2d = torch.empty(1, count, 2)
        p = library.pointer
        status = ctx.kernels.backward(
            ctx.lease.workspace.address, count, *map(p, inputs), p(background),
            p(g_image), p(g_alpha), *map(p, out), p(g_means2d), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_raster_backward")
        return (*out, g_means2d, None, None, None, None)
