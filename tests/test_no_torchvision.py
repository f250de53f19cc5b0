"""torchvision beside a CPU torch breaks lightning: never install it, know it when seen."""

import configparser
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from gstalker import doctor

ROOT = Path(__file__).parents[1]
BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')\n"


def _required(package, seen):
    """Names of all packages that an installed package needs, without its extras."""
    try:
        lines = importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return seen
    for line in lines:
        name = re.match(r"[\w.-]+", line).group().lower().replace("_", "-")
        if "extra ==" not in line and name not in seen:
            seen.add(name)
            _required(name, seen)
    return seen


def test_nothing_that_is_installed_for_us_asks_for_torchvision():
    needed = _required("gstalker", set())
    assert {"torch", "lightning", "torchmetrics"} <= needed
    assert "torchvision" not in needed


def test_no_list_of_ours_names_it():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = "\n".join(setup["options.extras_require"].values())
    for text in (setup["options"]["install_requires"], extras):
        assert "torchvision" not in re.sub(r"#.*", "", text)
    pins = re.sub(r"#.*", "", (ROOT / "constraints.txt").read_text())
    assert "torchvision" not in pins


def test_every_direct_dependency_is_pinned():
    pins = {
        line.partition("==")[0].lower()
        for line in (ROOT / "constraints.txt").open()
        if "==" in line
    }
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    wanted = {re.match(r"[\w-]+", line).group().lower() for text in lists for line in text.split()}
    assert wanted <= pins


@pytest.fixture
def broken_torchvision(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)


def test_the_broken_pair_is_recognised_and_its_cure_told(broken_torchvision):
    report = doctor.report()
    assert not report.healthy
    assert "pip uninstall torchvision" in report.text


def test_without_torchvision_all_is_well():
    if importlib.util.find_spec("torchvision") is not None:
        pytest.skip("a torchvision is installed here")
    assert doctor.torchvision_trap() == ""
