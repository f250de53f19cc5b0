"""What a user may choose about turning a video into a capture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from gstalker.limits import Amount, Limits, Positive, Share, Whole


@dataclass(frozen=True)
class PrepareConfig:
    """Choices of :func:`gstalker.prepare.prepare`; every default is meant to be right."""

    name: str = ""
    """Name of the capture; empty: the folder's."""
    max_side: Annotated[int, Limits(32, 8192)] = 512
    """Longer side of the pictures in pixels; larger videos are scaled down, smaller ones kept."""
    crop: Literal["auto", "none", "head"] = "auto"
    """``head`` keeps a square around head and shoulders, ``none`` the whole picture; ``auto`` is
    ``head`` where the face comes out larger, in pictures that must be scaled down."""
    face: Whole = 0
    """Whose face, counted from 1 at the left, where several are seen; 0: the largest and steadiest
    one whose lips move."""
    reader: Literal["auto", "decord", "av"] = "auto"
    """Who reads the frames; ``auto``: decord, and PyAV for files that decord cannot read."""
    audio: str = "auto"
    """Sound features, one or several with commas between: mel, whisper, hubert, wav2vec2. Log-mel
    is made always; ``auto`` makes Whisper's too if its weights are there."""
    audio_features: str = ""
    """A ``.npy`` of sound features that another program made of this video, as ER-NeRF and its
    relatives store them; its kind (DeepSpeech, wav2vec2, HuBERT, AVE) is told by its shape."""
    fix_sync: bool = False
    """Whether the sound is moved to the lips if it is found early or late; also ``--fix-sync``."""
    eye: str = "landmarks"
    """Who tells how open the eyes are: ``landmarks`` (lid gap), ``blendshapes`` (MediaPipe's, a
    second look at every frame), ``constant``, or OpenFace's ``FILE.csv``."""
    parser: str = "colour"
    """Who says what each pixel shows: ``outline`` (person, head, torso, mouth), ``colour`` (also
    hair, teeth and neck, by their colours), or a class of one's own, ``module:Class``; see
    ``docs/add-a-parser.md``."""
    focal_px: Positive | None = None
    """Focal length in pixels of the prepared pictures where it is known; else it is estimated."""
    smooth_frames: Amount = 1.0
    """Standard deviation of the Gaussian that smooths head poses, in frames; 0 turns it off."""
    refine: Literal["pictures", "none"] = "pictures"
    """``pictures``: head poses are moved until the face's rigid part looks alike in all frames;
    ``none``: they stay as the landmarks have them."""
    face_model: str = "none"
    """A morphable face that the tracker fits, with an expression for every frame: ``FILE.npz``, or
    ``ict_facekit`` from the weights folder; ``auto``: that one if it is there. ``none``: one rest
    shape, from MediaPipe's canonical face. On three clips the model halves the misfit of all points
    (1.6 to 0.7 pixels) and tells expressions; refined poses come out no truer and no steadier."""
    max_gap_frames: Whole = 5
    """Longest gap, in frames, over which the landmarks of a face not found are interpolated; the
    frames of longer ones are dropped."""
    min_face_share: Share = 0.5
    """Smallest share of frames in which a face must be found."""
    min_seconds: Amount = 2.0
    """Shortest video that is accepted."""
    workers: Whole = 0
    """Processes for landmarks and masks; 0: one per core, at most 8. Does not change the result."""
