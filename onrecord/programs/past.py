"""The past of a run: its records, held by one process that goes on with it, and its arguments."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from onrecord.errors import ResumeError, UsageError
from onrecord.programs.history import History
from onrecord.programs.holding import Hold
from onrecord.programs.pausing import stop
from onrecord.programs.restoring import Unrestorable, restored
from onrecord.records.call import RESUMED, asked_key, type_note
from onrecord.records.outlining import as_before
from onrecord.records.record import Record, pack, plain
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.records.store import Store


class Arguments(NamedTuple):
    """What a flow is called with again; `recorded` is the same by name, as it stands on record.

    `differ`: they are not what the run was begun with.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    recorded: dict[str, Any]
    differ: bool


class Past:
    """What the store has of a run. No other process goes on with it until `release`."""

    def __init__(
        self,
        settings: Settings,
        history: History,
        notes: Mapping[str, str],
        hold: Hold,
        erased: bool,
    ) -> None:
        self._settings = settings
        self._hold = hold
        self.history = history
        self.notes = notes
        """The types of objects that versions of functions have returned without naming them."""
        self.erased = erased
        """Whether records of the run were erased."""

    @classmethod
    def take(cls, settings: Settings, run: str) -> Past:
        """The past of a run, given by any beginning of its id. Raises ResumeError where another
        process goes on with it, UnknownNameError where there is no such run."""
        from onrecord.records.erasing.holes import erased_note
        from onrecord.records.store import Store

        store = Store.open(settings)
        try:
            whole = store.run_of(run)
            hold = Hold(settings, whole)
            try:
                stop(whole)
                _wait_for_branches(store, whole)
                records = store.run(whole)
                erased = store.source(erased_note(whole)) is not None
                return cls(settings, History(records), _notes(store, records), hold, erased)
            except BaseException:
                hold.release()
                raise
        finally:
            store.close()

    def publish(self) -> None:
        """Let other machines know that the run is under way. Raises StorageError."""
        self._hold.publish()

    def release(self) -> None:
        """Let others go on with the run."""
        self._hold.release()

    def check(self, flow: str) -> None:
        """Raises ResumeError where `flow` cannot go on with this run, or must not now."""
        root = self.history.root
        where = f"run {root.run}"
        if root.kind != "flow" or root.name != flow:
            raise ResumeError(
                f"the run is one of the {root.kind} '{root.name}', not of the flow '{flow}'",
                where=where,
                cure="Only a flow can be resumed, by the function that began the run.",
            )
        if any(each.state == "open" for each in self.history.attempts):
            raise ResumeError(
                "the run is still going",
                where=where,
                cure="Wait for the process that works on it, or end it. If it has died on another "
                "machine, `onrecord records` there takes in what it has left.",
            )
        if not isinstance(root.input, dict):
            raise ResumeError(
                "the arguments of the run are not on record: the setting 'bodies' was off, or they "
                "were larger than 'max_body_mb'",
                where=where,
                cure="Change these settings for runs that are to be resumed.",
            )

    def done(self) -> Record | None:
        """The record of the attempt that came to the end. Raises ResumeError where its output
        cannot be given again."""
        done = [each for each in self.history.attempts if each.state == "done"]
        if not done:
            return None
        if (last := done[-1]).redacted:
            raise ResumeError(
                "the run is done, and its result was removed from the record",
                where=f"run {last.run}",
            )
        if (note := self.notes.get(last.version)) and not isinstance(last.output, bool | None):
            raise ResumeError(
                f"the run is done, but its result cannot be made of its record: the flow has "
                f"returned {note}, and does not say so",
                where=f"run {last.run}",
                cure=f"Annotate it for the next time: '-> {note}'.",
            )
        return last

    def source(self, version: str) -> str | None:
        """The source code that a version stands for, where it is on record."""
        from onrecord.records.store import Store

        store = Store.open(self._settings)
        try:
            return store.source(version)
        finally:
            store.close()

    def arguments(
        self,
        signature: inspect.Signature,
        hints: Mapping[str, Any],
        owner: tuple[Any, ...],
        given: Mapping[str, Any],
    ) -> Arguments:
        """The arguments of the run's flow: those on record, made again by their annotations.

        `owner`: the object that a method is bound to. Raises UsageError for a name that the flow
        does not have, and ResumeError for what is not on record as it was.
        """
        parameters = list(signature.parameters.values())
        if unknown := sorted(given.keys() - signature.parameters.keys()):
            raise UsageError(
                f"{self.history.root.name} has no parameter '{unknown[0]}'",
                where="given",
                cure=f"It has {', '.join(signature.parameters)}.",
            )
        values: dict[str, Any] = {}
        recorded: dict[str, Any] = {}
        for parameter, own in zip(parameters, owner, strict=False):
            values[parameter.name] = recorded[parameter.name] = own
        for parameter in parameters[len(owner) :]:
            name = parameter.name
            if name in given:
                values[name] = recorded[name] = given[name]
            else:
                values[name], recorded[name] = self._restored(parameter, hints.get(name))
        last = self.history.attempts[-1]
        differ = asked_key("flow", last.name, recorded, last.version) != last.key
        if differ:  # but for what its objects hold by now
            now = as_before(plain(recorded), last.input)
            differ = asked_key("flow", last.name, now, last.version) != last.key
        if differ and pack(now) == pack(last.input):
            raise self._incomplete(name for name in list(recorded)[len(owner) :])
        bound = inspect.BoundArguments(signature, values)
        return Arguments(bound.args[len(owner) :], bound.kwargs, recorded, differ)

    def _restored(self, parameter: inspect.Parameter, annotation: Any) -> tuple[Any, Any]:
        """An argument as it was, and as it stands on record."""
        last, name = self.history.attempts[-1], parameter.name
        if name not in last.input:
            if parameter.default is not parameter.empty:
                return parameter.default, parameter.default
            raise self._missing(name, "the run was begun without it")
        found = last.input[name]
        if _is_name(found, annotation):
            return found["name"], found
        try:
            if parameter.kind is parameter.VAR_POSITIONAL:
                several = tuple(_argument(each, annotation) for each in found)
                return several, several
            if parameter.kind is parameter.VAR_KEYWORD:
                named = {key: _argument(each, annotation) for key, each in found.items()}
                return named, named
            value = _argument(found, annotation)
        except Unrestorable as error:
            raise self._missing(name, str(error)) from None
        return value, value

    def _missing(self, name: str, why: str) -> ResumeError:
        root = self.history.root
        return ResumeError(
            f"the argument '{name}' of {root.name} cannot be made of its record: {why}",
            where=f"run {root.run}",
            cure=f"Pass it: resume(…, given={{'{name}': …}}).",
        )

    def _incomplete(self, names: Iterable[str]) -> ResumeError:
        # The key on record is of the arguments as they were: it tells that those are others.
        root = self.history.root
        return ResumeError(
            f"the arguments on record are not all that {root.name} was called with: something was "
            "removed from them (settings 'redact' and 'max_body_mb')",
            where=f"run {root.run}",
            cure=f"Pass what is not whole, of {', '.join(names)}: resume(…, given={{…}}).",
        )


def _argument(value: Any, annotation: Any) -> Any:
    anything = annotation in (None, inspect.Parameter.empty, Any, object)
    if anything and isinstance(value, dict | list):
        raise Unrestorable("no annotation says what it is")
    return value if anything else restored(value, annotation)


def _is_name(value: Any, annotation: Any) -> bool:
    """Whether this stands for an object with a name and a version (a collection, a model), where
    its name does as well."""
    if not isinstance(value, dict) or value.keys() != {"name", "version"}:
        return False
    return str in get_args(annotation) and all(isinstance(each, str) for each in value.values())


def _notes(store: Store, records: Iterable[Record]) -> dict[str, str]:
    """The types of objects that versions of functions have returned without naming them."""
    versions = {each.version for each in records if each.kind in ("flow", "step", "tool")}
    notes = {version: store.source(type_note(version)) for version in versions}
    return {version: note for version, note in notes.items() if note is not None}


def _wait_for_branches(store: Store, run: str) -> None:
    """What earlier attempts have left under way (a branch of a `gather`) may be about to end."""
    from onrecord.records.query import Query

    until = time.monotonic() + _PATIENCE
    while True:
        store.fold()  # whoever held the lock before has added to it, too
        left = store.records(Query(run=run, states=("open",)), limit=1000)
        if not left or any(each.id == run or RESUMED in each.tags for each in left):
            return
        if time.monotonic() > until:
            _log.warning(
                "run %s: %s %s is still under way in a living process; it may be made twice",
                run,
                left[0].kind,
                left[0].name,
            )
            return
        time.sleep(0.05)


_PATIENCE = 10.0
_log = logging.getLogger("onrecord")
