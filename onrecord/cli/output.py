"""What the commands print: one JSON document, or words for a person."""

from __future__ import annotations

import sys
from typing import IO, Annotated, Any

import msgspec
import typer

from onrecord.records.record import plain
from onrecord.records.views.wording import visible

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")
]
CollectionName = Annotated[
    str | None,
    typer.Option("--collection", "-c", help="Which collection (default: the settings')."),
]
Where = Annotated[
    str | None,
    typer.Option("--where", "-w", help="Filter by metadata: 'status = \"Final\" and year > 2019'."),
]


def say(text: str = "") -> None:
    """Print a line for a person.

    What stands in a document must not command the terminal: control characters are escaped.
    """
    typer.echo(printable(text))


def complain(text: str) -> None:
    """Print a line about what went wrong, on standard error."""
    typer.echo(printable(text, sys.stderr), err=True)


def printable(text: str, stream: IO[str] | None = None) -> str:
    """A text as a stream (default: standard output) can show it: nothing in it commands the
    terminal, and an encoding without line-drawing characters gets plain ones."""
    text = visible(text)
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def print_json(value: Any) -> None:
    """Print a value as one indented JSON document."""
    text = msgspec.json.format(msgspec.json.encode(plain(value)), indent=2)
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.flush()


def plural(number: int, noun: str) -> str:
    """A count with its noun: "1 document", "2 documents", "1,204 documents"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# One character for one: columns stay where they are.
_PLAIN = str.maketrans("│├└─…→✗↺▕▏▎▍▌▐▋▊▉█░┊“”µ·↵⇥–", '||`-~>x<||||######:!""u.$>-')
