"""The command line: what may be typed, and one clear sentence for everything that goes wrong."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gstalker import __version__, cli
from gstalker.errors import CaptureError
from gstalker.files import CHECKOUT
from gstalker.verbs import house, runs

FEW_STEPS = (
    "method.static.steps=3",
    "method.deform.steps=3",
    "method.static.start.max_gaussians=300",
)
CONFIG = "configs/gstalker.yaml"


@pytest.fixture
def gstalker(capsys, monkeypatch, pytestconfig):
    """Type a command: its exit status, what it printed, what it said of errors."""
    monkeypatch.chdir(pytestconfig.rootpath)
    monkeypatch.setattr(cli.process, "tune", lambda: None)

    def type_in(*words):
        status = cli.main([str(word) for word in words])
        told = capsys.readouterr()
        return status, told.out, told.err

    return type_in


@pytest.fixture(scope="module")
def tiny_run(tiny_capture, tmp_path_factory, pytestconfig):
    """A run of three steps a stage; copy it before damaging it."""
    runs = tmp_path_factory.mktemp("runs")
    where = [f"capture={tiny_capture.folder}", f"runs={runs}"]
    assert cli.main(["train", str(pytestconfig.rootpath / CONFIG), *where, *FEW_STEPS]) == 0
    return next(runs.iterdir())


@pytest.fixture
def failing(monkeypatch):
    """A ``doctor`` that fails with a given error; it has no arguments to get wrong."""

    def fail_with(error):
        def doctor(args):
            raise error

        monkeypatch.setattr(house, "_doctor", doctor)

    return fail_with


def one_sentence(told):
    """The message, which must be one short paragraph without a traceback."""
    lines = [line for line in told.splitlines() if line.startswith("gstalker: ")]
    assert len(lines) == 1, told
    assert "Traceback" not in told
    return told[told.index("gstalker: ") :]


# ---------------------------------------------------------------------- what may be typed


def test_help_loads_neither_torch_nor_any_room():
    code = "import gstalker.cli as c, sys; c.parser(); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(modules.stdout.split())
    assert "gstalker.cli" in loaded
    assert not loaded & {"torch", "numpy", "lightning", "omegaconf", "gstalker.config"}


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"gstalker {__version__}\n"


@pytest.mark.parametrize(
    "words", [[], ["trian"], ["train"], ["drive", "r", "a"], ["doctor", "a=1"]]
)
def test_half_a_command_is_answered_with_its_usage(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert "usage: gstalker" in capsys.readouterr().err


def test_values_may_stand_on_either_side_of_a_flag():
    args = cli.parse(["prepare", "v.mp4", "out", "a=1", "--redo", "track", "b=2", "--redo=audio"])
    assert args.overrides == ["a=1", "b=2"]
    assert args.redo == ["track", "audio"]


def test_a_report_takes_values_behind_a_flag_as_well(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("gstalker.report.story.write", lambda *given: asked.append(given))
    assert cli.main(["report", "runs/a", "capture=here", "-o", "page.html", "device=cpu"]) == 0
    assert asked == [(["runs/a"], Path("page.html"), ["capture=here", "device=cpu"])]


@pytest.mark.parametrize("name", ["-talk.mp4", "my talk.mp4", 'it\'s "me" $HOME.mp4', "grüß.mp4"])
def test_a_command_told_with_a_strange_file_name_can_be_typed(monkeypatch, tmp_path, capsys, name):
    monkeypatch.chdir(tmp_path)
    asked = []
    page = SimpleNamespace(text="", findings=())
    monkeypatch.setattr("gstalker.prepare.prepare", lambda *given, **how: asked.append(given))
    monkeypatch.setattr("gstalker.inspect.inspect", lambda *given: asked.append(given) or page)
    assert cli.main(["prepare", "--", name, name]) == 0
    video, out, _ = asked.pop()
    assert (tmp_path / video, tmp_path / out) == (tmp_path / name, tmp_path / name)
    next_one = capsys.readouterr().out.removeprefix("Next: ")
    for line in (shlex.join(["gstalker", "prepare", str(video), str(out)]), next_one):
        assert cli.main(shlex.split(line)[1:]) == 0
        assert tmp_path / asked.pop()[0] == tmp_path / name


def test_a_file_that_looks_like_a_flag_is_told_how_to_be_typed(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-my talk.mp4").touch()
    with pytest.raises(SystemExit):
        cli.parse(["prepare", "-my talk.mp4", "out"])
    assert "begins with a dash, as flags do; write './-my talk.mp4'" in capsys.readouterr().err
    assert cli.parse(["prepare", "./-my talk.mp4", "out"]).video == tmp_path / "-my talk.mp4"


def test_an_unknown_flag_is_not_taken_for_a_value(capsys):
    with pytest.raises(SystemExit):
        cli.parse(["train", "c.yaml", "--seed=1"])
    assert "--seed=1" in capsys.readouterr().err


def test_config_prints_what_would_run_and_runs_nothing(gstalker, tmp_path):
    status, out, _ = gstalker("config", CONFIG, "seed=5", f"runs={tmp_path}/r")
    assert status == 0
    assert "seed: 5\n" in out
    assert not (tmp_path / "r").exists()


def test_python_m_gstalker_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "gstalker", "train", "nowhere.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ConfigError: config file nowhere.yaml cannot be read" in one_sentence(done.stderr)


def test_away_from_the_checkout_a_config_of_ours_is_told_where_it_lies(
    gstalker, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    status, _, err = gstalker("train", "configs/gstalker.yaml", "capture=captures/me")
    assert status == 1
    told = Path(err.split("GSTalker's own is ")[1].rstrip().rstrip("."))
    assert told.samefile(CHECKOUT / "configs/gstalker.yaml")
    assert "GSTalker's own" not in gstalker("train", "configs/nowhere.yaml")[2]


# ---------------------------------------------------------------------- the whole way


def test_train_says_where_the_run_is_and_what_comes_next(tiny_run, tiny_capture, gstalker):
    words = (
        "train",
        CONFIG,
        f"capture={tiny_capture.folder}",
        f"runs={tiny_run.parent}",
        *FEW_STEPS,
    )
    status, out, _ = gstalker(*words)  # finished before: nothing is trained again
    assert status == 0
    assert out == f"{tiny_run}\nNext: gstalker evaluate {tiny_run}\n"


def test_evaluate_prints_a_row_for_each_control(tiny_run, gstalker):
    status, out, _ = gstalker("evaluate", tiny_run)
    assert status == 0
    assert out.split()[:4] == ["ours", "static", "shuffled_audio", "mean_frame"]
    assert (tiny_run / "scores.json").is_file()


def test_drive_writes_the_video_and_says_where(tiny_run, gstalker, tmp_path):
    _write_wav(tmp_path / "speech.wav", np.zeros(8000, np.int16))
    status, out, _ = gstalker(
        "drive", tiny_run, tmp_path / "speech.wav", "-o", tmp_path / "out.mp4"
    )
    assert status == 0
    assert out.strip() == str(tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").stat().st_size > 1000


def test_inspect_prints_the_verdict_and_writes_the_page(tiny_capture, gstalker, tmp_path):
    status, out, _ = gstalker("inspect", tiny_capture.folder, "-o", tmp_path)
    assert status == 0
    assert out.startswith("tiny: fit with cautions\n")
    *_, page, following = out.strip().splitlines()
    assert page == str(tmp_path / "inspect.html")
    assert following == (
        f"Next: gstalker train configs/gstalker.yaml capture={tiny_capture.folder}"
    )
    assert (tmp_path / "inspect.html").stat().st_size > 100_000


def test_the_next_command_is_typed_whole_in_another_folder(
    tiny_capture, gstalker, tmp_path, monkeypatch, pytestconfig
):
    monkeypatch.chdir(tmp_path)
    _, out, _ = gstalker("inspect", tiny_capture.folder, "-o", tmp_path)
    whole = pytestconfig.rootpath / CONFIG
    assert out.splitlines()[-1] == f"Next: gstalker train {whole} capture={tiny_capture.folder}"


# ---------------------------------------------------------------------- bad input


def test_a_typo_in_a_key_is_one_sentence(gstalker):
    status, out, err = gstalker("train", CONFIG, "capture=x", "method.static.stepz=3")
    assert (status, out) == (1, "")
    assert "ConfigError: unknown key 'method.static.stepz'" in one_sentence(err)


def test_training_without_a_capture_says_how_to_make_one(gstalker):
    status, _, err = gstalker("train", CONFIG)
    assert status == 1
    assert "gstalker prepare VIDEO FOLDER" in one_sentence(err)


def test_a_capture_that_is_not_there_is_one_sentence(gstalker, tmp_path):
    status, _, err = gstalker("train", CONFIG, f"capture={tmp_path}/me", f"runs={tmp_path}/runs")
    assert status == 1
    assert "CaptureError" in one_sentence(err)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("file", ["frames.npy", "masks.npy", "poses.npy", "capture.json"])
@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_a_damaged_capture_is_one_sentence(gstalker, tiny_capture, tmp_path, file, damage):
    capture = tmp_path / "me"
    shutil.copytree(tiny_capture.folder, capture)
    if damage == "missing":
        (capture / file).unlink()
    else:
        os.truncate(capture / file, (capture / file).stat().st_size // 2)
    where = (f"capture={capture}", f"runs={tmp_path}/runs")
    status, _, err = gstalker("train", CONFIG, *where, *FEW_STEPS)
    assert status == 1
    assert "CaptureError" in one_sentence(err)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "content", [b"", b"not a video", b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 99]
)
def test_what_is_not_a_video_is_one_sentence_and_leaves_nothing(gstalker, tmp_path, content):
    pytest.importorskip("mediapipe", reason="prepare needs the extra 'prepare'")
    (tmp_path / "talk.mp4").write_bytes(content)
    status, _, err = gstalker("prepare", tmp_path / "talk.mp4", tmp_path / "me")
    assert status == 1
    one_sentence(err)
    assert not (tmp_path / "me").exists()


def test_a_video_that_is_not_there_is_one_sentence(gstalker, tmp_path):
    status, _, err = gstalker("prepare", tmp_path / "talk.mp4", tmp_path / "me")
    assert status == 1
    assert "talk.mp4" in one_sentence(err)


def test_an_unknown_choice_of_prepare_is_one_sentence(gstalker, tmp_path):
    status, _, err = gstalker("prepare", tmp_path / "talk.mp4", tmp_path / "me", "max_sid=9")
    assert status == 1
    assert "Did you mean 'max_side'" in one_sentence(err)


@pytest.mark.parametrize("verb", [["evaluate"], ["drive"]])
def test_a_run_that_is_not_there_is_one_sentence(gstalker, tmp_path, verb):
    rest = [] if verb == ["evaluate"] else [tmp_path / "a.wav", "-o", tmp_path / "o.mp4"]
    status, _, err = gstalker(*verb, tmp_path / "runs" / "none", *rest)
    assert status == 1
    assert "RunError" in one_sentence(err)


@pytest.mark.parametrize("file", ["static/handoff.pt", "deform/model.pt", "config.yaml"])
def test_a_damaged_run_is_one_sentence(gstalker, tiny_run, tmp_path, file):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    os.truncate(run / file, 100)
    status, _, err = gstalker("evaluate", run)
    assert status == 1
    one_sentence(err)


def test_a_damaged_checkpoint_is_one_sentence(gstalker, tiny_run, tiny_capture, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(tiny_run.parent, runs)
    run = runs / tiny_run.name
    (run / "deform" / "model.pt").unlink()
    os.truncate(run / "deform" / "last.ckpt", 1000)
    where = (f"capture={tiny_capture.folder}", f"runs={runs}")
    status, _, err = gstalker("train", CONFIG, *where, *FEW_STEPS)
    assert status == 1
    assert "last.ckpt" in one_sentence(err)


@pytest.mark.parametrize("content", ["nothing", "no samples", "not a sound", "missing"])
def test_unusable_speech_is_one_sentence_and_leaves_nothing(gstalker, tiny_run, tmp_path, content):
    speech, out = tmp_path / "speech.wav", tmp_path / "out.mp4"
    if content == "nothing":
        speech.write_bytes(b"")
    elif content == "no samples":
        _write_wav(speech, np.zeros(0, np.int16))
    elif content == "not a sound":
        speech.write_text("hello")
    status, _, err = gstalker("drive", tiny_run, speech, "-o", out)
    assert status == 1
    assert "speech.wav" in one_sentence(err)
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(gstalker, tiny_capture, tmp_path):
    (tmp_path / "file").write_text("")
    runs = tmp_path / "file" / "runs"
    status, _, err = gstalker("train", CONFIG, f"capture={tiny_capture.folder}", f"runs={runs}")
    assert status == 1
    assert "cannot write" in one_sentence(err)


def test_inspecting_what_is_no_capture_is_one_sentence(gstalker, tmp_path):
    status, _, err = gstalker("inspect", tmp_path / "none")
    assert status == 1
    assert "CaptureError" in one_sentence(err)


def test_an_unknown_provider_of_the_eyes_is_one_sentence(gstalker, shared, tmp_path, monkeypatch):
    pytest.importorskip("mediapipe", reason="prepare needs the extra 'prepare'")
    monkeypatch.setenv("GSTALKER_WEIGHTS", str(shared / "data" / "weights"))
    video = shared / "data" / "video" / "may_5s_512.mp4"
    status, _, err = gstalker("prepare", video, tmp_path / "me", "eye=lids")
    assert status == 1
    assert "choose landmarks, blendshapes, constant" in one_sentence(err)
    assert not (tmp_path / "me").exists()


def test_an_unknown_model_file_is_one_sentence(gstalker):
    status, _, err = gstalker("weights", "check", "nothing")
    assert status == 1
    assert "face_landmarker" in one_sentence(err)


# ---------------------------------------------------------------------- what happens to a process


def test_ctrl_c_says_that_the_same_command_goes_on(gstalker, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_train", interrupted)
    status, _, err = gstalker("train", "my config.yaml", "seed=1")
    assert status == 130
    assert one_sentence(err) == (
        "gstalker: interrupted. The same command goes on from there: "
        "gstalker train 'my config.yaml' seed=1\n"
    )


def test_ctrl_c_that_lightning_turned_into_an_exit_is_still_ctrl_c(gstalker, monkeypatch):
    def lightning(args):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    monkeypatch.setattr(runs, "_train", lightning)
    status, _, err = gstalker("train", CONFIG)
    assert status == 130
    assert "goes on from there" in one_sentence(err)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EACCES, "Permission denied", "/some/file"), "/some/file: Permission denied"),
        (MemoryError(), "out of memory"),
        (CaptureError("frame 3 is damaged."), "CaptureError: frame 3 is damaged."),
        (RuntimeError("operator torchvision::nms does not exist"), "pip uninstall torchvision"),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(gstalker, failing, error, message):
    failing(error)
    status, _, err = gstalker("doctor")
    assert status == 1
    assert message in one_sentence(err)


def test_a_full_disk_is_seen_behind_the_error_that_it_caused(gstalker, failing):
    error = RuntimeError("file write failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    failing(error)
    status, _, err = gstalker("doctor")
    assert status == 1
    assert "the disk is full" in one_sentence(err)


def test_a_fault_of_ours_keeps_its_traceback(gstalker, failing):
    failing(ValueError("expected [N, 3]"))
    with pytest.raises(ValueError, match="expected"):
        gstalker("doctor")


def test_debug_shows_the_traceback(gstalker, failing):
    failing(CaptureError("damaged"))
    with pytest.raises(CaptureError):
        gstalker("doctor", "--debug")


def test_a_reader_that_goes_away_is_no_fault():
    command = f"{sys.executable} -m gstalker weights | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def _write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
