"""A table says what its files say: means, spreads, ranks, gaps and marks, worked out by hand."""

from __future__ import annotations

import math
import os
import shutil
import statistics

import numpy as np
import pytest
from scipy import stats

from gstalker import cli, files, report
from gstalker.errors import ConfigError, GSTalkerError, RunError
from gstalker.report.naming import names
from gstalker.report.table import _letter

from .conftest import BLOCK, entry, na, read_csv, write_scores, write_sweep

NO_TORSO = ["method.deform.torso=null"]


def _cells(paths, **options):
    return read_csv(report.tabulate(paths, "csv", **options))


def _number(text):
    return float(text) if text else None


@pytest.fixture
def sweep(make_run, tmp_path):
    """Two rows, two captures, two seeds; one trial of the second row diverged."""
    psnr = {
        ("full", "may", 0): 30.0,
        ("full", "may", 1): 31.0,
        ("full", "lieu", 0): 20.0,
        ("full", "lieu", 1): 24.0,
        ("bare", "may", 0): 28.0,
        ("bare", "may", 1): 29.0,
        ("bare", "lieu", 0): 19.0,
    }
    trials = []
    for row in ("full", "bare"):
        for capture in ("may", "lieu"):
            for seed in (0, 1):
                value = psnr.get((row, capture, seed))
                ours = None if value is None else {"psnr_full": entry(value)}
                run = make_run(f"{row}-{capture}-{seed}", ours, capture=capture, seed=seed)
                trials.append((row, capture, seed, run))
    status = trials[-1][3] / "status.json"
    told = '{"state": "diverged", "stage": "deform", "step": 814, "term": "loss", "reason": "nan"}'
    status.write_text(told)
    relative = [(r, c, s, os.path.relpath(f, tmp_path / "runs/sweeps/x")) for r, c, s, f in trials]
    file = tmp_path / "runs" / "sweeps" / "x" / "sweep.json"
    return write_sweep(file, ["full", "bare"], relative, title="Ablation", columns=["psnr_full"])


def test_seeds_are_averaged_within_captures_and_captures_with_equal_weight(sweep):
    cells = _cells([sweep])
    full = cells["full", "psnr_full"]
    assert float(full["mean"]) == pytest.approx((30.5 + 22.0) / 2)
    assert (full["captures"], full["runs"], full["frames"]) == ("2", "4", "400")
    # pooled: squares 0.5 + 8 over 1 + 1 degrees of freedom
    assert float(full["spread"]) == pytest.approx(math.sqrt(8.5 / 2))
    assert full["spread_over"] == "seeds"
    bare = cells["bare", "psnr_full"]
    assert float(bare["mean"]) == pytest.approx((28.5 + 19.0) / 2)


def test_a_diverged_trial_is_named_with_its_reason(sweep):
    bare = _cells([sweep])["bare", "psnr_full"]
    assert bare["runs"] == "3"
    assert bare["gaps"] == "lieu, seed 1: diverged, deform, step 814: loss nan"
    assert "3 of 4 runs; missing: lieu, seed 1: diverged" in report.tabulate([sweep])


def test_the_experiment_names_title_and_columns(sweep, tmp_path):
    text = report.tabulate([sweep])
    assert text.startswith("**Ablation**")
    assert "PSNR (dB)" in text
    assert "training" not in text.splitlines()[2]
    file = tmp_path / "x.yaml"
    file.write_text("rows: {full: {}, bare: {}}\n")
    assert report.tabulate([file], runs=tmp_path / "runs") == text
    assert report.tabulate([sweep.parent]) == text


def test_an_experiment_that_never_ran_says_what_to_type(tmp_path):
    file = tmp_path / "y.yaml"
    file.write_text("rows: {full: {}}\n")
    with pytest.raises(RunError, match="Run: gstalker sweep"):
        report.tabulate([file])
    with pytest.raises(ConfigError, match="no experiment at"):
        report.tabulate([tmp_path / "z.yaml"])


def test_a_trial_that_was_never_started_is_a_gap(make_run, tmp_path):
    run = make_run("a", {"psnr_full": entry(30.0)})
    trials = [("full", "may", 0, run), ("bare", "captures/may", 0, "nowhere")]
    text = report.tabulate([write_sweep(tmp_path / "sweep.json", ["full", "bare"], trials)])
    assert "| bare | trained here | 0 runs |" in text
    assert "n/a: may, seed 0: not started" in text


def test_runs_of_one_config_are_one_row_named_by_what_sets_it_apart(make_run):
    ours = {"psnr_full": entry(30.0)}
    folders = [
        make_run("a", ours, seed=0),
        make_run("b", {"psnr_full": entry(32.0)}, seed=1),
        make_run("c", ours, overrides=NO_TORSO),
    ]
    cells = _cells(folders)
    assert {name for name, _ in cells} == {"gstalker", "gstalker deform.torso=null"}
    both = cells["gstalker", "psnr_full"]
    assert float(both["mean"]) == 31.0
    assert float(both["spread"]) == pytest.approx(statistics.stdev([30.0, 32.0]))
    assert _cells([folders[0].parent]) == cells


def test_a_row_is_named_by_what_the_usual_row_of_its_method_has_otherwise():
    full = {"method.name": "gstalker", "stages": None, "seen.deform": 1}
    full |= {f"method.{stage}.steps": 900 for stage in ("static", "deform")}
    torso = {"method.deform.torso.hidden": 8, "method.deform.torso.gain": 1.0}
    without = {**full, "method.deform.torso": None}
    rows = [
        {**full, **torso, "stages": ["deform"]},
        {**full, **torso},
        without,
        {**full, **torso, "method.static.steps": 50},
        {**full, **torso, "method.deform.torso.hidden": 4, "method.deform.smooth": True},
    ]
    assert names(rows) == [
        'gstalker stages=["deform"]',
        "gstalker",
        "gstalker torso=null",
        "gstalker static.steps=50",
        "gstalker hidden=4 smooth=true",
    ]
    assert names([without, rows[1], {**full, "method.name": "ad_nerf"}]) == [
        "gstalker",
        "gstalker torso on",
        "ad_nerf",
    ]
    assert names([full, {**full, "rank": "a"}, full | {"method.name": "?"}])[1] == "gstalker rank=a"
    assert names([{**full, "rank": "a"}, full])[1] == "gstalker rank absent"


def test_a_row_that_differs_in_much_is_named_shortly_and_numbered():
    full = {"method.name": "er_nerf", **dict.fromkeys("abcdef", 0)}
    rows = [full, {**full, **dict.fromkeys("abcdf", 1)}, {**full, **dict.fromkeys("abcde", 1)}]
    first, *more = names([full, full | {"e": 2}, full | {"f": 2}, *rows[1:]])
    assert first == "er_nerf"
    assert more[2:] == ["er_nerf a=1 b=1 c=1 and 2 more (1)", "er_nerf a=1 b=1 c=1 and 2 more (2)"]


def test_a_row_says_in_one_way_how_long_it_is():
    base = {"method.name": "ad_nerf"}
    rows = [{**base, "schedule": 1.0}, {**base, "schedule": 3.0}, {**base, "minutes": 2.0}]
    assert names(rows) == ["ad_nerf", "ad_nerf schedule=3.0", "ad_nerf minutes=2.0"]


def test_every_run_that_is_there_is_named_beneath_the_table_with_scores_or_not(make_run):
    folders = [make_run("a", {"psnr_full": entry(30.0)}), make_run("b", overrides=NO_TORSO)]
    text = report.tabulate(folders, "csv")
    for name, folder in zip(("gstalker", "gstalker deform.torso=null"), folders, strict=True):
        assert f"# {name}, trained here: {folder};" in text


def test_a_single_run_shows_the_error_over_takes_and_says_so(make_run):
    text = report.tabulate([make_run("a", {"psnr_full": entry(30.0, 0.25)})])
    assert "30.00 ± 0.25" in text
    assert "takes: standard error over takes of one run" in text


def test_several_captures_of_one_seed_spread_over_captures(make_run):
    runs = [
        make_run("a", {"psnr_full": entry(30.0)}),
        make_run("b", {"psnr_full": entry(33.0)}, capture="lieu"),
    ]
    cell = _cells(runs)["gstalker", "psnr_full"]
    assert (float(cell["spread"]), cell["spread_over"]) == (
        pytest.approx(statistics.stdev([30.0, 33.0])),
        "captures",
    )


# ---------------------------------------------------------------------- ranks and marks


@pytest.fixture
def three(make_run):
    """Three rows; more is better, less is better, and best in the middle."""
    figures = [(30.0, 0.04, -0.5), (31.0, 0.05, 2.0), (29.0, 0.03, 1.0)]
    keys = ("psnr_full", "lpips_alex", "mouth_lag")
    return [
        make_run(
            f"run{k}",
            {key: entry(value) for key, value in zip(keys, values, strict=True)},
            overrides=[f"method.deform.steps={1000 + k}"],
        )
        for k, values in enumerate(figures)
    ]


def test_best_and_second_follow_each_metrics_own_direction(three):
    cells = list(_cells(three, metrics=["psnr_full", "lpips_alex", "mouth_lag"]).values())
    ranks = [[cell["rank"] for cell in cells[k::3]] for k in range(3)]
    assert ranks == [["2", "1", ""], ["2", "", "1"], ["1", "", "2"]]


def test_equals_share_a_place_and_nothing_is_best_alone(make_run, three):
    tied = make_run("tied", {"psnr_full": entry(31.0)}, overrides=["method.deform.steps=9"])
    cells = _cells([*three, tied], metrics=["psnr_full"])
    assert [cell["rank"] for cell in cells.values()] == ["2", "1", "", "1"]
    alone = _cells([tied], metrics=["psnr_full"])
    assert [cell["rank"] for cell in alone.values()] == [""]


def test_another_protocol_in_the_column_is_marked_and_not_ranked(make_run, three):
    other = {"fingerprint": "p2", "landmarks": "fan", "lpips": True}
    keys = ["method.deform.steps=7"]
    foreign = make_run("other", {"psnr_full": entry(99.0)}, overrides=keys, protocol=other)
    cell = _cells([*three, foreign], metrics=["psnr_full"])["gstalker deform.steps=7", "psnr_full"]
    assert (cell["rank"], cell["marks"]) == ("", "a")
    text = report.tabulate([*three, foreign], metrics=["psnr_full"])
    assert "- a: another protocol than most rows; not ranked" in text
    assert "differs: landmarks: fan, not mediapipe." in text


def test_a_mean_over_other_captures_is_not_ranked(make_run, three):
    keys = ["method.deform.steps=7"]
    elsewhere = make_run("b", {"psnr_full": entry(99.0)}, capture="lieu", overrides=keys)
    text = report.tabulate([*three, elsewhere], metrics=["psnr_full"])
    assert "99.00 ± 0.10<sup>a</sup>" in text
    assert "over other captures than most rows" in text


def test_the_commonest_protocol_is_the_one_that_is_ranked(make_run, three):
    keys = ["method.deform.steps=7"]
    first = make_run(
        "b", {"psnr_full": entry(99.0)}, protocol={"fingerprint": "p2"}, overrides=keys
    )
    cells = list(_cells([first, *three], metrics=["psnr_full"]).values())
    assert [cell["rank"] for cell in cells] == ["", "2", "1", ""]


def test_seeds_of_two_protocols_have_no_mean(make_run):
    runs = [
        make_run("a", {"psnr_full": entry(30.0)}),
        make_run("b", {"psnr_full": entry(31.0)}, seed=1, protocol={"fingerprint": "p2"}),
    ]
    cell = _cells(runs)["gstalker", "psnr_full"]
    assert cell["mean"] == ""
    assert "scored by different protocols; evaluate again" in cell["gaps"]


@pytest.mark.parametrize(
    ("own", "other"), [('"cores": 2', '"cores": 64'), ("Abacus 2", "Abacus 3")]
)
def test_times_of_two_machines_are_not_ranked(make_run, own, other):
    runs = [make_run("a", {"psnr_full": entry(30.0)})]
    runs.append(make_run("b", {"psnr_full": entry(30.0)}, overrides=NO_TORSO))
    provenance = runs[1] / "provenance.json"
    provenance.write_text(provenance.read_text().replace(own, other))
    cells = _cells(runs, metrics=["train_minutes"])
    assert [cell["mean"] for cell in cells.values()] == ["14.5", "14.5"]
    assert [cell["marks"] for cell in cells.values()] == ["", "a"]


def test_a_figure_that_cannot_be_had_is_a_gap_with_its_reason(make_run):
    ours = {"psnr_full": entry(30.0), "lpips_alex": na("no weights"), "sync_c": entry(math.pi)}
    ours["mouth_corr"] = {"mean": None, "stderr": None, "n": 0}
    cells = _cells([make_run("a", ours)], metrics=["lpips_alex", "mouth_corr", "ms_ssim_full"])
    gaps = [cell["gaps"] for cell in cells.values()]
    where = "may, seed 0"
    assert gaps == [f"{where}: no weights", f"{where}: not scored", f"{where}: not scored"]
    assert {cell["mean"] for cell in cells.values()} == {""}


def test_a_scored_video_stands_beside_runs_under_its_name(make_run, tmp_path):
    run = make_run("a", {"psnr_full": entry(30.0)})
    theirs = tmp_path / "theirs"
    write_scores(theirs / "scores.json", {"ER-NeRF (official)": {"psnr_full": entry(29.0)}})
    text = report.tabulate([run, theirs], metrics=["psnr_full"])
    assert "| ER-NeRF (official) | scored here | 1 capture, 1 run, 100 frames |" in text
    cell = _cells([run, theirs], metrics=["psnr_full"])["ER-NeRF (official)", "psnr_full"]
    assert cell["rank"] == "2"


def test_nothing_is_counted_twice(make_run, tmp_path):
    run = make_run("a", {"psnr_full": entry(30.0)})
    assert _cells([run, run, run.parent]) == _cells([run])
    copy = shutil.copytree(run, tmp_path / "copy")
    with pytest.raises(ConfigError, match="are both 'gstalker' on may, seed 0"):
        report.tabulate([run, copy])
    theirs = [
        write_scores(tmp_path / f"{k}_scores.json", {"X": {"psnr_full": entry(29.0)}})
        for k in range(2)
    ]
    with pytest.raises(ConfigError, match="are both 'X' on may.\n"):
        report.tabulate(theirs)


def test_videos_scored_beside_each_other_are_found_in_their_folder(tmp_path):
    for name in ("ours", "theirs"):  # somebody's name for it, not a run of ours
        rows = {name: {"psnr_full": entry(29.0)}}
        write_scores(tmp_path / f"{name}_scores.json", rows, scored={"as": name})
    assert [name for name, _ in _cells([tmp_path])] == ["ours", "theirs"]


def test_a_caution_of_the_scores_stands_beneath_the_table(make_run):
    protocol = {"fingerprint": "p1", "cautions": ["theirs: 40% of the head is filmed"]}
    run = make_run("a", {"psnr_full": entry(30.0)}, protocol=protocol)
    assert "Caution: theirs: 40% of the head is filmed." in report.tabulate([run])


def test_cautions_name_the_rows_that_are_shown_and_say_alike_things_once(make_run):
    def run(seed, shaking, still):
        told = [f"ours: the head shakes {shaking} times as much", f"static: shakes {still} times"]
        protocol = {"fingerprint": "p1", "cautions": [*told, "no sound in 3 frames"]}
        controls = {"static": {"psnr_full": entry(20.0)}}
        figures = {"psnr_full": entry(30.0)}
        return make_run(f"seed{seed}", figures, seed=seed, controls=controls, protocol=protocol)

    runs = [run(0, "0.36", "0.10"), run(1, "0.3", "0.10")]
    told = [line for line in report.tabulate(runs).splitlines() if "Caution" in line]
    assert [line.lstrip("- ") for line in told] == [
        "Caution: gstalker: the head shakes 0.3 to 0.36 times as much.",
        "Caution: no sound in 3 frames.",
    ]
    told = report.tabulate(runs, controls=True)
    assert told.count("shakes 0.10 times.") == 1
    assert "static: shakes" not in told


def test_controls_are_rows_of_the_same_files(make_run):
    controls = {"static": {"psnr_full": entry(20.0)}, "mean_frame": {"psnr_full": entry(10.0)}}
    run = make_run("a", {"psnr_full": entry(30.0)}, controls=controls)
    cells = _cells([run], controls=True, metrics=["psnr_full"])
    means = {name: _number(cell["mean"]) for (name, _), cell in cells.items()}
    assert means == {
        "gstalker": 30.0,
        "gstalker: static head, no sound": 20.0,
        "gstalker: shuffled sound": None,
        "gstalker: mean frame": 10.0,
    }


# ---------------------------------------------------------------------- reported


def test_a_reported_figure_is_always_marked_and_never_ranked_among_ours(make_run):
    run = make_run("a", {"psnr_full": entry(10.0), "lmd_centred_mediapipe": entry(1.0)})
    cells = _cells([run], reported=["pd-gs:GSTalker"])
    psnr, lmd = cells["GSTalker", "psnr_full"], cells["GSTalker", "lmd_centred_mediapipe"]
    assert (float(psnr["mean"]), psnr["rank"], psnr["kind"]) == (33.07, "", "reported")
    assert "†" in psnr["marks"]
    assert float(lmd["mean"]) == 2.83
    assert "33.07<sup>†</sup>" in report.tabulate([run], reported=["pd-gs:GSTalker"])


def test_what_papers_disagree_on_is_a_range_and_copies_do_not_count(make_run):
    cell = _cells([], reported=["AD-NeRF"])["AD-NeRF", "psnr"]
    # of the notes' comparison, with SyncTalk's own 26.7291 that FG-3DGS copies as 26.73
    assert (float(cell["mean"]), float(cell["high"])) == (26.7291, 31.87)
    assert cell["runs"] == "5"
    assert "26.73–31.87" in report.tabulate([], reported=["AD-NeRF"])


def test_figures_of_one_paper_may_be_ranked_with_each_other():
    cells = _cells([], reported=["synctalk"], metrics=["psnr"])
    best = [name for (name, _), cell in cells.items() if cell["rank"] == "1"]
    assert best == ["SyncTalk + Portrait"]


def test_other_settings_of_papers_are_asked_for_and_told_apart():
    cells = _cells([], reported=["er-nerf"], settings=["cross-driven"])
    assert ("ER-NeRF (cross-driven, audio A)", "sync_c") in cells
    with pytest.raises(ConfigError, match="no setting 'dreamt'"):
        report.tabulate([], reported=["er-nerf"], settings=["dreamt"])
    with pytest.raises(ConfigError, match="nothing of that is user study"):
        report.tabulate([], reported=["synctalk"], settings=["user study"])


# ---------------------------------------------------------------------- significance


def _frames(folder, rows, block):
    count = len(block)
    values = {f"{name}/psnr_full": v for name, v in rows.items()}
    np.savez(folder / "scores_frames.npz", ids=np.arange(count), block=block, **values)


def test_seeds_are_held_against_each_other_as_scipy_does(make_run):
    a, b = [30.0, 31.0, 30.4, 30.2], [28.0, 29.5, 28.8, 30.1]
    runs = [make_run(f"a{k}", {"psnr_full": entry(v)}, seed=k) for k, v in enumerate(a)]
    for k, value in enumerate(b):
        keys = {"seed": k, "overrides": NO_TORSO}
        runs.append(make_run(f"b{k}", {"psnr_full": entry(value)}, **keys))
    cells = _cells(runs, over="seeds", metrics=["psnr_full"])
    told = cells["gstalker deform.torso=null", "psnr_full"]
    assert float(told["difference"]) == pytest.approx(statistics.mean(b) - statistics.mean(a))
    welch = stats.ttest_ind(b, a, equal_var=False)
    assert float(told["p_holm"]) == pytest.approx(welch.pvalue)
    assert told["difference_n"] == "4"


def test_frames_are_paired_and_whole_takes_resampled(make_run):
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(40), BLOCK)
    common = rng.normal(30, 2, len(block))
    # what a take has in common is what differs: 25 frames of it are one opinion, not 25
    shift = np.repeat(rng.normal(0.5, 1.0, 40), BLOCK)
    runs = []
    for name, values, keys in (("a", common, []), ("b", common + shift, NO_TORSO)):
        ours = {"psnr_full": entry(float(values.mean()), n=len(block))}
        runs.append(make_run(name, ours, overrides=keys))
        _frames(runs[-1], {"ours": values}, block)
    told = list(_cells(runs, over="frames", metrics=["psnr_full"]).values())[1]
    by_take = shift[::BLOCK]
    assert float(told["difference"]) == pytest.approx(by_take.mean())
    assert told["difference_n"] == "40"
    error = by_take.std() / math.sqrt(40)
    # 2000 resamples know their deviation to 1.6 %, so 6 % is nearly four of those
    assert float(told["difference_stderr"]) == pytest.approx(error, rel=0.06)
    paired = stats.ttest_1samp(by_take, 0.0).pvalue
    assert float(told["p_holm"]) == pytest.approx(paired, rel=0.35)


def test_pvalues_are_corrected_for_the_number_of_rows(make_run):
    rng = np.random.default_rng(1)
    values = {
        k: [30 + shift + x for x in rng.normal(0, 0.5, 4)] for k, shift in enumerate((0, 1, 2))
    }
    runs = [
        make_run(
            f"r{k}{seed}",
            {"psnr_full": entry(v)},
            seed=seed,
            overrides=[f"method.deform.steps={k + 1}"],
        )
        for k, row in values.items()
        for seed, v in enumerate(row)
    ]
    cells = list(_cells(runs, over="seeds", metrics=["psnr_full"]).values())
    plain = [stats.ttest_ind(values[k], values[0], equal_var=False).pvalue for k in (1, 2)]
    least, most = sorted(plain)
    expected = sorted([2 * least, max(most, 2 * least)])
    assert sorted(float(c["p_holm"]) for c in cells[1:]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("over", "spoil", "reason"),
    [
        ("seeds", None, "fewer than two seeds on a capture"),
        ("frames", "absent", "there is no scores_frames.npz"),
        ("frames", "few", "only 4 takes or stretches"),
        ("frames", "other frames", "scored on different frames"),
        ("frames", "same", "no spread to hold the difference against"),
        ("frames", "pickled", "cannot be read"),
        ("frames", "not this metric", "psnr_full has no values per frame"),
    ],
)
def test_what_cannot_be_tested_says_why(make_run, over, spoil, reason):
    runs = [make_run("a", {"psnr_full": entry(30.0)})]
    runs.append(make_run("b", {"psnr_full": entry(30.5)}, overrides=NO_TORSO))
    blocks = 4 if spoil == "few" else 8
    block, rng = np.repeat(np.arange(blocks), BLOCK), np.random.default_rng(0)
    for run in [] if spoil == "absent" else runs:
        values = np.ones(len(block)) if spoil == "same" else rng.normal(30, 1, len(block))
        name = "theirs" if spoil == "not this metric" else "ours"
        _frames(run, {name: values}, block)
    if spoil == "other frames":
        _frames(runs[1], {"ours": np.ones(7)}, np.arange(7))
    if spoil == "pickled":
        np.savez(
            runs[1] / "scores_frames.npz", ids=np.array([{}]), **{"ours/psnr_full": np.ones(1)}
        )
    told = list(_cells(runs, over=over, metrics=["psnr_full"]).values())[1]
    assert reason in told["no_difference_because"]
    assert told["difference"] == ""
    if not spoil:
        assert f"n/a for PSNR, training: {reason}" in report.tabulate(runs, over=over)


def test_another_protocol_is_never_tested_against(make_run):
    runs = [make_run(f"a{k}", {"psnr_full": entry(30.0 + k)}, seed=k) for k in range(2)]
    other = {"fingerprint": "p2"}
    for k in range(2):
        keys = {"seed": k, "overrides": NO_TORSO, "protocol": other}
        runs.append(make_run(f"b{k}", {"psnr_full": entry(20.0 + k)}, **keys))
    told = list(_cells(runs, over="seeds", metrics=["psnr_full"]).values())[1]
    assert told["no_difference_because"] == "captures or protocols differ"


def test_rows_are_held_against_the_one_that_is_named(three):
    with pytest.raises(ConfigError, match="no row called 'nobody'"):
        report.tabulate(three, over="seeds", against="nobody")
    name = "gstalker deform.steps=1002"
    assert f"Differences from {name}" in report.tabulate(three, over="seeds", against=name).replace(
        "\\", ""
    )


# ---------------------------------------------------------------------- what may be typed


@pytest.mark.parametrize(
    ("paths", "options", "sentence"),
    [
        (["nowhere"], {}, "there is nothing at nowhere"),
        ([], {}, "nothing to tabulate"),
        (["."], {"form": "word"}, "no format 'word'"),
        (["."], {"against": "x"}, "only with --significance"),
    ],
)
def test_wrong_words_are_a_sentence(tmp_path, monkeypatch, paths, options, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GSTalkerError, match=sentence):
        report.tabulate(paths, **options)


def test_an_unknown_column_is_a_sentence_and_a_known_one_is_found_by_the_papers_name(three):
    with pytest.raises(ConfigError, match=r"figure called 'pnsr'.\n  There are: psnr_full"):
        report.tabulate(three, metrics=["pnsr"])
    assert list(_cells(three, metrics=["psnr"])) == list(_cells(three, metrics=["psnr_full"]))


def test_a_metric_is_found_without_its_detectors_name_and_no_other_with_it(make_run):
    ours = {name: entry(1.0) for name in ("lmd_x", "lmd_centred_x", "lmd_centred_iod_x")}
    run = make_run("a", ours)
    assert [name for _, name in _cells([run], metrics=["lmd_centred"])] == ["lmd_centred_x"]
    text = report.tabulate([run], metrics=["lmd_centred_iod"])
    assert "LMD by eyes x (eye distances) ↓" in text


def test_runs_without_scores_say_what_to_type(make_run, tmp_path):
    run = make_run("a")
    with pytest.raises(GSTalkerError, match=r"a: trained, not evaluated\).\n  Run: gstalker eval"):
        report.tabulate([run])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no runs"):
        report.tabulate([tmp_path / "empty"])


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"rows": {}}', '{"rows": 3}', '{"rows": {"ours": 1}}']
)
def test_a_damaged_file_is_a_sentence(make_run, text):
    run = make_run("a", {"psnr_full": entry(30.0)})
    (run / "scores.json").write_text(text)
    with pytest.raises(GSTalkerError, match=r"scores.json"):
        report.tabulate([run])


@pytest.mark.parametrize("name", ["provenance.json", "speed.json"])
@pytest.mark.parametrize("text", ["[1]", "null", '"x"'])
def test_a_damaged_file_beside_the_scores_is_a_sentence(make_run, name, text):
    run = make_run("a", {"psnr_full": entry(30.0)})
    (run / name).write_text(text)
    with pytest.raises(GSTalkerError, match=f"{name} is damaged"):
        report.tabulate([run])


@pytest.mark.parametrize("minutes", ["NaN", "-1", "1" + 400 * "0", "[]", "true", '"x"'])
def test_a_damaged_status_leaves_the_scores_and_says_why_the_cost_is_not_known(make_run, minutes):
    run = make_run("a", {"psnr_full": entry(30.0)})
    (run / "status.json").write_text(f'{{"state": "done", "static_minutes": {minutes}}}')
    text = report.tabulate([run], metrics=["psnr_full", "train_minutes"])
    assert "30.00" in text
    assert "status.json is damaged: static\\_minutes is" in text


@pytest.mark.parametrize("text", ["[1]", "null", "{", '{"state": 3}', '{"step": Infinity}'])
def test_a_run_without_scores_and_with_a_damaged_status_is_a_gap(make_run, text):
    good, bad = make_run("a", {"psnr_full": entry(30.0)}), make_run("b", seed=1)
    (bad / "status.json").write_text(text)
    assert "1 of 2 runs; missing: may, seed 1: unreadable: " in report.tabulate([good, bad])


@pytest.mark.parametrize("starts", [3, "x", [1], None])
def test_starts_that_are_none_are_a_sentence(make_run, starts):
    run = make_run("a", {"psnr_full": entry(30.0)})
    files.write_json(run / "provenance.json", {"starts": starts})
    with pytest.raises(GSTalkerError, match="provenance.json is damaged"):
        report.tabulate([run])


def test_which_figures_are_of_films_with_other_peoples_sound_is_said(sweep):
    assert "other people's sound" not in report.tabulate([sweep])
    told = files.read_json(sweep)
    told["trials"][0]["driven"] = {"english.wav": "driven/english.mp4"}
    files.write_json(sweep, told)
    assert "Films with other people's sound (1 in the runs' driven/)" in report.tabulate([sweep])


def protocol_of(ids="300-329", truth=0, **ours):
    """A protocol as runs write it, with the frames without a face of some rows."""
    return {
        "fingerprint": "p1",
        "frame_count": 30,
        "split": {"rule": "test", "ids": ids},
        "offset": int(ids.partition("-")[0]),
        "size": [512, 512],
        "region": {"full": "the whole frame", "mouth": "mouth_box around the true lips"},
        "mouth_box": [0.44, 0.31, 0.44, 0.375],
        "landmark_source": "mediapipe",
        "landmark_misses": {"truth": truth, **ours},
    }


def test_the_frames_of_every_capture_are_told(make_run):
    runs = []
    for capture, ids in (("may", "6818-7499"), ("lieu", "300-329")):
        told = protocol_of(ids, truth=2, ours=1)
        runs.append(make_run(capture, {"psnr_full": entry(30.0)}, capture=capture, protocol=told))
    text = report.tabulate(runs, "csv")
    assert "On may: Frames 6818-7499 (30, test split), offset 6818, 512 x 512" in text
    assert "On lieu: Frames 300-329 (30, test split), offset 300, 512 x 512" in text
    box = "mouth 0.44 0.31 0.44 0.375 eye distances around the true lips"
    assert f"regions: full the whole frame; {box}" in text


def test_frames_without_a_face_are_told_of_every_row_that_has_some(make_run, tmp_path):
    runs = {
        ("a", 0): make_run("a0", {"psnr_full": entry(30.0)}, protocol=protocol_of(truth=2, ours=1)),
        ("a", 1): make_run("a1", {"psnr_full": entry(30.0)}, protocol=protocol_of(truth=2, ours=4)),
        ("b", 0): make_run("b0", {"psnr_full": entry(30.0)}, protocol=protocol_of(truth=2, ours=0)),
    }

    def missed(*rows):
        trials = [(row, "may", seed, run) for (row, seed), run in runs.items() if row in rows]
        sweep = write_sweep(tmp_path / "s" / "sweep.json", rows, trials)
        text = report.tabulate([sweep], "csv")
        return text.partition("(frames without a face: ")[2].partition(")")[0]

    assert missed("a", "b") == "truth 2, a 1 to 4, all others 0"
    assert missed("a") == "truth 2, a 1 to 4"
    assert missed("b") == "truth 2, renderings 0"


def test_a_run_of_a_sweep_is_named_by_a_plain_path(sweep, tmp_path):
    assert f"{tmp_path}/runs/full-may-0," in report.tabulate([sweep], "csv")


@pytest.mark.parametrize(
    ("key", "value"),
    [("columns", 3), ("trials", [{}]), ("trials", [3]), ("rows", [3]), ("rows", 1)],
)
def test_a_damaged_sweep_is_a_sentence(sweep, key, value):
    files.write_json(sweep, {**files.read_json(sweep), key: value})
    with pytest.raises(RunError, match="sweep.json is damaged"):
        report.tabulate([sweep])


def test_a_seed_that_is_no_number_is_a_sentence(sweep):
    told = files.read_json(sweep)
    told["trials"][0]["seed"] = "x"
    files.write_json(sweep, told)
    with pytest.raises(RunError, match="sweep.json is damaged"):
        report.tabulate([sweep])


def test_a_config_that_holds_itself_is_a_sentence(make_run):
    run = make_run("a", {"psnr_full": entry(30.0)})
    (run / "config.yaml").write_text("&a {capture: x, seed: 1, method: *a}")
    with pytest.raises(RunError, match="is not a run's config"):
        report.tabulate([run])


def test_the_command_prints_the_table_or_writes_it(make_run, tmp_path, capsys):
    run = make_run("a", {"psnr_full": entry(30.0), "ssim_full": entry(0.9)})
    options = ["--reported", "pd-gs:GSTalker", "--metrics", "psnr_full,ssim_full"]
    assert cli.main(["table", str(run), *options]) == 0
    wanted = {"reported": ["pd-gs:GSTalker"], "metrics": ["psnr_full", "ssim_full"]}
    assert capsys.readouterr().out == report.tabulate([run], **wanted)
    file = tmp_path / "t.tex"
    assert cli.main(["table", str(run), *options, "--format", "latex", "-o", str(file)]) == 0
    assert file.read_text() == report.tabulate([run], "latex", **wanted)
    assert cli.main(["table", str(tmp_path / "none")]) == 1
    assert "there is nothing at" in capsys.readouterr().err


def test_letters_go_on_after_z():
    assert [_letter(k) for k in (0, 25, 26, 27, 52)] == ["a", "z", "aa", "ab", "ba"]


def test_figures_of_films_are_means_over_films_and_a_missing_one_is_a_gap(make_run, tmp_path):
    run = make_run("a", {"psnr_full": entry(30.0)})
    for name, corr, lag in (("one", entry(0.4), entry(1.0)), ("two", entry(0.6), na("still"))):
        rows = {"ours": {"sound_corr": corr, "sound_lag": lag}}
        write_scores(run / "driven" / f"{name}.json", rows, protocol={"speech": f"{name}.wav"})
    sweep = write_sweep(tmp_path / "s" / "sweep.json", ["a"], [("a", "may", 0, run)])
    told = files.read_json(sweep)
    told["trials"][0]["driven"] = {n: f"driven/{n}.mp4" for n in ("one", "two")}
    files.write_json(sweep, told)
    cells = _cells([sweep], metrics=["sound_corr", "sound_lag", "psnr_full"])
    assert float(cells["a", "sound_corr"]["mean"]) == pytest.approx(0.5)
    assert cells["a", "sound_lag"]["gaps"] == "may, seed 0: still"
    assert float(cells["a", "psnr_full"]["mean"]) == 30.0
    film = {
        **protocol_of("100-119", ours=3), "split": {"rule": "film", "ids": "100-119"},
        "speech": "one.wav", "fingerprint": "f1",
    }  # fmt: skip
    path = run / "driven" / "one.json"
    files.write_json(path, {**files.read_json(path), "protocol": film})
    text = report.tabulate([sweep], "csv", metrics=["sound_corr"])
    assert "Film of one.wav (30 frames, poses of frames 100-119), offset 100" in text
    assert "Film of one.wav" not in report.tabulate([sweep], "csv", metrics=["psnr_full"])
    assert " f1 " in read_csv(text)["a", "sound_corr"]["protocol"]
    told["trials"][0]["driven"]["three"] = "driven/three.mp4"
    files.write_json(sweep, told)
    cells = _cells([sweep], metrics=["sound_corr"])
    assert cells["a", "sound_corr"]["gaps"] == "may, seed 0: not scored"
