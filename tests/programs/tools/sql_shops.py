"""A small shop in SQLite and in PostgreSQL, and everything that is in it: what must not change."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SECRET = "tiger-7731"
READABLE = ("orders", "customers", "paid", "Odd Name")

TABLES = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL, city TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id),
    total NUMERIC(10, 2), placed DATE, status VARCHAR(20)
);
CREATE TABLE secrets (id INTEGER PRIMARY KEY, value TEXT);
CREATE TABLE "Odd Name" (id INTEGER PRIMARY KEY, "Its Value" TEXT);
CREATE VIEW paid AS SELECT o.id, o.total, upper(c.name) AS name, s.id AS number
    FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN secrets s ON s.id = o.id
    WHERE o.status = 'paid';
CREATE VIEW leak AS SELECT value FROM secrets;
INSERT INTO customers VALUES (1, 'Ann', 'Bern'), (2, 'Bob', NULL), (3, 'Ünal', 'Köln');
INSERT INTO orders VALUES
    (1, 1, 9.99, '2026-01-05', 'paid'), (2, 2, 19.50, '2026-02-01', 'open'),
    (3, 1, 100, '2026-02-11', 'paid'), (4, 3, 0.01, '2026-03-01', 'sent');
INSERT INTO secrets VALUES (1, 'tiger-7731');
INSERT INTO "Odd Name" VALUES (1, 'x');
"""


@dataclass
class Shop:
    """A database: `url` is what the tool connects with, and `owner` what may do everything."""

    kind: str
    url: str
    owner: str
    role: str = ""

    def content(self) -> Any:
        """All that is in it, the tables themselves included."""
        if self.kind == "sqlite":
            with sqlite3.connect(self.owner) as connection:
                return list(connection.iterdump())
        import psycopg

        with psycopg.connect(self.owner) as connection:
            kept = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            names = sorted(name for (name,) in connection.execute(kept))
            tables = ("orders", "customers", "secrets", '"Odd Name"')
            rows = [connection.execute(f"SELECT * FROM {each} ORDER BY 1") for each in tables]
            large = connection.execute("SELECT count(*) FROM pg_largeobject").fetchall()
            return names, large, [each.fetchall() for each in rows]

    def as_owner(self, statement: str, rows: int = 200) -> str:
        """The rows of a statement, run with all rights and with no wall but a clock."""
        if self.kind == "sqlite":
            connection = sqlite3.connect(self.owner)
            try:
                steps = iter(range(2_000))
                connection.set_progress_handler(lambda: next(steps, -1) == -1, 1_000)
                return str(connection.execute(statement).fetchmany(rows))
            except (sqlite3.Error, sqlite3.Warning) as error:
                return str(error)
            finally:
                connection.commit()
                connection.close()
        import psycopg

        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute("SET statement_timeout = 500")
            try:
                return str(connection.execute(statement.encode()).fetchmany(rows))
            except (psycopg.Error, ValueError) as error:
                return str(error)


def sqlite_shop(folder: Path) -> Shop:
    """A file with the shop in it."""
    path = folder / "shop.db"
    connection = sqlite3.connect(path)
    connection.executescript(TABLES)
    connection.close()
    return Shop("sqlite", f"sqlite:///{path}", str(path))


def postgresql_shop(owner: str, role: str) -> Shop:
    """The shop in an empty database, and a role that may read what the tool is given."""
    import psycopg

    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reads-only'".encode())
        granted = ", ".join(f'"{each}"' for each in READABLE)
        connection.execute(f"GRANT SELECT ON {granted} TO {role}".encode())
    address = owner.rpartition("@")[2]
    return Shop("postgresql", f"postgresql://{role}:reads-only@{address}", owner, role)


def drop_role(owner: str, role: str) -> None:
    """Take the role away again: it belongs to the whole cluster."""
    import psycopg

    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


@contextlib.contextmanager
def opened(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Shop]:
    """The shop in a database of this kind, for as long as it is needed."""
    if kind == "sqlite":
        yield sqlite_shop(folder)
        return
    cluster = request.getfixturevalue("_cluster")
    cluster.start()
    name = f"shop_{uuid.uuid4().hex}"
    cluster.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    owner = cluster.url(name)
    try:
        yield postgresql_shop(owner, f"reader_{name}")
    finally:
        drop_role(owner, f"reader_{name}")
        cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")
