"""What a driven frame would cost without what makes it cheap: each lever by itself, on one thread.

The first line is the frame as it is shipped. Then come its parts, each as shipped and as it might
be instead; the note says how many milliseconds that adds to a frame, or saves.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.captures import work_folder
from benchmarks.harness import Bench, Counts
from benchmarks.render import chosen_head, head_arguments
from benchmarks.threads import limited
from gstalker import render
from gstalker.data.dataset import FrameDataset
from gstalker.errors import GSTalkerError
from gstalker.experiment.evaluate import to_uint8
from gstalker.experiment.head import BATCH, Head
from gstalker.experiment.runs import RunFolder
from gstalker.stages.heads import DeformHead
from gstalker.types import AudioWindow, Camera

Part = Callable[[], object]


@dataclass(frozen=True)
class Lever:
    """A part of a frame."""

    title: str
    shipped: Part
    instead: dict[str, Part]
    """By what would be done."""
    frames: int = 1
    """That one call works for."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    head_arguments(parser)


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Every lever of one head."""
    with work_folder(choices.work) as work:
        measure(bench, chosen_head(choices, work))


def measure(bench: Bench, run_folder: RunFolder) -> None:
    """The frame, and every part of it with its lever and without.

    Raises:
        GSTalkerError: the head is another method's.
    """
    head = Head.open(run_folder)
    stage = getattr(head.performer, "stage", None)
    if not isinstance(stage, DeformHead):
        raise GSTalkerError(f"{run_folder.path} is no head of GSTalker, whose levers these are.")
    counts: Counts = {
        "gaussians": len(stage.cloud),
        "face_rows": len(stage.face_index),
        "side": max(head.width, head.height),
    }
    title = f"a frame of {head.capture.name}, {head.width} x {head.height} px, as shipped"
    with torch.inference_mode(), limited(1):
        frame, levers = parts_of(head, stage)
        bench.time("levers-frame_ms", title, frame, threads=1, counts=counts)
        for key, lever in levers.items():
            compare(bench, f"levers-{key}", lever)


def compare(bench: Bench, key: str, lever: Lever) -> None:
    """A part as shipped, then as it might be, with the difference in a frame's time."""
    own = bench.time(f"{key}_ms", f"{lever.title}, as shipped", lever.shipped, threads=1)
    for n, (what, part) in enumerate(lever.instead.items(), 1):
        timed = bench.time(f"{key}-{n}_ms", f"{lever.title}, {what}", part, threads=1)
        more = (timed.value - own.value) / lever.frames
        bench.results[-1] = replace(timed, note=f"{more:+.2f} ms a frame")


def parts_of(head: Head, stage: DeformHead) -> tuple[Part, dict[str, Lever]]:
    """A whole frame, and its levers by name."""
    capture, field, performer = head.capture, stage.field, head.performer
    camera = Camera(capture.poses[:1], capture.Ks[None], capture.width, capture.height)
    background = torch.from_numpy(capture.background.copy()).float().div_(255)
    track = FrameDataset(capture, head.features).track
    ids = torch.arange(min(BATCH, track.frame_count))
    windows, eyes = track.windows(ids.numpy()), torch.zeros(len(ids))

    def listen(rows: Tensor) -> Tensor:
        return performer.listen(AudioWindow(windows[rows], rows), eyes[rows])

    code = listen(ids[:1])[0]
    means = stage.cloud.means
    at_rest = means[stage.face_index]
    face, everyone = field.encode(at_rest), field.encode(means)
    splats = stage.splats(camera, code)
    weights = [layer.weight for layer in (field.position, field.hidden, field.out)]
    half = face.bfloat16(), [weight.bfloat16() for weight in weights]
    return lambda: performer.paint(camera, code, background), {
        "encode": Lever(
            "position features of the face, kept from frame to frame",
            lambda: face,
            {"made for every frame": lambda: field.encode(at_rest)},
        ),
        "field": Lever(
            "the field of the face's Gaussians",
            lambda: field.answer(face, code),
            {
                "of all Gaussians": lambda: field.answer(everyone, code),
                "its matrices by torch": lambda: perceptron(face, weights),
                "its matrices by torch in bfloat16": lambda: perceptron(*half),
            },
        ),
        "bytes": Lever(
            "drawing, bytes written from the tile",
            lambda: render.paint(stage.rasterizer, splats, camera, background),
            {
                "floats that are rounded afterwards": lambda: to_uint8(
                    stage.rasterizer(splats, camera, background).image[0]
                )
            },
        ),
        "listen": Lever(
            f"the audio net, {len(ids)} frames at once",
            lambda: listen(ids),
            {"one by one": lambda: [listen(ids[k : k + 1]) for k in range(len(ids))]},
            frames=len(ids),
        ),
    }


def perceptron(rows: Tensor, weights: list[Tensor]) -> Tensor:
    """The field's three matrices, without what costs no time."""
    first, second, last = weights
    hidden = functional.relu(functional.linear(rows, first))
    return functional.linear(functional.relu(functional.linear(hidden, second)), last)
