"""Values as HTML, for notebooks: everything escaped, no script, at home on light and dark pages.

Each function returns a fragment that needs nothing around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape as _escape

import msgspec

STYLE = """<style>
.onrecord{font:13px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;max-width:72em;
margin:.3em 0}
.onrecord *{box-sizing:border-box}
.onrecord .text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
.onrecord .said{font-size:15px;margin:0 0 .5em}
.onrecord .small{opacity:.7;font-size:12px}
.onrecord .warn{color:#c77c02}
.onrecord .bad{color:#e0433d}
.onrecord .good{color:#2e9e5b}
.onrecord blockquote{margin:.5em 0;padding:.15em 0 .15em .9em;border:0;
border-left:3px solid #4c8bf5;color:inherit;background:none}
.onrecord pre{margin:.2em 0;padding:.5em .7em;border-radius:5px;background:rgba(128,128,128,.12);
color:inherit;font:12px/1.45 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;
overflow-wrap:anywhere;max-height:24em;overflow:auto}
</style>"""


def fragment(*parts: str) -> str:
    """Parts of HTML with the style they need, in one element."""
    return f'{STYLE}<div class="onrecord">{"".join(parts)}</div>'


def escaped(text: str) -> str:
    """A text as HTML shows it, character by character; what cannot be shown is �."""
    return _escape(_UNSHOWN.sub("\ufffd", text))


def words(text: str, *classes: str) -> str:
    """A text in an element of its own."""
    return f'<div class="{" ".join(("text", *classes))}">{escaped(text)}</div>'


def body(value: object, limit: int = 4000) -> str:
    """A plain value in full, up to `limit` characters: text as it is, the rest as indented JSON."""
    text = value if isinstance(value, str) else _json(value)
    more = f"… {len(text) - limit:,} more characters" if len(text) > limit else ""
    shown = f"<pre>{escaped(text[:limit])}</pre>"
    return shown + (words(more, "small") if more else "")


def answer(value: object, quotations: Iterable[tuple[str, str]], refused: bool, reason: str) -> str:
    """An answer, its quotations each with the place they are from, and what else is to be said."""
    parts = []
    if refused:
        parts.append(words(f"No answer: {reason}", "said", "warn"))
    elif isinstance(value, str):
        parts.append(words(value, "said"))
    else:
        parts.append(body(value))
    for quote, place in quotations:
        parts.append(f"<blockquote>{words(quote)}{words(place, 'small')}</blockquote>")
    if reason and not refused:
        parts.append(words(f"Note: {reason}", "small"))
    return fragment(*parts)


def passage(text: str, title: str, facts: Iterable[str], metadata: Mapping[str, object]) -> str:
    """A passage under its title, with facts about it."""
    said = [f"{name}: {value}" for name, value in metadata.items()]
    below = words(" · ".join([*facts, *said]), "small")
    return fragment(f"<strong>{words(title)}</strong><blockquote>{words(text)}</blockquote>{below}")


def completion(text: str, facts: Iterable[str]) -> str:
    """What a model answered, with facts about it."""
    return fragment(words(text, "said"), words(" · ".join(facts), "small"))


def shown(value: object) -> str:
    """Any value: as it shows itself in a notebook, else in words."""
    own = getattr(value, "_repr_html_", None)
    return own() if callable(own) else fragment(body(value))


def _json(value: object) -> str:
    try:
        return msgspec.json.format(msgspec.json.encode(value, enc_hook=repr), indent=2).decode()
    except Exception:  # a value of the user's own may fail in any way when it is looked at
        return f"<{type(value).__qualname__}>"


_UNSHOWN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
