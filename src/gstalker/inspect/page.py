"""The page: one HTML file with everything in it, readable offline, at night and on paper."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from gstalker import __version__
from gstalker.data.capture import Capture
from gstalker.inspect import curves, sheet, summary
from gstalker.inspect.facts import Facts
from gstalker.inspect.verdict import Finding, verdict

_STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfb; --ink: #22252a; --faint: #c9ccd1;
  --card: #f1f1ec;  --line0: #2a6fbb; --line1: #d9622b; --line2: #1f9d6b; --line3: #8a5bc7;
  --good: #1f8a55; --care: #b7791f; --bad: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181c; --ink: #dfe2e7; --faint: #474c55;
  --card: #1f2228; --line0: #6aa9f0; --line1: #f08c5a; --line2: #4fcf9a; --line3: #b592ec;
  --good: #4fcf8a; --care: #e0a84a; --bad: #f0766a; } }
@media print { :root { --paper: #fff; --ink: #000; --faint: #aaa; --card: #f4f4f4; }
  section { break-inside: avoid; } figure { break-inside: avoid; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2.2rem 1.4rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.15rem; font-weight: 500; margin: 0; }
h2 { font-size: 1.05rem; margin: 2.6rem 0 .3rem; }
p { margin: .3rem 0 .7rem; } .note { opacity: .8; font-size: .9rem; max-width: 48rem; }
.verdict { font-size: 2.1rem; font-weight: 700; margin: .1rem 0 .8rem; }
.good { color: var(--good); } .care { color: var(--care); } .bad { color: var(--bad); }
.finding { background: var(--card); border-left: 4px solid var(--care); border-radius: 4px;
  padding: .6rem .9rem; margin: .6rem 0; break-inside: avoid; }
.finding.fatal { border-color: var(--bad); }
code { font: .88rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--faint); vertical-align: top; }
td:first-child { white-space: nowrap; opacity: .75; width: 9.5rem; }
.sheet { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; }
@media (max-width: 44rem) { .sheet { grid-template-columns: repeat(2, 1fr); } }
figure { margin: 0; } figure img { width: 100%; display: block; border-radius: 4px; }
figcaption { font-size: .82rem; opacity: .85; padding-top: .15rem; }
svg { width: 100%; height: auto; display: block; }
svg text { font-family: inherit !important; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.4rem; align-items: start; }
@media (max-width: 44rem) { .pair { grid-template-columns: 1fr; } }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .35em 0 0; }
li { list-style: none; } ul { padding: 0; margin: .3rem 0; font-size: .92rem; }
footer { margin-top: 3rem; font-size: .82rem; opacity: .7; }
"""

_TONE = {"fit to train": "good", "fit with cautions": "care", "not fit": "bad"}
_DROPS_SHOWN = 12


def render(capture: Capture, facts: Facts, findings: Sequence[Finding]) -> str:
    """The whole page.

    Args:
        capture: gives the pictures.
        facts: measured of it.
        findings: doubts about it.

    Raises:
        CaptureError: a picture is damaged.
    """
    parts = [
        _head(facts, findings),
        _section("In numbers", _table(facts)),
        _people(capture),
        _section("Frames", _sheet(capture, facts), _SHEET_NOTE),
        _section("Timeline", curves.timeline(facts) + _drops(facts), _TIMELINE_NOTE),
        _section("Lips, lids and sound", curves.signals(facts), _signals_note(facts)),
        _section("Sound against lips", _sync(facts)),
        _section("Head pose", curves.poses(facts)),
        _pair(
            _section("Where the head looks", curves.turned(facts), _TURNED_NOTE),
            _section("The plate behind", _image(sheet.plate(capture), "background"), _PLATE_NOTE),
        ),
        _section("Masks", curves.areas(facts)),
        _misfit(facts, capture),
    ]
    title = html.escape(f"{facts.meta['name']}: {verdict(list(findings))}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        f"{''.join(parts)}"
        f"<footer>gstalker {__version__}, capture {html.escape(facts.meta['content_id'][:12])}"
        "</footer></body></html>\n"
    )


# ---------------------------------------------------------------------- parts

_PEOPLE_NOTE = "Everybody seen, numbered from the left; the one marked green is the capture's."


def _people(capture: Capture) -> str:
    """Whose face was taken, where several were seen."""
    people = capture.meta.get("people", [])
    if len(people) < 2:
        return ""
    rows = [
        f"<li>{k}: seen in {person['share']:.0%} of the looks, {person['height_px']:.0f} px tall"
        + (" <b>(taken)</b>" if person["subject"] else f"; to take this one: <code>face={k}</code>")
        + "</li>"
        for k, person in enumerate(people, 1)
    ]
    file = capture.folder / "people.jpg"
    picture = _image(file.read_bytes(), "everybody seen") if file.is_file() else ""
    return _section("Who is seen", picture + f"<ul>{''.join(rows)}</ul>", _PEOPLE_NOTE)


_SHEET_NOTE = (
    "Green dots: landmarks. Edges of the masks: torso blue, neck green, head yellow, hair violet, "
    "mouth red, teeth white. Axes on the nose: "
    "red to the head's left, green down, blue out of the face. Points should sit on the face, "
    "edges on its outline, and the axes should turn with it."
)
_TIMELINE_NOTE = (
    "Shades alternate from take to take; the dashed line is where the test part begins."
)
_TURNED_NOTE = "A head can be shown only as it was filmed: what lies outside was never seen."
_PLATE_NOTE = "The person should be gone from it; what was never seen is filled in smoothly."


def _head(facts: Facts, findings: Sequence[Finding]) -> str:
    told = verdict(list(findings))
    boxes = "".join(
        f'<div class="finding {f.severity}"><p>{html.escape(f.sentence)}</p>'
        f"<code>{html.escape(f.mend)}</code></div>"
        for f in findings
    )
    name = html.escape(str(facts.meta["name"]))
    return (
        f'<h1>Capture {name}</h1><div class="verdict {_TONE[told]}">'
        f"{told[0].upper()}{told[1:]}</div>{boxes or '<p>No doubts were found.</p>'}"
    )


def _table(facts: Facts) -> str:
    cells = (
        f"<tr><td>{html.escape(what)}</td><td>{html.escape(much)}</td></tr>"
        for what, much in summary.rows(facts)
    )
    return f"<table>{''.join(cells)}</table>"


def _sheet(capture: Capture, facts: Facts) -> str:
    shots = sheet.choose(facts)
    figures = (_image(sheet.draw(capture, shot.index), sheet.caption(shot)) for shot in shots)
    return f'<div class="sheet">{"".join(figures)}</div>'


def _drops(facts: Facts) -> str:
    gaps = facts.meta["dropped"]
    reasons = curves.drop_reasons(facts)
    lines = [
        f'<li><span class="key" style="background: var(--line{1 + reasons.index(kind) % 3})">'
        f"</span>frames {gap['start']} to {gap['stop'] - 1}: {html.escape(gap['reason'])}</li>"
        for gap in gaps[:_DROPS_SHOWN]
        for kind in [gap["reason"].partition(":")[0]]
    ]
    if len(gaps) > _DROPS_SHOWN:
        lines.append(f"<li>and {len(gaps) - _DROPS_SHOWN} more in capture.json</li>")
    return f"<ul>{''.join(lines) or '<li>Nothing was dropped.</li>'}</ul>"


def _signals_note(facts: Facts) -> str:
    start, stop = curves.busiest(facts)
    return (
        f"Frames {start} to {stop - 1}, where most is said. Lips should open where there is sound; "
        "triangles are blinks."
    )


def _sync(facts: Facts) -> str:
    return f"<p>{html.escape(summary.sync_sentence(facts))}</p>{curves.sync(facts)}"


def _misfit(facts: Facts, capture: Capture) -> str:
    if facts.misfit is None:
        text = "n/a: the mesh has no landmark for each of its points."
        return _section("Reprojection error", f"<p>{text}</p>")
    note = (
        "How far the tracked face falls from its landmarks, over time and per point (larger dots)."
    )
    face = f'<div style="max-width: 20rem">{curves.misfit_map(facts, capture.mesh)}</div>'
    return _section("Reprojection error", curves.misfit(facts) + face, note)


def _section(title: str, content: str, note: str = "") -> str:
    told = f'<p class="note">{html.escape(note)}</p>' if note else ""
    return f"<section><h2>{html.escape(title)}</h2>{told}{content}</section>"


def _pair(left: str, right: str) -> str:
    return f'<div class="pair">{left}{right}</div>'


def _image(jpeg: bytes, text: str) -> str:
    data = base64.b64encode(jpeg).decode()
    told = html.escape(text)
    return (
        f'<figure><img alt="{told}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{told}</figcaption></figure>"
    )
