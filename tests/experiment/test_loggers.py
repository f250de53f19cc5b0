"""What a logger is told is what the run's own files say."""

import csv
import json
import struct
import time

import pytest

from gstalker import config as configuration
from gstalker.experiment.evaluate import evaluate
from gstalker.experiment.train import train

SMALL = (
    "method.static.steps=100",
    "method.static.start.max_gaussians=300",
    "method.deform.steps=100",
)


def trained(folder, capture, logger):
    file = folder / "c.yaml"
    file.write_text("method:\n  name: gstalker\n")
    where = (f"capture={capture.folder}", f"runs={folder / 'runs'}", f"logger.name={logger}")
    return train(configuration.compose(file, [*where, *SMALL]))


def losses(run, stage):
    with (run.stage(stage) / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    return [(int(row["step"]), float(row["loss"])) for row in rows]


def test_tensorboard_has_the_curve_the_preview_and_the_scores(tiny_capture, tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = trained(tmp_path, tiny_capture, "tensorboard")
    scores = evaluate(run)
    for stage in ("static", "deform"):
        events = reading.EventAccumulator(str(run.path / "tensorboard" / stage)).Reload()
        found = [(event.step, event.value) for event in events.Scalars("loss")]
        assert found == [(k, pytest.approx(v, rel=1e-6)) for k, v in losses(run, stage)]
        assert events.Images("preview")
    events = reading.EventAccumulator(str(run.path / "tensorboard" / "scores")).Reload()
    (figure,) = events.Scalars("test/psnr_mouth")
    assert figure.value == pytest.approx(scores["rows"]["ours"]["psnr_mouth"]["mean"], rel=1e-6)


def test_wandb_offline_has_a_run_a_stage_grouped_with_config_media_and_scores(
    tiny_capture, tmp_path, monkeypatch
):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_RUN_GROUP", "ablation")
    run = trained(tmp_path, tiny_capture, "wandb")
    scores = evaluate(run)
    folders = {path.name.split("-", 3)[-1]: path for path in run.path.glob("wandb/offline-run-*")}
    assert set(folders) == {f"{run.path.name}-{part}" for part in ("static", "deform", "scores")}
    for name, folder in folders.items():
        told = ended(folder)
        assert (told["group"], told["project"]) == ("ablation", "gstalker")
        assert told["config"]["run"] == run.path.name
        assert told["config"]["method"]["name"] == "gstalker"
        assert told["config"]["made_by"]["packages"]["torch"]
        if name.endswith("scores"):
            (table,) = folder.glob("files/media/table/scores*.json")
            rows = {row[0]: row[1] for row in json.loads(table.read_text())["data"]}
            assert rows["psnr_mouth"] == scores["rows"]["ours"]["psnr_mouth"]["mean"]
        else:
            stage = name.rsplit("-", 1)[1]
            assert (100, pytest.approx(losses(run, stage)[0][1])) in told["losses"]
            assert list(folder.glob("files/media/images/preview*.png"))


def ended(folder, seconds=60):
    """The record of a run once it has an end, which wandb's service may write after ``finish``."""
    for _ in range(10 * seconds):
        told = record(folder)
        if told["ended"]:
            return told
        time.sleep(0.1)
    raise AssertionError(f"{folder} has no end")


def record(folder):
    """Group, project, config and losses of an offline run, from wandb's own file."""
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("run-*.wandb")
    told = {"config": {}, "losses": [], "ended": False}
    for data in entries(file.read_bytes()):
        one = wandb_internal_pb2.Record()
        one.ParseFromString(data)
        told["ended"] |= one.HasField("exit")
        if one.run.run_id:
            told["group"], told["project"] = one.run.run_group, one.run.project
        for update in (one.run.config, one.config):
            told["config"].update({i.key: json.loads(i.value_json) for i in update.update if i.key})
        values = {
            item.key or ".".join(item.nested_key): json.loads(item.value_json)
            for item in one.history.item
        }
        if "loss" in values:
            told["losses"].append((values["trainer/global_step"], values["loss"]))
    return told


def entries(log):
    """Entries of a LevelDB log: blocks of 32 KiB; crc, length and kind before each piece."""
    place, pieces = 7, b""  # the file's own header
    while place + 7 <= len(log):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", log[place + 4 : place + 7])
        pieces += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield pieces
            pieces = b""
