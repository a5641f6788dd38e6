"""What only people know: the questions of `audit.toml`, and the answers in it.

The questions stand beside the fields that hold their answers. An answer is a text; what is empty is
not answered. Nobody checks an answer: an audit says of each that it is stated.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec

from onrecord.arguments import several
from onrecord.errors import StorageError, UsageError
from onrecord.records import whole_file

FILE = "audit.toml"


def _asks(question: str) -> Any:
    return msgspec.Meta(description=question)


class Organisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers for the applications, and how it is organised."""

    responsible: Annotated[
        str, _asks("Who answers for these applications, and how is that person or role reached?")
    ] = ""
    incident_contact: Annotated[
        str, _asks("Whom does somebody tell that an application did harm, and how?")
    ] = ""
    incident_process: Annotated[
        str, _asks("What happens after that: who decides, within what time, who is told?")
    ] = ""
    change_process: Annotated[
        str, _asks("Who lets a new model, prompt or version into use, and on what evidence?")
    ] = ""
    rules: Annotated[
        str, _asks("Which laws and rules apply, and who has checked that they are kept?")
    ] = ""
    independent_review: Annotated[
        str, _asks("Who that did not build the applications reviews them, and how often?")
    ] = ""


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whoever makes or serves models: the part before the colon of a model's name."""

    contract: Annotated[
        str, _asks("Under which contract or licence are its models used, and since when?")
    ] = ""
    policies: Annotated[
        str, _asks("Which policies of the provider bind this use, and where do they stand?")
    ] = ""
    governance: Annotated[
        str, _asks("What does it publish on how its models are made, tested and overseen?")
    ] = ""
    changes: Annotated[
        str, _asks("How do you learn that a model changes or is shut down, and how long before?")
    ] = ""
    data_processing: Annotated[
        str, _asks("Which agreement on data processing holds, and where is data processed?")
    ] = ""
    data_use: Annotated[
        str, _asks("What of what it is sent does it keep, for how long, and does it train on it?")
    ] = ""


class Application(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A flow or prompt that people start with, by its name."""

    intended_use: Annotated[str, _asks("What is it for, and who uses it?")] = ""
    prohibited_uses: Annotated[str, _asks("What must it not be used for?")] = ""
    affected: Annotated[str, _asks("Whom does what it says affect, besides those who ask it?")] = ""
    harm: Annotated[str, _asks("What is the worst that a wrong answer does?")] = ""
    oversight: Annotated[
        str, _asks("Who looks at its answers before they count, and who can stop it?")
    ] = ""
    disclosure: Annotated[
        str, _asks("How do people learn that a model answers, and what it cannot do?")
    ] = ""
    personal_data: Annotated[
        str, _asks("Which personal data goes in, and on what legal ground?")
    ] = ""
    gate: Annotated[
        str, _asks("What must a new version show before it is used? (A gate, where it is checked.)")
    ] = ""


class Answers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All answers of a project. `place` is the file they are from, empty where there is none.

    `ignore` names what is no application of theirs (a trial, a demonstration): `*` stands for any
    letters. An audit says what it left out.
    """

    organisation: Organisation = Organisation()
    providers: dict[str, Provider] = {}
    applications: dict[str, Application] = {}
    ignore: tuple[str, ...] = ()
    place: str = ""

    def __post_init__(self) -> None:
        several(self.ignore, "the names under `ignore`", texts=True)

    def ignoring(self, name: str) -> tuple[str, ...]:
        """Those of `ignore` that stand for an application's name."""
        return tuple(each for each in self.ignore if fnmatch.fnmatchcase(name, each))

    @classmethod
    def read(cls, path: str | Path) -> Answers:
        """The answers of a file. Raises UsageError, naming the closest key there is."""
        place = Path(path)
        try:
            values = tomllib.loads(place.read_text(encoding="utf-8"))
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"the answers cannot be read: {reason}", where=str(place)) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"the answers are not valid TOML: {error}", where=str(place)) from None
        _check(values, str(place))
        try:
            found = msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"an answer has the wrong type: {error}",
                where=str(place),
                cure="An answer is a text between quotes.",
            ) from None
        return msgspec.structs.replace(found, place=place.name)


Asked = TypeVar("Asked", Organisation, Provider, Application)


def questions(of: type[Asked]) -> dict[str, str]:
    """The questions of a table, by the names of its fields."""
    hints = get_type_hints(of, include_extras=True)
    return {name: hints[name].__metadata__[0].description for name in of.__struct_fields__}


def remote_only() -> frozenset[str]:
    """The questions that a model in this process does not raise: it is sent nothing."""
    return frozenset({"data_processing", "data_use"})


def template(providers: Iterable[tuple[str, bool]], applications: Iterable[str]) -> str:
    """An `audit.toml` without answers: every question as a comment. `providers`: names, and whether
    they are sent anything."""
    tables = [
        _HEAD,
        _table("organisation", questions(Organisation)),
    ]
    for name, remote in providers:
        asked = questions(Provider)
        left = {} if remote else remote_only()
        kept = {each: text for each, text in asked.items() if each not in left}
        tables.append(_table(f"providers.{_quoted(name)}", kept))
    tables += [
        _table(f"applications.{_quoted(name)}", questions(Application)) for name in applications
    ]
    return "\n".join(tables)


def init(path: str | Path, text: str) -> Path:
    """Write a new file of questions. Raises UsageError where there is one, StorageError."""
    place = Path(path)
    try:
        with whole_file.alone(place):
            if place.exists():
                raise UsageError(
                    "there is a file of answers already, and it stays as it is",
                    where=str(place),
                    cure="`onrecord audit` names what is not answered in it.",
                )
            whole_file.write_bytes(place, text.encode("utf-8", "replace"))
    except OSError as error:
        raise StorageError(
            f"the questions cannot be written: {error.strerror or error}", where=str(place)
        ) from None
    return place


def _check(values: dict[str, Any], where: str) -> None:
    _check_names(values, (*_TABLES, "ignore"), where, "")
    _check_ignored(values.get("ignore", []), where)
    for name, table in values.items():
        if name == "ignore":
            continue
        if not isinstance(table, dict):
            raise UsageError(f"'{name}' is a table", where=where, cure=f"Write [{name}].")
        kind = _TABLES[name]
        if name == "organisation":
            _check_names(table, kind.__struct_fields__, where, f" in [{name}]")
            continue
        for subject, answers in table.items():
            if not isinstance(answers, dict):
                raise UsageError(
                    f"'{subject}' in [{name}] is a table, one for each of the {name}",
                    where=where,
                    cure=f"Write [{name}.{_quoted(subject)}].",
                )
            place = f" in [{name}.{_quoted(subject)}]"
            _check_names(answers, kind.__struct_fields__, where, place)


def _check_ignored(names: Any, where: str) -> None:
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise UsageError(
            "`ignore` is a list of names", where=where, cure='Write ignore = ["NAME", "test_*"].'
        )


def _check_names(found: Iterable[str], known: Iterable[str], where: str, place: str) -> None:
    names = list(known)
    for name in found:
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"Did you mean '{close[0]}'?" if close else f"There are {', '.join(names)}."
            raise UsageError(f"there is no '{name}'{place}", where=where, cure=hint)


def _table(name: str, asked: dict[str, str]) -> str:
    lines = [f"[{name}]"]
    for field, question in asked.items():
        lines += [f"# {question}", f'{field} = ""']
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    """A name as a key of TOML."""
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


_TABLES: dict[str, Any] = {
    "organisation": Organisation,
    "providers": Provider,
    "applications": Application,
}
_HEAD = """\
# What only people know, for `onrecord audit`. An answer is a text between quotes (three of them for
# several lines); what is empty is a gap. An audit repeats answers as stated: it checks none.

# Which flows are no applications: trials, demonstrations? A * stands for any letters.
# ignore = ["NAME", "test_*"]
"""
