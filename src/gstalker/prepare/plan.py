"""The order of the steps from a video to a capture: what each reads, writes and depends on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gstalker import files
from gstalker.prepare.steps import WORK, Step

if TYPE_CHECKING:
    from gstalker.prepare.recipe import Recipe

FACES, FACE_MODEL = "face_landmarker", "ict_facekit"


def plan(recipe: Recipe, do: Any, models: dict[str, Path]) -> list[Step]:
    """The steps of a recipe.

    Args:
        recipe: the choices, and what is already known of the video.
        do: the work itself; see ``stations``.
        models: files of models.
    """
    c, kinds = recipe.config, recipe.feature_kinds
    faces = files.sha256(models[FACES])
    return [
        Step("audio", 3, (f"{WORK}/audio.wav", f"{WORK}/audio.json"), do.audio),
        Step(
            "view",
            2,
            (f"{WORK}/view.json", f"{WORK}/people.json"),
            do.view,
            (),
            {"max_side": c.max_side, "crop": c.crop, "face": c.face, "model": faces},
        ),
        Step(
            "frames",
            1,
            ("frames.npy", "checksums.npy", f"{WORK}/thumbs.npy", f"{WORK}/torn.npy"),
            do.frames,
            ("view",),
            {"reader": c.reader},
        ),
        Step("takes", 1, (f"{WORK}/takes.json",), do.takes, ("frames",), {"model": faces}),
        Step(
            "landmarks",
            2,
            ("landmarks.npy", f"{WORK}/bridges.json"),
            do.landmarks,
            ("view", "frames", "takes"),
            {
                "model": faces,
                "min_face_share": c.min_face_share,
                "max_gap_frames": c.max_gap_frames,
            },
        ),
        Step(
            "track",
            10,
            (
                *("poses.npy", "poses_raw.npy", "mesh.npy", "mouth.npy"),
                *(["expressions.npy"] if recipe.face_model else []),
                f"{WORK}/track.json",
            ),
            do.track,
            ("view", "frames", "takes", "landmarks"),
            {
                "focal_px": c.focal_px,
                "smooth_frames": c.smooth_frames,
                "refine": c.refine,
                "face_model": files.sha256(recipe.face_model) if recipe.face_model else None,
            },
        ),
        Step(
            "eyes",
            1,
            ("eye.npy", f"{WORK}/eyes.json"),
            do.eyes,
            ("view", "frames", "takes", "landmarks", "track"),
            {"eye": c.eye, "content": recipe.eye_content(faces)},
        ),
        Step(
            "masks",
            3,
            ("masks.npy",),
            do.masks,
            ("view", "frames", "landmarks"),
            {"parser": c.parser, "identity": recipe.parser_identity},
        ),
        Step(
            "sync",
            1,
            (f"{WORK}/sync.json",),
            do.sync,
            ("audio", "takes", "landmarks", "track"),
        ),
        Step("shift", 1, ("audio.wav",), do.shift, ("audio", "sync"), {"fix_sync": c.fix_sync}),
        Step(
            "background",
            1,
            ("background.npy", f"{WORK}/background.json"),
            do.background,
            ("frames", "masks", "takes", "track"),
        ),
        Step(
            "features",
            1,
            (f"{WORK}/features.json", *(f"features/{kind}.npy" for kind in kinds)),
            do.features,
            ("shift", "takes"),
            recipe.feature_settings(kinds),
        ),
    ]
