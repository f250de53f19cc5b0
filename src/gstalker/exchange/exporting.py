"""A capture becomes a folder that AD-NeRF's relatives read.

Everything that a reader of the chosen layout opens is written, or named in the report with the
reason why it is not. Nothing is made up: what a capture does not know (a face model's
coefficients, brows, teeth) is zero, and the report says so.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gstalker import files
from gstalker.data.capture import SAMPLES_PER_FRAME, TRAIN_SHARE, Capture
from gstalker.data.writer import write_wav
from gstalker.errors import CaptureError, ConfigError
from gstalker.exchange import (
    blendshapes,
    colours,
    landmarks,
    openface,
    pictures,
    portrait,
    poses,
    seam,
    torso,
)
from gstalker.exchange.config import ExportConfig
from gstalker.exchange.cutting import Cut, choose_cut, turned_to_middle
from gstalker.exchange.layouts import Layout, layout
from gstalker.exchange.sound import EXACT_WAV
from gstalker.prepare.audio import windows

log = logging.getLogger(__name__)

RECORD = "gstalker_export.json"
_SEAMS = 40
"""Frames whose seam is measured."""
NEAR_M, FAR_M = 0.2, 1.5
"""Distances at which the family's own tracker puts heads."""


@dataclass
class Report:
    """What an export has written and what it could not."""

    folder: Path
    layout: str
    frames: int
    """With a pose."""
    train: int
    notes: list[str] = field(default_factory=list)
    """What a reader should know."""
    missing: list[str] = field(default_factory=list)
    """What the layout's readers want and this capture cannot give."""

    @property
    def text(self) -> str:
        """For the terminal."""
        lines = [
            f"{self.folder}: {self.layout}, {self.frames} frames, {self.train} to train on and "
            f"{self.frames - self.train} to validate with"
        ]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  missing: {what}" for what in self.missing]
        return "\n".join(lines)


class Export:
    """One capture on its way into one folder."""

    def __init__(self, capture: Capture, layout_name: str, config: ExportConfig) -> None:
        if not 1 <= config.jpg_quality <= 100:
            raise ConfigError(f"jpg_quality is {config.jpg_quality}; give 1 to 100.")
        self.capture = capture
        self.layout: Layout = layout(layout_name)
        self.config = config
        self.points = landmarks.ibug68(capture.landmarks, capture.meta["landmarks"])
        seen = np.isfinite(self.points).all((1, 2))
        self.posed = np.flatnonzero(seen & ~capture.dropped)
        """Frames with a pose, by the capture's numbers."""
        if len(self.posed) < 2:
            raise CaptureError(f"{capture.folder} has {len(self.posed)} usable frames with a face.")
        whole = self.layout.true_numbers
        self.kept = np.arange(capture.frame_count) if whole else self.posed
        """Frames with a picture."""
        self.cut: Cut = choose_cut(capture)
        self.seams: list[seam.Seam | None] = []
        """Of some frames; ``None`` where head and torso hardly meet."""
        self._seam_every = max(len(self.kept) // _SEAMS, 1)
        train = poses.split_at(
            len(self.posed), config.split, int((self.posed < capture.test_start).sum())
        )
        self.report = Report(Path(), layout_name, len(self.posed), train)

    @property
    def numbers(self) -> np.ndarray:
        """The number in the folder of each frame with a pose."""
        return self.posed if self.layout.true_numbers else np.arange(len(self.posed))

    def write(self, folder: Path) -> Report:
        """Write everything beside its place, then rename it."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CaptureError(f"{folder} is there already; name a new folder.")
        self.report.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder.parent / f".{folder.name}-{os.getpid()}"
        try:
            unfinished.mkdir()
            self._geometry(unfinished)
            self._signals(unfinished)
            self._sound(unfinished)
            self._pictures(unfinished)
            self._record(unfinished, folder)
            if folder.exists():
                folder.rmdir()
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return self.report

    # ------------------------------------------------------------------ geometry and signals

    def _geometry(self, folder: Path) -> None:
        capture, cut = self.capture, self.cut
        viewmats = capture.poses[self.posed].double().numpy()
        viewmats, error_px = turned_to_middle(viewmats, capture.mesh, cut)
        if cut.note:
            self.report.notes.append(cut.note)
        if error_px > 0:
            self.report.notes.append(
                f"the lens's middle lies {np.hypot(*cut.left_over):.2f} px off the picture's; the "
                f"cameras are turned instead, which moves the face by at most {error_px:.4f} px"
            )
        focal = float(capture.meta["focal_px"])
        rects = [landmarks.face_rect(p, cut.width, cut.height) for p in self._cut_points()]
        train = self.report.train
        size = (cut.width, cut.height)
        poses.write_transforms(
            folder, viewmats, self.numbers, rects, train=train, focal_px=focal, size=size
        )
        poses.write_track(folder, viewmats, capture.mesh, focal)
        model = capture.meta.get("tracker", {}).get("face_model")
        whose = f"the face model is {model}, not Basel's" if model else "no face model"
        self.report.notes.append(
            f"{whose}: id and exp of track_params.pt are zero, vertices are the capture's "
            f"{len(capture.mesh)}"
        )
        away = np.linalg.norm(viewmats[:, :3, 3], axis=1) / 100
        if away.max() > FAR_M or away.min() < NEAR_M:
            self.report.notes.append(
                f"the camera is {away.min():.2f} to {away.max():.2f} m away; their own tracker "
                f"puts it at {NEAR_M} to {FAR_M} m"
            )
        if self.layout.head_imgs:
            self._ad_nerf_configs(folder, float(viewmats[:, 2, 3].mean() / 100))

    def _cut_points(self) -> np.ndarray:
        return self.points[self.posed] - [self.cut.x, self.cut.y]

    def _ad_nerf_configs(self, folder: Path, mean_z_m: float) -> None:
        name = self.report.folder.name
        where = f"datadir = dataset/{name}\nbasedir = dataset/{name}/logs\n"
        depth = f"near = {mean_z_m - 0.2}\nfar = {mean_z_m + 0.4}\n"
        skip = f"testskip = {max((len(self.posed) - self.report.train) // 7, 1)}\n"
        for file, run, last in (
            ("HeadNeRF", "head", skip),
            ("TorsoNeRF", "com", skip),
            ("TorsoNeRFTest", "com", "with_test = 1\ntest_pose_file = transforms_val.json\n"),
        ):
            content = f"expname = {name}_{run}\n{where}{depth}{last}"
            files.write_text(folder / f"{file}_config.txt", content)

    def _signals(self, folder: Path) -> None:
        kept, capture = self.kept, self.capture
        if self.layout.blendshapes and capture.expressions is not None:
            names = capture.meta["tracker"]["expressions"]
            shapes = blendshapes.arkit(capture.expressions[kept], names)
            if shapes is not None:
                files.write_array(folder / "bs.npy", shapes)
                self.report.notes.append(
                    "bs.npy: the face model's expressions in ARKit's order, not MediaPipe's own "
                    "scores; SyncTalk reads it without --au45"
                )
        if (capture.folder / "au.csv").exists():
            table = openface.read(capture.folder / "au.csv")
            rows = openface.rows_of_frames(table, capture.frame_count, "position")
            kept_rows, lost = openface.without_gaps(table, [row for i in kept if (row := rows[i])])
            openface.write(folder / "au.csv", table, kept_rows)
            if lost:
                self.report.notes.append(
                    f"au.csv: {lost} rows tell no AU45; they repeat the nearest that does, with "
                    "success 0"
                )
            return
        open_ratio = float(np.nanmedian(capture.eye[self.posed]))
        table = openface.measured(capture.eye[kept], capture.mouth[kept], open_ratio)
        openface.write(folder / "au.csv", table, table.rows)
        self.report.notes.append(
            f"au.csv: AU45 = {openface.FULL_BLINK:g} x (1 - lid gap / {open_ratio:.3f}), the usual "
            f"gap; AU25 = {openface.OPENED_PER_RATIO:g} x lip gap, in outer-eye distances"
        )
        unknown = [unit for unit in self.layout.units if unit in openface.NOT_MEASURED]
        if unknown:
            self.report.missing.append(
                f"{', '.join(unknown)}: nothing in the capture tells them; au.csv has zeros.\n"
                "    For the real ones run OpenFace's FeatureExtraction on ori_imgs."
            )

    # ------------------------------------------------------------------ sound

    def _sound(self, folder: Path) -> None:
        capture, kept = self.capture, self.kept
        samples = capture.audio().reshape(capture.frame_count, SAMPLES_PER_FRAME)[kept].ravel()
        write_wav(folder / "aud.wav", samples * EXACT_WAV)
        if self.layout.split_wavs:
            at = int(len(kept) * TRAIN_SHARE) * SAMPLES_PER_FRAME
            write_wav(folder / "aud_train.wav", samples[:at] * EXACT_WAV)
            write_wav(folder / "aud_novel.wav", samples[at:] * EXACT_WAV)
        have = set(self._features(folder)) & set(self.layout.features)
        if not have:
            self.report.missing.append(
                f"sound features of {self.layout.readers}: the capture has "
                f"{', '.join(sorted(capture.meta['features']))}, none of "
                f"{', '.join(self.layout.features)}.\n"
                "    Make them from aud.wav with their own extractor before training."
            )

    def _features(self, folder: Path) -> list[str]:
        """Write the sound features that the family knows; returns their kinds."""
        capture, kept = self.capture, self.kept
        written: dict[str, str] = {}
        for name, spec in capture.meta["features"].items():
            kind = windows.kind_of(name, spec)
            if kind is None:
                continue
            rows = capture.features(name).reshape(capture.frame_count, -1, kind.dim)[kept]
            found = spec.get("imported", {}).get("found_frames", len(kept))
            count = len(kept) if len(kept) < capture.frame_count else min(found, len(kept) + 2)
            rows = rows.reshape(-1, kind.dim)
            short = count * kind.rows_per_frame - len(rows)
            entries = windows.entries_of(kind, np.pad(rows, ((0, max(short, 0)), (0, 0))), count)
            for file in kind.files:
                if file not in written:
                    files.write_array(folder / file, entries)
                    written[file] = kind.name
        return list(written.values())

    # ------------------------------------------------------------------ pictures

    def _pictures(self, folder: Path) -> None:
        names = ["ori_imgs", "parsing", "gt_imgs", "com_imgs", "torso_imgs"]
        names += ["head_imgs"] if self.layout.head_imgs else []
        names += ["teeth_mask"] if self.layout.teeth_mask else []
        for name in names:
            (folder / name).mkdir()
        quality = self.config.jpg_quality
        plate = self.cut.of(self.capture.background)
        pictures.write_jpg(folder / "bc.jpg", plate, quality)
        plate = pictures.read(folder / "bc.jpg")  # what readers paste is the decoded one
        fine = self._fine_classes()
        points = dict(zip(self.posed.tolist(), self._cut_points(), strict=True))
        for number, index in enumerate(tqdm(self.kept, desc="export", unit="frame", disable=None)):
            self._picture(folder, number, int(index), plate, fine, points.get(int(index)))
        self.report.notes += [
            f"pictures are jpg of quality {quality}, colours at full resolution: not lossless",
            "torso_imgs: the neck goes on upwards under the head, in each column its own colour, "
            "blurred",
            seam.told(self.seams),
        ]
        self.report.notes += self._untold(fine)
        if self.layout.not_made:
            self.report.missing.append(self.layout.not_made)

    def _untold(self, fine: np.ndarray | None) -> list[str]:
        """What the capture's parser does not tell, or tells by a guess."""
        tells, six = self.capture.tells, self.layout.dialect == "6-colour"
        if fine is not None:
            finer = {"neck": colours.NECK, "hair": colours.HAIR, "teeth": colours.TEETH}
            there = np.unique(fine[:: max(len(fine) // _SEAMS, 1)])
            tells = (*tells, *(name for name, number in finer.items() if number in there))
        notes = []
        if "neck" not in tells:
            notes.append(
                "parsing: the neck is not told from the clothes; all of the torso is cloth"
            )
        if not six:
            notes.append(
                "parsing: of four colours, hair and the mouth's inside have the face's; an import "
                "does not get them back, it takes the mouth from the landmarks"
            )
        if six and "hair" not in tells:
            notes.append("parsing: hair is not told from the face")
        if self.layout.soft_face:
            more = "ears" if "hair" in tells else "ears and hair"
            notes.append(
                f"parsing/*_face.png, which SyncTalk's --portrait blends by: {more} are not told "
                "from the face, which they belong to there"
            )
        if self.layout.teeth_mask and "teeth" not in tells:
            notes.append(
                "teeth_mask is empty: teeth belong to the grey mouth inside, and the readers' "
                "mouth is both together"
            )
        if self.capture.meta.get("parser", {}).get("name") == "colour":
            what = "neck, hair and teeth are" if six else "the neck is"
            notes.append(f"parsing: {what} told by colour; hair below the jaw counts as cloth")
        return notes

    def _picture(
        self,
        folder: Path,
        number: int,
        index: int,
        plate: np.ndarray,
        fine: np.ndarray | None,
        points: np.ndarray | None,
    ) -> None:
        frame, quality = self.cut.of(self.capture.frame(index)), self.config.jpg_quality
        classes = colours.CLASSES[self.capture.parts(index)]
        if fine is not None:  # of four colours it does not tell the mouth, which the masks do
            is_mouth = (classes == colours.INSIDE) & (fine[index] == colours.SKIN)
            classes = np.where(is_mouth, colours.INSIDE, fine[index])
        classes = self.cut.of(classes)
        pictures.write_jpg(folder / f"ori_imgs/{number}.jpg", frame, quality)
        painted = colours.paint(classes, self.layout.dialect)
        pictures.write_png(folder / f"parsing/{number}.png", painted)
        if self.layout.soft_face:
            soft = portrait.soft_face(classes)
            pictures.write_png(folder / f"parsing/{number}_face.png", soft)
        if points is None:
            return
        files.write_text(folder / f"ori_imgs/{number}.lms", landmarks.text(points))
        person = (classes != colours.NONE)[..., None]
        whole = np.where(person, frame, plate)
        pictures.write_jpg(folder / f"gt_imgs/{number}.jpg", whole, quality)
        pictures.link(folder / f"gt_imgs/{number}.jpg", folder / f"com_imgs/{number}.jpg")
        body = (classes == colours.NECK) | (classes == colours.CLOTH)
        head = person[..., 0] & ~body
        behind = torso.cut_out(whole, body, head)
        pictures.write_png(folder / f"torso_imgs/{number}.png", behind)
        if number % self._seam_every == 0:
            self.seams.append(seam.measure(whole, body, head, behind))
        if self.layout.head_imgs:
            alone = np.where(head[..., None], frame, plate)
            pictures.write_jpg(folder / f"head_imgs/{number}.jpg", alone, quality)
        if self.layout.teeth_mask:
            np.save(folder / f"teeth_mask/{number}.npy", classes == colours.TEETH)

    def _fine_classes(self) -> np.ndarray | None:
        path = self.capture.folder / "parsing.npy"
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None

    def _record(self, unfinished: Path, folder: Path) -> None:
        left_out = self.capture.frame_count - len(self.kept)
        if left_out:
            self.report.notes.append(
                f"{left_out} of {self.capture.frame_count} frames are left out, with their sound, "
                f"and the rest is counted anew; {RECORD} has their old numbers"
            )
        note: dict[str, Any] = {
            "layout": self.report.layout,
            "capture": self.capture.name,
            "content_id": self.capture.content_id,
            "config": asdict(self.config),
            "seam_levels": seam.usual(self.seams),
            "cut": [self.cut.x, self.cut.y, self.cut.width, self.cut.height],
            "frames": self.kept.tolist(),
            "notes": self.report.notes,
            "missing": self.report.missing,
        }
        files.write_json(unfinished / RECORD, note)
        log.info("%s is written", folder)
