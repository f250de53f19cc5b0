"""The encoder of OpenAI's Whisper tiny.en, in plain torch: what the mouth is heard best with.

A ridge regression from its rows to the mouth opening reaches r = 0.92 on an unseen take, log-mel
0.83 (our feasibility trial). The network is described in Radford et al. 2022, section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from gstalker import weights
from gstalker.errors import GSTalkerError
from gstalker.prepare.audio import mel
from gstalker.prepare.audio.reading import RATE_HZ

MODEL = "whisper_tiny_en"
WIDTH, HEADS, BLOCKS, POSITIONS = 384, 6, 4, 1500
ROW_SAMPLES = 320
WINDOW_SAMPLES = 30 * RATE_HZ
CONTEXT_S = 1.0
"""Most that is heard before and after the rows that are kept, inside a take longer than a chunk."""
_REMEMBERED = ("key", "value")


def features(takes: Sequence[np.ndarray], chunk_s: float) -> np.ndarray:
    """Two rows per video frame.

    Args:
        takes: ``float32 [S]`` each, whole frames of 640 samples.
        chunk_s: how much is heard at once, at most 30 s.

    Returns:
        ``float32 [sum(S) / 320, 384]``.

    Raises:
        BackendMissing: the weights are missing.
        GSTalkerError: they are damaged.
    """
    net = Encoder()
    plan = [
        (take, window) for take in takes for window in windows(len(take) // ROW_SAMPLES, chunk_s)
    ]
    rows = []
    for take, (first, stop, keep_from, keep_to) in tqdm(
        plan, desc="whisper", unit="chunk", disable=None
    ):
        heard = net(torch.from_numpy(take[first * ROW_SAMPLES : stop * ROW_SAMPLES].copy()))
        rows.append(heard[keep_from - first : keep_to - first])
    return torch.cat(rows).numpy() if rows else np.zeros((0, WIDTH), np.float32)


def windows(rows: int, chunk_s: float) -> Iterator[tuple[int, int, int, int]]:
    """What to hear at once and what of it to keep, in rows: first, stop, keep from, keep to."""
    chunk = min(round(chunk_s * RATE_HZ / ROW_SAMPLES), POSITIONS)
    if rows <= chunk:
        if rows:
            yield 0, rows, 0, rows
        return
    context = min(round(CONTEXT_S * RATE_HZ / ROW_SAMPLES), chunk // 4)
    kept = 0
    while kept < rows:
        first = min(max(kept - context, 0), rows - chunk)
        stop = first + chunk
        keep_to = rows if stop == rows else stop - context
        yield first, stop, kept, keep_to
        kept = keep_to


def encode(samples: np.ndarray, model: Path | None = None) -> np.ndarray:
    """Rows for up to 30 s of sound, heard at once.

    Args:
        samples: ``float32 [S]``.
        model: the weights; the known ones by default.

    Returns:
        ``float32 [S / 320, 384]``, rounded up.
    """
    return Encoder(model)(torch.from_numpy(np.asarray(samples, np.float32))).numpy()


Quiet = list[tuple[Tensor, Tensor]]
"""Keys and values ``[1, 6, Q, 64]`` of every block at some positions."""


class Encoder:
    """The forward pass over the checkpoint's own tensors; a batch of one.

    Args:
        model: the weights; the known ones by default.

    Raises:
        BackendMissing: the weights are missing.
        GSTalkerError: they are damaged.
    """

    def __init__(self, model: Path | None = None) -> None:
        self._t = _tensors(model or weights.find(MODEL))
        self._positions = _sinusoids()

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Tensor:
        """``[S]`` to ``[ceil(S / 320), 384]``, the sound padded with silence to 30 s."""
        # The silence behind the sound is heard to the end, but nobody asks for its own rows.
        return self.blocks(self.whole(samples), math.ceil(samples.shape[0] / ROW_SAMPLES))

    @torch.no_grad()
    def remember(self, samples: Tensor, places: Tensor) -> Quiet:
        """What every block has at ``places`` to be attended to, in 30 s that begin with a sound."""
        kept: Quiet = []
        self.blocks(self.whole(samples), 1, memory=kept)
        return [(key[:, :, places], value[:, :, places]) for key, value in kept]

    def whole(self, samples: Tensor) -> Tensor:
        """The first rows ``[1500, 384]`` of a sound and the silence behind it."""
        padded = functional.pad(samples, (0, WINDOW_SAMPLES - samples.shape[0]))
        return self.front(mel.log_power(padded))

    def front(self, power: Tensor) -> Tensor:
        """Log power ``[80, 2 P]`` to first rows ``[P, 384]``."""
        power = (torch.maximum(power, power.max() - mel.RANGE_DECADES) + 4) / 4
        x = functional.gelu(self._conv("conv1", power[None], stride=1))
        x = functional.gelu(self._conv("conv2", x, stride=2))[0].T
        return x + self._positions[: len(x)]

    def blocks(
        self,
        x: Tensor,
        rows: int,
        *,
        quiet: Quiet | None = None,
        weight: float = 0.0,
        memory: Quiet | None = None,
    ) -> Tensor:
        """Features ``[rows, 384]`` out of first rows.

        Args:
            x: first rows.
            rows: how many are asked for.
            quiet: what else is attended to.
            weight: log of how many positions each one of ``quiet`` stands for.
            memory: a list that takes every block's keys and values.
        """
        for k in range(BLOCKS):
            kept = rows if k == BLOCKS - 1 else len(x)
            heard = self._norm(f"blocks.{k}.attn_ln", x)
            key, value = (self._heads(f"blocks.{k}.attn.{part}", heard) for part in _REMEMBERED)
            if memory is not None:
                memory.append((key, value))
            mask = None
            if quiet is not None:
                mask = torch.zeros(1, 1, 1, key.shape[2] + quiet[k][0].shape[2])
                mask[..., key.shape[2] :] = weight
                mask = mask.expand(1, 1, kept, -1)
                key, value = (
                    torch.cat([own, other], dim=2)
                    for own, other in zip((key, value), quiet[k], strict=True)
                )
            query = self._heads(f"blocks.{k}.attn.query", heard[:kept])
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            mixed = mixed[0].transpose(0, 1).reshape(-1, WIDTH)
            x = x[:kept] + self._linear(f"blocks.{k}.attn.out", mixed)
            hidden = self._linear(f"blocks.{k}.mlp.0", self._norm(f"blocks.{k}.mlp_ln", x))
            x = x + self._linear(f"blocks.{k}.mlp.2", functional.gelu(hidden))
        return self._norm("ln_post", x)

    def _heads(self, name: str, x: Tensor) -> Tensor:
        """``[1, 6, P, 64]``; only with a batch dimension does torch take its fused attention."""
        return self._linear(name, x).view(1, -1, HEADS, WIDTH // HEADS).transpose(1, 2)

    def _conv(self, name: str, x: Tensor, stride: int) -> Tensor:
        weight, bias = self._t[f"{name}.weight"], self._t[f"{name}.bias"]
        return functional.conv1d(x, weight, bias, stride=stride, padding=1)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self._t[f"{name}.weight"], self._t.get(f"{name}.bias"))

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(
            x, (WIDTH,), self._t[f"{name}.weight"], self._t[f"{name}.bias"]
        )


@lru_cache(maxsize=1)
def _tensors(path: Path) -> dict[str, Tensor]:
    """The checkpoint in float32, its names without ``encoder.``."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        loaded = load_file(path)
    except (OSError, SafetensorError) as error:
        raise GSTalkerError(
            f"{path} cannot be read ({error}).\n  Run: gstalker weights check {MODEL}"
        ) from error
    named = {name.removeprefix("encoder."): tensor.float() for name, tensor in loaded.items()}
    if named.get("ln_post.weight", torch.empty(0)).shape != (WIDTH,):
        raise GSTalkerError(
            f"{path} is not the encoder of Whisper tiny.en.\n  Run: gstalker weights check {MODEL}"
        )
    return named


def _sinusoids() -> Tensor:
    """Whisper's positions, ``[1500, 384]``: sines of 192 periods, then their cosines."""
    half = WIDTH // 2
    rate = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half))
    angle = torch.arange(POSITIONS)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1)
