"""What a provider reports of a call's tokens, whatever it calls them, as one `Usage`.

Nothing here asks which provider it was: the shape tells. What is left out, is no count or cannot be
true is 0; nothing raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from msgspec.structs import astuple, replace

from onrecord.messages import Usage

Block = Mapping[str, Any]


class MixedUsage(Usage, frozen=True):
    """The tokens of a call in which another model took part: no one price holds for them."""


def usage_of(payload: Mapping[str, Any]) -> Usage:
    """The tokens that a response, an event of a stream or a bare usage block reports.

    Reads OpenAI (chat completions, responses, embeddings, realtime, images) and what follows it
    (vLLM, Ollama, Mistral, DeepSeek, xAI, Groq, OpenRouter, Perplexity, ...), Anthropic, Gemini,
    Ollama's own protocol, Cohere and Bedrock Converse. Shares never exceed their whole: `cached` +
    `cache_write` <= `input`, `reasoning` <= `output`. A MixedUsage where an advisor was asked, too.
    """
    block = _block(payload)
    for marks, read in _SHAPES:
        if not marks.isdisjoint(block):
            usage = _consistent(read(block))
            return MixedUsage(*astuple(usage)) if _advice(block) else usage
    return Usage()


def merged(before: Usage, after: Usage) -> Usage:
    """One usage of two that the same answer reported one after the other.

    Streams report totals so far (Anthropic's `message_start` and `message_delta`, Gemini's chunks):
    the larger count is the later one.
    """
    whole = _consistent(Usage(*map(max, astuple(before), astuple(after))))
    mixed = isinstance(before, MixedUsage) or isinstance(after, MixedUsage)
    return MixedUsage(*astuple(whole)) if mixed else whole


def reported_cost(payload: Mapping[str, Any]) -> int | None:
    """Micro-dollars that the response itself says it cost; None where it says nothing usable.

    OpenRouter reports dollars in `usage.cost`; where the key is one's own (`is_byok`) that is its
    fee alone, with the provider's charge beside it. Perplexity reports an object with a total, xAI
    ticks, of which a dollar has 10^10.
    """
    block = _block(payload)
    if (ticks := block.get("cost_in_usd_ticks")) is not None:
        return _micro(ticks, 10**10)
    cost = block.get("cost")
    if isinstance(cost, Mapping):
        return _micro(cost.get("total_cost"))
    fee = _micro(cost)
    if fee is not None and block.get("is_byok") is True:
        return fee + (_micro(_part(block, "cost_details").get("upstream_inference_cost")) or 0)
    return fee


def _block(payload: object) -> Block:
    """The part of a response that counts tokens; the payload itself where it has none."""
    for path in _PLACES:
        found = payload
        for step in path:
            found = found.get(step) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):
            return found
    return payload if isinstance(payload, Mapping) else {}


def _chat(block: Block) -> Usage:
    """`prompt_tokens`: chat completions and embeddings of OpenAI and whoever follows it."""
    asked = _part(block, "prompt_tokens_details", "prompt_token_details")
    answered = _part(block, "completion_tokens_details", "completion_token_details")
    total, said = _count(block.get("total_tokens")), _count(block.get("completion_tokens"))
    input = _count(block.get("prompt_tokens"))
    if "prompt_tokens" not in block:
        input = max(0, total - said)
    cached = _most(
        asked.get("cached_tokens"),
        block.get("prompt_cache_hit_tokens"),  # DeepSeek
        block.get("cached_tokens"),  # Moonshot
        block.get("cached_prompt_text_tokens"),  # xAI, formerly
        block.get("num_cached_tokens"),  # Mistral
        block.get("cache_read_input_tokens"),  # gateways to Anthropic
    )
    written = _most(asked.get("cache_write_tokens"), block.get("cache_creation_input_tokens"))
    if cached + written > input:  # then the prompt was counted without them
        input += cached + written
    reasoning = _most(answered.get("reasoning_tokens"), block.get("reasoning_tokens"))
    output = said
    if "citation_tokens" in block:  # Perplexity counts neither these nor its thinking as completion
        output += reasoning + _count(block.get("citation_tokens"))
    elif reasoning > output:
        output += reasoning
    # xAI and Gemini leave thinking out of the completion, and only the total tells.
    output = max(output, total - input)
    return Usage(
        input=input,
        output=output,
        cached=cached,
        reasoning=reasoning or output - said,
        cache_write=written,
        audio_input=_count(asked.get("audio_tokens")),
        cached_audio=_count(_part(asked, "cached_tokens_details").get("audio_tokens")),
        image_input=_count(asked.get("image_tokens")),
        audio_output=_count(answered.get("audio_tokens")),
        image_output=_count(answered.get("image_tokens")),
    )


def _tokens(block: Block) -> Usage:
    """`input_tokens`: Anthropic, and OpenAI's responses, realtime, images and transcriptions."""
    asked = _part(block, "input_tokens_details", "input_token_details")
    answered = _part(block, "output_tokens_details", "output_token_details")
    # Anthropic counts what its cache read and wrote apart from the input; OpenAI within it.
    read = _count(block.get("cache_read_input_tokens"))
    written = _count(block.get("cache_creation_input_tokens"))
    input = _count(block.get("input_tokens")) + read + written
    usage = Usage(
        input=input,
        output=max(_count(block.get("output_tokens")), _count(block.get("total_tokens")) - input),
        cached=_most(read, asked.get("cached_tokens"), asked.get("cache_read_input_tokens")),
        reasoning=_most(answered.get("reasoning_tokens"), answered.get("thinking_tokens")),
        cache_write=_most(written, asked.get("cache_write_tokens")),
        cache_write_1h=_count(_part(block, "cache_creation").get("ephemeral_1h_input_tokens")),
        audio_input=_count(asked.get("audio_tokens")),
        cached_audio=_count(_part(asked, "cached_tokens_details").get("audio_tokens")),
        image_input=_count(asked.get("image_tokens")),
        audio_output=_count(answered.get("audio_tokens")),
        image_output=_count(answered.get("image_tokens")),
    )
    # Its totals hold the output of all turns of the model, but the input of the first alone.
    turns = sum(map(_tokens, _iterations(block, "message")), Usage())
    summaries = map(_tokens, _iterations(block, "compaction"))
    return sum((*summaries, *map(_tokens, _advice(block))), merged(usage, turns))


def _advice(block: Block) -> list[Block]:
    """What Anthropic's advisor, a dearer model, was asked within a call: charged at its prices."""
    return _iterations(block, "advisor_message")


def _iterations(block: Block, kind: str) -> list[Block]:
    """What Anthropic says of each turn within a call: summaries of a long conversation
    (compaction) and advice are charged, and not in its totals."""
    return [
        {name: part[name] for name in part if name != "iterations"}
        for part in _parts(block.get("iterations"))
        if part.get("type") == kind
    ]


def _gemini(block: Block) -> Usage:
    """`usageMetadata`, as JSON or as Google's Python package spells it.

    Thoughts are counted beside the candidates, and the prompts of tools beside the prompt.
    """
    fields = {_camel(name): value for name, value in block.items()}
    asked = (fields.get("promptTokensDetails"), fields.get("toolUsePromptTokensDetails"))
    answered = (fields.get("candidatesTokensDetails"), fields.get("responseTokensDetails"))
    thoughts = _count(fields.get("thoughtsTokenCount"))
    input = _count(fields.get("promptTokenCount")) + _count(fields.get("toolUsePromptTokenCount"))
    said = _most(fields.get("candidatesTokenCount"), fields.get("responseTokenCount"))
    return Usage(
        input=input,
        output=max(said + thoughts, _count(fields.get("totalTokenCount")) - input),
        cached=_count(fields.get("cachedContentTokenCount")),
        reasoning=thoughts,
        audio_input=_modality("AUDIO", *asked),
        cached_audio=_modality("AUDIO", fields.get("cacheTokensDetails")),
        # The pages of a PDF are read, and charged, as images.
        image_input=_modality("IMAGE", *asked) + _modality("DOCUMENT", *asked),
        audio_output=_modality("AUDIO", *answered),
        image_output=_modality("IMAGE", *answered),
    )


def _modality(name: str, *details: object) -> int:
    return sum(
        _most(part.get("tokenCount"), part.get("token_count"))
        for detail in details
        for part in _parts(detail)
        if str(part.get("modality")).rpartition(".")[2].upper() == name
    )


def _bedrock(block: Block) -> Usage:
    """Bedrock's Converse, which counts what its cache read and wrote apart from the input."""
    read, written = (
        _most(block.get(f"cache{what}InputTokens"), block.get(f"cache{what}InputTokenCount"))
        for what in ("Read", "Write")
    )
    hour = (part for part in _parts(block.get("cacheDetails")) if part.get("ttl") == "1h")
    return Usage(
        input=_count(block.get("inputTokens")) + read + written,
        output=_count(block.get("outputTokens")),
        cached=read,
        cache_write=written,
        cache_write_1h=sum(_count(part.get("inputTokens")) for part in hour),
    )


def _cohere(block: Block) -> Usage:
    """Cohere's billed units; where they are left out, all its tokens, its own template included."""
    counts = _part(block, "billed_units") or _part(block, "tokens")
    return replace(_tokens(counts), cached=_count(block.get("cached_tokens")))


def _ollama(block: Block) -> Usage:
    return Usage(_count(block.get("prompt_eval_count")), _count(block.get("eval_count")))


def _total(block: Block) -> Usage:
    """A total and no more (Voyage's embeddings): what went in."""
    return Usage(_count(block.get("total_tokens")))


def _consistent(usage: Usage) -> Usage:
    """The same with no share larger than what it is a share of."""
    input, output = usage.input, usage.output
    cached = min(usage.cached, input)
    written = min(usage.cache_write, input - cached)
    heard = min(usage.audio_input, input)
    spoken = min(usage.audio_output, output)
    both = max(usage.cached_audio, cached + written + heard - input)
    return Usage(
        input,
        output,
        cached,
        min(usage.reasoning, output),
        written,
        min(usage.cache_write_1h, written),
        heard,
        min(both, cached, heard),
        min(usage.image_input, input - heard),
        spoken,
        min(usage.image_output, output - spoken),
    )


def _part(block: Block, *names: str) -> Block:
    """The first of these that is an object; an empty one where none is."""
    found = (block.get(name) for name in names)
    return next((part for part in found if isinstance(part, Mapping)), {})


def _parts(value: object) -> list[Block]:
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []


def _most(*values: object) -> int:
    return max(map(_count, values))


def _count(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value <= _MOST else 0


def _micro(money: object, dollar: int = 1) -> int | None:
    """Money as whole micro-dollars, rounded half up; `dollar`: what one dollar is in its unit."""
    if isinstance(money, bool) or not isinstance(money, int | float):
        return None
    if not 0 <= money <= _DEAREST * dollar:  # which is false of NaN too
        return None
    return int(Fraction(repr(money)) * 1_000_000 / dollar + Fraction(1, 2))


def _camel(name: object) -> str:
    first, *rest = str(name).split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


_MOST = 10**12  # more tokens than one call can have; a larger number is a mistake
_DEAREST = 1_000_000  # dollars

_PLACES = (
    ("usage",),
    ("usageMetadata",),  # Gemini
    ("usage_metadata",),
    ("message", "usage"),  # Anthropic's message_start
    ("response", "usage"),  # events of OpenAI's responses and realtime
    ("delta", "usage"),  # Cohere's message-end
    ("metadata", "usage"),  # Bedrock's stream
    ("meta",),  # Cohere's embeddings
    ("x_groq", "usage"),
)
# The first shape that a block has a mark of is its shape.
_SHAPES: tuple[tuple[frozenset[str], Callable[[Block], Usage]], ...] = (
    (frozenset({"prompt_tokens", "completion_tokens"}), _chat),
    (frozenset({"input_tokens", "output_tokens"}), _tokens),
    (frozenset({"billed_units", "tokens"}), _cohere),
    (
        frozenset(
            {
                *("promptTokenCount", "candidatesTokenCount", "totalTokenCount"),
                *("prompt_token_count", "candidates_token_count", "total_token_count"),
            }
        ),
        _gemini,
    ),
    (frozenset({"inputTokens", "outputTokens"}), _bedrock),
    (frozenset({"prompt_eval_count", "eval_count"}), _ollama),
    (frozenset({"total_tokens"}), _total),
)
