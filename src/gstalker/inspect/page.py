"""The page: one HTML file with everything in it, readable offline, at night and on paper."""

from __future__ import annotations

import html
from collections.abc import Sequence

from gstalker import pages
from gstalker.data.capture import Capture
from gstalker.inspect import curves, sheet, summary
from gstalker.inspect.facts import Facts, head_angles
from gstalker.inspect.verdict import Finding, verdict

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
        pages.section("In numbers", pages.table(summary.rows(facts))),
        _people(capture),
        pages.section("Frames", _sheet(capture, facts), _SHEET_NOTE),
        pages.section("Timeline", curves.timeline(facts) + _drops(facts), _TIMELINE_NOTE),
        pages.section("Lips, lids and sound", curves.signals(facts), _signals_note(facts)),
        pages.section("Sound against lips", _sync(facts)),
        pages.section("Head pose", curves.poses(facts)),
        _tracking(facts, capture),
        pages.pair(
            pages.section("Where the head looks", curves.turned(facts), _TURNED_NOTE),
            pages.section(
                "The plate behind", pages.picture(sheet.plate(capture), "background"), _PLATE_NOTE
            ),
        ),
        pages.section("Masks", curves.areas(facts)),
        _misfit(facts, capture),
    ]
    title = f"{facts.meta['name']}: {verdict(list(findings))}"
    return pages.document(title, "".join(parts), f"capture {facts.meta['content_id'][:12]}")


# ---------------------------------------------------------------------- parts

_JITTER_NOTE = (
    "Second difference of the head's angles: tall where the head trembles or starts. Smoothing "
    "lowers it; poses before smoothing are kept beside those that are used."
)
_FOCAL_NOTE = (
    "Lower fits better; the upright line was taken. A flat curve tells little of the lens."
)


def _tracking(facts: Facts, capture: Capture) -> str:
    raw = capture.poses_raw
    before = None if raw is None else head_angles(raw[:, :3, :3].double().numpy())
    parts = pages.section("Trembling of the head", curves.jitter(facts, before), _JITTER_NOTE)
    lens = curves.focal(facts)
    return parts + (pages.section("Focal length", lens, _FOCAL_NOTE) if lens else "")


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
    picture = pages.picture(file.read_bytes(), "everybody seen") if file.is_file() else ""
    return pages.section("Who is seen", picture + f"<ul>{''.join(rows)}</ul>", _PEOPLE_NOTE)


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


def _sheet(capture: Capture, facts: Facts) -> str:
    shots = sheet.choose(facts)
    figures = (
        pages.picture(sheet.draw(capture, shot.index), sheet.caption(shot)) for shot in shots
    )
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
        return pages.section("Reprojection error", f"<p>{text}</p>")
    note = (
        "How far the tracked face falls from its landmarks, over time and per point (larger dots)."
    )
    face = f'<div style="max-width: 20rem">{curves.misfit_map(facts, capture.mesh)}</div>'
    return pages.section("Reprojection error", curves.misfit(facts) + face, note)
