"""The page that holds what was trained here beside what papers print, made again by one command.

Per experiment: the table, what each method has over its controls, then column by column whose order
and whose size of differences is ours too, then sizes. Where the two differ, a sentence by hand may
say why: it comes from a YAML file, so that the page can always be made anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gstalker import files
from gstalker.errors import ConfigError
from gstalker.experiment.runs import RunFolder
from gstalker.metrics.vocabulary import Column, base_name
from gstalker.report import agreement, cells, controls, formats, naming, sources
from gstalker.report import reported as papers
from gstalker.report import table as tables
from gstalker.report.agreement import FACTOR, SURE_ENOUGH, Pair, Ranking
from gstalker.report.columns import columns_of
from gstalker.report.reasons import Reasons
from gstalker.report.reported import Figure
from gstalker.report.significance import Difference
from gstalker.report.sources import Asked, Row

BYTES = 4
"""Of one learned number."""


def write(
    experiments: Sequence[str | Path],
    out: str | Path,
    *,
    runs: str | Path = "runs",
    why: str | Path | None = None,
) -> Path:
    """Write the page.

    Args:
        experiments: experiments or their sweeps, a section each.
        out: the Markdown file.
        runs: where the experiments' runs lie.
        why: reasons given by hand; see :mod:`gstalker.report.reasons`.

    Raises:
        GSTalkerError: a source is missing or damaged, or a reason cannot be read.
    """
    reasons = Reasons.read(Path(why)) if why is not None else Reasons()
    command = " ".join(str(path) for path in experiments)
    parts = [_opening(command)]
    for path in map(Path, experiments):
        sweep = sources.find_sweep(path, Path(runs))
        if sweep is None:
            raise ConfigError(f"{path} is neither an experiment nor a sweep's folder.")
        parts += _section(sweep, reasons)
        parts += reasons.unused(sweep.parent.name)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"
    target = Path(out)
    files.write_text(target, _without_places(text))
    return target


def _opening(command: str) -> str:
    return f"""# Trained here, and reported

Made by `gstalker compare {command}`; do not edit, but run it again.

Papers differ from us and from each other in subjects, crops, landmarks, sound features and
machines, by up to 5 dB for the same method. So no figure of theirs is held against one of ours.
What is held together is the difference of two methods: theirs within one paper, ours within one
sweep, on the same test frames. A method is trained here by our own code, with the sound features
and the landmarks of our captures.

- **order**: *agrees* or *contradicts* where our difference is more than the luck of seeds (Welch's
  test within captures, p < {SURE_ENOUGH:g} after Holm over the pairs of a column); else *not told
  apart*. *papers disagree*: some print one order, some the other. *n/a*: with the reason.
  Megabytes are counted, so any difference of theirs is one.
- **size**: whether the difference is as large as those printed: for quality, within two standard
  errors of their range; for speed, time and megabytes, ratios within a factor of {FACTOR:g} of it.
"""


# ---------------------------------------------------------------------- one experiment


def _section(sweep: Path, reasons: Reasons) -> Iterator[str]:
    rows, asked = sources.rows([sweep])
    setting = "cross-driven" if asked.unscored else "self-driven"
    names = {row.name for row in rows}
    figures = [f for f in papers.choose(["all"]) if f.method in names and f.setting == setting]
    yield f"## {asked.title or sweep.parent.name}\n"
    yield _table(rows, figures, asked)
    if not asked.unscored:
        yield from controls.beside(rows)
    name = sweep.parent.name
    for column in columns_of(rows, figures, asked.columns):
        if column.reported == "train_time" and _is_timed(rows):
            continue  # every row was given the same minutes, so nothing is said of any method
        yield from _column(name, rows, figures, column, reasons)
    if "weights_mb" in asked.columns:
        yield from _sizes(rows, figures)


def _table(rows: list[Row], figures: list[Figure], asked: Asked) -> str:
    made = tables.build(rows, figures, metrics=asked.columns)
    if asked.unscored:
        made = replace(made, beneath=(asked.unscored, *made.beneath))
    return formats.markdown(made)


def _is_timed(rows: Sequence[Row]) -> bool:
    """Whether runs were given minutes."""
    folders = [t.folder for row in rows for t in row.trials if (t.folder / "config.yaml").is_file()]
    return any(naming.read_config(folder).get("minutes") is not None for folder in folders)


def _column(
    experiment: str,
    rows: Sequence[Row],
    figures: Sequence[Figure],
    column: Column,
    reasons: Reasons,
) -> Iterator[str]:
    """What papers and we say of one column; nothing where no paper prints two of the rows."""
    found = agreement.pairs(rows, figures, column) if column.reported else []
    if not found:
        return
    orders = Counter(pair.order for pair in found)
    told = ", ".join(f"{order} {count}" for order, count in orders.most_common())
    yield f"### {column.heading}\n"
    yield f"{_plural(len(found), 'pair')} of methods printed together: {told}.\n"
    for ranking in agreement.rankings(rows, figures, column):
        yield _ranking(ranking)
    yield "\n| pair | printed | here | order | size |\n|---|---|---|---|---|"
    for pair in found:
        cells_ = (_names(pair), _printed(pair), _here(pair), pair.order, pair.size)
        yield "| " + " | ".join(cells_) + " |"
    yield ""
    for pair in found:
        if pair.order == "contradicts" or pair.size in ("smaller", "larger"):
            what = "the other order" if pair.order == "contradicts" else f"{pair.size} difference"
            why = reasons.of(experiment, base_name(column.name), pair.first, pair.second)
            yield f"- {_names(pair)}: {what}. {why or 'Why is not known yet.'}"
    yield ""


def _names(pair: Pair) -> str:
    return f"{pair.first} {'/' if pair.is_ratio else '−'} {pair.second}"


def _printed(pair: Pair) -> str:
    gaps = [told.gap for told in pair.printed]
    count = _plural(len({told.paper for told in pair.printed}), "paper")
    low, high = (_amount(pair, gap) for gap in (min(gaps), max(gaps)))
    return f"{low} ({count})" if low == high else f"{low} to {high} ({count})"


def _here(pair: Pair) -> str:
    if pair.gap is None:
        return f"n/a: {pair.tested}" if isinstance(pair.tested, str) else "n/a"
    amount, test = _amount(pair, pair.gap), pair.tested
    if isinstance(test, str):
        return f"{amount} ({test})"
    error = "" if pair.is_ratio else f" ± {test.stderr:.{pair.column.digits}f}"
    return f"{amount}{error} ({_p(test)}, n {test.n})"


def _p(test: Difference) -> str:
    return "p < 0.001" if test.p < 0.001 else f"p {test.p:.2g}"


def _amount(pair: Pair, gap: float) -> str:
    if pair.is_ratio:
        ratio = 10.0**gap
        return f"{ratio:.3g} times"
    return f"{gap:+.{pair.column.digits}f}"


def _ranking(ranking: Ranking) -> str:
    return (
        f"- {ranking.paper}, best first: {', '.join(ranking.theirs)}. Here: "
        f"{', '.join(ranking.ours)} ({ranking.alike} of {_plural(ranking.pairs, 'pair')} alike, "
        "luck of seeds not asked)."
    )


# ---------------------------------------------------------------------- sizes


def _sizes(rows: Sequence[Row], figures: Sequence[Figure]) -> Iterator[str]:
    """Megabytes of what paints, and of what each stage moves; papers often count the head alone."""
    (column,) = columns_of(rows, figures, ["weights_mb"])
    yield "### Megabytes, stage by stage\n"
    yield (
        "What all that paints has, and what each stage of training moves (a later stage may move "
        "the same numbers again): papers often count the head's networks alone. Gaussians count "
        "with all their numbers, per-frame codes too.\n"
    )
    yield "| method | printed | here, all that paints | here, by stage |\n|---|---|---|---|"
    for row in rows:
        mine = [f for f in figures if f.method == row.name]
        told = [formats.number(cells.printed(mine, column), column)]
        told += [formats.number(cells.measured(row, column), column), _by_stage(row)]
        yield "| " + " | ".join([row.name, *told]) + " |"
    yield ""


def _by_stage(row: Row) -> str:
    """Of the first run that tells."""
    for trial in row.trials:
        if not (trial.folder / "config.yaml").is_file():
            continue
        status = RunFolder(trial.folder).status()
        moved = {k.removesuffix("_parameters"): v for k, v in status.items() if "_parameters" in k}
        if moved:
            return ", ".join(f"{name} {BYTES * n / 1e6:.2f}" for name, n in moved.items())
    return "n/a"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _without_places(text: str) -> str:
    """The page may be published, so of where things lie on this machine only the names stay.

    >>> _without_places("read from /home/me/runs/a, and w/o https://x.org/y/z")
    'read from a, and w/o https://x.org/y/z'
    """
    return re.sub(r"(?<![\w.:/])/(?:[^\s/,;)]+/)+([^\s/,;)]*)", r"\1", text)
