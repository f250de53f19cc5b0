"""What a method has over its own controls, on scores written by hand."""

from __future__ import annotations

from gstalker.report import controls, sources

from .conftest import entry, na, write_sweep


def rows_of(make_run, tmp_path, runs):
    """Rows of one sweep; ``runs``: row, capture, seed, ours and the controls of each."""
    trials = [
        (row, capture, seed, make_run(f"{row}-{capture}-{seed}", ours, capture=capture,
                                      seed=seed, controls=beside))
        for row, capture, seed, ours, beside in runs
    ]  # fmt: skip
    file = tmp_path / "runs" / "sweeps" / "x" / "sweep.json"
    write_sweep(file, list(dict.fromkeys(row for row, *_ in trials)), trials)
    return sources.rows([file])[0]


def line(text, name):
    (found,) = [told for told in text if told.startswith(f"| {name} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_each_run_is_held_against_its_own_control_and_captures_weigh_alike(make_run, tmp_path):
    def scored(psnr, mean, lpips, worse):
        return (
            {"psnr_full": entry(psnr), "lpips_alex": entry(lpips)},
            {"mean_frame": {"psnr_full": entry(mean), "lpips_alex": entry(worse)}},
        )

    found = rows_of(make_run, tmp_path, [
        ("A", "may", 0, *scored(30.0, 25.0, 0.02, 0.10)),  # gains 5, 0.08
        ("A", "may", 1, *scored(28.0, 25.0, 0.03, 0.10)),  # gains 3, 0.07
        ("A", "obama", 0, *scored(26.0, 27.0, 0.30, 0.20)),  # loses 1, 0.10
    ])  # fmt: skip
    cells = line(list(controls.beside(found)), "A")
    assert cells[1] == "+1.50 (-1.00)"  # (4 - 1) / 2, the worst run
    assert cells[2] == "+0.0125 (+0.1000)"  # less is better: (-0.075 + 0.1) / 2
    assert cells[3:] == ["n/a"] * 3


def test_a_mouth_that_follows_the_sound_is_told_from_one_that_only_moves(make_run, tmp_path):
    found = rows_of(make_run, tmp_path, [
        ("A", "may", 0, {"mouth_corr": entry(0.9)}, {"shuffled_audio": {"mouth_corr": entry(0.3)}}),
        ("B", "may", 0, {"mouth_corr": entry(0.9)}, {"shuffled_audio": {"mouth_corr": entry(0.9)}}),
        ("C", "may", 0, {"mouth_corr": entry(0.9)}, {"shuffled_audio": {"mouth_corr": na("no")}}),
    ])  # fmt: skip
    text = list(controls.beside(found))
    assert line(text, "A")[-1] == "+0.600 (+0.600)"
    assert line(text, "B")[-1] == "+0.000 (+0.000)"
    assert line(text, "C")[1:] == ["n/a"] * len(controls.HELD)
    assert text[-1].startswith("n/a: no run has that figure both of its own and of that control")


def test_runs_without_controls_get_no_table(make_run, tmp_path):
    found = rows_of(make_run, tmp_path, [("A", "may", 0, {"psnr_full": entry(30.0)}, {})])
    assert list(controls.beside(found)) == []


def test_a_table_without_gaps_says_nothing_of_gaps(make_run, tmp_path):
    ours = {name: entry(2.0) for name, _ in controls.HELD}
    beside = {control: {name: entry(1.0) for name in ours} for _, control in controls.HELD}
    found = rows_of(make_run, tmp_path, [("A", "may", 0, ours, beside)])
    assert "n/a" not in "".join(controls.beside(found))
