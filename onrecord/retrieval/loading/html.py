"""HTML: what a reader of the page sees, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onrecord.errors import LoadError
from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading.encoding import MEBIBYTE, decode, read_bytes
from onrecord.retrieval.loading.markdown import table
from onrecord.retrieval.loading.values import text_metadata

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode


def load_html(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """The visible text, with headings, lists, tables and code blocks written as in Markdown.

    Scripts, navigation and hidden elements are left out. The title is the page's, else its first
    heading, else the file's name; description, author, date and language become metadata.
    """
    source, notes = decode(read_bytes(path, _LIMIT), str(path), _CHARSET)
    page = read_page(source, str(path))
    title = page.title or path.stem
    yield Document(document_id, title, page.text, "markdown", {**page.metadata, **notes})


class Page(NamedTuple):
    """The text of a page as Markdown, its title (or an empty string) and its meta fields."""

    text: str
    title: str
    metadata: dict[str, Any]


def read_page(source: str, where: str) -> Page:
    """Reads the source of a page. Raises LoadError where it nests deeper than any page does."""
    from selectolax.lexbor import LexborHTMLParser

    if _depth(source) > _DEEPEST:  # the parser's time grows with the square of it
        raise LoadError("nested too deeply", where=where)
    tree = LexborHTMLParser(source)
    head, first = tree.css_first("head > title"), tree.css_first("h1")
    title = _line(head) or _line(first)
    return Page(_Writer().write(tree.body), title, _meta(tree))


class _Writer:
    """Turns a tree of elements into blocks of Markdown, without recursion: pages nest at will."""

    def __init__(self) -> None:
        self.blocks: list[tuple[str, int]] = []  # with the number of the list it is an item of
        self.words: list[str] = []  # the block being written
        self.lists: list[_List] = []  # those open, outermost first
        self.list_number = 0
        self.prefix = ""  # of the block being written: "## " or "- "
        self.verbatim = 0  # within how many <pre>

    def write(self, body: LexborNode | None) -> str:
        pending = [(body, True)] if body is not None else []
        while pending:
            node, entering = pending.pop()
            tag = node.tag or ""
            if not entering:
                self._leave(tag)
            elif tag == "-text":
                self._text(node)
            elif tag.startswith("-") or tag in _UNSEEN or _is_hidden(node):
                continue
            elif tag == "table" and (rows := _table_rows(node)):
                self._end_block()
                self.blocks.append((table(rows), 0))
            else:
                self._enter(tag)
                pending.append((node, False))
                pending += [(child, True) for child in reversed(_children(node))]
        self._end_block()
        return _joined(self.blocks)

    def _enter(self, tag: str) -> None:
        if tag == "br":
            self.words.append("\n")
        if self.verbatim or tag not in _BLOCKS:
            self.verbatim += tag == "pre"
            return
        self._end_block()
        if tag in _HEADINGS:
            self.prefix = "#" * int(tag[1]) + " "
        elif tag in ("ul", "ol"):
            self.list_number += not self.lists
            self.lists.append(_List(ordered=tag == "ol"))
        elif tag == "li":
            self.prefix = self._marker()
        elif tag == "pre":
            self.verbatim = 1

    def _leave(self, tag: str) -> None:
        if self.verbatim:
            self.verbatim -= tag == "pre"
            if not self.verbatim:
                self._end_code()
        elif tag in _BLOCKS:
            self._end_block()
            if tag == "li" or tag in _HEADINGS:
                self.prefix = ""
            elif tag in ("ul", "ol") and self.lists:
                self.lists.pop()

    def _text(self, node: LexborNode) -> None:
        text = node.text_content or ""
        if self.verbatim:
            self.words.append(text)
        else:
            self.words.append(_SPACES.sub(" ", text))

    def _marker(self) -> str:
        if not self.lists:
            return "- "
        self.lists[-1].count += 1
        indent = "  " * min(len(self.lists) - 1, _DEEPEST_LIST)
        return f"{indent}{self.lists[-1].count}. " if self.lists[-1].ordered else f"{indent}- "

    def _end_block(self) -> None:
        lines = [" ".join(line.split()) for line in "".join(self.words).split("\n")]
        self.words = []
        text = "\n".join(line for line in lines if line)
        if not text:  # the heading's or item's words are yet to come: <li><p>
            return
        is_heading = self.prefix.startswith("#")
        text = text.replace("\n", " " if is_heading else "\n" + " " * len(self.prefix))
        of_list = self.list_number if self.prefix and not is_heading else 0
        self.blocks.append((self.prefix + text, of_list))
        self.prefix = ""

    def _end_code(self) -> None:
        code = "".join(self.words).strip("\n")
        self.words = []
        if code.strip():
            longest = max(map(len, re.findall("`+", code)), default=0)
            fence = "`" * max(3, longest + 1)
            self.blocks.append((f"{fence}\n{code}\n{fence}", 0))
        self.prefix = ""


class _List:
    def __init__(self, ordered: bool) -> None:
        self.ordered = ordered
        self.count = 0


def _joined(blocks: list[tuple[str, int]]) -> str:
    """Blocks with a blank line between them, except between the items of one list."""
    pieces: list[str] = []
    before = 0
    for text, of_list in blocks:
        pieces += ["\n" if of_list and of_list == before else "\n\n", text]
        before = of_list
    return "".join(pieces[1:])


def _depth(source: str) -> int:
    """How deep the elements of a page nest at most, roughly, without parsing it."""
    depth = deepest = 0
    for closing, tag in _TAG.findall(source):
        if tag.lower() not in _SELF_CLOSING:
            depth = max(0, depth - 1) if closing else depth + 1
            deepest = max(deepest, depth)
    return deepest


def _table_rows(node: LexborNode) -> list[list[str]]:
    """The cells of a table of data; nothing for one that only lays out the page."""
    if node.css_first("table table, table h1, table h2, table h3, table ul, table pre") is not None:
        return []
    rows = []
    for row in node.css("tr"):
        cells = [cell for cell in _children(row) if cell.tag in ("td", "th")]
        rows.append([" ".join(cell.text(separator=" ").split()) for cell in cells])
    rows = [row for row in rows if any(row)]
    return rows if max(map(len, rows), default=0) > 1 else []


def _children(node: LexborNode) -> list[LexborNode]:
    children = []
    child = node.first_child
    while child is not None:
        children.append(child)
        child = child.next
    return children


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    return bool(attributes) and (
        "hidden" in attributes or _NOT_SHOWN.search(attributes.get("style") or "") is not None
    )


def _line(node: LexborNode | None) -> str:
    return " ".join(node.text().split()) if node is not None else ""


def _meta(tree: LexborHTMLParser) -> dict[str, Any]:
    found: dict[str, str] = {}
    for node in tree.css("meta"):
        attributes = node.attributes
        name = _META.get((attributes.get("name") or attributes.get("property") or "").lower())
        content = attributes.get("content")
        if name and content and name not in found:
            found[name] = content
    page = tree.css_first("html")
    if page is not None and (language := page.attributes.get("lang")):
        found["language"] = language
    return text_metadata(found)


_LIMIT = 32 * MEBIBYTE
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([-\w:]+)", re.IGNORECASE)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BLOCKS = _HEADINGS | frozenset(
    """
    address article aside blockquote body center dd details dialog div dl dt fieldset figcaption
    figure footer form header hgroup hr legend li main menu ol p pre section summary table tbody td
    tfoot th thead title tr ul
    """.split()
)
_UNSEEN = frozenset(
    """
    audio button canvas datalist embed head iframe math nav noscript object script select style svg
    template textarea video
    """.split()
)
_META = {
    "description": "description",
    "og:description": "description",
    "author": "author",
    "article:author": "author",
    "dc.creator": "author",
    "keywords": "keywords",
    "date": "date",
    "dc.date": "date",
    "article:published_time": "date",
    "article:modified_time": "modified",
}
_SPACES = re.compile(r"\s+")
_NOT_SHOWN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_DEEPEST_LIST = 6
_DEEPEST = 10_000
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})")
_SELF_CLOSING = frozenset(  # or closed by what follows
    """
    area base br col dd dt embed hr img input li link meta option p param rp rt source tbody td
    tfoot th thead tr track wbr
    """.split()
)
