"""From a name in the configuration to a class: ``native``, or ``my_lab.fast:Fast``.

Every seam keeps a table ``name -> "module:Class"`` in its ``__init__``. Choosing from it imports
that one module and no other, so an absent optional package matters only to who asks for it.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from gstalker.errors import BackendMissing, ConfigError, GSTalkerError, PluginFailed

INSTALL_LINES = {
    "cv2": "pip install 'gstalker[prepare]'",
    "decord": "pip install decord",
    "diff_gaussian_rasterization": (
        "pip install --no-build-isolation "
        "git+https://github.com/graphdeco-inria/diff-gaussian-rasterization   (needs nvcc)"
    ),
    "gsplat": "pip install 'gstalker[cuda]'",
    "mediapipe": "pip install 'gstalker[prepare]'",
    "submitit": "pip install 'gstalker[slurm]'",
    "tensorboard": "pip install 'gstalker[tensorboard]'",
    "tensorboardX": "pip install 'gstalker[tensorboard]'",
    "tinycudann": (
        "pip install --no-build-isolation "
        "'git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch'   (needs nvcc)"
    ),
    "transformers": "pip install 'gstalker[speech]'",
    "triton": "pip install triton",
    "wandb": "pip install 'gstalker[wandb]'",
}
"""What to type for an optional package, by the name it is imported under."""


def resolve(table: Mapping[str, str], name: str) -> Any:
    """The class (or function) of a name.

    Args:
        table: a seam's ``name -> "module:Class"``.
        name: a key of the table, or an import path ``module:Class`` of one's own.

    Raises:
        ConfigError: nobody knows the name; says the nearest and all that are known.
        BackendMissing: known, but a package that it needs is absent; says the install line.
        PluginFailed: its module cannot be run; says why.
    """
    path = table.get(name, name)
    module_name, colon, attribute = path.partition(":")
    if not (colon and module_name and attribute):
        raise ConfigError(f"'{name}' is not known{did_you_mean(name, table)}\n  {_known(table)}")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        own = module_name.partition(".")[0]
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ConfigError(
                f"'{name}' names the module {module_name}, which cannot be found.\n"
                f"  Install it, or name the folder that holds {own}: export PYTHONPATH=FOLDER"
            ) from error
        if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(own + "."):
            raise ConfigError(
                f"'{name}' imports the module {error.name}, which cannot be found."
            ) from error
        if (error.name or "").startswith("gstalker"):
            raise  # a fault of ours, not something to install
        raise BackendMissing(missing(name, error)) from error
    except (GSTalkerError, MemoryError):
        raise
    except Exception as error:
        raise PluginFailed(f"'{name}' cannot be imported: {told(error, module_name)}") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        hint = did_you_mean(attribute, dir(module))
        raise ConfigError(f"module {module_name} has no '{attribute}'{hint}") from error


def told(error: Exception, module_name: str) -> str:
    """What went wrong in a module of the user's own: the error in a line, and where it happened."""
    said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(": .")
    module = sys.modules.get(module_name)
    file = getattr(module, "__file__", None) or module_name.replace(".", "/") + ".py"
    places = [at for at in traceback.extract_tb(error.__traceback__) if at.filename.endswith(file)]
    where = f" (line {places[-1].lineno} of {file})" if places else ""
    return f"{said}{where}.\n  The same command with --debug shows the traceback."


def missing(name: str, error: ImportError) -> str:
    """The sentence for a part that cannot be imported: what it lacks and what to type."""
    package = (error.name or "").partition(".")[0]
    line = INSTALL_LINES.get(package)
    if line is None and isinstance(error, ModuleNotFoundError) and package:
        line = f"pip install {package}"
    if line is None or not isinstance(error, ModuleNotFoundError):
        return f"'{name}' cannot be used here: {error}.\n  Run: gstalker doctor"
    return f"'{name}' was asked for, but {package} is not installed.\n  Install it with: {line}"


def did_you_mean(word: str, known: Any) -> str:
    """``. Did you mean 'x'?`` if something known is near; a full stop otherwise."""
    near = difflib.get_close_matches(word, [str(k) for k in known], n=1)
    return f". Did you mean '{near[0]}'?" if near else "."


def _known(table: Mapping[str, str]) -> str:
    return f"Known: {', '.join(table)}; or an import path of your own, module:Class."
