"""The tasks, each in its ways: embedded, by a scripted model, by tiny hf: models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import onrecord as on
from onrecord.errors import ContextLengthError, OutputError, UnknownNameError, UsageError
from onrecord.models.model import Request
from onrecord.programs.tasks.centrality import central, centrality
from onrecord.programs.tasks.few_shot import fit
from onrecord.programs.tasks.results import Evidence

pytestmark = pytest.mark.anyio

PUMP = (
    "The pump delivers four litres of water a minute. Its pipe is made of copper. "
    "The maker was founded in 1923 and sells tea today."
)
REVIEWS = [
    ("I love it", "good"),
    ("a delight from start to end", "good"),
    ("wonderful and great", "good"),
    ("a terrible bore", "bad"),
    ("I hate it", "bad"),
    ("awful, the worst I have seen", "bad"),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def stands_in(evidence: tuple[Evidence, ...], text: str) -> bool:
    return all(each.quote == text[each.start : each.end] for each in evidence)


def said(**values: Any) -> str:
    return json.dumps(values)


def test_names_and_options_are_checked_at_once() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'summarize'"):
        on.task("sumarize")
    with pytest.raises(UsageError, match=r"no option 'lables'\. Did you mean 'labels'"):
        on.task("classify", lables=["a", "b"])
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"labels": ["a"]}, "only the label 'a'"),
        ({"labels": ["a", "a"]}, "named twice"),
        ({"labels": ["a", " "]}, "a label is empty"),
        ({"examples": [("x", "a"), ("y", "a")]}, "all examples have the label 'a'"),
        ({"labels": ["a", "b"], "examples": [("x", "c")]}, "'c', which is none of the labels"),
        ({"examples": [{"words": "x"}]}, "example 1 has no text and label"),
        ({"examples": "nowhere.csv"}, "no such file of examples"),
    ]
    for options, reason in mistakes:
        with pytest.raises(UsageError, match=reason):
            on.task("classify", **options)
    with pytest.raises(UsageError, match="may be 'map-reduce' or 'refine'"):
        on.task("summarize", long="reduce")
    with pytest.raises(UsageError, match=r"0 is out of range\. sentences may be 1 to 100"):
        on.task("summarize", sentences=0)
    with pytest.raises(UsageError, match="into which language"):
        on.task("translate")
    with pytest.raises(UsageError, match="does not know what to take out"):
        on.task("extract")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("summarize", {}),
        ("classify", {"labels": ["a", "b"]}),
        ("sentiment", {}),
        ("translate", {"to": "German"}),
        ("answer", {"question": "Why?"}),
        ("extract", {"fields": "dates"}),
        ("generate", {}),
        ("similar", {"candidates": ["x"]}),
    ],
)
def test_an_empty_text_and_an_endless_one(name: str, options: dict[str, Any]) -> None:
    task = on.task(name, model="scripted:echo", **options)
    with pytest.raises(UsageError, match="the text is empty"):
        task.run(" \n")
    with pytest.raises(UsageError, match="5,000,000 characters"):
        task.run("x" * 5_000_000)


@pytest.mark.parametrize(
    ("name", "options", "cure"),
    [
        ("sentiment", {}, "sentiment needs a model or examples"),
        ("translate", {"to": "German"}, "translate needs a model"),
        ("generate", {}, "generate needs a model"),
        ("extract", {"fields": "name"}, "without a model, extract finds emails"),
        ("classify", {}, "no labels to choose from"),
        ("similar", {}, "nothing to compare the text with"),
        ("answer", {}, "no question"),
    ],
)
def test_what_has_no_honest_default_says_so(name: str, options: dict[str, Any], cure: str) -> None:
    with pytest.raises(UsageError, match=cure):
        on.task(name, **options).run("a text")


async def test_the_calling_rule() -> None:
    task = on.task("generate", model=on.Scripted("two words"))
    assert (await task("x")).text == task.run("x").text == "two words"
    events = [event async for event in task.stream("x")]
    assert [e.text for e in events[:-1] if isinstance(e, on.TextDelta)] == ["two", " words"]
    assert events[-1].value.text == "two words"


def test_a_call_is_a_flow_on_record() -> None:
    with on.recording() as run:
        on.task("summarize", sentences=1).run(PUMP)
    flow = run.records[-1]
    assert (flow.kind, flow.name, flow.input["text"]) == ("flow", "summarize", PUMP)
    assert [each.kind for each in run.records] == ["embed", "flow"]


def test_summary_of_sentences() -> None:
    text = (
        "# Harbours\n\nThe harbour of the town is used by fishing boats. Fishing boats leave the "
        "harbour at dawn. My aunt prefers tea. The town lives from the boats in its harbour.\n\n"
        "| boat | crew |\n| --- | --- |\n| the fishing boat of the harbour | four sailors there |\n"
    )
    result = on.task("summarize", sentences=2).run(text)
    assert len(result.evidence) == 2 and stands_in(result.evidence, text)
    assert result.text == " ".join(each.quote for each in result.evidence)
    assert "aunt" not in result.text and "|" not in result.text
    assert result.confidence is None and result.model == "embedded:minilm"
    assert on.task("summarize").run("One.").text == "One."


def test_centrality() -> None:
    vectors = np.eye(4, dtype=np.float32)
    vectors[1] = [0.8, 0.6, 0, 0]
    vectors[2] = [0.8, -0.6, 0, 0]
    scores = centrality(vectors)
    assert scores.argmax() == 0 and scores[3] == scores.min()
    same = np.vstack([vectors[:1], vectors[:1], vectors[3:]])
    assert central(same, centrality(same), 3) == [0, 2]  # the twin says nothing new
    assert centrality(np.eye(1)).tolist() == [1.0]


def test_map_reduce_and_refine_are_steps() -> None:
    text = "\n\n".join(f"Paragraph {n}. Nothing moved in the harbour today." for n in range(40))
    seen: list[str] = []

    def reply(request: Request) -> str:
        seen.append(request.messages[-1].text)
        return f"S{len(seen)}."

    with on.recording() as run:
        result = on.task("summarize", model=on.Scripted(reply), window=150).run(text)
    steps = [each.name for each in run.records if each.kind == "step"]
    parts = steps.count("map_part")
    assert parts > 2 and steps.count("reduce_parts") == 1
    assert len(seen) == parts + 1 and result.text == f"S{parts + 1}."
    assert all(f"S{n}." in seen[-1] for n in range(1, parts + 1))
    assert f"{parts} parts of at most 150 tokens (map-reduce)" in result.note
    joined = "".join(seen[:-1])
    assert all(f"Paragraph {n}." in joined for n in range(40))

    seen.clear()
    with on.recording() as run:
        result = on.task("summarize", model=on.Scripted(reply), window=150, long="refine").run(text)
    assert [each.name for each in run.records].count("refine_part") == parts == len(seen)
    assert all(f"S{n}." in seen[n] for n in range(1, parts))


def test_parts_that_do_not_shrink_are_given_up() -> None:
    text = "\n\n".join(f"Paragraph {n}. Nothing moved in the harbour today." for n in range(40))
    long = on.Scripted("word " * 100)
    with pytest.raises(OutputError, match="does not get shorter"):
        on.task("summarize", model=long, window=150).run(text)


def test_the_stream_of_a_long_text_has_the_result_alone() -> None:
    text = "\n\n".join(f"Paragraph {n}. Nothing moved in the harbour today." for n in range(40))
    for long in ("map-reduce", "refine"):
        task = on.task("summarize", model=on.Scripted("The end."), window=150, long=long)
        events = list(task.stream(text))
        words = "".join(each.text for each in events if isinstance(each, on.TextDelta))
        assert words == events[-1].value.text == "The end."
        assert any(isinstance(each, on.Progress) for each in events)


def test_labels_by_their_descriptions() -> None:
    text = "My invoice charges me twice. I want my money back. It rains."
    labels = {"billing": "invoices and payments", "shipping": "parcels and delivery"}
    result = on.task("classify", labels=labels).run(text)
    assert result.label == result.value == "billing" and next(iter(result.scores)) == "billing"
    assert result.confidence == result.scores["billing"]
    assert sum(result.scores.values()) == pytest.approx(1, abs=1e-5)
    assert result.evidence[0].quote.startswith("My invoice") and stands_in(result.evidence, text)
    assert "calibrated to nothing" in result.note


def test_a_head_on_examples() -> None:
    task = on.task("sentiment", examples=REVIEWS)
    result = task.run("great, what a delight")
    assert result.label == "good" and result.confidence is not None and result.confidence > 0.5
    assert "Fitted to 6 examples; cross-validated accuracy" in result.note
    with on.recording() as run:
        assert task.run("awful and terrible").label == "bad"
    assert "fit_head" not in [each.name for each in run.records]  # fitted once


def test_fit_tells_what_it_is_worth() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, 16)[[0, 1, 2] * 20]
    noisy = centres + rng.normal(0, 0.1, (60, 16))
    vectors = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    labels = ["a", "b", "c"] * 20
    head = fit(vectors, labels)
    assert (head.accuracy, head.labels) == (1.0, ("a", "b", "c"))
    found = head.probabilities(vectors)
    assert np.allclose(found.sum(axis=1), 1) and (found.argmax(axis=1) == [0, 1, 2] * 20).all()
    assert 0.9 < found.max(axis=1).mean() < 1  # sixty right ones are no certainty
    shuffled = fit(vectors, list(rng.permutation(labels)))
    assert shuffled.accuracy < 0.6 and shuffled.probabilities(vectors).max(axis=1).mean() < 0.6
    assert fit(vectors[:3], ["a", "b", "b"]).accuracy < 1  # the only "a" cannot be told without it
    with pytest.raises(UsageError, match="all examples have the label 'a'"):
        fit(vectors[:2], ["a", "a"])


def test_left_out_scores_are_those_of_fits_without_the_example() -> None:
    from onrecord.programs.tasks import few_shot

    rng = np.random.default_rng(1)
    raw = rng.normal(size=(20, 8))
    vectors = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    targets = np.eye(3)[rng.integers(0, 3, 20)]

    def ridge(inputs: Any, wanted: Any, asked: Any) -> Any:
        """By the normal equations, the intercept not held back."""
        design = np.hstack([inputs, np.ones((len(inputs), 1))])
        held = 0.3 * np.diag([1.0] * 8 + [0.0])
        weights = np.linalg.solve(design.T @ design + held, design.T @ wanted)
        return np.append(asked, 1.0) @ weights

    others = [np.arange(20) != at for at in range(20)]
    slow = [ridge(vectors[o], targets[o], vectors[at]) for at, o in enumerate(others)]
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    turned = left.T @ (targets - targets.mean(axis=0))
    assert np.allclose(few_shot._left_out(left, sizes, turned, targets, 0.3), slow)


def test_labels_by_a_model() -> None:
    text = "It charges me twice, every month."
    reply = said(evidence=["charges me twice", "not there"], label="billing")
    model = on.Scripted(reply)
    task = on.task("classify", model=model, labels=["billing", "other"], examples=[("x", "other")])
    result = task.run(text)
    assert (result.label, result.confidence, result.scores) == ("billing", None, {})
    assert result.evidence == (Evidence("charges me twice", 3, 19),)
    assert "not there" in result.note
    system, user = model.requests[0].messages
    assert "- billing" in system.text and "Label: other" in user.text and text in user.text
    with pytest.raises(OutputError):
        on.task("sentiment", model=on.Scripted(said(evidence=[], label="sad"))).run("x")


def test_answers() -> None:
    task = on.task("answer", question="How much water does the pump deliver?")
    result = task.run(PUMP)
    assert result.text == "The pump delivers four litres of water a minute."
    assert stands_in(result.evidence, PUMP) and result.confidence is not None
    refused = task.run(PUMP, "Who wrote Hamlet?")
    assert refused.refused and refused.value is None and "Hamlet" in refused.note
    reply = said(
        answer="copper",
        quotes=[{"passage": 1, "quote": "pipe is made of copper"}],
        refused=False,
        reason="",
    )
    by_model = on.task("answer", model=on.Scripted(reply)).run(PUMP, "What is the pipe made of?")
    assert by_model.text == "copper" and by_model.confidence is None
    assert by_model.evidence[0].quote == "pipe is made of copper"
    assert stands_in(by_model.evidence, PUMP)


def test_passages_that_fit_least_are_left_out_and_told() -> None:
    filler = "\n\n".join(f"Note {n}. " + "Nothing of interest happened. " * 20 for n in range(20))
    text = f"{filler}\n\n{PUMP}\n\n{filler}"
    reply = said(answer=None, quotes=[], refused=True, reason="no")
    model = on.Scripted(reply)
    asked = "How much water does the pump deliver a minute?"
    result = on.task("answer", model=model, window=300).run(text, asked)
    assert "were not read" in result.note
    assert "four litres" in model.requests[0].messages[-1].text


class Person(msgspec.Struct):
    name: str
    age: int | None = None


def test_extract() -> None:
    text = "Ann (ann@mail.org) came on 3 March 2024 and on 2024-03-05, and paid 1,200.50."
    found = on.task("extract", fields=["emails", "dates", "numbers", "urls"]).run(text)
    assert found.value == {
        "emails": ["ann@mail.org"],
        "dates": ["3 March 2024", "2024-03-05"],
        "numbers": ["3", "2024", "1,200.50"],
        "urls": [],
    }
    assert stands_in(found.evidence, text) and found.model == "patterns"
    model = on.Scripted(said(name="Ann", age=41))
    typed = on.task("extract", into=Person, model=model).run(text)
    assert typed.value == Person("Ann", 41)
    assert [each.quote for each in typed.evidence] == ["Ann"] and "“41”" in typed.note
    named = on.task("extract", fields="name,age", model=on.Scripted(said(name="Ann", age=None)))
    assert named.run(text).value == {"name": "Ann", "age": None}


def test_similar() -> None:
    among = ["Taxes rose again.", "A feline was sitting on the rug."]
    result = on.task("similar", candidates=among).run("The cat sat on the mat.")
    assert result.label == among[1] and result.value == result.scores[1] > result.scores[0]
    assert on.task("similar").run("the same", "the same").score == pytest.approx(1, abs=1e-5)
    judged = on.task("similar", model=on.Scripted(said(value=[0.1, 0.9]))).run("x", among)
    assert (judged.label, judged.score) == (among[1], 0.9)
    with pytest.raises(OutputError, match="judged 1 candidates of 2"):
        on.task("similar", model=on.Scripted(said(value=[0.1]))).run("x", among)


def test_translation_in_parts_keeps_what_stands_between() -> None:
    text = "\n\n".join(f"Paragraph {n} is about the harbour of the town." for n in range(40))
    model = on.Scripted(lambda request: "Absatz.")
    result = on.task("translate", to="German", model=model, window=100).run(text)
    assert result.text == "\n\n".join(["Absatz."] * len(model.requests))
    assert len(model.requests) > 1 and f"{len(model.requests)} parts" in result.note


def test_a_long_untrusted_text_reaches_the_model_whole() -> None:
    text = "A quiet day in the harbour. " * 6_000
    model = on.Scripted(said(evidence=[], label="a"))
    on.task("classify", labels=["a", "b"], model=model, window=100_000).run(text)
    assert text.strip() in model.requests[0].messages[-1].text


def test_the_options_that_a_type_checker_knows_are_those_there_are() -> None:
    from typing import get_args, get_overloads, get_type_hints

    from onrecord.programs.tasks.task import NAMES, options_of, task

    told = {}
    for each in get_overloads(task):
        hints = get_type_hints(each)
        for name in get_args(hints["name"]):
            (typed,) = get_args(hints["options"])
            told[name] = set(get_type_hints(typed))
    assert set(told) == set(NAMES)
    assert told == {name: set(options_of(name)) for name in NAMES}


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Callable[..., Path]:
    pytest.importorskip("transformers")
    from tests.models import tiny_models

    def made(kind: str, *args: Any, **options: Any) -> Path:
        folder: Path = getattr(tiny_models, kind)(tmp_path / kind, *args, **options)
        return folder

    return made


def test_a_head_that_was_fine_tuned(tiny_folder: Callable[..., Path]) -> None:
    name = f"hf:{tiny_folder('classifier')}"
    result = on.task("sentiment", model=name).run("a delight")
    assert set(result.scores) == {"negative", "positive"} and result.model == name
    assert result.confidence == max(result.scores.values())
    with on.replay("cassette.jsonl", record=True):
        first = on.task("sentiment", model=name).run("a delight")
    with on.replay("cassette.jsonl"):
        assert on.task("sentiment", model=name).run("a delight") == first == result
    long = on.task("sentiment", model=name).run(". ".join(["A delight of the harbour"] * 200))
    assert "parts, weighted by length" in long.note
    with pytest.raises(UsageError, match="knows the labels negative, positive, and not a, b"):
        on.task("classify", labels=["a", "b"], model=name).run("x")
    with pytest.raises(UsageError, match="takes no examples"):
        on.task("classify", examples=REVIEWS, model=name).run("x")
    with pytest.raises(UsageError, match="cannot summarize"):
        on.task("summarize", model=name).run("x")


def test_zero_shot_by_entailment(tiny_folder: Callable[..., Path]) -> None:
    folder = tiny_folder("classifier", ("contradiction", "entailment"))
    result = on.task("classify", labels=["tea", "boats"], model=f"hf:{folder}").run("A cat sat.")
    assert set(result.scores) == {"tea", "boats"}
    assert sum(result.scores.values()) == pytest.approx(1, abs=1e-5)


def test_an_encoder_decoder_model_is_asked_as_it_was_trained(
    tiny_folder: Callable[..., Path],
) -> None:
    folder = tiny_folder("t5")
    for task, prefix in [
        (on.task("summarize", model=f"hf:{folder}"), "summarize: "),
        (on.task("translate", to="German", model=f"hf:{folder}"), "translate English to German: "),
        (on.task("translate", to="German", prefix=">>de<< ", model=f"hf:{folder}"), ">>de<< "),
    ]:
        with on.recording() as run:
            task.run("the cat")
        (asked,) = [each for each in run.records if each.kind == "model"]
        assert asked.input["messages"][0]["parts"][0]["text"] == prefix + "the cat"


def test_a_model_that_writes_may_be_called_a_model(
    tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """GPT2LMHeadModel and MarianMTModel are no encoders, whatever their names end with."""
    folder = tiny_folder("gpt2")
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["GPT2LMHeadModel"]
    with pytest.raises(ContextLengthError):  # it was asked
        on.task("summarize", model=f"hf:{folder}", window=4000).run("the cat sat on the mat " * 40)
    assert on.task("generate", model=f"hf:{folder}").run("the cat").model == f"hf:{folder}"

    folder = tiny_folder("bart")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["MarianMTModel"]}))
    task = on.task("translate", to="German", model=f"hf:{folder}")
    assert task.run("the cat").model == f"hf:{folder}"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("BertForQuestionAnswering", "finds answers in a text"),
        ("BertForTokenClassification", "marks entities in a text"),
    ],
)
def test_a_model_for_another_task_is_named_so(
    kind: str, sentence: str, tiny_folder: Callable[..., Path]
) -> None:
    folder = tiny_folder("encoder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": [kind]}))
    with pytest.raises(UsageError, match=f"{sentence}, and neither writes nor labels"):
        on.task("summarize", model=f"hf:{folder}").run("x")


def test_an_encoder_neither_writes_nor_labels(tiny_folder: Callable[..., Path]) -> None:
    folder = tiny_folder("encoder")
    with pytest.raises(UsageError, match="this model is an encoder"):
        on.task("summarize", model=f"hf:{folder}").run("x")
    result = on.task("similar", embedder=f"hf:{folder}").run("a cat", ["a dog"])
    assert result.model == f"hf:{folder}"
