"""A response as a text that a model reads: pages as Markdown, data as it is, the rest by name."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress

from onrecord.errors import LoadError
from onrecord.programs.tools.http_client.fetching import Fetched
from onrecord.retrieval.loading.encoding import decode
from onrecord.retrieval.loading.html import read_page


def said(fetched: Fetched, asked_url: str, most: int) -> str:
    """The status and the type in a line, then the body, at most `most` characters of it."""
    kind = _WORD.sub("", fetched.content_type)[:80] or "no content type"
    head = f"{fetched.status} {_printable(fetched.reason)}".strip() + f", {kind}"
    if fetched.url != asked_url:
        head += f", from {fetched.url}"
    body = text_of(fetched)
    if not body:
        return f"{head}\n\n(no content)"
    return f"{head}\n\n{cut(body, most, fetched)}"


def cut(body: str, most: int, fetched: Fetched) -> str:
    """A text of at most so many characters, which says so where there was more."""
    notes = []
    if len(body) > most:
        notes.append(f"the first {most:,} of {len(body):,} characters are shown")
        body = body[:most]
    if fetched.is_cut:
        notes.append(f"the answer was longer, and only {len(fetched.body):,} bytes were read")
    return f"{body}\n\n({'; '.join(notes)})" if notes else body


def text_of(fetched: Fetched) -> str:
    """The body as text; of what is none, its kind and size in brackets."""
    kind = fetched.content_type
    if not fetched.body:
        return ""
    if kind and not _TEXT.fullmatch(kind):
        return _named(kind, fetched)
    try:
        text = _decoded(fetched)
        if kind in _HTML:
            page = read_page(text, fetched.url)
            titled = page.title and page.title not in page.text[: len(page.title) + 10]
            return f"# {page.title}\n\n{page.text}" if titled else page.text
    except LoadError as error:
        return _named(kind or error.what.removesuffix(", not text"), fetched)
    return text


def _decoded(fetched: Fetched) -> str:
    charset = _CHARSET.search(fetched.headers.get("content-type", ""))
    if charset is not None:
        with suppress(LookupError, ValueError):  # unknown, or not so: looked at as any other
            named = codecs.lookup(charset[1]).name
            if named not in _NOT_MEANT:
                return fetched.body.decode(_MEANT.get(named, named))
    declared = _META if fetched.content_type in _HTML else None
    body = fetched.body
    if fetched.is_cut:  # the last character may be half there
        body = body[: _last_whole(body)]
    return decode(body, fetched.url, declared).text


def _last_whole(body: bytes) -> int:
    """Where the last character that may be cut begins, if the body is UTF-8."""
    start = len(body)
    while start and len(body) - start < 4 and body[start - 1] & 0xC0 == 0x80:
        start -= 1
    return start - 1 if start and body[start - 1] >= 0xC0 else len(body)


def _named(kind: str, fetched: Fetched) -> str:
    more = "more than " if fetched.is_cut else ""
    return f"({_WORD.sub('', kind)[:80]}, {more}{len(fetched.body):,} bytes: no text, not shown)"


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:100]


_HTML = ("text/html", "application/xhtml+xml")
_TEXT = re.compile(
    r"text/.+|.+/.*\+(json|xml|yaml)|(application|image)/(xhtml|svg)\+xml"
    r"|application/(x-)?(json|xml|yaml|toml|javascript|ecmascript|ndjson|jsonlines|json-seq|sql"
    r"|graphql|rtf|x-www-form-urlencoded|www-form-urlencoded|http|csv)"
)
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_NOT_MEANT = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "utf-7", "undefined")
_MEANT = {"iso8859-1": "cp1252", "ascii": "cp1252"}  # as browsers read them
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([-\w:]+)", re.IGNORECASE)
_WORD = re.compile(r"[^\w /.+,-]")
