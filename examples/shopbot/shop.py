"""The shop's database: products, orders and returns, in SQLite or PostgreSQL.

What a customer may do is decided here, whatever a model was talked into:

    order     only with its number and the e-mail address that it was placed with
    register  once, within the period, and only what is in the order
"""

from __future__ import annotations

import datetime
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import Field
from sqlalchemy import Column, Date, ForeignKey, Integer, String, Table

import onrecord as on
from onrecord.errors import ToolError, UsageError

RETURN_DAYS = 30

# What a model writes is checked against these before a tool is called.
Number = Annotated[str, Field(pattern=r"^T-[0-9]{6}$"), "The order's number, such as T-204117"]
Email = Annotated[
    str, Field(pattern=r"^[!-~]+@[!-~]+$", max_length=254), "The one the order was placed with"
]


@dataclass
class Item:
    """So many of a product."""

    sku: Annotated[str, Field(pattern=r"^[A-Z0-9-]{1,20}$")]
    quantity: Annotated[int, Field(ge=1, le=99)]


@dataclass
class Line(Item):
    """So many of a product in an order; `cents` is the price of one."""

    name: str
    cents: int


@dataclass
class Order:
    """An order as its customer may see it."""

    number: str
    placed: datetime.date
    lines: list[Line]


@dataclass
class Return:
    """What is registered as coming back; the label goes to `email`, which is the database's."""

    number: str
    email: str
    items: list[Item]


class Shop:
    """The shop's database at an address of SQLAlchemy's. Its tables are made where they are not."""

    def __init__(self, address: str) -> None:
        try:
            self._engine = sa.create_engine(address, hide_parameters=True)
        except sa.exc.ArgumentError:
            raise UsageError(
                "this is no address of a database",
                cure="Write sqlite:///shop.db or postgresql+psycopg://user:password@host/shop.",
            ) from None
        with self._connected() as connection:
            tables.create_all(connection)

    def __repr__(self) -> str:
        return "the shop"  # on record; its address may hold a password

    def order(self, number: str, email: str) -> Order | None:
        """An order, for who knows its number and its address; None for all others, alike."""
        with self._connected() as connection:
            return _order(connection, number, email)

    def worth(self, number: str, email: str, items: list[Item]) -> int:
        """What a return is worth, in cents; 0 for one that `register` would refuse anyway."""
        order = self.order(number, email)
        if order is None or _not_in(order, items):
            return 0
        prices = {each.sku: each.cents for each in order.lines}
        return sum(prices[each.sku] * each.quantity for each in items)

    @on.step
    def register(self, ticket: str, number: str, email: str, items: list[Item]) -> Return | str:
        """Register a return; or why not, in words for the customer. Who comes again with the same
        ticket gets the same return."""
        with self._connected() as connection:
            order = _order(connection, number, email)
            if order is None:
                return UNKNOWN
            if wrong := _not_in(order, items):
                return wrong
            if (_today() - order.placed).days > RETURN_DAYS:
                return f"It is too late: an order can be returned within {RETURN_DAYS} days."
            row = {"number": number, "ticket": ticket, "state": "new", "day": _today()}
            try:  # the key decides, also between two who ask at once
                connection.execute(sa.insert(returns).values(**row, items=[*map(asdict, items)]))
            except sa.exc.IntegrityError:
                connection.rollback()
                mine = sa.select(returns.c.number).filter_by(number=number, ticket=ticket)
                if connection.execute(mine).one_or_none() is None:
                    return "A return of this order is registered already: there is one for each."
            known = connection.scalar(sa.select(orders.c.email).filter_by(number=number))
            return Return(number, str(known), items)

    @on.step
    def mark(self, number: str, state: str, label: str) -> None:
        """Note how far a return is: "label", "mailed"."""
        change = sa.update(returns).where(returns.c.number == number)
        with self._connected() as connection:
            connection.execute(change.values(state=state, label=label))

    def place(self, email: str, items: dict[str, int], days: int = 3) -> str:
        """An order that was placed some days ago, to try things with; its number."""
        number, day = f"T-{secrets.randbelow(10**6):06}", _today() - datetime.timedelta(days)
        with self._connected() as connection:
            connection.execute(
                sa.insert(orders).values(number=number, email=_plain(email), placed=day)
            )
            for sku, quantity in items.items():
                name, cents = PRODUCTS[sku]
                connection.execute(
                    sa.insert(lines).values(
                        number=number, sku=sku, quantity=quantity, name=name, cents=cents
                    )
                )
        return number

    def returned(self) -> list[dict[str, Any]]:
        """All returns, as the people of the shop see them."""
        with self._connected() as connection:
            return [dict(row._mapping) for row in connection.execute(sa.select(returns))]

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """A transaction. Raises ToolError: the words of a database are not for customers."""
        try:
            with self._engine.connect() as connection:
                yield connection
                connection.commit()
        except sa.exc.SQLAlchemyError as error:
            _log.error("the shop's database: %s", error)
            raise ToolError("the shop's database does not answer") from None

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


def _order(connection: sa.Connection, number: str, email: str) -> Order | None:
    mine = (orders.c.number == number) & (orders.c.email == _plain(email))
    found = connection.execute(sa.select(orders.c.placed).where(mine)).one_or_none()
    if found is None:
        return None
    columns = (lines.c.sku, lines.c.quantity, lines.c.name, lines.c.cents)
    rows = connection.execute(sa.select(*columns).where(lines.c.number == number).order_by("sku"))
    return Order(number, found.placed, [Line(**row._mapping) for row in rows])


def _not_in(order: Order, items: list[Item]) -> str:
    """What of a return is not in the order, in words; empty where all is."""
    ordered = {each.sku: each.quantity for each in order.lines}
    asked = [each.sku for each in items]
    if not items or len(set(asked)) < len(asked):
        return "Name each item once, with how many of it come back."
    for each in items:
        if not 1 <= each.quantity <= ordered.get(each.sku, 0):
            return f"{each.quantity} × {each.sku} are not in the order. In it: {ordered}."
    return ""


def _plain(email: str) -> str:
    return email.strip().lower()


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


_log = logging.getLogger("shopbot")

UNKNOWN = "There is no order with this number and this e-mail address."

PRODUCTS = {
    "DARJEELING": ("First Flush Darjeeling, 100 g", 1450),
    "SENCHA": ("Sencha from Uji, 100 g", 1290),
    "CUP-BLUE": ("Blue cup", 900),
    "POT-IRON": ("Iron teapot", 6400),
}
"""What the shop sells: a name, and a price in cents."""

tables = sa.MetaData()
orders = Table(
    "orders",
    tables,
    Column("number", String(20), primary_key=True),
    Column("email", String(254), nullable=False),
    Column("placed", Date, nullable=False),
)
lines = Table(
    "order_lines",
    tables,
    Column("number", ForeignKey("orders.number"), primary_key=True),
    Column("sku", String(20), primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("cents", Integer, nullable=False),
)
returns = Table(
    "returns",
    tables,
    Column("number", ForeignKey("orders.number"), primary_key=True),  # one for each order
    Column("ticket", String(40), nullable=False),
    Column("items", sa.JSON, nullable=False),
    Column("day", Date, nullable=False),
    Column("state", String(10), nullable=False),
    Column("label", String(40)),
)
