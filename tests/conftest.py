"""What several rooms' tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from gstalker import process
from gstalker.data.capture import Capture

ROOT = Path(__file__).parents[1]
TINY_SECONDS, TINY_SIZE, TINY_TAKES = 8.0, 64, 2


def pytest_configure(config: pytest.Config) -> None:
    """Two threads, what the smallest machine that we promise has; workers share them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    torch.set_num_threads(max(min(2, os.cpu_count() or 1) // workers, 1))
    process.ignore_profiling()


@pytest.fixture(scope="session", autouse=True)
def _no_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test depends on what this machine's user has downloaded; who needs a file names it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GSTALKER_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data that is too big, or not ours, to be in the repository."""
    named = os.environ.get("GSTALKER_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("no shared data: ../shared is absent and GSTALKER_SHARED names no folder")
    return folder


@pytest.fixture(scope="session")
def tiny_capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """The synthetic head, 64 x 64, 8 s in two takes; read it, never write into it."""
    from gstalker.data.synthetic import make_synthetic_capture

    folder = tmp_path_factory.mktemp("captures") / "tiny"
    return make_synthetic_capture(folder, seconds=TINY_SECONDS, size=TINY_SIZE, takes=TINY_TAKES)


@pytest.fixture(scope="session")
def speck_capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """The synthetic head, 32 x 32, 3 s: for what follows a ray through every pixel."""
    from gstalker.data.synthetic import make_synthetic_capture

    folder = tmp_path_factory.mktemp("captures") / "speck"
    return make_synthetic_capture(folder, seconds=3.0, size=32, takes=1)


class _Tags(HTMLParser):
    """Every tag with its attributes, and those that are not closed."""

    VOID = frozenset({"meta", "img", "br", "path", "use"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def well_formed(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """Every tag of a page and its attributes; all are closed, and none asks for another file."""
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert not {tag for tag, _ in tags.seen} & {"script", "link", "iframe", "object", "embed"}
    for tag, attributes in tags.seen:
        for key in ("src", "href", "xlink:href", "poster", "srcset"):
            assert (attributes.get(key) or "#").startswith(("#", "data:image/", "data:video/")), tag
    assert "url(http" not in text
    assert "@import" not in text
    return tags.seen
