"""What a run says of the machine and the program that made it."""

import hashlib
import json
import subprocess
from types import SimpleNamespace

import pytest

from gstalker import files
from gstalker.callbacks import provenance
from gstalker.callbacks.provenance import Provenance, joules, processor


def test_the_processor_says_its_name(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Abacus 2\nflags\t: beads\n")
    assert processor(cpuinfo) == "Abacus 2"
    assert processor(tmp_path / "none")


def counters(folder, **micro):
    for name, value in micro.items():
        (folder / name.replace("_", ":")).mkdir(parents=True, exist_ok=True)
        (folder / name.replace("_", ":") / "energy_uj").write_text(f"{value}\n")


def test_the_packages_energies_are_added_and_their_parts_are_not(tmp_path):
    names = {"intel-rapl_0": 2_500_000, "intel-rapl_1": 500_000, "intel-rapl_0_0": 9_000_000}
    counters(tmp_path, **names)
    assert joules(tmp_path) == pytest.approx(3.0)


def test_no_counter_is_no_energy_rather_than_none_spent(tmp_path):
    assert joules(tmp_path) is None


@pytest.fixture
def started(tmp_path, monkeypatch):
    """A run that is started, and how to end it with the counter at some joules."""
    counter = {"now": 100.0}
    monkeypatch.setattr(provenance, "joules", lambda: counter["now"])
    callback = Provenance(tmp_path / "provenance.json", {"features": "mel"})
    callback.on_train_start(SimpleNamespace(global_step=5), None)

    def end(at):
        counter["now"] = at
        callback.on_train_end(SimpleNamespace(global_step=20), None)
        return json.loads((tmp_path / "provenance.json").read_text())["starts"]

    return end


def test_the_end_is_told_with_its_step_and_energy(started):
    (start,) = started(140.4)
    assert (start["from_step"], start["to_step"], start["energy_j"]) == (5, 20, 40)
    assert start["features"] == "mel"
    assert start["minutes"] >= 0


def test_a_counter_that_began_anew_tells_nothing(started):
    (start,) = started(3.0)
    assert start["energy_j"].startswith("n/a")


def test_what_differs_from_the_commit_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_changes", lambda: b"-old\n+new\n")
    Provenance(tmp_path / "provenance.json").on_train_start(SimpleNamespace(global_step=0), None)
    (start,) = json.loads((tmp_path / "provenance.json").read_text())["starts"]
    assert (tmp_path / start["diff"]).read_bytes() == b"-old\n+new\n"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout of which the program is a part, with one commit."""
    program = tmp_path / "checkout" / "src" / "provenance.py"
    files.write_bytes(program, b"old\n")
    (tmp_path / "checkout" / ".gitignore").write_text("ignored.py\n")
    git = ["git", "-C", str(tmp_path / "checkout"), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "ours"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(provenance, "__file__", str(program))
    return tmp_path / "checkout"


def start(folder):
    Provenance(folder / "provenance.json").on_train_start(SimpleNamespace(global_step=0), None)
    (record,) = json.loads((folder / "provenance.json").read_text())["starts"]
    return record


def test_sources_that_git_does_not_know_are_named_with_their_hashes(repository, tmp_path):
    assert "untracked" not in start(tmp_path / "clean")
    (repository / "src" / "provenance.py").write_text("new\n")
    (repository / "ignored.py").write_text("x")
    (repository / "talk.mp4").write_text("not a source")
    named = {"src/extra.py": b"a = 1\n", "configs/mine one.yaml": b"steps: 3\n"}
    for name, text in named.items():
        files.write_bytes(repository / name, text)
    record = start(tmp_path / "run")
    hashes = {name: hashlib.sha256(text).hexdigest() for name, text in named.items()}
    assert record["untracked"] == hashes
    assert b"+new" in (tmp_path / "run" / record["diff"]).read_bytes()
    assert record["commit"].endswith("+")


def test_an_install_inside_of_somebody_elses_repository_has_no_commit(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance._commit() is None
    assert provenance._changes() == b""
    assert provenance._untracked() == {}
