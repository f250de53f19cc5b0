"""Old beside new, raw and by yardstick, by hand."""

import copy

import pytest
from benchmarks.compare import comparison, raw_ratio


@pytest.fixture
def newer(record):
    """The same code on a machine of half the peak: twice the time, half the rate."""
    new = copy.deepcopy(record)
    new["results"]["raster_forward_ms"]["value"] = 8.0
    new["results"]["static_it_per_s"]["value"] = 20.0
    return new


def row(text, title):
    return next(line for line in text.splitlines() if line.startswith(f"| {title} "))


def test_a_slower_machine_shows_in_the_raw_ratio_only(record, newer):
    text = comparison(record, newer, "old.json")
    assert row(text, "draw") == "| draw | 4.00 ms | 8.00 ms | 2.000 | 1.000 |"
    assert row(text, "learn") == "| learn | 40.0 it/s | 20.0 it/s | 2.000 | 1.000 |"


def test_faster_code_shows_in_both(record, newer):
    newer["results"]["raster_forward_ms"] |= {"value": 2.0, "room_mflop": 360.0}
    assert row(comparison(record, newer, "old"), "draw").endswith("| 0.500 | 0.500 |")


def test_memory_has_no_yardstick(record, newer):
    newer["results"]["train_resident_mib"]["value"] = 350.0
    assert row(comparison(record, newer, "old"), "hold").endswith("| 0.500 | - |")


def test_another_unit_is_not_compared():
    assert raw_ratio({"unit": "ms", "value": 1.0}, {"unit": "s", "value": 1.0}) is None


def test_what_only_one_has_is_named(record, newer):
    newer["results"]["fresh"] = newer["results"].pop("train_resident_mib")
    text = comparison(record, newer, "old")
    assert "only now: fresh" in text
    assert "only before: train_resident_mib" in text


def test_other_work_under_the_same_key_is_told(record, newer):
    newer["results"]["raster_forward_ms"]["counts"]["gaussians"] = 10
    assert "raster_forward_ms gaussians 30000 -> 10" in comparison(record, newer, "old")
