"""How good is a head after how many minutes: whole runs of fewer steps, several seeds each.

Every point is a run of its own whose learning rates fall over its own steps, not a look into a
longer one. A mouth that moves is not yet one that follows: the same head hearing another sentence
is scored beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.captures import work_folder
from benchmarks.harness import Bench, Result
from gstalker import config as configuration
from gstalker import files
from gstalker.config import RunConfig
from gstalker.data.dataset import FrameDataset
from gstalker.data.windows import shuffled_frames
from gstalker.experiment.evaluate import to_uint8
from gstalker.experiment.making import make_method
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.experiment.train import train
from gstalker.metrics.score import Scorer

CONFIG = Path(__file__).parents[1] / "configs" / "gstalker.yaml"
TOLD = ("psnr_mouth", "psnr_head", "mouth_corr", "mouth_corr_residual", "lmd")
"""Metrics that are drawn, and told in the table."""
SCORES = "quality.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--capture", type=Path, metavar="FOLDER", required=True)
    parser.add_argument(
        "--points",
        type=point,
        nargs="+",
        default=[point(f"{share}:0,1,2") for share in (0.125, 0.25, 0.5, 1)],
        metavar="SHARE:SEED,...",
        help="shares of the steps of both stages, and seeds to train each with",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keeps the runs, to go on later"
    )


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Train and score what is not there yet."""
    with work_folder(choices.work) as work:
        for share, seeds in choices.points:
            runs = [
                scored_run(config_of(choices.capture, work / "runs", share, seed)) for seed in seeds
            ]
            bench.add(result_of(share, seeds, runs))


def point(text: str) -> tuple[float, list[int]]:
    """A share and its seeds.

    >>> point("0.25:0,1")
    (0.25, [0, 1])
    """
    share, _, seeds = text.partition(":")
    return float(share), [int(seed) for seed in seeds.split(",")]


def config_of(capture: Path, runs: Path, share: float, seed: int) -> RunConfig:
    """The default run with a share of its steps."""
    whole = configuration.compose(CONFIG, [f"capture={capture}"]).method.config
    steps = {"static": whole.static.steps, "deform": whole.deform.steps}
    return configuration.compose(
        CONFIG,
        [
            f"capture={capture}",
            f"runs={runs}",
            f"seed={seed}",
            *(f"method.{stage}.steps={round(n * share)}" for stage, n in steps.items()),
        ],
    )


def scored_run(config: RunConfig) -> dict[str, Any]:
    """Minutes and scores of one run; nothing is done twice."""
    trained = train(config)
    kept = trained.path / SCORES
    if not kept.exists():
        files.write_json(kept, {"minutes": minutes_of(trained), "rows": scores_of(trained)})
    return files.read_json(kept)


def minutes_of(trained: RunFolder) -> float:
    """Minutes that both stages took."""
    status = files.read_json(trained.path / "status.json")
    return sum(v for k, v in status.items() if k.endswith("_minutes"))


def scores_of(trained: RunFolder) -> dict[str, Any]:
    """Scores of the test split, with its own sound and with another sentence's."""
    config = trained.config()
    capture = open_capture(config)
    method, features = make_method(config, capture)
    dataset, (_, ids) = FrameDataset(capture, features), capture.split()
    scorer, head = Scorer(capture, ids), method.load(trained.path)

    def spoken(heard: np.ndarray) -> Iterator[np.ndarray]:
        for frame, sound in zip(ids, heard, strict=True):
            yield to_uint8(head(dataset.frame(int(frame), sound_of=int(sound)))[0])

    return {
        "ours": scorer.score(spoken(ids)),
        "shuffled_audio": scorer.score(spoken(shuffled_frames(ids, capture.segments))),
    }


def result_of(share: float, seeds: Sequence[int], runs: Sequence[dict[str, Any]]) -> Result:
    """Minutes, and each metric's mean and deviation over seeds."""
    counts: dict[str, Any] = {"share": share, "seeds": len(seeds)}
    for row, prefix in (("ours", ""), ("shuffled_audio", "shuffled_")):
        for name in TOLD:
            values = [
                found for run in runs if (found := value_of(run["rows"][row], name)) is not None
            ]
            counts[prefix + name] = float(np.mean(values)) if values else "n/a"
            if len(values) > 1:
                counts[f"{prefix}{name}_sd"] = float(np.std(values, ddof=1))
    minutes = [run["minutes"] for run in runs]
    middle = float(np.median(minutes))
    return Result(
        f"quality_{share:g}",
        f"training with {share:g} of the steps, {len(seeds)} seed{'s' * (len(seeds) > 1)}",
        "min",
        middle,
        least=min(minutes),
        median=middle,
        spread=float(np.ptp(minutes)),
        repeats=len(runs),
        counts=counts,
    )


def value_of(row: dict[str, Any], name: str) -> float | None:
    """A metric's mean; ``lmd`` carries its detector's name behind it."""
    for key in (name, *(k for k in row if k.startswith(f"{name}_"))):
        if "mean" in row.get(key, {}) and (name != "mouth_corr" or key == name):
            return row[key]["mean"]
    return None


def curves(record: dict[str, Any], path: Path) -> None:
    """Draw each metric over minutes, seeds as error bars, the shuffled sound dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points = sorted(record["results"].values(), key=lambda entry: entry["value"])
    minutes = [entry["value"] for entry in points]
    figure, axes = pyplot.subplots(1, len(TOLD), figsize=(3.4 * len(TOLD), 3.2))
    for axis, name in zip(axes, TOLD, strict=True):
        for prefix, label, line in (("", "ours", "-"), ("shuffled_", "shuffled sound", "--")):
            values = [entry["counts"][prefix + name] for entry in points]
            if "n/a" in values:
                continue
            bars = [entry["counts"].get(f"{prefix}{name}_sd", 0.0) for entry in points]
            axis.errorbar(minutes, values, bars, marker="o", linestyle=line, label=label, capsize=3)
        axis.set(xlabel="minutes of training", title=name, xscale="log")
        axis.grid(visible=True, alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)
