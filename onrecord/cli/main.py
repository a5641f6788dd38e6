"""The command line's entry: which commands there are, and how an error ends one."""

from __future__ import annotations

import logging
import os
import sys

import click
import typer

from onrecord.cli import answers, collections, demo, records
from onrecord.errors import OnrecordError

app = typer.Typer(
    name="onrecord",
    help="LLM applications, on the record: ingest documents, search them, ask them, and see "
    "every call that was made.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(collections.ingest)
app.command()(collections.search)
app.command()(answers.ask)
app.add_typer(records.app, name="records")
app.command()(demo.demo)


def main() -> None:
    """Run the command line. The exit status tells how it went; a mistake never shows a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        status = app(standalone_mode=False)
    except OnrecordError as error:
        status = _failed(str(error), error.exit_status)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        status = _failed("interrupted; what was not finished was not kept", _INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has read enough; Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status if isinstance(status, int) else 0)


_INTERRUPTED = 130


def _failed(message: str, status: int) -> int:
    typer.echo(f"error: {message}", err=True)
    return status
