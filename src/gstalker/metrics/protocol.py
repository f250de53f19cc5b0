"""Everything that defines a score: which frames, which pixels, which points, how averaged.

A :class:`Protocol` is what was chosen; a :class:`Record` is a protocol as it was carried out, and
is what ``scores.json`` holds. Two figures may share a column only if their records have one
``fingerprint``; two rows are of the same frames only if they have one ``same_frames``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np

from gstalker import face
from gstalker.data.capture import BACKGROUND, FPS, Capture
from gstalker.errors import ConfigError
from gstalker.limits import Amount, Count, Limits, Positive, Seed, Share

VERSION = 2
"""Of the definitions: goes up when a metric starts to mean something else."""

WORDS = {
    "frames": "the ids given; by default all after the first 10/11 of the frames, the boundary "
    "moved to a jump cut within 1 % of them; dropped frames left out",
    "truth": "filmed: frames as filmed; plate: their background replaced by the still one, as the "
    "field's gt_imgs; 25 fps, the capture's size, 8 bits",
    "composite": "drawn: head and torso are rendered, the background is the still plate; "
    "true-torso: torso and background are filmed; pasted: the rest of the filmed frame shows",
    "driven": "test: sound, head poses and eyes of the test frames; sound: sound only",
    "codec": "lossless: pixels as rendered, or png; else what the pictures were packed in before",
    "psnr": "mean over frames of each frame's dB; sRGB, three channels, at most 100 dB",
    "psnr_head": "all rows above the median mouth box of the training frames: what the head's pose "
    "moves and the sound does not",
    "psnr_above_chin": "all rows above the median chin of the training frames",
    "psnr_mouth": "mouth_box: reach left, above, right and below the true lips' centre, in median "
    "outer-eye distances",
    "ssim": "Gaussian window 11 x 11, sigma 1.5, windows inside the frame, mean of channels",
    "lmd": "outer and inner lip points, pixels; lmd_centred: each side's mean subtracted",
    "mouth_opening": "inner lip gap over outer-eye distance, by the same detector on both sides",
    "mouth_corr_residual": "after subtracting the mean training opening per frame of the take",
    "mouth_lag": "frames, positive where the rendered mouth is late; never across takes",
    "mouth_amp": "deviation of the rendered opening over that of the true one",
    "sharpness_mouth": "mean vertical difference in the mouth box over that of the truth",
    "stderr": "bootstrap over takes, or over stretches of block_s if there are fewer than five",
}
"""What does not change from run to run."""


@dataclass(frozen=True)
class Protocol:
    """What may be chosen."""

    landmarks: str = "auto"
    """Detector run on true and rendered frames; ``auto``: the capture's own."""
    lpips: bool = True
    """Also measure LPIPS (AlexNet), the slowest of the metrics that are on by default."""
    lpips_vgg: bool = False
    """Also measure LPIPS on VGG16: seconds a frame."""
    stlpips: bool = False
    """Also measure ST-LPIPS, which forgives small shifts: seconds a frame."""
    ms_ssim: bool = False
    """Also measure MS-SSIM."""
    fid: bool = False
    """Also measure FID; never compare it across numbers of frames."""
    identity: str = ""
    """Also measure how alike the faces are to this face recogniser, ``module:Class``: made without
    arguments, called with a picture, it gives an embedding, or ``None`` without a face."""
    sync: bool = False
    """Also measure Sync-C and Sync-D, of the rendered and of the true frames."""
    openface: str = ""
    """OpenFace's csv of the rendered frames: gives AUE."""
    openface_truth: str = ""
    """OpenFace's csv of the same true frames."""
    truth: Literal["filmed", "plate"] = "filmed"
    """What frames are compared with."""
    composite: Literal["unstated", "drawn", "true-torso", "pasted"] = "unstated"
    """What of the picture is rendered."""
    driven: Literal["unstated", "test", "sound"] = "unstated"
    """What the head was driven with."""
    codec: str = "lossless"
    """What the pictures were packed in on their way."""
    fit: Literal["refuse", "resize", "crop"] = "refuse"
    """What was done to pictures of another size than the capture's: scaled, or cut around their
    middle."""
    rate: Literal["refuse", "nearest", "frames"] = "refuse"
    """What was done to a video that is not 25 fps: nearest in time, or frame by frame."""
    open_above: Share = 0.1
    """``psnr_mouth_open`` takes frames whose true mouth opening is above this."""
    speech_below_peak_db: Amount = 30.0
    """``mouth_corr_speech`` takes frames whose sound is at most this far below the loud frames'
    (95th percentile of the capture)."""
    max_lag: Count = 5
    """Frames tried to either side for ``mouth_lag``."""
    profile_takes: Count = 5
    """``mouth_corr_residual`` needs this many training takes at each place in a take."""
    block_s: Positive = 3.0
    """Stretch that the bootstrap resamples where there are fewer than five takes."""
    resamples: Annotated[int, Limits(2, 1_000_000)] = 1000
    seed: Seed = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        if bool(self.openface) != bool(self.openface_truth):
            raise ConfigError("give both openface=PRED.csv and openface_truth=TRUE.csv, or none.")

    def comparable(self) -> dict[str, object]:
        """What must be equal for two figures to share a column, whatever the capture."""
        names = (
            *("open_above", "speech_below_peak_db", "max_lag", "profile_takes"),
            *("truth", "composite", "driven", "codec", "fit", "rate"),
        )
        return {
            "version": VERSION,
            "mouth_box": list(face.MOUTH_BOX),
            **{k: v for k, v in asdict(self).items() if k in names},
        }


@dataclass(frozen=True)
class Record:
    """A protocol as it was carried out on some frames of a capture."""

    protocol: Protocol
    capture: Capture
    ids: np.ndarray
    """``int64 [n]``: the frames scored."""
    detector: str
    """Who found the landmarks; ``none`` where nobody could."""
    backbones: dict[str, str]
    """Learned metric to the network that judged."""
    misses: int
    """True frames in which no face was found; of a film, rendered ones."""

    @property
    def split(self) -> dict[str, object]:
        """Which frames, in rules that other captures can share: ``test``, ``all`` or ``part``."""
        train, test = self.capture.split()
        if np.array_equal(self.ids, test):
            return {"rule": "test"}
        if np.array_equal(self.ids, np.concatenate([train, test])):
            return {"rule": "all"}
        inside = np.isin(self.ids, test)
        place = int(np.searchsorted(test, self.ids[0])) if inside.all() else -1
        return {"rule": "part", "count": len(self.ids), "of_test": len(test), "from_test": place}

    @property
    def fingerprint(self) -> str:
        """Equal for two records whose figures may share a column."""
        return _hash(
            {
                **self.protocol.comparable(),
                "split": self.split,
                "size": [self.capture.width, self.capture.height],
                "landmarks": self.detector,
            }
        )

    @property
    def same_frames(self) -> str:
        """Equal for two records of the same true frames."""
        return _hash({"capture": self.capture.content_id, "ids": ranges(self.ids)})

    @property
    def where(self) -> dict[str, object]:
        """Which frames, which pixels of them, and in how many no face was found."""
        regions = Regions.of(self.capture)
        return {
            "split": {**self.split, "ids": ranges(self.ids)},
            "region": {
                "full": "the whole frame",
                "head": f"rows 0 to {regions.head_rows - 1}",
                "above_chin": f"rows 0 to {regions.above_chin_rows - 1}",
                "mouth": "mouth_box around the true lips",
            },
            "landmark_misses": {} if self.detector == "none" else {"truth": self.misses},
        }

    def as_dict(self) -> dict[str, object]:
        """For ``scores.json``: what was chosen, what came of it, and what does not change."""
        return {
            "fingerprint": self.fingerprint,
            "same_frames": self.same_frames,
            "version": VERSION,
            **asdict(self.protocol),
            **self.where,
            "offset": int(self.ids[0]),
            "frame_count": len(self.ids),
            "size": [self.capture.width, self.capture.height],
            "landmark_source": self.detector,
            "backbones": self.backbones,
            "average": "mean ± standard error (bootstrap over takes)",
            "cautions": [],
            "mouth_box": list(face.MOUTH_BOX),
            "words": WORDS,
        }


@dataclass(frozen=True)
class FilmRecord(Record):
    """A protocol as it was carried out on a film with foreign sound, which has no true pictures.

    Its ``ids`` are the frames whose poses the pictures show, one a picture.
    """

    speech: str
    """The file with the sound."""
    speech_sha256: str
    floor_db: float
    """What is further below the loudest frame counts as silence."""

    @property
    def split(self) -> dict[str, object]:
        """That it is a film, and of which sound."""
        return {"rule": "film", "speech_sha256": self.speech_sha256, "floor_db": self.floor_db}

    @property
    def where(self) -> dict[str, object]:
        """The poses that were shown, and in how many pictures no face was found."""
        return {
            "split": {"rule": "film", "ids": ranges(np.unique(self.ids))},
            "region": {"full": "the whole frame", "mouth": "the points of the lips"},
            "landmark_misses": {"ours": self.misses},
            "truth": "none",
            "speech": self.speech,
            "speech_sha256": self.speech_sha256,
            "floor_db": self.floor_db,
        }


def sentence(record: dict[str, Any]) -> str:
    """A record out of ``scores.json`` as people read it, to print under a table.

    >>> told = {"frame_count": 682, "split": {"rule": "test", "ids": "6818-7499"}, "offset": 6818}
    >>> sentence(told | {"size": [512, 512], "truth": "filmed", "fingerprint": "0a1b"})
    'Frames 6818-7499 (682, test split), offset 6818, 512 x 512, truth: filmed. Protocol 0a1b.'
    """
    width, height = record["size"]
    parts = [_frames(record)]
    parts += [f"offset {record['offset']}"] if "offset" in record else []
    parts += [f"{width} x {height}", *_region(record)]
    chosen = ("truth", "composite", "driven", "codec", "fit", "rate")
    parts += [f"{k}: {record[k]}" for k in chosen if record.get(k, "refuse") != "refuse"]
    if "landmark_source" in record:
        missed = ", ".join(f"{row} {n}" for row, n in record["landmark_misses"].items())
        missed = f" (frames without a face: {missed})" if missed else ""
        parts.append(f"landmarks: {record['landmark_source']}{missed}")
    backbones = [f"{metric}: {net}" for metric, net in record.get("backbones", {}).items()]
    average = [record["average"]] if "average" in record else []
    text = ", ".join([*parts, *backbones, *average])
    cautions = "".join(f" Caution: {caution}." for caution in record.get("cautions", []))
    return f"{text}. Protocol {record['fingerprint']}.{cautions}"


def _frames(record: dict[str, Any]) -> str:
    split, count = record["split"], record["frame_count"]
    if split["rule"] == "film":
        return f"Film of {record['speech']} ({count} frames, poses of frames {split['ids']})"
    rule = {"test": "test split", "all": "all usable frames"}.get(split["rule"], "")
    rule = rule or f"part: {split['count']} frames where the test split has {split['of_test']}"
    return f"Frames {split['ids']} ({count}, {rule})"


def _region(record: dict[str, Any]) -> list[str]:
    """Which pixels each metric of a region looks at, in words; files of old versions say less."""
    box = " ".join(f"{reach:g}" for reach in record.get("mouth_box", ()))
    told = [
        f"{name.replace('_', ' ')} {where.replace('mouth_box', f'{box} eye distances')}"
        for name, where in record.get("region", {}).items()
    ]
    return [f"regions: {'; '.join(told)}"] if told else []


def ranges(ids: np.ndarray) -> str:
    """Frame ids as people write them.

    >>> ranges(np.array([3, 4, 5, 9, 11, 12]))
    '3-5,9,11-12'
    """
    starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 2) != 1)
    ends = np.append(starts[1:], len(ids)) - 1
    spans = ((int(ids[a]), int(ids[b])) for a, b in zip(starts, ends, strict=True))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def _hash(what: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Regions:
    """The pixels that regional metrics look at, all from the truth."""

    head_rows: int
    """Rows above the mouth."""
    above_chin_rows: int
    """Rows above the chin line."""
    mouth_boxes: np.ndarray
    """``int64 [F, 4]``: x0, y0, x1, y1, far ends excluded."""

    @classmethod
    def of(cls, capture: Capture) -> Regions:
        """The regions of a capture; the chin and mouth lines come from its training frames."""
        layout = face.layout(capture.meta["landmarks"])
        boxes = face.mouth_boxes(capture.landmarks, layout, capture.width, capture.height)
        train_ids, _ = capture.split()
        ids = train_ids if len(train_ids) else np.arange(capture.frame_count)
        chin = np.nanmedian(capture.landmarks[ids, layout.chin, 1])
        rows = np.clip([int(np.median(boxes[ids, 1])), round(float(chin))], 1, capture.height)
        return cls(int(rows[0]), int(rows[1]), boxes)


def true_frame(capture: Capture, protocol: Protocol, index: int) -> np.ndarray:
    """What a rendering of frame ``index`` is compared with, ``uint8 [H, W, 3]``."""
    frame = capture.frame(index)
    if protocol.truth == "filmed":
        return frame
    away = capture.mask(index) == BACKGROUND
    return np.where(away[..., None], capture.background, frame)


def speech_frames(capture: Capture, protocol: Protocol) -> np.ndarray:
    """Frames in which somebody speaks, ``bool [F]``: by loudness, relative to the capture's own."""
    samples = capture.audio().reshape(capture.frame_count, -1).astype(np.float64)
    power = np.square(samples).mean(1)
    loud = np.percentile(power, 95)
    return power > loud * 10 ** (-protocol.speech_below_peak_db / 10)


def block_frames(protocol: Protocol) -> int:
    """Length in frames of the bootstrap's stretches."""
    return max(round(protocol.block_s * FPS), 1)
