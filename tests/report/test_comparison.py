"""The page of what was trained here beside what papers print; every verdict worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gstalker import cli, files
from gstalker.errors import ConfigError
from gstalker.experiment.plan import sweep_name
from gstalker.metrics.vocabulary import column
from gstalker.report import agreement, comparison, sources
from gstalker.report.reasons import Reasons
from gstalker.report.reported import Figure

from .conftest import entry, na, write_sweep

LPIPS = column("lpips_alex")
FPS = column("frames_per_second")
SIZE = column("weights_mb")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def figure(method, metric, value, paper="Paper A", **more):
    words = {"setting": "self-driven", "subject": "four videos", "bound": "", "unit": "1"}
    words |= {"table": "table 1", "note": "", "sure": "paper"}
    return Figure(method=method, metric=metric, value=value, paper=paper, **{**words, **more})


@pytest.fixture
def rows(make_run, tmp_path):
    """Rows of given LPIPS, a figure a seed; and frames per second, the same for all seeds."""

    def made(**lpips):
        trials = []
        for name, values in lpips.items():
            for seed, value in enumerate(values):
                ours = {"psnr_full": entry(30.0 + seed), "lpips_alex": entry(value)}
                run = make_run(f"{name}-{seed}", ours, seed=seed)
                trials.append((name, "may", seed, run))
        file = tmp_path / "runs" / "sweeps" / "x" / "sweep.json"
        names, asked = list(lpips), ["psnr_full", "lpips_alex", "weights_mb", "frames_per_second"]
        write_sweep(file, names, trials, title="Small study", columns=asked)
        return sources.rows([file])[0]

    return made


def pair(rows, figures, what=LPIPS):
    (found,) = agreement.pairs(rows, figures, what)
    return found


# ---------------------------------------------------------------------- what papers print


def test_a_difference_is_taken_within_one_paper_and_never_across_two():
    figures = [
        figure("A", "lpips", 0.10),
        figure("B", "lpips", 0.03),
        figure("B", "lpips", 0.01, paper="Paper B"),
    ]
    (only,) = agreement.published(figures, LPIPS, "A", "B")
    assert only.paper == "Paper A"
    assert only.gap == pytest.approx(0.07)


def test_copies_bounds_and_other_subjects_say_nothing_of_a_pair():
    assert not list(
        agreement.published(
            [
                figure("A", "lpips", 0.10),
                figure("B", "lpips", 0.03, subject="another video"),
                figure("B", "lpips", 0.03, sure="copied"),
                figure("B", "lpips", 0.03, bound="<"),
            ],
            LPIPS,
            "A",
            "B",
        )
    )


def test_speeds_of_two_machines_are_paired_machine_by_machine():
    figures = [
        figure(name, "fps", value, note=note)
        for name, value, note in (
            ("A", 300, "L40S"),
            ("A", 30, "RTX 2060"),
            ("B", 100, "L40S"),
            ("B", 20, "RTX 2060"),
        )
    ]
    gaps = [told.gap for told in agreement.published(figures, FPS, "A", "B")]
    assert gaps == pytest.approx([math.log10(3), math.log10(1.5)])


# ---------------------------------------------------------------------- order


def test_a_difference_beyond_the_luck_of_seeds_agrees_or_contradicts(rows):
    found = rows(A=[0.100, 0.101, 0.102], B=[0.050, 0.051, 0.052])
    like = [figure("A", "lpips", 0.09), figure("B", "lpips", 0.04)]
    assert pair(found, like).order == "agrees"
    assert pair(found, like).gap == pytest.approx(0.05)
    assert pair(found, [figure("A", "lpips", 0.02), like[1]]).order == "contradicts"


def test_a_difference_within_the_luck_of_seeds_is_no_difference(rows):
    found = rows(A=[0.10, 0.05, 0.15], B=[0.09, 0.14, 0.04])
    like = [figure("A", "lpips", 0.09), figure("B", "lpips", 0.04)]
    assert pair(found, like).order == "not told apart"
    assert pair(found, like).size == ""


def test_one_seed_tells_no_order_and_says_so(rows):
    found = rows(A=[0.10], B=[0.05])
    told = pair(found, [figure("A", "lpips", 0.09), figure("B", "lpips", 0.04)])
    assert told.order == "n/a"
    assert told.tested == "fewer than two seeds on a capture"


def test_papers_of_two_minds_and_papers_that_see_no_difference_are_told(rows):
    found = rows(A=[0.100, 0.101], B=[0.050, 0.051])
    like = [figure("A", "lpips", 0.09), figure("B", "lpips", 0.04)]
    other = [figure("A", "lpips", 0.01, "B"), figure("B", "lpips", 0.04, "B")]
    assert pair(found, like + other).order == "papers disagree"
    assert pair(found, [figure(n, "lpips", 0.04) for n in "AB"]).order == "printed alike"


def test_a_pair_that_nobody_prints_is_left_out(rows):
    assert agreement.pairs(rows(A=[0.1, 0.2], B=[0.1, 0.2]), [], LPIPS) == []


# ---------------------------------------------------------------------- size


@pytest.mark.parametrize(
    ("theirs", "size"), [(0.095, "alike"), (0.20, "smaller"), (0.055, "larger")]
)
def test_a_quality_differs_as_much_if_theirs_is_within_two_standard_errors(rows, theirs, size):
    found = rows(A=[0.100, 0.101, 0.102], B=[0.050, 0.051, 0.052])  # 0.050 ± 0.0008
    told = pair(found, [figure("A", "lpips", theirs), figure("B", "lpips", 0.045)])
    assert told.order == "agrees"
    assert told.size == size


@pytest.mark.parametrize(("theirs", "size"), [(2.0, "alike"), (60.0, "smaller"), (1.1, "larger")])
def test_megabytes_are_counted_and_alike_within_a_factor_of_three(rows, theirs, size):
    found = rows(A=[0.1, 0.2], B=[0.1, 0.2])
    for row, megabytes in zip(found, (4.0, 1.0), strict=True):
        for trial in row.trials:
            trial.figures["weights_mb"] = entry(megabytes) | {"protocol": "counted"}
    told = pair(found, [figure("A", "size", theirs), figure("B", "size", 1.0)], SIZE)
    assert told.gap == pytest.approx(math.log10(4))
    assert told.order == "agrees"
    assert told.size == size


# ---------------------------------------------------------------------- whole orders


def test_a_papers_whole_order_is_held_against_ours_pair_by_pair(rows):
    found = rows(A=[0.1, 0.1], B=[0.2, 0.2], C=[0.3, 0.3])
    figures = [figure(n, "lpips", v) for n, v in (("A", 0.02), ("B", 0.01), ("C", 0.05))]
    (told,) = agreement.rankings(found, [*figures, figure("D", "lpips", 0.0)], LPIPS)
    assert told.theirs == ("B", "A", "C")
    assert told.ours == ("A", "B", "C")
    assert (told.alike, told.pairs) == (2, 3)


# ---------------------------------------------------------------------- the page


@pytest.fixture
def page(rows, tmp_path):
    """Writes the page of two methods; LPIPS goes against the papers."""

    def written(**reasons):
        rows(**{"ER-NeRF": [0.100, 0.101, 0.102], "AD-NeRF": [0.050, 0.051, 0.052]})
        for folder in (tmp_path / "runs").glob("A*-*"):
            status = files.read_object(folder / "status.json")
            files.write_json(folder / "status.json", {**status, "head_parameters": 1_250_000})
        why = tmp_path / "why.yaml"
        why.write_text(reasons.get("why", "{}"))
        out = tmp_path / "docs" / "comparison.md"
        sweep = tmp_path / "runs" / "sweeps" / "x"
        assert comparison.write([sweep], out, why=why) == out
        return out.read_text()

    return written


def test_the_page_shows_the_table_with_both_origins_and_every_verdict(page, tmp_path):
    text = page()
    assert "## Small study" in text
    assert "| ER-NeRF | trained here |" in text
    assert "| reported |" in text
    assert "### LPIPS" in text
    assert "best first: ER-NeRF, AD-NeRF. Here: AD-NeRF, ER-NeRF (0 of 1 pair alike" in text
    (line,) = [
        w for w in text.splitlines() if w.startswith("| ER-NeRF − AD-NeRF |") and "-0.0" in w
    ]
    assert line.endswith("| contradicts |  |")
    assert "+0.0500 ± 0.0008 (p < 0.001, n 3)" in line
    assert "- ER-NeRF − AD-NeRF: the other order. Why is not known yet." in text
    assert str(tmp_path) not in text, "the page may be published"


def test_the_page_is_the_same_when_it_is_made_again(page):
    assert page() == page()


def test_a_reason_by_hand_stands_beside_its_difference_and_one_without_is_told(page):
    why = """
    x:
      lpips_alex:
        AD-NeRF, ER-NeRF: The perceptual terms
          were off.
      ssim_full:
        AD-NeRF, ER-NeRF: Nothing.
    """
    text = page(why=why)
    assert "the other order. The perceptual terms were off." in text
    assert "Reasons that fit nothing" in text
    assert "- ssim_full, AD-NeRF, ER-NeRF" in text
    assert "- lpips_alex" not in text


def test_what_cannot_be_had_is_a_gap_with_its_reason(page, tmp_path):
    page()
    for folder in (tmp_path / "runs").glob("ER-NeRF-*"):
        told = files.read_object(folder / "scores.json")
        told["rows"]["ours"]["lpips_alex"] = na("no weights of LPIPS")
        files.write_json(folder / "scores.json", told)
    out = comparison.write([tmp_path / "runs" / "sweeps" / "x"], tmp_path / "page.md")
    text = out.read_text()
    assert "n/a: one of the two has no figure | n/a |" in text
    assert "no weights of LPIPS" in text


def test_megabytes_are_told_stage_by_stage(page, tmp_path):
    page()
    for folder in (tmp_path / "runs").glob("A*-*"):
        files.write_json(folder / "speed.json", {"parameters": 2_000_000, "weights_mb": 8.0})
    out = comparison.write([tmp_path / "runs" / "sweeps" / "x"], tmp_path / "page.md")
    (line,) = [w for w in out.read_text().splitlines() if "head 5.00" in w]
    assert line.startswith("| AD-NeRF | 5.21")
    assert "| 8.00" in line


def test_nothing_is_said_of_training_time_where_all_were_given_the_same(rows, tmp_path, page):
    page()
    text = (tmp_path / "docs" / "comparison.md").read_text()
    assert "### training (min)" not in text  # not among the columns asked for
    for folder in (tmp_path / "runs").glob("*-?"):
        told = (folder / "config.yaml").read_text()
        (folder / "config.yaml").write_text(told.replace("minutes: null", "minutes: 5"))
    found, _ = sources.rows([tmp_path / "runs" / "sweeps" / "x"])
    assert comparison._is_timed(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x: {lpips_alex: {ER-NeRF: alone}}", "does not name two methods"),
        ("x: a sentence", "Three levels are expected"),
        ("x: {lpips_alex: {'A, B': 3}}", "Three levels are expected"),
        ("{", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_reasons_is_refused(tmp_path, text, told):
    (tmp_path / "why.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        Reasons.read(tmp_path / "why.yaml")


@pytest.mark.parametrize("file", sorted(EXPERIMENTS.rglob("why.yaml")), ids=lambda f: f.parent.name)
def test_shipped_reasons_explain_columns_of_the_experiments_beside_them(file):
    names = {sweep_name(beside) for beside in file.parent.glob("*.yaml") if beside != file}
    for experiment, name, _ in Reasons.read(file).told:
        assert experiment in names
        assert column(name).higher_is_better is not None, f"{name} is no column that can differ"


def test_the_command_writes_the_page_with_the_reasons_beside_the_experiment(
    rows, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rows(**{"ER-NeRF": [0.100, 0.101], "AD-NeRF": [0.050, 0.051]})
    (tmp_path / "x.yaml").write_text("rows: {}")
    (tmp_path / "why.yaml").write_text("x: {lpips_alex: {'AD-NeRF, ER-NeRF': It was late.}}")
    assert cli.main(["compare", "x.yaml", "-o", "docs/page.md", "--runs", "runs"]) == 0
    assert capsys.readouterr().out.strip() == "docs/page.md"
    assert "It was late." in (tmp_path / "docs" / "page.md").read_text()
