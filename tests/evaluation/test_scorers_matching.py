"""Scorers of one answer: matching, overlap, labels, refusals, what it took."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sacrebleu

import onrecord as on
from onrecord.errors import UsageError
from onrecord.evaluation import metrics, scorers
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.measuring import squad
from onrecord.evaluation.scorers import described
from onrecord.evaluation.scorers.labels import Classification
from onrecord.evaluation.scorers.overlap import Bleu
from onrecord.evaluation.scoring import Scorers, name_of, version_of
from onrecord.evaluation.trial import Score, Trial
from onrecord.messages import Usage

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def trial(output: Any, expected: Any = None, **fields: Any) -> Trial:
    return Trial(
        case=fields.pop("case", "c"), input="q", output=output, expected=expected, **fields
    )


ANY = {"any_of": ["28 days", "four weeks"]}
NONE: dict[str, Any] = {"any_of": []}
REFUSED = {"value": None, "citations": [], "refused": True, "reason": "nothing fits"}


def test_the_face_holds_scorers_only_and_each_says_what_it_is() -> None:
    assert sorted(scorers.__all__) == list(scorers.__all__)
    for name in scorers.__all__:
        assert getattr(scorers, name).__doc__, name
    needy = {"hit", "json_schema", "ndcg", "perplexity", "precision", "recall", "regex", "toxicity"}
    usual = [getattr(scorers, name) for name in scorers.__all__ if name not in needy]
    facts = Scorers(usual).facts
    assert all(each.version for each in facts)
    assert {each.name: each.better for each in facts}["latency"] == "lower"


@pytest.mark.parametrize(
    "name", ["hit", "json_schema", "ndcg", "perplexity", "precision", "recall", "regex"]
)
def test_a_scorer_that_has_to_know_something_says_so_before_anything_is_asked(name: str) -> None:
    said = rf"the scorer {name} has to know its \w+ first. Call it, as in {name}\(.+\)\."
    with pytest.raises(UsageError, match=said):
        Scorers([getattr(scorers, name)])


def test_a_scorer_is_shown_under_the_name_that_people_write() -> None:
    for name in ("regex", "json_schema", "mrr", "rouge"):
        assert repr(getattr(scorers, name)) == f"<scorer {name}>"


def test_nothing_heavy_is_loaded_with_them() -> None:
    heavy = "{'sacrebleu', 'rouge_score', 'jsonschema', 'scipy', 'torch', 'transformers', 'faiss'}"
    script = f"import sys, onrecord as on\non.scorers.rouge\nprint({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize(
    ("scorer", "output", "expected", "said"),
    [
        (scorers.exact_match, "28 Days.", "28 days", True),
        (scorers.exact_match, "four weeks", ANY, True),
        (scorers.exact_match, {"value": 5, "model": "m"}, 5, True),
        (scorers.exact_match, "no", "yes", False),
        (scorers.exact_match, "no", None, None),
        (scorers.exact_match, REFUSED, NONE, True),
        (scorers.exact_match, "an answer", NONE, False),
        (scorers.exact_match, REFUSED, "28 days", False),
        (scorers.token_f1, "the cat sat", "The cat", 0.8),
        (scorers.squad_em, "the October, 1973", {"any_of": ["1973", "October 1973"]}, True),
        (scorers.squad_em, "", NONE, True),
        (scorers.squad_em, REFUSED, NONE, True),
        (scorers.squad_em, "something", NONE, False),
        (scorers.squad_em, REFUSED, "something", False),
        (scorers.squad_em, 5, "5", True),
        (scorers.squad_f1, "in October 1973", {"any_of": ["1973", "October 1973"]}, 0.8),
        (scorers.squad_f1, "x", None, None),
        (scorers.contains, "We refund four weeks.", ANY, True),
        (scorers.contains("refund"), "We REFUND you", None, True),
        (scorers.contains("refund", case=True), "We REFUND you", None, False),
        (scorers.contains("5", whole_words=True), "15", None, False),
        (scorers.contains("refund"), REFUSED, None, False),
        (scorers.regex(r"\d+ days"), "28 days", None, True),
        (scorers.regex(r"\d+", whole=True), "28 days", None, False),
        (scorers.numeric, "First 3, in all 1,234.5", 1234.5, True),
        (scorers.numeric(absolute=0.5), "about 28.4", "28", True),
        (scorers.numeric(which="first"), "3 of 4", 4, False),
        (scorers.numeric, {"value": 4.0}, 4, True),
        (scorers.numeric, REFUSED, 4, False),
        (scorers.numeric, "4", NONE, False),
        (scorers.meteor, "a cat", "a cat", pytest.approx(0.9375)),
        (scorers.meteor, "a cat", None, None),
    ],
)
def test_one_answer(scorer: Any, output: Any, expected: Any, said: Any) -> None:
    given = scorer(trial(output, expected))
    assert given == said and isinstance(given, bool) == isinstance(said, bool)


def test_a_form() -> None:
    class Order(msgspec.Struct):
        id: int

    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    scorer = scorers.json_schema(schema)
    assert scorer(trial('{"id": 1}')) == Score(True)
    assert scorer(trial({"id": "1"})) == Score(False, "$.id: '1' is not of type 'integer'")
    assert scorers.json_schema(dict[str, int])(trial({"id": 1})).value is True
    with pytest.raises(UsageError, match="no JSON Schema"):
        scorers.json_schema({"type": "thing"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: scorers.contains(""),
        lambda: scorers.regex("("),
        lambda: scorers.numeric(absolute=-1),
        lambda: scorers.hit(0),
        lambda: scorers.toxicity(),
        lambda: scorers.perplexity("openai:gpt-5"),
    ],
)
def test_options_that_make_no_sense_are_refused_when_the_scorer_is_made(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


def test_a_version_changes_with_what_helps_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """What normalises is as much of a ruler as what compares."""
    real = inspect.getsource

    def edited(of: Any) -> str:
        return real(of) + ("# edited" if of is squad else "")

    monkeypatch.setattr(described, "_module", described._module.__wrapped__)
    before, other = described._version([metrics.squad_em]), described._version([metrics.bleu])
    monkeypatch.setattr(inspect, "getsource", edited)
    assert described._version([metrics.squad_em]) != before
    assert described._version([metrics.bleu]) == other


def test_numbers_beside_the_cells_of_a_csv_file(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,input,expected\na,x,4\nb,y,true\n")
    dataset = on.Dataset.read(tmp_path / "c.csv")
    chosen = [scorers.exact_match, scorers.classification, scorers.token_f1]
    report = evaluate.run(lambda text: {"x": 4, "y": True}[text], dataset, chosen)
    assert [report.measure(name.name).mean for name in chosen] == [1.0, 1.0, 1.0]
    assert report.measure("classification.macro_f1").mean == 1.0


def test_versions_tell_options_apart() -> None:
    assert version_of(scorers.contains("a")) == version_of(scorers.contains("a"))
    assert version_of(scorers.contains("a")) != version_of(scorers.contains("b"))
    assert (
        version_of(scorers.rouge)
        == version_of(scorers.rouge())
        != version_of(scorers.rouge(stem=True))
    )
    assert version_of(scorers.json_schema(int)) != version_of(scorers.json_schema(str))
    assert (
        name_of(scorers.rouge) == "rouge" and name_of(scorers.contains("a", name="mine")) == "mine"
    )


async def test_generated_text_is_what_the_metrics_say() -> None:
    wanted = ["Unused leave expires in March.", "In March, leave expires."]
    one = trial("Leave expires in March.", {"any_of": wanted})
    assert scorers.rouge(one) == metrics.rouge("Leave expires in March.", wanted)
    assert scorers.bleu(one) == metrics.sentence_bleu("Leave expires in March.", wanted)
    assert scorers.chrf(word_order=2)(one) == metrics.sentence_chrf(
        "Leave expires in March.", wanted, word_order=2
    )
    found = await scorers.embedding_f1(one)
    best = max(
        await metrics.embedding_f1(["Leave expires in March."] * 2, wanted), key=lambda e: e.f1
    )
    assert found == {"precision": best.precision, "recall": best.recall, "f1": best.f1}
    for scorer in (scorers.rouge, scorers.bleu, scorers.chrf, scorers.parent):
        assert scorer(trial("text")) is None and scorer(trial("text", NONE)) is None
    assert await scorers.embedding_f1(trial("text")) is None
    assert set(scorers.rouge(trial(REFUSED, "a")).values()) == {0.0}


def test_parent_reads_the_table_of_the_case() -> None:
    table = {"name": "Bob Ray", "born": 1970}
    text, reference = "Bob Ray was born in 1970.", "Bob Ray is a singer born in 1970."
    said = scorers.parent(trial(text, reference, metadata={"table": table}))
    same = metrics.parent(text, reference, table)
    assert said == {"precision": same.precision, "recall": same.recall, "f1": same.f1}
    pairs = scorers.parent(
        trial(text, reference, metadata={"table": [["name", "Bob Ray"], ["born", 1970]]})
    )
    assert pairs == said and scorers.parent(trial(text, reference)) is None


def test_corpus_bleu_is_that_of_sacrebleu_and_has_an_interval() -> None:
    random = np.random.default_rng(1)
    words = "the cat sat on a mat and the dog lay by an open door in the sun".split()
    trials, references = [], []
    for at in range(40):
        reference = list(random.choice(words, 12))
        said = [word if random.random() < 0.8 else "fox" for word in reference]
        several = [" ".join(reference), " ".join(reference[:6])]
        references.append(several)
        trials.append(trial(" ".join(said), {"any_of": several}, case=str(at)))
    trials.append(trial(None, "it failed", error="boom", case="x"))
    whole = Bleu().overall(trials)["corpus"]
    streams = [[*(each[at] for each in references), None] for at in (0, 1)]
    streams[0][-1] = "it failed"
    expected = sacrebleu.corpus_bleu([*(t.output for t in trials[:-1]), ""], streams)
    assert whole.mean == pytest.approx(expected.score, abs=1e-9)
    assert whole.low < whole.mean < whole.high
    assert Bleu().overall([trial("x")]) == {}


def test_labels() -> None:
    scorer = scorers.classification
    assert scorer(trial("Spam ", "spam")).value is True
    assert scorer(trial("ham", "spam")) == Score(False, "spam → ham")
    task = {"value": "spam", "label": "spam", "confidence": None}
    assert scorer(trial(task, "spam")).value is True
    assert scorer(trial({"label": "spam", "why": "x"}, {"label": "spam"})).value is True
    assert scorers.classification(field="kind")(trial({"kind": 3}, 3)).value is True
    assert scorer(trial(True, 1)).value is False  # a flag is no number
    assert scorer(trial(REFUSED, "spam")) == Score(False, "spam → nothing")
    assert scorer(trial("spam")) is None and scorer(trial("spam", ANY)) is None


@pytest.mark.parametrize("labels", [None, ["a", "b", "c", "d"]])
def test_averages_over_classes_are_those_of_the_metrics(labels: list[str] | None) -> None:
    random = np.random.default_rng(2)
    wanted = list(random.choice(list("abc"), 60))
    given = [
        each if random.random() < 0.7 else str(random.choice(["a", "b", "odd"])) for each in wanted
    ]
    trials = [
        trial(one, str(two), case=str(at))
        for at, (one, two) in enumerate(zip(given, wanted, strict=True))
    ]
    scorer = Classification(labels)
    found = scorer.overall(trials)
    same = metrics.classification(given, [str(each) for each in wanted], labels or ["a", "b", "c"])
    assert found["macro_f1"].mean == pytest.approx(same.macro.f1, abs=1e-12)
    assert found["micro_f1"].mean == pytest.approx(same.micro.f1, abs=1e-12)
    assert found["macro_f1"].low < found["macro_f1"].mean < found["macro_f1"].high
    assert scorer.confusion(trials) == same.confusion
    failed = msgspec.structs.replace(trials[0], error="boom", output=None)
    assert sum(map(sum, scorer.confusion([failed]).counts)) == 0
    with pytest.raises(UsageError, match="no trial expects a label"):
        scorer.confusion([trial("a")])


def test_a_report_has_the_averages_and_a_slice_has_not() -> None:
    cases = on.Dataset(
        [on.Case(str(n), f"text {n}", "even" if n % 2 == 0 else "odd") for n in range(12)]
    )
    report = evaluate.run(
        lambda text: "even", cases, [on.scorers.classification, on.scorers.bleu, on.scorers.latency]
    )
    assert report.measure("classification").mean == 0.5
    assert report.measure("classification").kind == "rate"
    assert report.measure("classification.macro_f1").mean == pytest.approx(1 / 3)
    assert report.measure("classification.micro_f1").mean == 0.5
    assert report.measure("bleu.corpus").interval is not None
    assert on.scorers.classification().confusion(report.trials).counts == ((6, 0), (6, 0))
    assert on.Report.open(report.run).measure("classification.macro_f1").mean == pytest.approx(
        1 / 3
    )


@pytest.mark.parametrize(
    ("output", "expected", "correct", "outcome"),
    [
        (REFUSED, NONE, True, "refused"),
        ("", NONE, True, "refused"),
        (None, NONE, True, "refused"),
        ("28", NONE, False, "answered wrongly"),
        ("28", "27", True, "answered"),
        (REFUSED, "27", False, "refused wrongly"),
    ],
)
def test_refusals(output: Any, expected: Any, correct: bool, outcome: str) -> None:
    assert scorers.refusal(trial(output, expected)) == {"correct": correct, "outcome": outcome}
    assert scorers.refusal(trial(output)) is None


def test_what_it_took() -> None:
    one = trial("x", seconds=0.25, cost=1500, usage=Usage(10, 5))
    assert scorers.latency(one) == 0.25
    assert scorers.tokens(one) == {"input": 10, "output": 5} and scorers.tokens(trial("x")) is None
    assert scorers.cost(one) == Score(0.0015) and scorers.cost.name == "usd"
    assert scorers.cost(trial("x", cost=None)).value is None
    facts = Scorers([scorers.latency, scorers.cost, scorers.tokens]).facts
    assert all(each.better == "lower" and each.worst is None for each in facts)
