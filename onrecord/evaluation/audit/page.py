"""An audit as one HTML page that loads nothing and runs nothing.

Names, answers and card texts come from anywhere: they are escaped, and a policy in the page forbids
whatever would still try to run.
"""

from __future__ import annotations

from collections.abc import Iterator

from onrecord.evaluation.audit.findings import STATES, Audit, Finding, Layer, Section
from onrecord.evaluation.audit.said import ADDRESS, LEGEND, LIMITS, SOURCE, facts, heading
from onrecord.evaluation.reports.frame import COLOURS, document
from onrecord.notebook import escaped, fragment, words
from onrecord.records.views.wording import shortened, visible


def page(audit: Audit) -> str:
    """The whole page: what is known of each subject in numbers, then the three layers."""
    layers = "".join(_layer(at, each) for at, each in enumerate(audit.layers))
    legend = "".join(
        f'<dt class="{state}">{word}</dt><dd>{meaning}</dd>'
        for state, (word, meaning) in zip(STATES, LEGEND, strict=True)
    )
    made = f" Made by Onrecord {escaped(audit.version)}." if audit.version else ""
    inside = (
        f"<h1>{escaped(heading(audit))}</h1><p>{escaped(facts(audit))}</p>\n<dl>{legend}</dl>\n"
        f"{_overview(audit)}\n{layers}"
        f"<footer><p>{LIMITS}</p><p>The layers are those of {SOURCE}, "
        f'<a href="{ADDRESS}">{ADDRESS}</a>.{made}</p></footer>'
    )
    return document(heading(audit), _STYLE, inside)


def section(audit: Audit) -> str:
    """The numbers alone, for a notebook."""
    rows = "".join(
        f"<tr><td>{layer.title}</td><td>{_name(each)}</td>{_counts(each)}</tr>"
        for layer in audit.layers
        for each in layer.sections
    )
    heads = "".join(f"<th>{each}</th>" for each in ("layer", "subject", *STATES.values()))
    table = f"<table><tr>{heads}</tr>{rows}</table>"
    return fragment(words(heading(audit), "said"), table, words(facts(audit), "small"))


def _overview(audit: Audit) -> str:
    rows = []
    for at, layer in enumerate(audit.layers):
        heads = f'<th scope="rowgroup" colspan="{1 + len(STATES)}">{at + 1} {layer.title}</th>'
        rows.append(f"<tbody><tr>{heads}</tr>")
        for which, each in enumerate(layer.sections):
            link = f'<a href="#{_anchor(at, which)}">{_name(each)}</a>'
            rows.append(f"<tr><td>{link}</td>{_counts(each)}</tr>")
        rows.append("</tbody>")
    states = "".join(f'<th scope="col" class=n>{each}</th>' for each in STATES.values())
    heads = f'<th scope="col">subject</th>{states}'
    return f"<table class=overview><thead><tr>{heads}</tr></thead>{''.join(rows)}</table>"


def _counts(section: Section) -> str:
    told = ((state, len(section.of(state))) for state in STATES)
    return "".join(
        f'<td class="n {state if count else ""}">{count:,}</td>' for state, count in told
    )


def _layer(at: int, layer: Layer) -> str:
    sections = "".join(
        _section(_anchor(at, which), each) for which, each in enumerate(layer.sections)
    )
    return f"<h2>{at + 1} {layer.title}</h2><p>{layer.scope}</p>\n{sections}"


def _section(anchor: str, section: Section) -> str:
    rows = "".join(_rows(section))
    return (
        f'<h3 id="{anchor}">{_name(section)} <small>{escaped(section.about)}</small></h3>\n'
        f"<table class=findings><tbody>{rows}</tbody></table>\n"
    )


def _rows(section: Section) -> Iterator[str]:
    for each in section.findings:
        yield (
            f'<tr><td class="state {each.state}">{STATES[each.state]}</td>'
            f'<th scope="row">{_text(each.question)}</th><td>{_answer(each)}</td></tr>\n'
        )


def _answer(finding: Finding) -> str:
    said = words(visible(finding.says))
    if finding.details:
        said += f"<ul>{''.join(f'<li>{_text(each)}</li>' for each in finding.details)}</ul>"
    if finding.cure:
        said += f'<div class="cure">→ {_text(finding.cure)}</div>'
    if finding.evidence:
        said += f'<div class="small">{" · ".join(map(_text, finding.evidence))}</div>'
    return said


def _text(text: str) -> str:
    """A text in one piece, whatever direction it is written in; commands between backticks are
    shown as code."""
    pieces = escaped(visible(text)).split("`")
    if len(pieces) % 2 == 0:
        return f"<bdi>{'`'.join(pieces)}</bdi>"
    shown = (f"<code>{each}</code>" if at % 2 else each for at, each in enumerate(pieces))
    return f"<bdi>{''.join(shown)}</bdi>"


def _name(section: Section) -> str:
    return _text(shortened(section.subject, 120))


def _anchor(layer: int, section: int) -> str:
    return f"s{layer + 1}-{section + 1}"


_STYLE = (
    COLOURS
    + """
h1{font-size:1.6rem;margin:0}h2{font-size:1.25rem;margin:2.6rem 0 .2rem}
h3{font-size:1rem;margin:1.8rem 0 .3rem;overflow-wrap:anywhere}
a{color:var(--mark)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;font-size:.9rem}
dd{margin:0}
table{border-collapse:collapse;margin:.5rem 0 1rem}th{text-align:left;font-weight:500}
thead th{color:var(--dim);font-size:.85rem}
td,th{padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}
.overview td:first-child{overflow-wrap:anywhere;padding-left:1rem}
.n{text-align:right;font-variant-numeric:tabular-nums}
thead .n,td.n{padding:.35rem .5rem .35rem .6rem}.overview tbody th{padding-top:.9rem}
.findings{width:100%;table-layout:fixed}.findings th{width:17rem}
.findings td:last-child,.findings th{overflow-wrap:anywhere}
.state{width:5.2rem;font-size:.85rem}
.seen{color:var(--dim)}.stated{color:var(--mark)}.gap{color:var(--bad);font-weight:600}
td.n{color:var(--dim)}td.n.seen{color:var(--ink)}td.n.stated{color:var(--mark)}
td.n.gap{color:var(--bad)}
ul{margin:.2rem 0;padding-left:1.1rem}.cure{color:var(--warn);font-size:.9rem}
small,.small,footer{color:var(--dim);font-size:.82rem}footer{margin-top:2.5rem}
small{font-weight:400}
code{font:.88em ui-monospace,Menlo,Consolas,monospace;background:var(--soft);
padding:.05rem .25rem;border-radius:3px}
.text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
@media (max-width:44rem){.findings tr{display:grid;grid-template-columns:5.2rem 1fr}
.findings th{width:auto}.findings td:last-child{grid-column:1/-1;padding-top:0}
.findings td.state,.findings th{border:0}}
"""
)
