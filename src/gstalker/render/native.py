"""The rasterizer on all CPU cores, with its backward pass; kernels in ``native/src/raster*``."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import torch
from jaxtyping import Float
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
        if splats.means.dtype != torch.float32 or splats.means.device.type != "cpu":
            raise ValueError(
                "expected float32 splats on the CPU, "
                f"but got {splats.means.dtype} on {splats.means.device}"
            )
        if background is not None:
            background = _checked(background, camera)
        pictures = [self._one(splats, camera, k, background) for k in range(len(camera.viewmats))]
        if len(pictures) == 1:
            return pictures[0]
        return Render(
            image=torch.cat([p.image for p in pictures]),
            alpha=torch.cat([p.alpha for p in pictures]),
            means2d=torch.cat([p.means2d for p in pictures]),
            radii=torch.cat([p.radii for p in pictures]),
        )

    def _one(self, splats: Splats, camera: Camera, k: int, background: Tensor | None) -> Render:
        viewmat, K = camera.viewmats[k], camera.Ks[k]
        dirs = view_directions(splats.means, viewmat) if splats.sh.shape[1] > 1 else None
        colors = sh_to_rgb(splats.sh, dirs)
        focal = torch.stack([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
        view = torch.cat([focal, viewmat[:3].reshape(-1)]).float().contiguous()
        # A leaf that the forward pass fills with the centres and the backward pass with the pull
        # on them: the two things that densification wants of one tensor.
        means2d = torch.zeros(1, len(splats), 2, requires_grad=torch.is_grad_enabled())
        image, alpha, radii = _Rasterize.apply(
            splats.means, splats.scales, splats.quats, splats.opacities, colors, means2d,
            background, view, (camera.width, camera.height), self._kernels,
        )  # fmt: skip
        return Render(image[None], alpha[None, ..., None], means2d, radii[None])


def _checked(background: Tensor, camera: Camera) -> Tensor:
    wanted = (camera.height, camera.width, 3)
    if background.dtype != torch.float32 or tuple(background.shape) != wanted:
        raise ValueError(
            f"expected a float32 background of shape {list(wanted)}, "
            f"but got {background.dtype} of shape {list(background.shape)}"
        )
    return background.detach().contiguous()


class _Kernels:
    """The library's functions, and a pool of workspaces: one per forward pass still wanted."""

    def __init__(self, isa: str | None) -> None:
        self.isa = isa
        self._bind()

    def _bind(self) -> None:
        kernels = library.load(self.isa)
        self.forward = library.declare(
            kernels, "gst_raster_forward", _P, _I, *[_P] * 6, _I, _I, *[_P] * 5, _I, _I
        )
        self.backward = library.declare(kernels, "gst_raster_backward", _P, _I, *[_P] * 13, _I)
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
        colors: Float[Tensor, "N 3"],
        means2d: Float[Tensor, "1 N 2"],
        background: Float[Tensor, "H W 3"] | None,
        view: Float[Tensor, " 16"],
        size: tuple[int, int],
        kernels: _Kernels,
    ) -> tuple[Tensor, Tensor, Tensor]:
        width, height = size
        inputs = [t.contiguous() for t in (means, scales, quats, opacities, colors)]
        image, alpha = torch.empty(height, width, 3), torch.empty(height, width)
        radii = torch.empty(len(means), dtype=torch.int32)
        lease = _Lease(kernels)
        keep = any(ctx.needs_input_grad)
        p = library.pointer
        status = kernels.forward(
            lease.workspace.address, len(means), *map(p, inputs), p(view), width, height,
            p(background), p(image), p(alpha), p(means2d.detach()), p(radii),
            int(keep), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_raster_forward")
        ctx.mark_non_differentiable(radii)
        if keep:
            ctx.lease, ctx.kernels = lease, kernels
            ctx.save_for_backward(*inputs[:4], background)
        return image, alpha, radii

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_image: Tensor, g_alpha: Tensor, _: Any) -> tuple[Any, ...]:
        *inputs, background = ctx.saved_tensors
        count = len(inputs[0])
        out = [torch.empty_like(t) for t in (*inputs, inputs[0])]
        g_means2d = torch.empty(1, count, 2)
        g_image, g_alpha = g_image.contiguous(), g_alpha.contiguous()
        p = library.pointer
        status = ctx.kernels.backward(
            ctx.lease.workspace.address, count, *map(p, inputs), p(background),
            p(g_image), p(g_alpha), *map(p, out), p(g_means2d), library.threads(),
        )  # fmt: skip
        library.check(status, "gst_raster_backward")
        return (*out, g_means2d, None, None, None, None)
