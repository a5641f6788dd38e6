"""`onrecord dataset`: show, check, rewrite and split a dataset, or make one of questions."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from onrecord.cli.objects import named
from onrecord.cli.output import AsJson, Where, complain, plural, print_json, say
from onrecord.cli.records_options import options
from onrecord.errors import LoadError, UsageError
from onrecord.records.views.wording import flat, shortened

if TYPE_CHECKING:
    from onrecord.evaluation.dataset import Dataset

app = typer.Typer(
    help="Look at evaluation data, check it, split it, make it.", no_args_is_help=True
)

Place = Annotated[
    str,
    typer.Argument(
        metavar="PLACE",
        help="A dataset's name, a file (.jsonl, .csv, .tsv, .parquet), or a folder of `datasets`.",
        show_default=False,
    ),
]


def _column(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Which columns", show_default=False)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table are which part of a case."""

    input: Annotated[
        list[str] | None, _column("The column of the input. Several make an object: again.")
    ] = None
    expected: Annotated[
        list[str] | None, _column("The column of what is expected. Several are alternatives.")
    ] = None
    id: Annotated[str | None, _column("The column of the id.")] = None
    any_of: Annotated[
        bool, _column("What is expected is a list of which any is right.", "--any-of")
    ] = False

    def named(self) -> dict[str, Any] | None:
        """As `Dataset.read` takes them; None where nothing was said."""
        columns: dict[str, Any] = {}
        if self.input:
            columns["input"] = self.input[0] if len(self.input) == 1 else self.input
        if self.expected:
            one = self.expected[0] if len(self.expected) == 1 else self.expected
            columns["expected"] = {"any_of": one} if self.any_of or len(self.expected) > 1 else one
        if self.id:
            columns["id"] = self.id
        return columns or None


@app.command()
@options(columns=Columns)
def show(
    place: Place,
    columns: Columns,
    where: Where = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="So many cases.")] = 5,
    json: AsJson = False,
) -> None:
    """Show the first cases of a dataset, its version, and what its metadata hold."""
    cases = _read(place, columns)
    if where is not None:
        cases = cases.where(where)
    fields = _fields(cases)
    expecting = sum(case.expected is not None for case in cases)
    if json:
        facts = {"cases": len(cases), "version": cases.version, "expecting": expecting}
        print_json({**facts, "metadata": fields, "first": cases.cases[:limit]})
        return
    said = f"{cases.name}: {plural(len(cases), 'case')}, version {cases.version[:8]}; "
    say(f"{said}{expecting:,} say what is expected.")
    for name, values in fields.items():
        say(f"  {flat(name)}: {plural(values['different'], 'value')}{_usual(values)}")
    for case in cases.cases[:limit]:
        say()
        say(flat(case.id))
        say(f"   input     {_short(case.input)}")
        if case.expected is not None:
            say(f"   expected  {_short(case.expected)}")
        if case.metadata:
            say(f"   metadata  {_short(case.metadata)}")


@app.command()
@options(columns=Columns)
def validate(
    place: Place,
    columns: Columns,
    input_type: Annotated[
        str | None, typer.Option(help="What each input is: FILE.py:TYPE, or a schema.json.")
    ] = None,
    expected_type: Annotated[
        str | None, typer.Option(help="The same for what is expected.", show_default=False)
    ] = None,
    json: AsJson = False,
) -> None:
    """Name every row that is no case, or that differs from the others; exit with 3 if there is one.

    A row is no case without an input, with the id of another one, or with cells that do not fit the
    header; a file without a case is a problem, too. A case differs where its input, what it expects
    or a metadata field is another kind of value than in most cases: or, with a type or JSON Schema,
    where it does not fit.
    """
    from onrecord.evaluation.dataset import found
    from onrecord.evaluation.datasets.reading import surveyed
    from onrecord.evaluation.datasets.validating import validate as unfit

    forms = {"input": _form(input_type), "expected": _form(expected_type), "metadata": None}
    cases, places, broken, cure = surveyed(found(place), columns.named())
    wrong = sorted([*broken, *unfit(cases, places, forms)], key=lambda each: each.number)
    if json:
        print_json({"cases": len(cases), "problems": wrong})
    else:
        for each in wrong[:_SHOWN]:
            say(str(each))
        if len(wrong) > _SHOWN:
            say(f"... and {len(wrong) - _SHOWN:,} more; --json names them all")
        if not wrong:
            say(f"{place}: {plural(len(cases), 'case')}, nothing wrong.")
    if wrong:
        complain(f"error: {plural(len(wrong), 'problem')} in {place}{f'. {cure}' if cure else ''}")
        raise typer.Exit(LoadError.exit_status)


@app.command()
@options(columns=Columns)
def save(
    place: Place,
    out: Annotated[
        str, typer.Argument(metavar="NEW", help="A file (.jsonl) or a name.", show_default=False)
    ],
    columns: Columns,
    where: Where = None,
    json: AsJson = False,
) -> None:
    """Write a dataset as JSON Lines, with the parts of its cases under their own names.

    A table whose columns are called otherwise is then read by `onrecord evaluate`. For example:
    `onrecord dataset save questions.csv questions.jsonl --input question --expected answer`
    """
    cases = _read(place, columns)
    if where is not None:
        cases = cases.where(where)
    path = cases.save(out)
    if json:
        print_json({"cases": len(cases), "version": cases.version, "path": path})
        return
    say(f"{path}: {plural(len(cases), 'case')}, version {cases.version[:8]}.")


@app.command()
@options(columns=Columns)
def split(
    place: Place,
    columns: Columns,
    part: Annotated[
        list[str],
        typer.Option("--part", "-p", help="NAME=SHARE: --part train=0.7 --part test=0.3."),
    ],
    by: Annotated[
        list[str] | None, typer.Option(help="A metadata field whose values stay together.")
    ] = None,
    seed: int = 0,
    exact: Annotated[
        bool, typer.Option("--exact", help="Meet the shares; cases move when others are added.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder for NAME.jsonl.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Cut a dataset into parts: equal and nearly equal inputs, runs and sources stay together.

    Where a case goes depends on its input (or source) and the seed alone: it stays there when
    others are added. Without --out it only says how large the parts would be.
    """
    cases = _read(place, columns)
    parts = cases.split(_shares(part), seed=seed, by=by or (), exact=exact)
    written = {}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        written = {name: each.save(out / f"{name}.jsonl") for name, each in parts.items()}
    if json:
        facts = {"groups": parts.groups, "largest": parts.largest, "files": written}
        print_json({"sizes": parts.sizes, **facts})
        return
    say(str(parts))
    for path in written.values():
        say(f"Written: {path}")


@app.command()
def generate(
    collection: Annotated[str, typer.Argument(help="A collection's name.", show_default=False)],
    out: Annotated[str, typer.Option("--out", "-o", help="A file (.jsonl) or a dataset's name.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="So many questions.")] = 50,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model that writes them.")
    ] = None,
    unanswerable: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The share that no document answers.")
    ] = 0.2,
    seed: int = 0,
    json: AsJson = False,
) -> None:
    """Make questions about a collection, with their answers and where these stand.

    A model writes them, and a question counts where its quotation stands in the document. Without
    --model they are gaps in sentences and headings: good to see that a search works at all, and
    easier than what people ask. metadata.made says which.
    """
    from onrecord.evaluation.datasets.generating import generate as perform

    made = perform.run(collection, count, model, seed=seed, unanswerable=unanswerable)
    path = made.save(out)
    ways = Counter(case.metadata["made"] for case in made)
    without = sum(case.metadata["unanswerable"] for case in made)
    if json:
        facts = {"cases": len(made), "unanswerable": without, "made": ways}
        print_json({**facts, "version": made.version, "left_out": made.left_out, "path": path})
        return
    told = ", ".join(f"{count:,} {way}" for way, count in ways.most_common())
    say(f"{path}: {plural(len(made), 'case')} ({told}), {without:,} without an answer.")
    for reason, number in sorted(made.left_out.items(), key=lambda each: -each[1]):
        say(f"left out: {number:,} ({reason})")


def _read(place: str, columns: Columns) -> Dataset:
    from onrecord.evaluation.dataset import Dataset

    return Dataset.read(place, columns=columns.named())


def _fields(cases: Dataset) -> dict[str, dict[str, Any]]:
    """Of each metadata field how many different values there are, and the most frequent ones."""
    counts: dict[str, Counter[str]] = {}
    for case in cases:
        for name, value in case.metadata.items():
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            counts.setdefault(name, Counter())[shortened(flat(text), 40)] += 1
    return {
        name: {"different": len(values), "most": values.most_common(3)}
        for name, values in counts.items()
    }


def _usual(values: dict[str, Any]) -> str:
    """The values of a field that come more than once, and "…" where there are others."""
    shown = [f"{value} ({count:,})" for value, count in values["most"] if count > 1]
    if not shown:
        return ""
    return f": {', '.join(shown)}{', …' if len(shown) < values['different'] else ''}"


def _form(place: str | None) -> Any:
    """A JSON Schema from a file, or a type from the user's code."""
    if place is None or not place.endswith(".json"):
        return None if place is None else named(place)
    try:
        return msgspec.json.decode(Path(place).read_bytes(), type=dict)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"the JSON Schema cannot be read: {error}", where=place) from None


def _shares(parts: list[str]) -> dict[str, float]:
    """The share of each part; its name becomes that of a file."""
    shares: dict[str, float] = {}
    for part in parts:
        name, _, share = part.partition("=")
        if name in shares:
            raise UsageError(f"two parts are named '{name}'", cure="Give each a name of its own.")
        if not _PART.fullmatch(name):
            raise UsageError(
                f"'{part}' names no part",
                cure="A name has letters, digits, '-', '_' and '.', as that of a file.",
            )
        try:
            shares[name] = float(share)
        except ValueError:
            raise UsageError(
                f"'{part}' is no part", cure="Write NAME=SHARE: --part train=0.7 --part test=0.3."
            ) from None
    return shares


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return shortened(flat(text), 200)


_SHOWN = 50
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
