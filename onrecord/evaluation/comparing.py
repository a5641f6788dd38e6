"""`compare_models`: quality, latency, cost and memory of models, on the user's own cases.

    compare_models.run(["openai:gpt-6-luna", "hf:google/flan-t5-small"], Dataset.read("leave"))

models, one after another -> their cases, `concurrent` at once -> one recorded step a case

The steps are the results: what was answered before an interrupt is on record with its time and its
cost, and `resume=True` takes it from there. So it does with every earlier comparison of the same
model, asked the same about the same input: a further model or case costs only its own calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.arguments import several
from onrecord.calling import Operation
from onrecord.errors import LoadError, ModelError, UsageError
from onrecord.evaluation.asking import Ask, Asking, askings
from onrecord.evaluation.comparison import Comparison, ModelResult, Outcome
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.memory import Peak
from onrecord.evaluation.model_scores import counted, said, worst
from onrecord.evaluation.scorers import exact_match, token_f1
from onrecord.evaluation.scoring import Scorer, Scorers
from onrecord.messages import Progress, Usage
from onrecord.models.model import Model, wraps
from onrecord.models.names import model as model_named
from onrecord.progress import shown
from onrecord.records.call import asked_key, call
from onrecord.records.record import Record, plain
from onrecord.records.scope import here, recording
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.records.store import Store


@Operation
async def compare_models(
    models: Sequence[str | Model],
    dataset: Dataset,
    *,
    ask: Ask | Sequence[Ask] = "{input}",
    scorers: Sequence[Scorer] = (token_f1, exact_match),
    concurrent: int = 4,
    resume: bool = False,
) -> Comparison:
    """Ask every model about every case, and put what came out side by side.

    `ask`: what is asked about a case's input: words with `{input}`, a prompt, or several of them,
    which are compared as well. `scorers`: those of `on.scorers`, or functions of a trial, as far as
    they give one number of which more is better; the first one decides which model is best.
    `concurrent`: so many cases at once; models take turns, so that none is in another one's way.
    `resume`: take answers that are on record already.

    A model that does not answer is data, and so is a prompt or a task that refuses a case: it
    counts the scorer's `worst`, else the lowest of 0 and what any of the models got. Models in this
    process answer one case before their time is taken, so that loading them is no latency. Raises
    UsageError before anything is asked where models, cases or prompts do not fit; LimitError where
    a budget around ends, and then what was answered is on record.
    """
    ways = askings(ask)
    answering = [model_named(each) for each in several(models, "models")]
    scoring = _check(answering, ways, dataset, scorers, concurrent)
    versions = [await asyncio.to_thread(_version, each) for each in answering]
    contestants = [
        _Contestant(one, version, each)
        for each in ways
        for one, version in zip(answering, versions, strict=True)
    ]
    asked = {
        "models": [each.name for each in answering],
        "ask": [each.name for each in ways],
        "dataset": dataset.name,
        "cases": len(dataset),
    }
    with call("flow", "compare_models", asked, version=dataset.version) as this, shown() as report:
        work = _Work(dataset, scoring, concurrent, _Earlier.open() if resume else None)
        try:
            results = await work.results(contestants, report)
        finally:
            work.close()
        compared = work.comparison(results, this.run)
        this.output = _summary(compared)
        return compared


class _Contestant(msgspec.Struct, frozen=True):
    """A model, and a way to ask it."""

    model: Model
    version: str
    asking: Asking

    def question(self, case: Case) -> dict[str, Any]:
        """What a recorded step is about: equal for equal questions to an equal model."""
        return {
            "model": self.model.name,
            "model_version": self.version,
            "ask": self.asking.name,
            "input": case.input,
        }


class _Work:
    """The cases, and what is made of the answers."""

    def __init__(
        self,
        dataset: Dataset,
        scorers: Scorers,
        concurrent: int,
        earlier: _Earlier | None,
    ) -> None:
        self._dataset = dataset
        self._scorers = scorers
        self._concurrent = concurrent
        self._earlier = earlier
        self._worst: dict[str, float] = {}

    @property
    def scored(self) -> int:
        """How many cases say what is expected."""
        return sum(case.expected is not None for case in self._dataset)

    async def results(
        self, contestants: Sequence[_Contestant], report: Callable[[Progress], None]
    ) -> tuple[ModelResult, ...]:
        """What each of them makes of all cases, one after another."""
        cases, results, every = len(self._dataset), [], []
        for number, each in enumerate(contestants):
            told = _telling(report, each, number * cases, len(contestants) * cases)
            result = await self._result(each, told)
            results.append(result)
            every.append(await said(result.outcomes, self._dataset, self._scorers))
        self._worst = {each.name: worst(each, every) for each in self._scorers.facts}
        scored = zip(results, every, strict=True)
        return tuple(
            msgspec.structs.replace(each, scores=counted(one, self._worst)) for each, one in scored
        )

    def comparison(self, results: tuple[ModelResult, ...], run: str) -> Comparison:
        """The results side by side."""
        return Comparison(
            dataset=self._dataset.name,
            version=self._dataset.version,
            cases=len(self._dataset),
            scored=self.scored,
            scorers=tuple(each.name for each in self._scorers.facts),
            concurrent=self._concurrent,
            results=results,
            run=run,
            worst=self._worst,
        )

    async def _result(self, who: _Contestant, told: Callable[[], None]) -> ModelResult:
        known = await self._known(who)
        outcomes: dict[str, Outcome] = {}
        left = [case for case in self._dataset if case.id not in known]
        for case in self._dataset:
            if case.id in known:
                outcomes[case.id] = _reused(who, case, known[case.id])
                told()
        local = is_in_process(who.model)
        peak = Peak() if local and left else None
        warm_up = await _warmed(who, left[0]) if local and left else None
        waiting = iter(left)

        async def work() -> None:
            for case in waiting:
                outcomes[case.id] = await _outcome(who, case)
                told()

        await _all([work() for _ in range(min(self._concurrent, len(left)))])
        inside = [outcomes[case.id] for case in self._dataset]
        memory = peak.growth() if peak is not None else None
        return ModelResult(who.model.name, who.asking.name, tuple(inside), {}, memory, warm_up)

    def close(self) -> None:
        """The records are not read any more."""
        if self._earlier is not None:
            self._earlier.close()

    async def _known(self, who: _Contestant) -> dict[str, Record]:
        if self._earlier is None:
            return {}
        keys = {case.id: _key(who, case) for case in self._dataset}
        return await asyncio.to_thread(self._earlier.found, keys)


class _Earlier:
    """The steps of earlier comparisons."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def open(cls) -> _Earlier:
        """Those of the project. Raises UsageError where nothing is recorded, StorageError."""
        from onrecord.records.store import Store

        settings = Settings.load()
        if not (settings.record and settings.bodies):
            raise UsageError(
                "there is nothing to go on from: the records are what is kept",
                where="the settings 'record' and 'bodies'",
                cure="Switch them on, or ask everything again.",
            )
        store = Store.open(settings)
        store.fold()
        return cls(store)

    def found(self, keys: dict[str, str]) -> dict[str, Record]:
        """The newest whole record of each key that has one."""
        whose, records = here(), {}
        for name, key in keys.items():
            record = self._store.find(key, "step", user=whose.user, tenant=whose.tenant)
            if record is not None and _kept(record) is not None:
                records[name] = record
        return records

    def close(self) -> None:
        """Let the store go."""
        self._store.close()


class _Kept(msgspec.Struct, frozen=True):
    """The output of a step: an answer, and what it took."""

    prediction: Any
    seconds: float
    cost: int | None
    usage: Usage


def is_in_process(model: Model) -> bool:
    """Whether a model's weights are in this process: those of `hf:` and `embedded:`, also where
    another model asks them. Of doubles and models of your own nobody knows."""
    if wraps(model):
        return any(map(is_in_process, model.wrapped))
    return model.name.startswith(("hf:", "embedded:"))


async def _outcome(who: _Contestant, case: Case) -> Outcome:
    """Ask about one case, on the record."""
    record, error, prediction = "", None, None
    with recording() as watch:
        began = time.perf_counter()
        try:
            with _step(who, case) as this:
                record = this.id
                prediction = plain(await who.asking.ask(who.model, case.input))
                seconds = time.perf_counter() - began
                this.output = _Kept(prediction, seconds, watch.cost, watch.usage)
        except _NO_ANSWER as failed:
            seconds, error = time.perf_counter() - began, str(failed)
    return Outcome(case.id, prediction, seconds, watch.cost, watch.usage, error, record)


def _reused(who: _Contestant, case: Case, found: Record) -> Outcome:
    """What an earlier comparison was answered, on the record of this one."""
    with _step(who, case) as this:
        this.source, this.output = found.id, found.output
    kept = msgspec.convert(found.output, _Kept)
    return Outcome(
        case.id, kept.prediction, kept.seconds, kept.cost, kept.usage, None, found.id, True
    )


def _kept(record: Record) -> _Kept | None:
    """What a step kept; None where another version of Onrecord kept something else."""
    try:
        return msgspec.convert(record.output, _Kept)
    except msgspec.ValidationError:
        return None


async def _warmed(who: _Contestant, case: Case) -> float:
    """Seconds until a model in this process has answered for the first time: it loads itself."""
    began = time.perf_counter()
    with suppress(*_NO_ANSWER), call("step", "warm_up", who.question(case)):
        await who.asking.ask(who.model, case.input)
    return time.perf_counter() - began


@contextmanager
def _step(who: _Contestant, case: Case) -> Iterator[Any]:
    with call("step", _STEP, who.question(case), version=who.asking.version) as this:
        yield this


def _key(who: _Contestant, case: Case) -> str:
    return asked_key("step", _STEP, who.question(case), who.asking.version)


async def _all(work: Sequence[Any]) -> None:
    """Do all of it at once; the first error ends the rest, and is the one that is raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _telling(
    report: Callable[[Progress], None], who: _Contestant, done: int, total: int
) -> Callable[[], None]:
    """A function that says that one more case is done."""
    report(Progress(who.model.name, done, total))

    def told() -> None:
        nonlocal done
        done += 1
        report(Progress(who.model.name, done, total))

    return told


def _check(
    models: Sequence[Model],
    askings: Sequence[Asking],
    dataset: Dataset,
    scorers: Sequence[Scorer],
    concurrent: int,
) -> Scorers:
    scorers = several(scorers, "scorers")
    if not isinstance(dataset, Dataset):
        raise UsageError(
            f"models are compared on a Dataset, not on {dataset!r:.80}",
            cure='Write on.Dataset.read("cases.jsonl") or on.Dataset([on.Case(...)]).',
        )
    if not models or not askings or not scorers:
        raise UsageError(
            "there is nothing to compare", cure="Give models, what to ask them, and scorers."
        )
    if not len(dataset):
        raise UsageError(
            "there is nothing to compare on: the dataset has no cases",
            where=dataset.name,
            cure="Write some into it, a JSON object with 'input' and 'expected' a line.",
        )
    if isinstance(concurrent, bool) or not isinstance(concurrent, int) or concurrent < 1:
        raise UsageError(f"concurrent={concurrent!r} asks nobody", cure="Give at least 1.")
    for noun, names in (
        ("models", [each.name for each in models]),
        ("prompts", [each.name for each in askings]),
    ):
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"two {noun} have the name '{name}': nobody could tell them apart",
                    cure="Name each once, or give them names of their own.",
                )
    for each in askings:
        each.check(case.input for case in dataset)
    scoring = Scorers(scorers)
    for facts in scoring.facts:
        if facts.better != "higher":
            raise UsageError(
                f"of the scorer '{facts.name}' more is not better: it cannot say which is best",
                cure="Compare by others; latency and cost stand in the table anyway.",
            )
    return scoring


def _summary(compared: Comparison) -> dict[str, Any]:
    """What stands on the record of a comparison: its numbers. The answers are on the steps'."""
    document = compared.document()
    for each in document["models"]:
        del each["cases"], each["scores"]
    return document


def _version(model: Model) -> str:
    return model.version


_STEP = "answer_case"
_NO_ANSWER = (ModelError, UsageError, LoadError)
"""Errors that belong to one case and one model. Others (a limit, a deadline, a full disk, a call
that a cassette does not hold) would meet every case after it, and end the comparison."""
