"""``gstalker score``: anybody's pictures against a capture, with the code that scores our own."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gstalker import config as configuration
from gstalker.data.capture import Capture
from gstalker.errors import ConfigError
from gstalker.experiment.foreign import fitted, look, pair, stated
from gstalker.metrics.protocol import Protocol
from gstalker.metrics.score import Scorer
from gstalker.metrics.sheet import Sheet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreConfig(Protocol):
    """The protocol, and which frames the pictures show."""

    offset: int | None = None
    """The capture's frame that the first picture shows, counted from 0; null: the count tells."""


def score_foreign(
    path: Path,
    capture_folder: Path,
    name: str,
    out: Path | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Score somebody's pictures; writes ``scores.json`` and ``scores_frames.npz``.

    Args:
        path: a video, or a folder of numbered pictures.
        capture_folder: the truth.
        name: of the row, as ``ER-NeRF (official)``.
        out: the file to write; by default ``scores.json`` in the folder of pictures, or
            ``NAME_scores.json`` beside a video.
        overrides: ``key=value`` of :class:`ScoreConfig`.

    Returns:
        What the file holds; the layout of a run's ``scores.json``, without a yardstick.

    Raises:
        MediaError: the pictures do not fit the capture; says what to type.
        ConfigError: a key or the name is wrong.
        CaptureError: there is no such capture.
    """
    if not name.strip():
        raise ConfigError('give the row a name, for example: --as "ER-NeRF (official)"')
    config = configuration.from_overrides(ScoreConfig, overrides)
    capture = Capture.open(capture_folder)
    foreign = look(path, config)
    paired = pair(foreign, capture, config.offset)
    protocol = stated(_protocol(config), foreign)
    sheet = Sheet(Scorer(capture, paired.ids, protocol))
    log.info("%s: %d frames, %s", path, len(paired.ids), paired.how)
    frames = fitted(foreign, paired, capture, protocol)
    sheet.add(name, tqdm(frames, total=len(paired.ids), desc=name, unit="frame"))
    sheet.cautions += [f"{name}: {caution}" for caution in foreign.cautions]
    _, test = capture.split()
    if len(paired.ids) < len(test):
        sheet.cautions.append(
            f"{name}: only {len(paired.ids)} of {len(test)} test frames were scored"
        )
    return sheet.write(
        out or default_out(path),
        scored={"path": path.name, "as": name, "pictures": foreign.count, "paired": paired.how},
        capture={"name": capture.name, "content_id": capture.content_id},
    )


def default_out(path: Path) -> Path:
    """Where the scores go if nobody says.

    >>> str(default_out(Path("theirs.mp4")))
    'theirs_scores.json'
    """
    return path / "scores.json" if path.is_dir() else path.with_name(f"{path.stem}_scores.json")


def _protocol(config: ScoreConfig) -> Protocol:
    chosen = {f.name: getattr(config, f.name) for f in dataclasses.fields(Protocol)}
    return Protocol(**chosen)
