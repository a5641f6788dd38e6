"""`onrecord records export` and `import`: to other tools, and from them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from onrecord.calling import run as wait_for
from onrecord.cli.output import AsJson, plural, print_json, say
from onrecord.cli.records_options import Which, options, which_of
from onrecord.cli.records_store import opened
from onrecord.errors import LoadError, ModelUnavailableError, UsageError
from onrecord.records.query import Query

if TYPE_CHECKING:
    from onrecord.records.exchange.importing import Imported
    from onrecord.records.exchange.sending import Exported
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


def _how(help: str, *names: str, min: float | None = None) -> Any:
    return typer.Option(*names, help=help, min=min, rich_help_panel="How they are sent")


Headers = Annotated[list[str] | None, _how("For otlp: NAME=VALUE, repeatable.", "--header")]
Experiment = Annotated[str, _how("For mlflow: the experiment.")]
Again = Annotated[bool, _how("Also what the server refused before.", "--again")]
NoBodies = Annotated[bool, _how("For otlp: no inputs and outputs.", "--no-bodies")]
Patience = Annotated[float, _how("For otlp: seconds to try again while the server is away.", min=0)]
Files = Annotated[list[Path] | None, typer.Argument(help="Files of traces, or of records.")]
Mlflow = Annotated[str | None, typer.Option(help="The address of an MLflow server.")]
From = Annotated[
    Literal["otlp", "mlflow", "jsonl"], typer.Option("--from", help="What the files hold.")
]


class How(NamedTuple):
    """How records are handed to a server."""

    headers: dict[str, str]
    experiment: str
    again: bool
    bodies: bool
    patience: float


def how_of(
    header: Headers = None,
    experiment: Experiment = "onrecord",
    again: Again = False,
    no_bodies: NoBodies = False,
    patience: Patience = 60.0,
) -> How:
    """What the options of a command say. Raises UsageError."""
    return How(_pairs(header), experiment, again, not no_bodies, patience)


@options(which=which_of, how=how_of)
def export(which: Which, how: How, to: To, where: Where = None, json: AsJson = False) -> None:
    """Hand records to other tools: a file, an OTLP collector, an MLflow server.

    otlp and mlflow send what the address has not acknowledged yet, at least once: run it again
    after a failure, or every minute. What was sent twice has the same ids.
    """
    _check_used(to, how)
    store = opened()
    query = which.of(store)
    if to in ("jsonl", "parquet"):
        _to_file(store, query, to, where, json)
        return
    done = _to_server(store, query, to, where, how)
    if json:
        print_json(done)
    else:
        say(f"{plural(done.sent, 'record')} sent, {done.failed:,} refused, {done.left:,} left.")
        for problem in done.problems:
            say(f"  {problem}")
        if done.aside:
            before = plural(done.aside, "record")
            say(f"{before} that the server refused before: --again sends them once more.")
    if done.failed or done.left:
        raise typer.Exit(ModelUnavailableError.exit_status)


def import_(
    files: Files = None,
    form: From = "otlp",
    mlflow: Mlflow = None,
    experiment: Annotated[str, typer.Option(help="For --mlflow: the experiment.")] = "onrecord",
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


def _check_used(to: str, how: How) -> None:
    """Raises UsageError for options that this form has no use for: whoever gave them expects them
    to do something."""
    usual = How({}, "onrecord", False, True, 60.0)
    for name, option, forms in (
        ("headers", "--header", ("otlp",)),
        ("experiment", "--experiment", ("mlflow",)),
        ("again", "--again", ("otlp", "mlflow")),
        ("bodies", "--no-bodies", ("otlp",)),
        ("patience", "--patience", ("otlp",)),
    ):
        if to not in forms and getattr(how, name) != getattr(usual, name):
            raise UsageError(
                f"{option} does nothing with --to {to}",
                cure=f"It is for {' and '.join(forms)}: leave it out.",
            )


def _to_server(store: Store, query: Query, to: str, where: str | None, how: How) -> Exported:
    from onrecord.records.exchange.mlflow_traces import export_mlflow
    from onrecord.records.exchange.sending import Delivery, export_otlp

    if to == "mlflow":
        if where is None:
            cure = "Name its address: http://localhost:5000"
            raise UsageError("which MLflow server?", cure=cure)
        return export_mlflow(store, where, how.experiment, query=query, again=how.again)
    delivery = Delivery(bodies=how.bodies, patience=how.patience)
    return wait_for(
        export_otlp(
            store,
            where,
            query=query,
            headers=how.headers,
            again=how.again,
            delivery=delivery,
        )
    )


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
