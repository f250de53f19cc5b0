"""What every talking stage must bring with it, and every method of layers."""

import lightning as L
import pytest
import torch

from gstalker.errors import BackendMissing
from gstalker.methods.layered import LayeredMethod
from gstalker.stages.late import LatePatch
from gstalker.stages.painter import Painter
from gstalker.stages.settings import PerceptualConfig
from gstalker.stages.talking import TalkingStage
from gstalker.stages.trainable import trainable


@pytest.mark.parametrize("lacking", ["cloud", "hear", "splats"])
def test_a_stage_that_lacks_a_part_is_refused_when_it_is_made(lacking):
    parts = {name: lambda self: None for name in ("cloud", "hear", "splats") if name != lacking}
    with pytest.raises(TypeError, match=f"abstract method '?{lacking}"):
        type("Half", (TalkingStage,), parts)(rasterizer=None, code_dim=1)


def test_a_method_of_layers_without_a_head_is_refused_when_it_is_made():
    half = type("Half", (LayeredMethod,), {"_empty_torso": lambda self, head: None})
    with pytest.raises(TypeError, match="abstract method '?_trained_head"):
        half(None, None, rasterizer="auto", features="mel")


class _Still(Painter):
    """A picture, whatever is heard."""

    def __init__(self, colour):
        super().__init__()
        self.colour = torch.nn.Parameter(torch.tensor(colour))

    def listen(self, audio, eye):
        return torch.zeros(len(eye), 0)

    def picture(self, camera, code, background):
        return self.colour.expand_as(background)

    def training_step(self, batch, batch_idx):
        return (self.colour - self.global_step).square()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.5)


def test_a_stage_is_a_plain_module_until_it_is_to_be_trained():
    assert not isinstance(_Still(0.0), L.LightningModule)
    learning = trainable(_Still)(7.0)
    assert isinstance(learning, L.LightningModule)
    assert isinstance(learning, _Still)
    assert type(learning).__name__ == "_Still"  # what a run's provenance tells
    assert type(learning) is type(trainable(_Still)(1.0))
    L.Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(learning, [0, 0, 0])  # fmt: skip
    # half of twice the way to the number of steps that had passed: there at once
    assert learning.colour.item() == 2.0
    assert learning.state_dict().keys() == _Still(0.0).state_dict().keys()


class _Judged(TalkingStage):
    """Nobody, whose mouth LPIPS judges late."""

    cloud = hear = splats = None

    def __init__(self):
        super().__init__(rasterizer=None, code_dim=1)
        self._patch = LatePatch(PerceptualConfig(weight=1.0, start_share=0.9), steps=10)


def test_lpips_is_asked_for_when_training_begins_and_not_by_a_head_that_speaks(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    stage = _Judged()
    with pytest.raises(BackendMissing, match="lpips_alexnet"):
        stage.on_fit_start()
