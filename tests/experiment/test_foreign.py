"""Somebody else's pictures: which frames they show, what is refused, and what the scores say."""

import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gstalker import cli
from gstalker.data.synthetic import make_synthetic_capture
from gstalker.errors import ConfigError, MediaError
from gstalker.experiment import foreign
from gstalker.experiment.foreign import fitted, look, pair
from gstalker.experiment.movie import MovieWriter
from gstalker.experiment.scoring import ScoreConfig, score_foreign

QUICK = ("lpips=false", "resamples=10")


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign") / "me"
    return make_synthetic_capture(folder, seconds=4, size=48)


@pytest.fixture(scope="module")
def test_ids(capture):
    return capture.split()[1]


def changed(frame):
    """The frame, a little darker below: not the truth, and the same everywhere."""
    return np.clip(frame.astype(int) - 12, 0, 255).astype(np.uint8)


def folder_of(path, frames, first=0, name="{:04d}.png"):
    path.mkdir()
    for k, frame in enumerate(frames, first):
        Image.fromarray(frame).save(path / name.format(k))
    return path


def movie_of(path, frames, rate=25):
    import av

    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.options = {"crf": "1"}
        for frame in frames:
            packed = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            out.mux(stream.encode(packed))
        out.mux(stream.encode(None))
    return path


def only_row(sheet):
    assert len(sheet["rows"]) == 1
    return next(iter(sheet["rows"].values()))


def test_a_folder_is_scored_as_its_frames_are_by_hand(capture, test_ids, tmp_path):
    frames = [changed(capture.frame(int(i))) for i in test_ids]
    folder = folder_of(tmp_path / "theirs", frames, name="ngp_ep0028_{:04d}_rgb.png")
    sheet = score_foreign(folder, capture.folder, "ER-NeRF (official)", None, QUICK)
    truth = np.stack([capture.frame(int(i)) for i in test_ids]).astype(float) / 255
    errors = np.square(np.stack(frames) / 255 - truth).mean((1, 2, 3))
    row = only_row(sheet)
    assert row["psnr_full"]["mean"] == pytest.approx((-10 * np.log10(errors)).mean(), abs=1e-4)
    assert row["psnr_pooled"]["mean"] == pytest.approx(-10 * np.log10(errors.mean()), abs=1e-4)
    assert list(sheet["rows"]) == ["ER-NeRF (official)"]
    assert json.loads((folder / "scores.json").read_text()) == sheet
    assert (folder / "scores_frames.npz").is_file()
    assert sheet["protocol"]["codec"] == "lossless"
    assert sheet["protocol"]["split"]["rule"] == "test"
    assert sheet["scored"]["paired"] == "as many pictures as test frames"


def test_a_video_of_the_whole_capture_has_its_test_frames_scored(capture, test_ids, tmp_path):
    frames = [capture.frame(i) for i in range(capture.frame_count)]
    video = movie_of(tmp_path / "theirs.mp4", frames)
    sheet = score_foreign(video, capture.folder, "theirs", None, QUICK)
    assert sheet["protocol"]["frame_count"] == len(test_ids)
    assert sheet["protocol"]["codec"] == "h264"
    assert any("packed as h264" in text for text in sheet["protocol"]["cautions"])
    assert only_row(sheet)["psnr_full"]["mean"] > 30
    assert (tmp_path / "theirs_scores.json").is_file()


def test_each_picture_of_a_video_is_paired_with_the_frame_it_shows(capture, test_ids, tmp_path):
    frames = [capture.frame(i) for i in range(capture.frame_count)]
    video = look(movie_of(tmp_path / "theirs.mp4", frames), ScoreConfig())
    found = pair(video, capture, None)
    shown = np.stack(list(fitted(video, found, capture, ScoreConfig()))).astype(float)
    truth = np.stack([capture.frame(int(i)) for i in test_ids]).astype(float)
    away = np.abs(shown[:, None] - truth[None]).mean((2, 3, 4))
    assert (away.argmin(1) == np.arange(len(test_ids))).all()


def test_files_named_after_their_frames_find_them(capture, test_ids, tmp_path):
    frames = [capture.frame(int(i)) for i in test_ids]
    folder = folder_of(tmp_path / "named", frames, first=int(test_ids[0]), name="{:06d}.png")
    found = pair(look(folder, ScoreConfig()), capture, None)
    assert (found.ids == test_ids).all()
    assert found.how == "each file is named after its frame"


def test_an_offset_scores_the_test_frames_among_them_and_says_how_many(capture, test_ids, tmp_path):
    first = int(test_ids[0]) - 3
    folder = folder_of(tmp_path / "some", [capture.frame(first + k) for k in range(8)])
    sheet = score_foreign(folder, capture.folder, "some", None, [*QUICK, f"offset={first}"])
    assert only_row(sheet)["psnr_full"]["mean"] == 100
    assert sheet["protocol"]["split"]["ids"] == f"{test_ids[0]}-{test_ids[4]}"
    told = f"some: only 5 of {len(test_ids)} test frames were scored"
    assert told in sheet["protocol"]["cautions"]
    whole = score_foreign(
        folder_of(tmp_path / "all", [capture.frame(int(i)) for i in test_ids]),
        capture.folder, "all", None, QUICK,
    )  # fmt: skip
    assert whole["protocol"]["fingerprint"] != sheet["protocol"]["fingerprint"]


def test_a_count_that_fits_nothing_is_a_question(capture, test_ids, tmp_path):
    folder = folder_of(tmp_path / "seven", [capture.frame(0)] * 7)
    with pytest.raises(MediaError, match=rf"(?s)7 pictures;.*offset={test_ids[0]}") as error:
        pair(look(folder, ScoreConfig()), capture, None)
    assert f"{len(test_ids)} test frames" in str(error.value)
    with pytest.raises(MediaError, match="none of which is a test frame"):
        pair(look(folder, ScoreConfig()), capture, 0)


def test_the_first_hundred_frames_are_recognised_as_a_habit(capture, tmp_path, monkeypatch):
    monkeypatch.setattr(foreign, "FEW", 7)
    folder = folder_of(tmp_path / "few", [capture.frame(0)] * 7)
    with pytest.raises(MediaError, match="the first 7 test frames, as ER-NeRF"):
        pair(look(folder, ScoreConfig()), capture, None)


@pytest.mark.parametrize(
    ("fit", "size", "message"),
    [
        ("refuse", (96, 96), "fit=resize"),
        ("resize", (96, 64), "another shape"),
        ("crop", (32, 32), "nothing can be cut away"),
    ],
)
def test_another_size_is_refused_unless_stated(capture, test_ids, tmp_path, fit, size, message):
    blank = np.zeros((*size[::-1], 3), np.uint8)
    folder = folder_of(tmp_path / "sized", [blank] * len(test_ids))
    with pytest.raises(MediaError, match=message):
        score_foreign(folder, capture.folder, "sized", None, [*QUICK, f"fit={fit}"])
    assert not (folder / "scores.json").exists()


def test_a_stated_fit_is_done_and_recorded(capture, test_ids, tmp_path):
    framed = [np.pad(capture.frame(int(i)), ((5, 5), (7, 7), (0, 0))) for i in test_ids]
    folder = folder_of(tmp_path / "framed", framed)
    sheet = score_foreign(folder, capture.folder, "framed", None, [*QUICK, "fit=crop"])
    assert only_row(sheet)["psnr_full"]["mean"] == 100
    assert sheet["protocol"]["fit"] == "crop"
    twice = [frame.repeat(2, 0).repeat(2, 1) for frame in map(capture.frame, test_ids.tolist())]
    folder = folder_of(tmp_path / "twice", twice)
    sheet = score_foreign(folder, capture.folder, "twice", None, [*QUICK, "fit=resize"])
    assert 25 < only_row(sheet)["psnr_full"]["mean"] < 100


def test_thirty_frames_a_second_are_refused_unless_stated(capture, test_ids, tmp_path):
    frames = [capture.frame(int(i)) for i in test_ids]
    video = movie_of(tmp_path / "fast.mp4", frames, rate=30)
    with pytest.raises(MediaError, match=r"(?s)30 fps.*rate=frames") as error:
        score_foreign(video, capture.folder, "fast", None, QUICK)
    assert "rate=nearest" in str(error.value)
    sheet = score_foreign(video, capture.folder, "fast", None, [*QUICK, "rate=frames"])
    assert only_row(sheet)["psnr_full"]["mean"] > 30
    assert any("30 fps and was taken frame by frame" in t for t in sheet["protocol"]["cautions"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no pictures"),
        (["a.png"], "no number"),
        (["1.png", "x_1.png"], "two pictures of number 1"),
    ],
)
def test_folders_that_say_nothing_clear_are_refused(tmp_path, names, message):
    for name in names:
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)
    with pytest.raises(MediaError, match=message):
        look(tmp_path, ScoreConfig())


def test_what_a_killed_program_left_behind_is_no_picture(tmp_path):
    folder = folder_of(tmp_path / "frames", [np.zeros((4, 4, 3), np.uint8)] * 2)
    (folder / ".0001-k8f3.png").write_bytes(b"half")
    assert look(folder, ScoreConfig()).numbers == [0, 1]


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.fromarray(np.full((48, 48), 40_000, np.uint16)), "more than 8 bits"),
        (Image.new("RGBA", (48, 48), (90, 80, 70, 200)), "transparent in places"),
        (Image.new("LA", (48, 48), (90, 0)), "transparent in places"),
    ],
)
def test_pictures_whose_colours_are_not_told_are_refused(
    capture, test_ids, tmp_path, picture, message
):
    (tmp_path / "theirs").mkdir()
    for i in test_ids:
        picture.save(tmp_path / "theirs" / f"{i:04d}.png")
    with pytest.raises(MediaError, match=message):
        score_foreign(tmp_path / "theirs", capture.folder, "theirs", None, QUICK)


def test_sixteen_bits_of_each_colour_are_not_cut_to_eight(tmp_path):
    def part(name, data):
        told = name + data
        return struct.pack(">I", len(data)) + told + struct.pack(">I", zlib.crc32(told))

    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)  # 4 x 4 of 16 bits, RGB
    lines = b"".join(b"\0" + struct.pack(">12H", *[40_000] * 12) for _ in range(4))
    packed = [part(b"IHDR", header), part(b"IDAT", zlib.compress(lines)), part(b"IEND", b"")]
    (tmp_path / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    with pytest.raises(MediaError, match="more than 8 bits"):
        list(look(tmp_path, ScoreConfig()).stream())


def test_an_opaque_fourth_channel_changes_nothing(tmp_path):
    opaque = Image.new("RGBA", (4, 4), (9, 8, 7, 255))
    opaque.save(tmp_path / "0.png")
    (shown,) = look(tmp_path, ScoreConfig()).stream()
    assert (shown == [9, 8, 7]).all()
    assert shown.shape == (4, 4, 3)


def test_a_missing_picture_is_named(capture, tmp_path):
    folder = folder_of(tmp_path / "gap", [capture.frame(0)] * 5)
    (folder / "0002.png").unlink()
    with pytest.raises(MediaError, match="jumps from picture 1 to 3"):
        pair(look(folder, ScoreConfig()), capture, None)


def test_pasted_pixels_and_jpeg_are_told(capture, test_ids, tmp_path):
    def pasted(i):
        frame = capture.frame(i)
        return np.where((capture.mask(i) >= 2)[..., None], changed(frame), frame)

    frames = [pasted(int(i)) for i in test_ids]
    folder = folder_of(tmp_path / "pasted", frames, name="{:04d}.png")
    sheet = score_foreign(folder, capture.folder, "p", None, QUICK)
    assert "p: 100% of the torso looks filmed, not rendered" in sheet["protocol"]["cautions"]
    folder = folder_of(tmp_path / "jpeg", frames, name="{:04d}.jpg")
    sheet = score_foreign(folder, capture.folder, "j", None, QUICK)
    assert sheet["protocol"]["codec"] == "jpeg"
    assert any("packed as jpeg" in text for text in sheet["protocol"]["cautions"])


def test_our_own_movies_of_odd_captures_fit_by_cropping(tmp_path):
    odd = make_synthetic_capture(tmp_path / "odd", seconds=2, size=33)
    ids = odd.split()[1]
    with MovieWriter(tmp_path / "odd.mp4", 33, 33) as movie:
        for i in ids:
            movie.write(odd.frame(int(i)))
    with pytest.raises(MediaError, match="34 x 34; the capture is 33 x 33"):
        score_foreign(tmp_path / "odd.mp4", odd.folder, "odd", None, QUICK)
    sheet = score_foreign(tmp_path / "odd.mp4", odd.folder, "odd", None, [*QUICK, "fit=crop"])
    assert only_row(sheet)["psnr_full"]["mean"] > 25


def test_the_command_prints_the_row_its_protocol_and_the_file(capture, test_ids, tmp_path, capsys):
    folder = folder_of(tmp_path / "c", [changed(capture.frame(int(i))) for i in test_ids])
    out = tmp_path / "far" / "s.json"
    words = ["score", str(folder), str(capture.folder), "--as", "theirs", "-o", str(out), *QUICK]
    assert cli.main([*words, "composite=drawn"]) == 0
    told = capsys.readouterr().out
    assert "theirs" in told.splitlines()[0]
    assert "composite: drawn" in told
    assert told.splitlines()[-1] == str(out)
    assert out.is_file()


def test_a_row_without_a_name_or_a_wrong_key_is_refused(capture, tmp_path):
    with pytest.raises(ConfigError, match="--as"):
        score_foreign(tmp_path, capture.folder, " ")
    with pytest.raises(ConfigError, match="offset"):
        score_foreign(tmp_path, capture.folder, "x", None, ["ofset=3"])
    with pytest.raises(MediaError, match="neither a video nor a folder"):
        score_foreign(tmp_path / "none.mp4", capture.folder, "x")
