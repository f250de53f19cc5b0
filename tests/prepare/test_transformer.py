"""HuBERT and wav2vec2 from local files, held to networks made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gstalker import weights
from gstalker.errors import BackendMissing, CaptureError, GSTalkerError
from gstalker.prepare import audio
from gstalker.prepare.audio import transformer

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "vocab_size": 44,
}


def voice(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.1 * rng.normal(size=round(seconds * 16_000))).astype(np.float32)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    transformer._network.cache_clear()
    return tmp_path


@pytest.fixture
def nets(place: Path) -> dict[str, Any]:
    """Random small networks, saved where they are looked for."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    made = {
        "hubert": transformers.HubertModel(transformers.HubertConfig(**SMALL)),
        "wav2vec2": transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**SMALL)),
    }
    for kind, net in made.items():
        net.eval().save_pretrained(place / kind, safe_serialization=True)
    return made


def scaled(samples: np.ndarray) -> torch.Tensor:
    """As Wav2Vec2FeatureExtractor does it, with the 80 samples that the last row still hears."""
    spread = np.sqrt(samples.astype(np.float64).var() + 1e-7)
    padded = np.pad(samples, (0, 80))
    return torch.from_numpy((padded - samples.mean()) / spread).float()[None]


def test_chunks_cover_every_row_once() -> None:
    assert list(transformer.chunks(120, 10, 50, 10)) == [
        (0, 60, 0, 50),
        (40, 110, 50, 100),
        (90, 120, 100, 120),
    ]


def test_hubert_up_to_20_s_is_what_the_network_says(nets: dict[str, Any]) -> None:
    samples = voice(2.0)
    rows = audio.extract("hubert", samples, None, 3.0)
    with torch.no_grad():
        wanted = nets["hubert"](scaled(samples)).last_hidden_state[0].numpy()
    assert rows.shape == (100, 32)
    assert np.abs(rows - wanted).max() < 1e-4


def test_wav2vec2_in_chunks_is_near_the_whole_and_away_from_it_at_no_seam(
    nets: dict[str, Any],
) -> None:
    samples = voice(4.0)
    rows = audio.extract("wav2vec2", samples, None, 3.0)
    with torch.no_grad():
        wanted = nets["wav2vec2"](scaled(samples)).logits[0].numpy()
    assert rows.shape == wanted.shape == (200, 44)
    # Attention hears all of a chunk and nothing beyond it, so only nearly the same is asked.
    error = np.sqrt(((rows - wanted) ** 2).mean(1)) / wanted.std()
    assert error.max() < 0.25
    off = np.sqrt(((rows[1:] - wanted[:-1]) ** 2).mean(1)) / wanted.std()
    assert np.median(error) < 0.5 * np.median(off)


def test_the_capture_remembers_the_model_and_another_one_is_refused(
    nets: dict[str, Any], place: Path
) -> None:
    known = audio.spec("hubert")
    assert known["rows_per_frame"] == 2
    assert known["rate_hz"] == 50
    audio.check_model("hubert", known)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in nets["hubert"].parameters():
            parameter.add_(0.1)
    nets["hubert"].save_pretrained(place / "hubert", safe_serialization=True)
    with pytest.raises(CaptureError, match="not the one that heard the capture") as refused:
        audio.check_model("hubert", known)
    here, wanted = str(refused.value).split("sha256 is ")[1].splitlines()[0].split(", wanted ")
    assert here != wanted.removesuffix(".")


def test_a_network_of_another_kind_is_refused(nets: dict[str, Any], place: Path) -> None:
    (place / "hubert" / "config.json").write_bytes(
        (place / "wav2vec2" / "config.json").read_bytes()
    )
    with pytest.raises(GSTalkerError, match="holds a Wav2Vec2ForCTC"):
        audio.extract("hubert", voice(1.0), None, 3.0)


def test_a_damaged_model_is_named(nets: dict[str, Any], place: Path) -> None:
    (place / "hubert" / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(GSTalkerError, match="cannot be loaded"):
        audio.extract("hubert", voice(1.0), None, 3.0)


def test_a_model_that_is_not_whole_is_refused_and_not_filled_with_noise(
    nets: dict[str, Any], place: Path
) -> None:
    from safetensors.torch import load_file, save_file

    path = place / "hubert" / "model.safetensors"
    kept = {name: t for name, t in load_file(path).items() if "layers.1.attention" not in name}
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(GSTalkerError, match="is not whole"):
        audio.extract("hubert", voice(1.0), None, 3.0)


def test_a_missing_model_says_what_to_put_where(place: Path) -> None:
    (place / "hubert").mkdir()
    (place / "hubert" / "config.json").write_text(json.dumps({}))
    with pytest.raises(BackendMissing, match=r"lacks model\.safetensors") as error:
        transformer.folder("hubert")
    assert "facebook/hubert-large-ls960-ft" in str(error.value)


def test_a_pickled_checkpoint_is_not_enough(place: Path) -> None:
    (place / "wav2vec2").mkdir()
    (place / "wav2vec2" / "config.json").write_text("{}")
    (place / "wav2vec2" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BackendMissing, match="safetensors"):
        transformer.folder("wav2vec2")


def test_without_transformers_the_install_line_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendMissing, match=r"gstalker\[speech\]"):
        audio.require("hubert")
