"""What is printed, and that the README prints the same."""

import copy
import re
from pathlib import Path

import pytest

from benchmarks import card, harness, table
from gstalker.errors import GSTalkerError

ROOT = Path(__file__).parents[2]
PROMISED = {
    "raster_forward_ms",
    "raster_forward_backward_ms",
    "l1_ssim_ms",
    "static_it_per_s",
    "deform_it_per_s",
    "drive_fps",
    "drive_mp4_fps",
}


def test_the_readme_shows_what_the_command_prints_from_the_committed_file():
    text = (ROOT / "README.md").read_text()
    file = re.search(r"benchmarks table (benchmarks/results/[\w.-]+\.json)", text)
    assert file, "the README names no file of benchmarks/results"
    record = harness.read_record(ROOT / file[1])
    assert set(record["results"]) >= PROMISED
    assert table.readme_part(record, Path(file[1]).name) in text


def test_the_promises_are_these():
    assert set(card.TARGETS) == PROMISED


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("raster_forward_ms", 3.3, "aim"),
        ("raster_forward_ms", 4.5, "required"),
        ("raster_forward_ms", 4.6, "no"),
        ("drive_fps", 200, "aim"),
        ("drive_fps", 150, "required"),
        ("drive_fps", 99, "no"),
    ],
)
def test_times_should_be_small_and_rates_large(key, value, wanted):
    assert card.reaches(key, value) == wanted


def test_an_estimate_is_made_on_a_slower_machine_only():
    slower, faster = {"fma_all_gflops": 117.5}, {"fma_all_gflops": 300.0}
    assert card.estimate(8.0, "ms", slower) == 4.0
    assert card.estimate(30.0, "it/s", slower) == 60.0
    assert card.estimate(8.0, "ms", faster) is None


def test_an_estimate_is_called_one(record):
    text = table.promise_table(record)
    assert "estimate at 235 GFLOP/s" in text
    assert (
        "| rasterizer, forward | 4.00 ms | 1.00 | 720 | 160 | 4.50 | 3.30 | required | 3.06 ms |"
        in text
    )
    assert "not a measurement" in table.promise_note(record)


def test_of_a_busy_machine_no_estimate_is_made(record):
    record["machine"]["load"] = 2.0
    assert "estimate at" not in table.promise_table(record)
    assert "not left alone" in table.promise_note(record)


def test_without_an_estimate_there_is_no_such_column(record):
    record["yardsticks"]["fma_all_gflops"] = 300.0
    assert "estimate at" not in table.promise_table(record)
    assert "reads only 40 GB/s" in table.promise_note(record)


def test_bytes_come_with_the_time_that_moving_them_takes(record):
    # 80 MB at 40 GB/s
    assert table.counts_told({"bytes_least": 80_000_000}, record) == (
        "bytes_least 80,000,000 (>= 2.00 ms)"
    )


def test_a_count_that_nobody_counted_says_why(record):
    assert table.counts_told(
        {"pairs": "n/a", "lanes": "n/a", "points": 7, "none": None}, record
    ) == ("points 7; pairs and lanes n/a")


def test_the_report_warns_first_of_a_busy_machine(record):
    record["machine"]["load"] = 2.0
    assert table.report(record).startswith("WARNING: the load average was 2.00")


def test_the_marked_part_is_replaced_and_nothing_else(record):
    part = table.readme_part(record, "x.json")
    before = f"top\n{table.OPEN}\nold \\1\n{table.CLOSE}\nend\n"
    assert table.replaced(before, part, "README.md") == f"top\n{part}\nend\n"
    assert table.replaced(table.replaced(before, part, "r"), part, "r") == f"top\n{part}\nend\n"


@pytest.mark.parametrize("text", ["", f"{table.OPEN}{table.CLOSE}" * 2])
def test_a_readme_without_the_marks_is_left_alone(text):
    with pytest.raises(GSTalkerError, match="needs the marks"):
        table.replaced(text, "part", "README.md")


def test_nothing_is_promised_of_other_sizes(record):
    assert table.promises(record) == ["raster_forward_ms", "static_it_per_s"]
    record["results"]["raster_forward_ms"]["counts"]["gaussians"] = 10_000
    record["results"]["static_it_per_s"]["counts"]["side"] = 288
    assert table.promises(record) == []
    assert "required" not in table.report(record)


def test_a_file_of_another_part_is_no_table_for_the_readme(record):
    other = copy.deepcopy(record)
    other["results"] = {"train_resident_mib": other["results"]["train_resident_mib"]}
    with pytest.raises(GSTalkerError, match="not left by"):
        table.readme_part(other, "memory.json")
