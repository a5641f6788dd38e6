"""What `onrecord prompts` tells of prompts and their versions: as lines, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onrecord.records.views.wording import bill

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from onrecord.prompts.library import History, Listed, Version
    from onrecord.prompts.template import Template
    from onrecord.prompts.uses import Use
    from onrecord.prompts.versions import Kept


def row(each: Listed, root: Path) -> tuple[str, ...]:
    """A prompt as a line of the list."""
    file, uses = each.file, each.uses
    words = file.words if file is not None else uses[0].version
    return (
        each.name,
        _place(each, root),
        words[:8] or "?",
        _model(each) or "",
        f"{_versions(each):,}",
        f"{sum(use.calls for use in uses):,}",
        _moment(max((use.last_ns for use in uses), default=0)),
        _cost(uses),
    )


def _place(each: Listed, root: Path) -> str:
    from onrecord.prompts.library import shortest

    if each.file is not None:
        return shortest(each.file.path, root)
    return "(Onrecord's own)" if each.built_in else "(docstring)"


def listed_facts(each: Listed, root: Path) -> dict[str, Any]:
    """A prompt of the list, as JSON."""
    from onrecord.prompts.library import shortest

    file, uses = each.file, each.uses
    return {
        "name": each.name,
        "file": None if file is None else shortest(file.path, root),
        "built_in": each.built_in,
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


def facts_of(of: History, chosen: Version) -> dict[str, Any]:
    """All that `show` tells of a version, as JSON."""
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
        "notes": _notes(template, kept),
    }


def _notes(template: Template | None, kept: Kept | None) -> tuple[str, ...]:
    """What there is to know of a text: what is not honoured, and arguments it does not show."""
    from onrecord.errors import PromptError
    from onrecord.prompts.unused import check_shown
    from onrecord.prompts.versions import arguments_of

    if template is None or kept is None:
        return ()
    try:
        unshown = "" if template.is_empty else check_shown(template, arguments_of(kept))
    except PromptError as error:
        unshown = str(error)
    return tuple(filter(None, (*template.parts.notes, unshown)))


def described(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The lines above a text: a label and its value."""
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


def version_facts(of: History, each: Version) -> dict[str, Any]:
    """A version of the history, as JSON."""
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


def history_row(each: Version) -> tuple[str, ...]:
    """A version as a line of the history, without its label."""
    from onrecord.records.views.drawing import moment_of

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
    from onrecord.records.views.drawing import moment_of

    return moment_of(ns) if ns else ""


def _cost(uses: Sequence[Use]) -> str:
    if not uses:
        return ""
    return bill(sum(use.cost for use in uses), sum(use.unpriced for use in uses))
