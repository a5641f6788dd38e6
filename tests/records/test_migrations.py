"""Older stores and journals: brought up to date, whole, once, or left as they were."""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import signal
import sqlite3
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from onrecord.errors import NewerVersionError, StorageError
from onrecord.messages import Message, Text, Usage
from onrecord.records.database.engine import open_engine
from onrecord.records.database.migrating import upgrade
from onrecord.records.database.upgrading import HEAD, prepare
from onrecord.records.query import Query
from onrecord.records.record import Record, content_key, new_id, plain
from onrecord.records.store import Store

# What the first release made, as SQLite wrote it down.
FIRST = """
CREATE TABLE record (
    id VARCHAR(32) NOT NULL, run VARCHAR(32) NOT NULL, parent VARCHAR(32),
    kind VARCHAR NOT NULL, name VARCHAR NOT NULL, state VARCHAR NOT NULL,
    "key" VARCHAR(32) NOT NULL, input VARCHAR(32) NOT NULL, output VARCHAR(32), error VARCHAR,
    started_ns BIGINT NOT NULL, ended_ns BIGINT NOT NULL, usage VARCHAR NOT NULL, cost BIGINT,
    "release" VARCHAR, session VARCHAR, user VARCHAR, tags VARCHAR NOT NULL,
    segment VARCHAR NOT NULL, PRIMARY KEY (id)
);
CREATE INDEX record_roots ON record (id) WHERE parent IS NULL;
CREATE INDEX ix_record_run ON record (run);
CREATE INDEX ix_record_key ON record ("key");
CREATE TABLE body (hash VARCHAR(32) NOT NULL, json BLOB NOT NULL, PRIMARY KEY (hash));
CREATE TABLE segment (name VARCHAR NOT NULL, "offset" BIGINT NOT NULL, PRIMARY KEY (name));
PRAGMA user_version = 1;
"""


def first_store(home: Path, records: list[Record], segment: str = "") -> Path:
    """A store as the first release left it, with these records."""
    home.mkdir(exist_ok=True)
    path = home / "records.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(FIRST)
        for record in records:
            database.execute(f"INSERT INTO record VALUES ({', '.join('?' * 19)})", row(record))
            for value in (record.input, record.output):
                body = (content_key(value), msgspec.json.encode(plain(value)))
                database.execute("INSERT OR IGNORE INTO body VALUES (?, ?)", body)
        if segment:
            database.execute("INSERT INTO segment VALUES (?, ?)", (segment, 19))
    database.close()
    return path


def row(record: Record) -> tuple[Any, ...]:
    ended = record.state in ("done", "failed")
    return (
        *(record.id, record.run, record.parent, record.kind, record.name, record.state),
        *(record.key, content_key(record.input)),
        *(content_key(record.output) if ended else None, record.error),
        *(record.started_ns, record.ended_ns),
        '{"input":7,"output":3,"cached":2,"reasoning":1}' if record.usage.input else "{}",
        *(record.cost, record.release, record.session, record.user),
        msgspec.json.encode(record.tags).decode(),
        f"{'a' * 32}.journal",
    )


def some_records(count: int = 7) -> list[Record]:
    run = new_id()
    shared = {"text": "a long question " * 100}
    records = [
        Record(run, run, None, "flow", "ask", {"q": "é", "n": 1}, "k0", 5, cost=None),
        Record(
            *(new_id(), run, run, "model", "openai:m", shared, "k1", 6, shared),
            usage=Usage(7, 3, 2, 1),
            cost=1500,
            state="done",
            ended_ns=9,
            release="r",
            session="s",
            user="u",
            tags=("b", "a", "b"),
        ),
        Record(*(new_id(), run, run, "step", "s", None, "k", 7), error="E: no", state="failed"),
        Record(*(new_id(), run, run, "step", "s", [1], "k", 8), state="interrupted"),
    ]
    more = (
        Record(new_id(), run, run, "step", f"s{i}", i, "k", 9 + i, i / 2, state="done", ended_ns=99)
        for i in range(count - len(records))
    )
    return [*records, *more]


def tables(engine: sa.Engine) -> dict[str, Any]:
    """What a database looks like, as plain values."""
    inspector, found = sa.inspect(engine), {}
    for name in inspector.get_table_names():
        columns = [
            (each["name"], str(each["type"]), each["nullable"], each["default"])
            for each in inspector.get_columns(name)
        ]
        indexes = [
            (
                *(each["name"], each["column_names"]),
                {name: str(said) for name, said in each["dialect_options"].items()},
            )
            for each in sorted(inspector.get_indexes(name), key=lambda each: each["name"])
        ]
        found[name] = (columns, inspector.get_pk_constraint(name), indexes)
    return found


def test_a_store_of_the_first_release_is_read_whole(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, records = project / ".onrecord", some_records(2500)
    path = first_store(home, records, "bbb.journal")
    before = dump(path)
    with caplog.at_level(logging.WARNING, "onrecord"):
        store = Store(home)
    assert store.run(records[0].id) == records
    assert [each.id for each in store.records(Query(tags=("a", "b")))] == [records[1].id]
    assert [each.id for each in store.records(Query(text="long question"))] == [records[1].id]
    with store.engine.connect() as connection:
        counts = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()
            for name in ("body", "body_use", "tag", "segment")
        ]
        assert counts == [1, 1, 2, 1]
        writer, position = (
            connection.exec_driver_sql("SELECT max(writer) FROM record").scalar_one(),
            connection.exec_driver_sql("SELECT position FROM segment").scalar_one(),
        )
        assert (writer, position) == ("a" * 32, 19)
    copy = home / "records.db.before-0002"
    assert dump(copy) == before
    assert str(copy) in caplog.text
    assert [each.name for each in home.glob("*.before-*")] == [copy.name]  # one, of the whole way
    caplog.clear()
    Store(home)
    assert not caplog.records


def test_a_body_that_is_damaged_does_not_cost_the_others(project: Path) -> None:
    home, records = project / ".onrecord", some_records()
    path = first_store(home, records)
    with sqlite3.connect(path) as database:
        hash = content_key(records[0].input)
        database.execute("UPDATE body SET json = ? WHERE hash = ?", (b'{"q', hash))
        database.execute("DELETE FROM body WHERE hash = ?", (content_key([1]),))
    database.close()
    read = Store(home).run(records[0].id)
    assert (read[0].input, read[3].input) == ("<damaged>", None)
    assert read[1:3] == records[1:3]


def test_erasing_knows_what_an_older_store_held(project: Path) -> None:
    home = project / ".onrecord"
    first_store(home, some_records())
    receipt = Store(home).erase(Query(user="u"))
    assert (receipt.records, receipt.bodies) == (1, 1)


def test_migrations_make_the_tables_that_a_new_store_has(project: Path) -> None:
    new, migrated = open_engine(project, ""), open_engine(project.parent, "")
    prepare(new)
    upgrade(migrated, HEAD)
    assert tables(migrated) == tables(new)
    first_store(project / "first", [])
    old = open_engine(project / "first", "")
    prepare(old)
    assert tables(old) == tables(new)
    with old.connect() as one, new.connect() as other:
        asked = "PRAGMA user_version"
        assert one.exec_driver_sql(asked).scalar() == other.exec_driver_sql(asked).scalar() == 2


def test_migrations_make_the_tables_that_a_new_postgresql_store_has(
    postgres: str, project: Path
) -> None:
    new = open_engine(project, postgres)
    prepare(new)
    made = tables(new)
    assert {"record", "exported", "budget", "reservation", "vector"} <= made.keys()
    with new.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    upgrade(new, HEAD)
    assert tables(new) == made
    prepare(new)
    assert tables(new) == made
    new.dispose()


def test_a_second_store_gets_the_index_of_errors_and_uses_it(project: Path) -> None:
    home = project / ".onrecord"
    home.mkdir()
    engine = open_engine(home, "")
    upgrade(engine, "0002")
    assert "record_error" not in indexes(engine)
    day = 86_400 * 10**9
    off = [str(14 * day // 10**6), str(4 * day)]  # its clock was ten days ahead
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO record (id, run, kind, name, version, key, state, input, started_ns, "
            "ended_ns, input_tokens, output_tokens, cached_tokens, reasoning_tokens, redacted, "
            "writer) SELECT printf('%012x%020x', CASE n WHEN 17 THEN ? ELSE 4 * ? / 1000000 END, "
            "n), 'r', 'step', 's', '', 'k', iif(n % 50, 'done', 'failed'), x'c0', ?, 0, 0, 0, 0, "
            "0, 0, 'w' FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT "
            "20000) SELECT n FROM c)",
            (int(off[0]), day, int(off[1])),
        )
    engine.dispose()
    before = dump(home / "records.db")
    store = Store(home)
    assert "record_error" in indexes(store.engine)
    plans: list[str] = []

    @sa.event.listens_for(store.engine, "before_cursor_execute")
    def explained(_: Any, cursor: Any, statement: str, values: Any, *others: Any) -> None:
        if "FROM record" in statement:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.extend(row[3] for row in cursor.fetchall())

    assert store.records(Query(error="certificate")) == []
    assert any("USING INDEX record_error" in each for each in plans), plans
    assert len(store.records(Query(until_ns=5 * day), limit=20_000)) == 20_000
    (copy,) = home.glob("*.before-*")
    assert copy.name == "records.db.before-0003" and dump(copy) == before


def indexes(engine: sa.Engine) -> set[str | None]:
    return {each["name"] for each in sa.inspect(engine).get_indexes("record")}


def test_what_cannot_be_upgraded_stays_as_it_was(project: Path) -> None:
    home, records = project / ".onrecord", some_records()
    path = first_store(home, records)
    with sqlite3.connect(path) as database:  # in the way, when half of the work is done
        database.execute("CREATE TABLE vector (x)")
    database.close()
    before = dump(path)
    for _ in range(2):
        with pytest.raises(StorageError, match=r"are unchanged: .*vector already exists.* room"):
            Store(home)
        assert dump(path) == before
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE vector")
    database.close()
    assert Store(home).run(records[0].id) == records


def test_a_copy_that_cannot_be_kept_stops_the_upgrade(project: Path) -> None:
    home = project / ".onrecord"
    path = first_store(home, some_records())
    before = dump(path)
    (home / "records.db.before-0002").mkdir()
    with pytest.raises(StorageError, match="are unchanged"):
        Store(home)
    assert dump(path) == before
    assert sorted(each.name for each in home.glob("*.part")) == []


def killed_at_the_last_step(home: Path) -> None:
    engine = open_engine(home, "")

    @sa.event.listens_for(engine, "before_cursor_execute")
    def _(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        if "DROP TABLE record_0001" in statement:
            os.kill(os.getpid(), signal.SIGKILL)

    prepare(engine)


def test_an_upgrade_that_was_killed_is_done_again(project: Path) -> None:
    home, records = project / ".onrecord", some_records(300)
    path = first_store(home, records)
    before = dump(path)
    child = multiprocessing.get_context("spawn").Process(
        target=killed_at_the_last_step, args=(home,)
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert dump(path) == before
    assert Store(home).run(records[0].id) == records


def opened(home: Path, go: Any, answers: Any) -> None:
    go.wait()
    try:
        store = Store(home)
        answers.put(len(list(store.each())))
    except BaseException as error:
        answers.put(repr(error))


def test_processes_that_upgrade_at_once_do_it_once(project: Path) -> None:
    home = project / ".onrecord"
    first_store(home, some_records(3000))
    spawn = multiprocessing.get_context("spawn")
    go, answers = spawn.Barrier(3), spawn.Queue()
    processes = [spawn.Process(target=opened, args=(home, go, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=60) for _ in processes] == [3000] * 3
    for process in processes:
        process.join()
    assert dump(home / "records.db.before-0002").count('INSERT INTO "record"') == 3000


def test_threads_that_upgrade_at_once_do_it_once(project: Path) -> None:
    homes = [project / name for name in "ab"]
    for home in homes:
        first_store(home, some_records(1500))
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda home=home: found.append(len(list(Store(home).each()))))
        for home in homes * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1500] * 4


def test_processes_that_begin_a_postgresql_store_at_once(postgres: str, project: Path) -> None:
    errors: list[BaseException] = []

    def begin() -> None:
        engine = open_engine(project, postgres)
        try:
            prepare(engine)
        except BaseException as error:
            errors.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_database_of_another_application_is_left_alone(postgres: str, project: Path) -> None:
    engine = open_engine(project, postgres)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE tag (id int)")
    with pytest.raises(StorageError, match="another application"):
        prepare(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE tag")
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num varchar(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('ae1027a6acf')")
    with pytest.raises(StorageError, match="another application") as caught:
        prepare(engine)
    assert "not-to-be-shown" not in str(caught.value)
    assert list(tables(engine)) == ["alembic_version"]
    engine.dispose()


def test_a_newer_store_is_left_alone(project: Path) -> None:
    home = project / ".onrecord"
    Store(home).close()
    with sqlite3.connect(home / "records.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0099'")
    database.close()
    before = dump(home / "records.db")
    with pytest.raises(NewerVersionError, match=r"format 0099.*pip install -U"):
        Store(home)
    assert dump(home / "records.db") == before


def dump(path: Path) -> str:
    with sqlite3.connect(path) as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        said = "\n".join(database.iterdump())
    database.close()
    return f"{version}\n{said}"


# The journal of the first release: its frames, and how they were written.

OLD_MAGIC = b"onrecord journal 1\n"


class OldStart(msgspec.Struct, frozen=True, tag="start", array_like=True):
    id: str
    run: str
    parent: str | None
    kind: str
    name: str
    key: str
    started_ns: int
    input: Any
    release: str | None = None
    session: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()


class OldUsage(msgspec.Struct, frozen=True):
    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


class OldEnd(msgspec.Struct, frozen=True, tag="end", array_like=True):
    id: str
    ended_ns: int
    output: Any
    error: str | None
    usage: OldUsage
    cost: int | None


def old_frame(frame: OldStart | OldEnd) -> bytes:
    payload = msgspec.msgpack.Encoder(enc_hook=plain).encode(frame)
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


def old_calls() -> tuple[list[bytes], list[Record]]:
    """Frames of three calls, and the records that they are: done, failed, interrupted."""
    ids = [new_id() for _ in range(3)]
    message = Message("user", (Text("words " * 400),))
    kept = {"role": "user", "parts": [{"type": "text", "text": "words " * 400}]}
    frames = [
        OldStart(ids[0], ids[0], None, "flow", "f", "k", 1, {"q": (1, 2), 3: "x"}, "r", "s", "u"),
        OldStart(ids[1], ids[0], ids[0], "model", "openai:m", "k", 2, {"messages": (message,)}),
        OldEnd(ids[1], 3, {"message": message}, None, OldUsage(5, 2, 1, 1), None),
        OldStart(ids[2], ids[0], ids[0], "step", "s", "k", 4, None, tags=("t",)),
        OldEnd(ids[0], 6, None, "ValueError: no", OldUsage(), 0),
    ]
    records = [
        Record(
            *(ids[0], ids[0], None, "flow", "f", {"q": [1, 2], "3": "x"}, "k", 1),
            error="ValueError: no",
            ended_ns=6,
            state="failed",
            release="r",
            session="s",
            user="u",
        ),
        Record(
            *(ids[1], ids[0], ids[0], "model", "openai:m", {"messages": [kept]}, "k", 2),
            output={"message": kept},
            ended_ns=3,
            usage=Usage(5, 2, 1, 1),
            cost=None,
            state="done",
        ),
        Record(*(ids[2], ids[0], ids[0], "step", "s", None, "k", 4), tags=("t",)),
    ]
    return [old_frame(each) for each in frames], records


def interrupted(record: Record) -> Record:
    return msgspec.structs.replace(record, state="interrupted")


def test_a_journal_of_the_first_release_is_folded(project: Path) -> None:
    home = project / ".onrecord"
    frames, records = old_calls()
    (home / "journal").mkdir(parents=True)
    path = home / "journal" / f"{new_id()}.journal"
    path.write_bytes(OLD_MAGIC + b"".join(frames) + b"torn")
    store = Store(home)
    assert store.run(records[0].id) == [*records[:2], interrupted(records[2])]
    assert store.torn == 4
    assert not path.exists()


def test_a_journal_that_the_first_release_began_to_fold_is_folded_on(project: Path) -> None:
    """Two frames were in its store when it ended; the rest comes in after the upgrade."""
    home = project / ".onrecord"
    frames, records = old_calls()
    writer = new_id()
    (home / "journal").mkdir(parents=True)
    path = home / "journal" / f"{writer}.journal"
    path.write_bytes(OLD_MAGIC + b"".join(frames))
    opened = [
        msgspec.structs.replace(
            each, state="open", output=None, error=None, ended_ns=0, usage=Usage()
        )
        for each in records[:2]
    ]
    database = first_store(home, opened)
    with sqlite3.connect(database) as connection:
        taken_in = len(OLD_MAGIC) + len(frames[0]) + len(frames[1])
        connection.execute("INSERT INTO segment VALUES (?, ?)", (path.name, taken_in))
        connection.execute("UPDATE record SET segment = ?", (path.name,))
    connection.close()
    assert Store(home).run(records[0].id) == [*records[:2], interrupted(records[2])]


def test_the_journal_of_a_first_release_that_still_runs_is_followed(project: Path) -> None:
    home = project / ".onrecord"
    frames, records = old_calls()
    (home / "journal").mkdir(parents=True)
    path = home / "journal" / f"{new_id()}.journal"
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(OLD_MAGIC + b"".join(frames[:3]))
        store = Store(home)
        assert [each.state for each in store.run(records[0].id)] == ["open", "done"]
        file.write(b"".join(frames[3:]))
        store.fold()
        assert [each.state for each in store.run(records[0].id)] == ["failed", "done", "open"]
    store.fold()
    assert store.run(records[0].id) == [*records[:2], interrupted(records[2])]
