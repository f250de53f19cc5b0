"""Who reads what: one entry for every layout that a capture can be exported to."""

from __future__ import annotations

from dataclasses import dataclass

from gstalker.errors import ConfigError
from gstalker.exchange.colours import Dialect
from gstalker.plugins import did_you_mean


@dataclass(frozen=True)
class Layout:
    """What the readers of one layout want to find."""

    readers: str
    """Projects that read it."""
    dialect: Dialect
    """Colours of ``parsing/``."""
    true_numbers: bool
    """Pictures keep their number and those without ``.lms`` stay; otherwise they are left out and
    the rest counted anew, so that there are as many ``.lms`` as ``.jpg``."""
    features: tuple[str, ...]
    """Kinds of sound features, one of which its readers need; the first is their default."""
    units: tuple[str, ...]
    """Columns of ``au.csv`` that they read."""
    head_imgs: bool = False
    """Also ``head_imgs`` and AD-NeRF's three config files."""
    teeth_mask: bool = False
    """Also ``teeth_mask``."""
    blendshapes: bool = False
    """Also ``bs.npy``, where the capture's tracker fitted a face model."""
    soft_face: bool = False
    """Also ``parsing/<i>_face.png``."""
    split_wavs: bool = False
    """Also ``aud_train.wav`` and ``aud_novel.wav``."""
    not_made: str = ""
    """What a reader opens that no capture tells, and who makes it."""


LAYOUTS = {
    "er-nerf": Layout(
        "RAD-NeRF, ER-NeRF and SyncTalk (which asks for --au45 where there is no bs.npy)",
        "4-colour",
        true_numbers=False,
        features=("deepspeech", "esperanto", "hubert"),
        units=("AU45",),
        blendshapes=True,
        soft_face=True,
    ),
    "talkinggaussian": Layout(
        "TalkingGaussian and InsTaG",
        "6-colour",
        true_numbers=False,
        features=("deepspeech", "esperanto", "hubert"),
        units=("AU01", "AU04", "AU05", "AU06", "AU07", "AU25", "AU45"),
        teeth_mask=True,
        not_made=(
            "sapiens/, the depth and normals that InsTaG trains with.\n"
            "    Make them from the pictures with its data_utils/sapiens/run.sh; TalkingGaussian "
            "reads none."
        ),
    ),
    "gaussiantalker": Layout(
        "GaussianTalker",
        "4-colour",
        true_numbers=False,
        features=("deepspeech",),
        units=("AU45",),
        split_wavs=True,
    ),
    "ad-nerf": Layout(
        "AD-NeRF",
        "4-colour",
        true_numbers=True,
        features=("deepspeech",),
        units=(),
        head_imgs=True,
    ),
}


def layout(name: str) -> Layout:
    """The layout called ``name``.

    Raises:
        ConfigError: there is none; says what was probably meant.
    """
    if name not in LAYOUTS:
        raise ConfigError(
            f"there is no layout '{name}'{did_you_mean(name, LAYOUTS)}\n"
            f"  Known: {', '.join(LAYOUTS)}."
        )
    return LAYOUTS[name]
