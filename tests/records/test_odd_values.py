"""Values that nobody expects: the caller gets its own result or error, and the record is whole."""

from __future__ import annotations

import contextvars
import functools
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import onrecord as on
from onrecord.errors import SettingsError, UsageError
from onrecord.messages import Usage
from onrecord.records.call import call
from onrecord.records.query import Query
from onrecord.records.record import Record, counted, identity, pack, simplified, unpacked
from onrecord.records.scope import context
from onrecord.records.store import Store


def kept(project: Path) -> list[Record]:
    """The records of a project, oldest first."""
    store = Store(project / ".onrecord")
    try:
        return store.records(Query(), 100)[::-1]
    finally:
        store.close()


def test_half_a_surrogate_pair_in_an_error_hides_nothing(project: Path) -> None:
    with pytest.raises(ValueError, match="caf"), call("flow", "n\udce9", 1) as this:
        this.remember_source("# \udce9")
        raise ValueError("caf\udce9.txt")
    (record,) = kept(project)
    assert (record.state, record.name) == ("failed", "n\ufffd")
    assert record.error == "ValueError: caf\ufffd.txt"


@pytest.mark.parametrize(
    "usage",
    [Usage(input=2**70), Usage(input="7"), Usage(output=1.5), Usage(cached=-1), Usage(True)],
)  # type: ignore[arg-type]  # what a careless model says
def test_counts_that_nobody_can_have_counted_are_no_tokens(project: Path, usage: Usage) -> None:
    assert counted(usage) == Usage()
    with on.recording() as run, call("model", "m", 1) as this:
        this.output, this.usage = "yes", usage
    (record,) = kept(project)
    assert (record.state, record.output, record.usage) == ("done", "yes", Usage())
    assert run.usage == Usage()


def test_an_input_that_is_nested_too_deeply_stands_in_nobodys_way(
    project: Path, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(functools.partial(sys.setrecursionlimit, sys.getrecursionlimit()))
    sys.setrecursionlimit(5000)  # it is packed with few calls around it, and read with many
    deep: Any = 1
    for _ in range(960):
        deep = [deep]
    packed = pack(deep)
    with call("flow", "deep", deep):
        pass
    with call("flow", "behind", 1):
        pass
    sys.setrecursionlimit(1000)

    def deeper(calls: int) -> Any:
        return deeper(calls - 1) if calls else (unpacked(packed), kept(project))

    found, records = deeper(300)
    assert found == "<nested too deeply>"
    assert [record.name for record in records][-1] == "behind"


class Node:
    def __init__(self, parent: Node | None = None) -> None:
        self.parent = parent
        self.children: list[Node] = []

    def model_dump(self, mode: str) -> dict[str, Any]:
        return {"parent": self.parent, "children": self.children}


def test_a_tree_that_knows_its_parents_is_told_once() -> None:
    root = Node()
    root.children = [Node(root) for _ in range(40)]
    told = simplified(root)
    assert told["children"][39] == {"parent": "<the Node around this>", "children": []}


def test_keys_that_look_alike_are_several() -> None:
    assert simplified({1: "a", "1": "b"}) == {"1": "a", "1'": "b"}
    assert pack({1: "a", "1": "b"}) != pack({"1": "b"})


def test_who_is_too_long_for_an_index_is_found_and_erased_all_the_same(project: Path) -> None:
    name = "a" * 3000
    with context(user=name, session=f"{name}b", tags=(name,)), call("flow", "f", 1):
        pass
    (record,) = kept(project)
    assert record.user == identity(name) and len(record.user) == 400
    assert record.user != record.session
    store = Store(project / ".onrecord")
    for query in (Query(user=name), Query(session=f"{name}b"), Query(tags=(name,))):
        assert [each.id for each in store.records(query)] == [record.id]
    assert store.erase(Query(user=name)).records == 1
    store.close()


@pytest.mark.parametrize("odd", ["u-\udcff", "a\0b"])
def test_who_is_no_text_is_found_all_the_same(project: Path, odd: str) -> None:
    with context(user=odd), call("flow", "f", 1):
        pass
    store = Store(project / ".onrecord")
    assert len(store.records(Query(user=odd))) == 1
    store.close()


def test_an_empty_text_is_no_query_and_no_ids_find_nothing(project: Path) -> None:
    for empty in ({"text": ""}, {"error": ""}, {"name": ""}, {"run": ""}):
        with pytest.raises(UsageError, match="is empty"):
            Query(**empty)
    with call("flow", "f", 1):
        pass
    store = Store(project / ".onrecord")
    assert store.records(Query(ids=())) == []
    assert store.erase(Query(ids=())).records == 0
    assert len(store.records(Query())) == 1
    store.close()


def test_tags_are_redacted_like_texts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_REDACT", "emails")
    with (
        context(user="ada@example.org", tags=("from ada@example.org", "beta")),
        call("flow", "f", 1),
    ):
        pass
    (record,) = kept(project)
    assert record.user == "ada@example.org"  # whoever asks for removal has to be found
    assert record.tags[0].startswith("from <email:") and record.tags[1] == "beta"


def test_projects_that_share_a_home_keep_their_own_rules(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONRECORD_HOME", str(project / "shared"))
    for name, rules in (("a", ""), ("b", "bodies = false\n")):
        (project / name).mkdir()
        (project / name / "onrecord.toml").write_text(rules)
        monkeypatch.chdir(project / name)
        with call("flow", name, f"the words of {name}"):
            pass
    store = Store(project / "shared")
    assert {record.name: record.input for record in store.records()} == {
        "a": "the words of a",
        "b": None,
    }
    store.close()


def test_an_error_without_end_is_cut(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_MAX_BODY_MB", "0.001")
    with pytest.raises(ValueError), call("flow", "f", 1):
        raise ValueError("x" * 50_000)
    (record,) = kept(project)
    assert record.error is not None and len(record.error) == 1001 and record.error.endswith("…")


def test_a_signals_handler_may_make_a_call(project: Path) -> None:
    made = 0

    def handle(*_: object) -> None:
        nonlocal made
        with call("step", "handler", 1):
            made += 1
        signal.setitimer(signal.ITIMER_REAL, 0.0005)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    try:
        until = time.monotonic() + 1
        with call("flow", "f", 1):
            while time.monotonic() < until:
                with call("step", "s", "x" * 200):
                    pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    store = Store(project / ".onrecord")
    assert (
        store.records(Query(name="handler")) and store.records(Query(name="f"))[0].state == "done"
    )
    assert not store.records(Query(states=("open", "interrupted"))) and not store.lost
    store.close()


def test_a_generator_that_is_closed_in_another_context_ends_its_call(project: Path) -> None:
    def numbers() -> Iterator[int]:
        with context(user="u-1"), call("step", "numbers", 1) as this:
            this.output = "begun"
            yield 1

    generator = numbers()
    contextvars.copy_context().run(next, generator)
    generator.close()
    (record,) = kept(project)
    assert (record.state, record.output) == ("failed", "begun")


def test_a_strange_file_beside_the_segments_is_passed_over(project: Path) -> None:
    journal = project / ".onrecord" / "journal"
    journal.mkdir(parents=True)
    (journal / "01abc.000001.sync-conflict-7.journal").write_bytes(b"?")
    with call("flow", "f", 1) as this:
        this.output = 2
    assert [record.output for record in kept(project)] == [2]


def test_only_the_owner_may_look_into_the_records(project: Path) -> None:
    before = os.umask(0o022)
    try:
        with call("flow", "f", 1):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((project / ".onrecord").stat().st_mode) == 0o700


def test_a_store_that_is_none_is_told_at_the_first_call(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONRECORD_STORE", "mysql://somewhere")
    with pytest.raises(SettingsError, match="postgresql://"), call("flow", "f", 1):
        pass


def test_what_one_project_of_a_home_asks_of_the_disk_holds_for_all(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONRECORD_HOME", str(project / "shared"))
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for name, rules in (("a", ""), ("b", "fsync = true\n")):
        (project / name).mkdir()
        (project / name / "onrecord.toml").write_text(rules)
        monkeypatch.chdir(project / name)
        with call("flow", name, 1):
            pass
    assert len(synced) == 2
