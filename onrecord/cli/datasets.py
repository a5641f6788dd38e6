"""`onrecord records rows` and `onrecord records dataset`: what was recorded, to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from onrecord.cli.output import AsJson, plural, print_json, say
from onrecord.cli.records_options import Which, options, which_of
from onrecord.cli.records_store import opened
from onrecord.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(help="Make training rows and datasets from records.", no_args_is_help=True)

Format = Annotated[
    str, typer.Option(help="chat, prompt_completion, completion or preference (from corrections).")
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="The JSON Lines file to write.", show_default=False)
]
Place = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The dataset's name, or a file (cases.jsonl).", show_default=False
    ),
]


@app.command()
@options(which=which_of)
def rows(which: Which, out: Out, format: Format = "chat", json: AsJson = False) -> None:
    """Write training rows from model calls, as `datasets` and trl load them.

    Left out are answers that were repaired, cut off, redacted or called bad; equal questions count
    once. --format preference sets corrections (feedback) against the answers they correct.
    """
    from onrecord.evaluation.rows import Format as Formats
    from onrecord.evaluation.rows import rows as training_rows
    from onrecord.evaluation.rows import write_rows

    if format not in get_args(Formats):
        raise UsageError(
            f"there is no format '{format}'", cure=f"Choose from {', '.join(get_args(Formats))}."
        )
    store = opened()
    chosen = cast("Formats", format)
    made = training_rows(which.of(store), format=chosen, store=store)
    count = write_rows(out, made)
    if json:
        print_json({"rows": count, "left_out": made.left_out, "path": out})
        return
    say(f"{out}: {plural(count, 'row')} ({format}).")
    _say_left_out(made.left_out)


@app.command()
@options(which=which_of)
def dataset(which: Which, place: Place, json: AsJson = False) -> None:
    """Save the outermost flows (or --kind) that ended well as a dataset: a case for each question.

    A case expects the output, or its correction by feedback. A dataset with a name is kept in
    .onrecord/datasets/, and loses its cases when their records are erased.
    """
    from onrecord.evaluation.dataset import Dataset

    store = opened()
    made = Dataset.from_records(which.of(store), store=store)
    path = made.save(place)
    if json:
        facts = {"cases": len(made), "version": made.version, "left_out": made.left_out}
        print_json({**facts, "path": path})
        return
    say(f"{path}: {plural(len(made), 'case')}, version {made.version[:8]}.")
    _say_left_out(made.left_out)


def _say_left_out(reasons: Mapping[str, int]) -> None:
    for reason, count in sorted(reasons.items(), key=lambda each: -each[1]):
        say(f"left out: {count:,} ({reason})")
