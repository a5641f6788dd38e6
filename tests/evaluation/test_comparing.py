"""Models side by side: what is measured, what is kept, what is refused before it is asked."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import onrecord as on
from onrecord.errors import LimitError, LoadError, ModelError, PromptError, UsageError
from onrecord.evaluation.asking import Prompted, Tasked, Words
from onrecord.evaluation.comparing import compare_models, is_in_process
from onrecord.evaluation.memory import Peak
from onrecord.messages import Completion, Usage, text_message
from onrecord.models.model import Event, Request


class Speaking:
    """A model that answers by a function of the last message."""

    version = "1"

    def __init__(self, name: str, say: Any) -> None:
        self.name = name
        self.say = say
        self.asked: list[str] = []
        self.under_way = self.most = 0

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        text = request.messages[-1].text
        self.asked.append(text)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        said = self.say(text)
        if isinstance(said, Exception):
            raise said
        yield Completion(text_message("assistant", said), self.name, Usage(3, 2), cost=7)


CASES = on.Dataset([on.Case(str(n), f"word {n}", f"word {n}") for n in range(30)], name="words")


def test_what_is_measured() -> None:
    right, wrong = Speaking("mine:right", lambda text: text), Speaking("mine:wrong", lambda _: "no")
    compared = compare_models.run([wrong, right], CASES)
    assert [each.model for each in compared.results] == ["mine:wrong", "mine:right"]
    assert compared.best is compared.results[1]
    assert compared.best.quality == {"token_f1": 1.0, "exact_match": 1.0}
    assert compared.results[0].quality == {"token_f1": 0.0, "exact_match": 0.0}
    assert {each.verdict for each in compared.differences} == {"worse"}
    for each in compared.results:
        assert each.usage == Usage(90, 60) and not each.failures
        assert each.memory is None and each.warm_up is None
        assert 0 < each.latency(50) <= each.latency(95)
    assert [each.cost for each in compared.results] == [210, 210] and compared.notes == ()


def test_no_more_at_once_than_allowed_and_models_take_turns() -> None:
    one, other = Speaking("mine:one", str), Speaking("mine:other", str)
    compare_models.run([one, other], CASES, concurrent=3)
    assert one.most == other.most == 3 and len(one.asked) == len(other.asked) == 30


def test_a_failure_is_data_and_counts_nothing() -> None:
    def sometimes(text: str) -> Any:
        return ModelError("the server is on fire") if text.endswith("7") else text

    compared = compare_models.run([Speaking("mine:hot", sometimes)], CASES)
    (result,) = compared.results
    assert result.failures == 3 and result.quality["exact_match"] == pytest.approx(0.9)
    assert (
        "mine:hot: 3 of 30 cases without an answer; they count 0. The first: the server"
        in (compared.notes[0])
    )
    heads, rows = compared.table()
    assert rows[0][heads.index("failed")] == "3"


@pytest.mark.parametrize("error", [UsageError, LoadError])
@pytest.mark.parametrize("name", ["mine:picky", "hf:picky"])
def test_a_refusal_is_a_row_and_not_the_end(name: str, error: type[on.OnrecordError]) -> None:
    """The other models have their cases still: what was paid for one is not thrown away."""

    def picky(text: str) -> Any:
        return error("it reads no zeros", cure="Give others.") if "0" in text else text

    other = Speaking("mine:other", str)
    compared = compare_models.run([Speaking(name, picky), other], CASES)
    assert [each.failures for each in compared.results] == [3, 0] and len(other.asked) == 30
    assert compared.results[0].outcomes[0].error == "it reads no zeros. Give others."
    assert compared.results[0].quality["exact_match"] == pytest.approx(0.9)


def test_a_task_that_cannot_be_done_with_a_case_goes_on_with_the_next() -> None:
    cases = on.Dataset([on.Case("a", " ", "billing"), on.Case("b", "My bill is wrong", "billing")])
    model = on.Scripted('{"evidence": [], "label": "billing"}', name="scripted:task")
    asked = Tasked("classify", labels=["billing", "other"])
    (result,) = compare_models.run([model], cases, ask=asked).results
    assert [each.error for each in result.outcomes] == [
        "the text is empty. Give a task something to read.",
        None,
    ]
    assert result.quality["exact_match"] == 0.5


def test_equally_good_models_are_said_to_be_equal() -> None:
    models = [Speaking(f"mine:{name}", str) for name in "abc"]
    worse = Speaking("mine:worse", lambda _: "no")
    compared = compare_models.run([worse, *models], CASES)
    assert compared.best is compared.results[1]
    assert compared.notes == (
        "mine:a, mine:b, mine:c are equally good by F1; the first is taken for the best",
    )


def test_where_nobody_gets_anything_right_nobody_is_best() -> None:
    compared = compare_models.run([Speaking(f"mine:{n}", lambda _: "no") for n in "abc"], CASES)
    assert "best:" not in compared.text() and compared.document()["best"] is None
    assert "no single one is best. Beside mine:a, on the same 30 cases:" in compared.text()


def test_an_interval_without_width_on_few_cases_is_no_verdict() -> None:
    def nearly(text: str) -> str:
        return f"{text} and more words"

    models = [Speaking("mine:right", str), Speaking("mine:nearly", nearly)]
    (by_f1, _) = compare_models.run(models, CASES[:3]).differences
    assert by_f1.interval.low == by_f1.interval.high < 0
    assert by_f1.verdict == "inconclusive"
    (by_f1, _) = compare_models.run(models, CASES).differences
    assert by_f1.verdict == "worse"


def test_a_comparison_needs_a_dataset() -> None:
    with pytest.raises(UsageError, match="models are compared on a Dataset, not on 5"):
        compare_models.run(["scripted:echo"], 5)  # type: ignore[arg-type]  # that is the test


def test_a_model_that_never_answers_has_no_quality() -> None:
    broken = Speaking("mine:broken", lambda _: ModelError("no key"))
    compared = compare_models.run([broken, Speaking("mine:bad", lambda _: "no")], CASES)
    assert compared.results[0].quality == {} and compared.differences == ()
    assert compared.best is compared.results[1]
    assert "–" in compared.text()


def test_prompts_and_models_are_compared_in_every_pair() -> None:
    @on.prompt
    async def double_it(number: int) -> int:
        """Double the number."""

    @on.prompt(name="double_kindly")
    async def kindly(number: int) -> int:
        """Double the number, please."""

    cases = on.Dataset([on.Case("a", {"number": 2}, 4), on.Case("b", 3, 6)])
    four, six = on.Scripted("4", name="scripted:4"), on.Scripted("6", name="scripted:6")
    compared = compare_models.run([four, six], cases, ask=[double_it, kindly])
    assert [compared.label(each) for each in compared.results] == [
        "double_it · scripted:4",
        "double_it · scripted:6",
        "double_kindly · scripted:4",
        "double_kindly · scripted:6",
    ]
    assert all(each.quality["exact_match"] == 0.5 for each in compared.results)
    assert {each.verdict for each in compared.differences} == {"inconclusive"}
    assert "2 cases are few" in compared.notes[0]


def test_a_task_by_labels() -> None:
    cases = on.Dataset([on.Case("a", "My bill is wrong", "billing")])
    model = on.Scripted('{"evidence": [], "label": "billing"}', name="scripted:task")
    asked = Tasked("classify", labels=["billing", "other"])
    (result,) = compare_models.run([model], cases, ask=asked).results
    assert result.quality == {"token_f1": 1.0, "exact_match": 1.0}, result.outcomes


def test_scorers_of_ones_own() -> None:
    async def is_short(trial: on.Trial) -> bool:
        return len(trial.output) <= 6

    compared = compare_models.run(
        [Speaking("mine:a", str)], CASES, scorers=[is_short, on.scorers.contains("word")]
    )
    assert compared.results[0].quality == {"is_short": pytest.approx(1 / 3), "contains": 1.0}
    assert compared.table()[0][1] == "is short"


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        (lambda prediction, expected: 1.0, "cannot be called with a trial.*Accepting"),
        (on.scorers.latency, "of the scorer 'latency' more is not better"),
        (on.scorers.refusal, "'refusal' gives no number for case '0'"),
        (on.scorers.mrr, "'mrr' gives no number for case '0': the case does not say"),
    ],
)
def test_scorers_that_cannot_say_which_is_best(scorer: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        compare_models.run([Speaking("mine:a", str)], CASES, scorers=[scorer])


def test_cases_that_expect_nothing() -> None:
    cases = on.Dataset([on.Case("a", "one"), on.Case("b", "two", "two")])
    compared = compare_models.run([Speaking("mine:a", str), Speaking("mine:b", str)], cases)
    assert compared.scored == 1 and "only they are scored" in compared.notes[0]
    nothing = compare_models.run([Speaking("mine:a", str)], cases[:1])
    assert nothing.best is None and "nothing is scored" in nothing.notes[0]
    assert "F1" not in nothing.table()[0] and "F1" not in nothing.text()


def test_what_was_answered_before_a_failure_is_not_asked_again() -> None:
    model = Speaking("mine:paid", str)
    model.say = lambda text: RuntimeError("a bug") if text == "word 20" else text
    with pytest.raises(RuntimeError, match="a bug"):
        compare_models.run([model], CASES, concurrent=1)
    before = len(model.asked)
    assert before == 21
    model.say = str
    compared = compare_models.run([model], CASES, resume=True)
    assert len(model.asked) - before == 10
    (result,) = compared.results
    assert sum(each.reused for each in result.outcomes) == 20
    assert result.quality["exact_match"] == 1 and result.usage == Usage(90, 60)
    assert "20 of 30 answers were on record" in compared.notes[0]
    with closing(on.Store.open()) as store:
        source = store.record(result.outcomes[0].record)
    assert source is not None and source.output["prediction"] == "word 0"


def test_another_prompt_version_or_case_is_asked() -> None:
    model = Speaking("mine:same", str)
    compare_models.run([model], CASES, ask=Words("Say {input}"))
    compare_models.run([model], CASES, ask=Words("Say {input}!"), resume=True)
    assert len(model.asked) == 60
    more = on.Dataset([*CASES, on.Case("new", "new", "new")])
    compare_models.run([model], more, ask=Words("Say {input}"), resume=True)
    assert model.asked[60:] == ["Say new"]
    with on.context(user="somebody else"):
        compare_models.run([model], CASES[:1], ask=Words("Say {input}"), resume=True)
    assert len(model.asked) == 62


def test_ctrl_c_keeps_what_was_answered(project: Path) -> None:
    script = project / "compare.py"
    script.write_text("""
import asyncio, sys
import onrecord as on
from onrecord.evaluation.comparing import compare_models

class Slow:
    name, version, asked = "mine:slow", "1", 0
    async def stream(self, request):
        Slow.asked += 1
        if Slow.asked == 6 and "--resume" not in sys.argv:
            print("waiting", flush=True)
            await asyncio.sleep(600)
        yield on.Completion(request.messages[-1], self.name, cost=0)

cases = on.Dataset([on.Case(str(n), str(n), str(n)) for n in range(10)])
compared = compare_models.run([Slow()], cases, concurrent=1, resume="--resume" in sys.argv)
print(Slow.asked, compared.results[0].quality["exact_match"])
""")
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "waiting\n"
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    assert run.returncode not in (0, None)
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=60)
    assert again.stdout == "5 1.0\n", again.stderr


def test_every_request_is_on_the_comparisons_run() -> None:
    compared = compare_models.run([Speaking("mine:seen", str)], CASES[:2])
    with closing(on.Store.open()) as store:
        store.fold()
        records = list(store.run(compared.run))
    kinds = sorted(each.kind for each in records)
    assert kinds == ["flow", "model", "model", "step", "step"]
    (whole,) = [each for each in records if each.kind == "flow"]
    assert whole.output["models"][0]["quality"] == {"token_f1": 1, "exact_match": 1}


def test_a_budget_ends_it() -> None:
    model = Speaking("mine:dear", str)
    with on.budget(on.Limits(calls=5)), pytest.raises(LimitError):
        compare_models.run([model], CASES, concurrent=2)
    assert len(model.asked) == 5
    compare_models.run([model], CASES, resume=True)
    assert len(model.asked) <= 5 + 26


def test_memory_and_loading_of_models_in_this_process() -> None:
    inside = Speaking("hf:made-up", str)
    compared = compare_models.run([inside], CASES[:3])
    (result,) = compared.results
    assert result.memory is not None and result.warm_up is not None
    assert len(inside.asked) == 4  # one to load it, that is not counted
    assert compared.table()[0][-1] == "memory"
    assert is_in_process(on.cached(inside)) and not is_in_process(Speaking("openai:x", str))


def test_peaks_grow_by_what_is_taken() -> None:
    peak = Peak()
    taken = bytearray(60_000_000)
    assert taken is not None
    growth = peak.growth()
    assert growth is None or growth >= 50_000_000 or not peak.is_own


def test_inputs_in_words() -> None:
    words = Words("{question} by {who}: {other}")
    with pytest.raises(UsageError, match=r"names {other}.*the fields are question, who, input"):
        words.check([{"question": "Why?", "who": "Ada"}])
    model = Speaking("mine:a", str)
    cases = on.Dataset([on.Case("a", {"who": "{input}", "n": [1]})])
    compare_models.run([model], cases, ask='Say {"to": {who}, n: {n}}')
    assert model.asked == ['Say {"to": {input}, n: [1]}']  # a value is never read as a template


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "nothing to compare"),
        (["scripted:echo"] * 2, {}, "two models have the name 'scripted:echo'"),
        (["scripted:ecko"], {}, "no model 'scripted:ecko'"),
        (["scripted:echo"], {"ask": "no place"}, "does not say where"),
        (["scripted:echo"], {"ask": ["{input}", "x {input}"]}, "two prompts have the name 'words'"),
        (["scripted:echo"], {"concurrent": 0}, "asks nobody"),
        (["scripted:echo"], {"scorers": []}, "nothing to compare"),
        (["auto"], {}, "'auto' is a choice"),
        ("scripted:echo", {}, "models are several, not one"),
        (on.Scripted("x"), {}, "models are several, not Scripted"),
        (["scripted:echo"], {"scorers": "exact"}, "scorers are several, not one"),
        (["scripted:echo"], {"scorers": ["exact"]}, "'exact' is no scorer"),
        (["scripted:echo"], {"ask": 5}, "5 does not say what to ask"),
        (["scripted:echo"], {"concurrent": "2"}, "concurrent='2' asks nobody"),
    ],
)
def test_what_is_refused(models: Any, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare_models.run(models, CASES, **options)


def test_inputs_that_do_not_fit_are_refused_before_anything_is_asked() -> None:
    @on.prompt
    async def double_it(number: int) -> int:
        """Double the number."""

    model = on.Scripted("4")
    for input in ({"numbre": 2}, "many"):
        with pytest.raises(PromptError):
            compare_models.run([model], on.Dataset([on.Case("a", input)]), ask=Prompted(double_it))
    with pytest.raises(UsageError, match="a task reads texts"):
        compare_models.run([model], on.Dataset([on.Case("a", 5)]), ask=Tasked("summarize"))
    for task, input in (("answer", {"question": "Why?"}), ("summarize", {"text": "a", "b": 1})):
        with pytest.raises(UsageError, match=r"does not fit.*the task takes text"):
            compare_models.run([model], on.Dataset([on.Case("a", input)]), ask=Tasked(task))
    with pytest.raises(UsageError, match=r"no cases.*Write"):
        compare_models.run([model], on.Dataset([]))
    assert model.requests == []


def test_resume_without_records_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_RECORD", "false")
    with pytest.raises(UsageError, match="nothing to go on from"):
        compare_models.run(["scripted:echo"], CASES, resume=True)
    assert compare_models.run(["scripted:echo"], CASES).results[0].quality["exact_match"] == 1


def shortness(trial: on.Trial) -> float:
    return -float(len(str(trial.answer)))


def test_no_answer_counts_the_lowest_that_any_model_got() -> None:
    def silent(text: str) -> Any:
        return ModelError("no") if text.endswith("7") else "a"

    said = Speaking("mine:long", lambda text: "four" if text.endswith("8") else "ab")
    compared = compare_models.run(
        [Speaking("mine:silent", silent), said], CASES, scorers=[shortness]
    )
    first, second = compared.results
    assert min(second.scores["shortness"]) == -4.0
    assert [first.scores["shortness"][at] for at in (7, 17, 27)] == [-4.0] * 3
    assert compared.worst == {"shortness": -4.0}
    assert "they count -4 by shortness. The first: no" in compared.notes[0]
    assert compared.document()["worst"] == {"shortness": -4.0}


def test_no_answer_counts_what_the_scorer_says() -> None:
    def told(trial: on.Trial) -> float:
        return 2.0

    told.worst = 1.0  # type: ignore[attr-defined]  # as a user writes it
    model = Speaking("mine:silent", lambda text: ModelError("no") if text.endswith("7") else "a")
    (result,) = compare_models.run([model], CASES, scorers=[told]).results
    assert sorted(set(result.scores["told"])) == [1.0, 2.0]
