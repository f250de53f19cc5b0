"""From a run's config to the method that it names."""

from __future__ import annotations

import torch

from gstalker.config import RunConfig
from gstalker.data.capture import Capture
from gstalker.data.dataset import choose_features
from gstalker.errors import ConfigError
from gstalker.experiment.schedule import method_config
from gstalker.methods import METHODS, Method
from gstalker.plugins import resolve


def make_method(config: RunConfig, capture: Capture) -> tuple[Method, str]:
    """The method that a config names, on a capture, and the kind of sound features it hears.

    Raises:
        ConfigError: there is no such method, not the device that it is to run on, or its minutes
            were not measured yet.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device is cuda, but torch finds no CUDA device on this machine.\n  Use: device=cpu"
        )
    kind = resolve(METHODS, config.method.name)
    settings = method_config(config)
    features = choose_features(capture, kind.sound(settings))
    method = kind(
        settings,
        capture,
        rasterizer=config.rasterizer.name,
        features=features,
        device=config.device,
    )
    return method, features
