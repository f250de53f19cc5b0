"""Imports go downwards only, files keep their length, the library does not print."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "gstalker"
LONGEST_FILE = 400

FLOORS = (
    {"errors", "types", "process"},
    {"files", "limits", "plugins", "face", "blinks", "pages", "plots"},
    {"native", "weights"},
    {"data"},
    {"gaussians", "losses", "encode", "exchange", "rays"},
    {"metrics", "render", "deform"},
    {"radiance"},
    {"stages", "callbacks", "inspect"},
    {"methods"},
    {"config"},
    {"experiment"},
    {"doctor", "report"},
    {"verbs"},
    {"cli"},
    {"__main__"},
)
"""Ground floor first; a room imports from floors below its own."""

PREPARE_MAY_IMPORT = {
    *(
        "types",
        "errors",
        "process",
        "files",
        "limits",
        "plugins",
        "face",
        "blinks",
        "weights",
        "data.capture",
        "data.rows",
        "data.writer",
    ),
    *("metrics.sync", "metrics.bootstrap"),
}
"""``prepare`` stands apart, so that tracking a face never drags training in. The two metrics are
arithmetic on lags and takes: a filmed mouth is held to its sound as a rendered one is."""
PREPARE_IS_IMPORTED_BY = {
    "verbs": ("prepare",),
    "data": ("prepare.audio",),  # the synthetic head's sound features are the real ones
    # new speech is heard as the capture's was; the head goes back into the filmed pictures
    "experiment": ("prepare.audio", "prepare.video", "prepare.source"),
    # which kinds of features could be made here, and who could tell what a pixel shows
    "doctor": ("prepare.audio", "prepare.parsers"),
    # what a tracker says of itself, the canonical face, the sound features
    "exchange": ("prepare",),
    "inspect": ("prepare.tracking",),  # misfit and jitter are measured as prepare measures them
}
METRICS_NEVER_SEE = {"gaussians", "encode", "render", "deform"}
"""Metrics see frames, never models."""

FILES = sorted(SOURCE.rglob("*.py"))


def _floor(room: str) -> int:
    return next(height for height, rooms in enumerate(FLOORS) if room in rooms)


def _own_imports(file: Path) -> Iterator[str]:
    """Modules of this package that a file imports, ``gstalker.`` left out."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name[9:] for a in node.names if a.name.startswith("gstalker."))
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: write the whole path, not a relative one"
            package, _, inside = (node.module or "").partition(".")
            if package == "gstalker":
                yield from (f"{inside}.{alias.name}".strip(".") for alias in node.names)


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def _complaint(room: str, module: str) -> str:
    """Why a room must not import a module; empty if it may."""
    target = module.partition(".")[0]
    if target in (room, "__version__"):
        return ""
    if room == "prepare":
        fine = any(_within(module, allowed) for allowed in PREPARE_MAY_IMPORT)
        return "" if fine else f"prepare may import {sorted(PREPARE_MAY_IMPORT)} only"
    if target == "prepare":
        allowed = PREPARE_IS_IMPORTED_BY.get(room, ())
        fine = any(_within(module, part) for part in allowed)
        return "" if fine else f"{room} may not import prepare"
    if room == "metrics" and target in METRICS_NEVER_SEE:
        return "metrics see frames, never models"
    return "" if _floor(target) < _floor(room) else f"{target} is not on a floor below {room}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_go_downwards_only(file):
    room = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room == "__init__":  # the notebook's names come from everywhere, lazily
        return
    complaints = {module: _complaint(room, module) for module in _own_imports(file)}
    assert not {module: why for module, why in complaints.items() if why}


def test_every_room_has_a_floor():
    rooms = {file.relative_to(SOURCE).parts[0].removesuffix(".py") for file in FILES}
    assert rooms - {"__init__", "prepare"} == set.union(*FLOORS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_files_keep_their_length(file):
    assert len(file.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_every_file_says_what_it_is_for(file):
    assert ast.get_docstring(ast.parse(file.read_text()))


def test_only_the_command_line_prints():
    prints = {
        str(file.relative_to(SOURCE))
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    }
    assert {name for name in prints if not name.startswith("verbs/")} <= {"cli.py"}


def test_an_upward_import_would_be_found():
    assert _complaint("gaussians", "stages.static")
    assert _complaint("metrics", "render")
    assert _complaint("prepare", "data.dataset")
    assert _complaint("data", "prepare.recipe")
    assert not _complaint("data", "prepare.audio")
    assert not _complaint("stages", "render.compose")
