"""Conversations over several runs: what is on record of the last run is what an agent remembers."""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress

import msgspec

from onrecord.errors import UsageError
from onrecord.messages import Message
from onrecord.programs.agents.outcome import Ended
from onrecord.records.query import Query
from onrecord.records.scope import here
from onrecord.records.store import Store
from onrecord.settings import Settings


async def conversation_of(name: str, session: str) -> list[Message]:
    """The messages of the last run of an agent in a session, of the same user and tenant; none
    where there was no run.

    They are as they stand on record: what redaction has removed, the agent has forgotten. Raises
    UsageError where nothing is recorded, StorageError.
    """
    settings = Settings.load()
    if not (settings.record and settings.bodies):
        raise UsageError(
            "a session is remembered from records, and nothing is recorded",
            where=f"session {session}",
            cure="Set record = true, or go on with history=outcome.messages.",
        )
    return await asyncio.to_thread(_last, settings, name, session)


def _last(settings: Settings, name: str, session: str) -> list[Message]:
    around = here()
    query = Query(kinds=("flow",), name=name, states=("done",), session=session)
    with closing(Store.open(settings)) as store:
        for each in store.records(query):
            # A query without a user asks for everybody's: nobody is given another's words.
            if (each.user, each.tenant) != (around.user, around.tenant):
                continue
            with suppress(msgspec.ValidationError):  # a flow of that name that is no agent
                return list(msgspec.convert(each.output, Ended).messages)
    return []
