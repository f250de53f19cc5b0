"""Every reported figure parses, has a source, and ranges are what the papers print."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from gstalker.errors import ConfigError
from gstalker.metrics import vocabulary
from gstalker.report import reported
from gstalker.report.cells import printed
from gstalker.report.formats import number
from gstalker.report.reported import FIELDS, choose, read

FILES = sorted((Path(__file__).parents[2] / "experiments" / "reported").glob("*.csv"))
ROW = "X-NeRF,self-driven,Obama,psnr,31.5,dB,X (2030),table 1,,paper"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_row_parses_with_known_words(path):
    assert read(path)


def test_no_figure_is_entered_twice_with_two_values():
    seen = {}
    for figure in (figure for path in FILES for figure in read(path)):
        key = (
            figure.method,
            figure.setting,
            figure.subject,
            figure.metric,
            figure.source,
            figure.note,
        )
        assert seen.setdefault(key, figure.value) == figure.value, key


def _value(method, metric, paper, setting="self-driven", note=""):
    (figure,) = [
        f
        for f in choose(["all"])
        if (f.method, f.metric, f.setting) == (method, metric, setting)
        and paper in f.source
        and note in f.note
    ]
    return figure


def test_figures_are_those_that_the_papers_print():
    """A handful read off by eye, over every way in which they stand in the notes."""
    assert _value("ER-NeRF", "lpips", "ER-NeRF (ICCV").value == 0.0291
    assert _value("GSTalker", "psnr", "PD-GS").value == 33.07
    assert _value("SyncTalk + Portrait", "ms_ssim", "SyncTalk (CVPR").value == 0.9841
    assert _value("EmoTaG", "aue_upper", "EmoTaG", "seconds of video").sure == "inferred"
    assert _value("AD-NeRF", "lmd", "FG-3DGS").sure == "copied"
    assert _value("ER-NeRF, own torso", "psnr", "README").value == 26.594
    assert _value("DEGSTalk", "fps", "EmbedTalk", note="RTX 2060").value == 37
    size = _value("Wav2Lip", "size", "ER-NeRF (ICCV")
    assert (size.bound, size.value) == (">", 400)


def test_a_range_says_so_where_a_paper_prints_only_a_bound():
    column = vocabulary.REPORTED["size"]
    theirs = [f for f in choose(["all"]) if (f.method, f.metric) == ("Wav2Lip", "size")]
    assert number(printed(theirs, column), column) == "50.0–>400.0"
    alone = [f for f in theirs if f.bound]
    assert number(printed(alone, column), column) == ">400.0"
    below = [dataclasses.replace(f, bound="<" if f.value == 50 else "") for f in theirs]
    assert number(printed(below, column), column) == "<50.0–400.0"


def test_times_of_any_unit_become_minutes():
    assert _value("ER-NeRF", "train_time", "ER-NeRF (ICCV").amount == 120
    # 1:01:49 on the clock
    assert _value("EmbedTalk", "train_time", "EmbedTalk").amount == pytest.approx(61 + 49 / 60)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (ROW.replace("psnr", "pnsr"), "line 2: metric is 'pnsr'"),
        (ROW.replace(",dB,", ",px,"), "psnr is in px, where dB is expected"),
        (ROW.replace(",dB,", ",decibel,"), "unit is 'decibel'"),
        (ROW.replace("31.5", "about 31"), "value 'about 31' is not a number"),
        (ROW.replace("31.5", "nan"), "'nan' is not a number"),
        (ROW.replace("31.5", ""), "'' is not a number"),
        (ROW.replace(",paper", ",certain"), "sure is 'certain'"),
        (ROW.replace("X (2030)", " "), "paper is empty"),
        (ROW + ",more", "11 fields"),
        (ROW.replace("self-driven", "driven"), "setting is 'driven'"),
        ('"' + ROW, "cannot be read as CSV"),
    ],
)
def test_a_wrong_row_is_a_sentence_with_its_line(tmp_path, row, sentence):
    path = tmp_path / "x.csv"
    path.write_text(f"{','.join(FIELDS)}\n{row}\n")
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        read(path)


def test_a_file_without_its_heading_or_without_text_is_a_sentence(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(ROW)
    with pytest.raises(ConfigError, match="first line must be"):
        read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.csv")


def test_a_name_is_a_file_a_method_or_both():
    assert {f.method for f in choose(["ER-NERF:er-nerf".lower()])} == {"ER-NeRF"}
    assert len({f.paper for f in choose(["GSTalker"])}) == 2
    assert {f.method for f in choose(["synctalk-readme"])} == {"SyncTalk", "SyncTalk + Portrait"}
    twice = choose(["gaussiantalker", "gaussiantalker:RAD-NeRF"])
    assert len(twice) == len(set(twice)) == len(choose(["gaussiantalker"]))
    with pytest.raises(ConfigError, match=r"'nobody'.\n  Files: abstracts, d3-talker"):
        choose(["nobody"])


def test_the_vocabulary_is_fixed_and_explained():
    assert set(reported.SURE) == {"paper", "code", "abstract", "note", "inferred", "copied"}
    assert {f.sure for f in choose(["all"])} == set(reported.SURE)
