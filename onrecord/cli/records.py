"""`onrecord records`: what was called, what came back, how long it took and what it cost."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from onrecord.cli.output import AsJson, print_json, say
from onrecord.records.record import Record
from onrecord.records.tree import dollars, drawn, line, total_cost

app = typer.Typer(
    help="See every call that was made: what went in, what came out, how long, at what cost.",
    invoke_without_command=True,
)

Limit = Annotated[int, typer.Option("--limit", "-n", help="How many runs.", min=1)]


@app.callback()
def records(context: typer.Context, limit: Limit = 20, json: AsJson = False) -> None:
    """See every call that was made: without a command, the list of runs."""
    context.obj = json
    if context.invoked_subcommand is None:
        list_runs(context, limit, json)


@app.command("list")
def list_runs(context: typer.Context, limit: Limit = 20, json: AsJson = False) -> None:
    """List the runs, newest first."""
    from onrecord.records.store import Store
    from onrecord.settings import Settings

    runs = Store(Settings.load().home).runs(limit)
    if json or context.obj:
        print_json({"runs": runs})
        return
    for run in runs:
        say(f"{run.id}  {_when(run)}  {line(run)}")
    if not runs:
        say("No records yet. `onrecord demo` makes some.")


@app.command()
def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The id of a run, or how it begins.")],
    json: AsJson = False,
) -> None:
    """Show a run as a tree, with inputs, outputs, time, tokens and cost."""
    from onrecord.records.store import Store
    from onrecord.settings import Settings

    records = Store(Settings.load().home).run(run)
    if json or context.obj:
        print_json({"run": records[0].run, "records": records})
        return
    for text in drawn(records, details=True):
        say(text)
    tokens = sum(record.usage.input + record.usage.output for record in records)
    say(f"\n{tokens:,} tokens, {dollars(total_cost(records))}")


def _when(record: Record) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.started_ns / 1e9))
