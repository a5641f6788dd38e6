"""An embedding map as one HTML page that loads nothing: inline SVG, a few lines of script.

The labels are texts from anywhere. They are escaped, and a policy in the page forbids every script
but its own, so that none of them can become one. Without the script all is there but the arrow
keys and the same point lighting up in every plot.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape

from onrecord.models.embeddings.drawing import (
    LABEL,
    Dot,
    Frame,
    caption,
    colours,
    dots,
    legend,
)
from onrecord.models.embeddings.map import EmbeddingMap, View
from onrecord.records.views.wording import shortened

_FRAME = Frame(560, 440, 28)
_LETTER = 6.2


def page(found: EmbeddingMap, title: str = "Embeddings") -> str:
    """The page, with a plot for each view side by side, as wide as the window allows."""
    heading = escape(shortened(title, 120))
    plots = "\n".join(_plot(found, view) for view in found.maps)
    notes = "".join(f"<p>{escape(note)}</p>" for note in found.notes)
    return _PAGE.format(
        policy=f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}",
        title=heading,
        style=_STYLE,
        script=_SCRIPT,
        legend=_legend(found),
        plots=plots,
        notes=notes,
        table=_table(found),
    )


def _plot(found: EmbeddingMap, view: View) -> str:
    labels = [shortened(label, LABEL) for label in found.labels]
    points = "\n".join(_points(found, dots(view, labels, _FRAME, _LETTER), labels))
    name = escape(shortened(view.name, 80))
    said = escape(caption(view, found.projection))
    return (
        f"<figure><figcaption><b>{name}</b> <span>{said}</span></figcaption>\n"
        f'<svg viewBox="0 0 {_FRAME.width:g} {_FRAME.height:g}" role="group" '
        f'aria-label="{name}: {len(labels)} points">\n{points}\n</svg></figure>'
    )


def _points(found: EmbeddingMap, placed: list[Dot], labels: list[str]) -> Iterator[str]:
    chosen = list(colours(found))
    for at, (dot, label) in enumerate(zip(placed, labels, strict=True)):
        group = found.groups[at] if found.groups else None
        kind = "" if group is None else f" c{min(chosen.index(group), _KINDS)}"
        whole = shortened(found.labels[at], 400) + (f" ({shortened(group, 80)})" if group else "")
        side = ' text-anchor="end"' if dot.left or dot.x > _FRAME.width * 0.7 else ""
        x = -8 if side else 8
        yield (
            f'<g class="p{kind}{" l" if dot.labelled else ""}" data-i="{at}" role="img" '
            f'tabindex="{0 if at == 0 else -1}" aria-label="{escape(whole)}" '
            f'transform="translate({dot.x:.1f} {dot.y:.1f})"><title>{escape(whole)}</title>'
            f'<circle r="4"/><text x="{x}" y="4"{side}>{escape(label)}</text></g>'
        )


def _legend(found: EmbeddingMap) -> str:
    items = "".join(
        f'<li class="c{min(at, _KINDS)}"><svg viewBox="-5 -5 10 10" aria-hidden="true">'
        f'<circle r="4"/></svg>{escape(name)}</li>'
        for at, (name, _) in enumerate(legend(found))
    )
    return f"<ul>{items}</ul>" if items else ""


def _table(found: EmbeddingMap) -> str:
    """The same in words: for those who search the page, or hear it."""
    heads = "".join(
        f'<th scope="col">{escape(shortened(view.name, 80))}</th>' for view in found.maps
    )
    rows = "\n".join(
        f'<tr><th scope="row">{escape(shortened(label, 400))}</th>'
        + (f"<td>{escape(shortened(found.groups[at], 80))}</td>" if found.groups else "")
        + "".join(
            f"<td>{view.points[at][0]:.3f}, {view.points[at][1]:.3f}</td>" for view in found.maps
        )
        + "</tr>"
        for at, label in enumerate(found.labels)
    )
    label = '<th scope="col">label</th>' if found.groups else ""
    return (
        f"<details><summary>All {len(found.labels):,} points</summary><table><thead><tr>"
        f'<th scope="col">text</th>{label}{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>'
        "</details>"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


_KINDS = 7
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --dim: #5c5c5c; --line: #cfcfcf; --paper: #fff;
  --c0: #0072B2; --c1: #D55E00; --c2: #009E73; --c3: #CC79A7; --c4: #56B4E9; --c5: #E69F00;
  --c6: #8A7A00; --c7: #888888; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --dim: #a8a8a8; --line: #444; --paper: #161616; --c0: #4aa8e0;
    --c6: #c8b400; } circle { fill-opacity: 1 !important; } }
body { margin: 1.5rem; font: 15px/1.4 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
h1 { font-size: 1.25rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
main { display: grid; gap: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }
figure { margin: 0; max-width: 60rem; }
figcaption { margin-bottom: .25rem; overflow-wrap: anywhere; }
figcaption span, p { color: var(--dim); }
figure svg { overflow: visible; width: 100%; height: auto;
  border: 1px solid var(--line); border-radius: 4px; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; }
li svg { width: .8em; height: .8em; margin-right: .35em; }
circle { fill: var(--c0); fill-opacity: .8; }
.c1 circle { fill: var(--c1); } .c2 circle { fill: var(--c2); } .c3 circle { fill: var(--c3); }
.c4 circle { fill: var(--c4); } .c5 circle { fill: var(--c5); } .c6 circle { fill: var(--c6); }
.c7 circle { fill: var(--c7); }
.p text { font-size: 11px; fill: var(--ink); visibility: hidden; pointer-events: none; }
.p.l text { visibility: visible; }
.p:hover text, .p:focus text, .p.on text { visibility: visible; font-size: 12px; font-weight: 700;
  paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.p:hover circle, .p:focus circle, .p.on circle { r: 7px; stroke: var(--ink); stroke-width: 2px; }
.p:focus { outline: none; } .p.on { pointer-events: none; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .15rem .75rem .15rem 0;
  font-weight: normal; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { color: var(--dim); }
"""
_SCRIPT = """
// The lit point is a copy on top: moving the point itself would take the focus from it.
const light = (point) => {
  for (const each of document.querySelectorAll(".p.on")) each.remove();
  if (!point) return;
  for (const each of document.querySelectorAll(`.p[data-i="${point.dataset.i}"]`)) {
    const copy = each.cloneNode(true);
    for (const name of ["tabindex", "data-i", "role", "aria-label"]) copy.removeAttribute(name);
    copy.setAttribute("aria-hidden", "true");
    copy.classList.add("on");
    each.parentNode.append(copy);
  }
};
const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
for (const svg of document.querySelectorAll("figure svg")) {
  const points = [...svg.querySelectorAll(".p")];
  svg.addEventListener("mouseover", (event) => light(event.target.closest(".p")));
  svg.addEventListener("focusin", (event) => light(event.target.closest(".p")));
  svg.addEventListener("focusout", () => light(null));
  svg.addEventListener("keydown", (event) => {
    const at = Number(event.target.dataset.i);
    const to = { Home: 0, End: points.length - 1 }[event.key] ?? at + (steps[event.key] ?? NaN);
    if (!(to in points)) return;
    event.preventDefault();
    points[at].tabIndex = -1;
    points[to].tabIndex = 0;
    points[to].focus();
  });
}
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title><style>{style}</style></head><body>
<h1>{title}</h1>
{legend}{notes}
<main>
{plots}
</main>
<p>Point at a dot to read it; with the keyboard: Tab into a plot, then the arrow keys.</p>
{table}
<script>{script}</script></body></html>
"""
