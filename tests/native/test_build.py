"""Building the kernels: whole libraries or a sentence, once, and also for setuptools."""

import ctypes
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from gstalker.native import build

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("g++", "clang++")), reason="no C++ compiler"
)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Sources that compile in a moment, for one instruction set, and a place for the library."""
    sources = tmp_path / "src"
    sources.mkdir()
    for name in ("identity.cpp", "export.h"):
        shutil.copy(build.SOURCES / name, sources)
    digest = build.source_hash
    monkeypatch.setattr(build, "SOURCES", sources)
    monkeypatch.setattr(build, "source_hash", lambda: digest(sources))
    monkeypatch.setattr(build, "instruction_sets", lambda: ["generic"])
    return tmp_path / "lib"


def hash_inside(path):
    """What a library says that it was built from; read in another process, which can be ended."""
    code = (
        "import ctypes, sys; f = ctypes.CDLL(sys.argv[1]).gst_source_hash;"
        "f.restype = ctypes.c_char_p; print(f().decode())"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
    return done.stdout.decode().strip()


@needs_compiler
def test_a_library_carries_the_hash_of_its_sources(small):
    (path,) = build.build(small)
    assert hash_inside(path) == build.source_hash()
    assert ctypes.CDLL(str(path)).gst_isa() != 0


@needs_compiler
def test_what_is_up_to_date_is_left_alone_until_forced(small):
    (path,) = build.build(small)
    first = path.stat().st_ino
    assert build.build(small)[0].stat().st_ino == first
    build.build(small, force=True)
    assert path.stat().st_ino != first


@needs_compiler
def test_changed_sources_are_built_again(small):
    (path,) = build.build(small)
    before = hash_inside(path)
    with (build.SOURCES / "identity.cpp").open("a") as file:
        file.write("// changed\n")
    build.build(small)
    assert hash_inside(path) == build.source_hash() != before


@needs_compiler
def test_sources_that_do_not_compile_leave_the_old_library(small):
    (path,) = build.build(small)
    before = path.read_bytes()
    (build.SOURCES / "broken.cpp").write_text("int f() { return nonsense; }\n")
    with pytest.raises(build.BuildFailed, match="nonsense"):
        build.build(small)
    assert path.read_bytes() == before
    assert {p.name for p in small.iterdir()} == {path.name}


@needs_compiler
def test_of_two_builds_at_once_the_second_finds_the_work_done(small, monkeypatch):
    compiled = []
    original = build._compile

    def counted(*args):
        compiled.append(args)
        original(*args)

    monkeypatch.setattr(build, "_compile", counted)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build.build, [small, small]))
    assert len(compiled) == 1


def test_a_folder_that_cannot_be_made_is_a_sentence(small):
    small.write_text("a file, where the folder should be")
    with pytest.raises(build.BuildFailed, match=f"cannot build the kernels in {small}"):
        build.build(small)


def test_setuptools_can_load_the_build_step_without_torch_or_gstalker():
    code = (
        "import importlib.util, sys;"
        "spec = importlib.util.spec_from_file_location('gstalker.native.build', sys.argv[1]);"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module);"
        "assert 'setuptools' not in sys.modules, 'too early';"
        "step = module.BuildKernels;"
        "from setuptools.command.build_py import build_py;"
        "assert issubclass(step, build_py);"
        "assert not {'torch', 'gstalker', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, build.__file__], check=True, timeout=60)


@needs_compiler
@pytest.mark.parametrize("editable", [False, True], ids=["copied", "editable"])
def test_the_build_step_puts_the_libraries_where_the_package_goes(small, monkeypatch, editable):
    from setuptools import Distribution

    beside_the_sources = small.parent / "beside"
    monkeypatch.setattr(build, "LIBRARIES", beside_the_sources)
    step = build.BuildKernels(Distribution({"packages": []}))
    step.initialize_options()
    step.finalize_options()
    step.build_lib, step.editable_mode = str(small.parent / "built"), editable
    step.run()
    copied = small.parent / "built/gstalker/native/lib/libgstalker_generic.so"
    assert copied.exists() is not editable
    assert (beside_the_sources / "libgstalker_generic.so").exists() is editable


def test_the_build_step_goes_on_without_a_compiler(small, monkeypatch, caplog):
    from setuptools import Distribution

    monkeypatch.setattr(shutil, "which", lambda name: None)
    step = build.BuildKernels(Distribution({"packages": []}))
    step.initialize_options()
    step.finalize_options()
    step.build_lib, step.editable_mode = str(small), False
    step.run()
    assert "kernels not built" in caplog.text
    assert "no C++ compiler found" in caplog.text


@pytest.mark.slow
@needs_compiler
def test_the_module_builds_and_then_has_nothing_to_do():
    command = [sys.executable, "-m", "gstalker.native"]
    environment = {**os.environ, "PYTHONPATH": str(build.SOURCES.parents[2])}
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        for isa in build.instruction_sets():
            assert str(build.library_path(isa)) in done.stderr
