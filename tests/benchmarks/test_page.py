"""The page of one machine's measurements is what their files say."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.page import CHAPTERS, PICTURES, page

from benchmarks import harness
from gstalker import files
from gstalker.errors import GSTalkerError

ROOT = Path(__file__).parents[2]


def test_chapters_come_in_their_order_each_with_its_command_and_its_numbers(record, tmp_path):
    files.write_json(tmp_path / "day-abacus-threads.json", record)
    files.write_json(tmp_path / "day-abacus.json", record)
    files.write_json(tmp_path / "day-other-loss.json", record)
    text = page(tmp_path, "day-abacus")
    first, second = (text.index(f"## {CHAPTERS[part][0]}") for part in ("", "threads"))
    assert first < second
    assert text.count("python -m benchmarks card\n") == 2
    assert text.count("4.00 ms") == 2
    assert f"## {CHAPTERS['loss'][0]}" not in text


def test_a_machine_without_files_is_told_what_to_type(tmp_path):
    with pytest.raises(GSTalkerError, match="no file of nobody.*\n.*card --keep"):
        page(tmp_path, "nobody")


def test_the_committed_page_is_that_of_the_committed_files():
    written = (ROOT / "docs" / "speed.md").read_text()
    machine = written.split("python -m benchmarks page ")[1].split(" ")[0]
    assert written == page(ROOT / "benchmarks" / "results", machine)
    for part in PICTURES:
        name = f"speed-{part}.png"
        assert (name in written) == (ROOT / "docs" / name).exists()


def test_every_chapter_is_a_part_that_can_be_measured():
    from benchmarks.__main__ import PARTS

    card = {"date": "day", "processor": "Abacus"}
    names = {harness.kept_name(card, part, trained=trained) for part in PARTS for trained in (0, 1)}
    for part in CHAPTERS:
        assert f"day-abacus{part and '-'}{part}.json" in names
