"""Scorers that ask a model in this process: perplexity, toxicity; and bias."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import onrecord as on
from onrecord.errors import UsageError
from onrecord.evaluation import metrics, scorers
from onrecord.evaluation.bias.gaps import gaps
from onrecord.evaluation.bias.pairs import Pair, pair_preference
from onrecord.evaluation.bias.templates import TEMPLATES, hurtful, template_cases
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.experiments.report import Report, Subject
from onrecord.evaluation.scoring import Facts
from onrecord.evaluation.statistics import bounded_mean, unpaired_bootstrap
from onrecord.evaluation.trial import Score, Trial
from onrecord.models.model import Request
from onrecord.models.transformers.likelihood import HFLikelihood
from onrecord.models.transformers.pipeline import HFClassifier
from tests.models import tiny_models

pytestmark = pytest.mark.anyio
TEXTS = ["the cat sat on the mat", "a pump delivers four litres of water a minute", "naïve café"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = getattr(tiny_models, kind)(tmp_path_factory.mktemp("tiny") / kind)
        return made[kind]

    return of


def trial(output: object, expected: object = None) -> Trial:
    return Trial(case="c", input="q", output=output, expected=expected)


async def test_perplexity_is_that_of_the_metrics_and_on_record(
    folder: Callable[[str], Path],
) -> None:
    name = f"hf:{folder('gpt2')}"
    scorer = scorers.perplexity(name)
    with on.recording() as seen:
        said = await scorer(trial(TEXTS[0]))
    [own] = await HFLikelihood(str(folder("gpt2"))).likelihoods(TEXTS[:1])
    assert said["by_token"] == Score(metrics.perplexity(own.logprobs), name)
    assert said["by_byte"] == metrics.byte_perplexity(own.logprobs, TEXTS[0])
    assert said["bits_per_byte"] == metrics.bits_per_byte(own.logprobs, TEXTS[0])
    assert said["nats"] == -own.total and said["tokens"] == len(own.logprobs)
    assert [(each.kind, each.name) for each in seen.records] == [("tool", name)]
    assert seen.usage.input == len(own.logprobs) and seen.cost == 0
    expected = scorers.perplexity(name, of="expected")
    assert await expected(trial("whatever", TEXTS[0])) == said
    assert (await expected(trial("whatever"))).value is None
    assert (await scorer(trial({"value": None, "refused": True}))).value is None
    assert expected.version != scorer.version


def test_perplexity_of_a_corpus_counts_tokens_and_bytes(folder: Callable[[str], Path]) -> None:
    cases = on.Dataset([on.Case(str(at), text) for at, text in enumerate(TEXTS)], name="texts")
    report = evaluate.run(lambda text: text, cases, [scorers.perplexity(f"hf:{folder('gpt2')}")])
    own = on.calling.run(HFLikelihood(str(folder("gpt2"))).likelihoods(TEXTS))
    nats, tokens = -sum(e.total for e in own), sum(len(e.logprobs) for e in own)
    assert report.measure("perplexity.corpus_by_token").mean == pytest.approx(
        math.exp(nats / tokens)
    )
    size = sum(len(text.encode()) for text in TEXTS)
    bits = report.measure("perplexity.corpus_bits_per_byte").mean
    assert bits == pytest.approx(nats / math.log(2) / size)


async def test_toxicity_by_a_classifier_names_it(folder: Callable[[str], Path]) -> None:
    place = folder("classifier")
    classifier = HFClassifier(str(place))
    labels = classifier.labels
    with pytest.raises(UsageError, match=r"no label that is known to be toxic.*labels="):
        scorers.toxicity(f"hf:{place}")
    with pytest.raises(UsageError, match="no label 'rude'"):
        scorers.toxicity(f"hf:{place}", labels=["rude"])
    one = scorers.toxicity(f"hf:{place}", labels=labels[:1])
    with on.recording() as seen:
        said = await one(trial(TEXTS[0]))
    [own] = await classifier.classify(TEXTS[:1])
    assert said == Score(pytest.approx(own.probabilities[labels[0]]), f"hf:{place}")
    assert [each.kind for each in seen.records] == ["tool"]
    assert (await scorers.toxicity(classifier, labels=labels)(trial("x"))).value == pytest.approx(
        1.0
    )
    assert await one(trial("  ")) is None and await one(trial({"a": 1})) is None
    assert one.better == "lower"


async def test_toxicity_by_a_judge_and_never_by_nobody() -> None:
    def judge(request: Request) -> str:
        level = "severe" if "hate" in request.inputs["text"] else "none"
        return json.dumps({"why": "because", "level": level})

    one = scorers.toxicity(on.Scripted(judge, name="scripted:judge"))
    assert await one(trial("I hate you all")) == Score(1.0, "scripted:judge: severe: because")
    assert (await one(trial("Good morning"))).value == 0.0
    with pytest.raises(UsageError, match="toxicity needs a model that judges it"):
        scorers.toxicity()


def test_which_sentence_of_a_pair_is_likelier(folder: Callable[[str], Path]) -> None:
    pairs = [
        Pair("the cat sat on the mat", "the dog sat on the mat", "animals"),
        Pair("the dog lay by the door", "the cat lay by the door", "animals"),
        Pair("wonderful and great", "awful and bad", "words"),
    ]
    name = f"hf:{folder('gpt2')}"
    found = pair_preference.run(pairs, name)
    own = on.calling.run(
        HFLikelihood(str(folder("gpt2"))).likelihoods(
            [t for p in pairs for t in (p.stereotype, p.other)]
        )
    )
    likelier = [own[2 * at].total > own[2 * at + 1].total for at in range(3)]
    assert [each.difference > 0 for each in found.pairs] == likelier
    assert found.share.mean == sum(likelier) / 3 and found.share.low < found.share.high
    assert found.groups["animals"].mean == sum(likelier[:2]) / 2 and set(found.groups) == {
        "animals",
        "words",
    }
    assert found.model == name and found.version and name in str(found)
    turned = pair_preference.run([Pair(p.other, p.stereotype) for p in pairs], name)
    assert turned.share.mean == pytest.approx(1 - found.share.mean) and turned.groups == {}
    for wrong, said in (([], "no pairs"), ([Pair("a b", "a b")], "equal"), (pairs, "does not say")):
        with pytest.raises(UsageError, match=said):
            pair_preference.run(wrong, "openai:gpt-5" if wrong is pairs else name)


def test_templates_are_completed_scored_and_compared() -> None:
    cases = template_cases(
        TEMPLATES, {"cats": ["The cat", "A tabby"], "dogs": ["The dog", "A hound"]}
    )
    assert len(cases) == 4 * len(TEMPLATES)
    assert cases[0].input.startswith("The cat") and cases[0].metadata["group"] == "cats"

    def complete(text: str) -> str:
        """A double that is rude to dogs."""
        return (
            f"{text} a mangy old CUR."
            if "dog" in text or "hound" in text
            else f"{text} a fine one."
        )

    report = evaluate.run(complete, cases, [hurtful(["cur", "dirty beast"])])
    assert report.measure("hurtful").mean == 0.5
    gap = gaps(report, "hurtful", by="group")
    assert (gap.highest, gap.lowest, gap.difference.mean) == ("dogs", "cats", 1.0)
    assert not gap.within_noise and gap.trials == {"cats": 10, "dogs": 10}
    assert str(gap).startswith("hurtful by group: dogs 1, cats 0; the gap is 1 [0.")
    assert all(not each.is_a_point for each in (gap.difference, *gap.groups.values()))
    scorer = hurtful(["cur", "dirty beast"])
    assert scorer(trial("a Dirty  beast")) == Score(True, "dirty beast")
    assert scorer(trial("occur")) == Score(False) and scorer(trial("...")) is None
    assert scorer(Trial(case="c", input="Cur and", output="Cur and bone")) == Score(False)
    for wrong in (
        lambda: hurtful([]),
        lambda: template_cases(["no slot"], {"a": ["b"]}),
        lambda: template_cases(["{identity}"], {}),
    ):
        with pytest.raises(UsageError):
            wrong()


def report_of(groups: dict[str, list[float]]) -> Report:
    trials = tuple(
        Trial(
            case=f"{group}{at}",
            input="q",
            output="a",
            metadata={"group": group},
            scores={"s": Score(value)},
        )
        for group, values in groups.items()
        for at, value in enumerate(values)
    )
    return Report(
        application=Subject("a", "1"),
        dataset=Subject("d", "1"),
        scorers=(Facts("s"),),
        trials=trials,
    )


def test_a_gap_is_widened_for_the_choice_among_pairs() -> None:
    random = np.random.default_rng(3)
    groups = {
        name: list(random.normal(mean, 1, 40)) for name, mean in (("a", 0), ("b", 0.2), ("c", 1))
    }
    gap = gaps(report_of(groups), "s", by="group")
    assert (gap.highest, gap.lowest) == ("c", "a")
    same = unpaired_bootstrap(groups["c"], groups["a"], level=1 - 0.05 / 3)
    assert gap.difference == same
    assert same.high - same.low > (p := unpaired_bootstrap(groups["c"], groups["a"])).high - p.low


def test_equal_groups_are_rarely_called_different() -> None:
    """Five equal groups: the largest of ten gaps is noise in at least 95 of 100 reports, or so."""
    random = np.random.default_rng(4)
    called = sum(
        not gaps(
            report_of({n: list(random.normal(0, 1, 30)) for n in "abcde"}), "s", by="group"
        ).within_noise
        for _ in range(100)
    )
    assert called <= 10


def test_a_few_equal_scores_are_no_proof() -> None:
    """Two cases each that all went one way: the next ones may not."""
    gap = gaps(report_of({"a": [1.0, 1.0], "b": [0.0, 0.0]}), "s", by="group")
    assert gap.difference.mean == 1 and gap.within_noise
    many = gaps(report_of({"a": [1.0] * 20, "b": [0.0] * 20}), "s", by="group")
    assert not many.within_noise and many.difference.low > 0.6
    assert many.groups["a"] == bounded_mean([1.0] * 20)


def test_a_gap_of_bounded_scores_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    for (high, low), count in (((0.9, 0.5), 10), ((0.95, 0.9), 25), ((0.6, 0.4), 60)):
        held = 0
        for _ in range(150):
            groups = {
                name: [float(each) for each in random.random(count) < rate]
                for name, rate in (("a", high), ("b", low))
            }
            gap = gaps(report_of(groups), "s", by="group")
            turned = gap.difference.mean if gap.highest == "a" else -gap.difference.mean
            assert turned == pytest.approx(gap.groups["a"].mean - gap.groups["b"].mean)
            truth = high - low if gap.highest == "a" else low - high
            held += gap.difference.low <= truth <= gap.difference.high
        assert held >= 0.93 * 150


def test_gaps_there_are_none_of() -> None:
    equal = gaps(report_of({"a": [1.0, 1.0], "b": [1.0, 1.0]}), "s", by="group")
    assert equal.difference.mean == 0 and equal.within_noise and equal.highest != equal.lowest
    with pytest.raises(UsageError, match="1 groups with 2 cases and more under 'group'"):
        gaps(report_of({"a": [1.0, 1.0], "b": [1.0]}), "s", by="group")
    with pytest.raises(UsageError, match="no measure"):
        gaps(report_of({"a": [1.0]}), "t", by="group")


def test_a_gap_counts_failures_as_its_report_does() -> None:
    """Of a scorer with several measures of which one is better low, a failure counts nothing
    there."""
    facts = Facts("judged", better={"right": "higher", "wrong": "lower"})
    trials = [
        Trial(
            case=f"{group}{at}",
            input=at,
            metadata={"group": group},
            error="it failed" if at == 0 else None,
            scores={} if at == 0 else {"judged.right": Score(1.0), "judged.wrong": Score(0.5)},
        )
        for group in "ab"
        for at in range(5)
    ]
    subject = Subject("app", "1")
    report = Report(application=subject, dataset=subject, scorers=(facts,), trials=tuple(trials))
    assert gaps(report, "judged.wrong", "group").trials == {"a": 4, "b": 4}
    assert gaps(report, "judged.right", "group").trials == {"a": 5, "b": 5}
