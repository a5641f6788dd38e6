"""The first wall around a model's SQL: what it wrote is parsed, and only what is known is let by.

    checked("select total from orders; drop table orders", "sqlite", tables)     raises UsageError

The text has to be one query. Every node of its tree is of a kind that stands in `nodes.py`, every
function in `functions.py`, every table in `tables`. What is run is not the text: it is written
anew from the tree, without comments, each table with its schema and in quotes, so that a database
which reads a text in another way than this parser does gets nothing to read in another way.

What this does not cover. A function of the database's own that somebody gave the name of a built-in
one is taken for that one. A function that PostgreSQL lets be written as a column (`orders.f` for
`f(orders)`) looks like a column. Both are left to the second wall.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from onrecord.arguments import closest
from onrecord.errors import MissingExtraError, UsageError
from onrecord.programs.tools.sql_access import functions, nodes

if TYPE_CHECKING:
    from sqlglot import exp

Dialect = Literal["sqlite", "postgresql"]


class Name(NamedTuple):
    """A table or view, as the database itself spells it."""

    schema: str
    name: str


class Allowed(NamedTuple):
    """What may be read: the tables and views, and the schema of a name without one."""

    tables: frozenset[Name]
    schema: str


def checked(text: str, dialect: Dialect, allowed: Allowed) -> str:
    """The statement that is run instead of `text`. Raises UsageError, in words for the model."""
    grammar = _grammar(dialect)
    tree = _parsed(text, grammar)
    for node in tree.walk():
        _check(node, dialect)
    names = _Names(dialect, allowed)
    for table in list(tree.find_all(grammar.exp.Table)):
        names.settle(table)
    made = _written(tree, grammar)
    _nothing_lost(text, made, grammar)
    return made


class _Grammar(NamedTuple):
    """The parser of a dialect, in which functions keep the names that they were written with."""

    exp: Any
    errors: Any
    dialect: Any
    tokens: Any


@functools.cache
def _grammar(dialect: Dialect) -> _Grammar:
    try:
        import sqlglot.dialects
        import sqlglot.errors
    except ImportError:
        raise MissingExtraError(
            "the tool for SQL needs a parser",
            cure="Install it with `pip install 'onrecord[tools]'`.",
        ) from None
    named = sqlglot.dialects.SQLite if dialect == "sqlite" else sqlglot.dialects.Postgres
    grammars = {each: named.Parser.FUNCTION_PARSERS[each] for each in _OWN_GRAMMAR}
    parser = type("Parser", (named.Parser,), {"FUNCTIONS": {}, "FUNCTION_PARSERS": grammars})
    as_written = {"Parser": parser, "to_json_path": lambda self, path: path}
    made = type(f"Onrecord_{dialect}", (named,), as_written)
    return _Grammar(sqlglot.exp, sqlglot.errors, made(), sqlglot.TokenType)


def _parsed(text: str, grammar: _Grammar) -> exp.Expr:
    if len(text) > _LONGEST:
        raise UsageError(
            f"the query has {len(text):,} characters, and {_LONGEST:,} are read at most",
            cure="Shorten it.",
        )
    if not text.isprintable() and _CONTROL.search(text):
        raise UsageError("the query holds control characters", cure="Leave them out.")
    try:
        tokens = _tokens(text, grammar)
        trees = grammar.dialect.parser(error_level=grammar.errors.ErrorLevel.RAISE).parse(
            tokens, text
        )
    except grammar.errors.SqlglotError as error:
        raise UsageError(
            f"the query cannot be read: {_said(error)}", cure="Write one plain SELECT statement."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except UsageError:
        raise
    except Exception as error:  # a slip of the parser's, over a text that was made for it
        raise UsageError(f"the query cannot be read: {type(error).__name__}") from None
    (tree,) = trees
    if tree is None or not isinstance(tree, _classes(_ROOTS)):
        raise _only_queries(type(tree).__name__)
    root: exp.Expr = tree
    return root


def _tokens(text: str, grammar: _Grammar) -> list[Any]:
    """The tokens of one statement that begins as a query does."""
    kinds = grammar.tokens
    tokens = grammar.dialect.tokenize(text)
    while tokens and tokens[-1].token_type == kinds.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise UsageError("the query is empty", cure="Write one SELECT statement.")
    if len(tokens) > _MOST_TOKENS:
        raise UsageError(
            f"the query has {len(tokens):,} words and signs, and {_MOST_TOKENS:,} are read at most",
            cure="Shorten it.",
        )
    if any(each.token_type == kinds.SEMICOLON for each in tokens):
        raise UsageError("there is more than one statement", cure="Send one query at a time.")
    opening = (kinds.SELECT, kinds.WITH, kinds.VALUES, kinds.L_PAREN)
    if tokens[0].token_type not in opening:
        raise _only_queries(tokens[0].text)
    for one, two in itertools.pairwise(tokens):
        if one.token_type == kinds.NUMBER and one.end + 1 == two.start and _NAME.match(two.text):
            number = f"{one.text}{two.text}"  # 1_000: one number to some, two words to others
            raise UsageError(f"{number:.40} is no plain number", cure="Write its digits only.")
    depth = 0
    for each in tokens:
        depth += (each.token_type in (kinds.L_PAREN, kinds.L_BRACKET)) - (
            each.token_type in (kinds.R_PAREN, kinds.R_BRACKET)
        )
        if depth > _DEEPEST:
            raise _too_deep()
    return list(tokens)


def _check(node: exp.Expr, dialect: Dialect) -> None:
    """Raises UsageError for what is not known to read only."""
    kind = type(node).__name__
    if kind not in nodes.KNOWN:
        raise _refused(node, kind)
    if kind == "Anonymous":
        _check_function(node, dialect)
    elif kind == "Select":
        odd = [name for name, value in node.args.items() if value and name not in nodes.OF_A_SELECT]
        if odd:
            raise _refused(node, odd[0])
    elif kind == "In" and node.args.get("field") is not None:
        raise UsageError("IN takes a list or a query here", cure="Write IN (SELECT …).")
    elif kind == "DataType" and node.this.name not in nodes.TYPES:
        raise UsageError(f"the type {node.sql()} is not known here", cure="Compare with a text.")
    elif kind == "Identifier" and not (node.args.get("quoted") or _NAME.fullmatch(node.this)):
        raise UsageError(f"the name {node.this:.60} is no plain one", cure="Put it in quotes.")
    elif kind == "Var" and not _WORD.fullmatch(node.name):
        raise _refused(node, node.name)


def _check_function(node: exp.Expr, dialect: Dialect) -> None:
    known = functions.SQLITE if dialect == "sqlite" else functions.POSTGRESQL
    name = node.name
    if not isinstance(node.this, str) or not _WORD.fullmatch(name) or name.lower() not in known:
        raise UsageError(
            f"the function {name:.60} may not be called",
            cure=f"{closest(name.lower(), known)}Use plain SQL functions.",
        )


class _Names:
    """Which table a name means."""

    def __init__(self, dialect: Dialect, allowed: Allowed) -> None:
        self._sqlite = dialect == "sqlite"
        self._schema = allowed.schema
        self._tables = {self._folded(*each): each for each in allowed.tables}
        self._allowed = allowed.tables

    def settle(self, table: exp.Expr) -> None:
        """Write the table's name in full and in quotes; leave what the query itself defines.
        Raises UsageError where it may not be read."""
        identifier = _classes(("Identifier",))
        if not isinstance(table.this, identifier):
            # Of a function's rows there is nothing to settle; what is left has no name at all.
            rows = isinstance(table.this, _classes(("Anonymous",))) or table.args.get("rows_from")
            if rows and table.args.get("db") is None:
                return
            raise _refused(table, "table")
        if table.args.get("catalog") is not None:
            raise self._unknown(table.sql())
        schema, name = table.args.get("db"), self._read(table.this)
        if schema is None and name in self._defined(table):
            table.this.set("quoted", True)
            table.this.set("this", name)
            return
        given = self._schema if schema is None else self._read(schema)
        found = self._tables.get(self._folded(given, name))
        if found is None:
            raise self._unknown(table.this.name if schema is None else f"{given}.{name}")
        for part, spelled in (("db", found.schema), ("this", found.name)):
            table.set(part, identifier[0](this=spelled, quoted=True))

    def _defined(self, table: exp.Expr) -> set[str]:
        """The names that WITH gives where the table stands. Where databases differ (a query that
        names a later one, or itself without RECURSIVE) it is the fewer."""
        found: set[str] = set()
        child: exp.Expr = table
        node = table.parent
        while node is not None:
            given = node.args.get("with_")
            if given is not None and child is not given:
                found.update(map(self._defines, given.expressions))
            if type(node).__name__ == "With":
                at = next(i for i, each in enumerate(node.expressions) if each is child)
                last = at + 1 if node.args.get("recursive") else at
                found.update(map(self._defines, node.expressions[:last]))
            child, node = node, node.parent
        return found

    def _defines(self, cte: exp.Expr) -> str:
        """The name of a CTE, written so that both databases read it alike."""
        identifier = cte.args["alias"].this
        name = self._read(identifier)
        identifier.set("this", name)
        identifier.set("quoted", True)
        return name

    def _read(self, identifier: exp.Expr) -> str:
        """The name as the database takes it."""
        name: str = identifier.this
        as_it_is = identifier.args.get("quoted") and not self._sqlite
        return name if as_it_is else _lower(name)

    def _folded(self, schema: str, name: str) -> tuple[str, str]:
        return (_lower(schema), _lower(name)) if self._sqlite else (schema, name)

    def _unknown(self, name: str) -> UsageError:
        shown = sorted(self._shown(each) for each in self._allowed)
        names = ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")
        return UsageError(
            f"there is no table '{name:.100}' that may be read",
            cure=f"{closest(name, shown)}There are: {names}.",
        )

    def _shown(self, name: Name) -> str:
        return name.name if name.schema == self._schema else f"{name.schema}.{name.name}"


def _written(tree: exp.Expr, grammar: _Grammar) -> str:
    try:
        made: str = grammar.dialect.generate(
            tree,
            comments=False,
            normalize_functions=False,
            unsupported_level=grammar.errors.ErrorLevel.RAISE,
        )
    except grammar.errors.SqlglotError as error:
        raise UsageError(f"the query cannot be read: {_said(error)}") from None
    except RecursionError:
        raise _too_deep() from None
    except Exception as error:  # as above
        raise UsageError(f"the query cannot be read: {type(error).__name__}") from None
    return made


def _nothing_lost(text: str, made: str, grammar: _Grammar) -> None:
    """Raises UsageError where the parser dropped a word instead of reading it."""
    lost = Counter(_words(text, grammar)) - Counter(_words(made, grammar))
    if words := [each for each in lost if each not in nodes.MAY_BE_LOST]:
        raise UsageError(
            f"this way of writing it is not read here: {', '.join(words[:5]).upper():.100}",
            cure="Write it in plainer SQL.",
        )


def _words(text: str, grammar: _Grammar) -> Iterator[str]:
    kinds = grammar.tokens
    types = grammar.dialect.parser_class.TYPE_TOKENS
    numbers = (kinds.NUMBER, kinds.HEX_STRING, kinds.BIT_STRING)
    for token in grammar.dialect.tokenize(text):
        if token.token_type not in types and token.token_type not in numbers:
            yield from _NAME.findall(token.text.lower())


def _refused(node: exp.Expr, what: str) -> UsageError:
    if what in ("Placeholder", "Parameter"):
        return UsageError("the query has a placeholder", cure="Write the value itself.")
    if what in nodes.WRITES:
        return _only_queries(what)
    said = nodes.SAID.get(what, what)
    return UsageError(
        f"this is not read here: {said:.60}", cure="Write one plain SELECT that only reads."
    )


def _only_queries(what: str) -> UsageError:
    return UsageError(
        f"only a query can be run, and not {what.upper():.40}",
        cure="Write one SELECT statement; nothing can be changed here.",
    )


def _too_deep() -> UsageError:
    return UsageError("the query is nested too deeply", cure="Write it flatter.")


def _said(error: Exception) -> str:
    """What the parser says, and where, without the colours that it marks the place with."""
    for each in getattr(error, "errors", []):
        words, line, column = each.get("description"), each.get("line"), each.get("col")
        if words:
            return f"{words.rstrip('.')}, line {line}, column {column}"
    return " ".join(_COLOURS.sub("", str(error)).split())[:200]


@functools.cache
def _classes(names: tuple[str, ...]) -> tuple[Any, ...]:
    from sqlglot import exp

    return tuple(getattr(exp, each) for each in names)


def _lower(name: str) -> str:
    """Folded as both databases do it: the letters of ASCII alone."""
    return name.translate(_LOWER)


_LONGEST = 10_000
_MOST_TOKENS = 2_000
_DEEPEST = 50
_SHOWN = 30
_LOWER = {ord(each): each.lower() for each in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]"
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[^\W\d]\w*")
_ROOTS = ("Select", "Union", "Intersect", "Except", "Subquery", "Values")
_OWN_GRAMMAR = ("CAST", "EXTRACT", "OVERLAY", "POSITION", "STRING_AGG", "SUBSTRING", "TRIM")
