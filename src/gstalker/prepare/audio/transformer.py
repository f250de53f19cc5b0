"""HuBERT and wav2vec2 through ``transformers``: from files that lie here, and nothing else.

Chunks are the peers': HuBERT hears 1000 rows at once (ER-NeRF, data_utils/hubert.py), wav2vec2
50 rows with 10 more on either side (RAD-NeRF, nerf/asr.py). One row is 20 ms: the first
convolutions hear 400 samples every 320.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from gstalker import files, weights
from gstalker.errors import BackendMissing, GSTalkerError

ROW_SAMPLES, HEARD_SAMPLES = 320, 400
_NEEDED = ("config.json", "model.safetensors")
_UNUSED = {"masked_spec_embed", "hubert.masked_spec_embed", "wav2vec2.masked_spec_embed"}


@dataclass(frozen=True)
class Model:
    """One kind of features: which network, from which files, heard in which chunks."""

    network: str
    """Its class in ``transformers``."""
    output: str
    """What of its answer is kept."""
    known_as: str
    """The one that the field uses, by its name on Hugging Face."""
    source: str
    chunk: tuple[int, int, int]
    """Rows heard before, kept, and heard after."""


MODELS = {
    "hubert": Model(
        "HubertModel",
        "last_hidden_state",
        "facebook/hubert-large-ls960-ft",
        "HuBERT, last hidden state",
        (0, 1000, 0),
    ),
    "wav2vec2": Model(
        "Wav2Vec2ForCTC",
        "logits",
        "cpierse/wav2vec2-large-xlsr-53-esperanto",
        "wav2vec2, logits of the symbols",
        (10, 50, 10),
    ),
}


def features(kind: str, takes: Sequence[np.ndarray]) -> np.ndarray:
    """Two rows per video frame.

    Args:
        kind: a name in :data:`MODELS`.
        takes: ``float32 [S]`` each, whole frames of 640 samples.

    Returns:
        ``float32 [sum(S) / 320, D]``.

    Raises:
        BackendMissing: ``transformers`` or the model's files are missing.
        GSTalkerError: the files are damaged or of another network.
    """
    net, scaled = _network(kind, folder(kind))
    mean, spread = _loudness(takes) if scaled else (0.0, 1.0)
    plan = [
        (take, chunk)
        for take in takes
        for chunk in chunks(len(take) // ROW_SAMPLES, *MODELS[kind].chunk)
    ]
    rows = []
    for take, (first, stop, keep_from, keep_to) in tqdm(
        plan, desc=kind, unit="chunk", disable=None
    ):
        # The last row of a take hears 80 samples beyond its end: silence.
        heard = np.pad(take, (0, HEARD_SAMPLES - ROW_SAMPLES))
        heard = heard[first * ROW_SAMPLES : (stop - 1) * ROW_SAMPLES + HEARD_SAMPLES]
        said = _ask(net, kind, torch.from_numpy((heard - mean) / spread).float())
        if len(said) != stop - first:
            raise GSTalkerError(
                f"the model in {folder(kind)} makes {len(said)} rows of {stop - first} x 20 ms of "
                f"sound, so it is none of {MODELS[kind].known_as}'s kind."
            )
        rows.append(said[keep_from - first : keep_to - first])
    return torch.cat(rows).numpy()


def chunks(rows: int, before: int, kept: int, after: int) -> Iterator[tuple[int, int, int, int]]:
    """What to hear at once and what of it to keep, in rows: first, stop, keep from, keep to."""
    for begin in range(0, rows, kept):
        end = min(begin + kept, rows)
        yield max(begin - before, 0), min(end + after, rows), begin, end


def identity(kind: str) -> str:
    """sha256 over the model's files: what makes two feature files comparable."""
    place = folder(kind)
    return "+".join(_digest(place / name, (place / name).stat().st_mtime_ns) for name in _NEEDED)


def folder(kind: str) -> Path:
    """Where the model's files are.

    Raises:
        BackendMissing: they are in none of the folders; says what to put where.
    """
    for place in weights.folders():
        if all((place / kind / name).is_file() for name in _NEEDED):
            return place / kind
    where = weights.folders()[0] / kind
    raise BackendMissing(
        f"sound features '{kind}' need a model in {where}, which lacks "
        f"{' and '.join(n for n in _NEEDED if not (where / n).is_file())}.\n"
        f"  Put these files of {MODELS[kind].known_as} (huggingface.co) there, and "
        "preprocessor_config.json; where only pytorch_model.bin is served, save it with "
        f"safetensors.torch.save_file.\n  Or let {weights.FOLDER_VARIABLE} name the folder that "
        f"holds '{kind}'."
    )


def require(kind: str) -> None:
    """Raise :class:`BackendMissing` unless the kind could be made; loads no model."""
    if importlib.util.find_spec("transformers") is not None:
        folder(kind)
        return
    raise BackendMissing(
        f"sound features '{kind}' need the package transformers, which is not installed.\n"
        "  Install it with: pip install 'gstalker[speech]'"
    )


@torch.no_grad()
def _ask(net: Any, kind: str, samples: Tensor) -> Tensor:
    return getattr(net(samples[None]), MODELS[kind].output)[0].float()


def _loudness(takes: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean and deviation of the whole recording, as the models' own preprocessor takes them."""
    every = np.concatenate([*takes]).astype(np.float64)
    return float(every.mean()), float(np.sqrt(every.var() + 1e-7))


@lru_cache(maxsize=1)
def _network(kind: str, place: Path) -> tuple[Any, bool]:
    """The network, ready to be asked, and whether it wants its sound scaled."""
    require(kind)
    import transformers
    from safetensors import SafetensorError

    wanted = MODELS[kind].network
    config = files.read_json(place / "config.json")
    named = config.get("architectures") or [wanted]
    if not str(named[0]).startswith(wanted.split("For")[0].removesuffix("Model")):
        raise GSTalkerError(
            f"{place} holds a {named[0]}, but '{kind}' features need a {wanted}.\n"
            f"  Put the files of {MODELS[kind].known_as} there."
        )
    try:
        net, loaded = getattr(transformers, wanted).from_pretrained(
            place,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise GSTalkerError(
            f"the model in {place} cannot be loaded ({str(error).splitlines()[0]}).\n"
            f"  Put the files of {MODELS[kind].known_as} there again."
        ) from error
    # transformers fills what is missing with noise; the mask is only used in training.
    lacks = sorted(set(loaded["missing_keys"]) - _UNUSED)
    if lacks:
        raise GSTalkerError(
            f"the model in {place} is not whole: it lacks {lacks[0]} and {len(lacks) - 1} more.\n"
            f"  Put the files of {MODELS[kind].known_as} there again."
        )
    prefers = place / "preprocessor_config.json"
    scaled = files.read_json(prefers).get("do_normalize", True) if prefers.is_file() else True
    return net.eval(), bool(scaled)


@lru_cache(maxsize=8)
def _digest(path: Path, _changed: int) -> str:
    return files.sha256(path)
