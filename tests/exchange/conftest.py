"""Data sets of the AD-NeRF family, made from a small synthetic speaker."""

import json
import shutil

import numpy as np
import pytest

from gstalker.data.capture import Capture
from gstalker.data.synthetic import make_synthetic_capture
from gstalker.exchange import export_capture

FRAMES = 100
DROPPED = range(20, 23)


@pytest.fixture(scope="session")
def speaker(tmp_path_factory):
    """Four seconds at 64 x 64; read it, never write into it."""
    return make_synthetic_capture(
        tmp_path_factory.mktemp("captures") / "speaker", seconds=FRAMES / 25, size=64
    )


@pytest.fixture(scope="session")
def gappy(speaker, tmp_path_factory):
    """The same with three frames that must not be used."""
    folder = tmp_path_factory.mktemp("captures") / "gappy"
    shutil.copytree(speaker.folder, folder)
    meta = json.loads((folder / "capture.json").read_text())
    meta["dropped"] = [{"start": DROPPED.start, "stop": DROPPED.stop, "reason": "no face"}]
    (folder / "capture.json").write_text(json.dumps(meta))
    return Capture.open(folder)


def deepspeech(count, seed=0):
    """Windows as AD-NeRF's script cuts them: zeros around, 16 rows, every second row."""
    rows = np.random.default_rng(seed).normal(size=(2 * count, 29)).astype(np.float32)
    padded = np.concatenate([np.zeros((8, 29)), rows, np.zeros((8, 29))])
    return np.stack([padded[2 * i : 2 * i + 16] for i in range(count)])


def add_features(folder, count):
    np.save(folder / "aud_ds.npy", deepspeech(count))
    np.save(folder / "aud.npy", deepspeech(count))
    hubert = np.random.default_rng(1).normal(size=(count - 1, 2, 1024)).astype(np.float32)
    np.save(folder / "aud_hu.npy", hubert)


@pytest.fixture(scope="session")
def family(speaker, gappy, tmp_path_factory):
    """One folder of each layout; AD-NeRF's has frames without a face."""
    root = tmp_path_factory.mktemp("family")
    for name in ("er-nerf", "talkinggaussian", "gaussiantalker"):
        export_capture(speaker.folder, root / name, name)
        add_features(root / name, FRAMES)
    export_capture(gappy.folder, root / "ad-nerf", "ad-nerf")
    shutil.rmtree(root / "ad-nerf" / "gt_imgs")  # theirs has com_imgs only
    shutil.rmtree(root / "ad-nerf" / "torso_imgs")
    return root


@pytest.fixture
def copied(family, tmp_path):
    """A folder to damage."""

    def copy(name):
        return shutil.copytree(family / name, tmp_path / name)

    return copy
