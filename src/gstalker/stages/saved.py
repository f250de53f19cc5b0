"""A trained stage in a file: its tensors, what it hears, and the capture that it was made from."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from gstalker import files
from gstalker.data.capture import Capture
from gstalker.errors import RunError
from gstalker.stages.handoff import load_tensors


def save_stage(
    path: Path, stage: nn.Module, *, version: int, features: str, capture: Capture
) -> None:
    """Write a stage's tensors, whole or not at all.

    Args:
        path: the file.
        stage: trained.
        version: of the method's networks.
        features: kind of sound features that it hears.
        capture: what it was trained on.
    """
    content = {
        "version": version,
        "features": features,
        "capture_id": capture.content_id,
        "state": stage.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    files.write_bytes(path, buffer.getvalue())


def read_stage(path: Path, *, version: int, features: str, capture: Capture) -> dict[str, Tensor]:
    """The tensors that :func:`save_stage` wrote; no code is run.

    Raises:
        RunError: there is no such file, it is damaged, or it was made by another version, with
            other sound or from another capture.
    """
    content = load_tensors(path, "trained model")
    if content.get("version") != version or content.get("features") != features:
        raise RunError(f"{path} was not made by this program with '{features}' sound; train again.")
    if content.get("capture_id") != capture.content_id:
        raise RunError(
            f"{path} was made from another capture than '{capture.name}' "
            f"({capture.content_id[:4]}…).\n  Name the right one with: capture=FOLDER"
        )
    state: dict[str, Tensor] = content["state"]
    return state


def load_state(stage: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Fill a stage with what :func:`read_stage` read.

    Raises:
        RunError: the stage has another shape.
    """
    try:
        stage.load_state_dict(state)
    except RuntimeError as error:
        raise RunError(f"{path} does not fit this run's config: {error}") from error
