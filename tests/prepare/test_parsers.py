"""The seam of face parsers: names, import paths, and what is checked of strangers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gstalker import weights
from gstalker.errors import BackendMissing, ConfigError, PluginFailed
from gstalker.prepare import parsers

FRAMES, SIDE = 70, 6
OWN = '''
import numpy as np


class Halves:
    """The left half is hair, the right one neck."""

    tells = ("background", "hair", "neck")

    def identity(self):
        return "halves 1"

    def parse(self, pictures, faces, *, alone):
        for picture in pictures:
            labels = np.full(picture.shape[:2], 4, np.uint8)
            labels[:, picture.shape[1] // 2 :] = 6
            yield labels


class Floats(Halves):
    def parse(self, pictures, faces, *, alone):
        for picture in pictures:
            yield picture[..., 0] / 255


class Nine(Halves):
    def parse(self, pictures, faces, *, alone):
        for picture in pictures:
            yield np.full(picture.shape[:2], 9, np.uint8)


class Lazy(Halves):
    def parse(self, pictures, faces, *, alone):
        yield np.zeros((6, 6), np.uint8)


class NaNs(Halves):
    def parse(self, pictures, faces, *, alone):
        for picture in pictures:
            yield np.full(picture.shape[:2], np.nan)


class Deep(Halves):
    def parse(self, pictures, faces, *, alone):
        for picture in pictures:
            yield np.zeros((*picture.shape[:2], 1), np.uint8)


class Untold(Halves):
    tells = ("background", "hair")


class Breaks(Halves):
    def parse(self, pictures, faces, *, alone):
        for k, labels in enumerate(super().parse(pictures, faces, alone=alone)):
            yield labels if k < 3 else {"a": labels}["b"]


class Silent(Halves):
    def parse(self, pictures, faces, *, alone):
        pass


class Lost(Halves):
    def __init__(self):
        open("a_model_that_is_nowhere")


class Word(Halves):
    tells = "hair"


class Numbered(Halves):
    def identity(self):
        return 1


class Nothing:
    pass


class Ears(Halves):
    tells = ("ears",)


class Wants(Halves):
    def __init__(self, model):
        pass
'''


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures and landmarks, and a module of parsers that can be imported."""
    np.save(tmp_path / "frames.npy", np.zeros((FRAMES, SIDE, SIDE, 3), np.uint8))
    np.save(tmp_path / "landmarks.npy", np.zeros((FRAMES, 478, 2), np.float32))
    (tmp_path / "my_lab_parsers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_lab_parsers", raising=False)
    return tmp_path


def labelled(clip: Path, name: str) -> np.ndarray:
    jobs = parsers.pieces(clip / "frames.npy", clip / "landmarks.npy", name, FRAMES, alone=True)
    return np.concatenate([parsers.parse(job) for job in jobs])


def test_a_parser_of_ones_own_is_taken_by_its_import_path(clip: Path) -> None:
    found = labelled(clip, "my_lab_parsers:Halves")
    assert found.shape == (FRAMES, SIDE, SIDE)
    assert (found[:, :, :3] == 4).all()
    assert (found[:, :, 3:] == 6).all()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Nothing", r"is no face parser: it needs `tells`"),
        ("Ears", "tells 'ears'; known labels are: background, torso"),
        ("Wants", "cannot be made without arguments"),
        ("Absent", "has no 'Absent'"),
        ("Word", "its `tells` is 'hair'; a tuple of labels was expected"),
        ("Numbered", r"its `identity\(\)` gave 1; a text was expected"),
    ],
)
def test_what_is_wrong_with_a_parser_is_told_in_a_sentence(
    clip: Path, name: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        labelled(clip, f"my_lab_parsers:{name}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Floats", r"gave float64 \(6, 6\) up to 0.0 for frame 0"),
        ("NaNs", r"gave float64 \(6, 6\) up to nan for frame 0; uint8"),
        ("Deep", r"gave uint8 \(6, 6, 1\) up to 0 for frame 0"),
        ("Nine", r"up to 9 for frame 0; uint8 \(6, 6\) up to 6 was expected"),
        ("Untold", r"gave 6 \(neck\) for frame 0, but its `tells` does not name 'neck'"),
        ("Lazy", "gave labels of 1 pictures for 64"),
        ("Breaks", r"fails at frame 3: KeyError: 'b' \(line \d+ of .*my_lab_parsers.py\)"),
        ("Silent", "fails at frame 0: TypeError: 'NoneType' object is not iterable"),
        ("Lost", "cannot be made: FileNotFoundError: .*a_model_that_is_nowhere"),
    ],
)
def test_a_parser_that_fails_at_its_work_is_told_with_the_frame(
    clip: Path, name: str, said: str
) -> None:
    """By another error than a choice that is wrong: after that ``prepare`` clears the folder."""
    with pytest.raises(PluginFailed, match=said):
        labelled(clip, f"my_lab_parsers:{name}")


def test_another_text_of_the_class_is_another_parser(clip: Path) -> None:
    before = parsers.identity("my_lab_parsers:Halves")
    assert before.startswith("halves 1 ")
    assert parsers.identity("my_lab_parsers:Halves") == before
    (clip / "my_lab_parsers.py").write_text(OWN.replace("= 6", "= 5"))
    assert parsers.identity("my_lab_parsers:Halves") != before


def test_an_unknown_name_says_what_is_known() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'colour'"):
        parsers.make_parser("color")


def test_a_missing_model_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendMissing, match="weights download selfie_segmentation"):
        parsers.make_parser("colour").identity()


def test_every_parser_of_the_table_keeps_to_the_seam() -> None:
    for name in parsers.PARSERS:
        assert set(parsers.make_parser(name).tells) <= set(parsers.LABELS)
