"""What every talking stage must bring with it, and every method of layers."""

import pytest

from gstalker.methods.layered import LayeredMethod
from gstalker.stages.talking import TalkingStage


@pytest.mark.parametrize("lacking", ["cloud", "hear", "splats"])
def test_a_stage_that_lacks_a_part_is_refused_when_it_is_made(lacking):
    parts = {name: lambda self: None for name in ("cloud", "hear", "splats") if name != lacking}
    with pytest.raises(TypeError, match=f"abstract method '?{lacking}"):
        type("Half", (TalkingStage,), parts)(rasterizer=None, code_dim=1)


def test_a_method_of_layers_without_a_head_is_refused_when_it_is_made():
    half = type("Half", (LayeredMethod,), {"_empty_torso": lambda self, head: None})
    with pytest.raises(TypeError, match="abstract method '?_trained_head"):
        half(None, None, rasterizer="auto", features="mel")
