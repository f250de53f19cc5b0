"""What can be said of a film in which a trained head speaks somebody else's words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gstalker import config as configuration
from gstalker import files
from gstalker.experiment.foreign import look, stated
from gstalker.experiment.head import steady_stretch
from gstalker.experiment.movie import ping_pong
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.metrics import driven
from gstalker.metrics.catalogue import meanings
from gstalker.metrics.driven import Film
from gstalker.metrics.protocol import Protocol
from gstalker.prepare import audio as sound


def score_driven(
    run: RunFolder, speech: str, where: Sequence[str] = (), measure: Sequence[str] = ()
) -> dict[str, Any]:
    """Score the film that ``drive`` made of ``speech`` with the usual poses; writes a JSON by it.

    Args:
        run: a run whose film is there.
        speech: the file with the sound.
        where: ``key=value`` that say where things are now.
        measure: ``key=value`` of what is asked as well: ``sync=true``,
            ``identity=module:Class``.

    Raises:
        MediaError: film or sound cannot be read, or do not fit together.
    """
    chosen = [*measure, "driven=sound", "composite=drawn", "rate=frames"]
    protocol = configuration.from_overrides(Protocol, chosen)
    capture = open_capture(run.config(where))
    pictures = look(run.driven_path(speech), protocol)
    film = Film(
        frames=pictures.stream(),
        samples=sound.read(Path(speech)),
        shown=np.fromiter(islice(ping_pong(*steady_stretch(capture)), pictures.count), np.int64),
        speech=Path(speech).name,
        speech_sha256=files.sha256(Path(speech)),
    )
    scores, record = driven.score(film, capture, stated(protocol, pictures))
    told = {
        "protocol": record.as_dict(),
        "capture": {"name": capture.name, "content_id": capture.content_id},
        "metrics": meanings(list(scores)),
        "rows": {"ours": scores},
    }
    files.write_json(run.driven_scores_path(speech), told)
    return told
