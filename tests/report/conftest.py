"""Run folders as ``evaluate`` leaves them, without training anything."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
from pathlib import Path

import pytest

from gstalker import config as configuration
from gstalker import files

PROTOCOL = {"fingerprint": "p1", "landmarks": "mediapipe", "lpips": True}
BLOCK = 25
"""Frames of a take in the made-up scores."""


def entry(mean, stderr=0.1, n=100):
    return {"mean": mean, "stderr": stderr, "n": n}


def na(reason):
    return {"value": "n/a", "reason": reason}


def write_scores(path, rows, capture="may", content_id=None, protocol=PROTOCOL, **more):
    capture = {"name": capture, "content_id": content_id or f"content of {capture}"}
    files.write_json(path, {"protocol": protocol, **more, "capture": capture, "rows": rows})
    return path


@functools.cache
def _composed(overrides):
    file = Path(__file__).parents[2] / "configs" / "gstalker.yaml"
    return configuration.compose(file, ["capture=x", *overrides])


@pytest.fixture
def make_run(tmp_path):
    """A run folder: ``make_run("a", {"psnr_full": entry(30.0)}, seed=1, ...)``."""

    def make(
        name,
        ours=None,
        *,
        capture="may",
        seed=0,
        overrides=(),
        controls=None,
        folder_of=None,
        **scores,
    ):
        folder = tmp_path / "runs" / name
        keys = {"capture": str(folder_of or f"captures/{capture}"), "seed": seed}
        config = dataclasses.replace(_composed(tuple(overrides)), **keys)
        configuration.save(config, folder / "config.yaml")
        machine = {"machine": "x86_64", "processor": "Abacus 2", "cores": 2, "threads": 2}
        start = {
            **machine,
            "kernels": "avx2",
            "commit": "0123456789abcdef",
            "packages": {"torch": "2.13.0"},
        }
        files.write_json(folder / "provenance.json", {"starts": [start]})
        status = {"state": "done", "static_minutes": 3.0, "deform_minutes": 11.5}
        files.write_json(folder / "status.json", status)
        if ours is not None:
            rows = {"ours": ours, **(controls or {})}
            write_scores(folder / "scores.json", rows, capture, **scores)
        return folder

    return make


def write_sweep(path, rows, trials, **more):
    """``trials``: row, capture, seed and run folder each."""
    keys = ("row", "capture", "seed", "run")
    listed = [dict(zip(keys, (r, c, s, str(f)), strict=True)) for r, c, s, f in trials]
    told = {"experiment": "x", "rows": [{"name": r} for r in rows], "trials": listed, **more}
    files.write_json(path, told)
    return path


def read_csv(text):
    """The cells of the CSV form by row and metric."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines))))
    return {(row["row"], row["metric"]): row for row in rows}


def load(path):
    return json.loads(path.read_text())
