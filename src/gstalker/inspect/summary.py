"""A capture's facts in words: rows for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gstalker.data.capture import FPS
from gstalker.inspect.advice import prepare_command
from gstalker.inspect.facts import Facts
from gstalker.inspect.verdict import Finding, verdict

Row = tuple[str, str]
"""What, and how much."""


def rows(facts: Facts) -> list[Row]:
    """Everything that has one number."""
    return [
        *_film(facts),
        *_face(facts),
        *_tracking(facts),
        *_speech(facts),
        ("sound features", ", ".join(_feature_rows(facts)) or "none"),
        ("size on disk", _bytes(facts.size_bytes)),
    ]


def terminal(facts: Facts, findings: Sequence[Finding], page: str) -> str:
    """The verdict, the doubts, the numbers and where the page is."""
    lines = [f"{facts.meta['name']}: {verdict(list(findings))}", ""]
    for finding in findings:
        lines += [f"  {finding.severity}: {finding.sentence}", f"      {finding.mend}"]
    if findings:
        lines.append("")
    lines += [f"  {what:16} {much}" for what, much in rows(facts)]
    return "\n".join([*lines, "", page])


def sync_sentence(facts: Facts) -> str:
    """What is known about the offset between sound and lips."""
    sync = facts.meta.get("sync")
    if not sync:
        return f"n/a: not measured; run: {prepare_command(facts)}"
    offset = sync.get("offset_frames")
    if offset is None:
        return f"n/a: {sync.get('reason') or 'it could not be measured'}"
    parts = [f"{float(offset):+.2f} frames ({float(offset) * 40:+.0f} ms)"]
    if sync.get("stderr_frames") is not None:
        parts.append(f"known to {float(sync['stderr_frames']):.2f} frames")
    if sync.get("applied_frames"):
        parts.append(f"corrected by {float(sync['applied_frames']):+.2f} frames")
    if sync.get("reason"):
        parts.append(str(sync["reason"]))
    return ", ".join(parts)


def _film(facts: Facts) -> list[Row]:
    meta, count = facts.meta, len(facts.usable)
    source = meta.get("source", {})
    filmed = ""
    if {"file", "width", "height", "fps"} <= source.keys():
        filmed = (
            f", from {source['file']} ({source['width']} x {source['height']}, "
            f"{source['fps']:.4g} fps)"
        )
    takes = len(facts.segments)
    dropped = int((~facts.usable).sum())
    return [
        ("picture", f"{meta['width']} x {meta['height']}{filmed}"),
        ("length", f"{count / FPS:.1f} s, {count} frames, {takes} take{'s' * (takes > 1)}"),
        ("dropped", f"{dropped} frames ({facts.dropped_share:.1%})"),
        ("split", f"{facts.train_frames} frames to train on, {facts.test_frames} to test with"),
    ]


def _face(facts: Facts) -> list[Row]:
    ids = np.flatnonzero(facts.usable)
    low, high = np.percentile(facts.angles[ids], [1, 99], axis=0)
    turns = (
        f"{name} {round(float(a)):+d} to {round(float(b)):+d}"
        for name, a, b in zip(("yaw", "pitch", "roll"), low, high, strict=True)
    )
    blurred = f"{np.median(facts.looks.blur):.2f}" if len(facts.looks.blur) else "n/a"
    return [
        (
            "face",
            f"{facts.face_px:.0f} px tall, {facts.eye_px:.0f} px between the outer eye corners",
        ),
        ("blur of mouth", f"{blurred} (0 sharp, 1 without detail)"),
        ("head turns", ", ".join(turns) + " degrees (98 % of the frames)"),
        ("plate", _plate(facts)),
    ]


def _plate(facts: Facts) -> str:
    levels = facts.looks.plate_levels
    unseen = f"{facts.looks.unseen_share:.0%} never seen"
    if not np.isfinite(levels).any():
        return f"nothing is seen behind the person ({unseen})"
    return f"differs by {np.nanmedian(levels):.0f} levels from what is filmed, {unseen}"


def _tracking(facts: Facts) -> list[Row]:
    report = facts.meta.get("tracker", {})
    jitter = f"{facts.jitter_deg:.3f} degrees, {facts.jitter_px:.2f} px"
    if report.get("jitter_deg_raw") is not None and report.get("jitter_px_raw") is not None:
        raw = f"{report['jitter_deg_raw']:.3f} degrees, {report['jitter_px_raw']:.2f} px"
        jitter += f" (before smoothing {raw})"
    if report.get("reprojection_px") is not None:
        misfit = f"{report['reprojection_px']:.2f} px"
        if report.get("reprojection_px_p95") is not None:
            misfit += f", 95 % of the frames below {report['reprojection_px_p95']:.2f} px"
    elif facts.misfit is not None:
        misfit = f"{np.nanmedian(facts.misfit.frame_px[facts.usable]):.2f} px"
    else:
        misfit = "n/a: the mesh has no landmark for each of its points"
    focal = f"{facts.meta['focal_px']:.0f} px"
    if report.get("focal_spread") is not None:
        spread = float(report["focal_spread"])
        focal += f", known to {spread:.0%}" if spread else ", given"
    return [("jitter", jitter), ("reprojection", misfit), ("focal length", focal)]


def _speech(facts: Facts) -> list[Row]:
    sound, eyes = facts.sound, facts.blinking
    blinks = f"{len(eyes.blinks)} ({eyes.per_minute:.0f} a minute)"
    if eyes.depth is not None and eyes.contrast is not None:
        noise = f"{eyes.contrast:.0f}" if eyes.contrast < 1000 else "more than 1000"
        blinks += f", {eyes.depth:.0%} deep, {noise} times the noise"
    provider = facts.meta.get("eye", {}).get("provider")
    if provider:
        blinks += f", from {provider}"
    return [
        ("speech", f"{sound.speech_share:.0%} of the time, silence the rest"),
        (
            "loudness",
            f"speech {sound.speech_db:.0f} dB, quietest {sound.floor_db:.0f} dB below full scale, "
            f"{sound.clipped_share:.2%} clipped".replace("-", ""),
        ),
        ("mouth", f"opening deviates by {facts.mouth_spread:.3f} of the distance of the eyes"),
        ("blinks", blinks),
        ("sync", sync_sentence(facts)),
    ]


def _feature_rows(facts: Facts) -> list[str]:
    return [
        f"{kind} ({spec['dim']} x {spec['rows_per_frame']} a frame)"
        for kind, spec in facts.meta["features"].items()
    ]


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
