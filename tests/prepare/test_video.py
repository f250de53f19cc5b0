from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from gstalker.errors import MediaError
from gstalker.prepare import audio, source, video

pytest.importorskip("cv2")

Movie = Callable[..., Path]
READERS = ("decord", "av")


def read(path: Path, reader: str = "auto", max_side: int = 512) -> np.ndarray:
    found = source.probe(path)
    view = video.whole_view(found, max_side)
    wanted = range(found.frame_count)
    return np.stack(list(video.pictures(found, view, wanted, reader)))  # type: ignore[arg-type]


def numbers(pictures: np.ndarray) -> list[int]:
    """Frame numbers modulo 5, told by the brightness."""
    return [round((float(np.median(p)) - 30) / 40) for p in pictures]


@pytest.mark.parametrize("reader", READERS)
def test_a_25_fps_video_is_taken_frame_by_frame(movie: Movie, reader: str) -> None:
    if reader == "decord":
        pytest.importorskip("decord")
    pictures = read(movie(40), reader)
    assert pictures.shape == (40, 48, 64, 3)
    assert numbers(pictures) == [k % 5 for k in range(40)]


@pytest.mark.parametrize(("fps", "step"), [(50, 2), (100, 4)])
def test_a_faster_video_gives_every_nth_frame(movie: Movie, fps: int, step: int) -> None:
    pictures = read(movie(40 * step, fps=fps))
    assert numbers(pictures) == [step * k % 5 for k in range(40)]


@pytest.mark.parametrize("reader", READERS)
def test_a_30_fps_video_gives_the_frame_nearest_in_time(movie: Movie, reader: str) -> None:
    if reader == "decord":
        pytest.importorskip("decord")
    pictures = read(movie(60, fps=30), reader)
    nearest = [int(np.ceil(k * 30 / 25 - 0.5)) for k in range(50)]  # of two, the earlier
    assert numbers(pictures) == [k % 5 for k in nearest]


@pytest.mark.parametrize("reader", READERS)
def test_uneven_time_stamps_are_obeyed(movie: Movie, reader: str) -> None:
    if reader == "decord":
        pytest.importorskip("decord")
    stamps = list(range(20)) + list(range(30, 50))  # ten frames are missing: 19 is held, then 20
    pictures = read(movie(40, stamps=stamps), reader)
    shown = [*range(20), *([19] * 5), *([20] * 6), *range(21, 40)]
    assert numbers(pictures) == [k % 5 for k in shown]


@pytest.mark.parametrize("reader", READERS)
def test_reading_may_begin_where_a_frame_is_held(movie: Movie, reader: str) -> None:
    if reader == "decord":
        pytest.importorskip("decord")
    path = movie(40, stamps=list(range(20)) + list(range(30, 50)))
    found = source.probe(path)
    view = video.whole_view(found, 512)
    for begin in (21, 22, 24, 25):
        whole = read(path, reader)[begin:]
        part = np.stack(list(video.pictures(found, view, range(begin, 50), reader)))  # type: ignore[arg-type]
        np.testing.assert_array_equal(part, whole)


def test_reading_on_from_the_middle_decodes_little_and_shows_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key frames every second, some of whose neighbours need the frames before them."""
    path = tmp_path / "long.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.options = {"x264-params": "keyint=25:min-keyint=25:scenecut=0:open-gop=1:bframes=3"}
        for _ in range(200):
            picture = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(4, 0).repeat(4, 1)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    found = source.probe(path, with_sound=False)
    view = video.whole_view(found, 32)
    whole = np.stack(list(video.pictures(found, view, range(200))))
    decoded, seen = video._decoded, []

    def counted(*args: object) -> Iterator[tuple[float, av.VideoFrame, bool]]:
        for time_s, frame, torn in decoded(*args):  # type: ignore[arg-type]
            seen.append(time_s)
            yield time_s, frame, torn

    monkeypatch.setattr(video, "_decoded", counted)
    for begin in (160, 151, 149):
        seen.clear()
        part = np.stack(list(video.pictures(found, view, range(begin, 180))))
        np.testing.assert_array_equal(part, whole[begin:180])
        assert len(seen) <= 180 - begin + 3 * 25 + 5  # two seconds early, and up to a key frame


def test_decord_decodes_no_film_ahead_of_its_reader(
    movie: Movie, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep all of it in memory; it only picks out single frames."""
    pytest.importorskip("decord")
    asked: list[list[int]] = []
    by_decord = video._by_decord

    def noted(found: source.Source, wanted: list[int], **how: bool) -> Iterator[np.ndarray]:
        asked.append(list(wanted))
        return by_decord(found, wanted, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(video, "_by_decord", noted)
    found = source.probe(movie(40))
    view = video.whole_view(found, 512)
    some = np.stack(list(video.pictures(found, view, [3, 11, 30])))
    assert asked == [[3, 11, 30]]
    np.testing.assert_array_equal(read(found.path)[[3, 11, 30]], some)
    assert asked == [[3, 11, 30]]


def test_nearest_frames_prefers_the_earlier_of_two() -> None:
    times = np.array([1.0, 1.02, 1.06, 1.5])
    assert video.nearest_frames(times, [0, 1, 2, 6, 7, 12]).tolist() == [0, 1, 2, 2, 2, 3]
    assert video.nearest_frames(np.array([3.0]), [0, 1]).tolist() == [0, 0]


def test_large_pictures_are_scaled_down_and_sides_are_even(movie: Movie) -> None:
    pictures = read(movie(3, size=(128, 72)), max_side=50)
    assert pictures.shape[1:] == (28, 50, 3)


def test_odd_sides_lose_a_pixel_and_nothing_is_resampled() -> None:
    view = video.fitted_view((0, 0, 101, 51), 512)
    assert (view.crop_width, view.crop_height, view.width, view.height) == (100, 50, 100, 50)


def test_a_video_that_is_turned_is_read_upright(tmp_path: Path, shared: Path) -> None:
    av = pytest.importorskip("av")
    plain = shared / "data" / "video" / "may_5s_512.mp4"
    turned = tmp_path / "turned.mp4"
    with av.open(str(plain)) as inward, av.open(str(turned), "w") as outward:
        streams = {s.index: outward.add_stream_from_template(s) for s in inward.streams}
        for packet in inward.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                outward.mux(packet)
    _turn_by_quarter(turned)
    found = source.probe(turned)
    if found.plain:
        pytest.skip("this FFmpeg does not read the display matrix")
    view = video.whole_view(found, 512)
    original = next(video.pictures(source.probe(plain), view, [0]))
    upright = next(video.pictures(found, view, [0]))
    errors = [np.abs(np.rot90(original, k).astype(int) - upright).mean() for k in (0, 1, 2, 3)]
    assert np.argmin(errors) == 3, "the matrix takes right to down: a quarter with the clock"
    assert min(errors) < 1


def _turn_by_quarter(path: Path) -> None:
    """Write a quarter turn into the mp4's track header (ISO 14496-12, section 8.3.2)."""
    data = bytearray(path.read_bytes())
    one = (0x00010000).to_bytes(4, "big")
    minus, zero = (0xFFFF0000).to_bytes(4, "big"), bytes(4)
    last = (0x40000000).to_bytes(4, "big")
    still = b"".join([one, zero, zero, zero, one, zero, zero, zero, last])
    quarter = b"".join([zero, one, zero, minus, zero, zero, zero, zero, last])
    header = data.index(b"tkhd")
    at = data.index(still, header)
    data[at : at + len(still)] = quarter
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["12:30.mp4", "-a.mp4", "it's %03d [me]*?.mp4", "grüß dich.mp4"])
def test_any_file_name_will_do(movie: Movie, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(movie(10, name).parent)
    assert read(Path(name)).shape == (10, 48, 64, 3)
    assert len(audio.read(Path(name))) >= 10 * audio.SAMPLES_PER_FRAME


def test_a_video_without_sound_is_refused(movie: Movie) -> None:
    with pytest.raises(MediaError, match="has no sound.*\n.*ffmpeg -i .*a.mp4 -i SOUND.wav"):
        source.probe(movie(5, sound=False))


def test_files_that_are_no_video_are_refused_in_a_sentence(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("dear diary")
    with pytest.raises(MediaError, match="0 bytes"):
        source.probe(empty)
    with pytest.raises(MediaError, match="cannot be read as a video"):
        source.probe(text)
    with pytest.raises(MediaError, match="there is no video"):
        source.probe(tmp_path / "nothing.mp4")
    with pytest.raises(MediaError, match=r"is a folder; name the video in it.\n.*gstalker import"):
        source.probe(tmp_path)


def test_a_video_that_was_cut_off_is_refused(tmp_path: Path, movie: Movie) -> None:
    whole = movie(100).read_bytes()
    short = tmp_path / "short.mp4"
    short.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match="cut off"):
        source.probe(short)
    # The index in front, as for the web: the file opens, but most frames are missing.
    early = tmp_path / "early.mp4"
    early.write_bytes(_index_first(whole)[: len(whole) * 6 // 10])
    with pytest.raises(MediaError, match=r"ends early(.*\n)+.*ffmpeg -i .*early.mp4 whole.mp4"):
        source.probe(early)


def _index_first(data: bytes) -> bytes:
    """Move an mp4's index before its frames, shifting the chunk offsets."""
    boxes, at = {}, 0
    while at < len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        boxes[name] = data[at : at + size]
        at += size
    index = bytearray(boxes[b"moov"])
    start = 0
    while (start := index.find(b"stco", start + 1)) > 0:
        count = int.from_bytes(index[start + 8 : start + 12], "big")
        for k in range(count):
            place = slice(start + 12 + 4 * k, start + 16 + 4 * k)
            moved = int.from_bytes(index[place], "big") + len(index)
            index[place] = moved.to_bytes(4, "big")
    rest = b"".join(v for k, v in boxes.items() if k not in (b"ftyp", b"moov"))
    return boxes[b"ftyp"] + bytes(index) + rest


def test_a_video_of_full_colour_is_read_as_it_was_packed(tmp_path: Path) -> None:
    """Of 4:4:4, decord makes four channels; PyAV takes over."""
    import av

    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (5, 6, 6, 3), np.uint8)
    frames = small.repeat(8, 1).repeat(8, 2)
    path = tmp_path / "full.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 48, "yuv444p"
        stream.options = {"crf": "1"}
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    found = source.probe(path, with_sound=False)
    shown = np.stack(list(video.pictures(found, video.whole_view(found, 48), range(5))))
    assert np.abs(shown.astype(int) - frames).mean() < 2


def test_an_ordinary_video_has_nothing_to_be_told_of(movie: Movie) -> None:
    assert source.cautions(movie(5)) == []


def test_two_sound_tracks_are_told_with_the_command_for_the_other(tmp_path: Path) -> None:
    path = tmp_path / "two tracks.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        tracks = [container.add_stream("aac", rate=16_000, layout="mono") for _ in range(2)]
        picture = np.zeros((48, 64, 3), np.uint8)
        for k in range(5):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = k
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for track in tracks:
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            sound.sample_rate = 16_000
            container.mux(track.encode(sound))
            container.mux(track.encode(None))
    (told,) = source.cautions(path)
    assert told["what"] == "there are 2 sound tracks; the first one is taken"
    assert f"ffmpeg -i '{path}' -map 0:v:0 -map 0:a:1 " in told["do"]


@pytest.mark.parametrize("second_is_main", [False, True])
def test_of_two_streams_of_pictures_the_one_that_players_show_is_taken_and_told(
    tmp_path: Path, second_is_main: bool
) -> None:
    path = tmp_path / "two films.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for k, size in enumerate((64, 96)):
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = size, 48, "yuv420p"
            main = second_is_main == (k == 1)
            stream.disposition = av.stream.Disposition.default if main else 0
            streams.append(stream)
        for k in range(10):
            for stream, value in zip(streams, (40, 200), strict=True):
                picture = np.full((48, stream.width, 3), value, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = k
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    found = source.probe(path, with_sound=False)
    view = video.whole_view(found, 512)
    assert found.width == (96 if second_is_main else 64)
    for wanted in (range(10), [0, 7]):  # in a row, and picked out
        brightness = np.median(list(video.pictures(found, view, wanted)))
        assert abs(brightness - (200 if second_is_main else 40)) < 3
    (told,) = source.cautions(path)
    assert f"number {1 + second_is_main}, the one that players show" in told["what"]
    assert f"-map 0:v:{int(not second_is_main)} -map 0:a:0 " in told["do"]


def test_a_film_that_begins_before_its_clock_is_read_from_its_start_and_on_from_its_middle(
    tmp_path: Path,
) -> None:
    """As ``ffmpeg -ss 1 -c copy -avoid_negative_ts disabled`` cuts it; FFmpeg refuses to seek."""
    path = tmp_path / "cut.mkv"
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 200, 0
        for k in range(60):
            picture = np.full((64, 64, 3), 4 * k, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = k - 20
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container, pytest.raises(av.error.PermissionError):
        container.seek(0)
    found = source.probe(path, with_sound=False)
    view = video.whole_view(found, 64)
    begin = 60 - found.frame_count  # some versions leave out what lies before the clock
    whole = list(video.pictures(found, view, range(found.frame_count)))
    assert np.median(whole, axis=(1, 2, 3)) == pytest.approx(4 * np.arange(begin, 60), abs=2)
    part = list(video.pictures(found, view, range(30, 40)))
    np.testing.assert_array_equal(part, whole[30:40])


@pytest.mark.parametrize("first", [0, 12, 31])
def test_pictures_after_a_damaged_one_are_torn_until_the_next_whole_one(
    tmp_path: Path, first: int
) -> None:
    path, rng = tmp_path / "flipped.mp4", np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        options = {"g": "10", "bf": "0", "sc_threshold": "0", "preset": "ultrafast"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(40):
            picture = rng.integers(0, 255, (64, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        at, size = packets[13].pos, packets[13].size  # the fourth of the second ten
    content = bytearray(path.read_bytes())
    content[at + 20 : at + size] = rng.bytes(size - 20)
    path.write_bytes(content)
    found = source.probe(path, with_sound=False)
    torn: list[int] = []
    view, wanted = video.whole_view(found, 64), range(first, 40)
    assert len(list(video.pictures(found, view, wanted, torn=torn.append))) == 40 - first
    assert torn == [k for k in range(13, 20) if k >= first]


def test_a_song_with_a_cover_has_no_pictures(movie: Movie, tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(movie(25))) as film, av.open(str(path), "w") as song:
        sound = film.streams.audio[0]
        copied = song.add_stream_from_template(sound)
        cover = song.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        song.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        for packet in film.demux(sound):
            if packet.dts is not None:
                packet.stream = copied
                song.mux(packet)
    with pytest.raises(MediaError, match="has no pictures"):
        source.probe(path)


def test_interlaced_pictures_are_told(tmp_path: Path) -> None:
    path = tmp_path / "fields.mpg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for k in range(5):
            picture = np.full((64, 64, 3), 40 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    (told,) = source.cautions(path)
    assert "interlaced" in told["what"]
    assert f"ffmpeg -i {path} -vf bwdif " in told["do"]
