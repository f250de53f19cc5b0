"""The words of a table: what a column is called, in which unit, and which way is better.

Papers and we name the same quantity differently, and often measure something else under the same
name. A reported figure may stand under one of our columns only with a mark; here it says which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gstalker.metrics.catalogue import METRICS


@dataclass(frozen=True)
class Column:
    """One quantity in a table."""

    name: str
    """As ``--metrics`` takes it; for our own scores, as in ``scores.json``."""
    title: str
    unit: str = "1"
    """``1`` for a quantity without one."""
    digits: int = 3
    """Behind the point."""
    higher_is_better: bool | None = None
    aim: float | None = None
    """The best value, where it lies in the middle."""
    reported: str = ""
    """What papers print of this kind; empty if they print nothing like it."""

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return self.title if self.unit == "1" else f"{self.title} ({self.unit})"

    @property
    def arrow(self) -> str:
        """Where it is better: behind a heading."""
        return {True: " ↑", False: " ↓", None: ""}[self.higher_is_better]

    @property
    def is_ranked(self) -> bool:
        """Whether some values are better than others."""
        return self.higher_is_better is not None or self.aim is not None

    def badness(self, value: float) -> float:
        """Less is better."""
        if self.aim is not None:
            return abs(value - self.aim)
        return -value if self.higher_is_better else value


UNITS = ("1", "dB", "px", "frames/s", "MB", "GB", "h", "min", "s", "score")
MINUTES = {"h": 60.0, "min": 1.0, "s": 1 / 60}
"""Of each unit of time."""

REPORTED: dict[str, Column] = {
    column.name: column
    for column in (
        Column("psnr", "PSNR", "dB", 2, True),
        Column("psnr_face", "PSNR face", "dB", 2, True),
        Column("ssim", "SSIM", higher_is_better=True),
        Column("ms_ssim", "MS-SSIM", higher_is_better=True),
        Column("lpips", "LPIPS", digits=4, higher_is_better=False),
        Column("lpips_face", "LPIPS face", digits=4, higher_is_better=False),
        Column("fid", "FID", digits=2, higher_is_better=False),
        Column("niqe", "NIQE", digits=2, higher_is_better=False),
        Column("brisque", "BRISQUE", digits=2, higher_is_better=False),
        Column("lmd", "LMD", "px", higher_is_better=False),
        Column("m_lmd", "M-LMD", higher_is_better=False),
        Column("aue", "AUE", higher_is_better=False),
        Column("aue_lower", "AUE lower", higher_is_better=False),
        Column("aue_upper", "AUE upper", higher_is_better=False),
        Column("sync_c", "Sync-C", higher_is_better=True),
        Column("sync_d", "Sync-D", higher_is_better=False),
        Column("csim", "CSIM", higher_is_better=True),
        Column("fvmd", "FVMD", digits=1, higher_is_better=False),
        Column("user_lip_sync", "users: lip sync", "score", 2, True),
        Column("user_image", "users: image", "score", 2, True),
        Column("user_realness", "users: realness", "score", 2, True),
        Column("train_time", "training", "min", 1, False),
        Column("fps", "speed", "frames/s", 1, True),
        Column("size", "size", "MB", 1, False),
        Column("memory", "memory", "GB", 1, False),
    )
}
"""What papers print, by the name that ``experiments/reported`` gives it."""

_OURS: tuple[Column, ...] = (
    Column("psnr_full", "PSNR", "dB", 2, reported="psnr"),
    Column("psnr_pooled", "PSNR pooled", "dB", 2),
    Column("psnr_head", "PSNR head", "dB", 2),
    Column("psnr_above_chin", "PSNR above chin", "dB", 2),
    Column("psnr_mouth", "PSNR mouth", "dB", 2),
    Column("psnr_mouth_open", "PSNR open mouth", "dB", 2),
    Column("ssim_full", "SSIM", reported="ssim"),
    Column("ms_ssim_full", "MS-SSIM", reported="ms_ssim"),
    Column("lpips_alex", "LPIPS", digits=4, reported="lpips"),
    Column("lmd", "LMD, not centred", "px"),
    Column("lmd_centred", "LMD", "px", reported="lmd"),
    Column("lmd_iod", "LMD, not centred, by eyes", "eye distances", 4),
    Column("lmd_centred_iod", "LMD by eyes", "eye distances", 4),
    Column("mouth_corr", "mouth r"),
    Column("mouth_corr_residual", "mouth r, residual"),
    Column("mouth_corr_speech", "mouth r, speech"),
    Column("mouth_lag", "mouth lag", "frames", 2),
    Column("mouth_amp", "mouth amplitude"),
    Column("sharpness_mouth", "mouth sharpness"),
    Column("faces_found", "faces found"),
    Column("jitter_lips", "jitter of lips"),
    Column("jitter_eyes", "jitter of eyes"),
    Column("sync_c", "Sync-C", reported="sync_c"),
    Column("sync_d", "Sync-D", reported="sync_d"),
    Column("sync_c_truth", "Sync-C of the truth"),
    Column("sync_d_truth", "Sync-D of the truth"),
    Column("sync_offset", "Sync offset", "frames", 1),
    Column("sound_corr", "r of mouth and loudness"),
    Column("sound_corr_elsewhere", "r with sound from elsewhere"),
    Column("sound_corr_filmed", "r when filmed"),
    Column("sound_lag", "lag behind loudness", "frames", 2),
    Column("shake_lips", "shaking of lips", "1e-3 eye distances", 1),
    Column("shake_eyes", "shaking of eyes", "1e-3 eye distances", 1),
    Column("driven_sync_c", "Sync-C, driven", reported="sync_c"),
    Column("driven_sync_d", "Sync-D, driven", reported="sync_d"),
    Column("driven_sync_offset", "Sync offset, driven", "frames", 1),
    Column("driven_identity", "identity, driven"),
    Column("driven_faces_found", "faces found, driven"),
    Column("aue", "AUE", reported="aue"),
    Column("aue_lower", "AUE lower", reported="aue_lower"),
    Column("aue_upper", "AUE upper", reported="aue_upper"),
    Column("fid", "FID", digits=2, reported="fid"),
    Column("brisque", "BRISQUE", digits=2, reported="brisque"),
    Column("identity", "identity"),
    Column("train_minutes", "training", "min", 1, False, reported="train_time"),
    Column("peak_memory_mib", "memory", "MiB", 0, False),
    Column("parameters", "parameters", digits=0),
    Column("weights_mb", "size", "MB", 2, False, reported="size"),
    Column("frames_per_second", "speed", "frames/s", 1, True, reported="fps"),
)
"""Ours that have a title of their own; the direction comes from the metrics themselves."""

USUAL = (
    *("psnr_full", "psnr_mouth", "ssim_full", "lpips_alex", "lmd_centred", "mouth_corr"),
    *("mouth_corr_residual", "sync_c", "train_minutes", "frames_per_second"),
)
"""Columns of a table for which none were chosen, as far as somebody has them."""


def column(name: str) -> Column:
    """The column of one of our metrics; a name that has no title of its own is its own title.

    >>> column("lmd_centred_mediapipe").heading
    'LMD mediapipe (px)'
    >>> column("psnr_full").higher_is_better
    True
    """
    kind = _longest(name, METRICS)
    base = base_name(name)
    known = next((c for c in _OURS if c.name == base), Column(name, name.replace("_", " ")))
    rest = name[len(known.name) :].strip("_") if known.name != name else ""
    known = replace(known, name=name, title=f"{known.title} {rest}".strip())
    if kind is None:
        return known
    return replace(known, higher_is_better=METRICS[kind].higher_is_better, aim=METRICS[kind].best)


def base_name(name: str) -> str:
    """A metric's name without the detector that stands behind it.

    >>> base_name("lmd_centred_mediapipe"), base_name("lmd_centred_iod_mediapipe")
    ('lmd_centred', 'lmd_centred_iod')
    """
    return _longest(name, {known.name: known for known in _OURS}) or name


def is_known(name: str) -> bool:
    """Whether a name is one of ours or of the papers', whoever has such a figure."""
    return name in REPORTED or _longest(name, dict.fromkeys(names())) is not None


def names() -> list[str]:
    """Every name of ours, without a detector's behind it, then those of the papers."""
    return list(dict.fromkeys([*METRICS, *(column.name for column in _OURS), *REPORTED]))


def _longest(name: str, known: dict) -> str | None:
    """The longest known name that this one is or begins with, whatever detector follows."""
    fitting = [key for key in known if name == key or name.startswith(f"{key}_")]
    return max(fitting, key=len, default=None)
