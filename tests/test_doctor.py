"""The doctor: every seam is told of, and every missing part comes with what to type."""

import ctypes
import importlib
import importlib.util
import os

import pytest

from gstalker import doctor, weights
from gstalker.errors import BackendMissing
from gstalker.methods import METHODS
from gstalker.native import build, library
from gstalker.prepare.parsers import PARSERS
from gstalker.render import RASTERIZERS


@pytest.fixture
def without(monkeypatch):
    """Make packages impossible to import."""

    def hide(*packages, error=ModuleNotFoundError):
        real = importlib.import_module

        def import_module(name, package=None):
            if name.partition(".")[0] in packages:
                raise error(f"No module named '{name}'")
            return real(name, package)

        monkeypatch.setattr(doctor.importlib, "import_module", import_module)

    return hide


def part(seam, name):
    return next(p for p in doctor.parts() if (p.seam, p.name) == (seam, name))


def test_every_entry_of_every_table_is_told():
    found = {(p.seam, p.name) for p in doctor.parts()}
    assert {("rasterizer", name) for name in RASTERIZERS} <= found
    assert {("method", name) for name in METHODS} <= found
    assert {("parser", name) for name in PARSERS} <= found
    assert {("sound", "mel"), ("logger", "csv"), ("prepare", "video")} <= found


def test_a_name_and_its_state_are_two_words():
    for told in doctor.parts():
        assert doctor._row(told).split()[:2] == [told.seam, told.name]


def test_syncnet_wants_its_package_first_and_its_weights_then(monkeypatch, tmp_path):
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(tmp_path))
    spec = importlib.util.find_spec
    for there, wanted in ((None, "pip install --no-deps syncnet-python"), (True, str(tmp_path))):
        monkeypatch.setattr(
            doctor.importlib.util,
            "find_spec",
            lambda name, found=there: found if name == "syncnet_python" else spec(name),
        )
        assert wanted in part("metric", "sync").missing
    assert part("metric", "sync").missing.startswith("put syncnet_v2.model and sfd_face.pth into")
    for file in ("syncnet_v2.model", "sfd_face.pth"):
        (tmp_path / file).touch()
    assert part("metric", "sync").missing == ""


def test_slurm_is_a_matter_of_the_machine(monkeypatch, without):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert part("cluster", "slurm").missing
    without("submitit")
    assert part("cluster", "slurm").missing == "pip install 'gstalker[slurm]'"


def test_what_needs_nothing_is_here():
    assert part("rasterizer", "reference").missing == ""
    assert part("encoder", "frequency").missing == ""


def test_a_missing_package_comes_with_its_install_line(without):
    without("gsplat", "mediapipe", "wandb")
    assert "pip install 'gstalker[cuda]'" in part("rasterizer", "gsplat").missing
    assert part("landmarks", "mediapipe").missing == "pip install 'gstalker[prepare]'"
    assert part("logger", "wandb").missing == "pip install 'gstalker[wandb]'"


def test_a_package_that_cannot_be_loaded_is_called_broken(without):
    without("cv2", error=ImportError)
    missing = part("prepare", "video").missing
    assert "broken" in missing
    assert "apt-get install libgl1" in missing


def test_mediapipes_system_libraries_are_named(monkeypatch):
    pytest.importorskip("mediapipe")
    real = ctypes.CDLL

    def cdll(name, *args, **keywords):
        if name in ("libEGL.so.1", "libGLESv2.so.2"):
            raise OSError("cannot open shared object file")
        return real(name, *args, **keywords)

    monkeypatch.setattr(doctor.ctypes, "CDLL", cdll)
    assert "apt-get install libegl1 libgles2" in part("landmarks", "mediapipe").missing


def test_missing_kernels_come_with_the_command_that_builds_them(monkeypatch):
    def absent():
        raise BackendMissing("the native kernels are not built.\n  Run: python -m gstalker.native")

    def no_compiler():
        raise build.BuildFailed("no C++ compiler found")

    monkeypatch.setattr(library, "load", absent)
    monkeypatch.setattr(build, "compiler", no_compiler)
    text = doctor.report().text
    assert "kernels      MISSING" in text
    assert "no C++ compiler found" in text
    assert library.BUILD_COMMAND in part("rasterizer", "native").missing


def test_a_model_file_that_is_not_here_comes_with_how_to_get_it():
    table = doctor.weights_table(weights.listing())
    assert "gstalker weights download face_landmarker" in table
    assert all(name in table for name in weights.TABLE)


def test_a_model_file_that_is_another_is_called_different():
    folder = os.environ["GSTALKER_WEIGHTS"]
    entry = weights.TABLE["face_landmarker"]
    path = os.path.join(folder, entry.file)
    with open(path, "wb") as file:
        file.write(b"something else")
    try:
        assert "remove it and get it again" in doctor.weights_table(
            weights.check("face_landmarker")
        )
    finally:
        os.remove(path)


def test_the_packages_of_a_backend_are_read_from_its_text():
    assert doctor.imported_packages("gstalker.render.gsplat") == ["gsplat", "jaxtyping", "torch"]


def test_speech_models_of_ones_own_choice_are_told_of(without, tmp_path, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    assert "facebook/hubert-large-ls960-ft" in "\n".join(doctor.speech_models())
    (tmp_path / "hubert").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "hubert" / name).write_text("{}")
    assert "hubert-large" not in "\n".join(doctor.speech_models())
    without("transformers")
    parts = {part.name: part.missing for part in doctor.parts() if part.seam == "sound"}
    assert "gstalker[speech]" in parts["hubert"]
    assert "audio_features=FILE.npy" in parts["deepspeech"]
