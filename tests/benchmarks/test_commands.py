"""Every command runs to its end on something tiny, and says what is wrong in a sentence."""

import pytest
import torch
from benchmarks.__main__ import PARTS, main

from benchmarks import harness, yardstick
from gstalker.native import library

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels are not built")
TINY = ("--gaussians", "150", "--size", "64")


@pytest.fixture(autouse=True)
def quick_yardsticks(monkeypatch, sticks):
    """Yardsticks of another machine take no time."""
    monkeypatch.setattr(yardstick, "measure", lambda threads: sticks)


@pytest.fixture
def bench(tmp_path, capsys):
    """Runs a command; returns its record and what it printed."""

    def run(*words):
        path = tmp_path / "out.json"
        assert main([*words, "--seconds", "0", "--json", str(path)]) == 0, capsys.readouterr().err
        return harness.read_record(path), capsys.readouterr().out

    return run


def test_rasterize(bench, tmp_path):
    picture = tmp_path / "growth.png"
    words = ("--gaussians", "100", "200", "--size", "32", "--plot", str(picture))
    record, text = bench("rasterize", *words)
    assert len(record["results"]) == 4
    assert "ellipsoid, 200 Gaussians, 32 px, forward + backward" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_two_backends_stand_beside_each_other(bench):
    words = ("--backends", "native", "reference", "--gaussians", "20", "--size", "16")
    assert len(bench("rasterize", *words)[0]["results"]) == 4


def test_encode(bench):
    record, _ = bench("encode", "--points", "100")
    counts = record["results"]["encode-auto-100-forward_ms"]["counts"]
    reads, moved = 100 * 3 * 12 * 4, 100 * (3 + 3 * 12) * 4
    assert counts == {"points": 100, "reads": reads, "bytes_least": moved}


def test_loss(bench):
    assert set(bench("loss", "--size", "16", "--reference")[0]["results"]) == {
        "l1_dssim-16-ms",
        "reference_l1_dssim-16-ms",
    }


def test_threads_leaves_the_number_of_threads_as_it_was(bench):
    before = torch.get_num_threads()
    record, text = bench("threads", "--gaussians", "100", "--size", "32")
    assert torch.get_num_threads() == before
    assert len(record["results"]) == 5 * before
    assert "1.00 x as fast as one thread" in text
    assert record["results"]["loss-1-threads_ms"]["threads"] == 1


def test_heads(bench):
    record, _ = bench("heads", "--heads", "1", "2", "--gaussians", "100", "--size", "32")
    assert len(record["results"]) == 4


def test_step_and_its_exact_number_of_gaussians(bench, tmp_path):
    record, text = bench("step", *TINY, "--steps", "4", "--work", str(tmp_path))
    assert set(record["results"]) == {
        *("static_it_per_s", "static_total_it_per_s"),
        *("deform_it_per_s", "deform_total_it_per_s"),
    }
    counts = record["results"]["deform_it_per_s"]["counts"]
    assert counts["gaussians"] == 150
    assert 0 < counts["face_rows"] < 150
    assert "150 Gaussians" in text


def test_step_at_two_sizes_tells_them_apart(bench, tmp_path):
    words = ("--gaussians", "150", "--size", "64", "32", "--steps", "4")
    record, _ = bench("step", *words, "--work", str(tmp_path))
    sides = {name: told["counts"]["side"] for name, told in record["results"].items()}
    assert sides["deform_it_per_s"] == 64
    assert sides["deform_it_per_s-32"] == 32


@pytest.mark.slow
def test_card_keeps_its_promised_keys(bench, tmp_path):
    words = (*TINY, "--steps", "4", "--speech", "1", "--work", str(tmp_path))
    record, text = bench("card", *words)
    from benchmarks.card import TARGETS

    assert set(TARGETS) <= set(record["results"])
    assert "| what | measured |" not in text  # nothing is promised of 64 pixels


@pytest.mark.slow
def test_render_and_a_trained_head(bench, tmp_path):
    words = ("--speech", "1.2", "--work", str(tmp_path))
    record, _ = bench("render", *TINY, *words)
    assert {"drive_fps", "drive_mp4_fps", "drive_start_s"} == set(record["results"])
    (head,) = tmp_path.glob("runs-*/*")
    record, text = bench("rasterize", "--head", str(head), "--gaussians", "60", "--size", "32")
    assert "(150 Gaussians resampled with jitter, covered area kept) (filmed at 64 x 64 px)" in text
    assert {e["counts"]["gaussians"] for e in record["results"].values()} == {60}
    assert "drive_fps" in bench("render", "--head", str(head), *words)[0]["results"]
    record, text = bench("levers", "--head", str(head))
    assert record["results"]["levers-field-1_ms"]["note"].endswith(" ms a frame")
    assert "px, as shipped" in text
    assert "frames at once, one by one" in text
    record, _ = bench("stream", "--head", str(head))
    counts = record["results"]["stream_fps"]["counts"]
    assert counts["look_ahead_ms"] == 200
    assert {"streamed_mouth_corr", "whole_mouth_corr"} <= set(counts)
    assert record["results"]["stream_slowest_fps"]["value"] > 0


@pytest.mark.slow
def test_memory(bench, tmp_path):
    record, _ = bench("memory", *TINY, "--steps", "2", "--work", str(tmp_path))
    resident, anonymous = (
        record["results"][f"train_{name}_mib"]["value"] for name in ("resident", "anonymous")
    )
    assert 100 < anonymous <= resident


@pytest.mark.slow
def test_prepare(bench, shared, tmp_path, monkeypatch):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(shared / "data" / "weights"))
    video = shared / "data" / "video" / "may_5s_512.mp4"
    record, _ = bench(
        "prepare", "--video", str(video), "--work", str(tmp_path), "max_side=128", "audio=mel"
    )
    assert record["results"]["prepare_frame_ms"]["counts"]["pixels"] == 128 * 128


def test_a_run_is_compared_with_its_own_file(bench, tmp_path):
    bench("loss", "--size", "16")
    old = (tmp_path / "out.json").rename(tmp_path / "old.json")
    _, text = bench("loss", "--size", "16", "--compare", str(old))
    assert "Compared with old.json" in text


def test_a_foreign_file_is_refused_before_anything_is_measured(tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_text("{}")
    assert main(["loss", "--size", "16", "--compare", str(other)]) == 1
    assert "is not a file of" in capsys.readouterr().err


def test_table_prints_and_writes(tmp_path, capsys, record):
    from gstalker import files

    file, readme = tmp_path / "card.json", tmp_path / "README.md"
    files.write_json(file, record)
    readme.write_text("top\n<!-- speed -->\n<!-- /speed -->\nend\n")
    assert main(["table", str(file), "--write", str(readme)]) == 0
    printed = capsys.readouterr().out
    assert readme.read_text() == f"top\n{printed}end\n"


def test_every_part_says_what_may_be_chosen(capsys):
    for part in PARTS:
        with pytest.raises(SystemExit):
            main([part, "--help"])
        assert "--compare" in capsys.readouterr().out
