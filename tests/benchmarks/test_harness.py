"""Repeats, the least, the spread, and the file: with a clock that does as it is told."""

import json
import os

import pytest
from benchmarks.harness import Bench, Result, repeat

from benchmarks import harness
from gstalker import files
from gstalker.errors import GSTalkerError


class Part:
    """Something that takes a told number of seconds by its own clock."""

    def __init__(self, *seconds):
        self.seconds = seconds
        self.now = 0.0
        self.calls = 0

    def __call__(self):
        self.now += self.seconds[self.calls % len(self.seconds)]
        self.calls += 1

    def clock(self):
        return self.now


def test_the_warm_up_is_not_counted():
    part = Part(100.0, 100.0, 100.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert repeat(part, seconds=0, clock=part.clock) == [1.0] * 5


def test_it_repeats_until_its_seconds_are_over():
    part = Part(1.0)
    assert len(repeat(part, seconds=8.0, warm_up=0, clock=part.clock)) == 8


def test_it_repeats_five_times_however_long_that_takes():
    part = Part(60.0)
    assert len(repeat(part, seconds=1.0, warm_up=0, clock=part.clock)) == 5


def test_a_time_is_the_least_with_median_and_quartiles_in_milliseconds():
    part = Part(0.004, 0.001, 0.003, 0.002, 0.005)
    bench = Bench(seconds=0, clock=part.clock)
    # after a warm-up of three the calls take 2, 5, 4, 1 and 3 ms
    result = bench.time("key", "title", part)
    told = (result.value, result.least, result.median, result.spread)
    assert told == pytest.approx((1.0, 1.0, 3.0, 2.0))
    assert (result.unit, result.repeats) == ("ms", 5)
    assert bench.results == [result]


def test_a_rate_is_that_of_the_median_step():
    result = harness.rate_result("key", "title", "it/s", [0.1, 0.2, 0.4, 0.5, 1.0])
    assert (result.value, result.least, result.median) == pytest.approx((2.5, 10.0, 2.5))
    assert result.spread == pytest.approx(1 / 0.2 - 1 / 0.5)
    assert result.time_ms == pytest.approx(400.0)


@pytest.mark.parametrize(
    ("unit", "value", "wanted"),
    [("ms", 3.0, 3.0), ("s", 3.0, 3000.0), ("min", 3.0, 180_000.0), ("MiB", 3.0, None)],
)
def test_every_unit_but_memory_is_a_time(unit, value, wanted):
    assert Result("key", "title", unit, value).time_ms == wanted


def test_a_key_is_given_once():
    bench = Bench()
    bench.add(Result("key", "title", "ms", 1.0))
    with pytest.raises(ValueError, match="'key' again"):
        bench.add(Result("key", "other", "ms", 1.0))


def test_a_record_tells_the_room_of_every_time(record):
    rooms = {key: entry.get("room_mflop") for key, entry in record["results"].items()}
    # 4 ms and 25 ms at 180 GFLOP/s; memory has none
    assert rooms == {
        "raster_forward_ms": 720.0,
        "static_it_per_s": 4500.0,
        "train_resident_mib": None,
    }
    read = {key: entry.get("room_mb") for key, entry in record["results"].items()}
    # the same times at 40 GB/s
    assert read == {
        "raster_forward_ms": 160.0,
        "static_it_per_s": 1000.0,
        "train_resident_mib": None,
    }


def test_a_record_survives_its_file(record, tmp_path):
    path = tmp_path / "new" / "card.json"
    files.write_json(path, record)
    assert harness.read_record(path) == record == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"what": "something else"}', "is not a file of"),
        ("[1, 2]", "is not a file of"),
        ("no JSON", "cannot be read"),
        ('{"what": "gstalker benchmarks", "version": 99}', "version 99"),
    ],
)
def test_another_file_is_refused_in_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(GSTalkerError, match=sentence):
        harness.read_record(path)


def test_a_busy_machine_is_warned_of(record):
    assert harness.warnings_of(record) == []
    record["machine"]["load"] = 1.5
    assert "load average was 1.50" in harness.warnings_of(record)[0]


def test_what_others_took_counts_and_not_the_load_that_was_our_own(record):
    record["machine"] |= {"load": 1.5, "others": 0.01}
    assert harness.warnings_of(record) == []
    record["machine"]["others"] = 0.12
    assert "other programs took 12.0%" in harness.warnings_of(record)[0]


def test_a_host_that_took_processor_time_is_warned_of(record):
    record["machine"]["stolen"] = 0.034
    assert "took 3.4%" in harness.warnings_of(record)[0]


def test_the_clocks_of_all_processors_are_read_where_linux_tells_them(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 5 20 1000 7 2 1 250 0 0\ncpu0 5 0 10 500 0 0 0 125 0 0\n")
    second = os.sysconf("SC_CLK_TCK")
    clocks = harness.Ticks.now(stat)
    assert (clocks.busy, clocks.stolen) == (38 / second, 250 / second)  # neither idle nor waiting
    nothing = harness.Ticks.now(tmp_path / "none")
    assert (nothing.busy, nothing.stolen) == (None, 0.0)


def test_a_machine_that_changed_on_the_way_is_warned_of(record):
    record["yardsticks"]["drift"] = 0.25
    assert "differ by 25%" in harness.warnings_of(record)[0]


def test_this_machine_has_a_card():
    before = harness.Ticks(wall=100.0, ours=10.0, busy=40.0, stolen=1.0)
    after = harness.Ticks(wall=120.0, ours=18.0, busy=53.0, stolen=1.2468)
    told = harness.machine(0.123, before, after)
    assert (told["load"], told["stolen"]) == (0.12, 0.0123)
    assert told["others"] == 0.25  # 13 seconds were busy and 8 of them ours, of 20
    unknown = harness.machine(0.123, harness.Ticks(100.0, 10.0, None), after)
    assert unknown["others"] is None
    assert {"processor", "kernels", "threads", "packages", "date", "commit"} <= set(told)
