"""A stage as Lightning trains it.

A stage of this folder says what it draws, what it learns from a batch and by which optimizer, and
is a plain module: a trained head that only speaks starts some seconds sooner without Lightning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec

from torch import nn

Given = ParamSpec("Given")


def trainable(kind: Callable[Given, nn.Module]) -> Callable[Given, Any]:
    """The same stage, a LightningModule as well.

    Args:
        kind: a class of stages; what is made is an instance of it.
    """
    return _joined(kind)


@cache
def _joined(kind: Any) -> Any:
    import lightning as L

    own = {"__doc__": kind.__doc__, "__module__": kind.__module__}
    return type(kind.__name__, (kind, L.LightningModule), own)
