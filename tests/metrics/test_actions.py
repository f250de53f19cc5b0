"""AUE, worked by hand on OpenFace files."""

import numpy as np
import pytest
import torch

from gstalker.errors import MediaError
from gstalker.metrics.actions import AUE, LOWER, SETS, UPPER, ActionFamily, intensities
from gstalker.metrics.bootstrap import Figures
from gstalker.metrics.protocol import Protocol


def write(path, values, success=None):
    """An OpenFace table: units in rising order, spaces as OpenFace writes them."""
    units = sorted(SETS["aue"])
    header = ["frame", " success"] + [f" AU{u:02d}_r" for u in units]
    seen = np.ones(len(values)) if success is None else success
    rows = [[k + 1, int(s), *row] for k, (row, s) in enumerate(zip(values, seen, strict=True))]
    path.write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n")
    return path


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(0)
    pred, truth = 5 * rng.random((2, 4, 17))
    return pred, truth, write(tmp_path / "p.csv", pred), write(tmp_path / "t.csv", truth)


def family_scores(pred, truth, count=4):
    family = ActionFamily(Protocol(openface=str(pred), openface_truth=str(truth)), np.arange(count))
    return family.result(Figures(np.arange(count), 10, 0))[0]


def test_each_set_is_the_sum_over_its_units_of_the_mean_square(tables):
    pred, truth, pred_file, truth_file = tables
    scores = family_scores(pred_file, truth_file)
    units = sorted(SETS["aue"])
    for name, members in (("aue", units), ("aue_lower", LOWER), ("aue_upper", UPPER)):
        columns = [units.index(unit) for unit in members]
        by_hand = sum(((pred[:, c] - truth[:, c]) ** 2).mean() for c in columns)
        assert scores[name]["mean"] == pytest.approx(by_hand), name
    assert scores["aue"]["mean"] == pytest.approx(
        scores["aue_lower"]["mean"] + scores["aue_upper"]["mean"]
    )
    assert len(SETS["aue"]) == 17


def test_the_metric_agrees_with_the_sheet(tables):
    pred, truth, pred_file, truth_file = tables
    metric = AUE()
    for k in range(4):
        metric.update(torch.from_numpy(pred[k : k + 1]), torch.from_numpy(truth[k : k + 1]))
    expected = family_scores(pred_file, truth_file)["aue"]["mean"]
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)


def test_frames_without_a_face_are_left_out_and_counted(tables, tmp_path):
    pred, truth, _, truth_file = tables
    pred[2] = 99
    lost = write(tmp_path / "lost.csv", pred, success=[1, 1, 0, 1])
    scores = family_scores(lost, truth_file)
    by_hand = np.square(pred - truth).sum(1)[[0, 1, 3]].mean()
    assert scores["aue"]["mean"] == pytest.approx(by_hand)
    assert scores["aue"]["n"] == 3


def test_a_table_of_another_length_is_refused(tables):
    with pytest.raises(MediaError, match="has 4 rows, where 5 frames"):
        intensities(tables[2], LOWER, 5)


def test_a_table_without_a_unit_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("frame, success, AU45_r\n1, 1, 0.5\n")
    with pytest.raises(MediaError, match="no column AU01_r"):
        intensities(tmp_path / "a.csv", (1, 45), 1)


def test_without_files_the_columns_say_what_to_give():
    scores, _ = ActionFamily(Protocol(), np.arange(3)).result(Figures(np.arange(3), 10, 0))
    assert all("openface=PRED.csv" in scores[name]["reason"] for name in SETS)
