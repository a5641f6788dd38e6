"""Machines that share a PostgreSQL store: beside each other, and beside one that erases."""

from __future__ import annotations

import contextlib
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import pytest
import sqlalchemy as sa

from onrecord.records.database.engine import reading, write
from onrecord.records.database.schema import BODY
from onrecord.records.folding.rows import take_in
from onrecord.records.frames import Frame, Start
from onrecord.records.journal import Journal
from onrecord.records.query import Query
from onrecord.records.record import new_id, pack
from onrecord.records.store import Store


@pytest.fixture
def machines(postgres: str, project: Path) -> Iterator[list[Store]]:
    stores = [Store(project / name, postgres) for name in ("a", "b")]
    yield stores
    for store in stores:
        store.close()


def start(body: str, user: str | None = None) -> Start:
    id, input = new_id(), msgspec.Raw(pack(body))
    return Start(id, id, None, "flow", "f", "k", time.time_ns(), input, user=user, tags=("a", "b"))


def recorded(store: Store, *frames: Frame) -> None:
    journal = Journal(store.home / "journal")
    for frame in frames:
        journal.append(frame)
    journal.close()


def test_two_machines_that_fold_the_same_texts_do_not_block_each_other(
    machines: list[Store],
) -> None:
    texts = [f"{number} {'x' * 2000}" for number in range(3000)]
    for store, some in zip(machines, (texts, texts[::-1]), strict=True):
        recorded(store, *map(start, some))
    errors: list[BaseException] = []

    def fold(store: Store) -> None:
        try:
            store.fold()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=fold, args=(store,)) for store in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(machines[0].records(limit=10_000)) == 6000


def test_a_deadlock_is_tried_again(machines: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each locks a row that the other one wants next; PostgreSQL breaks one of the two off."""
    at_once = threading.Barrier(2)
    with machines[0].engine.begin() as connection:
        connection.execute(
            sa.insert(BODY), [{"hash": hash, "content": b""} for hash in (b"1", b"2")]
        )
    attempts: list[bytes] = []

    def both(first: bytes, second: bytes) -> None:
        def work(connection: sa.Connection) -> None:
            attempts.append(first)
            for hash in (first, second):
                connection.execute(sa.update(BODY).where(BODY.c.hash == hash).values(content=first))
                if len(attempts) <= 2 and hash == first:
                    at_once.wait(10)

        write(machines[0].engine, work)

    threads = [threading.Thread(target=both, args=each) for each in ((b"1", b"2"), (b"2", b"1"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(attempts) == 3


def test_a_body_that_is_just_being_written_again_is_not_erased(machines: list[Store]) -> None:
    ours, other = machines
    recorded(ours, start("x" * 5000, "ada"))
    ours.fold()
    written, go_on = threading.Event(), threading.Event()

    def take(connection: sa.Connection) -> None:
        take_in(connection, [start("x" * 5000, "bob")], "w")
        written.set()
        go_on.wait(10)

    folding_ = threading.Thread(target=lambda: write(other.engine, take))
    folding_.start()
    written.wait(10)
    erasing = threading.Thread(target=lambda: ours.erase(Query(user="ada")))
    erasing.start()
    erasing.join(0.5)
    assert erasing.is_alive()  # it waits for the other machine's transaction
    go_on.set()
    erasing.join(20)
    folding_.join(20)
    (left,) = other.records()
    assert left.user == "bob" and left.input == "x" * 5000


def test_a_body_that_is_missing_all_the_same_is_said_to_be(machines: list[Store]) -> None:
    recorded(machines[0], start("x" * 5000))
    machines[0].fold()
    with machines[0].engine.begin() as connection:
        connection.execute(sa.delete(BODY))
    assert machines[0].records()[0].input == "<missing>"


def test_whoever_reads_sees_one_state(machines: list[Store]) -> None:
    ours, other = machines
    recorded(ours, start("x" * 5000, "ada"), start("y", "bob"))
    ours.fold()
    count = sa.text("SELECT count(*) FROM record")
    with reading(ours.engine) as connection:
        assert connection.scalar(count) == 2
        recorded(other, start("z"))
        other.fold()
        assert connection.scalar(count) == 2
    with reading(ours.engine) as connection:
        assert connection.scalar(count) == 3
    with ours.engine.begin() as connection:
        level = connection.exec_driver_sql("SHOW transaction_isolation").scalar_one()
    assert level == "read committed"


def test_every_try_keeps_out_of_an_erasure_and_the_last_one_says_what_was_wrong() -> None:
    said: list[str] = []

    class Deadlock(Exception):
        sqlstate = "40P01"

    class Server:
        """What `write` asks of an engine, and of its connection."""

        dialect = types.SimpleNamespace(name="postgresql")

        @contextlib.contextmanager
        def begin(self) -> Iterator[Server]:
            said.append("begin")
            yield self

        def exec_driver_sql(self, text: str) -> None:
            said.append("lock" if "advisory" in text else text)

    def work(_: object) -> None:
        said.append("work")
        raise sa.exc.OperationalError("", {}, Deadlock())

    with pytest.raises(sa.exc.OperationalError):
        write(cast(sa.Engine, Server()), work)
    assert said == ["begin", "lock", "work"] * (len(said) // 3) and len(said) > 10
