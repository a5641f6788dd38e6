"""The ledger's tables, and the page: the rows of some budgets, locked while they are changed."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
import time
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from onrecord.errors import LimitError
from onrecord.records.database.engine import insert
from onrecord.records.limits import Asked, Bill, Spent, Tally, Worst, refusal
from onrecord.records.record import new_id

TABLES = sa.MetaData()
BUDGET = sa.Table(
    "budget",
    TABLES,
    sa.Column("id", sa.String(32), primary_key=True),  # of key and period: a key may be any text
    sa.Column("key", sa.String, nullable=False),
    sa.Column("period", sa.String, nullable=False),  # a day, UTC, or empty
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in Tally.__struct_fields__),
)
RESERVATION = sa.Table(
    "reservation",
    TABLES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("budget", sa.String(32), primary_key=True, index=True),
    sa.Column("cost", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("made_ns", sa.BigInteger, nullable=False),
    sa.Column("writer", sa.String, nullable=False),
)


class Claim(NamedTuple):
    """A reservation: its id, the budgets it is made in, and how much."""

    id: str
    asked: tuple[Asked, ...]
    worst: Worst


class Page:
    """The rows of some budgets, locked until the transaction ends."""

    def __init__(self, connection: sa.Connection, ids: list[str]) -> None:
        self._connection = connection
        rows = connection.execute(_LOCK_ROWS, {"ids": ids})
        self.tallies = {id: Tally(*sums) for id, *sums in rows}
        self._changed: dict[str, None] = {}
        self._made: list[dict[str, Any]] = []
        self._ended: list[dict[str, Any]] = []

    def open(self, missing: dict[str, Asked]) -> None:
        """Make rows of budgets that nobody has used yet."""
        nothing = dict.fromkeys(Tally.__struct_fields__, 0)
        rows = [
            {"id": id, "key": _printable(asked.key), "period": asked.period, **nothing}
            for id, asked in missing.items()
        ]
        self._connection.execute(insert(self._connection, BUDGET).on_conflict_do_nothing(), rows)

    def refused(self, claim: Claim) -> LimitError | None:
        """Why a call cannot be made; None where it fits into every budget it asks."""
        for asked in claim.asked:
            tally = self.tallies[row_id(asked)]
            if (limit := tally.short_of(asked.caps, claim.worst)) is not None:
                day = f" of {asked.period} (UTC)" if asked.period else ""
                where = f"the budget '{_printable(asked.key)}'{day}"
                over = refusal(limit, asked.caps, tally, claim.worst, where=where)
                over.budget = asked.key
                return over
        return None

    def reserve(self, claim: Claim) -> None:
        """Put a call's worst case aside in all of its budgets."""
        common = {"id": claim.id, "cost": claim.worst.cost or 0, "tokens": claim.worst.tokens}
        common |= {"made_ns": time.time_ns(), "writer": _writer()}
        for asked in claim.asked:
            id = row_id(asked)
            self.tallies[id].reserve(claim.worst)
            self._changed[id] = None
            self._made.append({**common, "budget": id})

    def settle(self, claim: Claim, bill: Bill) -> None:
        """Book what a call took, in the budgets it was reserved in."""
        for asked in claim.asked:
            id = row_id(asked)
            self.tallies[id].settle(claim.worst, bill)
            self._changed[id] = None
            self._ended.append({"claim": claim.id, "of": id})

    def write(self) -> None:
        """Write down what has changed; it counts when the transaction is committed."""
        if self._changed:
            sums = [{"of": id, **msgspec.structs.asdict(self.tallies[id])} for id in self._changed]
            self._connection.execute(_WRITE_SUMS, sums)
        if self._ended:
            self._connection.execute(_END, self._ended)
        if self._made:
            self._connection.execute(_MAKE, self._made)

    def spent(self, id: str) -> Spent:
        """The sums, with the calls of dead processes moved from what is reserved to what is spent:
        nobody will settle them."""
        under_way = self._connection.execute(_UNDER_WAY, {"of": id})
        lost = [row for row in under_way if _is_gone(row.writer, row.made_ns)]
        cost, tokens = sum(row.cost for row in lost), sum(row.tokens for row in lost)
        tally = msgspec.structs.asdict(self.tallies[id])
        for name, amount in {"cost": cost, "tokens": tokens, "calls": len(lost)}.items():
            tally[name] += amount
            tally[f"reserved_{name}"] -= amount
        return Spent(lost=len(lost), **tally)


@functools.lru_cache(maxsize=1024)
def row_id(asked: Asked) -> str:
    """The id of a budget's row: a hash, because a key may be any text."""
    name = f"{asked.period}\0{asked.key}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(name, digest_size=16).hexdigest()


_DAY_NS = 86_400 * 10**9
_LOCK_ROWS = (
    sa.select(BUDGET.c.id, *(BUDGET.c[name] for name in Tally.__struct_fields__))
    .where(BUDGET.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(BUDGET.c.id)  # in one order: so that no two processes wait for each other
    .with_for_update()
)
_WRITE_SUMS = (
    sa.update(BUDGET)
    .where(BUDGET.c.id == sa.bindparam("of"))
    .values({name: sa.bindparam(name) for name in Tally.__struct_fields__})
)
_MAKE = sa.insert(RESERVATION)
_END = sa.delete(RESERVATION).where(
    RESERVATION.c.id == sa.bindparam("claim"), RESERVATION.c.budget == sa.bindparam("of")
)
_UNDER_WAY = sa.select(RESERVATION).where(RESERVATION.c.budget == sa.bindparam("of"))


def _printable(key: str) -> str:
    """A key as databases can hold and terminals show it; which budget it is, its id says."""
    shown = key if len(key) <= 200 else f"{key[:200]}…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def _writer() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{_token()}"


def _token() -> str:
    return new_id()[12:22]  # the random bytes of this process: an id of a process is used again


def _is_gone(writer: str, made_ns: int) -> bool:
    """Whether the process that made a reservation has surely ended. Of another machine's it is
    said after a day. Only what is shown depends on it: what is reserved stays spent."""
    host, process, token = writer.rsplit(":", 2)
    if host != socket.gethostname():
        return time.time_ns() - made_ns > _DAY_NS
    if int(process) == os.getpid():
        return token != _token()
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
