"""SyncNet's conventions by hand, and our way through them against the package's own pipeline."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from gstalker import weights
from gstalker.errors import BackendMissing
from gstalker.metrics.syncnet import (
    INSTALL,
    S3FD,
    SyncConfidence,
    SyncDistance,
    SyncNet,
    crop,
    offset_distances,
    smoothed,
    verdict,
)


def gradient(height, width):
    """A picture whose colours tell where a pixel is."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


def test_the_crop_reaches_as_far_as_run_pipelines():
    # A square face of 100 pixels around (120, 100): half 50, so x 50 to 190, y 50 to 190.
    found = crop(gradient(250, 250), 50.0, 120.0, 100.0)
    assert found.shape == (224, 224, 3)
    assert abs(int(found[0, 0, 0]) - 50) <= 1
    assert abs(int(found[0, 0, 1]) - 50) <= 1
    assert abs(int(found[-1, -1, 0]) - 189) <= 1
    assert abs(int(found[-1, -1, 1]) - 189) <= 1


def test_beyond_the_frame_it_is_grey():
    found = crop(np.full((100, 100, 3), 255, np.uint8), 50.0, 50.0, 50.0)
    assert (found[:, 0] == 110).all()  # x from -20
    assert (found[112, 112] == 255).all()
    assert (found[-1] == 110).all()  # y to 140


def test_boxes_are_smoothed_by_a_median_of_thirteen():
    boxes = np.tile([10.0, 20.0, 50.0, 120.0], (30, 1))
    boxes[12:18] += 500  # six frames off are outvoted
    assert (smoothed(boxes)[6:24] == [50, 30, 70]).all()


def test_distances_at_every_offset_by_hand():
    rng = np.random.default_rng(0)
    lips, sound = rng.normal(size=(2, 9, 4))
    found = offset_distances(torch.from_numpy(lips), torch.from_numpy(sound), 3).numpy()
    for i in range(9):
        for k, offset in enumerate(range(-3, 4)):
            heard = sound[i + offset] if 0 <= i + offset < 9 else np.zeros(4)
            assert found[i, k] == pytest.approx(np.linalg.norm(lips[i] - heard + 1e-6))


def test_a_late_sound_has_the_offset_of_syncnet():
    rng = np.random.default_rng(1)
    lips = torch.from_numpy(rng.normal(size=(60, 8)))
    told = verdict(offset_distances(lips, lips.roll(4, 0)).numpy()[5:-5])
    assert told.offset == -4
    assert told.distance == pytest.approx(0, abs=1e-4)
    assert told.confidence > 1


class Eyes(nn.Module):
    """Embeds the window's five frames as their mean colours, the sound as its mean coefficients."""

    def forward_lip(self, x):
        assert x.shape[1:] == (3, 5, 224, 224)
        return x.mean((3, 4)).flatten(1)

    def forward_aud(self, x):
        assert x.shape[1:] == (1, 13, 20)
        return x.reshape(len(x), 13, 20)[:, :, :5].flatten(1)[:, :15]


def test_the_network_gets_five_bgr_frames_and_twenty_steps_of_sound():
    mfcc = pytest.importorskip(
        "python_speech_features", reason="SyncNet's MFCC: pip install python-speech-features"
    ).mfcc
    rng = np.random.default_rng(2)
    crops = np.zeros((30, 224, 224, 3), np.uint8)
    crops[..., 0] = np.arange(30)[:, None, None]  # red tells the frame
    samples = rng.integers(-9000, 9000, 30 * 640).astype(np.int16)
    found = SyncNet(Eyes()).distances(crops, samples)
    assert found.shape == (25, 31)
    steps = mfcc(samples, 16000).T
    lips = np.concatenate([np.zeros(10), np.arange(7, 12)])  # B, G, then R of frames 7 to 11
    for offset in (-2, 0, 3):
        start = (7 + offset) * 4
        heard = steps[:, start : start + 5].ravel()[:15]
        assert found[7, 15 + offset] == pytest.approx(np.linalg.norm(lips - heard), rel=1e-4)


def test_metrics_are_means_over_clips():
    clips = [torch.tensor([[5.0, 1.0, 4.0]]), torch.tensor([[9.0, 7.0, 8.0]])]
    confidence, distance = SyncConfidence(), SyncDistance()
    for clip in clips:
        confidence.update(clip)
        distance.update(clip)
    assert float(confidence.compute()) == (3 + 1) / 2
    assert float(distance.compute()) == (1 + 7) / 2
    assert (confidence.higher_is_better, distance.higher_is_better) == (True, False)


def test_without_weights_it_says_which_files_go_where(tmp_path, monkeypatch):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendMissing) as error:
        SyncNet.load()
    assert "syncnet_v2.model" in str(error.value)
    assert "sfd_face.pth" in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.fixture
def package():
    return pytest.importorskip("syncnet_python", exc_type=ImportError, reason=INSTALL)


def test_our_way_is_the_packages_with_the_same_random_weights(package, tmp_path, monkeypatch):
    """``SyncNetInstance.evaluate`` on a folder of frames and sound, against ours on the same."""
    import cv2
    from scipy.io import wavfile

    torch.manual_seed(0)
    net = package.SyncNetModel().eval()
    (tmp_path / "weights").mkdir()
    torch.save(net.state_dict(), tmp_path / "weights" / "syncnet_v2.model")
    monkeypatch.setattr(weights, "folders", lambda: [tmp_path / "weights"])
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (42, 8, 8, 3), np.uint8)
    for k, picture in enumerate(small):
        cv2.imwrite(str(tmp_path / f"{k:06d}.jpg"), cv2.resize(picture, (224, 224)))
    samples = rng.integers(-9000, 9000, 42 * 640).astype(np.int16)
    wavfile.write(tmp_path / "audio.wav", 16000, samples)
    theirs = package.SyncNetInstance(net, device="cpu").evaluate(
        SimpleNamespace(tmp_dir=str(tmp_path), batch_size=20, vshift=15)
    )
    crops = [cv2.imread(str(file))[..., ::-1] for file in sorted(tmp_path.glob("*.jpg"))]
    ours = verdict(SyncNet.load().distances(np.stack(crops), samples))
    assert (ours.offset, ours.confidence, ours.distance) == pytest.approx(theirs, rel=1e-4)


def test_our_surest_face_is_the_packages_with_the_same_random_weights(
    package, tmp_path, monkeypatch
):
    """What ``SyncNetPipeline.inference`` does with a frame, against ours on the same."""
    import cv2
    from syncnet_python.detectors.s3fd.nets import S3FDNet
    from syncnet_python.syncnet_pipeline import PipelineConfig, SyncNetPipeline

    torch.manual_seed(2)
    net = S3FDNet(device="cpu")
    for layer in net.conf:
        nn.init.normal_(layer.weight, std=0.5)  # sure of some places, and unsure of most
    file = tmp_path / "sfd_face.pth"
    torch.save(net.state_dict(), file)
    monkeypatch.setattr(weights, "folders", lambda: [tmp_path])
    theirs, asked = SyncNetPipeline._load_s3fd(SimpleNamespace(device="cpu"), file), PipelineConfig
    ours = S3FD()
    rng = np.random.default_rng(5)
    for _ in range(3):
        frame = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (320, 256))
        cv2.imwrite(str(tmp_path / "frame.png"), frame[..., ::-1])
        read = cv2.cvtColor(cv2.imread(str(tmp_path / "frame.png")), cv2.COLOR_BGR2RGB)
        faces = theirs.detect_faces(read, conf_th=0.9, scales=[asked.facedet_scale])
        assert len(faces) > 1
        surest = max(faces.tolist(), key=lambda face: face[-1])
        assert ours(frame).tolist() == surest[:-1]
    for layer in net.conf:
        nn.init.zeros_(layer.weight)  # everything is a face with 0.5, and none with 0.9
    torch.save(net.state_dict(), file)
    assert S3FD()(frame) is None


def test_our_crop_is_the_packages(package, tmp_path, monkeypatch):
    """``SyncNetPipeline._crop``'s arithmetic, its video writer replaced by a list."""
    import cv2

    shown = []
    writer = SimpleNamespace(write=lambda p: shown.append(p.copy()), release=lambda: None)
    monkeypatch.setattr(cv2, "VideoWriter", lambda *_: writer)
    rng = np.random.default_rng(4)
    frames, boxes = [], []
    for k in range(20):
        frames.append(rng.integers(0, 256, (180, 200, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f"{k}.png"), frames[-1][..., ::-1])
        boxes.append(np.array([40, 30, 150, 160]) + rng.normal(0, 3, 4))
    from syncnet_python import syncnet_pipeline

    class Stop(Exception):
        pass

    def stop(*_, **__):
        raise Stop

    monkeypatch.setattr(syncnet_pipeline.subprocess, "run", stop)
    pipeline = SimpleNamespace(cfg=syncnet_pipeline.PipelineConfig())
    track = {"frame": np.arange(20), "bbox": np.stack(boxes)}
    files = [str(tmp_path / f"{k}.png") for k in range(20)]
    with pytest.raises(Stop):
        syncnet_pipeline.SyncNetPipeline._crop(
            pipeline, track, files, tmp_path / "a.wav", tmp_path / "crop" / "0"
        )
    for k, at in enumerate(smoothed(np.stack(boxes))):
        if k >= 6 and k < 14:  # beyond, the median of zeros makes a box of no size
            assert (crop(frames[k], *at) == shown[k][..., ::-1]).all(), k
