"""Many small operations joined into few kernels, for a GPU.

Between the sound and the splats lie about a hundred small torch operations, and each would be
launched by itself, which on a GPU takes longer than the work. ``torch.compile`` writes Triton
kernels for whole stretches of them, backward passes included. On a CPU the kernels of ``native``
do the same, by hand.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from gstalker.plugins import INSTALL_LINES

log = logging.getLogger(__name__)

Given = ParamSpec("Given")
Made = TypeVar("Made")


def wanted(device: str) -> bool:
    """Whether stages on this device should be fused; says so where they should and cannot."""
    if torch.device(device).type != "cuda":
        return False
    if importlib.util.find_spec("triton") is None:
        log.warning(
            "operations are launched one by one: triton, which joins them, is not installed.\n"
            "  Install it with: %s",
            INSTALL_LINES["triton"],
        )
        return False
    log.info(
        "operations are joined by torch.compile: the first step takes a minute "
        "(TORCH_COMPILE_DISABLE=1 leaves them apart)"
    )
    return True


def fused(function: Callable[Given, Made], backend: str = "inductor") -> Callable[Given, Made]:
    """The same function, its operations joined the first time it is called.

    Args:
        function: of tensors; all of it must be traceable.
        backend: of ``torch.compile``.
    """
    return torch.compile(function, fullgraph=True, backend=backend)
