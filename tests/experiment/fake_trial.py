"""Stands for ``gstalker trial`` in tests of who is started when: it claims, works, and ends.

``python fake_trial.py RUN KIND SECONDS``: adds one line to ``began`` and, where it gets so far, to
``ended`` beside its scores.
"""

import os
import signal
import sys
import time
from pathlib import Path

from gstalker import files
from gstalker.errors import Claimed
from gstalker.experiment.claim import claim

BUSY = 75


def note(path):
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")


def main(folder, kind, seconds):
    status, scores = folder / "status.json", folder / "scores.json"
    with claim(folder / ".claim", "run"):
        if scores.exists():
            return 0
        note(folder / "began")
        files.write_json(status, {"state": "running", "stage": "static", "step": 1, "steps": 9})
        time.sleep(seconds)
        if kind == "failed":
            files.write_json(status, {"state": "failed", "reason": "OSError: no space"})
            return 1
        if kind == "diverged":
            told = {"stage": "static", "step": 4, "term": "photometric", "reason": "is nan"}
            files.write_json(status, {"state": "diverged", **told})
            return 1
        if kind == "crashes":
            return 9
        # Told to stop between the two, it would end a second time, and nobody would be to blame.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note(folder / "ended")
        files.write_json(scores, {})
        return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
    except Claimed:
        sys.exit(BUSY)
