"""What may be read of a database, and how a model is told of it: tables, columns, types and keys.

No value of a row is shown, only the labels of PostgreSQL's enums, which are part of a type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from onrecord.arguments import closest
from onrecord.errors import UsageError
from onrecord.programs.tools.sql_access.parsing import Allowed, Name


class Table(NamedTuple):
    """A table or view with its columns, each as it is told of."""

    name: Name
    columns: tuple[str, ...]
    told: tuple[str, ...]


def readable(
    engine: sa.Engine, wanted: Sequence[str] | None, passed_over: Iterable[str] = ()
) -> tuple[Allowed, tuple[Table, ...]]:
    """What may be read: the tables and views of these names, or all of the usual schema.

    `passed_over`: tables that hold another one's index. Raises UsageError for a name that there
    is not.
    """
    inspector = sa.inspect(engine)
    usual = inspector.default_schema_name or "main"
    found: dict[str, Name] = {}
    schemas = {usual, *(each.rpartition(".")[0] for each in wanted or ())} - {""}
    for schema in sorted(
        schemas & set(inspector.get_schema_names()), key=lambda each: each != usual
    ):
        for name in _relations(inspector, schema):
            if name not in passed_over:
                found.setdefault(
                    name if schema == usual else f"{schema}.{name}", Name(schema, name)
                )
                found.setdefault(f"{schema}.{name}", Name(schema, name))
    names = dict.fromkeys(found.values() if wanted is None else _named(wanted, found))
    if not names:
        raise UsageError("there is no table to read", where=_place(engine))
    allowed = Allowed(frozenset(names), usual)
    tables: list[Table] = []
    left = _LONGEST
    for each in names:
        if left < 0:  # its columns would not be told of
            tables.append(Table(each, (), ()))
            continue
        tables.append(_table(inspector, each, allowed, engine.dialect))
        left -= sum(map(len, tables[-1].told))
    return allowed, tuple(tables)


def described(tables: Sequence[Table], usual: str) -> str:
    """The tables in lines, as far as there is room for them."""
    lines: list[str] = []
    left = _LONGEST
    for table in tables:
        line = f"{_shown(table.name, usual)}({', '.join(table.told)})"
        left -= len(line) + 1
        if left < 0:
            names = ", ".join(_shown(each.name, usual) for each in tables[len(lines) :])
            lines.append(f"Also, without room for their columns here: {_cut(names)}.")
            break
        lines.append(line)
    return "\n".join(lines)


def _relations(inspector: sa.Inspector, schema: str) -> list[str]:
    found = inspector.get_table_names(schema) + inspector.get_view_names(schema)
    if inspector.engine.dialect.name == "postgresql":
        found += inspector.get_materialized_view_names(schema)
    return sorted(found)


def _named(wanted: Sequence[str], found: Mapping[str, Name]) -> list[Name]:
    for each in wanted:
        if each not in found:
            known = ", ".join(sorted(found)[:20])
            raise UsageError(
                f"there is no table '{each}'",
                cure=f"{closest(each, found)}There are: {known or 'none'}.",
            )
    return [found[each] for each in wanted]


def _table(inspector: sa.Inspector, name: Name, allowed: Allowed, dialect: sa.Dialect) -> Table:
    columns = inspector.get_columns(name.name, name.schema)
    keys = set(inspector.get_pk_constraint(name.name, name.schema).get("constrained_columns", ()))
    points = _foreign_keys(inspector, name, allowed)
    told = []
    for column in columns:
        words = [_identifier(column["name"]), _type(column["type"], dialect)]
        if column["name"] in keys:
            words.append("primary key")
        elif not column.get("nullable", True):
            words.append("not null")
        if column["name"] in points:
            words.append(f"references {points[column['name']]}")
        told.append(" ".join(filter(None, words)))
    return Table(name, tuple(each["name"] for each in columns), tuple(told))


def _foreign_keys(inspector: sa.Inspector, name: Name, allowed: Allowed) -> dict[str, str]:
    """Where single columns point to, as far as that may be read."""
    found = {}
    for key in inspector.get_foreign_keys(name.name, name.schema):
        other = Name(key["referred_schema"] or name.schema, key["referred_table"])
        if other in allowed.tables:
            for mine, theirs in zip(
                key["constrained_columns"], key["referred_columns"], strict=False
            ):
                found[mine] = f"{_shown(other, allowed.schema)}({_identifier(theirs)})"
    return found


def _type(kind: Any, dialect: sa.Dialect) -> str:
    try:
        text = str(kind.compile(dialect))
    except sa.exc.CompileError:
        return ""  # a view's column may have none
    labels = getattr(kind, "enums", None)
    if labels:
        more = ", …" if len(labels) > _LABELS else ""
        text += f"[{', '.join(repr(each[:40]) for each in labels[:_LABELS])}{more}]"
    return " ".join(text.split())


def _shown(name: Name, usual: str) -> str:
    own = _identifier(name.name)
    return own if name.schema == usual else f"{_identifier(name.schema)}.{own}"


def _identifier(name: str) -> str:
    """A name as SQL has to write it, on one line."""
    plain = " ".join(name.split()).replace('"', '""')
    return plain if _PLAIN.fullmatch(plain) else f'"{plain}"'


def _cut(text: str) -> str:
    return text if len(text) <= _NAMES else f"{text[:_NAMES]}…"


def _place(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


_LONGEST = 8_000
_NAMES = 1_000
_LABELS = 12
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
