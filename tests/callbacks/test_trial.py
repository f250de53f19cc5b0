"""The guard and the record of a trial, under a plain Trainer and a one-parameter module."""

from __future__ import annotations

import os
import signal

import lightning as L
import pytest
import torch

from gstalker.callbacks.checkpoint import Checkpoint
from gstalker.callbacks.trial import Guard, TrialRecord
from gstalker.errors import Diverged


class OneNumber(L.LightningModule):
    """Its loss at step ``k`` is what it is told, whatever its number is."""

    def __init__(self, losses, terms=None):
        super().__init__()
        self.number = torch.nn.Parameter(torch.tensor(1.0))
        self.losses, self.terms = losses, terms

    def training_step(self, batch, batch_idx):
        loss = self.number * 0 + self.losses(self.global_step + 1)
        named = {"terms": self.terms(self.global_step + 1)} if self.terms else {}
        return {"loss": loss, **named}

    def configure_optimizers(self):
        return torch.optim.SGD([{"name": "number", "params": [self.number]}], lr=1.0)


def fit(module, steps, *callbacks):
    trainer = L.Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", callbacks=list(callbacks), logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(range(1000), batch_size=None))
    return trainer


class Notes(list):
    def __call__(self, state, **facts):
        self.append({"state": state, **facts})


def test_a_loss_that_is_no_number_ends_the_run_with_the_step_and_the_term():
    def terms(step):
        return {"photometric": torch.tensor(0.1), "lpips": torch.tensor(torch.nan)}

    notes = Notes()
    module = OneNumber(lambda step: torch.nan if step == 5 else 0.1, terms)
    with pytest.raises(Diverged, match="diverged at step 5: lpips is nan") as caught:
        fit(module, 20, Guard(), TrialRecord(notes, "static"))
    assert (caught.value.step, caught.value.term) == (5, "lpips")
    end = notes[-1]
    assert end["state"] == "diverged"
    assert (end["stage"], end["step"], end["term"]) == ("static", 5, "lpips")


@pytest.mark.parametrize("every", [3, 8, 100])
def test_looking_at_several_losses_together_names_the_same_step_and_term(every):
    def terms(step):
        bad = torch.nan if step == 5 else 0.0
        return {"photometric": torch.tensor(0.1), "lpips": torch.tensor(bad)}

    module = OneNumber(lambda step: torch.nan if step == 5 else 0.1, terms)
    with pytest.raises(Diverged, match="diverged at step 5: lpips is nan"):
        fit(module, 20, Guard(every_steps=every))


def test_a_loss_that_grows_tenfold_ends_the_run_and_one_odd_frame_does_not():
    fit(OneNumber(lambda step: 5.0 if step == 40 else 0.1), 60, Guard())
    with pytest.raises(Diverged, match=r"loss is 1\.\d+, at first 0\.1"):
        fit(OneNumber(lambda step: 0.1 if step <= 40 else 2.0), 60, Guard())


def test_a_parameter_that_is_no_number_ends_the_run_though_the_loss_does_not_show_it():
    class Lost(OneNumber):
        def on_train_batch_end(self, *args):
            if self.global_step == 30:
                self.number.data.fill_(torch.inf)

        def training_step(self, batch, batch_idx):
            return {"loss": torch.nan_to_num(self.number, posinf=0.1) * 0 + 0.1}

    with pytest.raises(Diverged, match="step 50: number holds values that are no numbers"):
        fit(Lost(lambda step: 0.1), 60, Guard())
    with pytest.raises(Diverged, match="step 40: number"):  # shorter than the pause: at its end
        fit(Lost(lambda step: 0.1), 40, Guard())


def test_the_guard_remembers_over_a_resume_what_the_loss_was_at_first():
    guard, again = Guard(), Guard()
    fit(OneNumber(lambda step: 0.1), 30, guard)
    again.load_state_dict(guard.state_dict())
    with pytest.raises(Diverged, match=r"at first 0\.1"):
        fit(OneNumber(lambda step: 2.0), 30, again)


def test_the_record_tells_the_step_while_it_runs_and_the_minutes_at_the_end():
    notes = Notes()
    fit(OneNumber(lambda step: 0.25), 6, TrialRecord(notes, "deform", every_seconds=0.0))
    assert [n["step"] for n in notes] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert all(n["state"] == "running" and n["steps"] == 6 for n in notes)
    assert notes[1]["loss"] == 0.25
    assert notes[-1]["deform_steps"] == 6
    assert notes[-1]["deform_minutes"] >= 0
    assert notes[-1]["peak_memory_mib"] > 50


def test_the_time_of_a_resumed_run_is_that_of_both_parts():
    first = TrialRecord(Notes(), "static")
    fit(OneNumber(lambda step: 0.1), 3, first)
    second = TrialRecord(Notes(), "static")
    second.load_state_dict(first.state_dict())
    fit(OneNumber(lambda step: 0.1), 3, second)
    assert second.seconds > first.seconds > 0


def test_an_error_is_recorded_with_its_reason():
    def broken(step):
        raise OSError("no space")

    notes = Notes()
    with pytest.raises(OSError, match="no space"):
        fit(OneNumber(broken), 5, TrialRecord(notes, "static"))
    assert notes[-1] == {
        "state": "failed", "stage": "static", "step": 0, "reason": "OSError: no space",
    }  # fmt: skip


def test_a_cluster_that_says_stop_is_obeyed_at_the_end_of_the_step(tmp_path):
    def losses(step):
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return 0.1

    notes, before = Notes(), signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit):
            fit(OneNumber(losses), 20, TrialRecord(notes, "static"), Checkpoint(tmp_path))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (notes[-1]["state"], notes[-1]["step"]) == ("interrupted", 7)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 7
