"""The first look: who is there, and which part of the picture is kept."""

import av
import numpy as np
import pytest

from gstalker.errors import ConfigError, MediaError
from gstalker.prepare import PrepareConfig, people, source
from gstalker.prepare.tracking import landmarks
from gstalker.prepare.view import _upright, choose_view, head_box, look_closely, tiles

pytest.importorskip("mediapipe")


def picture_of(path, size):
    import cv2

    with av.open(str(path)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def faces(shared):
    """Pictures of two people, 200 pixels square."""
    video = shared / "data" / "video"
    return [picture_of(video / f"{n}.mp4", 200) for n in ("may_5s_512", "WDA_KatieHill_000")]


@pytest.fixture(scope="module")
def model(shared):
    return shared / "data" / "weights" / "face_landmarker.task"


def film(path, picture, frames=12):
    """A still, or pictures ``[F, H, W, 3]``, with silence."""
    pictures = picture if picture.ndim == 4 else np.repeat(picture[None], frames, 0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = (
            picture.shape[-2],
            picture.shape[-3],
            "yuv420p",
        )
        track = container.add_stream("aac", rate=16_000, layout="mono")
        for shown in pictures:
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, len(pictures) * 640), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 16_000
        container.mux(track.encode(sound))
        container.mux(track.encode(None))
    return source.probe(path)


def on_canvas(width, height, *placed):
    canvas = np.full((height, width, 3), 90, np.uint8)
    for picture, x, y in placed:
        canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return canvas


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 640), (101, 57), (3, 2)])
def test_tiles_cover_the_picture_and_overlap_by_half(width, height):
    seen = np.zeros((height, width), int)
    for x, y, side in tiles(width, height):
        assert 0 <= x <= width - side
        assert 0 <= y <= height - side
        seen[y : y + side, x : x + side] += 1
    assert seen.min() >= 1
    if min(width, height) > 8:
        assert seen[height // 2, width // 2] >= 4


def test_a_head_box_holds_the_head_wherever_it_went():
    boxes = np.array([[300.0, 200, 100], [360, 210, 100]])
    x, y, side, same = head_box(boxes, 1280, 720)
    assert side == same
    assert (x, y) <= (300 - 50, 200 - 50)
    assert x + side >= 360 + 50


def test_a_face_too_small_for_the_detector_is_found_part_by_part(faces, model):
    far = on_canvas(1280, 720, (faces[0][::2, ::2], 900, 150))
    assert [len(f) for f in landmarks.look_for_all([far], model)] == [0]
    (found,) = look_closely([far], model)
    assert len(found) == 1
    middle = found[0].mean(0)
    assert abs(middle - [950, 200]).max() < 25


def test_both_faces_are_seen_and_either_may_be_the_subject(faces, model, tmp_path):
    both = on_canvas(640, 360, (faces[0], 20, 60), (faces[1], 400, 60))
    video = film(tmp_path / "two.mp4", both)
    left = choose_view(video, PrepareConfig(face=1, max_side=320), model)
    right = choose_view(video, PrepareConfig(face=2, max_side=320), model)
    assert [p["subject"] for p in left.people] == [True, False]
    assert [p["subject"] for p in right.people] == [False, True]
    assert left.people[0]["middle_px"][0] < 220 < 400 < right.people[1]["middle_px"][0]
    # Pictures of both for who is to choose; the boxes lie at the faces, the chosen one's is green.
    chosen = []
    for choice in (left, right):
        assert choice.portrait is not None
        assert choice.portrait.shape == (360, 640, 3)
        green = (choice.portrait == people._CHOSEN).all(-1)
        chosen.append(float(np.flatnonzero(green.any(0)).mean()))
    assert chosen[0] < 300 < 340 < chosen[1]
    with pytest.raises(ConfigError, match="face=3 was asked for, but 2 faces are seen"):
        choose_view(video, PrepareConfig(face=3), model)


def test_auto_cuts_out_the_head_only_where_its_pixels_would_be_lost(faces, model, tmp_path):
    wide = film(tmp_path / "wide.mp4", on_canvas(640, 360, (faces[0], 300, 60)))
    cut = choose_view(wide, PrepareConfig(max_side=320), model)
    assert cut.view.crop_width == cut.view.crop_height < 640
    x, y, tall = cut.subject[0]
    assert 0 < x < cut.view.width
    assert 0 < y < cut.view.height
    assert 40 < tall < cut.view.height
    whole = choose_view(wide, PrepareConfig(max_side=640), model).view
    assert (whole.crop_width, whole.crop_height) == (640, 360)
    kept = choose_view(wide, PrepareConfig(max_side=320, crop="none"), model).view
    assert (kept.crop_width, kept.crop_height) == (640, 360)


@pytest.mark.parametrize(
    ("quarters", "cure"), [(1, "transpose=1"), (2, "vflip"), (3, "transpose=2")]
)
def test_a_picture_on_its_side_is_refused_with_the_cure(faces, model, tmp_path, quarters, cure):
    turned = np.ascontiguousarray(np.rot90(on_canvas(320, 320, (faces[1], 60, 60)), quarters))
    video = film(tmp_path / "my film.mp4", turned)
    with pytest.raises(MediaError, match=f"lies on its .*\n.*my film.mp4' -vf .*{cure}"):
        choose_view(video, PrepareConfig(), model)


@pytest.mark.parametrize(
    ("quarters", "cure"), [(1, "transpose=1"), (2, "vflip"), (3, "transpose=2")]
)
def test_a_turned_film_gets_the_right_cure_though_faces_on_their_head_look_upright(
    shared, model, tmp_path, quarters, cure
):
    with av.open(str(shared / "data" / "video" / "may_5s_512.mp4")) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][::5]
    seen = landmarks.look_for_all([np.ascontiguousarray(p[::-1, ::-1]) for p in shown], model)
    fooled = sum(any(_upright(face) for face in faces) for faces in seen)
    assert fooled > len(shown) / 2, "the detector takes most of them for upright"
    turned = np.ascontiguousarray(np.rot90(np.stack(shown), quarters, axes=(1, 2)))
    with pytest.raises(MediaError, match=rf"lies on its .*\n.* -vf \S*{cure} "):
        choose_view(film(tmp_path / "turned.mp4", turned), PrepareConfig(), model)


@pytest.mark.parametrize(("tag", "cure"), [(90, "transpose=1"), (-90, "transpose=2")])
def test_a_film_whose_tag_turns_it_onto_its_side_is_refused_with_the_cure(
    shared, model, tmp_path, tag, cure
):
    plain, tagged = shared / "data" / "video" / "may_5s_512.mp4", tmp_path / "tagged.mp4"
    with av.open(str(plain)) as inward, av.open(str(tagged), "w") as outward:
        streams = {s.index: outward.add_stream_from_template(s) for s in inward.streams}
        shown = streams[inward.streams.video[0].index]
        if not hasattr(shown, "set_display_rotation"):
            pytest.skip("this PyAV does not write the tag")
        shown.set_display_rotation(tag)
        for packet in inward.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                outward.mux(packet)
    with pytest.raises(MediaError, match=rf"lies on its side.*\n.* -vf {cure} "):
        choose_view(source.probe(tagged), PrepareConfig(), model)


def test_the_subject_is_told_in_pixels_of_the_view(faces, model, tmp_path):
    video = film(tmp_path / "wide.mp4", on_canvas(640, 360, (faces[0], 300, 60)))
    whole = choose_view(video, PrepareConfig(max_side=640, crop="none"), model)
    half = choose_view(video, PrepareConfig(max_side=320, crop="none"), model)
    np.testing.assert_allclose(np.array(whole.subject) / 2, half.subject, atol=0.02)
