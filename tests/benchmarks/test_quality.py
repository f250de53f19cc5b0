"""Quality over minutes: what is told of several seeds' runs."""

import pytest
from benchmarks.quality import result_of, value_of


def scored(minutes, corr, shuffled):
    told = {"psnr_mouth": 30.0 + corr, "mouth_corr": corr, "mouth_corr_residual": corr}
    other = {"psnr_mouth": 28.0, "mouth_corr": shuffled, "mouth_corr_residual": 0.0}
    rows = {"ours": told, "shuffled_audio": other}
    return {
        "minutes": minutes,
        "rows": {
            row: {name: {"mean": mean, "stderr": 0.1, "n": 9} for name, mean in values.items()}
            for row, values in rows.items()
        },
    }


def test_seeds_are_averaged_and_their_deviation_told():
    result = result_of(0.5, [0, 1], [scored(4.0, 0.8, 0.3), scored(5.0, 0.9, 0.5)])
    assert result.value == pytest.approx(4.5)
    assert result.counts["mouth_corr"] == pytest.approx(0.85)
    assert result.counts["mouth_corr_sd"] == pytest.approx(0.1 / 2**0.5)
    assert result.counts["shuffled_mouth_corr"] == pytest.approx(0.4)
    assert result.counts["psnr_head"] == "n/a"


def test_a_metric_is_found_under_its_detectors_name_but_not_mistaken_for_another():
    row = {"lmd_mediapipe": {"mean": 0.8}, "mouth_corr_residual": {"mean": 0.7}}
    assert value_of(row, "lmd") == 0.8
    assert value_of(row, "mouth_corr") is None
    assert value_of({"lmd_mediapipe": {"value": "n/a", "reason": "no face"}}, "lmd") is None
