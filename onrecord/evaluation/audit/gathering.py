"""The facts of an audit, gathered once: records, settings, experiments, datasets, prompts, cards.

Sums are made by the database. Bodies are read of the experiments' outermost calls, of the newest
outputs of each application, and of one call of each prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from onrecord.evaluation.audit import calls
from onrecord.evaluation.audit.answers import Answers
from onrecord.evaluation.audit.calls import Calls, Part, People
from onrecord.evaluation.audit.evaluated import Experiment, Experiments, experiments
from onrecord.evaluation.experiments.stored import FLOW
from onrecord.evaluation.picking import Feedback
from onrecord.prompts.versions import Kept, read_kept
from onrecord.records import reading
from onrecord.records.ledger_page import BUDGET
from onrecord.records.ledger_store import FILE as LEDGER
from onrecord.records.query import Query
from onrecord.records.record import Record
from onrecord.records.store import Store
from onrecord.records.views.listing import connected
from onrecord.settings import Settings

LOOKED_AT = 500
"""So many of the newest outputs of an application are looked at."""
MOST = 50
"""So many applications are audited, the most used ones."""


class Prompt(msgspec.Struct, frozen=True):
    """A version of a prompt that an application called. `untrusted` are the inputs that its newest
    call showed as data from outside; None where that cannot be seen."""

    name: str
    version: str
    kept: Kept | None
    untrusted: tuple[str, ...] | None
    run: str


class Outputs(msgspec.Struct, frozen=True):
    """The newest outputs of an application: how many there are, how many of them say whether they
    refused, did, quote at all, and have a quotation."""

    count: int = 0
    say: int = 0
    refused: int = 0
    may_quote: int = 0
    quoted: int = 0


class Heard(msgspec.Struct, frozen=True):
    """What people said of an application's runs: how many records were judged, and called bad or
    corrected."""

    judged: int = 0
    bad: int = 0
    corrected: int = 0


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """One application: `versions` of its outermost calls, the newest first, empty where it was
    evaluated only; `parts` are the calls inside."""

    kind: str
    name: str
    versions: tuple[Calls, ...]
    parts: tuple[Calls, ...]
    people: People
    outputs: Outputs
    heard: Heard
    prompts: tuple[Prompt, ...]
    idempotent: dict[str, bool | None]
    experiments: tuple[Experiment, ...]

    @property
    def part(self) -> Part:
        """Its kind and name."""
        return self.kind, self.name

    @property
    def uses(self) -> int:
        """How often it was called from outside, experiments not counted."""
        return sum(each.calls for each in self.versions)

    def of_kind(self, *kinds: str) -> list[Calls]:
        """The calls inside that are of these kinds."""
        return [each for each in self.parts if each.kind in kinds]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that an audit looks at. `direct` counts outermost calls that are no application;
    `left_out` counts applications beyond MOST, `ignored` names what is said to be none; `budgets`
    are (key, period, micro-dollars)."""

    settings: Settings
    since_ns: int | None
    models: tuple[Calls, ...] = ()
    applications: tuple[Application, ...] = ()
    left_out: int = 0
    ignored: tuple[str, ...] = ()
    direct: dict[str, int] = {}
    experiments: Experiments = Experiments()
    datasets: tuple[str, ...] = ()
    budgets: tuple[tuple[str, str, int], ...] = ()
    limited: int = 0
    records: int = 0
    lost: int = 0
    torn: int = 0


def gathered(
    store: Store | None, settings: Settings, since_ns: int | None, answers: Answers
) -> Facts:
    """The facts of a store; where there is none, those of the settings. Of `answers` only counts
    what is to be ignored. Raises StorageError."""
    from onrecord.evaluation.dataset import names

    kept = tuple(names())
    if store is None:
        return Facts(settings=settings, since_ns=since_ns, datasets=kept)
    known = experiments(store)
    with connected(store) as connection:
        models = calls.models(connection, since_ns)
        roots = calls.roots(connection, since_ns)
        inside = calls.inside(connection, since_ns)
        people = calls.people(connection, since_ns)
        count = calls.count(connection)
        limited = calls.limited(connection, since_ns)
        own = calls.own(connection, roots)
    feedback = _heard(store)
    found, direct = _applications(roots, own, known)
    wanted = [each for each in found if not answers.ignoring(each[0][1])]
    chosen = wanted[:MOST]
    return Facts(
        settings=settings,
        since_ns=since_ns,
        models=tuple(models),
        applications=tuple(
            _application(store, part, versions, inside, people, feedback, known)
            for part, versions in chosen
        ),
        left_out=len(wanted) - len(chosen),
        ignored=tuple(name for (_, name), _ in found if answers.ignoring(name)),
        direct=direct,
        experiments=known,
        datasets=kept,
        budgets=tuple(_budgets(store)),
        limited=limited,
        records=count,
        lost=store.lost,
        torn=store.torn,
    )


def _applications(
    roots: Iterable[Calls], own: Sequence[Calls], known: Experiments
) -> tuple[list[tuple[Part, list[Calls]]], dict[str, int]]:
    """The outermost flows and steps with their versions, the most used first, then what was
    evaluated only; and how many other outermost calls there are, by kind, or by name where Onrecord
    makes them itself."""
    found: dict[Part, list[Calls]] = {}
    direct: dict[str, int] = {}
    for each in roots:
        if each.kind == "flow" and each.name == FLOW and each.version in known.versions:
            continue
        if each in own:
            direct[each.name] = direct.get(each.name, 0) + each.calls
        elif each.kind in ("flow", "step"):
            found.setdefault(each.part, []).append(each)
        elif each.kind != "feedback":
            direct[each.kind] = direct.get(each.kind, 0) + each.calls
    used = sorted(found, key=lambda part: -sum(each.calls for each in found[part]))
    evaluated = dict.fromkeys(
        (kind, name)
        for experiment in known.found
        for kind, name, _ in sorted(experiment.answered)
        if kind in ("flow", "step")
    )
    only = [part for part in evaluated if part not in found]
    return [(part, found.get(part, [])) for part in (*used, *only)], direct


def _application(
    store: Store,
    part: Part,
    versions: list[Calls],
    inside: dict[Part, list[Calls]],
    people: dict[Part, People],
    feedback: dict[Part, Heard],
    known: Experiments,
) -> Application:
    parts = inside.get(part, [])
    with connected(store) as connection:
        kinds = ("tool", "step")
        texts = calls.sources(connection, (each.version for each in parts if each.kind in kinds))
        if part[0] == "step":  # a prompt that is called by itself
            texts |= calls.sources(connection, (each.version for each in versions))
        outputs = _outputs(connection, part) if versions else Outputs()
    steps = [each for each in parts if each.kind == "step"]
    own = versions if part[0] == "step" else []
    tools = newest(each for each in parts if each.kind == "tool")
    return Application(
        kind=part[0],
        name=part[1],
        versions=tuple(versions),
        parts=tuple(parts),
        people=people.get(part, People()),
        outputs=outputs,
        heard=feedback.get(part, Heard()),
        prompts=tuple(_prompts(store, newest([*own, *steps]), texts)),
        idempotent={each.name: calls.is_idempotent(texts.get(each.version)) for each in tools},
        experiments=tuple(
            each
            for each in known.found
            if part in {(kind, name) for kind, name, _ in each.answered}
        ),
    )


def newest(found: Iterable[Calls]) -> list[Calls]:
    """Of each kind and name the version that was called last, by name."""
    last: dict[Part, Calls] = {}
    for each in found:
        before = last.get(each.part)
        if before is None or before.last < each.last:
            last[each.part] = each
    return [last[part] for part in sorted(last)]


def _prompts(store: Store, steps: list[Calls], texts: dict[str, str]) -> Iterable[Prompt]:
    for each in steps:
        kept = read_kept(texts.get(each.version, ""))
        if kept is None:
            continue
        record = store.record(each.last)
        yield Prompt(each.name, each.version, kept, _untrusted(store, record), record.run)


def _untrusted(store: Store, call: Record) -> tuple[str, ...] | None:
    """The inputs that a call of a prompt showed between the marks of what is untrusted."""
    with connected(store) as connection:
        id = calls.first_model(connection, call.run, call.id)
    if id is None:
        return None
    input = store.record(id).input
    if not isinstance(input, dict) or "messages" not in input:
        return None
    return tuple(sorted({name for text in _texts(input["messages"]) for name in _MARK(text)}))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _outputs(connection: sa.Connection, part: Part) -> Outputs:
    kind, name = part
    query = Query(name=name, kinds=(kind,), states=("done",))  # type: ignore[arg-type]  # a kind
    records = reading.select(connection, query, limit=LOOKED_AT, roots=True)
    given = [each.output for each in records if isinstance(each.output, dict)]
    refusals = [each["refused"] for each in given if isinstance(each.get("refused"), bool)]
    quotes = [each["citations"] for each in given if isinstance(each.get("citations"), list)]
    return Outputs(len(records), len(refusals), sum(refusals), len(quotes), sum(map(bool, quotes)))


def _heard(store: Store) -> dict[Part, Heard]:
    feedback = Feedback(store)
    with connected(store) as connection:
        roots = calls.roots_of(connection, feedback.runs)
    found: dict[Part, Heard] = {}
    for id, record in feedback.about.items():
        said, part = feedback.on(id), roots.get(record.run)
        if part is None or (said.good is None and not said.corrected):
            continue
        before = found.get(part, Heard())
        found[part] = Heard(
            before.judged + 1,
            before.bad + (said.good is False),
            before.corrected + bool(said.corrected),
        )
    return found


def _budgets(store: Store) -> Iterable[tuple[str, str, int]]:
    """The budgets that are kept under a key, the newest day first."""
    from onrecord.records.database.engine import is_postgresql, told_errors

    engine, own = store.engine, None
    if not is_postgresql(engine):
        file = store.home / LEDGER
        if not file.exists():
            return []
        engine = own = sa.create_engine(sa.URL.create("sqlite", database=str(file)))
    try:
        with told_errors(engine), engine.connect() as connection:
            if not sa.inspect(connection).has_table(BUDGET.name):
                return []
            columns = sa.select(BUDGET.c.key, BUDGET.c.period, BUDGET.c.cost)
            rows = connection.execute(columns.order_by(BUDGET.c.period.desc(), BUDGET.c.key))
            return [(key, period, int(cost)) for key, period, cost in rows.fetchmany(1000)]
    finally:
        if own is not None:
            own.dispose()


_MARK = re.compile(r'<untrusted-[0-9a-f]{16} name="([^"\n]{1,200})">').findall
