"""Labels of texts that are longer than a request may hold, and of texts that say little."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import ContextLengthError, UsageError
from onrecord.models.model import Request
from onrecord.programs.tasks.long_inputs import LEAST, cut

BILLS = "The invoice charges us twice, and the bank asks why."
BOATS = "The boats left the harbour at dawn, and nobody saw them again."
LABELS = ["billing", "shipping"]


def mixed(bills: int, boats: int) -> str:
    """A text whose parts are about one thing each: paragraphs of some forty tokens."""
    about = [BILLS] * bills + [BOATS] * boats
    return "\n\n".join(f"Page {number}. {words} {words}" for number, words in enumerate(about))


def by_words(request: Request) -> str:
    """Labels by what it was shown, and quotes it; one quotation is made up."""
    shown = request.messages[-1].text
    label, quote = (
        ("billing", "charges us twice") if "invoice" in shown else ("shipping", "at dawn")
    )
    return json.dumps({"evidence": [quote, "made up"], "label": label})


def test_a_prompt_reads_a_long_text_in_parts_and_says_how_they_were_weighed() -> None:
    text = mixed(bills=12, boats=4)
    model = on.Scripted(by_words)
    with on.recording() as run:
        result = on.task("classify", labels=LABELS, model=model, window=60).run(text)
    parts = [each for each in run.records if each.name == "map_part"]
    assert len(parts) == len(model.requests) > 4
    assert [each.name for each in run.records].count("weigh_parts") == 1
    assert result.label == "billing" and result.confidence is None
    assert list(result.scores) == LABELS and sum(result.scores.values()) == pytest.approx(1)
    assert 0.7 < result.scores["billing"] < 0.9
    assert f"read in {len(parts)} parts of at most 60 tokens" in result.note
    assert "“made up”" in result.note
    assert {each.quote for each in result.evidence} == {"charges us twice"}
    assert len({each.start for each in result.evidence}) > 1
    assert all(each.quote == text[each.start : each.end] for each in result.evidence)
    sent = "".join(request.messages[-1].text for request in model.requests)
    assert all(f"Page {number}." in sent for number in range(16))


def test_a_short_text_is_one_request_and_a_window_is_checked() -> None:
    model = on.Scripted(by_words)
    result = on.task("classify", labels=LABELS, model=model, window=60).run(BILLS)
    assert (len(model.requests), result.scores) == (1, {})
    with pytest.raises(UsageError, match=r"3 is too small\. window may be 16 or more"):
        on.task("classify", labels=LABELS, model=model, window=3).run(BILLS)


def test_where_nobody_knows_how_much_a_model_reads_a_request_holds_what_all_read() -> None:
    text = mixed(bills=150, boats=0)
    model = on.Scripted(by_words)
    result = on.task("sentiment", labels=LABELS, model=model).run(text)
    assert 1 < len(model.requests) < 6 and "at most 3,000 tokens" in result.note


def test_a_cassette_gives_the_parts_again(project: Path) -> None:
    task = on.task("classify", labels=LABELS, model=on.Scripted(by_words), window=60)
    with on.replay("cassette.jsonl", record=True):
        first = task.run(mixed(3, 1))
    silent = on.Scripted(lambda request: pytest.fail("it was asked again"))
    again = on.task("classify", labels=LABELS, model=silent, window=60)
    with on.replay("cassette.jsonl"):
        assert again.run(mixed(3, 1)) == first


def test_a_broken_part_fails_the_text_and_is_not_left_out() -> None:
    def reply(request: Request) -> str:
        if "Page 3." in request.messages[-1].text:
            raise ContextLengthError("this part is too long")
        return by_words(request)

    with pytest.raises(ContextLengthError, match="this part is too long"):
        on.task("classify", labels=LABELS, model=on.Scripted(reply), window=60).run(mixed(6, 0))


@pytest.fixture
def entailing(tmp_path: Path) -> str:
    pytest.importorskip("transformers")
    from tests.models import tiny_models

    folder = tiny_models.classifier(tmp_path / "nli", ("contradiction", "entailment"))
    return f"hf:{folder}"


def test_entailment_reads_a_long_text_in_parts(entailing: str) -> None:
    task = on.task("classify", labels=["tea", "boats", "cats"], model=entailing)
    short = task.run(BOATS)
    assert "parts" not in short.note
    text = mixed(bills=10, boats=10)
    with on.recording() as run:
        result = task.run(text)
    assert set(result.scores) == {"tea", "boats", "cats"}
    assert sum(result.scores.values()) == pytest.approx(1, abs=1e-5)
    assert "parts, weighted by length" in result.note
    (step,) = [each for each in run.records if each.name == "map_parts" and each.error is None]
    read = step.input["parts"]
    assert len(read) > 1 and all(f"Page {n}." in " ".join(read) for n in range(20))
    # The mean of what the parts give alone, by their tokens: told by the model itself.
    found = step.output
    assert len(found) == 3 * len(read)
    mean = [
        sum(each["probabilities"]["entailment"] * each["tokens"] for each in found[at::3])
        / sum(each["tokens"] for each in found[at::3])
        for at in range(3)
    ]
    assert result.scores == pytest.approx(
        {name: each / sum(mean) for name, each in zip(["tea", "boats", "cats"], mean, strict=True)},
        abs=1e-5,
    )


def test_a_label_that_no_part_can_stand_beside_is_an_error(entailing: str) -> None:
    labels = {"tea": "leaves in hot water, " * 200, "boats": "ships"}
    with pytest.raises(ContextLengthError, match="tokens, and the model reads"):
        on.task("classify", labels=labels, model=entailing).run(mixed(2, 2))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("classify", {"labels": LABELS}),
        ("sentiment", {"examples": [("good", "a"), ("bad", "b"), ("fine", "a"), ("ill", "b")]}),
        ("similar", {"candidates": ["x"]}),
        ("summarize", {}),
    ],
)
def test_what_an_embedder_cannot_judge_is_said(name: str, options: dict[str, Any]) -> None:
    task = on.task(name, **options)
    assert "no words in the text" in task.run("!!! … 😀").note
    assert "another script" in task.run("東京は大きい都市です。猫が好きです。").note
    assert "script" not in task.run("Größe und Maß sind prüfbar.").note


def test_evidence_of_a_thousand_sentences_says_where_it_was_looked_for() -> None:
    text = " ".join(f"The boats left the harbour on day {n}." for n in range(300))
    note = on.task("classify", labels=LABELS).run(text).note
    assert "the first 256 of 300 sentences" in note


def test_tasks_set_nothing_that_a_newer_model_refuses() -> None:
    """Newer models take no temperature: no prompt of a task sets one, or any other parameter."""
    from onrecord.models.anthropic.api import AnthropicModel
    from tests.models.test_anthropic_api import answering
    from tests.servers.model_server import serving

    tasks: list[tuple[str, dict[str, Any], str]] = [
        ("sentiment", {}, '{"evidence": [], "label": "negative"}'),
        ("summarize", {}, "Short."),
        ("translate", {"to": "German"}, "Kurz."),
        ("extract", {"fields": "name"}, '{"name": "Ann"}'),
        ("similar", {"candidates": ["x"]}, '{"value": [0.5]}'),
        ("generate", {}, "Words."),
        (
            "answer",
            {"question": "Who came?"},
            '{"answer": "Ann", "quotes": [{"passage": 1, "quote": "Ann came"}], "refused": false,'
            ' "reason": ""}',
        ),
    ]
    for name, options, said in tasks:
        with serving(answering(said)) as server:
            model = AnthropicModel("m", base_url=server.url, key="")
            result = on.task(name, model=model, **options).run("Ann came late.")
            ((_, body),) = server.asked
        assert result.model == "anthropic:m"
        assert not {"temperature", "top_p", "top_k"} & body.keys(), name


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("ab .\n#é東-"), max_size=60), max_size=12)
    .map("\n\n".join)
    .filter(str.strip),
    st.integers(LEAST, 80),
    st.sampled_from([len, lambda text: len(text.split()), lambda text: 3 * len(text.encode())]),
)
def test_a_cut_loses_nothing_and_holds_its_measure(
    text: str, most: int, count: Callable[[str], int]
) -> None:
    spans = asyncio.run(cut(text, most, count))
    assert spans and all(start < end for start, end in spans)
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    between = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    assert not "".join(between).strip()
    tokens = on.embedder("embedded:minilm").tokens
    parts = [text[slice(*span)] for span in spans]
    # What is as short as the embedder can tell is not cut, whatever a model counts.
    assert all(count(part) <= most or len(tokens(part)) <= LEAST for part in parts)
