"""The store, on SQLite and on PostgreSQL: the same code, the same answers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import onrecord as on
from onrecord.errors import MissingExtraError, SettingsError, StorageError, UsageError
from onrecord.messages import Usage
from onrecord.records.call import call
from onrecord.records.database.schema import BODY
from onrecord.records.query import Query, moment
from onrecord.records.record import Record
from onrecord.records.scope import context, recording
from onrecord.records.store import Store

DAY = 86_400_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def open_store(request: pytest.FixtureRequest, project: Path) -> Iterator[Callable[..., Store]]:
    url = request.getfixturevalue("postgres") if request.param == "postgresql" else ""
    opened: list[Store] = []

    def open_(**options: Any) -> Store:
        store = Store(project / ".onrecord", url, **options)
        opened.append(store)
        return store

    yield open_
    for store in opened:
        store.close()


def record(at: int, **fields: Any) -> Record:
    """A record that started `at` seconds after a fixed moment."""
    ns = 1_700_000_000_000_000_000 + at * 1_000_000_000
    id = f"{ns // 1_000_000:012x}{at:020x}"
    values: dict[str, Any] = {
        "id": id,
        "run": id,
        "parent": None,
        "kind": "step",
        "name": "work",
        "input": {"at": at},
        "key": f"{at:032x}",
        "started_ns": ns,
        "ended_ns": ns + 1_000_000 * (at + 1),
        "state": "done",
    }
    return Record(**{**values, **fields})


def test_everything_comes_back_as_it_was(open_store: Callable[..., Store]) -> None:
    odd = {"text": "nul \0 ü 🙂", "long": "x" * 5000, "nested": [1, 2.5, None, True, {"a": []}]}
    with (
        recording() as run,
        context(user="u\0", session="s", tenant="t", release="r", tags=("a", "b")),
    ):
        with call("flow", "outer", odd, version="v1") as this:
            with call("model", "m", odd) as inner:
                inner.usage = Usage(input=5, output=3, cached=2, reasoning=1, cache_write=1)
                inner.cost = None
                inner.output = odd
            this.output = [odd, odd]
        with pytest.raises(ValueError), call("step", "failing", None):
            raise ValueError("no \0 way")
    store = open_store()
    stored = {each.id: each for each in store.records()}
    postgresql = store.engine.dialect.name == "postgresql"
    for each in run.records:
        found = stored[each.id]
        if postgresql:  # its texts cannot hold NUL; bodies can
            assert found.input == each.input and found.output == each.output
            assert found.user == "u\ufffd"
        else:
            assert found == each


def test_queries(open_store: Callable[..., Store]) -> None:
    store = open_store()
    records = [
        record(0, kind="flow", name="ask", user="ada", session="s1", tags=("beta", "x")),
        record(1, kind="model", name="openai:a", user="ada", release="r1", tags=("beta",)),
        record(2, kind="model", name="openai:b", error="ModelError: too slow", state="failed"),
        record(3, state="interrupted", tenant="acme", input={"q": "the needle, as it is"}),
        record(4, output="y" * 3000 + "a long needle" + "y" * 3000),
        record(5, kind="tool", name="refund", run=record(0).id, parent=record(0).id),
    ]
    assert store.take(records) == 6 and store.take(records) == 0

    def found(**query: Any) -> list[int]:
        return [int(each.id[12:], 16) for each in store.records(Query(**query))]

    assert found() == [5, 4, 3, 2, 1, 0]
    assert found(run=records[0].id) == [5, 0]
    assert found(kinds=("model",)) == [2, 1]
    assert found(kinds=("model", "tool")) == [5, 2, 1]
    assert found(name="openai:a") == [1]
    assert found(states=("failed",)) == [2]
    assert found(states=("failed", "interrupted")) == [3, 2]
    assert found(states=("done", "failed"), kinds=("model",)) == [2, 1]
    assert found(error="too slow") == [2] and found(error="TOO") == []
    assert found(since_ns=records[3].started_ns) == [5, 4, 3]
    assert found(until_ns=records[2].started_ns) == [1, 0]
    assert found(tags=("beta",)) == [1, 0] and found(tags=("beta", "x")) == [0]
    assert found(user="ada") == [1, 0] and found(session="s1") == [0]
    assert found(tenant="acme") == [3] and found(release="r1") == [1]
    assert found(text="needle") == [4, 3] and found(text="too slow") == [2]
    assert found(text="%") == [] and found(name="' OR 1=1 --") == []
    assert found(ids=(records[1].id, records[4].id)) == [4, 1]


def test_pages_are_complete_and_disjoint(open_store: Callable[..., Store]) -> None:
    store = open_store()
    store.take(record(at, name="a" if at % 3 else "b") for at in range(250))
    pages, before = [], None
    while page := store.records(Query(name="a"), limit=40, before=before):
        pages += page
        before = page[-1].id
    assert [each.input["at"] for each in pages] == [at for at in reversed(range(250)) if at % 3]
    oldest_first = [each.input["at"] for each in store.each(Query(name="b"))]
    assert oldest_first == [at for at in range(250) if at % 3 == 0]
    assert len(store.runs(limit=10)) == 10


def test_totals(open_store: Callable[..., Store]) -> None:
    store = open_store()
    root = record(0, kind="flow", name="ask")
    models = [
        record(
            at,
            kind="model",
            name="openai:a" if at % 2 else "openai:b",
            run=root.id,
            parent=root.id,
            usage=Usage(input=10, output=2, cached=4),
            cost=None if at == 100 else 7,
            state="failed" if at == 99 else "done",
            source=root.id if at == 98 else None,
            release="r1" if at > 50 else None,
            ended_ns=record(at).started_ns + at * 1_000_000_000,
        )
        for at in range(1, 101)
    ]
    store.take([root, *models])
    b, a = sorted(store.totals(by=("model",)), key=lambda total: total.group["model"] != "openai:b")
    assert a.group == {"model": "openai:a"} and (a.calls, a.failed, a.cost) == (50, 1, 350)
    assert (b.calls, b.reused, b.cost, b.unpriced) == (50, 1, 343, 1)
    assert a.usage == Usage(input=500, output=100, cached=200)
    # the 50 calls of `a` took 1, 3, … 99 s: the 25th is the median, the 48th the 95th percentile
    assert (a.seconds_p50, a.seconds_p95) == (49.0, 95.0)
    (ask,) = store.totals(Query(kinds=("model",)), by=("flow", "day"))
    assert ask.group == {"flow": "ask", "day": "2023-11-14"} and ask.calls == 100
    groups = [
        total.group["release"] for total in store.totals(Query(kinds=("model",)), ("release",))
    ]
    assert sorted(groups, key=str) == [None, "r1"]
    with pytest.raises(UsageError, match="weather"):
        store.totals(by=("weather",))


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_erasing_a_user_leaves_nothing_of_theirs(
    open_store: Callable[..., Store], project: Path
) -> None:
    secret, shared = "unmistakable words of Ada " * 100, "what both of them said " * 100
    datasets = project / ".onrecord" / "datasets"
    with call("flow", "bob's", shared) as bobs:
        bobs.output = shared
    words = {"q": secret, "short": "Ada's short words"}
    with context(user="ada", tags=("hers",)), call("flow", "ada's", words) as hers:
        with call("step", "inner", shared) as inner:
            inner.output = secret
        hers.output = shared
    datasets.mkdir()
    lines = [
        f'{{"id": "1", "input": "of bob", "provenance": {{"record": "{bobs.id}"}}}}\n',
        f'{{"id": "2", "input": "{secret}", "provenance": {{"record": "{hers.id}"}}}}\n',
    ]
    (datasets / "cases.jsonl").write_text("".join(lines))
    store = open_store()
    assert secret.encode() in everything_in(project)  # this process still writes its segment
    receipt = store.erase(Query(user="ada"))
    assert (receipt.records, receipt.frames, receipt.cases) == (2, 4, 1)
    assert store.records(Query(user="ada")) == [] and store.records(Query(tags=("hers",))) == []
    left = everything_in(project)
    assert b"unmistakable words" not in left and b"Ada's short" not in left
    with store.engine.connect() as connection:
        bodies = b"".join(map(bytes, connection.scalars(sa.select(BODY.c.content))))
    assert b"unmistakable" not in bodies and shared.encode() in bodies
    assert store.records()[0].output == shared
    assert (datasets / "cases.jsonl").read_text() == lines[0]
    # folding again, or anew, brings nothing back
    store.fold()
    assert store.records(Query(user="ada")) == []
    assert store.erase(Query(user="ada")).records == 0


def test_a_call_that_ends_after_its_erasure_stays_erased(
    open_store: Callable[..., Store], project: Path
) -> None:
    store = open_store()
    with context(user="ada"), call("flow", "long", "going in") as this:
        assert store.erase(Query(user="ada")).records == 1
        this.output = "coming out " * 1000
    store.fold()
    assert store.records() == []
    with store.engine.connect() as connection:
        assert list(connection.scalars(sa.select(BODY.c.content))) == []


def test_erasing_everything_is_not_done_by_accident(open_store: Callable[..., Store]) -> None:
    with pytest.raises(UsageError, match="every record"):
        open_store().erase(Query())


def test_old_records_go_when_the_settings_say_so(open_store: Callable[..., Store]) -> None:
    store = open_store()
    store.take([record(1)])
    with call("flow", "new", None):
        pass
    store.fold()
    assert len(store.records()) == 2
    open_store(keep_days=30.0, fold=False).fold(wait=False)
    assert [each.name for each in store.records()] == ["new"]


def test_an_answer_is_found_by_its_key(open_store: Callable[..., Store]) -> None:
    store = open_store()
    made = [
        record(0, kind="model", key="k", output="old"),
        record(1, kind="model", key="k", output="new"),
        record(2, kind="model", key="k", state="failed"),
        record(3, kind="model", key="k", source=record(1).id),
        record(4, kind="model", key="k", redacted=True),
        record(5, kind="model", key="k", user="ada", output="hers"),
        record(6, kind="step", key="k"),
    ]
    store.take(made)

    def found(**options: Any) -> Any:
        answer = store.find("k", "model", **options)
        return None if answer is None else answer.output

    assert found() == "new" and found(user="ada") == "hers" and found(user="bob") is None
    assert found(tenant="t") is None and found(everyone=True) == "hers"
    assert found(since_ns=made[2].started_ns) is None
    assert store.find("other", "model") is None


def _write(n: int, url: str) -> None:
    for i in range(n):
        with call("flow", "child", {"i": i}), call("step", "inner", "x" * (i % 3000)):
            pass


def test_eight_processes_write_and_fold_at_once(
    open_store: Callable[..., Store], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = open_store().engine.url.render_as_string(hide_password=False)
    url = "" if url.startswith("sqlite") else url.replace("+psycopg", "")
    (project / "onrecord.toml").write_text(f'store = "{url}"\nfold_seconds = 0.01\n')
    monkeypatch.delenv("ONRECORD_FOLD_SECONDS")
    script = "from tests.records.test_store import _write; import sys; _write(150, sys.argv[1])"
    root = str(Path(__file__).parent.parent.parent)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, url],
            env={**os.environ, "PYTHONPATH": root},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    readers = [threading.Thread(target=lambda: open_store().runs(50)) for _ in range(4)]
    for reader in readers:
        reader.start()
    said = [child.communicate()[1] for child in children]
    for reader in readers:
        reader.join()
    assert said == [""] * 8
    records = open_store().records(limit=10_000)
    assert len(records) == len({each.id for each in records}) == 8 * 150 * 2
    assert {each.state for each in records} == {"done"}


def test_a_thread_folds_while_calls_are_made(
    open_store: Callable[..., Store], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    url = store.engine.url.render_as_string(hide_password=False)
    url = "" if url.startswith("sqlite") else url.replace("+psycopg", "")
    (project / "onrecord.toml").write_text(f'store = "{url}"\nfold_seconds = 0.02\n')
    monkeypatch.delenv("ONRECORD_FOLD_SECONDS")
    until = time.monotonic() + 30
    with call("flow", "seen", None):
        while not store.records() and time.monotonic() < until:
            time.sleep(0.01)
    assert [each.name for each in store.records()] == ["seen"]


def test_the_journal_holds_what_a_store_that_is_down_cannot_take(
    postgres: str,
    postgres_cluster: Any,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (project / "onrecord.toml").write_text(f'store = "{postgres}"\nfold_seconds = 0.02\n')
    monkeypatch.delenv("ONRECORD_FOLD_SECONDS")
    Store(project / ".onrecord", postgres).close()
    postgres_cluster.stop()
    for i in range(20):
        with call("flow", "while it is down", {"i": i}):
            pass
    with pytest.raises(StorageError) as told:
        Store.open()
    assert "not-to-be-shown" not in str(told.value)
    until = time.monotonic() + 30
    while "stay in the journal" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)
    assert "not-to-be-shown" not in caplog.text
    postgres_cluster.start()
    assert len(Store.open().records()) == 20


def test_an_address_that_is_none_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("mysql://here", "nonsense", "postgresql:/"):
        with pytest.raises((SettingsError, StorageError)):
            Store(project / ".onrecord", url)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"onrecord\[postgres\]"):
        Store(project / ".onrecord", "postgresql://somewhere/db")


def test_moments() -> None:
    import datetime

    now = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)
    assert moment("90d", now) == int(now.timestamp() - 90 * 86400) * 10**9
    assert moment("1.5h", now) == int(now.timestamp() - 5400) * 10**9
    assert moment("2026-11-21", now) == int(now.timestamp() - 43200) * 10**9
    assert moment("2026-11-21T12:00:00Z", now) == int(now.timestamp()) * 10**9
    with pytest.raises(UsageError, match="no point in time"):
        moment("yesterday", now)


def test_a_question_that_makes_no_sense_is_refused(open_store: Callable[..., Store]) -> None:
    store = open_store()
    for wrong in ({"kinds": "flow"}, {"kinds": ("foo",)}, {"states": ("zz",)}, {"ids": "abc"}):
        with pytest.raises(UsageError):
            Query(**wrong)  # type: ignore[arg-type]
    for wrong in ({"kind": "flow"}, {"nme": "ask"}):
        with pytest.raises(UsageError, match=r"Write kinds=\('flow',\)|Did you mean 'name'"):
            Query(**wrong)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="a query has no field"):
            store.records(**wrong)  # type: ignore[arg-type]
    for page in (
        {"limit": 0},
        {"limit": "5"},
        {"limit": True},
        {"limit": -1},
        {"limit": 10**30},
        {"before": "zz"},
        {"before": 5},
    ):
        with pytest.raises(UsageError):
            store.records(**page)  # type: ignore[arg-type]


@pytest.mark.parametrize("query", [None, "", "flow", 5])
def test_what_is_no_query_is_refused(open_store: Callable[..., Store], query: Any) -> None:
    store = open_store()
    for ask in (store.records, store.erase, store.totals, lambda each: list(store.each(each))):
        with pytest.raises(UsageError, match="does not say which records") as caught:
            ask(query)
        assert ("kinds=" in str(caught.value)) == (query == "flow")


def test_fields_of_a_query_can_be_given_as_keywords(open_store: Callable[..., Store]) -> None:
    @on.flow
    async def noted() -> None: ...

    noted.run()
    store = open_store()
    assert [each.name for each in store.records(kinds=("flow",))] == ["noted"]
    assert store.records(Query(name="noted"), kinds=("model",)) == []


def test_a_store_is_opened_by_its_settings() -> None:
    for place in ("there", Path("there")):
        with pytest.raises(UsageError, match="a store is opened by its settings"):
            Store.open(place)  # type: ignore[arg-type]  # that is the test


def test_absurd_counts_of_others_do_not_break_the_bill(open_store: Callable[..., Store]) -> None:
    store = open_store()
    absurd = Usage(input=2**63 - 1)
    store.take(record(at, kind="model", usage=absurd if at else Usage(input=7)) for at in range(3))
    (total,) = store.totals(by=("model",))
    assert total.calls == 3 and total.usage == Usage(input=7)
