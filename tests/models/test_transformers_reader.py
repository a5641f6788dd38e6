"""`hf:` readers: the span that transformers' own selection takes, at its exact place."""

import math

import numpy as np
import pytest

from onrecord.errors import ContextLengthError, ModelRefusedError
from onrecord.models.transformers.reader import HFReader
from tests.models import tiny_models

pytestmark = pytest.mark.anyio
QUIET = "It was a quiet day. " * 40


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def reader(tiny):
    return HFReader(str(tiny("reader")))


def logits(folder, question, text):
    """By hand: the row, its scores, and where in it the text stands."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    given = words(question, text, return_tensors="pt", return_offsets_mapping=True)
    spans = given.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        out = model(**given)
    inside = np.array([side == 1 for side in given.sequence_ids(0)])
    return out.start_logits[0].numpy(), out.end_logits[0].numpy(), inside, spans


async def test_answers_and_refusals_at_their_exact_places(reader):
    right = 0
    for person in tiny_models.townspeople(60, seed=5):
        for kind, span in person.spans.items():
            found = await reader.read(f"{kind}?", person.text)
            right += (found.start, found.end) == (span or (None, None))
            assert 0 < found.confidence <= 1
    assert right >= 170  # of 180; a training goes a little differently on every machine


async def test_the_span_is_that_of_transformers_own_selection(tiny):
    from transformers.pipelines.document_question_answering import select_starts_ends

    # Random weights: the scores are close, and any span can be the best one.
    folder = tiny("random_reader")
    reader = HFReader(str(folder), longest=6, threshold=None)
    people = [each.text for each in tiny_models.townspeople(30, seed=6)]
    for text in [*people, "🙂 naïve café, 東京. In Paris, Ann sells tea.</s>"]:
        first, last, inside, spans = logits(folder, "where?", text)
        starts, ends, _, _ = select_starts_ends(
            first[None], last[None], ~inside, None, max_answer_len=6
        )
        found = await reader.read("where?", text)
        assert (found.start, found.end) == (spans[starts[0]][0], spans[ends[0]][1])


async def test_the_confidence_is_a_share_of_all_that_it_could_have_been(tiny):
    folder, text = tiny("random_reader"), "In Paris, Ann sells tea. It was a quiet day."
    first, last, inside, _ = logits(folder, "who?", text)
    places = np.flatnonzero(inside)
    scores = [float(first[i] + last[j]) for i in places for j in places if 0 <= j - i < 30]
    nothing = float(first[0] + last[0])
    total = sum(map(math.exp, [*scores, nothing]))
    best = await HFReader(str(folder), threshold=None).read("who?", text)
    assert best.confidence == pytest.approx(math.exp(max(scores)) / total, rel=1e-4)
    never = await HFReader(str(folder), threshold=100.0).read("who?", text)
    assert (never.start, never.end) == (None, None)
    assert never.confidence == pytest.approx(math.exp(nothing) / total, rel=1e-4)


async def test_a_long_text_is_read_to_its_end(reader):
    text = f"{QUIET}In Lagos, Chidi sells umbrellas. {QUIET}"
    for kind, answer in (("who", "Chidi"), ("where", "Lagos"), ("what", "umbrellas")):
        found = await reader.read(f"{kind}?", text)
        assert found.windows > 5
        assert text[found.start : found.end] == answer
    assert (await reader.read("who?", QUIET)).start is None


async def test_windows_together_are_as_alone(tiny, reader):
    text = f"{QUIET}In Lagos, Chidi sells umbrellas. {QUIET}"
    one = await HFReader(str(tiny("reader")), batch=1).read("who?", text)
    many = await reader.read("who?", text)
    assert (one.start, one.end, one.tokens) == (many.start, many.end, many.tokens)
    assert one.confidence == pytest.approx(many.confidence, abs=1e-4)


async def test_half_a_surrogate_pair_moves_nothing(tiny):
    reader = HFReader(str(tiny("random_reader")), threshold=None)
    text = "half \ud83d a day. In Paris, Ann sells tea."
    found = await reader.read("what?", text)
    whole = await reader.read("what?", text.replace("\ud83d", "?"))
    assert found == whole and found.start is not None


async def test_what_cannot_be_read_is_said(tiny, reader, tmp_path):
    with pytest.raises(ContextLengthError, match="leaves 0 of them"):
        await reader.read("who? " * 60, "Ann sells tea.")
    with pytest.raises(ModelRefusedError, match="holds nothing that this model reads"):
        await reader.read("who?", "\u200b")
    with pytest.raises(ModelRefusedError, match="hold no weights for qa_outputs"):
        await HFReader(str(tiny("classifier"))).read("who?", "Ann")
    slow = tiny_models.canine(tmp_path / "slow", "QuestionAnswering")
    with pytest.raises(ModelRefusedError, match="does not say where its tokens stand"):
        await HFReader(str(slow)).read("who?", "Ann")
