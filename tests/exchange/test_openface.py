"""OpenFace's table: its spaces, its rows, and what AU45 says of the eyes."""

import numpy as np
import pytest

from gstalker.errors import CaptureError
from gstalker.exchange import openface

TEXT = "frame, face_id, success, AU45_r\n1, 0, 1, 0.00\n2, 0, 1, 1.50\n3, 0, 1, 3.20\n"


@pytest.fixture
def table(tmp_path):
    (tmp_path / "au.csv").write_text(TEXT)
    return openface.read(tmp_path / "au.csv")


def test_columns_are_found_with_their_leading_space_and_written_with_it(table, tmp_path):
    np.testing.assert_array_equal(table.column("AU45_r"), [0, 1.5, 3.2])
    openface.write(tmp_path / "b.csv", table, table.rows)
    assert (tmp_path / "b.csv").read_text() == TEXT


def test_an_eye_is_shut_at_two_and_beyond(table):
    eye = openface.eye_opening(table.column("AU45_r"), 0.1)
    np.testing.assert_allclose(eye, [0.1, 0.025, 0])
    np.testing.assert_allclose(openface.au45(eye, 0.1), [0, 1.5, 2])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("frame, AU45_r\n", "has no rows"),
        ("frame, AU45_r\n1\n", "row 0 has 1 values for 2 columns"),
        ("frame, AU45_r\n1, high\n", "column AU45_r"),
    ],
)
def test_a_damaged_table_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "au.csv").write_text(text)
    with pytest.raises(CaptureError, match=sentence):
        openface.read(tmp_path / "au.csv")
