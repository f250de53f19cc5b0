from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from gstalker import weights
from gstalker.errors import BackendMissing, GSTalkerError

CONTENT = b"not really a network"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder, and a table whose landmarker is a few bytes in another folder."""
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    served = tmp_path / "served.task"
    served.write_bytes(CONTENT)
    entry = replace(
        weights.TABLE["face_landmarker"],
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        url=served.as_uri(),
    )
    monkeypatch.setitem(weights.TABLE, "face_landmarker", entry)
    return tmp_path / "weights"


def test_a_missing_file_is_an_error_that_says_where_to_put_it_and_what_to_type(
    folder: Path,
) -> None:
    with pytest.raises(BackendMissing) as error:
        weights.find("face_landmarker")
    assert "gstalker weights download face_landmarker" in str(error.value)
    assert str(folder) in str(error.value)


def test_a_file_that_nobody_serves_says_how_to_make_it(folder: Path) -> None:
    with pytest.raises(BackendMissing, match=r"tiny\.en"):
        weights.find("whisper_tiny_en")
    with pytest.raises(BackendMissing, match=r"tiny\.en"):
        weights.download("whisper_tiny_en")


def test_a_file_is_found_by_its_name_in_the_table_and_by_its_file_name(folder: Path) -> None:
    folder.mkdir()
    (folder / "face_landmarker.task").write_bytes(CONTENT)
    assert weights.find("face_landmarker") == folder / "face_landmarker.task"
    assert weights.find("face_landmarker.task") == folder / "face_landmarker.task"


def test_a_folder_named_weights_beside_the_user_is_looked_into_as_well(folder: Path) -> None:
    Path("weights").mkdir(exist_ok=True)
    Path("weights/selfie_segmentation.tflite").write_bytes(b"x")
    assert weights.have("selfie_segmentation")


def test_a_name_that_nobody_knows_is_refused(folder: Path) -> None:
    with pytest.raises(GSTalkerError, match="known: face_landmarker"):
        weights.find("face_landmaker")


def test_a_download_is_kept_under_its_name_and_found_good(folder: Path) -> None:
    path = weights.download("face_landmarker")
    assert path.read_bytes() == CONTENT
    (found,) = weights.check("face_landmarker")
    assert found.state == "good"
    assert [p.name for p in folder.iterdir()] == ["face_landmarker.task"]


def test_a_download_of_another_content_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(weights.TABLE["face_landmarker"], sha256="0" * 64)
    monkeypatch.setitem(weights.TABLE, "face_landmarker", entry)
    with pytest.raises(GSTalkerError, match="another file than expected"):
        weights.download("face_landmarker")
    assert list(folder.iterdir()) == []


def test_a_download_without_a_network_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = replace(weights.TABLE["face_landmarker"], url=(tmp_path / "gone").as_uri())
    monkeypatch.setitem(weights.TABLE, "face_landmarker", gone)
    with pytest.raises(GSTalkerError, match="cannot download"):
        weights.download("face_landmarker")


def test_check_tells_a_changed_file_from_a_good_and_a_missing_one(folder: Path) -> None:
    folder.mkdir()
    (folder / "face_landmarker.task").write_bytes(CONTENT[::-1])
    states = {found.name: found.state for found in weights.check()}
    assert states["face_landmarker"] == "different"
    assert states["selfie_segmentation"] == "missing"
    assert [f.state for f in weights.listing() if f.name == "face_landmarker"] == ["good"]


def test_the_shared_files_are_the_ones_in_the_table(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("weights", "model3d"):
        for file in (shared / "data" / folder).iterdir():
            (tmp_path / file.name).symlink_to(file)
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    states = {found.name: found.state for found in weights.check()}
    assert states.pop("lpips_vgg16") in ("good", "missing")  # 29 MB that only few need
    assert set(states.values()) == {"good"}
