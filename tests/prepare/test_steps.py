from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gstalker.errors import CaptureError
from gstalker.prepare import steps
from gstalker.prepare.steps import Book, Step


class Kitchen:
    """Two steps, the second reading the first's output, that count how often they are done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[str] = []
        self.first_writes = "one"
        self.fails = False

    def first(self) -> None:
        self.done.append("first")
        (self.folder / "a").write_text(self.first_writes)

    def second(self) -> None:
        if self.fails:
            raise KeyboardInterrupt
        self.done.append("second")
        (self.folder / "b").write_text((self.folder / "a").read_text() * 2)

    def plan(self) -> list[Step]:
        return [
            Step("first", 1, ("a",), self.first),
            Step("second", 1, ("b",), self.second, ("first",), {"size": 3}),
        ]

    def go(self, redo: tuple[str, ...] = (), plan: list[Step] | None = None) -> list[str]:
        """Run as a new process would; returns what was done."""
        self.done = []
        steps.run(plan or self.plan(), Book(self.folder, "video"), redo)
        return self.done


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    (tmp_path / steps.WORK).mkdir()
    return Kitchen(tmp_path)


def test_a_second_run_does_nothing(kitchen: Kitchen) -> None:
    assert kitchen.go() == ["first", "second"]
    assert kitchen.go() == []


def test_a_run_that_was_stopped_does_only_what_is_left(kitchen: Kitchen) -> None:
    kitchen.fails = True
    with pytest.raises(KeyboardInterrupt):
        kitchen.go()
    kitchen.fails = False
    assert kitchen.go() == ["second"]


def test_a_missing_or_shortened_output_is_made_again(kitchen: Kitchen) -> None:
    kitchen.go()
    (kitchen.folder / "b").unlink()
    assert kitchen.go() == ["second"]
    (kitchen.folder / "a").write_text("on")
    assert kitchen.go() == ["first"]  # the same bytes come back, so the second stays fresh


def test_a_copied_folder_is_still_fresh(kitchen: Kitchen) -> None:
    kitchen.go()
    os.utime(kitchen.folder / "a", (1, 1))
    assert kitchen.go() == []


def test_new_content_of_an_input_makes_the_reader_stale(kitchen: Kitchen) -> None:
    kitchen.go()
    kitchen.first_writes = "two"
    assert kitchen.go(redo=("first",)) == ["first", "second"]
    assert (kitchen.folder / "b").read_text() == "twotwo"


def test_another_setting_or_version_makes_the_step_stale(kitchen: Kitchen) -> None:
    kitchen.go()
    first, second = kitchen.plan()
    assert kitchen.go(plan=[first, replace(second, settings={"size": 4})]) == ["second"]
    assert kitchen.go(plan=[replace(first, version=2), second]) == ["first", "second"]


def test_a_step_that_does_not_exist_cannot_be_redone(kitchen: Kitchen) -> None:
    with pytest.raises(CaptureError, match="the steps are: first, second"):
        kitchen.go(redo=("frist",))


def test_a_damaged_book_is_begun_afresh(kitchen: Kitchen) -> None:
    kitchen.go()
    (kitchen.folder / steps.WORK / "steps.json").write_text("{")
    assert kitchen.go() == ["first", "second"]


def test_one_folder_is_prepared_by_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        steps.alone(tmp_path),
        pytest.raises(CaptureError, match="another process"),
        steps.alone(tmp_path),
    ):
        pass
    with steps.alone(tmp_path):
        pass
