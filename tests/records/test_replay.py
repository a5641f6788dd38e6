"""Cassettes: what was recorded is answered again, nothing else is asked, and a person can read it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onrecord as on
from onrecord.calling import run
from onrecord.errors import (
    ModelError,
    ModelUnavailableError,
    OnrecordError,
    ReplayError,
    StorageError,
    UsageError,
)
from onrecord.messages import Completion, Passage, Result, TextDelta, Usage, text_message
from onrecord.models.calling import complete, embed
from onrecord.models.model import Parameters, Request
from onrecord.models.openai_api import OpenAIModel
from onrecord.models.scripted import Scripted
from onrecord.programs.flow import Recorded, asynchronous
from onrecord.records.recording import call, recording
from onrecord.records.replay import Replay, replay
from onrecord.records.store import Store
from onrecord.retrieval.document import Document
from tests.retrieval.splitting_doubles import WordEmbedder

TAPE = "tape.jsonl"


def ask(model: Any, text: str, **parameters: Any) -> str:
    request = Request((text_message("user", text),), Parameters(**parameters))
    return run(complete(model, request)).text


def record(*texts: str, replies: Any = None, mode: Any = True) -> Scripted:
    """Put answers to these questions on the tape."""
    model = Scripted(replies or (lambda request: request.messages[-1].text.upper()))
    with replay(TAPE, record=mode):
        for text in texts:
            ask(model, text)
    return model


def calls(path: str | Path = TAPE) -> list[dict[str, Any]]:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]]


def asked_texts(path: str | Path = TAPE) -> list[str]:
    return [each["input"]["messages"][0]["parts"][0]["text"] for each in calls(path)]


def tool(function: Callable[..., Any]) -> Recorded[..., Any]:
    return Recorded(asynchronous(function), "tool")


class Never(Scripted):
    """Fails the test that asks it."""

    def __init__(self, name: str = "scripted:test", version: str = "elsewhere") -> None:
        super().__init__(AssertionError("a model was asked"), name=name)
        self.version = version  # type: ignore[misc]  # of another server, say


# -- what is answered


@on.prompt(model=Scripted(["Leave: 25 days.", "Nothing more."], name="scripted:hr"))
async def summary(text: str) -> str:
    """Say it shortly."""


def test_a_flow_is_replayed_and_only_its_model_is_not_asked() -> None:
    ran = []

    @on.step
    async def shout(text: str) -> str:
        ran.append(text)
        return text.upper()

    @on.flow
    async def ask_twice(text: str) -> list[str]:
        return [await shout(await summary(text)), await summary("more")]

    with replay(TAPE, record=True) as tape:
        recorded = ask_twice.run("You have 25 days.")
        assert (tape.made, tape.answered, tape.unused) == (2, 0, ())
    assert recorded == ["LEAVE: 25 DAYS.", "Nothing more."]
    with replay(TAPE) as tape:
        assert ask_twice.run("You have 25 days.") == recorded
        assert asyncio.run(ask_twice("You have 25 days.")) == recorded
        assert (tape.made, tape.answered, tape.unused) == (0, 4, ())
    assert len(ran) == 3
    # The script has no third reply: the model was asked twice in all.
    with pytest.raises(ModelError, match="the script has 2 replies"):
        summary.run("once more")


def test_an_answer_is_streamed_again() -> None:
    model = Scripted("one two three")

    @on.flow
    async def told() -> str:
        return (await complete(model, Request((text_message("user", "count"),)))).text

    with replay(TAPE, record=True):
        list(told.stream())
    with replay(TAPE):
        events = list(told.stream())
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "one two three"
    assert events[-1] == Result("one two three")
    assert len(model.requests) == 1


def test_vectors_are_given_again_to_the_last_bit() -> None:
    embedder = WordEmbedder()
    with replay(TAPE, record=True):
        made = run(embed(embedder, ["leave", "travel"]))
    embedder.embed = None  # type: ignore[assignment, method-assign]  # nobody can ask it any more
    with replay(TAPE):
        again = run(embed(embedder, ["leave", "travel"]))
        assert again.dtype == np.float32 and np.array_equal(made, again)
        again[0, 0] = 7  # it is the caller's
        assert np.array_equal(made, run(embed(embedder, ["leave", "travel"])))
        with pytest.raises(ReplayError, match="double:words"):
            run(embed(embedder, ["leave"]))
        tape_unseen_is_expected()


def tape_unseen_is_expected() -> None:
    raise SystemExit  # placeholder, replaced below
