"""Compile the kernels: one shared library for each instruction set, chosen among at run time.

Also the build step of ``pip install``: setuptools loads this file alone, before gstalker or torch
can be imported, so it uses the standard library only. In turn setuptools itself is imported only
where it asks for its step: at every start of gstalker it would cost a quarter of a second.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SOURCES = Path(__file__).parent / "src"
LIBRARIES = Path(__file__).parent / "lib"

COMMON_FLAGS = [
    *("-O3", "-std=c++17", "-fPIC", "-shared", "-fopenmp", "-fvisibility=hidden"),
    # Contraction and no errno are wanted; -ffast-math is not: a library built with it sets
    # flush-to-zero for the whole process and breaks the rounding that exp2 relies on.
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-Wall", "-Wextra", "-Wno-psabi", "-Wno-unknown-pragmas"),
]
ISA_FLAGS = {
    "avx512": ["-march=skylake-avx512", "-mprefer-vector-width=512"],
    "avx2": ["-march=haswell"],
    "generic": [],
}
"""Fixed targets, not ``native``: a library must not die on the next machine."""


class BuildFailed(Exception):
    """The compiler is missing or refused; the message has its first complaint."""


def instruction_sets() -> list[str]:
    """Those that can be compiled for on this kind of machine."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return list(ISA_FLAGS) if is_x86 else ["generic"]


def compiler() -> str:
    """The C++ compiler: ``$CXX``, g++ or clang++.

    Raises:
        BuildFailed: there is none.
    """
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise BuildFailed(
        "no C++ compiler found (looked for $CXX, g++, clang++).\n"
        "  Install one, for example: apt-get install g++   "
        "or: conda install -c conda-forge cxx-compiler"
    )


def source_hash(sources: Path = SOURCES) -> str:
    """Of the kernels' text and the flags; compiled in, so that a stale library is known."""
    digest = hashlib.sha256(repr((COMMON_FLAGS, ISA_FLAGS)).encode())
    for path in sorted(sources.iterdir()):
        if path.suffix in (".cpp", ".h"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def library_path(isa: str, folder: Path = LIBRARIES) -> Path:
    """Where the library for one instruction set lies."""
    return folder / f"libgstalker_{isa}.so"


def build(
    folder: Path = LIBRARIES, extra_flags: tuple[str, ...] = (), *, force: bool = False
) -> list[Path]:
    """Compile every library that this machine's kind can use and that is not there already.

    Two processes may build at once: the second waits, and finds the work done. A library appears
    whole or not at all.

    Args:
        folder: where the libraries go.
        extra_flags: for the compiler, after its own; with any, all libraries are compiled.
        force: compile also what is already there.

    Returns:
        The libraries, compiled now or before.

    Raises:
        BuildFailed: no compiler, or it refused, or the folder cannot be written to.
    """
    anew = force or bool(extra_flags)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            missing = [isa for isa in instruction_sets() if anew or not _is_current(isa, folder)]
            if missing:
                tool = compiler()
                with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                    list(pool.map(lambda isa: _compile(tool, isa, folder, extra_flags), missing))
    except OSError as error:
        raise BuildFailed(f"cannot build the kernels in {folder}: {error}.") from error
    return [library_path(isa, folder) for isa in instruction_sets()]


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process builds here; the folder is its own lock and needs no file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_current(isa: str, folder: Path) -> bool:
    """Whether the library was built from these sources; told from its bytes, without loading it."""
    path = library_path(isa, folder)
    return path.exists() and source_hash().encode() in path.read_bytes()


def _compile(tool: str, isa: str, folder: Path, extra_flags: tuple[str, ...]) -> None:
    path = library_path(isa, folder)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / path.name
        files = [str(file) for file in sorted(SOURCES.glob("*.cpp"))]
        defines = [f'-DGST_SOURCE_HASH="{source_hash()}"', f'-DGST_ISA="{isa}"']
        command = [
            tool,
            *COMMON_FLAGS,
            *ISA_FLAGS[isa],
            *extra_flags,
            *defines,
            *files,
            "-o",
            str(made),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildFailed(
                f"{tool} could not compile the {isa} kernels:\n{done.stderr.strip()[:2000]}"
            )
        os.replace(made, path)


def _build_step() -> type:
    """A ``build_py`` that also compiles the kernels; without a compiler it goes on."""
    from setuptools.command.build_py import build_py

    class BuildKernels(build_py):
        def run(self) -> None:
            """Copy the Python files, then compile beside them (beside the sources if editable)."""
            super().run()
            built = Path(self.build_lib) / "gstalker" / "native" / "lib"
            try:
                build(LIBRARIES if self.editable_mode else built)
            except BuildFailed as error:
                log.warning(
                    "gstalker: kernels not built; the slow torch reference will run. %s", error
                )

    return BuildKernels


def __getattr__(name: str) -> Any:
    if name == "BuildKernels":  # what setup.cfg names as the build step
        return _build_step()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
