"""Looking at the store: pages of runs, sketches of large ones, what is new; on both databases."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onrecord.errors import StorageError, UnknownNameError
from onrecord.messages import Usage
from onrecord.records.call import RESUMED
from onrecord.records.folding.fold import folding_lock
from onrecord.records.frames import NOTHING, End, Start
from onrecord.records.journal import Journal
from onrecord.records.pointing import run_of
from onrecord.records.query import Query
from onrecord.records.record import Record, new_id, pack
from onrecord.records.store import Store
from onrecord.records.views.health import health
from onrecord.records.views.listing import latest_attempts, page, whole
from onrecord.records.views.sketching import skeleton, sketch
from onrecord.records.views.watching import Watch

SECOND = 10**9
NUMBERS = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, project: Path) -> Iterator[Store]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres")
    opened = Store(project / ".onrecord", url)
    yield opened
    opened.close()


def call(name: str, parent: Record | None = None, **changes: Any) -> Record:
    now = time.time_ns()
    id = f"{now // 10**6:012x}{next(NUMBERS):020x}"
    made = Record(
        id=id,
        run=id if parent is None else parent.run,
        parent=None if parent is None else parent.id,
        kind="flow" if parent is None else "step",
        name=name,
        input={"n": 1},
        key="0" * 32,
        started_ns=now,
        output="done",
        ended_ns=now + SECOND,
        state="done",
    )
    return msgspec.structs.replace(made, **changes)


def test_pages_of_runs_and_of_calls(store: Store) -> None:
    runs = [call("ask"), call("ask", state="failed"), call("other")]
    steps = [call("work", run) for run in runs]
    store.take([*runs, *steps])
    asked = Query(name="ask")
    assert [each.id for each in page(store, asked, calls=False, limit=9)] == [
        runs[1].id,
        runs[0].id,
    ]
    (failed,) = page(store, Query(states=("failed",)), calls=False, limit=9)
    assert failed.input is None and failed.name == "ask"
    newest = page(store, Query(), calls=True, limit=2)
    older = page(store, Query(), calls=True, limit=9, before=newest[-1].id)
    assert [each.id for each in (*newest, *older)] == [
        each.id for each in reversed([*runs, *steps])
    ]
    assert whole(store, [runs[0].id, "nonsense"]) == {runs[0].id: runs[0]}


def test_the_run_of_a_beginning(store: Store) -> None:
    one, other = call("one", id=f"a{1:031x}", run=f"a{1:031x}"), call("other")
    inside = call("work", one, id=f"a{2:031x}")
    store.take([one, other, inside])
    assert run_of(store, "a") == run_of(store, inside.id) == one.id
    with pytest.raises(UnknownNameError, match="more than one run has"):
        run_of(store, "")
    for unknown in ("b", "%", "zz", one.id + "0"):
        with pytest.raises(UnknownNameError, match="no record has"):
            run_of(store, unknown)


def test_the_run_of_a_piece_and_of_a_number(store: Store) -> None:
    one = call("one", id="a" * 12 + "b1c2d3e4f5" + "0" * 10, run="a" * 12 + "b1c2d3e4f5" + "0" * 10)
    other = call(
        "other", id="b" * 12 + "b1c2d3e4f6" + "0" * 10, run="b" * 12 + "b1c2d3e4f6" + "0" * 10
    )
    inside = call("work", one, id="a" * 12 + "b1c2d3e4f5" + "0" * 9 + "7")
    store.take([one, other, inside])
    assert run_of(store, "@1") == other.id and run_of(store, "@2") == one.id
    assert run_of(store, "3e4f5") == run_of(store, inside.id[-9:]) == one.id
    with pytest.raises(UnknownNameError, match="more than one run has an id with 'c2d3e4'"):
        run_of(store, "c2d3e4")
    with pytest.raises(UnknownNameError, match="there is no run @3: 2 are on record"):
        run_of(store, "@3")
    for none in ("e4f", "ffff", "@0", "@", "____", "%%%%"):
        with pytest.raises(UnknownNameError, match="no record has"):
            run_of(store, none)


def test_how_a_resumed_run_really_is(store: Store) -> None:
    paused, done = call("ask", state="paused"), call("ask")
    tried = call("ask", paused, kind="flow", source=paused.id, tags=(RESUMED,), state="failed")
    again = call("ask", paused, kind="flow", source=paused.id, tags=(RESUMED,))
    store.take([paused, done, tried, again])
    assert latest_attempts(store, []) == {}
    (latest,) = latest_attempts(store, [paused, done]).values()
    assert latest.id == again.id


def test_a_sketch_of_a_large_run_counts_what_it_leaves_out(store: Store) -> None:
    flow = call("evaluate", ended_ns=time.time_ns() + 500 * SECOND)
    records = [flow]
    for number in range(300):
        state = "failed" if number == 250 else "done"
        step = call("score", flow, state=state)
        records += [step, call("judge", step, kind="model", usage=Usage(10, 2), cost=3)]
    late = call("late", records[-2], cost=None, state="interrupted")
    again = call("evaluate", flow, kind="flow", source=flow.id, tags=(RESUMED,))
    store.take([*records, late, again])
    tree = sketch(store, flow.run, whole=100)
    assert list(tree.records)[:50] == [each.id for each in records[:50]]
    # What failed, what it was called by, and how the run was resumed are told in any case.
    assert {records[1 + 2 * 250].id, late.id, late.parent, again.id} <= tree.records.keys()
    assert len(tree) == len(records) + 2
    assert [each.name for each in tree.later] == ["model judge", "step score"]
    everything = sketch(store, flow.run)
    assert everything.later == () and list(everything.records) == [
        each.id for each in skeleton(store, flow.run)
    ]
    assert tree.sums == everything.sums
    assert (tree.sums.input, tree.sums.cost, tree.sums.unpriced) == (3000, 900, 1)
    assert tree.sums.states == {"done": 601, "failed": 1, "interrupted": 1}
    assert tree.later[0].p50 == 1.0 and tree.later[0].begin_ns >= flow.started_ns


def test_a_run_of_many_names_is_summed_up(store: Store) -> None:
    flow = call("many")
    store.take([flow, *(call(f"w{number}", flow) for number in range(200))])
    tree = sketch(store, flow.run, whole=20)
    assert len(tree) == 201
    assert len(tree.later) == 21 and tree.later[-1].name == ""


def frames(name: str, journal: Journal) -> tuple[Start, End]:
    id = new_id()
    start = Start(id, id, None, "flow", name, "k", time.time_ns(), msgspec.Raw(pack(None)))
    journal.append(start)
    return start, End(id, start.started_ns + 1, NOTHING, None, None, 0)


def test_watching_tells_each_call_once(store: Store) -> None:
    journal = Journal(store.home / "journal")
    before, _ = frames("before", journal)
    journal.append(End(before.id, before.started_ns + 1, NOTHING))
    _, running = frames("running", journal)
    watch, patient = Watch(store, Query(), long=0), Watch(store, Query(), long=3600)
    assert [each.name for each in watch.news()] == ["running"]
    assert watch.news() == patient.news() == []
    _, quick = frames("quick", journal)
    journal.append(quick)
    assert [each.name for each in watch.news()] == ["quick"]
    journal.append(running)
    (told,) = watch.news()
    assert (told.name, told.state) == ("running", "done")
    assert watch.news() == []
    assert [each.name for each in patient.news()] == ["running", "quick"]


def test_watching_for_failures_sees_how_calls_end(store: Store) -> None:
    journal = Journal(store.home / "journal")
    _, bad = frames("bad", journal)
    _, good = frames("good", journal)
    watch = Watch(store, Query(states=("failed",)), long=0)
    assert watch.news() == []
    journal.append(msgspec.structs.replace(bad, error="ValueError: no", state="failed"))
    journal.append(good)
    assert [each.name for each in watch.news()] == ["bad"]


def test_health_tells_what_waits_in_the_journal(store: Store) -> None:
    store.take([call("ask")])
    journal = Journal(store.home / "journal")
    frames("waiting", journal)
    with folding_lock(store.home / "journal", wait=False):  # another process folds
        assert store.waiting > 0
    found = health(store)
    assert (found.records, found.runs, found.segments, found.writers) == (2, 2, 1, 1)
    assert found.under_way == 1 and "password" not in found.where
    assert found.waiting == 0 and found.notes == ()
    journal.close()


def test_calls_that_ended_are_not_told_to_be_under_way(store: Store) -> None:
    journal = Journal(store.home / "journal")
    _, ended = frames("ends soon", journal)
    store.fold()
    journal.append(ended)
    assert health(store).under_way == 0
    journal.close()


def test_health_is_told_where_nothing_can_be_folded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.take([call("ask")])

    def full(*_: object, **__: object) -> int:
        raise StorageError("the records cannot be read or written: the disk is full")

    monkeypatch.setattr(store, "fold", full)
    found = health(store)
    assert found.records == 1
    assert "the disk is full" in found.notes[0] and "not counted" in found.notes[0]


@pytest.mark.parametrize("circle", [1, 2])
def test_a_call_that_is_above_itself_is_in_the_list_of_runs(store: Store, circle: int) -> None:
    ids = [f"a{at:031x}" for at in range(circle)]
    above = dict(zip(ids, ids[1:] + ids[:1], strict=True))  # who called whom, in a circle
    calls = [call(f"call{id}", id=id, run=id) for id in ids]
    store.take(msgspec.structs.replace(each, parent=above[each.id]) for each in calls)
    store.take([call("inside", calls[0], id=f"b{1:031x}")])
    listed = [each.id for each in store.runs()]
    assert sorted(listed) == ids
    assert [each.name for each in store.run(ids[0])] == [f"call{ids[0]}", "inside"]
    assert [each.id for each in page(store, Query(), calls=False, limit=9)] == listed
