"""One HTML file with everything in it, readable offline, at night and on paper.

The style, and the few shapes that pages are made of; what is on a page is for others to say.
"""

from __future__ import annotations

import base64
import html

from gstalker import __version__

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
.figures td, .figures th { font-size: .85rem; padding: .3rem .8rem .3rem 0; text-align: left;
  border-bottom: 1px solid var(--faint); width: auto; opacity: 1; white-space: nowrap; }
.figures th { white-space: normal; vertical-align: bottom; }
.wide { overflow-x: auto; } .stills figure { margin-bottom: .9rem; }
pre { overflow-x: auto; } summary { cursor: pointer; }
video { width: 100%; display: block; border-radius: 4px; }
footer { margin-top: 3rem; font-size: .82rem; opacity: .7; }
"""
"""The colours ``--ink``, ``--faint`` and ``--line0`` to ``--line3`` are those of ``plots``."""


def document(title: str, body: str, footer: str = "") -> str:
    """A whole page.

    Args:
        title: plain text.
        body: HTML.
        footer: plain text behind the program's version.
    """
    told = html.escape(f"gstalker {__version__}" + (f", {footer}" if footer else ""))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"{body}<footer>{told}</footer></body></html>\n"
    )


def section(title: str, content: str, note: str = "") -> str:
    """A heading with what stands below it; ``content`` is HTML, the rest plain text."""
    told = f'<p class="note">{html.escape(note)}</p>' if note else ""
    return f"<section><h2>{html.escape(title)}</h2>{told}{content}</section>"


def pair(left: str, right: str) -> str:
    """Two pieces of HTML beside each other where there is room."""
    return f'<div class="pair">{left}{right}</div>'


def table(rows: list[tuple[str, str]]) -> str:
    """What and how much, both plain text."""
    cells = (f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{''.join(cells)}</table>"


def picture(jpeg: bytes, text: str) -> str:
    """A picture with its caption."""
    data = base64.b64encode(jpeg).decode()
    told = html.escape(text)
    return (
        f'<figure><img alt="{told}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{told}</figcaption></figure>"
    )


def clip(mp4: bytes, text: str) -> str:
    """A film with its caption and the reader's own controls."""
    data = base64.b64encode(mp4).decode()
    return (
        f'<figure><video controls loop playsinline src="data:video/mp4;base64,{data}"></video>'
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
    )
