"""`onrecord prompts`: which prompts there are, what they say, what changed, and what came of it."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onrecord.cli.output import AsJson, complain, plural, print_json, say
from onrecord.cli.records_options import examples
from onrecord.cli.records_screen import say_line, say_table
from onrecord.cli.records_store import opened
from onrecord.errors import UsageError
from onrecord.records.wording import bill, flat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onrecord.prompts.library import History, Listed, Version
    from onrecord.prompts.uses import Use
    from onrecord.records.drawing import Line

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
        print_json({"prompts": [_listed_facts(each, root) for each in found]})
        return
    if not found:
        say("No prompts yet. A prompt's text is prompts/NAME.md, or a function's docstring.")
        return
    heads = ("prompt", "file", "version", "model", "versions", "calls", "last used", "cost")
    say_table(heads, [_row(each, root) for each in found], left=4)
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
    facts = _facts(of, chosen)
    if json:
        print_json(facts)
        return
    from onrecord.records.drawing import Piece

    say_line([Piece(of.name, "bold"), Piece(f"  {facts['version']}", "dim")])
    for label, value in _described(facts):
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
        "prompts render triage --inputs inputs.json --from app",
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
        str, typer.Option("--from", help="The module with the function: package.module.")
    ] = "",
    json: AsJson = False,
) -> None:
    """Show the messages that a prompt would send. No model is called.

    They are written from its file. What the function's types add (the form of the answer, marks
    around untrusted inputs) is there with --from, which imports the function.
    """
    from onrecord.prompts.previewing import Preview, imported, preview

    values = _values(input or [], inputs)
    if source:
        if version:
            raise UsageError("--from shows the current version", cure="Leave out --version.")
        function = imported(source, name)
        shown = Preview(function.render(**function.inputs(values)))
    else:
        of, chosen = _chosen(name, version)
        shown = preview(of, chosen, values)
    if json:
        print_json({"messages": shown.messages, "notes": shown.notes})
        return
    from onrecord.records.drawing import Piece

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
        versions = [_version_facts(of, each) for each in of.versions]
        print_json({"name": of.name, "versions": versions, "without_git": of.without_git})
        return
    rows = [(label(of, each), *_history_row(each)) for each in of.versions]
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
            raise UsageError(f"the inputs cannot be read: {reason}", where=str(file)) from None
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the inputs are no JSON: {error}", where=str(file)) from None
        if not isinstance(values, dict):
            raise UsageError("the inputs are no JSON object", where=str(file), cure=_INPUTS)
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"the input '{pair}' has no name", cure="Write --input name=text.")
        values[name.strip()] = value
    return values


def _row(each: Listed, root: Path) -> tuple[str, ...]:
    from onrecord.prompts.library import shortest

    file, uses = each.file, each.uses
    words = file.words if file is not None else uses[0].version
    return (
        each.name,
        "(docstring)" if file is None else shortest(file.path, root),
        words[:8] or "?",
        _model(each) or "",
        f"{_versions(each):,}",
        f"{sum(use.calls for use in uses):,}",
        _moment(max((use.last_ns for use in uses), default=0)),
        _cost(uses),
    )


def _listed_facts(each: Listed, root: Path) -> dict[str, Any]:
    from onrecord.prompts.library import shortest

    file, uses = each.file, each.uses
    return {
        "name": each.name,
        "file": None if file is None else shortest(file.path, root),
        "version": (file.words if file is not None else uses[0].version) or None,
        "model": _model(each),
        "versions": _versions(each),
        "calls": sum(use.calls for use in uses),
        "failed": sum(use.failed for use in uses),
        "last_used_ns": max((use.last_ns for use in uses), default=None),
        "cost": sum(use.cost for use in uses),
        "unpriced": sum(use.unpriced for use in uses),
        "problem": file.problem if file is not None else "",
    }


def _versions(each: Listed) -> int:
    """How many versions are there or were called."""
    from onrecord.prompts.versions import HALF

    called = {use.version for use in each.uses}
    words = {version[:HALF] for version in called}
    return len(called) + (each.file is not None and each.file.words not in words)


def _model(each: Listed) -> str | None:
    """The model its file names, else the one that answered last."""
    template = each.file.template if each.file is not None else None
    if template is not None and template.front.model:
        return template.front.model
    return next((use.models[0] for use in each.uses if use.models), None)


def _facts(of: History, chosen: Version) -> dict[str, Any]:
    from onrecord.prompts.library import label, project, shortest, template_of
    from onrecord.prompts.reading import demos_of, demos_path

    template, kept = template_of(of, chosen), chosen.kept
    front: dict[str, Any] = {}
    count = 0
    if template is not None and kept is not None:
        import msgspec

        front = {
            name: value
            for name, value in msgspec.structs.asdict(template.front).items()
            if value not in (None, "", (), {}, False)
        }
        demos = demos_of(template, demos_path(template), kept.demos or None)
        count = len(demos.demos) if demos is not None else 0
    return {
        "name": of.name,
        "version": label(of, chosen),
        "id": chosen.id,
        "file": None if of.file is None else shortest(of.file.path, project()),
        "current": chosen.current,
        "front": front,
        "types": (kept.types or None) if kept else None,
        "inputs": template.variables if template is not None else None,
        "demo_count": count,
        "text": kept.text if kept else None,
        "docstring": kept.docstring if kept else "",
        "demos": kept.demos if kept else "",
        "notes": template.parts.notes if template is not None else (),
    }


def _described(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    import json

    if facts["file"]:
        yield "file", facts["file"] + ("" if facts["current"] else " (as it was)")
    else:
        yield "file", "none: the text is the docstring of a function"
    for name, value in facts["front"].items():
        if name != "demos":
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if facts["inputs"] is not None:
        yield "inputs", ", ".join(facts["inputs"]) or "none"
    if facts["types"]:
        yield "types", facts["types"]
    if facts["docstring"]:
        yield "docstring", facts["docstring"]
    if facts["demo_count"]:
        choice = facts["front"].get("demos")
        how = choice if isinstance(choice, dict) else {}
        said = [f"{name} {value}" for name, value in how.items() if name != "file"]
        yield "demos", ", ".join([str(facts["demo_count"]), *said])


def _version_facts(of: History, each: Version) -> dict[str, Any]:
    from onrecord.prompts.library import label

    use = each.use
    return {
        "version": label(of, each),
        "id": each.id,
        "current": each.current,
        "first_used_ns": use.first_ns if use else None,
        "last_used_ns": use.last_ns if use else None,
        "calls": use.calls if use else 0,
        "failed": use.failed if use else 0,
        "cost": use.cost if use else 0,
        "unpriced": use.unpriced if use else 0,
        "models": use.models if use else (),
        "commits": [commit._asdict() for commit in each.commits],
    }


def _history_row(each: Version) -> tuple[str, ...]:
    from onrecord.records.drawing import moment_of

    places = ["the file"] if each.current else []
    if each.commits:
        commit = each.commits[0]
        places.append(f"{commit.id[:8]} {moment_of(commit.at_ns)[:10]} {commit.subject}")
    use = each.use
    if use is None:
        return ", ".join(places), "", "", "0", "0", ""
    return (
        ", ".join(places) or "the records",
        _moment(use.first_ns),
        _moment(use.last_ns),
        f"{use.calls:,}",
        f"{use.failed:,}",
        _cost((use,)),
    )


def _moment(ns: int) -> str:
    from onrecord.records.drawing import moment_of

    return moment_of(ns) if ns else ""


def _cost(uses: Sequence[Use]) -> str:
    if not uses:
        return ""
    return bill(sum(use.cost for use in uses), sum(use.unpriced for use in uses))


def _how_versions(of: History) -> str:
    git = f" Git is not asked: {of.without_git}." if of.without_git else ""
    return f"Others come from calls and from commits.{git}"


def _difference(earlier: Version, later: Version, names: tuple[str, str]) -> Iterator[str]:
    """A unified diff, without line ends; of the types only where both are known."""
    from onrecord.prompts.library import whole

    if earlier.kept is None or later.kept is None:
        raise UsageError(_NOT_KEPT, cure="The setting bodies = true keeps it, from the next call on.")
    texts = [whole(each.kept).split("\n") for each in (earlier, later) if each.kept is not None]
    if earlier.kept.types and later.kept.types:
        for text, each in zip(texts, (earlier.kept, later.kept), strict=True):
            text += ["", f"<!-- types: {each.types} -->"]
    yield from difflib.unified_diff(*texts, *names, n=3, lineterm="")


def _coloured(line: str) -> Line:
    from onrecord.records.drawing import Piece, Style

    looks: dict[str, Style] = {"+": "good", "-": "bad", "@": "dim"}
    if line.startswith(("+++", "---")):
        return [Piece(line, "bold")]
    return [Piece(line, looks.get(line[:1], ""))]


_NOT_KEPT = "the text of this version was not kept"
_INPUTS = 'Write {"name": value}.'
