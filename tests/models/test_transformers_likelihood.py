"""How likely a model finds a text: beside what transformers itself says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onrecord.errors import ModelRefusedError, UsageError
from onrecord.models.transformers.likelihood import HFLikelihood, _windows

pytestmark = pytest.mark.anyio
Tiny = Callable[[str], Path]
SHORT = "the cat sat on the mat"
LONG = " ".join(["a pump delivers four litres of water a minute"] * 30)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def own_loss(model: HFLikelihood, ids: list[int]) -> float:
    """What transformers says: the mean negative log-probability of all tokens but the first."""
    import torch

    network = model._loaded()
    rows = torch.tensor([ids])
    with torch.inference_mode():
        return float(network.model(input_ids=rows, labels=rows).loss)


@pytest.mark.parametrize("kind", ["causal", "gpt2"])
async def test_one_window_is_transformers_own_loss(tiny: Tiny, kind: str) -> None:
    model = HFLikelihood(str(tiny(kind)))
    [found] = await model.likelihoods([SHORT])
    ids, opened = model._ids(model._loaded(), SHORT)
    assert opened == found.opened and found.windows == 1
    assert -found.total / len(found.logprobs) == pytest.approx(own_loss(model, ids), rel=1e-5)
    assert found.text == SHORT and len(found.logprobs) == len(ids) - 1


async def test_windows_slide_and_predict_each_token_once(tiny: Tiny) -> None:
    import torch

    model = HFLikelihood(str(tiny("gpt2")))
    network = model._loaded()
    ids, _ = model._ids(network, LONG)
    for stride in (1, 7, 32, None):
        [found] = await model.likelihoods([LONG], stride=stride)
        assert len(found.logprobs) == len(ids) - 1 and found.windows > 1
        for start, end, first in _windows(len(ids), 64, stride or 32)[:5]:
            with torch.inference_mode():
                logits = network.model(input_ids=torch.tensor([ids[start:end]])).logits[0]
            said = logits.float().log_softmax(-1)
            for at in range(first, end):
                own = float(said[at - start - 1, ids[at]])
                assert found.logprobs[at - 1] == pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize("size", [2, 3, 63, 64, 65, 100, 129, 1000])
@pytest.mark.parametrize("stride", [1, 5, 32, 63])
def test_windows_cover_everything_once(size: int, stride: int) -> None:
    predicted: list[int] = []
    for start, end, first in _windows(size, 64, stride):
        assert 0 <= start < first < end <= size and end - start <= 64
        assert start == 0 or first - start >= 64 - stride
        predicted += range(first, end)
    assert predicted == list(range(1, size))


async def test_many_texts_at_once_are_those_alone(tiny: Tiny) -> None:
    model = HFLikelihood(str(tiny("causal")), batch=3)
    texts = [SHORT, "a", LONG[:300], "naïve café 🙂", "water"]
    together = await model.likelihoods(texts)
    for text, found in zip(texts, together, strict=True):
        [alone] = await model.likelihoods([text])
        assert found.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
        assert found.text == text
    assert await model.likelihoods([]) == []


async def test_without_a_mark_the_first_token_is_only_read(tiny: Tiny) -> None:
    model = HFLikelihood(str(tiny("gpt2")))
    tokenizer: Any = model._loaded().tokenizer
    tokenizer.bos_token = tokenizer.eos_token = None
    [found] = await model.likelihoods([SHORT])
    ids, _ = model._ids(model._loaded(), SHORT)
    assert not found.opened and len(found.logprobs) == len(ids) - 1
    assert -found.total / len(found.logprobs) == pytest.approx(own_loss(model, ids), rel=1e-5)
    assert SHORT.endswith(found.text) and 0 < len(found.text) < len(SHORT)
    with pytest.raises(UsageError, match="has one token"):
        await model.likelihoods([tokenizer.decode(ids[:1])])


async def test_what_has_no_likelihood(tiny: Tiny) -> None:
    model = HFLikelihood(str(tiny("causal")))
    with pytest.raises(UsageError, match="an empty text"):
        await model.likelihoods([""])
    with pytest.raises(UsageError, match="a stride of 0 tokens"):
        await model.likelihoods([SHORT], stride=0)
    with pytest.raises(ModelRefusedError, match="no likelihood of a text alone"):
        await HFLikelihood(str(tiny("t5"))).likelihoods([SHORT])
