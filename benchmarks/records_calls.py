"""Our contenders: a recorded call as it costs the caller, and prompt -> model -> parse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.rounds import Contender, Entry, paced, timed, timed_async

QUESTION = ("How many days of leave do I have after ten years? " * 4)[:200]
ANSWER = ("After ten years it is thirty days, see the handbook. " * 4)[:200]
CARD = "4111 1111 1111 1111 " + ANSWER[20:]
NEVER, USUAL = 0.0, 2.0
_SECONDS = 10
CAPITAL = "What is the capital of {{ country }}? Answer with its name alone."


def calls() -> dict[str, Entry]:
    """A call with 200 characters in and 200 out, the journal on unless said otherwise."""
    return {
        "onrecord: inside a flow": Entry(partial(_ours, nested=True)),
        "onrecord: outermost": Entry(partial(_ours, nested=False)),
        "onrecord: @step awaited in a flow": Entry(_step),
        "onrecord: @flow awaited": Entry(_flow),
        "onrecord: inside a flow, record = false": Entry(partial(_ours, nested=True, record=False)),
        "onrecord: outermost, record = false": Entry(partial(_ours, nested=False, record=False)),
        "onrecord: inside a flow, bodies = false": Entry(partial(_ours, nested=True, bodies=False)),
        "onrecord: inside a flow, a card number redacted": Entry(
            partial(_ours, nested=True, answer=CARD)
        ),
        "onrecord: inside a flow, fsync = true": Entry(
            partial(_ours, nested=True, fsync=True), calls=20
        ),
    }


def beside_folding() -> dict[str, Entry]:
    """What the thread that folds does to the calls it works beside. Several seconds each."""
    flat = partial(_ours, nested=True)
    return {
        "onrecord: as fast as it goes": Entry(flat, calls=_SECONDS * 50_000),
        "onrecord: as fast as it goes, folding meanwhile": Entry(
            partial(flat, fold_seconds=USUAL), calls=_SECONDS * 50_000
        ),
        "onrecord: 1,000 calls a second": Entry(partial(flat, pace=1_000), calls=_SECONDS * 1_000),
        "onrecord: 1,000 calls a second, folding meanwhile": Entry(
            partial(flat, pace=1_000, fold_seconds=USUAL), calls=_SECONDS * 1_000
        ),
    }


def prompts() -> dict[str, Entry]:
    """A prompt, a model that answers at once, its answer parsed; two records each."""
    return {
        "onrecord: await": Entry(_prompt, calls=300),
        "onrecord: await, inside a flow": Entry(partial(_prompt, nested=True), calls=300),
        "onrecord: .run()": Entry(partial(_prompt, run=True), calls=300),
        "onrecord: await, docstring instead of a template": Entry(
            partial(_prompt, template=False), calls=300
        ),
        "onrecord: await, JSON into a typed object": Entry(partial(_prompt, typed=True), calls=300),
    }


def _ours(
    folder: Path,
    *,
    nested: bool,
    answer: str = ANSWER,
    fold_seconds: float = NEVER,
    pace: int | None = None,
    **settings: bool,
) -> Contender:
    project(folder, fold_seconds=fold_seconds, **settings)
    from onrecord.records.call import call

    question = {"text": QUESTION}

    def one() -> None:
        with call("step", "answer", question, version="7f3a") as this:
            this.output = answer

    if answer == CARD:
        _check_redaction(question)
    around = partial(call, "flow", "ask", None) if nested else nullcontext
    return Contender(paced(one, around, pace) if pace else timed(one, around))


def _step(folder: Path) -> Contender:
    project(folder)
    import onrecord as on
    from onrecord.records.call import call

    @on.step
    async def answer(text: str) -> str:
        return ANSWER

    return Contender(timed_async(lambda: answer(QUESTION), partial(call, "flow", "ask", None)))


def _flow(folder: Path) -> Contender:
    project(folder)
    import onrecord as on

    @on.flow
    async def answer(text: str) -> str:
        return ANSWER

    return Contender(timed_async(lambda: answer(QUESTION)))


def _prompt(
    folder: Path,
    *,
    run: bool = False,
    nested: bool = False,
    template: bool = True,
    typed: bool = False,
) -> Contender:
    project(folder)
    import onrecord as on
    from onrecord.records.call import call

    if template:
        (folder / "prompts").mkdir()
        (folder / "prompts" / "capital.md").write_text(CAPITAL)
    model = on.Scripted('{"name": "Paris", "people": 2102650}' if typed else "Paris")
    made = on.prompt(model=model, name="capital")(_TYPED if typed else _PLAIN)
    _check(made.run("France"), {"name": "Paris", "people": 2102650} if typed else "Paris")
    if run:
        return Contender(timed(lambda: made.run("France")), model.requests.clear)
    one: Callable[[], Awaitable[Any]] = lambda: made("France")  # noqa: E731  # a type is said
    if nested:
        around = partial(call, "flow", "ask", None)
        return Contender(timed_async(one, around), model.requests.clear)
    return Contender(timed_async(one), model.requests.clear)


async def _PLAIN(country: str) -> str:  # type: ignore[empty-body]  # a prompt's is never run
    """What is the capital of this country? Answer with its name alone."""


async def _TYPED(country: str) -> dict[str, str | int]:  # type: ignore[empty-body]  # as above
    """What is the capital of this country, and how many people live there?"""


def project(folder: Path, **settings: object) -> None:
    """An `onrecord.toml` in a fresh folder; its journal is folded only if that is asked for."""
    values = {"fold_seconds": NEVER, "journal_mb": 20_000, **settings}
    lines = [f"{name} = {str(value).lower()}\n" for name, value in values.items()]
    (folder / "onrecord.toml").write_text("".join(lines))


def _check_redaction(question: object) -> None:
    from onrecord.records.call import Call, call

    with call("step", "answer", question) as this:
        this.output = CARD
    if isinstance(this, Call) and not this.redacted:
        raise SystemExit("the card number was not redacted: nothing is measured here")


def _check(found: object, wanted: object) -> None:
    if found != wanted:
        raise SystemExit(f"the answer is {found!r} instead of {wanted!r}: nothing is measured here")
