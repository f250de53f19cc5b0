"""What a finished stage leaves: a file with its weights, and what they belong to."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gstalker import files
from gstalker.data.capture import Capture
from gstalker.errors import RunError
from gstalker.stages.handoff import load_tensors


@dataclass(frozen=True)
class ModelFiles:
    """Files of one run's stages."""

    version: int
    """Of what the method makes of the weights."""
    features: str
    """Kind of sound features that the stages hear."""
    capture: Capture
    """What they are trained on."""

    def save(self, path: Path, stage: nn.Module) -> None:
        """Write a trained stage's weights, whole or not at all."""
        content = {
            "version": self.version,
            "features": self.features,
            "capture_id": self.capture.content_id,
            "state": stage.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        files.write_bytes(path, buffer.getvalue())

    def read(self, path: Path) -> dict[str, Tensor]:
        """The weights that :meth:`save` wrote; no code is run.

        Raises:
            RunError: there is no such file, it is damaged, or it belongs to something else.
        """
        content = load_tensors(path, "trained model")
        if content.get("version") != self.version or content.get("features") != self.features:
            raise RunError(
                f"{path} was not made by this program with '{self.features}' sound; train again."
            )
        if content.get("capture_id") != self.capture.content_id:
            raise RunError(
                f"{path} was trained on another capture than {self.capture.folder}; give the one "
                "it was trained on, or train again."
            )
        state: dict[str, Tensor] = content.get("state", {})
        return state

    def load(self, path: Path, stage: nn.Module) -> None:
        """Read into ``stage`` what :meth:`save` wrote.

        Raises:
            RunError: as :meth:`read`; or the stage has another shape.
        """
        fill(stage, self.read(path), path)


def fill(stage: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Give a stage the weights that lay in a file.

    Raises:
        RunError: the stage has another shape.
    """
    try:
        stage.load_state_dict(state)
    except RuntimeError as error:
        raise RunError(f"{path} does not fit this run's config: {error}") from error


def part_of(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights of a stage's part, by their names in that part."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
