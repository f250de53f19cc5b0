"""What the parts count, draw and learn, by hand-worked cases; nothing here is timed."""

import sys

import numpy as np
import pytest
import torch
from benchmarks.harness import Bench
from benchmarks.scenes import Scene, head_scene, make_scene, resampled, scaled

from benchmarks import (
    captures,
    encode,
    heads,
    levers,
    loss,
    memory,
    plot,
    prepare,
    rasterize,
    render,
    step,
    stream,
)
from gstalker import process
from gstalker.encode.frequency import Frequency
from gstalker.encode.hashgrid import HashTriPlane
from gstalker.errors import GSTalkerError
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.types import Camera


def test_table_reads_are_corners_of_every_grid():
    encoder = HashTriPlane(levels=5, features_per_level=2)
    # 7 points, 3 planes x 5 levels, 4 corners, 2 features
    assert encode.counts_of(encoder, 7) == {
        "points": 7,
        "reads": 7 * 15 * 4 * 2,
        "bytes_least": 7 * (3 + 15 * 2) * 4,
    }
    assert "Frequency has no grids" in str(encode.counts_of(Frequency(), 7)["reads"])


def test_heads_side_by_side_are_different_ones_and_their_counts_are_summed():
    first, second = (make_scene(9, 16, seed=n).splats.means for n in range(2))
    assert not torch.equal(first, second)
    each = {"gaussians": 9, "side": 16, "pairs": 5, "lanes": "n/a: no"}
    wanted = {"gaussians": 18, "side": 16, "pairs": 12, "lanes": "n/a: no"}
    assert heads.summed([each, each | {"pairs": 7}]) == wanted


def test_a_lever_is_told_by_what_it_adds_to_a_frame():
    seconds = iter(np.arange(1e4))  # every look at this clock finds it a second further on
    bench = Bench(seconds=0, clock=lambda: float(next(seconds)))
    lever = levers.Lever("a part", lambda: None, {"slowly": lambda: next(seconds)}, frames=4)
    levers.compare(bench, "part", lever)
    assert [result.value for result in bench.results] == [1000.0, 2000.0]
    assert bench.results[1].note == "+250.00 ms a frame"


def test_bytes_of_a_loss_are_maps_read_and_written():
    # 10 x 10 pixels of 3 channels of 4 bytes: 1,200
    assert loss.counts_of(10) == {"side": 10, "bytes_least": 3600, "bytes_two_sweeps": 13_200}


def test_a_rasterizer_that_counts_is_asked():
    class Counting:
        def counts(self, splats, camera):
            return {"gaussians": len(splats), "pairs": 5, "lanes": 80}

    scene = Scene("key", "title", *head_scene(9, 16))
    found = rasterize.counts_of(Counting(), scene)
    assert found == {
        "gaussians": 9,
        "pixels": 256,
        "side": 16,
        "bytes_least": 4 * (9 * (3 + 3 + 4 + 1 + 3) + 256 * (3 + 1)),
        "pairs": 5,
        "lanes": 80,
    }
    assert rasterize.counts_of(object(), scene)["lanes"] == "n/a: object does not count"


def test_a_larger_picture_shows_the_same():
    Ks = torch.tensor([[[100.0, 0, 30], [0, 100, 20], [0, 0, 1]]])
    large = scaled(Camera(torch.eye(4)[None], Ks, 60, 40), 120)
    assert (large.width, large.height) == (120, 80)
    assert large.Ks.tolist() == [[[200, 0, 60], [0, 200, 40], [0, 0, 1]]]


def test_resampling_keeps_the_covered_area():
    splats, _ = head_scene(50, 16)
    for count in (20, 50, 130):
        made = resampled(splats, count)
        assert len(made) == count
        ratio = (made.scales**2).sum() / (splats.scales**2).sum()
        # exactly 1 on average over rows; a few rows of a log-normal size leave some noise
        assert ratio == pytest.approx(1, rel=0.5)
    same = resampled(splats, 50)
    assert torch.equal(same.means.sort(0)[0], splats.means.sort(0)[0])


def test_more_gaussians_are_copies_moved_by_less_than_a_few_deviations():
    splats, _ = head_scene(10, 16)
    made = resampled(splats, 30)
    gaps = (made.means[:, None] - splats.means).norm(dim=2).min(1)[0]
    assert (gaps[:10] == 0).all()
    assert (gaps[10:] > 0).all()
    assert gaps.max() < 4 * splats.scales.max()
    assert torch.equal(made.means, resampled(splats, 30).means)


@pytest.mark.parametrize("count", [4, 10, 25])
def test_a_cloud_gets_exactly_the_rows_asked_for(count):
    cloud = GaussianCloud.from_splats(head_scene(10, 16)[0])
    made = step.exactly(cloud, count)
    assert len(made) == count
    kept = min(count, 10)
    assert torch.equal(made.means[:kept], cloud.means[:kept])
    assert (made.means[10:, None] != cloud.means).all()


def test_rates_of_steps_are_of_the_median_and_of_all():
    # twenty slow first steps, then five a second, with one pause of four seconds
    stamps = [10.0 * k for k in range(20)]
    stamps += [200 + 0.2 * k for k in range(15)] + [206.8 + 0.2 * k for k in range(15)]
    median, whole = step.rates_of("static", "title", stamps, {})
    assert (median.key, median.value) == ("static_it_per_s", pytest.approx(5.0))
    assert whole.key == "static_total_it_per_s"
    assert whole.value == pytest.approx(29 / 9.6)


def test_the_first_pictures_do_not_count():
    # six slow ones, then twenty-four of which two come at once every two seconds
    now = iter([*range(0, 60, 10), *(52 + k // 2 * 2 for k in range(24))])
    frames = iter([np.zeros((2, 2, 3), np.uint8)] * 30)
    assert render.frame_times(frames, lambda: next(now)) == [1, 1]


def test_streamed_pictures_are_timed_by_tens():
    gaps = [9.0] * 5 + [1.0, 3.0] * 10 + [7.0]
    assert stream.over_stretches(gaps) == [2.0, 2.0]
    assert stream.over_stretches([4.0, 2.0]) == [2.0]


def test_test_frames_are_streamed_take_by_take(tiny_capture):
    stretches = stream.stretches_of(tiny_capture)
    assert np.array_equal(np.concatenate(stretches), tiny_capture.split()[1])
    for ids in stretches:
        assert (np.diff(ids) == 1).all()
        assert tiny_capture.segment_of(ids[0]) == tiny_capture.segment_of(ids[-1])


def test_few_pictures_are_one_stretch():
    now = iter([0, 1, 2, 5])
    frames = iter([np.zeros((2, 2, 3), np.uint8)] * 4)
    assert render.frame_times(frames, lambda: next(now)) == [3]


def test_pictures_that_are_not_finished_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        render.frame_times(iter([np.zeros((2, 2, 3))] * 9), lambda: 0.0)


def test_preparing_is_told_in_all_and_by_frame():
    whole, frame = prepare.results_of("talk.mp4", 5.0, 250, 4, 2)
    assert (whole.value, whole.unit, frame.value, frame.unit) == (5.0, "s", 20.0, "ms")


def test_an_enlarged_capture_is_the_same_four_times_as_large(tiny_capture, tmp_path):
    large = captures.enlarged(tiny_capture, tmp_path / "large", 4)
    assert (large.width, large.height) == (4 * tiny_capture.width, 4 * tiny_capture.height)
    assert np.array_equal(large.frame(3)[1::4, 2::4], tiny_capture.frame(3))
    assert np.array_equal(large.mask(3)[1::4, 2::4], tiny_capture.mask(3))
    assert torch.equal(large.Ks[:2], tiny_capture.Ks[:2] * 4)
    assert np.array_equal(large.landmarks, tiny_capture.landmarks * 4)
    assert large.segments == tiny_capture.segments


def test_a_made_capture_is_made_once(tmp_path):
    first = captures.speaking_capture(tmp_path, seconds=1.0, size=32)
    made = (first.folder / "capture.json").stat().st_mtime_ns
    again = captures.speaking_capture(tmp_path, seconds=1.0, size=32)
    assert (again.folder / "capture.json").stat().st_mtime_ns == made


def test_memory_is_told_apart(tmp_path):
    status = tmp_path / "status"
    status.write_text("VmRSS:\t   300 kB\nRssAnon:\t   200 kB\nRssFile:\t   100 kB\n")
    assert dict(memory.parts_of(status)) == {"anonymous": 200, "file_backed": 100}
    assert dict(memory.parts_of(tmp_path / "gone")) == {}


def test_a_process_is_watched_to_its_end():
    hold = "import time; x = bytearray(b'x') * (64 << 20); time.sleep(0.3)"
    assert process.peak_memory_mib() > 150  # ours, with torch, is not handed on
    peak = memory.watch([sys.executable, "-c", hold])
    assert 64 < peak.anonymous <= peak.resident < 150
    assert 0 < peak.file_backed < 64


def test_a_command_that_fails_says_its_last_words():
    with pytest.raises(GSTalkerError, match="no such thing"):
        memory.watch([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_the_plot_has_a_line_for_every_size(record):
    entry = {"unit": "ms", "value": 2.0, "counts": {"gaussians": 10, "side": 64}}
    entry["title"] = "draw, ball, 10 Gaussians, 64 px"
    more = {**entry, "value": 3.0, "counts": {"gaussians": 20, "side": 64}}
    record["results"] = {
        "rasterize-auto-ellipsoid-10-64-forward_ms": entry,
        "rasterize-auto-ellipsoid-20-64-forward_ms": more,
        "rasterize-auto-ellipsoid-10-64-forward_backward_ms": entry,
    }
    assert plot.lines_of(record) == {
        ("auto, forward", 64): [(10, 2.0), (20, 3.0)],
        ("auto, forward + backward", 64): [(10, 2.0)],
    }
    assert plot.title_of(record) == "draw, ball\nAbacus 2, 2 threads, 180 GFLOP/s at most"
