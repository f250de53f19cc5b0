"""Metrics on what a network makes of single pictures: FID, and how alike two faces are.

FID compares two clouds of features as if they were Gaussians (Heusel et al. 2017). It depends
strongly on the number of frames; never compare it across lengths. Whose face it is needs a face
recogniser; none that may be passed on comes with this package, so the user names one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from gstalker import plugins, weights
from gstalker.errors import BackendMissing
from gstalker.metrics.bootstrap import Figures, mean_of_rows, not_available, with_ones
from gstalker.metrics.mean import MeanOf
from gstalker.metrics.pairs import Pair, Scores, Values
from gstalker.metrics.protocol import Protocol

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
"""torch-fidelity's file: the Inception of the original FID."""
FID_RESAMPLES = 20
"""Fewer than elsewhere: each draw costs a decomposition."""

Embed = Callable[[np.ndarray], np.ndarray | None]
"""From a picture ``uint8 [H, W, 3]`` to its embedding ``[D]``; ``None`` without a face."""


def frechet(a: Float[np.ndarray, "n D"], b: Float[np.ndarray, "m D"]) -> float:
    """Squared Frechet distance of the Gaussians fitted to two clouds of features.

    The trace of the root of the covariances' product is the sum of the singular values of the
    centred clouds' product, so no ``D x D`` matrix is ever made.

    Raises:
        ValueError: fewer than two rows.

    >>> frechet(np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]]))
    18.0
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"expected at least 2 rows of features, but got {len(a)} and {len(b)}")
    away = np.square(a.mean(0) - b.mean(0)).sum()
    x, y = ((side - side.mean(0)) / np.sqrt(len(side) - 1) for side in (a, b))
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(round(away + np.square(x).sum() + np.square(y).sum() - 2 * shared, 9))


class FID(Metric):
    """:func:`frechet` of all rendered against all true pictures; smaller is better.

    Args:
        features: from pictures ``[B, H, W, 3]`` in [0, 1] to ``[B, D]``, such as
            :func:`inception`.

    >>> metric = FID(lambda pictures: pictures.mean((1, 2)))
    >>> shades = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 4, 4, 3)
    >>> metric.update(shades, shades)
    >>> abs(round(float(metric.compute()), 6))
    0.0
    """

    pred: list[Tensor]
    truth: list[Tensor]
    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    def __init__(self, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.features = features
        self.add_state("pred", [], dist_reduce_fx="cat")
        self.add_state("truth", [], dist_reduce_fx="cat")

    def update(self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]) -> None:
        """Add pictures."""
        self.pred.append(self.features(pred).double())
        self.truth.append(self.features(truth).double())

    def compute(self) -> Tensor:
        """The distance over all pictures so far."""
        sides = (torch.cat(list(side)).cpu().numpy() for side in (self.pred, self.truth))
        return torch.tensor(frechet(*sides))


class IdentitySimilarity(MeanOf):
    """Mean cosine of the embeddings of rendered and true faces.

    Args:
        embed: a face recogniser.

    >>> metric = IdentitySimilarity(lambda picture: picture.mean((0, 1)))
    >>> red, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 9, np.uint8)
    >>> red[..., 0] = 200
    >>> metric.update(red, grey)
    >>> round(float(metric.compute()), 4)
    0.5774
    """

    missed: Tensor
    higher_is_better = True
    is_differentiable = False

    def __init__(self, embed: Embed) -> None:
        super().__init__()
        self.embed = embed
        self.add_state("missed", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, pred: np.ndarray, truth: np.ndarray) -> None:
        """Add a picture and its truth, ``uint8 [H, W, 3]``; no face on a side counts as missed."""
        likeness = cosine(self.embed(pred), self.embed(truth))
        if np.isfinite(likeness):
            self.add(torch.tensor(likeness, dtype=torch.float64))
        else:
            self.missed += 1


def cosine(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """Cosine of two embeddings; NaN without either."""
    if a is None or b is None:
        return float("nan")
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def inception() -> Callable[[Tensor], Tensor]:
    """The network of the original FID, through torchmetrics and torch-fidelity.

    Raises:
        BackendMissing: torch-fidelity or its weights are missing; says what to do.
    """
    path: Path | None = weights.named(INCEPTION)
    if path is None:
        raise BackendMissing(
            f"FID needs {INCEPTION} (the torch-fidelity project's release of that name).\n"
            f"  Put it into {weights.folders()[0]}."
        )
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        network: Any = NoTrainInceptionV3(
            name="inception-v3-compat",
            features_list=["2048"],
            feature_extractor_weights_path=str(path),
        )
    except (ImportError, ModuleNotFoundError, RuntimeError) as error:
        raise BackendMissing(
            f"FID needs torch-fidelity, and that needs torchvision ({error}).\n"
            "  Install both where torchvision fits torch: pip install torch-fidelity"
        ) from error
    return lambda pictures: network((pictures.movedim(-1, 1) * 255).round().to(torch.uint8))


class Likeness:
    """How alike two faces are to a recogniser, frame by frame.

    Args:
        embed: the recogniser, or why there is none.
        metric: ``identity``, or ``driven_identity`` of films.
        name: of the recogniser, ``module:Class``; it stands behind the metric's name, for another
            one gives other figures.
    """

    def __init__(self, embed: Embed | str, metric: str, name: str) -> None:
        self._embed = embed
        self.metric = f"{metric}_{name.replace(':', '.')}".rstrip("_")
        self._values: list[float] = []

    def add(self, pred: np.ndarray, truth: Callable[[], np.ndarray]) -> None:
        """Look at a picture and, if there is a recogniser, at its truth."""
        if not isinstance(self._embed, str):
            self._values.append(cosine(self._embed(pred), self._embed(truth())))

    def result(self, figures: Figures) -> tuple[Scores, Values]:
        """The figure over all frames with a face on both sides."""
        if isinstance(self._embed, str):
            return {self.metric: not_available(self._embed)}, {}
        values = np.array(self._values)
        seen = np.isfinite(values)
        entry = not_available("no face was recognised on both sides")
        if seen.any():
            entry = figures(with_ones(values[seen]), mean_of_rows, seen)
        return {self.metric: entry}, {self.metric: values}


class FeatureFamily:
    """Measures FID and identity of one row.

    Args:
        networks: what :func:`networks` found.
        name: of the recogniser, ``module:Class``.
    """

    def __init__(self, networks: dict[str, Any], name: str = "") -> None:
        self._fid = networks["fid"]
        self._clouds: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self._likeness = Likeness(networks["identity"], "identity", name)

    def add(self, pair: Pair) -> None:
        """Look at the next frame."""
        if not isinstance(self._fid, str):
            for cloud, picture in zip(self._clouds, pair.pictures, strict=True):
                cloud.append(self._fid(picture[None])[0].double().cpu().numpy())
        self._likeness.add(pair.pred, lambda: pair.truth)

    def result(self, figures: Figures) -> tuple[Scores, Values]:
        """The figures over all frames."""
        scores, values = self._likeness.result(figures)
        if isinstance(self._fid, str):
            return {"fid": not_available(self._fid), **scores}, values
        return {"fid": _fid_entry(*self._clouds, figures), **scores}, values


def _fid_entry(
    rendered: list[np.ndarray], filmed: list[np.ndarray], figures: Figures
) -> dict[str, Any]:
    if len(rendered) < 2:
        return not_available("FID needs two frames or more")
    pred, truth = np.stack(rendered), np.stack(filmed)
    draw = np.random.default_rng(figures.seed)
    blocks = [np.flatnonzero(figures.block == k) for k in range(int(figures.block.max()) + 1)]
    spread = []
    for _ in range(FID_RESAMPLES):
        rows = np.concatenate([blocks[k] for k in draw.integers(len(blocks), size=len(blocks))])
        spread.append(frechet(pred[rows], truth[rows]) if len(rows) > 1 else np.nan)
    return {"mean": frechet(pred, truth), "stderr": float(np.nanstd(spread)), "n": len(pred)}


def networks(protocol: Protocol) -> dict[str, Any]:
    """FID's network and the face recogniser, or for each why there is none."""
    fid: Any = "costs much and was not asked for: fid=true"
    if protocol.fid:
        try:
            fid = torch.no_grad()(inception())
        except BackendMissing as error:
            fid = " ".join(line.strip() for line in str(error).splitlines())
    return {"fid": fid, "identity": recogniser(protocol)}


def recogniser(protocol: Protocol) -> Embed | str:
    """The face recogniser that the protocol names, or why there is none.

    Raises:
        ConfigError: there is none of that name.
        BackendMissing: it lacks a package.
    """
    if not protocol.identity:
        return "needs a face recogniser of your own: identity=my_lab.faces:Embed"
    embed: Embed = plugins.resolve({}, protocol.identity)()
    return embed
