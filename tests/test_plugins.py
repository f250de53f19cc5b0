"""Names become classes, or sentences."""

import pytest

from gstalker.errors import BackendMissing, ConfigError, PluginFailed
from gstalker.plugins import did_you_mean, resolve

TABLE = {
    "ordered": "collections:OrderedDict",
    "absent": "lab_absent:Thing",
    "renamed": "collections:NoSuchClass",
}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder on the path, for modules of a user's own."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_name_of_the_table_is_imported():
    from collections import OrderedDict

    assert resolve(TABLE, "ordered") is OrderedDict


def test_an_import_path_needs_no_table(lab):
    (lab / "own_backend.py").write_text("class Fast: pass\n")
    assert resolve({}, "own_backend:Fast").__name__ == "Fast"


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'ordered'") as caught:
        resolve(TABLE, "orderd")
    assert "absent, renamed" in str(caught.value)


def test_a_far_name_is_answered_without_a_guess():
    with pytest.raises(ConfigError) as caught:
        resolve(TABLE, "zzz")
    assert "Did you mean" not in str(caught.value)


def test_a_module_that_is_nowhere_is_a_mistake_of_the_config():
    with pytest.raises(ConfigError, match="PYTHONPATH"):
        resolve({}, "lab_absent:Thing")


def test_a_class_that_is_not_in_its_module_is_named():
    with pytest.raises(ConfigError, match="has no 'NoSuchClass'"):
        resolve(TABLE, "renamed")


def test_a_missing_package_is_answered_with_what_to_type(lab):
    (lab / "needs_wandb.py").write_text("import a_package_that_is_nowhere\n")
    with pytest.raises(BackendMissing, match="pip install a_package_that_is_nowhere"):
        resolve({"x": "needs_wandb:Thing"}, "x")


def test_a_package_of_an_extra_is_answered_with_the_extra(lab, monkeypatch):
    (lab / "needs_gsplat.py").write_text("raise ModuleNotFoundError('no', name='gsplat.cuda')\n")
    with pytest.raises(BackendMissing, match=r"pip install 'gstalker\[cuda\]'"):
        resolve({"x": "needs_gsplat:Thing"}, "x")


def test_a_package_that_is_there_but_broken_is_told_as_it_is(lab):
    (lab / "needs_egl.py").write_text("raise ImportError('libEGL.so.1: cannot open')\n")
    with pytest.raises(BackendMissing, match=r"libEGL\.so\.1"):
        resolve({"x": "needs_egl:Thing"}, "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Thing(\n", "SyntaxError: .*(own_broken.py, line 1)"),
        ("x = {}\nx['depth']\n", r"KeyError: 'depth' \(line 2 of own_broken.py\)"),
    ],
)
def test_a_module_that_cannot_be_run_is_told_with_the_line(lab, text, said):
    (lab / "own_broken.py").write_text(text)
    with pytest.raises(PluginFailed, match=f"'own_broken:Thing' cannot be imported: {said}"):
        resolve({}, "own_broken:Thing")


def test_a_missing_part_of_ones_own_package_is_nothing_to_install(lab):
    (lab / "own_lab").mkdir()
    (lab / "own_lab" / "parser.py").write_text("from own_lab.nets import Net\n")
    with pytest.raises(
        ConfigError, match=r"imports the module own_lab\.nets, which cannot be found"
    ):
        resolve({}, "own_lab.parser:Thing")


@pytest.mark.parametrize("name", ["", ":", "module:", ":Class"])
def test_half_an_import_path_is_unknown(name):
    with pytest.raises(ConfigError, match="not known"):
        resolve(TABLE, name)


def test_a_guess_ends_the_sentence():
    assert did_you_mean("sed", ["seed", "runs"]) == ". Did you mean 'seed'?"
    assert did_you_mean("zzz", ["seed", "runs"]) == "."
