"""Which calls on record become cases and training rows, and what people said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.datasets.case import GENERATED
from onrecord.records.exchange.verdict import Verdict
from onrecord.records.query import Query, query_of
from onrecord.records.record import Kind, Record

if TYPE_CHECKING:
    from onrecord.records.store import Store


class Said(msgspec.Struct, frozen=True):
    """What people said of one record, all feedback on it together; the newest word counts.

    `good`: False after a thumbs-down, True after praise, None where nobody judged. Where
    `corrected` is the id of a feedback, `correction` is the output as it should have been.
    """

    good: bool | None = None
    corrected: str = ""
    correction: Any = None

    @property
    def rejected(self) -> bool:
        """Whether it was called bad, and nobody said what would have been right."""
        return self.good is False and not self.corrected


class Feedback:
    """All feedback of a store, by the record that it is about."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said: dict[str, Said] = {}
        for record in store.each(Query(kinds=("feedback",), states=("done",))):
            about = Verdict(record).about
            if about is not None:
                self._said[about] = _heard(self._said.get(about, Said()), record)
        self.about: dict[str, Record] = {}
        """The records that there is feedback on, without those that are gone."""
        for some in batches(sorted(self._said)):
            query = Query(ids=tuple(some))
            self.about.update((each.id, each) for each in store.records(query, len(some)))
        self.runs = {record.run for record in self.about.values()}
        """The runs that these records belong to."""

    def on(self, id: str) -> Said:
        """What was said of a record; nothing, mostly."""
        return self._said.get(id, _SILENCE)


def asked(query: Query | None, kinds: tuple[Kind, ...], fields: dict[str, Any]) -> Query:
    """The query for calls that ended well. `fields`: of Query, as keywords; they win.

    `kinds` holds where the query names none. Raises UsageError for what is no query, and for a
    field that Query has not.
    """
    chosen = query_of(Query() if query is None else query, fields)
    states = chosen.states or ("done",)
    if states != ("done",):
        raise UsageError(
            "only calls that ended well have an output to learn from",
            where=f"states {', '.join(states)}",
            cure="Leave the states out.",
        )
    return msgspec.structs.replace(chosen, kinds=chosen.kinds or kinds, states=states)


def newest_first(store: Store, query: Query, size: int = 500) -> Iterator[list[Record]]:
    """All records of a query in pages, the newest first."""
    before: str | None = None
    while page := store.records(query, size, before):
        yield page
        before = page[-1].id


def batches(items: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """SQLite bounds the number of variables of a statement."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


def is_of_experiment(record: Record) -> bool:
    """Whether a call is an experiment, or a trial of one; not a user's own of these names."""
    from onrecord.evaluation.experiments.stored import FLOW, STEP

    given = record.input if isinstance(record.input, dict) else {}
    if (record.kind, record.name) == ("flow", FLOW):
        return isinstance(given.get("asked"), dict)
    return (record.kind, record.name) == ("step", STEP) and {"case", "repeat"} <= given.keys()


def is_named_as_own(kind: str, name: str) -> bool:
    """Whether a call is named as those that Onrecord makes to measure and to generate, experiments
    aside. They keep no code; that of a user's function of the same name is kept, where anything
    is."""
    # A cascade's is named after its models.
    return (kind, name) in _OWN or name.startswith("calibrate cascade:")


_SILENCE = Said()
_OWN = frozenset(
    {
        *(("flow", GENERATED), ("flow", "compare_models"), ("flow", "compare by judge")),
        *(("flow", "calibrate"), ("step", "pair_preference")),
    }
)
_CORRECTIONS = ("correction", "corrected", "edit", "expected")
_BAD = {"bad", "down", "thumbs_down", "thumbs-down", "no", "wrong", "false", "negative", "-1", "👎"}
_GOOD = {"good", "up", "thumbs_up", "thumbs-up", "yes", "right", "true", "positive", "+1", "👍"}


def _heard(before: Said, feedback: Record) -> Said:
    """What was said before, with one more feedback."""
    good = _judged(Verdict(feedback).value)
    if good is None:
        good = before.good
    output = feedback.output if isinstance(feedback.output, dict) else {}
    name = next((each for each in _CORRECTIONS if output.get(each) is not None), None)
    # A correction that lost something to redaction would teach the hole.
    if name is None or feedback.redacted:
        return Said(good, before.corrected, before.correction)
    return Said(good, feedback.id, output[name])


def _judged(value: Any) -> bool | None:
    """A verdict as good or bad: thumbs, words, and numbers, of which 0 and below are bad."""
    if isinstance(value, bool | int | float):
        return value > 0
    if isinstance(value, str):
        word = value.strip().lower()
        return False if word in _BAD else True if word in _GOOD else None
    return None
