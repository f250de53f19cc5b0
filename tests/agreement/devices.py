"""For tests that need a GPU: when to skip them, and how to ask the same of two devices."""

import copy
import importlib.util

import pytest
import torch

from gstalker.plugins import INSTALL_LINES

GPU = "cuda"


def needs(package=""):
    """A mark that skips without a GPU, or without a package; the reason says what is lacking."""
    lacking = "" if torch.cuda.is_available() else "no CUDA device: torch finds none"
    if not lacking and package and importlib.util.find_spec(package) is None:
        lacking = f"{package} is not installed: {INSTALL_LINES[package]}"
    return pytest.mark.skipif(bool(lacking), reason=lacking)


RASTERIZERS = [
    pytest.param("gsplat", marks=needs("gsplat")),
    pytest.param("inria", marks=needs("diff_gaussian_rasterization")),
]


@pytest.fixture
def exact_convolutions(monkeypatch):
    """Whole float32 in convolutions, of which a GPU takes 10 bits of mantissa by default."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def on_both(module, call, pull_seed=1):
    """What ``call(module)`` gives, and its pull on the parameters, in float64 here and on the GPU.

    ``call`` moves its inputs to where the module's first parameter lies, and to its precision.
    """
    answers = []
    for one in (copy.deepcopy(module).double(), copy.deepcopy(module).to(GPU)):
        out = call(one)
        generator = torch.Generator().manual_seed(pull_seed)
        pull = torch.randn(out.shape, generator=generator, dtype=torch.float64)
        out.backward(pull.to(out))
        gradients = {n: p.grad.cpu() for n, p in one.named_parameters() if p.grad is not None}
        answers.append((out.detach().cpu(), gradients))
    return answers
