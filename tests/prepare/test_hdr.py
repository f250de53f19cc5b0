"""Films of high dynamic range, as phones make them, become pictures of the standard range."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from gstalker.prepare import source, video
from gstalker.prepare.hdr import TRANSFERS, Transfer, to_standard

pytest.importorskip("cv2")

TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""ITU-R BT.2087, section 2."""
NUMBERS = {name: number for number, name in TRANSFERS.items()}


def grey(transfer: Transfer, signal: float) -> float:
    picture = np.full((1, 1, 3), round(signal * 65535), np.uint16)
    shown = to_standard(picture, transfer)[0, 0]
    assert np.ptp(shown.astype(int)) <= 1, "grey stays grey"
    return float(shown[1])


def filmed(picture: np.ndarray, transfer: Transfer) -> np.ndarray:
    """What a camera of high dynamic range would have stored, signals from 0 to 1.

    The way back as ITU-R BT.2408, section 5.1, goes it: a display's light with white at 203 nits,
    then the inverse of the display (PQ), or of the display and the OOTF (HLG), of BT.2100.
    """
    nits = 203 * ((picture / 255) ** 2.4 @ TO_BT2020.T)
    if transfer == "PQ":
        y = (nits / 10_000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    luminance = np.maximum(nits @ [0.2627, 0.6780, 0.0593], 1e-9)[..., None] / 1000
    scene = nits / 1000 * luminance ** ((1 - 1.2) / 1.2)
    log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), log)


def write(path: Path, picture: np.ndarray, transfer: Transfer) -> Path:
    """Five frames of a picture, 10 bits of H.265, tagged as phones do."""
    shown = (filmed(picture, transfer) * 65535).round().astype(np.uint16)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=25)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p10le"
        stream.options = {"crf": "4", "x265-params": "log-level=error"}
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = NUMBERS[transfer], 9, 9
        context.color_range = 1
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(shown, format="rgb48le")
            out.mux(stream.encode(frame.reformat(format="yuv420p10le", dst_colorspace=9)))
        out.mux(stream.encode(None))
    return path


def room() -> np.ndarray:
    """Smooth colours up to a quarter of a standard display's light, ``uint8 [48, 64, 3]``."""
    y, x = np.mgrid[0:48, 0:64]
    waves = [np.sin(x / 15), np.cos(y / 12), np.sin((x + y) / 20)]
    return np.stack([90 + 45 * wave for wave in waves], -1).round().astype(np.uint8)


def test_half_signals_are_shown_as_the_recommendation_has_their_light() -> None:
    # HLG: (1 / 12) ** 1.2 of 1000 nits are 50.7. PQ 0.4: 32.4 nits (SMPTE ST 2084).
    assert grey("HLG", 0.5) == pytest.approx(255 * (50.70 / 203) ** (1 / 2.4), abs=0.6)
    assert grey("PQ", 0.4) == pytest.approx(255 * (32.45 / 203) ** (1 / 2.4), abs=0.6)


def test_diffuse_white_is_light_but_leaves_room_for_highlights() -> None:
    # 203 nits are signals of 0.58 and 0.75 (BT.2408, table 1).
    white = [grey("PQ", 0.5807), grey("HLG", 0.75)]
    assert white[0] == pytest.approx(white[1], abs=1)
    assert 215 < white[0] < 240
    assert grey("HLG", 1.0) == grey("PQ", 0.7518) == grey("PQ", 1.0) == 255


@pytest.mark.parametrize("transfer", ["PQ", "HLG"])
def test_more_light_is_never_darker(transfer: Transfer) -> None:
    ramp = np.repeat(np.arange(0, 65536, 16, np.uint16), 3).reshape(1, -1, 3)
    shown = to_standard(ramp, transfer)[0].astype(int)
    assert np.diff(shown, axis=0).min() >= 0
    assert shown[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("reader", ["auto", "decord", "av"])
@pytest.mark.parametrize("transfer", ["PQ", "HLG"])
def test_a_film_of_high_range_looks_like_its_standard_twin(
    tmp_path: Path, transfer: Transfer, reader: str
) -> None:
    if reader == "decord":
        pytest.importorskip("decord")
    found = source.probe(write(tmp_path / "hdr.mp4", room(), transfer), with_sound=False)
    assert found.transfer == transfer
    view = video.whole_view(found, 64)
    shown = np.stack(list(video.pictures(found, view, range(5), reader)))  # type: ignore[arg-type]
    assert shown.dtype == np.uint8
    assert np.abs(shown.astype(int) - room()).mean() < 1.5
    half = next(video.pictures(found, video.whole_view(found, 32), [2]))
    assert np.abs(half.astype(int) - room().reshape(24, 2, 32, 2, 3).mean((1, 3))).mean() < 1.5


def test_a_film_of_ten_bits_may_be_of_standard_range(tmp_path: Path) -> None:
    path = tmp_path / "ten.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.options = {"crf": "4", "x265-params": "log-level=error"}
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(room(), format="rgb24")
            out.mux(stream.encode(frame.reformat(format="yuv420p10le")))
        out.mux(stream.encode(None))
    found = source.probe(path, with_sound=False)
    assert found.transfer is None
    shown = np.stack(list(video.pictures(found, video.whole_view(found, 64), range(5))))
    assert (
        np.abs(shown.astype(int) - room()).mean() < 2.5
    )  # FFmpeg rounds down on the way to 8 bits
