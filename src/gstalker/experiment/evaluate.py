"""Render the test split of a run, with its controls, and score it.

Four rows, always: ``ours``; ``static``, the head without sound; ``shuffled_audio``, the same run
hearing another sentence; ``mean_frame``, the mean training frame. A mouth that moves is not yet a
mouth that follows the sound: what ``ours`` has over the controls is what was learned.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from gstalker import config as configuration
from gstalker import files
from gstalker.data.capture import Capture
from gstalker.data.dataset import FrameDataset
from gstalker.data.windows import shuffled_frames
from gstalker.errors import GSTalkerError, RunError
from gstalker.experiment.loggers import log_scores
from gstalker.experiment.making import make_method
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.methods import Performer
from gstalker.metrics import sheet
from gstalker.metrics.protocol import Protocol, sentence
from gstalker.metrics.ridge import yardstick
from gstalker.metrics.score import Scorer

log = logging.getLogger(__name__)

ROWS = ("ours", "static", "shuffled_audio", "mean_frame")
PROTOCOL = ("composite=drawn", "driven=test")
"""Everything in the picture is rendered over the still background; the head moves and blinks as it
did in the test frames."""
MAY_BE_CHOSEN = (
    *("lpips", "lpips_vgg", "stlpips", "ms_ssim", "fid", "identity", "sync"),
    *("landmarks", "truth"),
)
"""Keys of the protocol that fit every row of a run."""
MEAN_FRAMES = 200
"""Training frames, evenly spread, that the mean frame is the mean of."""


def evaluate(run: RunFolder | str | Path, where: Sequence[str] = ()) -> dict[str, Any]:
    """Score a run's test split; writes ``frames/``, ``scores.json`` and ``scores_frames.npz``.

    Args:
        run: the run or its folder.
        where: ``key=value`` that say where things are now, as ``device=cpu``, or what to measure
            as well, as ``lpips_vgg=true`` (``MAY_BE_CHOSEN``).

    Returns:
        What ``scores.json`` holds: ``protocol``, ``yardstick``, ``metrics`` and ``rows``.

    Raises:
        RunError: the run is not trained or damaged.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    chosen = [text for text in where if text.partition("=")[0] in MAY_BE_CHOSEN]
    protocol = configuration.from_overrides(Protocol, [*PROTOCOL, *chosen])
    config = run.config([text for text in where if text not in chosen])
    capture = open_capture(config)
    method, features = make_method(config, capture)
    dataset = FrameDataset(capture, features)
    _, test_ids = capture.split()
    whole = Capture.open(config.capture)  # regions do not depend on how much was trained on
    found = sheet.Sheet(Scorer(whole, test_ids, protocol), poses_known=True)
    for name, pictures in _rows(method.load, run.path, dataset, test_ids):
        shown = tqdm(pictures, total=len(test_ids), desc=name, unit="frame")
        kept = _keep(shown, test_ids, run.frames_path) if name == "ours" else shown
        found.add(name, kept)
    scores = found.write(
        run.scores_path,
        run=run.path.name,
        capture={"name": capture.name, "content_id": capture.content_id},
        yardstick=yardstick(capture, features).as_dict(),
    )
    log_scores(config, run, scores)
    return scores


def _rows(
    load: Callable[..., Performer], folder: Path, dataset: FrameDataset, ids: np.ndarray
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """The rows one by one, each a stream of pictures."""
    trained, silent = load(folder), load(folder, silent=True)
    swapped = shuffled_frames(ids, dataset.capture.segments)
    mean = mean_frame(dataset.capture)
    yield "ours", (to_uint8(trained(dataset.frame(int(i)))[0]) for i in ids)
    yield "static", (to_uint8(silent(dataset.frame(int(i)))[0]) for i in ids)
    yield (
        "shuffled_audio",
        (
            to_uint8(trained(dataset.frame(int(i), sound_of=int(j)))[0])
            for i, j in zip(ids, swapped, strict=True)
        ),
    )
    yield "mean_frame", (mean for _ in ids)


def mean_frame(capture: Capture) -> np.ndarray:
    """The mean of the training frames, ``uint8 [H, W, 3]``."""
    train_ids, _ = capture.split()
    spread = np.linspace(0, len(train_ids) - 1, min(MEAN_FRAMES, len(train_ids))).astype(int)
    total = sum(capture.frame(int(i)).astype(np.float64) for i in train_ids[spread])
    return np.round(total / len(spread)).astype(np.uint8)


def to_uint8(picture: torch.Tensor) -> np.ndarray:
    """A picture in [0, 1] as bytes, rounded."""
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _keep(pictures: Iterator[np.ndarray], ids: np.ndarray, folder: Path) -> Iterator[np.ndarray]:
    """Write each picture as ``<frame id>.png`` on its way."""
    for index, picture in zip(ids, pictures, strict=True):
        with files.replacing(folder / f"{index:06d}.png") as temporary:
            Image.fromarray(picture).save(temporary, compress_level=1)
        yield picture


def read_scores(run: RunFolder) -> dict[str, Any]:
    """A run's ``scores.json``.

    Raises:
        RunError: it was not evaluated yet, or the file is damaged.
    """
    again = shlex.join(["gstalker", "evaluate", str(run.path)])
    if not run.scores_path.is_file():
        raise RunError(f"{run.path} has no scores yet.\n  Run: {again}")
    try:
        return sheet.read(run.scores_path)
    except GSTalkerError as error:
        raise RunError(f"{error}\n  Run: {again}") from error


def summary(scores: dict[str, Any]) -> str:
    """The scores as a table for the terminal: metrics down, rows across, and why any is n/a."""
    rows = scores["rows"]
    names = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    lines = [f"{'':24}" + "".join(f"{name:>20}" for name in rows)]
    for metric in names:
        cells = [_cell(rows[name].get(metric, {})) for name in rows]
        lines.append(f"{metric:24}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join([*lines, *_reasons(rows), sentence(scores["protocol"])])


def _reasons(rows: dict[str, dict[str, dict[str, Any]]]) -> Iterator[str]:
    """A line for every reason for which figures are n/a; which rows, where it is not all."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, row in rows.items():
        for metric, figure in row.items():
            if figure.get("mean") is None:
                reason = " ".join(str(figure.get("reason") or "not told").split()).rstrip(".")
                found.setdefault(reason, {}).setdefault(metric, []).append(name)
    for reason, metrics in found.items():
        told = [
            metric if len(names) == len(rows) else f"{metric} of {', '.join(names)}"
            for metric, names in metrics.items()
        ]
        yield f"n/a {'; '.join(told)}: {reason}."


def _cell(value: dict[str, Any]) -> str:
    if value.get("mean") is None:
        return "n/a"
    if value.get("stderr") is None:
        return f"{value['mean']:.3f}"
    return f"{value['mean']:.3f} ± {value['stderr']:.3f}"
