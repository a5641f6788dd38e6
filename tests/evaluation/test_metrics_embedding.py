"""Likeness of spans by an embedder: the matching worked by hand, and the embedder that ships."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from onrecord.errors import UnknownNameError, UsageError
from onrecord.evaluation.metrics import embedding_f1

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Drawn:
    """Three words with known angles between them: a and b at right angles, c between them."""

    name = "test:drawn"
    version = "1"
    dimensions = 2
    max_tokens = 100

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        half = np.sqrt(0.5)
        known = {"a": (1, 0), "b": (0, 1), "c": (half, half), "d": (-1, 0)}
        return np.array([known[text] for text in texts], np.float32)

    def tokens(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


async def test_the_matching_by_hand() -> None:
    [score] = await embedding_f1(["a b"], ["c a a"], Drawn(), span=1)
    # a finds a (1), b finds c (0.707); of the reference c finds either (0.707), a finds a twice.
    half = 0.5**0.5
    assert score.precision == pytest.approx((1 + half) / 2)
    assert score.recall == pytest.approx((2 + half) / 3)
    assert score.f1 == pytest.approx(
        2 * score.precision * score.recall / (score.precision + score.recall)
    )


async def test_what_is_opposite_and_what_is_blank() -> None:
    scores = await embedding_f1(["a", "", " ", "a"], ["d", "", "a", "a"], Drawn(), span=1)
    assert [each.f1 for each in scores] == [0, 1, 0, 1]


async def test_turned_round_precision_is_recall() -> None:
    texts = ["the cat sat on the mat by the door", "a dog"], ["there was a cat on the mat", "a cat"]
    forth, back = await embedding_f1(*texts), await embedding_f1(texts[1], texts[0])
    for one, other in zip(forth, back, strict=True):
        assert one.precision == pytest.approx(other.recall, abs=1e-6)
        assert one.f1 == pytest.approx(other.f1, abs=1e-6)


async def test_the_nearer_text_is_nearer() -> None:
    reference = "The company's revenue rose by ten percent last year."
    scores = await embedding_f1(
        [reference, "Sales of the firm grew 10% in the past year.", "Whales are large mammals."],
        [reference] * 3,
    )
    same, near, far = (each.f1 for each in scores)
    assert same == pytest.approx(1, abs=1e-5) and same > near > far


async def test_a_pair_scores_the_same_alone_and_among_others() -> None:
    pairs = [f"case {number} of the old house" for number in range(1_500)]
    many = await embedding_f1(pairs, list(reversed(pairs)), Drawn2(), span=3)
    [alone] = await embedding_f1(pairs[:1], pairs[-1:], Drawn2(), span=3)
    assert many[0] == alone and len(many) == 1_500


class Drawn2(Drawn):
    """A vector for every text."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        angles = np.array([sum(map(ord, text)) for text in texts], np.float32)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


async def test_what_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="make no pairs"):
        await embedding_f1(["a"], [], Drawn())
    with pytest.raises(UsageError, match="a span of 0 words"):
        await embedding_f1(["a"], ["a"], Drawn(), span=0)
    with pytest.raises(UnknownNameError):
        await embedding_f1(["a"], ["a"], "nobody:knows")


def test_it_runs_without_an_event_loop() -> None:
    assert embedding_f1.run(["a"], ["a"], Drawn(), span=1)[0].f1 == 1
