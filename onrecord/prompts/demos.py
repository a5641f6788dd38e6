"""Demos: questions with their answers, as data beside a prompt ("few-shot").

    prompts/triage.md
    prompts/triage.demos.jsonl      {"inputs": {"mail": "My bill is wrong"}, "output": "billing"}

or in the front matter, `demos: [{inputs: …, output: …}]`, or `demos: {file: other.jsonl,
select: similar, k: 4, tokens: 500}`. Each is shown as the user's message, written as that of the
question is, and the model's answer in the form that is asked for; both are checked against the
function's types when the file is read.

`select` says which of them a question is asked with:

    fixed      all, or the first `k`
    similar    the `k` whose inputs are most similar to the question's, the most similar one last,
               next to the question (Liu et al., 2022, "What Makes Good In-Context Examples for
               GPT-3?")
    diverse    `k` that are similar to the question and not to each other: maximal marginal
               relevance, at equal weights (Carbonell & Goldstein, 1998)

`tokens` bounds the inputs and outputs of those that are shown, as the embedder counts tokens; one
that does not fit is passed over. The demos' vectors are computed once a process. Which demos a
question got is a record of its own, and a replay gives the same ones.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from onrecord.errors import PromptError
from onrecord.messages import Message, Passage, text_message
from onrecord.models.calling import embed
from onrecord.models.model import Embedder
from onrecord.models.names import embedder
from onrecord.prompts.front_matter import guess
from onrecord.prompts.template import shown
from onrecord.records.call import call

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Select = Literal["fixed", "similar", "diverse"]


class Demo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question and its answer. `reasoning` is shown where the prompt asks for reasoning. `where`
    is the file and line it stands in, `answer` its output as a model would write it."""

    inputs: dict[str, Any]
    output: Any
    reasoning: str = ""
    where: str = ""
    answer: str = ""


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which demos a question is asked with. `file` counts from the prompt's folder; empty:
    NAME.demos.jsonl. `k` None: all fixed ones, four of the others."""

    file: str = ""
    select: Select = "fixed"
    k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    embedder: str = "embedded:minilm"


class Demos:
    """The demos of one prompt. `source` is their file's text, empty where they are in the prompt's
    own."""

    def __init__(self, demos: Sequence[Demo], choice: Choice, source: str = "") -> None:
        self.demos = tuple(demos)
        self.choice = choice
        self.source = source
        self._lock = threading.Lock()
        self._vectors: dict[tuple[str, str], concurrent.futures.Future[NDArray[np.float32]]] = {}

    def fitted(self, fit: Callable[[Demo], Demo]) -> Demos:
        """The same demos, each made to fit the function's types. Raises what `fit` does."""
        return Demos([fit(demo) for demo in self.demos], self.choice, self.source)

    async def chosen(self, name: str, inputs: Mapping[str, Any]) -> tuple[Demo, ...]:
        """The demos that a question of the prompt `name` is asked with, in the order they are
        shown."""
        choice = self.choice
        if choice.select == "fixed":
            return tuple(self.demos[at] for at in self._fitting(range(len(self.demos))))
        # What is chosen is on the record: a replay needs neither the embedder nor the demos'
        # vectors, which are computed outside of it if another call was first.
        asked = {"inputs": dict(inputs), "select": choice.select}
        content = [[demo.inputs, demo.output, demo.reasoning] for demo in self.demos]
        with call("search", f"{name} demos", asked, also=[choice, content]) as this:
            if (known := this.recall()) is not None:
                this.output = known.output
                places = [each["metadata"]["demo"] for each in known.output["passages"]]
                return tuple(self.demos[at] for at in places)
            ranked = await self._ranked(inputs)
            places = self._fitting(list(ranked))
            if choice.select == "similar":
                places.reverse()  # the most similar one stands next to the question
            passages = [_as_passage(self.demos[at], at, ranked[at]) for at in places]
            this.output = {
                "passages": passages,
                "strategy": {"select": choice.select, "of": len(self.demos)},
            }
        return tuple(self.demos[at] for at in places)

    async def _ranked(self, inputs: Mapping[str, Any]) -> dict[int, float]:
        """All demos by their place in the file with their likeness to the question, the best one
        first."""
        model = embedder(self.choice.embedder)
        known = {name for demo in self.demos for name in demo.inputs}
        question = _as_text({name: inputs[name] for name in inputs if name in known})
        vectors = await self._embedded(model)
        similar = vectors @ (await embed(model, [question]))[0]
        order = sorted(range(len(self.demos)), key=lambda at: (-similar[at], at))
        if self.choice.select == "diverse":
            order = marginal(similar, vectors @ vectors.T, len(order))
        return {at: float(similar[at]) for at in order}

    def _fitting(self, places: Sequence[int]) -> list[int]:
        """The first `k` that fit into the budget of tokens."""
        left = self.choice.tokens
        if left is None:
            return list(places[: self._most])
        count = embedder(self.choice.embedder).tokens
        found: list[int] = []
        for at in places:
            if len(found) == self._most:
                break
            demo = self.demos[at]
            words = f"{_as_text(demo.inputs)}\n{demo.answer or shown(demo.output)}"
            if (taken := len(count(words))) <= left:
                found.append(at)
                left -= taken
        return found

    @property
    def _most(self) -> int:
        if self.choice.k is not None:
            return self.choice.k
        return len(self.demos) if self.choice.select == "fixed" else _SOME

    async def _embedded(self, model: Embedder) -> NDArray[np.float32]:
        """The vectors of the demos' inputs. Callers at the same time wait for the first of them."""
        key = model.name, model.version
        while True:
            with self._lock:
                first = key not in self._vectors
                coming = self._vectors.setdefault(key, concurrent.futures.Future())
            if not first:
                try:
                    return await asyncio.shield(asyncio.wrap_future(coming))
                except _GivenUp:
                    continue
            try:
                vectors = await embed(model, [_as_text(demo.inputs) for demo in self.demos])
            except BaseException:
                with self._lock:
                    del self._vectors[key]
                coming.set_exception(_GivenUp())
                raise
            coming.set_result(vectors)
            return vectors


class _GivenUp(Exception):
    """Whoever was first to embed the demos failed, or was cancelled: the next one tries."""


def marginal(
    similar: NDArray[np.float32], alike: NDArray[np.float32], most: int, weight: float = 0.5
) -> list[int]:
    """Places by maximal marginal relevance, the best first, `most` of them at most.

    `similar`: to the question, shape (n,). `alike`: to each other, shape (n, n). Each step takes
    the place with the largest `weight` · similar − (1 − `weight`) · the largest likeness to those
    taken; of equal ones the first. Carbonell & Goldstein, "The Use of MMR, Diversity-Based
    Reranking", SIGIR 1998.
    """
    taken: list[int] = []
    left = list(range(len(similar)))
    while left and len(taken) < most:

        def worth(at: int) -> float:
            nearest = max((float(alike[at, other]) for other in taken), default=0.0)
            return weight * float(similar[at]) - (1 - weight) * nearest

        best = max(left, key=lambda at: (worth(at), -at))
        taken.append(best)
        left.remove(best)
    return taken


def put(
    messages: tuple[Message, ...],
    demos: Sequence[Demo],
    rendered: Callable[[dict[str, Any]], tuple[Message, ...]],
) -> tuple[Message, ...]:
    """The messages with the demos before the question: its last user message. `rendered` gives the
    messages for other inputs. Raises PromptError where there is no such message."""
    if not demos:
        return messages
    place = _last_user(messages, demos[0])
    pairs: list[Message] = []
    for demo in demos:
        asked = rendered(demo.inputs)
        pairs += [asked[_last_user(asked, demo)], text_message("assistant", demo.answer)]
    return (*messages[:place], *pairs, *messages[place:])


def read_lines(text: str, where: str) -> list[Demo]:
    """The demos of a file, one a line. Raises PromptError with the line."""
    return [
        _demo(_decoded(line, f"{where}:{number}"), f"{where}:{number}")
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]


def read_front(said: Sequence[Any], where: str) -> list[Demo]:
    """The demos of a front matter. Raises PromptError with their number."""
    return [_demo(each, where, f"demo {at} ") for at, each in enumerate(said, 1)]


def read_choice(said: Mapping[str, Any], where: str) -> Choice:
    """What a front matter says of the demos. Raises PromptError."""
    known = Choice.__struct_fields__
    for name in said:
        if name not in known:
            raise PromptError(
                f"the front matter's demos have an unknown field '{name}'",
                where=where,
                cure=f"{guess(str(name), known)}Its fields are {', '.join(known)}.",
            )
    try:
        return msgspec.convert(said, Choice)
    except msgspec.ValidationError as error:
        raise PromptError(
            f"the front matter's demos do not fit: {error}",
            where=where,
            cure="select is fixed, similar or diverse; k and tokens are whole numbers from 1.",
        ) from None


def _decoded(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "it is nested too deeply")
        raise PromptError(f"the demo is no JSON: {reason}", where=where, cure=_FORM) from None


def _demo(found: Any, where: str, which: str = "the demo ") -> Demo:
    if not isinstance(found, dict) or not isinstance(found.get("inputs"), dict):
        raise PromptError(f"{which}has no inputs", where=where, cure=_FORM)
    if "output" not in found:
        raise PromptError(f"{which}has no output", where=where, cure=_FORM)
    if odd := [name for name in found["inputs"] if not isinstance(name, str)]:
        raise PromptError(f"{which}has an input whose name is {odd[0]!r}", where=where, cure=_FORM)
    unknown = [name for name in found if name not in ("inputs", "output", "reasoning")]
    if unknown:
        raise PromptError(f"{which}has an unknown field '{unknown[0]}'", where=where, cure=_FORM)
    reasoning = found.get("reasoning", "")
    if not isinstance(reasoning, str):
        raise PromptError(f"the reasoning of {which}is no text", where=where, cure=_FORM)
    return Demo(found["inputs"], found["output"], reasoning, where)


def _as_text(inputs: Mapping[str, Any]) -> str:
    """Inputs as they are compared: their texts; without passages, where there is more than them."""
    words = {name: value for name, value in inputs.items() if not _is_context(value)}
    return "\n".join(shown(value) for value in (words or inputs).values())


def _as_passage(demo: Demo, at: int, similar: float) -> Passage:
    """A demo as a search gives it: found in its file, at its place among the demos."""
    text = _as_text(demo.inputs)
    file = PurePath(demo.where).name
    score = round(min(max(similar, 0.0), 1.0), 4)
    return Passage(file, f"demo {at + 1}", text, 0, len(text), score, {"demo": at})


def _is_context(value: Any) -> bool:
    several = isinstance(value, list | tuple)
    return isinstance(value, Passage) or (several and any(isinstance(x, Passage) for x in value))


def _last_user(messages: Sequence[Message], demo: Demo) -> int:
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == "user":
            return at
    raise PromptError(
        "the prompt has demos and no user message to show them before",
        where=demo.where,
        cure="Give its file a section '# user' that shows the inputs.",
    )


_SOME = 4
_FORM = 'Write {"inputs": {"name": …}, "output": …}, one demo a line.'
