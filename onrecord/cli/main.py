"""The command line's entry: which commands there are, and how an error ends one."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from onrecord import __version__
from onrecord.cli import answers, collections, demo, records
from onrecord.errors import OnrecordError, StorageError

app = typer.Typer(
    name="onrecord",
    help="LLM applications, on the record: ingest documents, search them, ask them, and see "
    "every call that was made.",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"onrecord {__version__}")
        raise typer.Exit


app.command()(collections.ingest)
app.command()(collections.search)
app.command()(answers.ask)
app.add_typer(records.app, name="records")
app.command()(demo.demo)


def main() -> None:
    """Run the command line. Its exit status tells how it went; no mistake shows a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app()
    except OnrecordError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
    except OSError as error:  # no room for the output, or no working folder any more
        where = f" ({error.filename})" if error.filename else ""
        typer.echo(f"error: {error.strerror or error}{where}", err=True)
        sys.exit(StorageError.exit_status)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            typer.echo("error: interrupted; what was not finished was not kept", err=True)
        raise


# What a shell reports for a process that Ctrl-C has ended; typer exits with it, too.
_INTERRUPTED = 130
