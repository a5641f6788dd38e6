"""`onrecord records cost`, `erase` and `status`: the bill, forgetting, and how the store is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from onrecord.cli.output import AsJson, plural, print_json, say
from onrecord.cli.records_options import Which, options, which_of
from onrecord.cli.records_screen import say_line, say_table
from onrecord.cli.records_store import is_there, opened, told_waiting
from onrecord.errors import UsageError
from onrecord.records.query import GROUPS, Query, Total, moment
from onrecord.records.views.wording import bill, duration
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.records.query import Receipt
    from onrecord.records.store import Store
    from onrecord.records.views.health import Health

By = Annotated[list[str] | None, typer.Option(help=f"What for: some of {', '.join(GROUPS)}.")]
OlderThan = Annotated[
    str | None, typer.Option(help="Older than this: 90d, 12h.", rich_help_panel="Which records")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@options(which=which_of)
def cost(context: typer.Context, which: Which, by: By = None, json: AsJson = False) -> None:
    """Add up calls, times, tokens and costs: `--by model,day`.

    By model (the default), only calls of models and embedders count; by anything else, all calls.
    Reused calls were taken from a record: they cost nothing. Times are of calls that ended: half
    of them took no longer than p50, 95 % no longer than p95. Days are those of UTC.
    """
    groups = [name.strip() for each in by or ["model"] for name in each.split(",")]
    store = opened()
    totals = store.totals(which.of(store), groups)
    if json or context.obj:
        costs = [each.cost for each in totals]
        unpriced = sum(each.unpriced for each in totals)
        print_json({"by": groups, "totals": totals, "cost": sum(costs), "unpriced": unpriced})
    elif not totals:
        say("No call on record fits.")
    else:
        _say_totals(groups, totals)


@options(which=which_of)
def erase(
    context: typer.Context,
    which: Which,
    older_than: OlderThan = None,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Erase records for good: from the store, the journal, caches and datasets.

    Says first how many records that are, and asks. The receipt says what was removed and what
    could not be reached; a copy of it, without whom it was about, is kept in .onrecord/receipts.
    """
    from onrecord.records.erasing.receipts import save_receipt

    json = json or bool(context.obj)
    if older_than is not None:
        which = which._replace(query=_until(which.query, older_than))
    if which == Which(Query(), None):
        raise UsageError(
            "this would erase every record",
            cure="Say which: --user, --session, --run, --older-than …",
        )
    store = opened()
    query = which.of(store)
    if not yes:
        _confirm(store, query)
    receipt = store.erase(query)
    path = save_receipt(receipt, store.home) if receipt.records else None
    if json:
        print_json({**msgspec.structs.asdict(receipt), "saved": path})
        return
    _say_receipt(receipt)
    if path is not None:
        say(f"Receipt: {path}")


def status(context: typer.Context, json: AsJson = False) -> None:
    """Tell how the store of records is: what it holds, what waits, what was lost."""
    from onrecord.records.views.health import health

    store = opened(fold=False)
    with told_waiting():
        found = health(store)
    settings = Settings.load()
    if empty := not is_there(settings):
        places = {
            "where": str(settings.home / "records.db"),
            "journal": str(settings.home / "journal"),
        }
        found = msgspec.structs.replace(found, **places, size=None)
    if json or context.obj:
        print_json(found)
    elif empty:
        say(f"No records yet ({settings.home}). `onrecord demo` makes some.")
    else:
        _say_health(found)


def _say_totals(groups: Sequence[str], totals: Sequence[Total]) -> None:
    heads = [*groups, "calls", "failed", "reused", "in", "cached", "out", "p50", "p95", "cost"]
    rows = [
        [
            *(_named(total.group[name]) for name in groups),
            *_counts([total]),
            _took(total.seconds_p50),
            _took(total.seconds_p95),
            bill(total.cost, 0) + (" +" if total.unpriced else ""),
        ]
        for total in totals
    ]
    unpriced = sum(total.unpriced for total in totals)
    together = bill(sum(total.cost for total in totals), 0) + (" +" if unpriced else "")
    last = ["total", *[""] * (len(groups) - 1), *_counts(totals), "", "", together]
    say_table(heads, rows, left=len(groups), last=last)
    if unpriced:
        say(f"+ {plural(unpriced, 'call')} whose price is not known")


def _took(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _named(value: str | None) -> str:
    return "-" if value is None else value


def _counts(totals: Iterable[Total]) -> list[str]:
    counts = [
        (t.calls, t.failed, t.reused, t.usage.input, t.usage.cached, t.usage.output) for t in totals
    ]
    return [f"{sum(column):,}" for column in zip(*counts, strict=True)]


def _until(query: Query, older_than: str) -> Query:
    until = moment(older_than)
    if query.until_ns is not None:
        until = min(until, query.until_ns)
    return msgspec.structs.replace(query, until_ns=until)


def _confirm(store: Store, query: Query) -> None:
    """Ask whether to go on; on standard error, so that JSON stays alone on the other."""
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to confirm this", cure="Say --yes to erase anyway.")
    number = sum(total.calls for total in store.totals(query, ["kind"]))
    if number == 0:
        typer.echo("No record fits: there is nothing to erase.", err=True)
        raise typer.Exit
    question = f"Erase {plural(number, 'record')} for good?"
    if not typer.confirm(question, err=True):
        typer.echo("Nothing was erased.", err=True)
        raise typer.Exit(1)


def _say_receipt(receipt: Receipt) -> None:
    removed = [
        plural(number, noun)
        for number, noun in (
            (receipt.bodies, "body" if receipt.bodies == 1 else "bodie"),
            (receipt.frames, "journal frame"),
            (receipt.cases, "dataset case"),
        )
        if number
    ]
    beside = f", with {', '.join(removed)}" if removed else ""
    say(f"Erased {plural(receipt.records, 'record')}{beside}.")
    if receipt.remaining:
        say("Not reached: " + "; ".join(receipt.remaining) + ".")


def _say_health(found: Health) -> None:
    from onrecord.records.views.drawing import Piece, Style, moment_of

    def fact(name: str, text: str, style: Style = "") -> None:
        say_line([Piece(f"{name:<10}", "dim"), Piece(text, style)])

    size = "" if found.size is None else f", {megabytes(found.size)}"
    fact("store", f"{found.where}{size}")
    under_way = f", {found.under_way:,} under way" if found.under_way else ""
    fact("records", f"{found.records:,} in {plural(found.runs, 'run')}{under_way}")
    if found.oldest_ns is not None and found.newest_ns is not None:
        fact("from", moment_of(found.oldest_ns))
        fact("to", moment_of(found.newest_ns))
    segments = plural(found.segments, "segment")
    writers = (
        plural(found.writers, "process") if found.writers == 1 else f"{found.writers} processes"
    )
    fact("journal", f"{found.journal}, {megabytes(found.journal_size)}")
    fact("", f"{segments} of {writers}, {megabytes(found.waiting)} not in the store yet")
    fact(
        "lost", f"{plural(found.lost, 'call')} without a whole record", "bad" if found.lost else ""
    )
    fact("torn", f"{plural(found.torn, 'byte')} passed over", "warn" if found.torn else "")
    for path in found.damaged:
        fact("damaged", f"{path} was put aside", "bad")
    for note in found.notes:
        fact("note", note, "warn")


def megabytes(size: int) -> str:
    """A size for people: "12 kB", "3.4 MB", "1,204 MB"."""
    if size < 1_000_000:
        return f"{size / 1e3:,.0f} kB"
    return f"{size / 1e6:,.1f} MB" if size < 100e6 else f"{size / 1e6:,.0f} MB"
