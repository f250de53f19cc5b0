"""What is installed here, and what each missing part would need.

Walks the seams' own tables, so a new backend is told of without an edit here: the packages that an
entry needs are read from its module's imports, without running it.
"""

from __future__ import annotations

import ast
import ctypes
import importlib
import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gstalker import __version__, weights
from gstalker.errors import BackendMissing, GSTalkerError
from gstalker.plugins import INSTALL_LINES
from gstalker.prepare import audio

TORCHVISION_CURE = (
    "the installed torchvision does not fit the installed torch, and that breaks lightning too.\n"
    "  gstalker does not need it. Run: pip uninstall torchvision"
)
_NEED_CUDA = {"gsplat", "diff_gaussian_rasterization", "tinycudann"}
_LOGGERS = {"csv": (), "tensorboard": ("tensorboard",), "wandb": ("wandb",)}
_GRAPHICS_LIBRARIES = {"libEGL.so.1": "libegl1", "libGLESv2.so.2": "libgles2"}
"""What MediaPipe loads when it starts, and the Debian packages that hold it."""
_OPENCV_LIBRARIES = "libgl1 libglib2.0-0"


@dataclass(frozen=True)
class Report:
    """What :func:`report` found."""

    text: str
    healthy: bool
    """Nothing that every command needs is broken; optional parts may be missing."""


@dataclass(frozen=True)
class Part:
    """One entry of a seam."""

    seam: str
    name: str
    missing: str = ""
    """What to do to have it; empty if it is here."""


def report() -> Report:
    """Look at everything; takes some seconds, for it really imports what is optional."""
    trap = torchvision_trap()
    lines = [_first_line(), ""]
    if trap:
        return Report("\n".join([*lines, f"BROKEN: {trap}"]), healthy=False)
    lines += [_kernels(), _files(), ""]
    lines += [_row(part) for part in parts()]
    lines += ["", f"model files, looked for in {', '.join(str(f) for f in weights.folders())}:"]
    lines += [weights_table(weights.listing()), *speech_models()]
    return Report("\n".join(lines), healthy=True)


def parts() -> Iterator[Part]:
    """Every entry of every seam."""
    from gstalker.encode import ENCODERS
    from gstalker.methods import METHODS
    from gstalker.metrics.landmarks import DETECTORS
    from gstalker.prepare.parsers import PARSERS
    from gstalker.render import RASTERIZERS

    tables = {
        "rasterizer": RASTERIZERS,
        "encoder": ENCODERS,
        "landmarks": DETECTORS,
        "method": METHODS,
        "parser": PARSERS,
    }
    for seam, table in tables.items():
        yield from _entries(seam, table)
    lack = _lack(["decord", "av", "cv2", "mediapipe"])
    yield Part("prepare", "video", lack or _no_file("face_landmarker", "selfie_segmentation"))
    yield Part("sound", "mel")
    yield Part("sound", "whisper", _no_file("whisper_tiny_en"))
    for kind in audio.MODELS:
        yield Part(
            "sound",
            kind,
            _lack(["transformers"]) or (_no_model(kind) and "its model files, see below"),
        )
    for kind in audio.IMPORTED_ONLY:
        yield Part("sound", kind, "imported only: prepare VIDEO OUT audio_features=FILE.npy")
    for name, packages in _LOGGERS.items():
        yield Part("logger", name, _lack(packages))
    yield Part("metric", "sync", _no_syncnet())
    no_slurm = "" if shutil.which("sbatch") and shutil.which("srun") else "a node of a cluster"
    yield Part("cluster", "slurm", _lack(["submitit"]) or no_slurm)


def torchvision_trap() -> str:
    """The cure if a torchvision of another build is installed; empty if all is well.

    torchmetrics imports torchvision wherever it finds it, so a broken one breaks lightning.
    """
    if importlib.util.find_spec("torchvision") is None:
        return ""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError, AttributeError):
        return TORCHVISION_CURE
    return ""


def weights_table(found: Iterable[weights.Found]) -> str:
    """Model files as lines of text: is it here, where, what for, how to get it."""
    lines = []
    for file in found:
        megabytes = f"{file.entry.size / 1e6:.1f} MB"
        lines.append(f"  {file.name:22}{file.state:11}{megabytes:>8}  {file.entry.purpose}")
        if file.path is not None:
            lines.append(f"{'':24}{file.path}")
        if file.state == "different":
            lines.append(f"{'':24}its sha256 is not the expected one; remove it and get it again")
        if file.state != "good":
            served = f"gstalker weights download {file.name}"
            lines.append(f"{'':24}to get it: {served if file.entry.url else file.entry.how}")
    return "\n".join(lines)


def speech_models() -> list[str]:
    """Which models of one's own choice are here for sound features, as lines of text."""
    lines = []
    for kind in audio.MODELS:
        lack = _no_model(kind)
        lines.append(
            f"  {kind:22}{'missing' if lack else 'here':11}{'':8}  '{kind}' sound features"
        )
        lines += [f"{'':24}{line.strip()}" for line in lack.splitlines()]
    return lines


# ---------------------------------------------------------------------- the parts of the report


def _first_line() -> str:
    import torch

    cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA device"
    return (
        f"gstalker {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"lightning {_version('lightning')}, {torch.get_num_threads()} threads, {cuda}"
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _kernels() -> str:
    from gstalker.native import build, library

    try:
        library.load()
    except BackendMissing as error:
        try:
            tool = f"C++ compiler: {build.compiler()}"
        except build.BuildFailed as reason:
            tool = str(reason)
        return f"kernels      MISSING, training is very slow without: {error}\n  {tool}"
    others = ", ".join(library.supported_isas())
    return f"kernels      {library.describe()} (this processor can run: {others})"


def _files() -> str:
    return "ffmpeg       not needed: PyAV and decord bring their own libraries"


def _entries(seam: str, table: Mapping[str, str]) -> Iterator[Part]:
    from gstalker.native import library

    for name, path in table.items():
        lack = _lack(imported_packages(path.partition(":")[0]))
        if not lack and name == "native" and not library.available():
            lack = f"build it with: {library.BUILD_COMMAND}"
        yield Part(seam, name, lack)


def imported_packages(module: str) -> list[str]:
    """Packages from elsewhere that a module's text imports, at its top or inside functions."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise GSTalkerError(f"the module {module} cannot be found; install gstalker again.")
    names: set[str] = set()
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return sorted(names - set(sys.stdlib_module_names) - {"gstalker"})


def _lack(packages: Iterable[str]) -> str:
    """What to do about the first package that cannot be imported; empty if all can."""
    import torch

    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            line = INSTALL_LINES.get(package, f"pip install {package}")
            device = package in _NEED_CUDA and not torch.cuda.is_available()
            return line + ("; needs a CUDA device as well" if device else "")
        except (ImportError, OSError, RuntimeError) as error:
            hint = f"; try: apt-get install {_OPENCV_LIBRARIES}" if package == "cv2" else ""
            return f"{package} is installed but broken: {error}{hint}"
        if package in _NEED_CUDA and not torch.cuda.is_available():
            return "a CUDA device"
        if package == "mediapipe" and (libraries := _graphics_libraries()):
            return libraries
    return ""


def _no_file(*names: str) -> str:
    absent = [name for name in names if not weights.have(name)]
    return f"its model files, see below: {', '.join(absent)}" if absent else ""


def _no_syncnet() -> str:
    from gstalker.metrics import syncnet

    if importlib.util.find_spec("syncnet_python") is None:
        return syncnet.INSTALL
    absent = [f for f in (syncnet.WEIGHTS, syncnet.FACE_WEIGHTS) if weights.named(f) is None]
    return f"put {' and '.join(absent)} into {weights.folders()[0]}" if absent else ""


def _no_model(kind: str) -> str:
    from gstalker.prepare.audio import transformer

    try:
        transformer.folder(kind)
    except BackendMissing as error:
        return str(error)
    return ""


def _graphics_libraries() -> str:
    """MediaPipe loads these when it starts, and its own message names neither package."""
    if platform.system() != "Linux":
        return ""
    absent = []
    for library, package in _GRAPHICS_LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            absent.append(package)
    return f"mediapipe lacks system libraries: apt-get install {' '.join(absent)}" if absent else ""


def _row(part: Part) -> str:
    state = f"missing    {part.missing}" if part.missing else "here"
    return f"{part.seam:13}{part.name:22}{state}"
