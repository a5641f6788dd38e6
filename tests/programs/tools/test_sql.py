"""The tool for SQL, in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from onrecord.errors import DeadlineError, StorageError, UsageError
from onrecord.programs.tools.sql_access.answer import Bounds
from onrecord.programs.tools.sql_tool import _opened, sql
from tests.programs.tools.sql_shops import READABLE, SECRET, TABLES, Shop, sqlite_shop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def lines(answer: str) -> list[Any]:
    """The rows of an answer, the columns' names first, and its note."""
    *rows, note = answer.split("\n")
    return [*map(json.loads, rows), note]


async def test_a_query_is_answered_with_rows(shop: Shop) -> None:
    orders = sql(shop.url, tables=READABLE)
    answer = await orders("SELECT id, status, placed FROM orders WHERE id < 3 ORDER BY id")
    assert lines(answer) == [
        ["id", "status", "placed"],
        [1, "paid", "2026-01-05"],
        [2, "open", "2026-02-01"],
        "(2 rows)",
    ]


async def test_the_model_is_told_of_the_tables_and_of_no_value(shop: Shop) -> None:
    told = sql(shop.url, tables=["orders", "customers", "Odd Name", "paid"], name="shop").schema
    assert told.name == "shop"
    assert list(told.parameters["properties"]) == ["query"]
    words = told.description
    assert "customers(id INTEGER primary key, name VARCHAR(50) not null, city TEXT)" in words
    assert "customer_id INTEGER references customers(id)" in words
    assert "NUMERIC(10, 2)" in words and '"Odd Name"(' in words and '"Its Value" TEXT' in words
    assert "paid(id INTEGER" in words
    for hidden in ("Ann", "sent", SECRET, "secrets"):
        assert hidden not in words


async def test_a_key_to_a_table_that_may_not_be_read_is_not_told(shop: Shop) -> None:
    assert "customers" not in sql(shop.url, tables=["orders"]).schema.description


async def test_many_tables_are_named_where_their_columns_have_no_room(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "wide.db") as connection:
        for number in range(80):
            columns = ", ".join(f"column_{at} INTEGER" for at in range(40))
            connection.execute(f"CREATE TABLE table_{number} ({columns})")
    words = sql(f"sqlite:///{tmp_path / 'wide.db'}").schema.description
    assert len(words) < 10_000
    assert "Also, without room for their columns here: table_" in words


async def test_without_a_list_all_that_is_there_may_be_read_and_nothing_made_later(
    tmp_path: Path,
) -> None:
    shop = sqlite_shop(tmp_path)
    tool = sql(shop.url)
    assert SECRET in await tool("SELECT * FROM leak")
    shop.as_owner("CREATE TABLE later AS SELECT 1 AS x")
    with pytest.raises(UsageError, match="no table 'later'"):
        await tool("SELECT * FROM later")


async def test_a_view_may_be_read_where_its_tables_may_not(shop: Shop) -> None:
    tool = sql(shop.url, tables=["paid"])
    assert lines(await tool("SELECT name, number FROM paid ORDER BY id"))[1:3] == [
        ["ANN", 1],
        ["ANN", None],
    ]
    for hidden in ("orders", "customers", "secrets"):
        with pytest.raises(UsageError, match="There are: paid"):
            await tool(f"SELECT * FROM {hidden}")


async def test_more_rows_than_are_shown_are_told(shop: Shop) -> None:
    tool = sql(shop.url, tables=READABLE, rows=2)
    answer = await tool("SELECT id FROM orders ORDER BY id")
    assert lines(answer)[1:] == [
        [1],
        [2],
        "(the first 2 rows; there are more: ask for fewer, or count them.)",
    ]
    assert (await tool("SELECT id FROM orders WHERE id < 3")).endswith("(2 rows)")
    assert lines(await tool("SELECT id FROM orders WHERE id = 99")) == [["id"], "(0 rows)"]


async def test_an_answer_has_so_many_bytes_at_most(shop: Shop) -> None:
    tool = sql(shop.url, tables=READABLE, max_bytes=60)
    answer = await tool("SELECT id, 'äöü 20 characters..' AS text FROM orders ORDER BY id")
    assert answer.endswith("an answer has 60 bytes at most: ask for fewer columns or rows.)")
    assert [1, "äöü 20 characters.."] in lines(answer)[1:-1]
    assert len(answer.encode()) < 60 + 100


async def test_a_long_value_is_cut(shop: Shop) -> None:
    tool = sql(shop.url, tables=READABLE)
    long = "x" * 3_000
    (_, (value, short), _) = lines(await tool(f"SELECT '{long}' AS a, 'b' AS b"))
    assert value == "x" * 2_000 + "… (cut)" and short == "b"


async def test_values_are_shown_as_json(shop: Shop) -> None:
    tool = sql(shop.url, tables=READABLE)
    (columns, row, _) = lines(
        await tool("SELECT NULL AS n, 1.5 AS f, 'a\"b\n]' AS t, '2026-01-01' AS t, 1 = 1 AS b")
    )
    assert columns == ["n", "f", "t", "t", "b"]
    assert row[0] is None and float(row[1]) == 1.5 and row[2] == 'a"b\n]' and row[4]
    # What nobody sees and a model reads is taken out.
    (_, (shown,), _) = lines(await tool("SELECT 'a\U000e0041\U000e0042b' AS t"))
    assert shown == "ab"


async def test_a_mistake_comes_back_in_words_with_the_name_that_is_meant(shop: Shop) -> None:
    tool = sql(shop.url, tables=READABLE)
    with pytest.raises(UsageError, match=r"totl.*total"):
        await tool("SELECT totl FROM orders")
    with pytest.raises(UsageError, match="Did you mean 'orders'"):
        await tool("SELECT 1 FROM order_s")
    with pytest.raises(UsageError, match="the database refuses it"):
        await tool("SELECT id, count(*) FROM orders GROUP BY nothing")


async def test_a_query_that_does_not_end_is_ended(shop: Shop) -> None:
    tool = sql(shop.url, tables=READABLE, seconds=0.3)
    with pytest.raises(DeadlineError, match=r"stopped after 0\.3 s"):
        await tool(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        )
    if shop.kind == "postgresql":
        busy = shop.as_owner(
            "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'reader_%' AND state ="
            " 'active'"
        )
        assert busy == "[(0,)]"


async def test_many_ask_at_once(shop: Shop) -> None:
    tool = sql(shop.url, tables=READABLE)
    asked = [tool(f"SELECT {number} AS n, count(*) FROM orders") for number in range(12)]
    answers = await asyncio.gather(*asked)
    assert [lines(each)[1] for each in answers] == [[number, 4] for number in range(12)]


async def test_the_second_wall_holds_where_the_session_itself_might_write(shop: Shop) -> None:
    if shop.kind == "postgresql":
        shop.as_owner(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {shop.role}")
        shop.as_owner(
            "CREATE FUNCTION spoil() RETURNS bigint LANGUAGE sql AS"
            " 'WITH gone AS (DELETE FROM \"Odd Name\" RETURNING 1) SELECT count(*) FROM gone'"
        )
        shop.as_owner("CREATE SEQUENCE numbers")
    before = shop.content()
    database = _opened(shop.url, READABLE, None)
    for text in (
        "DELETE FROM orders",
        "SELECT 1; DELETE FROM orders",
        "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
        "SELECT * INTO made FROM orders",
        "SELECT * FROM orders FOR UPDATE",
        "SELECT nextval('numbers')",
        "SELECT spoil()",
    ):
        with pytest.raises(UsageError, match="the database refuses it"):
            database.ask(text, Bounds(10, 2, 1_000))
    assert shop.content() == before
    if shop.kind == "postgresql":
        shop.as_owner(f"REVOKE ALL ON secrets, leak FROM {shop.role}")


@pytest.mark.parametrize("shop", ["postgresql"], indirect=True)
async def test_a_role_is_taken_for_each_query(shop: Shop) -> None:
    shop.as_owner(f"CREATE ROLE {shop.role}_few")
    try:
        shop.as_owner(f"GRANT SELECT ON orders TO {shop.role}_few")
        tool = sql(shop.owner, tables=["orders"], role=f"{shop.role}_few")
        assert lines(await tool("SELECT count(*) FROM orders"))[1] == [4]
        database = _opened(shop.owner, ["orders"], f"{shop.role}_few")
        with pytest.raises(UsageError, match="permission denied for table secrets"):
            database.ask("SELECT * FROM secrets", Bounds(10, 2, 1_000))
    finally:
        shop.as_owner(f"DROP OWNED BY {shop.role}_few")
        shop.as_owner(f"DROP ROLE {shop.role}_few")


@pytest.mark.parametrize("shop", ["postgresql"], indirect=True)
async def test_a_superuser_is_refused(shop: Shop) -> None:
    with pytest.raises(UsageError, match=r"superuser.*CREATE ROLE reader") as refused:
        sql(shop.owner)
    assert "not-to-be-shown" not in str(refused.value)
    shop.as_owner(f"GRANT pg_read_server_files TO {shop.role}")
    try:
        with pytest.raises(UsageError, match="read the server's files"):
            sql(shop.url)
    finally:
        shop.as_owner(f"REVOKE pg_read_server_files FROM {shop.role}")


@pytest.mark.parametrize("shop", ["postgresql"], indirect=True)
async def test_schemas_enums_and_long_values_of_postgresql(shop: Shop) -> None:
    shop.as_owner("CREATE SCHEMA sales")
    shop.as_owner("CREATE TYPE sales.mood AS ENUM ('good', 'bad')")
    shop.as_owner("CREATE TABLE sales.days (id int PRIMARY KEY, mood sales.mood, b bytea, a int[])")
    shop.as_owner("INSERT INTO sales.days VALUES (1, 'good', '\\x00ff', '{1,2}')")
    shop.as_owner(f"GRANT USAGE ON SCHEMA sales TO {shop.role}")
    shop.as_owner(f"GRANT SELECT ON sales.days TO {shop.role}")
    tool = sql(shop.url, tables=["sales.days", "orders"])
    assert "sales.days(id INTEGER primary key, mood" in tool.schema.description
    assert "['good', 'bad']" in tool.schema.description
    assert lines(await tool("SELECT * FROM sales.days"))[1] == [1, "good", "\\x00ff", "{1,2}"]
    assert lines(await tool("SELECT mood FROM Sales.Days WHERE mood = 'good'"))[1] == ["good"]
    for other in ("days", "public.days", '"Sales".days', "sales.orders"):
        with pytest.raises(UsageError, match="no table"):
            await tool(f"SELECT * FROM {other}")
    # The server sends the beginning of it, not the whole.
    big = "SELECT string_agg('xxxxxxxxxx', '') FROM generate_series(1, 2000000)"
    assert lines(await tool(big))[1][0].endswith("x… (cut)")


@pytest.mark.parametrize("shop", ["postgresql"], indirect=True)
async def test_a_server_that_is_gone_is_told_without_the_password(
    shop: Shop, postgres_cluster: Any
) -> None:
    tool = sql(shop.url, tables=["orders"])
    postgres_cluster.stop()
    with pytest.raises(StorageError, match="does not answer") as gone:
        await tool("SELECT 1")
    assert "reads-only" not in str(gone.value)
    with pytest.raises(StorageError):
        sql(shop.url)


async def test_full_text_json_and_wal_in_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE VIRTUAL TABLE notes USING fts5(title, body)")
        connection.execute("INSERT INTO notes VALUES ('leave', 'thirty days of leave')")
        connection.commit()
        tool = sql(f"sqlite:///{path}")
        assert "notes(title, body)" in tool.schema.description
        assert "notes_data" not in tool.schema.description
        found = await tool("SELECT title FROM notes WHERE notes MATCH 'days' ORDER BY rank")
        assert lines(found)[1] == ["leave"]
        assert lines(await tool("SELECT value FROM json_each('[7]')"))[1] == [7]
        with pytest.raises(UsageError, match="no table 'notes_content'"):
            await tool("SELECT * FROM notes_content")
        # Somebody writes meanwhile, and it is seen.
        connection.execute("INSERT INTO notes VALUES ('late', 'days')")
        connection.commit()
        assert lines(await tool("SELECT count(*) FROM notes"))[1] == [2]


async def test_nothing_is_left_beside_a_file_that_was_read(tmp_path: Path) -> None:
    shop = sqlite_shop(tmp_path)
    before = Path(shop.owner).read_bytes()
    await sql(shop.url)("SELECT * FROM orders, customers, paid ORDER BY 1, 2")
    assert Path(shop.owner).read_bytes() == before
    assert [each.name for each in tmp_path.iterdir() if each.name != "project"] == ["shop.db"]


async def test_a_file_of_odd_bytes_is_read(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "odd # ?.db") as connection:
        connection.execute('CREATE TABLE "a""b" (x)')
        connection.execute("INSERT INTO \"a\"\"b\" VALUES (CAST(x'ff41' AS TEXT)), (x'00ff')")
    url = __import__("sqlalchemy").URL.create("sqlite", database=str(tmp_path / "odd # ?.db"))
    answer = await sql(url)('SELECT * FROM "a""b"')
    assert lines(answer)[1:3] == [["�A"], ["x'00ff'"]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tables": "orders"}, "several, not one"),
        ({"tables": ["ordrs"]}, "Did you mean 'orders'"),
        ({"tables": []}, "no table to read"),
        ({"rows": 0}, "rows=0"),
        ({"seconds": -1}, "seconds=-1"),
        ({"max_bytes": 1.5}, "max_bytes=1.5"),
        ({"role": "reader"}, "no roles"),
        ({"name": "a b"}, "no name of a tool"),
    ],
)
async def test_options_that_do_not_fit(tmp_path: Path, options: Any, words: str) -> None:
    shop = sqlite_shop(tmp_path)
    with pytest.raises(UsageError, match=words):
        sql(shop.url, **options)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "a file of SQLite's"),
        ("sqlite:///gone.db", "there is no database at"),
        ("sqlite:///onrecord.toml", "cannot be read"),
        ("mysql://root:hidden@host/x", "not the address"),
        ("hidden", "not the address"),
    ],
)
async def test_addresses_that_are_none(project: Path, url: str, words: str) -> None:
    (project / "onrecord.toml").write_text("# no database, and longer than a header of one" * 9)
    with pytest.raises(UsageError, match=words) as refused:
        sql(url)
    assert "hidden" not in str(refused.value)


def test_the_tables_of_the_tests_hold_what_must_not_be_seen() -> None:
    assert SECRET in TABLES
