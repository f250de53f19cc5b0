"""What stage one leaves for stage two: a file with the cloud and where it came from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gstalker import files
from gstalker.data.capture import Capture
from gstalker.errors import RunError
from gstalker.gaussians.cloud import GaussianCloud

VERSION = 1


@dataclass(frozen=True)
class Handoff:
    """A trained cloud and the capture that it was made from."""

    cloud: dict[str, Tensor]
    """``GaussianCloud.state_dict()``."""
    rest_viewmat: Tensor
    """``[4, 4]`` where the torso rests."""
    capture_name: str
    capture_id: str

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        buffer = io.BytesIO()
        torch.save({"version": VERSION, **vars(self)}, buffer)
        files.write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Handoff:
        """Read a handoff; tensors and plain values only, no code is run.

        Raises:
            RunError: there is none, or it is damaged or of another version.
        """
        content = load_tensors(path, "handoff")
        if content.pop("version", None) != VERSION or set(content) != set(cls.__annotations__):
            raise RunError(
                f"{path} is not a handoff of this program; train the static stage again."
            )
        return cls(**content)

    def check(self, capture: Capture) -> None:
        """Refuse a capture that the handoff was not made from.

        Raises:
            RunError: it is another's.
        """
        if self.capture_id != capture.content_id:
            raise RunError(
                f"handoff was made from capture '{self.capture_name}' ({self.capture_id[:4]}…), "
                f"this run is '{capture.name}' ({capture.content_id[:4]}…).\n"
                "  Train the static stage for this capture or pass the right run."
            )

    def to_cloud(self) -> GaussianCloud:
        """The cloud as a trainable module."""
        cloud = GaussianCloud.empty()
        cloud.load_state_dict(self.cloud)
        return cloud


def load_tensors(path: Path, what: str) -> dict:
    """Read a torch file without running code.

    Raises:
        RunError: it is missing, damaged, or holds anything but tensors and plain values.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(
            f"there is no {what} at {path}: this run is not trained to its end.\n"
            "  Run the same gstalker train command again; it goes on where it stopped."
        ) from error
    except Exception as error:  # a damaged file fails in any way; every way ends in this sentence
        raise RunError(
            f"the {what} {path} is damaged or not ours ({type(error).__name__}).\n"
            "  Delete that file and run the same command again."
        ) from error
    if not isinstance(content, dict):
        raise RunError(f"the {what} {path} does not hold what it should; delete it and run again.")
    return content
