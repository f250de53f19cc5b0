"""Finding the kernels: for this processor, made from these sources, or a sentence."""

import shutil

import pytest

from gstalker.errors import BackendMissing
from gstalker.native import build, library

built = pytest.mark.skipif(not library.available(), reason="the native kernels are not built")


@built
@pytest.mark.parametrize("isa", library.supported_isas())
def test_every_instruction_set_of_this_processor_loads(isa):
    assert library.load(isa).gst_source_hash() is not None


@built
def test_the_environment_overrides_the_choice(monkeypatch):
    monkeypatch.setenv("GSTALKER_ISA", "generic")
    assert library.describe().startswith("generic ")


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """An empty place for libraries, and nothing remembered of the usual one."""
    original = build.library_path
    monkeypatch.setattr(build, "library_path", lambda isa, folder=tmp_path: original(isa, folder))
    library._load.cache_clear()
    yield tmp_path
    library._load.cache_clear()


def test_unbuilt_kernels_say_what_to_type(elsewhere):
    with pytest.raises(BackendMissing, match=r"not built[\s\S]*python -m gstalker.native"):
        library.load()
    assert not library.available()
    assert "not built" in library.describe()


@built
def test_kernels_of_other_sources_are_stale(elsewhere, monkeypatch):
    isa = library.best_isa()
    shutil.copy(build.LIBRARIES / f"libgstalker_{isa}.so", elsewhere)
    monkeypatch.setattr(build, "source_hash", lambda: "other")
    with pytest.raises(
        BackendMissing, match=r"built from other sources[\s\S]*python -m gstalker.native"
    ):
        library.load()


def test_a_file_that_is_no_library_says_what_to_type(elsewhere):
    (elsewhere / f"libgstalker_{library.best_isa()}.so").write_bytes(b"no library")
    with pytest.raises(BackendMissing, match=r"cannot be loaded[\s\S]*python -m gstalker.native"):
        library.load()


def test_kernels_of_another_processor_are_refused():
    with pytest.raises(BackendMissing, match="cannot run on this processor"):
        library.load("vax")


def test_without_a_compiler_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(build.BuildFailed, match="no C\\+\\+ compiler found"):
        build.compiler()


@pytest.mark.slow
def test_building_makes_every_library_whole(tmp_path):
    paths = build.build(tmp_path)
    assert [p.name for p in paths] == [f"libgstalker_{isa}.so" for isa in build.instruction_sets()]
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths}


def test_the_hash_follows_the_sources(tmp_path):
    for file in build.SOURCES.iterdir():
        shutil.copy(file, tmp_path)
    before = build.source_hash(tmp_path)
    assert before == build.source_hash()
    with (tmp_path / "raster.h").open("a") as file:
        file.write("\n")
    assert build.source_hash(tmp_path) != before
