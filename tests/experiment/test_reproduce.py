"""A run made again is the same run, and where it is not, one is told in what."""

import json
import shutil

import pytest
import torch

from gstalker import cli
from gstalker import config as configuration
from gstalker.errors import CaptureError, RunError
from gstalker.experiment.evaluate import evaluate, read_scores
from gstalker.experiment.reproduce import reproduce
from gstalker.experiment.runs import RunFolder
from gstalker.experiment.train import train

SMALL = (
    "method.static.steps=20",
    "method.static.start.max_gaussians=300",
    "method.deform.steps=20",
)


@pytest.fixture(scope="module")
def finished(tiny_capture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    file = folder / "c.yaml"
    file.write_text("method:\n  name: gstalker\n")
    where = (f"capture={tiny_capture.folder}", f"runs={folder / 'runs'}")
    run = train(configuration.compose(file, [*where, *SMALL]))
    evaluate(run)
    return run


@pytest.fixture
def run(finished, tmp_path):
    """A copy, to be spoilt."""
    path = tmp_path / "runs" / finished.path.name
    shutil.copytree(finished.path, path)
    return RunFolder(path)


def test_a_run_made_again_is_the_same_bit_for_bit(run, capsys):
    assert cli.main(["reproduce", str(run.path), "threads=1"]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
    assert (run.path.parent / "reproduced" / run.path.name / "scores.json").is_file()


def test_what_differs_is_named_with_what_may_explain_it(run, capsys):
    path = run.path / "deform" / "model.pt"
    content = torch.load(path, weights_only=True)
    content["state"]["field.out.bias"][0] += 1e-7
    torch.save(content, path)
    curve = run.path / "static" / "metrics.csv"
    curve.write_text(curve.read_text().replace("20,", "20,9", 1))
    scores = json.loads(run.scores_path.read_text())
    figure = scores["rows"]["ours"]["psnr_full"]
    figure["mean"] += 2 * figure["stderr"]
    run.scores_path.write_text(json.dumps(scores))
    provenance = run.path / "provenance.json"
    provenance.write_text(provenance.read_text().replace(torch.__version__, "1.0"))
    assert cli.main(["reproduce", str(run.path)]) == 1
    text = capsys.readouterr().out
    assert "deform/model.pt: 1 of " in text
    assert "static/metrics.csv: from step 20 on, " in text
    assert "ours psnr_full" in text
    assert "(2.0 standard errors)" in text
    assert "'torch': '1.0'" in text


def test_it_is_scored_as_it_was_and_watched_from_nowhere_else(run):
    config = run.config_path.read_text()
    assert "name: csv" in config
    run.config_path.write_text(config.replace("name: csv", "name: wandb"))
    evaluate(run, ["ms_ssim=true", "lpips=false", "logger.name=csv"])
    found = reproduce(run)
    assert found.same, found.text
    again = RunFolder(run.path.parent / "reproduced" / run.path.name)
    assert read_scores(again)["protocol"]["ms_ssim"] is True
    assert again.config().logger.name == "csv"  # else it would go on in the old run's page


def test_an_unfinished_run_cannot_be_made_again(run):
    (run.path / "deform" / "model.pt").unlink()
    with pytest.raises(RunError, match=r"lacks deform/model\.pt"):
        reproduce(run)


def test_a_run_is_not_made_again_over_itself(run):
    with pytest.raises(RunError, match="holds the run itself"):
        reproduce(run, run.path.parent)


def test_another_capture_is_refused(run, tmp_path):
    from gstalker.data.synthetic import make_synthetic_capture

    other = make_synthetic_capture(tmp_path / "other", seconds=4.0, size=64, seed=5)
    with pytest.raises(RunError, match="not the one that .* was trained on"):
        reproduce(run, where=[f"capture={other.folder}"])


def test_a_capture_that_is_not_where_it_was_may_be_pointed_to(run, tmp_path):
    gone = [f"capture={tmp_path / 'gone'}"]
    with pytest.raises(CaptureError, match=r"prepare VIDEO .*gone\n  or, .* add: capture=FOLDER"):
        evaluate(run, where=gone)
    (tmp_path / "gone").mkdir()
    with pytest.raises(CaptureError, match="not a finished capture") as told:
        evaluate(run, where=gone)
    assert "elsewhere" not in str(told.value)
