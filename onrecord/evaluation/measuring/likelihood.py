"""How likely a model finds a text: arithmetic on the log-probabilities of its tokens.

All take natural logarithms, one for each token that was predicted. Where they come from matters:
numbers per token compare only between models with the same tokenizer, numbers per byte between
all that read the same text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.checking import floats


def perplexity(logprobs: Sequence[float]) -> float:
    """exp of the mean negative log-probability of a token: 1 (certain) to infinity.

    Jelinek, Mercer, Bahl and Baker, "Perplexity: a measure of the difficulty of speech recognition
    tasks" (1977). Infinite where a token was held to be impossible. Raises UsageError where there
    are no tokens, and for what is no log-probability.
    """
    total = _total(logprobs)
    return _exp(-total / len(logprobs))


def byte_perplexity(logprobs: Sequence[float], text: str | bytes) -> float:
    """exp of the negative log-probability of the text, by UTF-8 byte: 1 to infinity.

    `text`: what the tokens spell, all of it. Raises UsageError as `perplexity`, and for no text.
    """
    return _exp(-_total(logprobs) / _bytes(text))


def bits_per_byte(logprobs: Sequence[float], text: str | bytes) -> float:
    """The negative log2-probability of the text, by UTF-8 byte: 0 to infinity.

    Gao et al., "The Pile" (2020), section 3.1. Arguments and errors as in `byte_perplexity`, of
    which it is the log2.
    """
    return -_total(logprobs) / math.log(2) / _bytes(text)


def _total(logprobs: Sequence[float]) -> float:
    numbers = floats(logprobs, "log-probability")
    if not numbers:
        raise UsageError("there are no log-probabilities", cure="Give one for each token.")
    for place, number in enumerate(numbers):
        if math.isnan(number) or number > _ROUNDING:
            raise UsageError(
                f"{number} is no logarithm of a probability",
                where=f"token {place}",
                cure="Give natural logarithms: 0 or less.",
            )
    return min(math.fsum(numbers), 0.0)


def _bytes(text: str | bytes) -> int:
    if not isinstance(text, str | bytes):
        raise UsageError(f"the text is no text but {type(text).__name__}")
    size = len(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    if not size:
        raise UsageError("the text has no bytes", cure="Give the text that the tokens spell.")
    return size


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


_ROUNDING = 1e-4  # a softmax in 16 or 32 bits may end above 0 by so much
