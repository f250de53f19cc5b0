"""The whole way on a head made of arithmetic: no data, no weights, minutes on two cores."""

from __future__ import annotations

import csv
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gstalker import config as configuration
from gstalker import files
from gstalker.data.capture import RATE_HZ, SAMPLES_PER_FRAME, Capture
from gstalker.data.synthetic import make_synthetic_capture, synthetic_voice
from gstalker.data.writer import write_wav
from gstalker.errors import CaptureError
from gstalker.experiment.drive import drive
from gstalker.experiment.evaluate import evaluate, summary
from gstalker.experiment.movie import MovieWriter
from gstalker.experiment.runs import RunFolder
from gstalker.experiment.train import train
from gstalker.metrics.sheet import frames_path

SECONDS = 66
SIZE = 128
SEED = 7
"""Of the demo's head and voice; the driving speech has another."""


def demo(out: str | Path) -> dict[str, Any]:
    """Make a capture, train both stages on it, drive it with unheard speech, score it.

    Leaves in ``out``: ``side_by_side.mp4`` (truth and ours on the test split, with sound),
    ``driven.mp4`` (foreign speech), ``scores.json``, ``curves.png``, ``contact_sheet.png``. Run
    again it goes on where it stopped.

    Args:
        out: folder.

    Returns:
        The scores.
    """
    out = Path(out)
    capture = _capture(out / "capture")
    with resources.as_file(resources.files("gstalker.experiment") / "demo.yaml") as file:
        overrides = [f"capture={capture.folder}", f"runs={out / 'runs'}"]
        config = configuration.compose(file, overrides)
    run = train(config)
    scores = evaluate(run)
    beside = frames_path(run.scores_path)
    files.write_bytes(out / beside.name, beside.read_bytes())
    files.write_json(out / "scores.json", scores)
    side_by_side(run, capture, out / "side_by_side.mp4")
    speech = out / "speech.wav"
    write_wav(speech, synthetic_voice(8.0, SEED + 1))
    drive(run, speech, out / "driven.mp4")
    curves(run, out / "curves.png")
    contact_sheet(run, capture, out / "contact_sheet.png")
    return scores


def closing(out: Path, scores: dict[str, Any]) -> str:
    """What the terminal shows at the end: the scores and what to type next."""
    run = scores["run"]
    return "\n".join(
        [
            summary(scores),
            "",
            f"Look at {out}/side_by_side.mp4 (truth | ours). Then, with a video of your own:",
            "  gstalker prepare talk.mp4 captures/me",
            "  gstalker train configs/gstalker.yaml capture=captures/me",
            f"  gstalker drive {shlex.quote(f'{out}/runs/{run}')} speech.wav -o out.mp4",
        ]
    )


def _capture(folder: Path) -> Capture:
    try:
        return Capture.open(folder)
    except CaptureError:
        return make_synthetic_capture(folder, seconds=SECONDS, size=SIZE, seed=SEED)


def side_by_side(run: RunFolder, capture: Capture, path: Path) -> None:
    """Truth and the run's test pictures beside each other, with the true sound."""
    _, ids = capture.split()
    sound = capture.audio().reshape(-1, SAMPLES_PER_FRAME)[ids].reshape(-1)
    with MovieWriter(path, 2 * capture.width, capture.height, sound, RATE_HZ) as movie:
        for index in ids:
            movie.write(
                np.concatenate([capture.frame(int(index)), _picture(run, int(index))], axis=1)
            )


def contact_sheet(run: RunFolder, capture: Capture, path: Path, columns: int = 8) -> None:
    """Truth above ours, for frames spread over the test split, closed mouth to open."""
    _, ids = capture.split()
    by_mouth = ids[np.argsort(np.nan_to_num(capture.mouth[ids]))]
    chosen = by_mouth[np.linspace(0, len(by_mouth) - 1, columns).astype(int)]
    pairs = [np.concatenate([capture.frame(int(i)), _picture(run, int(i))]) for i in chosen]
    with files.replacing(path) as temporary:
        Image.fromarray(np.concatenate(pairs, axis=1)).save(temporary)


def curves(run: RunFolder, path: Path) -> None:
    """Loss and validation PSNR of every stage over its steps, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    stages = sorted(run.path.glob("*/metrics.csv"), key=lambda file: file.stat().st_mtime)
    figure, axes = pyplot.subplots(2, len(stages), figsize=(5 * len(stages), 6), squeeze=False)
    for column, file in enumerate(stages):
        with file.open() as lines:
            rows = list(csv.DictReader(lines))
        for axis, names in zip(
            axes[:, column], (["loss"], ["val_psnr_full", "val_psnr_mouth"]), strict=True
        ):
            for name in names:
                points = [(int(r["step"]), float(r[name])) for r in rows if r.get(name)]
                if points:
                    axis.plot(*zip(*points, strict=True), label=name)
            axis.set_xlabel("step")
            axis.legend()
        axes[0, column].set_title(file.parent.name)
        axes[0, column].set_yscale("log")
    figure.tight_layout()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot.close(figure)


def _picture(run: RunFolder, index: int) -> np.ndarray:
    return np.asarray(Image.open(run.frames_path / f"{index:06d}.png").convert("RGB"))
