"""What a sweep wants to know of a run while it trains, and the guard that ends a hopeless one.

Neither changes what is learned: a run without them is the same run, told less of.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from gstalker.errors import Diverged
from gstalker.process import peak_memory_mib

TIMED_STEPS = 200
"""Steps whose median says what a step costs; validation, between two of them, is not in it."""
FIRST_STEPS = 20
"""Steps that say what the loss was like at first."""
RECENT_STEPS = 20
"""Steps that say what it is like now; one odd frame is no explosion."""
CHECKED_STEPS = 50
"""Steps between two looks at all parameters, which cost a fifth of a millisecond."""
EXPLODED = 10.0
"""Times the loss at first. L1 and D-SSIM of pictures in [0, 1] cannot reach it and come back."""


class Record(Protocol):
    """Writes how a run stands, as ``RunFolder.record`` does."""

    def __call__(self, state: Any, **facts: Any) -> None:
        """Add facts to what is known, and say the state."""
        ...


class TrialRecord(L.Callback):
    """Tells ``status.json`` the step while training runs, and how it ended if it did not finish.

    Args:
        record: writes it.
        stage: name of the stage.
        every_seconds: pause between records.
    """

    def __init__(self, record: Record, stage: str, every_seconds: float = 5.0) -> None:
        self.record = record
        self.stage = stage
        self.every_seconds = every_seconds
        self.seconds = 0.0
        """Spent on the steps that count: those lost to a kill are not in it."""
        self.looked_s = 0.0
        """Of these, spent on looking at validation frames, which teaches nothing."""
        self._spent: deque[float] = deque(maxlen=TIMED_STEPS)
        self._last = 0.0
        self._due = 0.0

    def on_train_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """The step that it starts from."""
        self._last = time.monotonic()
        self._tell(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, stage: L.LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Count the time; tell the step now and then."""
        self._spent.append(self._count())
        if self._last >= self._due:
            self._tell(trainer, loss=round(float(outputs["loss"].detach()), 5))

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Validation is part of what training costs."""
        self.looked_s += self._count()

    def on_train_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """The minutes and the memory that the stage took, and how many numbers it learned."""
        self._count()
        spent = list(self._spent) or [0.0]
        learned = (p for group in trainer.optimizers[0].param_groups for p in group["params"])
        self._tell(
            trainer,
            **{
                f"{self.stage}_minutes": round(self.seconds / 60, 3),
                f"{self.stage}_steps": trainer.global_step,
                f"{self.stage}_step_s": round(statistics.median(spent), 5),
                f"{self.stage}_late_s": round(statistics.fmean(spent[len(spent) // 2 :]), 5),
                f"{self.stage}_looked_s": round(self.looked_s, 2),
                f"{self.stage}_parameters": sum(p.numel() for p in learned if p.requires_grad),
                "peak_memory_mib": peak_memory_mib(),
            },
        )

    def on_exception(
        self, trainer: L.Trainer, stage: L.LightningModule, exception: BaseException
    ) -> None:
        """Diverged, interrupted or failed, and why."""
        facts: dict[str, Any] = {"stage": self.stage, "step": trainer.global_step}
        if isinstance(exception, Diverged):
            facts |= {"step": exception.step, "term": exception.term, "reason": exception.found}
            self.record("diverged", **facts)
        elif isinstance(exception, KeyboardInterrupt | SIGTERMException):
            self.record("interrupted", **facts)
        else:
            self.record("failed", **facts, reason=f"{type(exception).__name__}: {exception}")

    def state_dict(self) -> dict[str, Any]:
        """The time so far."""
        return {"seconds": self.seconds, "looked_s": self.looked_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.seconds = state_dict["seconds"]
        self.looked_s = state_dict.get("looked_s", 0.0)  # checkpoints of earlier versions lack it

    def _count(self) -> float:
        """Seconds since the last call; they are added up."""
        passed = time.monotonic() - self._last
        self.seconds += passed
        self._last += passed
        return passed

    def _tell(self, trainer: L.Trainer, **facts: Any) -> None:
        self._due = time.monotonic() + self.every_seconds
        steps = {"step": trainer.global_step, "steps": trainer.max_steps}
        self.record("running", stage=self.stage, **steps, **facts)


class Guard(L.Callback):
    """Ends a run whose loss is no number, or a multiple of what it was at first, or that holds
    parameters that are no numbers: a Gaussian nowhere is not drawn, so the loss may not notice.

    A ``training_step`` may name the terms of its loss in ``terms``; else the whole is ``loss``.

    Args:
        every_steps: how many steps are looked at together. If not given, each by itself on the
            CPU, and on a GPU, which would have to wait for every look, those between two checks
            of the parameters.

    Raises:
        Diverged: with the step and the term.
    """

    def __init__(self, every_steps: int | None = None) -> None:
        self.every_steps = every_steps
        self._unseen: list[tuple[int, dict[str, Any]]] = []
        self._first: list[float] = []
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)

    def on_train_batch_end(
        self, trainer: L.Trainer, stage: L.LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Look at the losses since the last look."""
        step, loss = trainer.global_step, outputs["loss"].detach()
        terms = {name: term.detach() for name, term in (outputs.get("terms") or {}).items()}
        self._unseen.append((step, {"loss": loss, "terms": terms}))
        most = self.every_steps or (1 if loss.device.type == "cpu" else CHECKED_STEPS)
        checked = step % CHECKED_STEPS == 0
        if checked or len(self._unseen) >= most:
            self._look()
        if checked:
            _refuse_spoilt(trainer)

    def _look(self) -> None:
        unseen, self._unseen = self._unseen, []
        for step, outputs in unseen:
            self._see(step, outputs)

    def _see(self, step: int, outputs: Mapping[str, Any]) -> None:
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            raise Diverged(step, _first_bad(outputs), f"is {loss}")
        if len(self._first) < FIRST_STEPS:
            self._first.append(loss)
        self._recent.append(loss)
        first, recent = sum(self._first) / len(self._first), sum(self._recent) / len(self._recent)
        if len(self._recent) == RECENT_STEPS and recent > EXPLODED * first:
            raise Diverged(step, _largest(outputs), f"is {recent:.3g}, at first {first:.3g}")

    def on_train_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """What is handed on must be sound."""
        self._look()
        _refuse_spoilt(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What was seen; of a run that has diverged there is nothing to keep."""
        self._look()
        return {"first": self._first, "recent": list(self._recent)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._first = state_dict["first"]
        self._recent = deque(state_dict["recent"], maxlen=RECENT_STEPS)


def _terms(outputs: Mapping[str, Any]) -> dict[str, float]:
    terms = outputs.get("terms") or {"loss": outputs["loss"]}
    return {name: float(term) for name, term in terms.items()}


def _first_bad(outputs: Mapping[str, Any]) -> str:
    """The first term that is no number; the sum, if only that is none."""
    return next((n for n, term in _terms(outputs).items() if not math.isfinite(term)), "loss")


def _largest(outputs: Mapping[str, Any]) -> str:
    terms = _terms(outputs)
    return max(terms, key=lambda name: terms[name])


def _refuse_spoilt(trainer: L.Trainer) -> None:
    """End the run if a group of parameters holds a value that is no number."""
    for group in trainer.optimizers[0].param_groups:
        if not all(bool(torch.isfinite(p).all()) for p in group["params"]):
            name = group.get("name", "a parameter")
            raise Diverged(trainer.global_step, name, "holds values that are no numbers")
