"""The shipped embedder, with its real model."""

import asyncio
import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onrecord
from onrecord.models.minilm import MiniLM, batched, combined, windows
from onrecord.models.minilm import Window as ModelWindow
from onrecord.models.model import Embedder

FOLDER = Path(onrecord.__file__).parent / "data" / "minilm"
TEXTS = [
    "How many days of leave do I have?",
    "",
    "Employees are entitled to thirty days of paid leave a year.",
    "🙂 naïve café, 東京, שלום",
    "The pump delivers four litres a minute.",
    "Water boils at one hundred degrees.",
    "A cat sat on the mat.",
    "The cat sat on a mat.",
    "x" * 300,
    "half a pair: \ud83d",
]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


def embed(minilm: MiniLM, texts: list[str]) -> np.ndarray:
    return asyncio.run(minilm.embed(texts))


def test_satisfies_the_protocol(minilm: MiniLM) -> None:
    embedder: Embedder = minilm
    assert embedder.name == "embedded:minilm"
    assert embedder.max_tokens <= 510


def test_version_is_the_hash_of_the_files() -> None:
    content = (FOLDER / "model.onnx").read_bytes() + (FOLDER / "tokenizer.json").read_bytes()
    assert MiniLM.version.split("-")[1] == hashlib.sha256(content).hexdigest()[:16]


def test_vectors_have_unit_length(minilm: MiniLM) -> None:
    vectors = embed(minilm, TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_an_empty_list_gives_no_rows(minilm: MiniLM) -> None:
    assert embed(minilm, []).shape == (0, 384)


def test_a_vector_does_not_depend_on_its_batch(minilm: MiniLM) -> None:
    together = embed(minilm, TEXTS * 3)
    alone = np.concatenate([embed(minilm, [text]) for text in TEXTS])
    np.testing.assert_array_equal(together, np.concatenate([alone] * 3))


def test_another_instance_gives_the_same_bits(minilm: MiniLM) -> None:
    np.testing.assert_array_equal(embed(minilm, TEXTS), embed(MiniLM(), TEXTS))


def test_agrees_with_the_published_float_model(minilm: MiniLM) -> None:
    # Cosines between these texts, as the published float32 model has them.
    expected = [(0, 2, 0.594), (0, 4, 0.105), (2, 4, 0.024), (6, 7, 0.992), (0, 6, 0.050)]
    vectors = embed(minilm, TEXTS)
    for first, second, cosine in expected:
        assert vectors[first] @ vectors[second] == pytest.approx(cosine, abs=0.02)


def test_a_long_text_is_read_to_its_end(minilm: MiniLM) -> None:
    start = "The harbour was quiet that morning and nothing moved. " * 40
    assert len(minilm.tokens(start)) > minilm.max_tokens
    end = "Volcanic ash buried the vineyards. " * 40
    whole, first, last = embed(minilm, [start + end, start, end])
    assert np.linalg.norm(whole) == pytest.approx(1, abs=1e-5)
    assert whole @ last > first @ last + 0.2
    assert whole @ first > first @ last + 0.2


def test_the_longest_whole_text_is_one_window(minilm: MiniLM) -> None:
    for count in (minilm.max_tokens, minilm.max_tokens + 1):
        text = "word " * count
        assert len(minilm.tokens(text)) == count
        assert len(list(windows(list(range(count)), minilm.max_tokens))) == 1 + (count == 255)


@given(st.integers(0, 2000), st.integers(1, 300))
def test_windows_are_even_and_complete(count: int, longest: int) -> None:
    ids = list(range(count))
    parts = list(windows(ids, longest))
    assert [i for part in parts for i in part] == ids
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert max(map(len, parts)) <= longest


@given(st.lists(st.integers(0, 60), max_size=80))
def test_batches_hold_equal_lengths_and_lose_nothing(lengths: list[int]) -> None:
    ordered = [ModelWindow(i, [7] * n) for i, n in enumerate(sorted(lengths))]
    batches = list(batched(ordered))
    assert [window for batch in batches for window in batch] == ordered
    assert all(len({len(window.ids) for window in batch}) == 1 for batch in batches)


def test_one_window_keeps_its_bits() -> None:
    vector = np.full((1, 384), 0.3, np.float32)
    np.testing.assert_array_equal(combined(1, [[ModelWindow(0, [])]], [vector]), vector)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), max_size=200))
def test_token_spans_ascend_inside_the_text(minilm: MiniLM, text: str) -> None:
    spans = minilm.tokens(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert spans == sorted(spans)


def test_token_spans_are_characters_not_bytes(minilm: MiniLM) -> None:
    text = "🙂 Café, 東京!"
    assert [text[start:end] for start, end in minilm.tokens(text)] == [
        "🙂", "Café", ",", "東", "京", "!",
    ]  # fmt: skip


def test_many_threads_share_one_instance() -> None:
    minilm, results = MiniLM(), {}

    def work(number: int) -> None:
        results[number] = embed(minilm, TEXTS)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = embed(minilm, TEXTS)
    assert len(results) == 6
    for vectors in results.values():
        np.testing.assert_array_equal(vectors, expected)


def test_the_event_loop_stays_free(minilm: MiniLM) -> None:
    async def both() -> int:
        job, turns = asyncio.create_task(minilm.embed(TEXTS * 40)), 0
        while not job.done():
            turns += 1
            await asyncio.sleep(0.001)
        return turns

    assert asyncio.run(both()) > 1
