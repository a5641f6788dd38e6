"""`onrecord records export` and `import`: to other tools, and from them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onrecord.calling import run as wait_for
from onrecord.cli.output import AsJson, plural, print_json, say
from onrecord.cli.records_options import Run, filtered, within
from onrecord.errors import LoadError, ModelUnavailableError, UsageError
from onrecord.records.query import Query

if TYPE_CHECKING:
    from onrecord.records.exchange.importing import Imported
    from onrecord.records.store import Store

To = Annotated[
    Literal["jsonl", "parquet", "otlp", "mlflow"], typer.Option("--to", help="The form.")
]
Where = Annotated[
    str | None,
    typer.Argument(
        help="A file (jsonl, parquet; '-' is standard output) or an address (otlp, mlflow).",
        show_default=False,
    ),
]
Headers = Annotated[
    list[str] | None, typer.Option("--header", help="For otlp: NAME=VALUE, repeatable.")
]
Experiment = Annotated[str, typer.Option(help="For mlflow: the experiment.")]
Again = Annotated[bool, typer.Option("--again", help="Also what the server refused before.")]
NoBodies = Annotated[bool, typer.Option("--no-bodies", help="For otlp: no inputs and outputs.")]
Patience = Annotated[
    float, typer.Option(help="For otlp: seconds to try again while the server is away.", min=0)
]
Files = Annotated[list[Path] | None, typer.Argument(help="Files of traces, or of records.")]
Mlflow = Annotated[str | None, typer.Option(help="The address of an MLflow server.")]
From = Annotated[
    Literal["otlp", "mlflow", "jsonl"], typer.Option("--from", help="What the files hold.")
]


@filtered
def export(
    query: Query,
    to: To,
    where: Where = None,
    run: Run = None,
    header: Headers = None,
    experiment: Experiment = "onrecord",
    again: Again = False,
    no_bodies: NoBodies = False,
    patience: Patience = 60.0,
    json: AsJson = False,
) -> None:
    """Hand records to other tools: a file, an OTLP collector, an MLflow server.

    otlp and mlflow send what the address has not acknowledged yet, at least once: run it again
    after a failure, or every minute. What was sent twice has the same ids.
    """
    from onrecord.records.exchange.mlflow_traces import export_mlflow
    from onrecord.records.exchange.sending import Delivery, export_otlp
    from onrecord.records.store import Store

    store = Store.open()
    query = within(store, query, run)
    if to in ("jsonl", "parquet"):
        _to_file(store, query, to, where, json)
        return
    if to == "otlp":
        delivery = Delivery(bodies=not no_bodies, patience=patience)
        sending = export_otlp(
            store, where, query=query, headers=_pairs(header), again=again, delivery=delivery
        )
        done = wait_for(sending)
    elif where is None:
        raise UsageError("which MLflow server?", cure="Name its address: http://localhost:5000")
    else:
        done = export_mlflow(store, where, experiment, query=query, again=again)
    if json:
        print_json(done)
    else:
        say(f"{plural(done.sent, 'record')} sent, {done.failed:,} refused, {done.left:,} left.")
        for problem in done.problems:
            say(f"  {problem}")
    if done.failed or done.left:
        raise typer.Exit(ModelUnavailableError.exit_status)


def import_(
    files: Files = None,
    form: From = "otlp",
    mlflow: Mlflow = None,
    experiment: Experiment = "onrecord",
    json: AsJson = False,
) -> None:
    """Bring in traces of other tools: OTLP or MLflow files, an MLflow server, exported records.

    Secrets are removed by the rules of the settings, as from calls of your own. Importing twice
    changes nothing.
    """
    from onrecord.records.exchange.importing import redacted
    from onrecord.records.store import Store
    from onrecord.settings import Settings

    settings = Settings.load()
    if bool(files) == (mlflow is not None):
        raise UsageError("there is nothing to import", cure="Name files, or --mlflow ADDRESS.")
    traces = _traces(files or [], form, mlflow, experiment)
    counted = itertools.count()
    records = (record for record in redacted(traces, settings) if next(counted) >= 0)
    new = Store.open(settings).take(records)
    count = next(counted)
    if json:
        print_json({"records": count, "new": new, "skipped": traces.skipped})
    else:
        say(f"{plural(count, 'record')}, {new:,} of them new; {traces.count:,} skipped.")
        for skipped in traces.skipped[:20]:
            say(f"  {skipped.where}: {skipped.reason}")
    if traces.count:
        raise typer.Exit(LoadError.exit_status)


def _to_file(store: Store, query: Query, to: str, where: str | None, json: bool) -> None:
    from onrecord.records.exchange.files import write_jsonl, write_parquet

    if where is None or (where == "-" and (json or to == "parquet")):
        raise UsageError(f"{to} needs a file to go to", cure=f"Name one: records.{to}")
    write = write_jsonl if to == "jsonl" else write_parquet
    count = write(store.each(query), where)
    if json:
        print_json({"records": count, "path": where})
    elif where != "-":
        say(f"{where}: {plural(count, 'record')}.")


def _traces(files: list[Path], form: str, mlflow: str | None, experiment: str) -> Imported:
    from onrecord.records.exchange import importing

    if mlflow is not None:
        from onrecord.records.exchange.mlflow_traces import read_mlflow

        return read_mlflow(mlflow, experiment)
    if form == "jsonl":
        return importing.read_records(*files)
    return importing.read_otlp(*files) if form == "otlp" else importing.read_mlflow_files(*files)


def _pairs(headers: list[str] | None) -> dict[str, str]:
    pairs = {}
    for header in headers or ():
        name, equals, value = header.partition("=")
        if not equals or not name:
            raise UsageError(f"'{name}' is no header", cure="Write NAME=VALUE.")
        pairs[name] = value
    return pairs
