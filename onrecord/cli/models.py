"""`onrecord models search` and `onrecord models show`: which model to use."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onrecord.cli.output import AsJson, complain, plural, print_json, say
from onrecord.cli.records_options import options
from onrecord.cli.records_screen import say_table, width
from onrecord.errors import UsageError
from onrecord.models.hub.filters import Filters, short
from onrecord.records.views.drawing import wide
from onrecord.records.views.wording import flat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onrecord.models.hub.card import ModelFacts
    from onrecord.models.hub.search import Listing

app = typer.Typer(
    help="Find models, compare them, and look at tokenizers and embeddings.", no_args_is_help=True
)


def _filter(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Which models", show_default=False)


Words = Annotated[
    str, typer.Argument(help="A part of the model's name.", metavar="WORDS", show_default=False)
]
Task = Annotated[str | None, _filter("For this task, as the Hub names it: summarization.")]
License = Annotated[str | None, _filter("Under this licence, as the Hub names it: apache-2.0.")]
Languages = Annotated[
    list[str] | None, _filter("For this language (en); for all of them, if repeated.", "--language")
]
MinParams = Annotated[str | None, _filter("With so many parameters or more: 100M, 1.5B.")]
MaxParams = Annotated[str | None, _filter("With so many parameters or fewer.")]
MinDownloads = Annotated[int | None, _filter("Downloaded as often in the last 30 days.")]
MinLikes = Annotated[int | None, _filter("Liked as often.")]
UpdatedSince = Annotated[str | None, _filter("Changed since a date (2026-01-31) or an age (90d).")]
Base = Annotated[str | None, _filter("Fine-tuned from this model: google-t5/t5-small.")]
Sort = Annotated[
    str, _filter("downloads (default), likes, updated, created or trending; the most first.")
]
Limit = Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1, max=1000)]
Offline = Annotated[
    bool, typer.Option("--offline", help="Ask nobody: give the answer kept from before.")
]
Timeout = Annotated[float, typer.Option(help="Seconds that the Hub may take.", min=0.1, max=3600)]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The options that say which models to look for."""

    words: Words = ""
    task: Task = None
    license: License = None
    language: Languages = None
    min_params: MinParams = None
    max_params: MaxParams = None
    min_downloads: MinDownloads = None
    min_likes: MinLikes = None
    updated_since: UpdatedSince = None
    base: Base = None
    sort: Sort = "downloads"
    limit: Limit = 20

    def filters(self) -> Filters:
        """The same as filters; the search says what is wrong with them."""
        given: dict[str, Any] = asdict(self)
        languages, base = given.pop("language"), given.pop("base")
        return Filters(
            **given,
            languages=tuple(languages or ()),
            base=base.removeprefix("hf:") if base is not None else None,
        )


@app.command("search")
@options(wanted=Wanted)
def search_models(
    wanted: Wanted, offline: Offline = False, timeout: Timeout = 30.0, json: AsJson = False
) -> None:
    """Search the Hugging Face Hub for models.

    The answer is kept: the same search without a network gives it again and says how old it is.
    For example: `onrecord models search --task summarization --license mit --max-params 500M`
    """
    from onrecord.models.hub.search import search

    found = search.run(wanted.filters(), offline=offline, seconds=timeout)
    if json:
        print_json(found)
        return
    _say_listing(found, wanted.sort)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="OWNER/NAME on the Hub, a folder, or embedded:minilm.",
            metavar="NAME",
            show_default=False,
        ),
    ],
    offline: Offline = False,
    timeout: Timeout = 30.0,
    json: AsJson = False,
) -> None:
    """Show what is known of a model: sizes, licence, training data, base model, languages.

    For example: `onrecord models show google-t5/t5-small`
    """
    from onrecord.models.hub.search import facts

    if not name.strip():
        raise UsageError("the model's name is empty", cure="Name one: OWNER/NAME, or a folder.")
    found = facts.run(name, offline=offline, seconds=timeout)
    if json:
        print_json(found)
        return
    say(flat(found.name))
    for label, value in _lines(found):
        _say_fact(label, value)
    _say_cached(found.cached, found.as_of)
    for warning in found.warnings:
        complain(f"note: {flat(warning)}")


def _say_listing(found: Listing, sort: str) -> None:
    left_out: list[str] = []
    if found.models:
        everything = dict(zip(_HEADS, zip(*map(_row, found), strict=True), strict=True))
        columns, left_out = _fitting(everything, sort)
        names = sum(head in _HEADS[:3] for head in columns)
        say_table(list(columns), list(zip(*columns.values(), strict=True)), left=names)
        order = "trend" if sort == "trending" else sort
        say(f"{plural(len(found), 'model')}, by {order}. See one: onrecord models show NAME")
    else:
        say("There is no model like this. Leave out a filter, or allow more parameters.")
    _say_cached(found.cached, found.as_of)
    if left_out:
        complain(f"note: the terminal is too narrow for {', '.join(left_out)}; --json has all")
    for note in found.notes:
        complain(f"note: {flat(note)}")


Columns = dict[str, tuple[str, ...]]


def _fitting(columns: Columns, sort: str) -> tuple[Columns, list[str]]:
    """The columns that a terminal has room for, and the heads of others: what the models are called
    is the answer, and is not cut for what `show` tells of each one. What they are sorted by stays.
    """
    sizes = {head: max(map(wide, (head, *cells))) for head, cells in columns.items()}
    left_out: list[str] = []
    for head in _SPARE if sys.stdout.isatty() else ():
        if sum(sizes.values()) + 2 * (len(sizes) - 1) <= width():
            break
        if head == sort:
            continue
        del sizes[head]
        left_out.append(head)
    return {head: columns[head] for head in sizes}, left_out


def _row(found: ModelFacts) -> tuple[str, ...]:
    shown = found.languages[:_LANGUAGES]
    rest = len(found.languages) - len(shown)
    return (
        f"{found.name} (gated)" if found.gated else found.name,
        found.license or "?",
        ", ".join(shown) + (f" +{rest}" if rest else "") or "?",
        "?" if found.parameters is None else short(found.parameters),
        "?" if found.downloads is None else f"{found.downloads:,}",
        "?" if found.likes is None else f"{found.likes:,}",
        "?" if found.updated is None else f"{found.updated:%Y-%m-%d}",
    )


def _lines(found: ModelFacts) -> Iterator[tuple[str, str]]:
    """The facts, one a line; what nobody has said is said to be so."""
    yield "from", found.source
    yield "task", found.task or _UNSAID
    named = f" ({found.license_name})" if found.license_name else ""
    yield "licence", f"{found.license or _UNSAID}{named} {found.license_link or ''}".rstrip()
    yield "languages", ", ".join(found.languages) or _UNSAID
    yield "architecture", found.architecture or _UNSAID
    yield "parameters", _UNSAID if found.parameters is None else f"{found.parameters:,}"
    for weights in found.weights:
        size = "" if weights.bytes is None else f", {_size(weights.bytes)}"
        yield "", f"{weights.dtype}: {short(weights.parameters)}{size}"
    yield "on disk", "; ".join(map(_stored, found.files)) or _UNSAID
    if found.context is not None:
        yield "reads", f"{found.context:,} tokens"
    how = f" ({found.base_relation})" if found.base_relation and found.base_models else ""
    yield "base model", (", ".join(found.base_models) or _UNSAID) + how
    yield "training data", ", ".join(found.datasets) or (_UNSAID if not found.training else "")
    if found.training:
        yield "", f"“{found.training}”"
    if found.library:
        yield "library", found.library
    if found.downloads is not None:
        yield "downloads", f"{found.downloads:,} in the last 30 days"
    if found.likes is not None:
        yield "likes", f"{found.likes:,}"
    if found.gated is not None:
        yield "gated", "yes: its conditions must be accepted first" if found.gated else "no"
    if found.updated is not None:
        yield "updated", f"{found.updated:%Y-%m-%d}"


def _stored(stored: Any) -> str:
    number = f" in {plural(stored.count, 'file')}" if stored.count > 1 else ""
    return f"{stored.format} {'?' if stored.bytes is None else _size(stored.bytes)}{number}"


def _say_fact(label: str, value: str) -> None:
    """A label and its value, wrapped at the width of the terminal; nothing in it ends the line."""
    room = max(width() - _LABEL - 2, 20)
    lines = textwrap.wrap(flat(value), room, break_on_hyphens=False) or [""]
    for at, line in enumerate(lines):
        say(f"  {label if at == 0 else '':<{_LABEL}}{line}")


def _say_cached(cached: str, as_of: datetime | None) -> None:
    if cached:
        old = "is of the copy on this machine" if as_of is None else f"is {age(as_of)} old"
        complain(f"note: {flat(cached)}; this answer {old}")


def age(then: datetime, now: datetime | None = None) -> str:
    """How long ago something was: "1 minute", "5 hours", "12 days"."""
    minutes = max(int(((now or datetime.now(UTC)) - then).total_seconds() // 60), 0)
    for unit, length in (("day", 1440), ("hour", 60), ("minute", 1)):
        if minutes >= length:
            return plural(minutes // length, unit)
    return "less than a minute"


def _size(count: int) -> str:
    """Bytes for people, in powers of ten: 242043056 -> "242 MB"."""
    for unit, length in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count} B"


_HEADS = ("model", "licence", "languages", "parameters", "downloads", "likes", "updated")
_SPARE = ("likes", "languages", "updated", "downloads")
_LANGUAGES = 4
_LABEL = 15
_UNSAID = "not said"
