"""The command line's entry: which commands there are, and how an error ends one."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated, Any

import typer

from onrecord import __version__
from onrecord.cli import (
    answers,
    audit,
    collections,
    dataset,
    demo,
    evaluate,
    experiments,
    models,
    models_compare,
    models_map,
    models_tokens,
    prompts,
    records,
    serve,
    tasks,
)
from onrecord.cli.output import complain
from onrecord.errors import OnrecordError, StorageError, UsageError

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
app.command()(tasks.task)
app.command()(evaluate.evaluate)
app.add_typer(experiments.app, name="experiments")
app.add_typer(dataset.app, name="dataset")
app.command()(audit.audit)
models.app.command("compare")(models_compare.compare)
models.app.command("tokens")(models_tokens.show_tokens)
models.app.command("map")(models_map.draw_map)
app.add_typer(models.app, name="models")
app.add_typer(prompts.app, name="prompts")
app.add_typer(records.app, name="records")
app.command()(serve.serve)
app.command()(demo.demo)


def main() -> None:
    """Run the command line. Its exit status tells how it went; no mistake shows a traceback."""
    heard = sys.stdout is not None
    _open_closed_streams()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        if not heard:
            raise UsageError(
                "standard output is closed, so nobody would see what this prints",
                cure="Leave it open, or send it to /dev/null.",
            )
        sys.exit(app(standalone_mode=False))
    except _Mistyped as error:
        _tell_mistyped(error)
        sys.exit(UsageError.exit_status)
    except typer.Abort:  # at a question
        complain("error: nobody answered, so nothing was done")
        sys.exit(1)
    except OnrecordError as error:
        complain(f"error: {error}")
        sys.exit(error.exit_status)
    except OSError as error:  # no room for the output, or no working folder any more
        where = f" ({error.filename})" if error.filename else ""
        complain(f"error: {error.strerror or error}{where}")
        sys.exit(StorageError.exit_status)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            complain("error: interrupted; what was not finished was not kept")
        raise


def _tell_mistyped(error: Any) -> None:
    """One sentence, as for every other mistake, and where the options are told."""
    said = error.format_message().replace("Value error, ", "").strip().rstrip(".")
    if not said:  # no command was named, and the help is printed already
        return
    command = error.ctx.command_path if getattr(error, "ctx", None) else "onrecord"
    end = "" if said.endswith("?") else "."
    complain(f"error: {said[0].lower()}{said[1:]}{end} See `{command} --help`.")


def _open_closed_streams() -> None:
    """Give the numbers of closed standard streams to /dev/null. Otherwise the next file that is
    opened gets them, a database among others, and whoever writes there writes into it."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            number = os.open(os.devnull, os.O_RDONLY if name == "stdin" else os.O_WRONLY)
            setattr(sys, name, os.fdopen(number, mode))


# What typer makes of a command that cannot be read: click's exception, or typer's own copy of it.
_Mistyped: type[Exception] = next(
    each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException"
)
# What a shell reports for a process that Ctrl-C has ended; typer exits with it, too.
_INTERRUPTED = 130
