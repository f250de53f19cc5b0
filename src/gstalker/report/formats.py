"""A table written down: Markdown, LaTeX, CSV (a line a cell, nothing rounded) and HTML."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Sequence

from gstalker.metrics.vocabulary import Column
from gstalker.report.cells import Cell
from gstalker.report.grid import BEST, SECOND, Line, Table, count_words
from gstalker.report.significance import Difference

_LEGENDS = {
    "markdown": "**Best** and *second* of a column.",
    "latex": r"\textbf{Best} and \underline{second} of a column.",
    "html": "<b>Best</b> and <u>second</u> of a column.",
}


def number(cell: Cell, column: Column) -> str:
    """A cell's figure with its spread, without marks: ``29.26 ± 0.37``; ``n/a``; ``30.4–33.1``."""
    if cell.mean is None:
        return "n/a"
    low = f"{cell.mean:.{column.digits}f}"
    if cell.high is not None and f"{cell.high:.{column.digits}f}" != low:
        high = f"{cell.high:.{column.digits}f}"
        # beyond the end that it is printed at: a bound from below is the upper end
        return f"{low}–>{high}" if cell.bound == ">" else f"{cell.bound}{low}–{high}"
    low = f"{cell.bound}{low}"
    return low if cell.spread is None else f"{low} ± {cell.spread:.{column.digits}f}"


def _heads(table: Table) -> list[str]:
    return ["method", "origin", "n", "± over", *(c.heading + c.arrow for c in table.columns)]


def _lead(line: Line) -> list[str]:
    return [line.name, line.kind, line.counts, line.over]


def _own_count(line: Line, cell: Cell) -> str:
    """The n of a cell that is not its row's."""
    if cell.mean is None:
        return ""
    told = count_words(cell, line.kind)
    if told == line.counts or line.kind == "reported":
        return "" if told == line.counts else f" [{told}]"
    most = max(line.cells, key=lambda c: (c.runs, c.frames))
    if (cell.captures, cell.runs) != (most.captures, most.runs):
        return f" [{told}]"
    return f" [{cell.frames} frames]" if cell.frames else ""


# ---------------------------------------------------------------------- markdown


def markdown(table: Table) -> str:
    """GitHub's dialect: footnotes as letters, explained beneath."""
    heads = _heads(table)
    out = [f"**{escaped(table.title)}**", ""] if table.title else []
    out.append("| " + " | ".join(heads) + " |")
    out.append("|" + "---|" * len(heads))
    for line in table.lines:
        lead = _lead(line)
        lead[0] = escaped(lead[0]) + _md_marks(line.marks)
        told = [_md_cell(line, k, column) for k, column in enumerate(table.columns)]
        out.append("| " + " | ".join([*lead, *told]) + " |")
    out.append("")
    if any(any(line.ranks) for line in table.lines):
        out += [_LEGENDS["markdown"], ""]
    out += [f"- {mark}: {escaped(text)}" for mark, text in table.notes]
    out += [f"- {escaped(text)}" for text in table.beneath]
    return "\n".join(out) + "\n"


def _md_cell(line: Line, k: int, column: Column) -> str:
    cell = line.cells[k]
    text = number(cell, column)
    around = {BEST: "**", SECOND: "*"}.get(line.ranks[k], "")
    return f"{around}{text}{around}{_own_count(line, cell)}{_md_marks(line.cell_marks[k])}"


def _md_marks(marks: Sequence[str]) -> str:
    return f"<sup>{','.join(marks)}</sup>" if marks else ""


def escaped(text: str) -> str:
    """Text that Markdown shall take for nothing else."""
    for sign in ("\\", "|", "*", "_", "<", "[", "]", "`"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


# ---------------------------------------------------------------------- latex

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "²": r"$^2$",
    "|": r"\textbar{}",
    '"': "''",
}


def latex(table: Table) -> str:
    r"""A ``table`` environment for ``booktabs`` and ``graphicx``; compiles by pdflatex.

    Letters that pdflatex has no sign for become ``?``.
    """
    heads = [_tex(head) for head in _heads(table)]
    out = [
        r"% \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering\small",
        *([rf"\caption{{{_tex(table.title)}}}"] if table.title else []),
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{llll{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for line in table.lines:
        lead = [_tex(text) for text in _lead(line)]
        lead[0] += _tex_marks(line.marks)
        told = [_tex_cell(line, k, column) for k, column in enumerate(table.columns)]
        # A row that began with a bracket would be read as an argument of the \\ before it.
        out.append("{}" + " & ".join([*lead, *told]) + r" \\")
    out += [r"\bottomrule", r"\end{tabular}}", r"\par\medskip\raggedright\footnotesize"]
    beneath = [_LEGENDS["latex"]] if any(any(line.ranks) for line in table.lines) else []
    beneath += [rf"\textsuperscript{{{mark}}} {_tex(text)}." for mark, text in table.notes]
    beneath += [_tex(text) for text in table.beneath]
    return "\n".join([*out, "\\par\n".join(beneath), r"\end{table}"]) + "\n"


def _tex_cell(line: Line, k: int, column: Column) -> str:
    cell = line.cells[k]
    text = _tex(number(cell, column))
    around = {BEST: r"\textbf{%s}", SECOND: r"\underline{%s}"}.get(line.ranks[k], "%s")
    return around % text + _tex(_own_count(line, cell)) + _tex_marks(line.cell_marks[k])


def _tex_marks(marks: Sequence[str]) -> str:
    return rf"\textsuperscript{{{_tex(','.join(marks))}}}" if marks else ""


def _tex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign if _typeset(sign) else "?") for sign in text)


def _typeset(sign: str) -> bool:
    """Whether pdflatex's default fonts have it: printable ASCII and accented Latin letters."""
    return " " <= sign <= "~" or (sign.isalpha() and "À" <= sign <= "ž")


# ---------------------------------------------------------------------- csv

_FIELDS = (
    *("row", "kind", "metric", "unit", "mean", "high", "bound", "spread", "spread_over"),
    *("captures", "runs", "frames", "rank", "protocol", "marks", "gaps"),
    *("difference", "difference_stderr", "p_holm", "difference_n", "no_difference_because"),
)


def as_csv(table: Table) -> str:
    """One line a cell; for a reported row ``runs`` counts papers; notes stand as comments."""
    out = io.StringIO()
    for text in (*(f"{mark}: {note}" for mark, note in table.notes), *table.beneath):
        out.write("# " + text.replace("\n", " ") + "\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_FIELDS)
    for line in table.lines:
        for k, column in enumerate(table.columns):
            writer.writerow(_csv_cell(line, k, column))
    return out.getvalue()


def _csv_cell(line: Line, k: int, column: Column) -> list[object]:
    cell = line.cells[k]
    test = line.tests[k] if line.tests else None
    told: tuple[object, ...] = ("", "", "", "", test or "")
    if isinstance(test, Difference):
        told = (test.mean, test.stderr, test.p, test.n, "")
    return [
        *(line.name, line.kind, column.name, column.unit, _bare(cell.mean), _bare(cell.high)),
        *(cell.bound, _bare(cell.spread), cell.over, cell.captures, cell.runs, cell.frames),
        *(line.ranks[k] or "", cell.protocol, " ".join((*line.marks, *line.cell_marks[k]))),
        "; ".join(cell.gaps),
        *told,
    ]


def _bare(value: float | None) -> float | str:
    return "" if value is None else value


# ---------------------------------------------------------------------- html


def html_fragment(table: Table, *, turned: bool = False) -> str:
    """The table for a page: ``<table>`` and what stands beneath it.

    Args:
        table: the table.
        turned: metrics down and methods across, for few methods on a narrow page.
    """
    grid = [_heads(table), *(_html_line(line, table.columns) for line in table.lines)]
    grid[0] = [html.escape(head) for head in grid[0]]
    grid = [list(column) for column in zip(*grid, strict=True)] if turned else grid
    heads = "".join(f"<th>{cell}</th>" for cell in grid[0])
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in grid[1:])
    told = [f"<sup>{mark}</sup> {html.escape(text)}" for mark, text in table.notes]
    told += [html.escape(text) for text in table.beneath]
    if any(any(line.ranks) for line in table.lines):
        told.insert(0, _LEGENDS["html"])
    notes = "".join(f"<p>{text}</p>" for text in told)
    return (
        f'<div class="wide"><table class="figures"><thead><tr>{heads}</tr></thead>'
        f'<tbody>{body}</tbody></table></div><div class="note">{notes}</div>'
    )


def _html_line(line: Line, columns: Sequence[Column]) -> list[str]:
    lead = [html.escape(text) for text in _lead(line)]
    lead[0] += _md_marks(line.marks)
    told = []
    for k, column in enumerate(columns):
        around = {BEST: "b", SECOND: "u"}.get(line.ranks[k])
        text = html.escape(number(line.cells[k], column))
        text = f"<{around}>{text}</{around}>" if around else text
        own = html.escape(_own_count(line, line.cells[k]))
        told.append(text + own + _md_marks(line.cell_marks[k]))
    return [*lead, *told]


def html_page(table: Table) -> str:
    """The table as a page of its own."""
    from gstalker import pages

    title = table.title or "Scores"
    return pages.document(title, f"<h1>{html.escape(title)}</h1>{html_fragment(table)}")


FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": as_csv,
    "html": html_page,
}
