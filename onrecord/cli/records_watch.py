"""`onrecord records watch`."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import msgspec
import typer

from onrecord.cli.output import AsJson
from onrecord.cli.records_options import Which, options, which_of
from onrecord.cli.records_screen import say_line
from onrecord.cli.records_store import is_there, opened, told_waiting
from onrecord.records.record import Record
from onrecord.settings import Settings


@options(which=which_of)
def watch(
    context: typer.Context,
    which: Which,
    long: Annotated[
        float, typer.Option(help="Tell of calls under way after this many seconds.", min=0)
    ] = 2.0,
    json: AsJson = False,
) -> None:
    """Follow what happens in all processes of the project, live, until Ctrl-C.

    Every call is told when it ends, and after some seconds also that it is still under way. --json
    prints one JSON document a line.
    """
    from onrecord.records.views.watching import Watch

    json = json or bool(context.obj)
    try:
        begun = is_there(settings := Settings.load())
        if not begun and not json:
            typer.echo("No records yet; waiting for the first.", err=True)
        while not is_there(settings):  # the first call makes it
            time.sleep(_EVERY)
        store = opened()
        with told_waiting():
            watching = Watch(store, which.of(store), long, from_the_first=not begun)
        if not json:
            typer.echo("Watching; Ctrl-C ends it.", err=True)
        while True:
            for record in watching.news():
                _tell(record, json)
            time.sleep(_EVERY)
    except KeyboardInterrupt:
        return  # the way to end it, so no failure


def _tell(record: Record, json: bool) -> None:
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(record) + b"\n")
    else:
        _say(record)
    sys.stdout.flush()


def _say(record: Record) -> None:
    from onrecord.records.views.drawing import Piece, one_line

    at = record.ended_ns or record.started_ns
    clock = time.strftime("%H:%M:%S", time.localtime(at / 1e9))
    indent = "" if record.parent is None else "  "
    line = [Piece(f"{clock}  ", "dim"), Piece(indent), *one_line(record, time.time_ns())]
    if record.parent is None:
        line.append(Piece(f"  {record.run}", "dim"))
    say_line(line, fitting=True)


_EVERY = 0.5
