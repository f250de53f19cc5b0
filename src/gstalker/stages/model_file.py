"""What a finished stage leaves: a file with its weights, and what they belong to."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import nn

from gstalker import files
from gstalker.data.capture import Capture
from gstalker.errors import RunError
from gstalker.stages.handoff import load_tensors


def save_model(
    path: Path, stage: nn.Module, *, version: int, features: str, capture: Capture
) -> None:
    """Write a stage's weights, whole or not at all.

    Args:
        path: of the file.
        stage: trained.
        version: of what the method makes of the weights.
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


def load_model(
    path: Path, stage: nn.Module, *, version: int, features: str, capture: Capture
) -> None:
    """Read into ``stage`` what :func:`save_model` wrote; no code is run.

    Raises:
        RunError: there is none, it is damaged, or it belongs to something else.
    """
    content = load_tensors(path, "trained model")
    if content.get("version") != version or content.get("features") != features:
        raise RunError(f"{path} was not made by this program with '{features}' sound; train again.")
    if content.get("capture_id") != capture.content_id:
        raise RunError(
            f"{path} was trained on another capture than {capture.folder}; give the one it was "
            "trained on, or train again."
        )
    try:
        stage.load_state_dict(content["state"])
    except (RuntimeError, KeyError) as error:
        raise RunError(f"{path} does not fit this run's config: {error}") from error
