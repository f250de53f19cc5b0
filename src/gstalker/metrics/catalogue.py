"""Every metric by its name in ``scores.json``: which way is better, in which unit, and what it is.

The order is that of the tables. Metrics of landmarks carry the detector's name behind them
(``lmd_mediapipe``), and identities the recogniser's, because another gives other figures.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a figure is."""

    higher_is_better: bool | None
    """``None``: best at ``best``."""
    unit: str
    words: str
    best: float | None = None
    """The best value where neither more nor less is better."""
    by_detector: bool = False
    """Whether the detector's name stands behind the metric's."""

    def as_dict(self) -> dict[str, object]:
        """For ``scores.json``."""
        told: dict[str, object] = {"higher_is_better": self.higher_is_better, "unit": self.unit}
        if self.best is not None:
            told["best"] = self.best
        return {**told, "words": self.words}


_LPIPS = "learned distance (LPIPS v0.1) on {}, pictures in [-1, 1], mean over frames"
_LMD = "distance of outer and inner lip points"
_CENTRED = "; each side's mean subtracted, as ER-NeRF's LMDMeter does"
_IOD = "; over the true distance of the outer eye corners in that frame"
_PASTED = (
    "share of 8 x 8 blocks of the {}, plain ones left out, whose grey is filmed within 1 level "
    "(2 if packed)"
)

METRICS: dict[str, Kind] = {
    "psnr_full": Kind(True, "dB", "mean over frames of each frame's dB; at most 100"),
    "psnr_pooled": Kind(True, "dB", "dB of the mean squared error over all frames"),
    "psnr_head": Kind(True, "dB", "rows above the median mouth box of the training frames"),
    "psnr_above_chin": Kind(True, "dB", "rows above the median chin of the training frames"),
    "psnr_mouth": Kind(True, "dB", "the box around the true lips"),
    "psnr_mouth_open": Kind(True, "dB", "psnr_mouth, frames whose true mouth is open"),
    "ssim_full": Kind(True, "", "Gaussian window 11 x 11, sigma 1.5, mean of channels"),
    "ms_ssim_full": Kind(True, "", "SSIM over five scales (Wang et al. 2003)"),
    "lpips_alex": Kind(False, "", _LPIPS.format("AlexNet")),
    "lpips_vgg": Kind(False, "", _LPIPS.format("VGG16")),
    "stlpips_alex": Kind(False, "", "shift-tolerant LPIPS on AlexNet, mean over frames"),
    "fid": Kind(False, "", "Frechet distance of Inception features, rendered against true frames"),
    "brisque": Kind(
        *(False, "", "how natural the rendering looks by itself, 0 to 100, mean over frames")
    ),
    "identity": Kind(
        *(True, "", "cosine of a face recogniser's embeddings, rendered and true"), by_detector=True
    ),
    "lmd": Kind(False, "px", _LMD, by_detector=True),
    "lmd_centred": Kind(False, "px", _LMD + _CENTRED, by_detector=True),
    "lmd_iod": Kind(False, "eye distances", _LMD + _IOD, by_detector=True),
    "lmd_centred_iod": Kind(False, "eye distances", _LMD + _CENTRED + _IOD, by_detector=True),
    "mouth_corr": Kind(True, "r", "correlation of rendered and true mouth opening"),
    "mouth_corr_residual": Kind(True, "r", "after subtracting what all training takes share"),
    "mouth_corr_speech": Kind(True, "r", "mouth_corr, frames in which somebody speaks"),
    "mouth_lag": Kind(None, "frames", "positive where the rendered mouth is late", best=0.0),
    "mouth_amp": Kind(None, "", "deviation of the rendered opening over the true one's", best=1.0),
    "sync_c": Kind(True, "", "SyncNet's confidence: median - minimum over offsets"),
    "sync_d": Kind(False, "", "SyncNet's least distance over offsets of 15 frames"),
    "sync_offset": Kind(None, "frames", "SyncNet's offset with the least distance", best=0.0),
    "sync_c_truth": Kind(None, "", "sync_c of the true frames, the same clips"),
    "sync_d_truth": Kind(None, "", "sync_d of the true frames, the same clips"),
    "aue": Kind(False, "", "sum over 17 action units of the mean squared difference (OpenFace _r)"),
    "aue_lower": Kind(False, "", "aue of units 10 12 14 15 17 20 23 25 26"),
    "aue_upper": Kind(False, "", "aue of units 01 02 04 05 06 07 09 45"),
    "sharpness_mouth": Kind(None, "", "vertical differences in the mouth over the true", best=1.0),
    "temporal_full": Kind(False, "levels", "error of the change since the frame before, of 255"),
    "temporal_mouth": Kind(False, "levels", "temporal_full in the box around the true lips"),
    "jitter_lips": Kind(None, "", "second differences over the true ones", 1.0, by_detector=True),
    "jitter_eyes": Kind(None, "", "the same of the outer eye corners", 1.0, by_detector=True),
    "sound_corr": Kind(True, "r", "correlation of a driven mouth's opening and the loudness in dB"),
    "sound_corr_elsewhere": Kind(
        None, "r", "sound_corr with the sound half its length away: chance"
    ),
    "sound_corr_filmed": Kind(None, "r", "sound_corr of the filmed mouth and its own sound"),
    "sound_lag": Kind(None, "frames", "positive where the driven mouth is late", best=0.0),
    "shake_lips": Kind(False, "1e-3 eye distances", "second differences of driven lip points"),
    "shake_eyes": Kind(False, "1e-3 eye distances", "the same of the outer eye corners"),
    "driven_sync_c": Kind(True, "", "sync_c of films with foreign sound"),
    "driven_sync_d": Kind(False, "", "sync_d of films with foreign sound"),
    "driven_sync_offset": Kind(None, "frames", "sync_offset of these films", best=0.0),
    "driven_identity": Kind(
        True, "", "identity of films with foreign sound, to the frames of their poses", None, True
    ),
    "driven_faces_found": Kind(True, "", "share of driven frames in which a face was found"),
    "faces_found": Kind(True, "", "share of rendered frames in which a face was found"),
    "pasted_head": Kind(None, "", _PASTED.format("head")),
    "pasted_torso": Kind(None, "", _PASTED.format("torso")),
}

OF_FILMS = ("sound_", "shake_", "driven_")
"""How metrics of films with foreign sound are called; all others are of test frames."""


def base_name(metric: str) -> str:
    """The key in ``METRICS`` of a metric, whatever detector's name it carries.

    >>> base_name("lmd_centred_mediapipe"), base_name("lpips_alex")
    ('lmd_centred', 'lpips_alex')
    """
    if metric in METRICS:
        return metric
    stems = [k for k, kind in METRICS.items() if kind.by_detector and metric.startswith(f"{k}_")]
    if not stems:
        raise ValueError(f"unknown metric '{metric}'")
    return max(stems, key=len)


def in_order(names: list[str]) -> list[str]:
    """Metric names in the order of the tables.

    >>> in_order(["mouth_lag", "lmd_iod_x", "psnr_full"])
    ['psnr_full', 'lmd_iod_x', 'mouth_lag']
    """
    known = list(METRICS)
    return sorted(names, key=lambda name: known.index(base_name(name)))


def meanings(names: list[str]) -> dict[str, dict[str, object]]:
    """What ``scores.json`` says of its metrics."""
    return {name: METRICS[base_name(name)].as_dict() for name in in_order(names)}
