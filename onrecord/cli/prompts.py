"""`onrecord prompts`: which prompts there are, what they say, what changed, and what came of it."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onrecord.cli.output import AsJson, complain, print_json, say
from onrecord.cli.prompts_facts import (
    described,
    facts_of,
    history_row,
    listed_facts,
    row,
    version_facts,
)
from onrecord.cli.records_options import examples
from onrecord.cli.records_screen import say_line, say_table
from onrecord.cli.records_store import opened
from onrecord.errors import UsageError
from onrecord.records.views.wording import flat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onrecord.prompts.library import History, Version
    from onrecord.prompts.prompt import Prompt
    from onrecord.records.views.drawing import Line

app = typer.Typer(
    help="See the prompts of a project: their texts, their versions and their calls.",
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(help="The prompt's name, or its file.", metavar="NAME", show_default=False)
]
VERSION = "A version, or its beginning, as `onrecord prompts history` shows it"


@app.command("list", epilog=examples("prompts list", "prompts list --json"))
def list_prompts(json: AsJson = False) -> None:
    """List the prompts: of the folders `prompts`, and those that were called without a file.

    Calls, cost and the last use are of all versions.
    """
    from onrecord.prompts.library import listed, project

    root = project()
    found = listed(opened(), root)
    if json:
        print_json({"prompts": [listed_facts(each, root) for each in found]})
        return
    if not found:
        say("No prompts yet. A prompt's text is prompts/NAME.md, or a function's docstring.")
        return
    heads = ("prompt", "file", "version", "model", "versions", "calls", "last used", "cost")
    say_table(heads, [row(each, root) for each in found], left=4)
    for each in found:
        if each.file is not None and each.file.problem:
            complain(f"note: {flat(each.file.problem)}")


@app.command(epilog=examples("prompts show triage", "prompts show triage 3f2a9c1b"))
def show(
    name: Name,
    version: Annotated[
        str, typer.Argument(help=f"{VERSION} (default: the current one).", show_default=False)
    ] = "",
    json: AsJson = False,
) -> None:
    """Show a prompt: its text, what its file says of it, its inputs and its demos."""
    of, chosen = _chosen(name, version)
    facts = facts_of(of, chosen)
    if json:
        print_json(facts)
        return
    from onrecord.records.views.drawing import Piece

    say_line([Piece(of.name, "bold"), Piece(f"  {facts['version']}", "dim")])
    for label, value in described(facts):
        say_line([Piece(f"  {label:<14}", "dim"), Piece(flat(value))])
    for note in facts["notes"]:
        complain(f"note: {flat(note)}")
    say()
    say(facts["text"] if facts["text"] is not None else _NOT_KEPT)
    if facts["demos"]:
        say(f"\n{facts['demos']}")


@app.command(epilog=examples("prompts diff triage", "prompts diff triage 3f2a 91bc"))
def diff(
    name: Name,
    a: Annotated[
        str, typer.Argument(help=f"{VERSION} (default: the one before).", show_default=False)
    ] = "",
    b: Annotated[
        str, typer.Argument(help="Another one (default: the current one).", show_default=False)
    ] = "",
    json: AsJson = False,
) -> None:
    """Show what changed between two versions of a prompt: words, demos and types."""
    from onrecord.prompts.library import history, label, project, version

    of = history(opened(), project(), name)
    later = version(of, b)
    if not a and len(of.versions) < 2:
        raise UsageError(
            f"there is one version of '{of.name}' only, and nothing to compare it with",
            cure=_how_versions(of),
        )
    place = of.versions.index(later)
    before = of.versions[min(place + 1, len(of.versions) - 1)]
    earlier = version(of, a) if a else before
    names = label(of, earlier), label(of, later)
    lines = list(_difference(earlier, later, names))
    if json:
        print_json({"name": of.name, "from": names[0], "to": names[1], "lines": lines})
        return
    for line in lines:
        say_line(_coloured(line))
    if not lines:
        say(f"{names[0]} and {names[1]} say the same.")


@app.command(
    epilog=examples(
        "prompts render triage --input mail='My bill is wrong'",
        "prompts render triage --inputs inputs.json --from app.py",
    )
)
def render(
    name: Name,
    version: Annotated[
        str, typer.Option("--version", help=f"{VERSION} (default: the current one).")
    ] = "",
    input: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="An input, as name=text.")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="A JSON file with inputs, {name: value}; - reads them.")
    ] = None,
    source: Annotated[
        str, typer.Option("--from", help="Where the function is: app.py or package.module.")
    ] = "",
    json: AsJson = False,
) -> None:
    """Show the messages that a prompt would send. No model is called.

    They are written from its file. What the function's types add (the form of the answer, marks
    around untrusted inputs) is there with --from, which imports the function.
    """
    from onrecord.prompts.previewing import Preview, preview

    values = _values(input or [], inputs)
    if source:
        if version:
            raise UsageError("--from shows the current version", cure="Leave out --version.")
        function = _function(source, name)
        shown = Preview(function.render(**function.inputs(values)))
    else:
        of, chosen = _chosen(name, version)
        shown = preview(of, chosen, values)
    if json:
        print_json({"messages": shown.messages, "notes": shown.notes})
        return
    from onrecord.records.views.drawing import Piece

    for message in shown.messages:
        say_line([Piece(f"# {message.role}", "bold")])
        say(message.text + "\n")
    for note in shown.notes:
        complain(f"note: {flat(note)}")


@app.command(epilog=examples("prompts history triage"))
def history(name: Name, json: AsJson = False) -> None:
    """List the versions of a prompt, the newest first: from its file, git and the records.

    Versions with equal words and other types have four digits of these behind a point.
    """
    from onrecord.prompts.library import history, label, project

    of = history(opened(), project(), name)
    if json:
        versions = [version_facts(of, each) for each in of.versions]
        print_json({"name": of.name, "versions": versions, "without_git": of.without_git})
        return
    rows = [(label(of, each), *history_row(each)) for each in of.versions]
    if rows:
        heads = ("version", "from", "first used", "last used", "calls", "failed", "cost")
        say_table(heads, rows, left=2)
    else:
        say(f"No version of {flat(of.name)} is known.")
    if of.without_git:
        complain(f"note: without git: {flat(of.without_git)}")
    if of.file is not None and of.file.problem:
        complain(f"note: {flat(of.file.problem)}")


def _chosen(name: str, beginning: str) -> tuple[History, Version]:
    from onrecord.prompts.library import history, project, version

    of = history(opened(), project(), name)
    return of, version(of, beginning)


def _function(place: str, name: str) -> Prompt[..., Any]:
    """The prompt function of a file or a module, "app.py" or "app.py:function". Its code is run, as
    any import runs it. Raises UsageError."""
    from onrecord.cli.objects import named
    from onrecord.prompts.prompt import Prompt

    whole = place if ":" in place else f"{place}:{name}"
    function = named(whole)
    if not isinstance(function, Prompt):
        raise UsageError(f"{whole} is no prompt", cure="Decorate the function with @on.prompt.")
    if function.name != name:
        raise UsageError(f"the prompt {whole} is named '{function.name}' and not '{name}'")
    return function


def _values(pairs: Sequence[str], file: Path | None) -> dict[str, Any]:
    """The inputs that the options name. Raises UsageError."""
    import json

    values: dict[str, Any] = {}
    if file is not None:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
            values = json.loads(text)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(
                f"the inputs cannot be read: {reason}", where=str(file), cure=_INPUTS
            ) from None
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"the inputs are no JSON: {error}", where=str(file), cure=_INPUTS
            ) from None
        if not isinstance(values, dict):
            raise UsageError("the inputs are no JSON object", where=str(file), cure=_INPUTS)
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"the input '{pair}' has no name", cure="Write --input name=text.")
        values[name.strip()] = value
    return values


def _how_versions(of: History) -> str:
    git = f" Git is not asked: {of.without_git}." if of.without_git else ""
    return f"Others come from calls and from commits.{git}"


def _difference(earlier: Version, later: Version, names: tuple[str, str]) -> Iterator[str]:
    """A unified diff, without line ends; of the types only where both are known."""
    from onrecord.prompts.library import whole

    if earlier.kept is None or later.kept is None:
        raise UsageError(
            _NOT_KEPT, cure="The setting bodies = true keeps it, from the next call on."
        )
    texts = [whole(each.kept).split("\n") for each in (earlier, later) if each.kept is not None]
    if earlier.kept.types and later.kept.types:
        for text, each in zip(texts, (earlier.kept, later.kept), strict=True):
            text += ["", f"<!-- types: {each.types} -->"]
    yield from difflib.unified_diff(texts[0], texts[1], *names, lineterm="")


def _coloured(line: str) -> Line:
    from onrecord.records.views.drawing import Piece, Style

    looks: dict[str, Style] = {"+": "good", "-": "bad", "@": "dim"}
    if line.startswith(("+++", "---")):
        return [Piece(line, "bold")]
    return [Piece(line, looks.get(line[:1], ""))]


_NOT_KEPT = "the text of this version was not kept"
_INPUTS = 'Name a JSON file that holds {"name": value}.'
