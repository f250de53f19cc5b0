"""What to type so that a capture comes out better: commands that keep the choices made before."""

from __future__ import annotations

import shlex

from gstalker.inspect.facts import Facts


def prepare_command(facts: Facts, *words: str) -> str:
    """What to type to prepare the capture again, with other choices; those made before are kept.

    One that was imported is imported again, with other sound features if asked for; all else was
    chosen by somebody else's program, so the video itself is wanted.
    """
    source = facts.meta.get("source", {})
    named = str(source.get("path") or source.get("file") or "VIDEO")
    if "imported" not in source:
        kept = _chosen(facts, *words)
        return shlex.join(["gstalker", "prepare", named, str(facts.folder), *kept, *words])
    if all(word.startswith("audio=") for word in words):
        return shlex.join(["gstalker", "import", named, str(facts.folder), *words])
    return shlex.join(["gstalker", "prepare", "VIDEO", "captures/NEW", *words])


def other_film(facts: Facts) -> str:
    """What to type once the film is another one; a capture's folder keeps to its own film."""
    return shlex.join(["gstalker", "prepare", "BETTER.mp4", "captures/NEW", *_chosen(facts)])


def _chosen(facts: Facts, *instead: str) -> list[str]:
    """What was chosen for the capture, but for what new words choose."""
    choices = facts.meta.get("source", {}).get("choices", {})
    anew = {word.partition("=")[0] for word in instead}
    words = [f"{name}={value}" for name, value in choices.items() if name not in anew]
    moved = (facts.meta.get("sync") or {}).get("applied_frames")
    return [*words, *(["--fix-sync"] if moved else [])]
