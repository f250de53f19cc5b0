"""Every format holds the same figures, and LaTeX compiles whatever the names are."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from gstalker import report

from ..conftest import well_formed
from .conftest import entry, na, read_csv, write_scores

NASTY = r"A & B_100% {#1} $x$ ~^\ <b>|pipe|</b> é – [1] Ж"
"""A name out of everything that means something to LaTeX, Markdown or HTML."""


@pytest.fixture
def sources(make_run, tmp_path):
    ours = {"psnr_full": entry(30.125, 0.25), "lpips_alex": na("no weights: a_b & c")}
    theirs = {NASTY: {"psnr_full": entry(29.5), "lpips_alex": entry(0.05, 0.001)}}
    run = make_run("a", ours)
    return [run, write_scores(tmp_path / "theirs" / "scores.json", theirs)]


OPTIONS = {"reported": ["er-nerf", "pd-gs:GSTalker"], "metrics": ["psnr_full", "lpips_alex"]}


def test_the_csv_rounds_nothing_and_holds_every_cell(sources):
    cells = read_csv(report.tabulate(sources, "csv", **OPTIONS))
    assert cells["gstalker", "psnr_full"]["mean"] == "30.125"
    assert cells[NASTY, "lpips_alex"]["mean"] == "0.05"
    assert cells["gstalker", "lpips_alex"]["mean"] == ""
    assert cells["GSTalker", "psnr_full"]["mean"] == "33.07"


def test_markdown_has_as_many_cells_in_every_row(sources):
    text = report.tabulate(sources, "markdown", **OPTIONS)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert set(cells) == {7}
    assert "**30.12 ± 0.25**" in text
    assert r"\<b>\|pipe\|\</b>" in text


def test_html_escapes_names_and_closes_every_tag(sources):
    text = report.tabulate(sources, "html", **OPTIONS)
    well_formed(text)
    assert "&lt;b&gt;|pipe|&lt;/b&gt;" in text


def _strict(text):
    """Braces balance, every sign is escaped, and every row of the table has the columns told."""
    text = re.sub(r"(?m)^%.*$", "", text)
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    depth = 0
    for sign in bare:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#~]", bare.replace("{%\n", ""))
    assert all(ord(sign) < 0x180 for sign in bare)
    spec = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [row for row in body.split(r"\\") if "&" in row]
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(spec)}
    return rows


def test_latex_is_well_formed(sources):
    rows = _strict(report.tabulate(sources, "latex", **OPTIONS))
    assert any(r"A \& B\_100\% \{\#1\} \$x\$ " in row for row in rows)
    assert any(r"\textbf{30.12 $\pm$ 0.25}" in row for row in rows)


def test_latex_compiles(sources, tmp_path):
    program = shutil.which("pdflatex") or shutil.which("tectonic")
    if program is None:
        pytest.skip("neither pdflatex nor tectonic is here; the strict check above still holds")
    document = (
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
        f"{report.tabulate(sources, 'latex', **OPTIONS)}\\end{{document}}\n"
    )
    (tmp_path / "t.tex").write_text(document)
    options = ["-halt-on-error", "-interaction=nonstopmode"] if "pdflatex" in program else []
    done = subprocess.run(
        [program, *options, "t.tex"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 10_000
