"""A run as HTML: the tree with time bars; a click on a call opens its input and output.

One fragment without scripts, for notebooks and mails; everything in it is escaped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from onrecord.notebook import STYLE, body, escaped, words
from onrecord.records.record import Record
from onrecord.records.views.drawing import NOT_WELL, Drawing, drawing, label_of, summary, texts_of
from onrecord.records.views.timeline import Span, Timeline
from onrecord.records.views.tree import Hidden, Row, Tree, origin_of, question_of
from onrecord.records.views.wording import flat


def run_page(records: Iterable[Record], most: int = 200, now_ns: int | None = None) -> str:
    """The HTML of a run, or of whatever calls were recorded; about `most` rows of it."""
    tree = Tree(records)
    picture = drawing(tree, most, time.time_ns() if now_ns is None else now_ns)
    columns = _columns(picture)
    template = " ".join(["minmax(12em,3fr)", *(_WIDTHS[at] for at in columns), "minmax(8em,4fr)"])
    rows = "".join(_row(row, picture.timeline, columns) for row in picture.rows)
    below = "".join(
        words("".join(text for text, _ in line), *(("small",) if at else ()))
        for at, line in enumerate(summary(picture))
    )
    return (
        f'{STYLE}{_STYLE}<div class="onrecord" style="--columns:{template}">'
        f'<div class="rows">{rows}</div>{below}</div>'
    )


def _columns(picture: Drawing) -> list[int]:
    """Which of time, tokens and cost have anything to say."""
    texts = [texts_of(row.what, picture.timeline.now_ns) for row in picture.rows]
    return [at for at in range(3) if any(each[at] for each in texts)]


def _row(row: Row, timeline: Timeline, columns: list[int]) -> str:
    what = row.what
    indent = f' style="--depth:{min(row.depth, 20)}"'
    if isinstance(what, Hidden):
        label = f'<span class="label small"{indent}>{escaped(label_of(what))}</span>'
        track = _track(timeline.span(what.begin_ns, what.end_ns), timeline, "hidden")
        return f'<div class="line wide">{label}{track}</div>'
    kind, name = f'<span class="kind">{escaped(what.kind)}</span>', escaped(flat(what.name))
    cells = "".join(
        _cell(text, NOT_WELL.get(what.state, "") if at == 0 else "")
        for at, text in _texts(what, timeline, columns)
    )
    look = NOT_WELL.get(what.state, "good" if what.source is not None else "")
    line = f'<span class="label"{indent}>{kind} <bdi>{name}</bdi></span>{cells}'
    open_ended = " open-ended" if what.id in timeline.open_ended else ""
    line += _track(timeline.of(what), timeline, f"{look}{open_ended}")
    notes = "".join(_notes(what))
    bodies = "".join(_bodies(what))
    return (
        f'<details><summary class="line">{line}</summary>'
        f'<div class="inside"{indent}>{bodies}{words(what.id, "small")}</div></details>'
        + (f'<div class="inside notes"{indent}>{notes}</div>' if notes else "")
    )


def _texts(record: Record, timeline: Timeline, columns: list[int]) -> list[tuple[int, str]]:
    texts = texts_of(record, timeline.now_ns)
    return [(at, texts[at]) for at in columns]


def _cell(text: str, look: str) -> str:
    return f'<span class="number {look}">{escaped(text)}</span>'


def _track(span: Span, timeline: Timeline, look: str) -> str:
    left, width = 100 * span.begin, 100 * (span.end - span.begin)
    cuts = "".join(f'<i class="cut" style="left:{100 * at:.3f}%"></i>' for at in timeline.cuts)
    bar = f'<i class="bar {look}" style="left:{left:.3f}%;width:{width:.3f}%"></i>'
    return f'<span class="track">{bar}{cuts}</span>'


def _notes(record: Record) -> Iterator[str]:
    if (origin := origin_of(record)) is not None:
        yield words(f"↺ {origin}", "good")
    if (question := question_of(record)) is not None:
        yield words(f"asks {question}", "warn")
    if record.error:
        yield words(f"✗ {record.error}", "bad")


def _bodies(record: Record) -> Iterator[str]:
    for label, value in (("input", record.input), ("output", record.output)):
        if value is not None:
            yield f'<div class="small">{label}</div>{body(value)}'


_WIDTHS = ("7em", "8em", "8em")
_STYLE = """<style>
.onrecord .rows{margin-bottom:.6em;overflow-x:auto}
.onrecord .line{display:grid;grid-template-columns:var(--columns);gap:.9em;align-items:center;
padding:1px 4px;border-radius:4px;min-width:44em;list-style:none}
.onrecord .line.wide{grid-template-columns:var(--columns)}
.onrecord .line.wide .label{grid-column:1/-2}
.onrecord summary.line{cursor:pointer}
.onrecord summary.line::-webkit-details-marker{display:none}
.onrecord .line:hover{background:rgba(128,128,128,.13)}
.onrecord details{margin:0;padding:0;border:0;background:none}
.onrecord .kind::before{content:"▸";display:inline-block;width:1em;opacity:.7}
.onrecord details[open]>summary .kind::before{content:"▾"}
.onrecord .label{padding-left:calc(var(--depth)*1.25em);overflow:hidden;text-overflow:ellipsis;
white-space:nowrap;background:repeating-linear-gradient(to right,transparent 0 .4em,
rgba(128,128,128,.45) .4em calc(.4em + 1px),transparent calc(.4em + 1px) 1.25em)
no-repeat 0 0/calc(var(--depth)*1.25em) 100%}
.onrecord .kind{opacity:.6}
.onrecord .number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.onrecord .track{position:relative;height:.85em;border-radius:3px;overflow:hidden;
background:rgba(128,128,128,.14)}
.onrecord .track i{position:absolute;top:0;bottom:0}
.onrecord .bar{background:#4c8bf5;min-width:2px;border-radius:2px}
.onrecord .bar.bad{background:#e0433d}
.onrecord .bar.warn{background:#e5a11b}
.onrecord .bar.good{background:#2e9e5b}
.onrecord .bar.open-ended{min-width:1.2em;
background:linear-gradient(to right,#e5a11b calc(100% - 1.2em),transparent)}
.onrecord .bar.hidden{background:rgba(128,128,128,.45)}
.onrecord .cut{width:0;border-left:2px dotted rgba(128,128,128,.9)}
.onrecord .inside{padding:0 .5em .3em calc(var(--depth)*1.25em + .6em)}
</style>"""
