"""From windows of sound features to one smooth code per frame.

The shapes are AD-NeRF's AudioNet and AudioAttNet, which RAD-NeRF, ER-NeRF and TalkingGaussian keep
and which GSTalker's "temporal smooth module" most likely is; see ``AudioNet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.data.windows import NEIGHBOURS, ROWS
from gstalker.deform import kernels
from gstalker.limits import Count, Whole
from gstalker.types import AudioWindow

CENTRE = NEIGHBOURS.index(0)
"""Which of a frame's windows is its own."""
_SLOPE = 0.02
"""Of every LeakyReLU, as in AD-NeRF's released networks."""


@dataclass
class AudioConfig:
    """What listens to the sound."""

    features: str = "auto"
    """Kind of sound features; ``auto`` takes the best that the capture has (whisper, then mel)."""
    components: Count = 64
    """Principal components kept of wide features; narrower features stay as they are."""
    code: Count = 28
    """Numbers in a frame's audio code."""
    eye_code: Whole = 4
    """Numbers made of the eye opening; 0 leaves the eyes to chance."""
    smooth: bool = True
    """Attend over 8 neighbouring frames (AD-NeRF's smoothing); off: the centre frame alone."""


class Whitening(nn.Module):
    """A fixed linear map fitted to the training sound: centred, scaled, the main directions kept.

    Args:
        dim: features per row.
        components: directions kept at most.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        self.dim = min(dim, components) if dim > 2 * components else dim
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("basis", torch.zeros(dim, self.dim))

    @torch.no_grad()
    def fit(self, rows: Float[Tensor, "R D"]) -> None:
        """Fit to training rows; later rows go down linearly in weight from 1 to 1/2."""
        self.mean.copy_(rows.mean(0))
        centred = (rows - self.mean).double()
        if self.dim == rows.shape[1]:
            self.basis.copy_(torch.diag(1 / (centred.std(0) + 1e-4)))
            return
        variances, directions = torch.linalg.eigh(centred.T @ centred / len(rows))
        kept = (
            directions.flip(1)[:, : self.dim] / variances.flip(0)[: self.dim].clamp_min(1e-8).sqrt()
        )
        # An equal voice for the faint directions is mostly noise; the trial halved the last one.
        self.basis.copy_(kept * torch.linspace(1, 0.5, self.dim, dtype=kept.dtype))

    def forward(self, rows: Float[Tensor, "*any D"]) -> Float[Tensor, "*any E"]:
        """The rows in their own main directions."""
        return F.linear(rows, self.basis.T, -self.mean @ self.basis)


class AudioNet(nn.Module):
    """Windows of sound, and the eye opening, to the code that conditions the field.

    Four strided convolutions reduce each 16-row window to one vector; five more attend over the
    vectors of 8 neighbouring frames; the eye opening joins as a few bounded numbers.

    Args:
        dim: sound features per row.
        config: sizes.
    """

    def __init__(self, dim: int, config: AudioConfig) -> None:
        super().__init__()
        self.whitening = Whitening(dim, config.components)
        widths = (self.whitening.dim, 32, 32, 64, 64)
        self.window = nn.Sequential(*_strided(widths))
        self.head = nn.Sequential(
            nn.Linear(64, 64), nn.LeakyReLU(_SLOPE), nn.Linear(64, config.code)
        )
        self.attention = _Attention(config.code) if config.smooth else None
        self.eye = nn.Linear(1, config.eye_code) if config.eye_code else None
        self.code = config.code
        self.dim = config.code + config.eye_code

    def forward(
        self, audio: AudioWindow, eye: Float[Tensor, " B"], *, smooth: bool = True
    ) -> Float[Tensor, "B A"]:
        """Codes of a batch of frames; ``smooth=False`` is each frame's own window alone."""
        features = audio.features
        if self.attention is None or not smooth:
            features = features[:, CENTRE : CENTRE + 1]
        code = self.listen(self.whitening(features))
        if self.eye is None:
            return code
        return torch.cat([code, torch.tanh(self.eye(eye[:, None]))], dim=1)

    def listen(self, heard: Float[Tensor, "B W T E"]) -> Float[Tensor, "B C"]:
        """The sound's part of the codes, of whitened windows: all of a frame's, or one."""
        b, w = heard.shape[:2]
        rows = heard.reshape(b * w, ROWS, -1)
        codes = self.head(_listen(self.window, rows)[:, 0]).view(b, w, -1)
        return codes[:, 0] if w == 1 or self.attention is None else self.attention(codes)


class _Attention(nn.Module):
    """Weights over neighbouring frames' codes, and their weighted sum."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (16, 8, 4, 2, 1):
            layers += [nn.Conv1d(dim, width, 3, padding=1), nn.LeakyReLU(_SLOPE)]
            dim = width
        self.scores = nn.Sequential(*layers)
        self.mix = nn.Linear(len(NEIGHBOURS), len(NEIGHBOURS))

    def forward(self, codes: Float[Tensor, "B W A"]) -> Float[Tensor, "B A"]:
        weights = self.mix(_listen(self.scores, codes)[..., 0]).softmax(dim=1)
        return (weights[:, None] @ codes)[:, 0]


def _listen(layers: nn.Sequential, rows: Float[Tensor, "B L C"]) -> Float[Tensor, "B M O"]:
    """Convolutions with LeakyReLU over rows, channels last."""
    if not kernels.listening_fits(rows):
        return layers(rows.transpose(1, 2)).transpose(1, 2)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv1d)]
    weights = [(c.weight, c.bias) for c in convolutions if c.bias is not None]
    stride = convolutions[0].stride[0]
    return kernels.leaky_convs(rows, weights, stride=stride, slope=_SLOPE)


def _strided(widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [nn.Conv1d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
    return layers


def fit_whitening(net: AudioNet, rows: np.ndarray) -> None:
    """Fit the net's fixed first map to the training part's feature rows ``[R, D]``."""
    net.whitening.fit(torch.from_numpy(np.ascontiguousarray(rows)))


@torch.no_grad()
def spread_codes(net: AudioNet, windows: Float[Tensor, "F T D"]) -> None:
    """Scale and shift a new net's layers, in order, so that what each says of training windows has
    mean 0 and deviation 1, number by number (Salimans and Kingma 2016, section 3).

    As it comes, a new net says almost the same of every sound: its codes differ by a fortieth of
    their length, and what reads them first learns to take them for a constant.

    Args:
        net: its first map fitted.
        windows: of training frames, one each.
    """
    x = net.whitening(windows).transpose(1, 2)
    for layer in [*net.window, *net.head]:
        if isinstance(layer, nn.Linear) and x.dim() == 3:
            x = x[..., 0]
        if isinstance(layer, nn.Conv1d | nn.Linear):
            said = layer(x).transpose(0, 1).flatten(1)
            deviation = said.std(1).clamp_min(1e-8)
            layer.weight.div_(deviation.view(-1, *[1] * (layer.weight.dim() - 1)))
            assert layer.bias is not None
            layer.bias.sub_(said.mean(1)).div_(deviation)
        x = layer(x)
