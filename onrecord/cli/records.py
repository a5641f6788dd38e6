"""`onrecord records`: what was called, what came back, how long it took and what it cost."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import typer

from onrecord.cli import datasets, records_exchange
from onrecord.cli.output import AsJson, print_json, say
from onrecord.cli.records_bill import cost, erase, status
from onrecord.cli.records_options import RUN, Which, examples, options, which_of
from onrecord.cli.records_screen import say_line, width
from onrecord.cli.records_store import opened
from onrecord.cli.records_watch import watch
from onrecord.errors import UnknownNameError, UsageError
from onrecord.records.query import Query
from onrecord.records.record import Record

if TYPE_CHECKING:
    from onrecord.records.store import Store
    from onrecord.records.views.tree import Tree
    from onrecord.records.waiting import Waiting

app = typer.Typer(
    help="See every call that was made: what went in, what came out, how long, at what cost.",
    invoke_without_command=True,
)

_PANEL = "Which part of the list"
Limit = Annotated[
    int,
    typer.Option("--limit", "-n", help="How many.", min=1, max=1_000_000, rich_help_panel=_PANEL),
]
Before = Annotated[
    str | None,
    typer.Option(
        help="Older than this one: the last id of the page before.", rich_help_panel=_PANEL
    ),
]
Calls = Annotated[
    bool,
    typer.Option(
        "--calls",
        help="List single calls, wherever in a run they are, instead of runs.",
        rich_help_panel=_PANEL,
    ),
]


class Page(NamedTuple):
    """Which part of a list: `limit` runs, or single calls, older than the one named `before`."""

    limit: int
    before: str | None
    calls: bool


def page_of(limit: Limit = 20, before: Before = None, calls: Calls = False) -> Page:
    """The page that the options of a command name."""
    return Page(limit, before, calls)


@app.callback(epilog=examples("records", "records --since 12h --failed", "records show @1"))
@options(which=which_of, page=page_of)
def records(context: typer.Context, which: Which, page: Page, json: AsJson = False) -> None:
    """See every call that was made: what went in, what came out, how long, at what cost.

    Without a command, the list of runs: see `onrecord records list --help`.
    """
    context.obj = json
    if context.invoked_subcommand is None:
        _list(which, page, json)
    elif which != Which(Query(), None) or page.before is not None or page.calls:
        raise UsageError(
            "these options stand before the command",
            cure=f"Write them behind it: onrecord records {context.invoked_subcommand} …",
        )


@app.command(
    "list",
    epilog=examples("records list --state paused", "records list --calls --kind model --since 12h"),
)
@options(which=which_of, page=page_of)
def list_runs(context: typer.Context, which: Which, page: Page, json: AsJson = False) -> None:
    """List the runs, newest first.

    A run is an outermost call with everything inside of it, and is found by that call: --failed
    lists the runs that failed as a whole. With --calls, every single call that fits is listed.
    A paused run is listed with its questions, and with how it goes on.
    """
    _list(which, page, json or bool(context.obj))


@app.command(
    epilog=examples("records show", "records show @2 --ids", "records show 4f2c81 --graph")
)
def show(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(help=f"{RUN} (default: the newest run).", show_default=False),
    ] = None,
    call: Annotated[
        bool, typer.Option("--call", help="Show one call, the one with this id, whole.")
    ] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Print the run as a Mermaid diagram.")
    ] = False,
    all: Annotated[
        bool, typer.Option("--all", help="Draw every call, however many there are.")
    ] = False,
    bodies: Annotated[
        bool | None,
        typer.Option(
            "--bodies/--no-bodies",
            help="Inputs and outputs (default: with fewer than 100 calls).",
            show_default=False,
        ),
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="The id of every call.")] = False,
    json: AsJson = False,
) -> None:
    """Show a run as a tree, with time bars, tokens, cost, inputs and outputs.

    Of many equal calls the first are drawn, and those that did not end well; the others are
    counted. JSON holds every call, and its input and output unless --no-bodies.
    """
    from onrecord.records.pointing import run_of
    from onrecord.records.views.graph import mermaid
    from onrecord.records.views.sketching import skeleton, sketch
    from onrecord.records.views.tree import Tree

    store = opened()
    json = json or bool(context.obj)
    if call:
        _show_call(_one_call(store, run or ""), json)
        return
    id = _newest(store) if run is None else run_of(store, run)
    if json:
        print_json({"run": id, "records": store.run(id, bodies=bodies is not False)})
        return
    tree = Tree(skeleton(store, id)) if all or graph else sketch(store, id)
    if graph:
        say(mermaid(tree))
    else:
        _draw(store, tree, all, bodies, ids)


_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("watch", watch, ("records watch", "records watch --kind model --failed")),
    ("cost", cost, ("records cost --by model,day --since 7d", "records cost --run @1 --by name")),
    ("erase", erase, ("records erase --user u-17", "records erase --older-than 90d --yes")),
    ("status", status, ("records status", "records status --json")),
    (
        "dataset",
        datasets.dataset,
        ("records dataset leave --name ask", "records dataset new.jsonl"),
    ),
    ("rows", datasets.rows, ("records rows --out rows.jsonl --name openai:gpt-6-luna",)),
    (
        "export",
        records_exchange.export,
        (
            "records export --to jsonl records.jsonl --run @1",
            "records export --to otlp http://localhost:4318",
        ),
    ),
    (
        "import",
        records_exchange.import_,
        ("records import traces.json", "records import --mlflow http://localhost:5000"),
    ),
)
for _name, _command, _examples in _COMMANDS:
    app.command(_name, epilog=examples(*_examples))(_command)

_MOST_WITH_BODIES = 100
_MOST_ROWS = 400


def _list(which: Which, wanted: Page, json: bool) -> None:
    from onrecord.records.views.listing import latest_attempts, page, whole
    from onrecord.records.waiting import waiting

    store = opened()
    query = which.of(store)
    limit, before, calls = wanted
    found = page(store, query, calls=calls, limit=limit + 1, before=before)
    following = found[limit - 1].id if len(found) > limit else None
    found = found[:limit]
    if json:
        records = list(whole(store, [record.id for record in found]).values())
        print_json({"calls" if calls else "runs": records, "next": following})
        return
    attempts = {} if calls else latest_attempts(store, found)
    latest = [attempts.get(record.id, record) for record in found]
    asked = {} if calls else waiting(store, latest)
    for record in found:
        _say_listed(record, attempts.get(record.id))
        for question in asked.get(record.run, ()):
            _say_waiting(record, question)
    if following is not None:
        say(f"\nMore: {_same_command(following)}")
    if not found:
        say(_nothing(query, before, calls))


def _say_listed(record: Record, attempt: Record | None) -> None:
    from onrecord.records.views.drawing import NOT_WELL, Piece, moment_of, one_line

    line = one_line(record, time.time_ns())
    if attempt is not None:
        state = {"open": "under way"}.get(attempt.state, attempt.state)
        line.append(Piece(f", resumed, {state}", NOT_WELL.get(attempt.state, "good")))
    before = [Piece(f"{record.id}  "), Piece(f"{moment_of(record.started_ns)}  ", "dim")]
    say_line([*before, *line], fitting=True)


def _say_waiting(run: Record, question: Waiting) -> None:
    from onrecord.records.views.drawing import Piece

    # On lines of their own, and never cut: this is what an answer is written with.
    say_line([Piece("    asks  ", "dim"), Piece(question.text, "warn")])
    answer = f"{run.name}.resume.run({run.run!r}, answers={{{question.id!r}: …}})"
    say_line([Piece("    goes on with  ", "dim"), Piece(answer)])


def _nothing(query: Query, before: str | None, calls: bool) -> str:
    if before is not None:
        return "Nothing is older than that."
    if query == Query():
        return "No records yet. `onrecord demo` makes some."
    if calls:
        return "No call on record fits."
    return "No run fits, by its outermost call. --calls looks inside of runs, too."


def _same_command(before: str) -> str:
    """The command that was called, for the next page."""
    words = iter(sys.argv[1:])
    kept: list[str] = []
    for word in words:
        if word == "--before":
            next(words, None)
        elif not word.startswith("--before="):
            kept.append(word)
    return shlex.join(["onrecord", *kept, "--before", before])


def _newest(store: Store) -> str:
    newest = store.runs(1)
    if not newest:
        raise UsageError("there is no run yet", cure="`onrecord demo` makes some.")
    return newest[0].run


def _one_call(store: Store, id: str) -> Record:
    from onrecord.records.pointing import run_of
    from onrecord.records.views.sketching import skeleton

    run = run_of(store, id)
    if id.startswith("@"):
        id = run
    calls = [each.id for each in skeleton(store, run)]
    found = [each for each in calls if each.startswith(id)]
    found = found or [each for each in calls if id in each]
    if len(found) != 1:
        raise UnknownNameError(
            f"the ids of {len(found):,} calls begin with '{id}', or have it in them",
            cure=f"`onrecord records show {run} --ids` shows them whole.",
        )
    return store.record(found[0])


def _draw(store: Store, tree: Tree, all: bool, bodies: bool | None, ids: bool) -> None:
    from onrecord.records.views.drawing import draw, drawing, summary
    from onrecord.records.views.listing import whole

    picture = drawing(tree, None if all else _MOST_ROWS)
    if bodies is None:
        bodies = len(tree) < _MOST_WITH_BODIES
    shown = [row.what for row in picture.rows if isinstance(row.what, Record)]
    found = whole(store, [each.id for each in shown], bodies=bodies)
    if not bodies:  # a question is the input of its call
        asking = [each.id for each in shown if each.kind == "pause" or each.state == "paused"]
        found |= whole(store, asking)
    picture = picture._replace(whole=found, details=bodies, ids=ids)
    for line in draw(picture, width()):
        say_line(line)
    say()
    for line in summary(picture):
        say_line(line)


def _show_call(record: Record, json: bool) -> None:
    if json:
        print_json(record)
        return
    from onrecord.records.views.drawing import described

    for line in described(record):
        say_line(line)
    for label, value in (("input", record.input), ("output", record.output)):
        say(f"\n{label}")
        text = value if isinstance(value, str) else _indented(value)
        for each in text.splitlines() or [""]:
            say(f"  {each}")


def _indented(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
