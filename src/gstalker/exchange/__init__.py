"""Other people's data sets become captures, and captures become theirs.

The formats are those of AD-NeRF, RAD-NeRF, ER-NeRF, TalkingGaussian, GaussianTalker, SyncTalk and
InsTaG: one family with one folder tree and several dialects. Whose axes: ``conventions``; whose
files: ``layouts``; what colours, columns and points mean: ``colours``,
``openface``, ``landmarks``. Fitting a face model or finding landmarks is ``prepare``'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gstalker.exchange.config import ExportConfig, ImportConfig

if TYPE_CHECKING:
    from gstalker.data.capture import Capture
    from gstalker.exchange.exporting import Report

__all__ = ["ExportConfig", "ImportConfig", "export_capture", "import_folder"]


def import_folder(
    folder: str | Path, out: str | Path, config: ImportConfig | None = None
) -> Capture:
    """Turn a data set of the AD-NeRF family into a capture.

    Args:
        folder: with ``ori_imgs`` and ``transforms_train.json``.
        out: the capture folder to make.
        config: choices; what they leave open is detected, and recorded in ``capture.json``.

    Returns:
        The finished, validated capture.

    Raises:
        CaptureError: the folder is incomplete or contradicts itself; names the file.
    """
    from gstalker.exchange.importing import Import

    return Import(Path(folder), config or ImportConfig()).write(Path(out))


def export_capture(
    capture: str | Path, folder: str | Path, layout: str, config: ExportConfig | None = None
) -> Report:
    """Write a capture as a data set of the AD-NeRF family.

    Args:
        capture: a capture folder.
        folder: to make; it must not exist.
        layout: a key of ``layouts.LAYOUTS``.
        config: choices.

    Returns:
        what was written, and what a reader of that layout wants and could not be made.

    Raises:
        CaptureError: the capture or the folder cannot be used.
        ConfigError: there is no such layout.
    """
    from gstalker.data.capture import Capture
    from gstalker.exchange.exporting import Export

    return Export(Capture.open(capture), layout, config or ExportConfig()).write(Path(folder))
