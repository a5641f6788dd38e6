"""A typed answer from real servers: the ways that they refuse, and the one that is left."""

from dataclasses import dataclass

import pytest

import onrecord as on
from onrecord.models.anthropic.api import AnthropicModel
from onrecord.models.openai.api import OpenAIModel
from tests.models import test_anthropic_api as anthropic
from tests.models import test_openai_api as openai
from tests.servers.model_server import failed, serving, stream

VALUE = '{"id": "o17", "late": true}'


@dataclass
class Order:
    id: str
    late: bool


@on.prompt
async def order_of(text: str) -> Order:
    """Which order is it?"""


def openai_call(arguments):
    call = {"index": 0, "id": "c", "function": {"name": "answer", "arguments": arguments}}
    return stream({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})


def anthropic_call(arguments):
    events = anthropic.block(
        0,
        {"type": "tool_use", "id": "t", "name": "answer", "input": {}},
        {"type": "input_json_delta", "partial_json": arguments},
    )
    return anthropic.said(anthropic.START, *events, anthropic.stop("tool_use"), anthropic.END)


PROVIDERS = {
    "openai": (
        OpenAIModel,
        failed(400, "response_format of type json_schema is not supported"),
        failed(500, "tools param requires --jinja flag"),
        lambda: stream(*openai.words(VALUE)),
        openai_call,
    ),
    "anthropic": (
        AnthropicModel,
        anthropic.failed(400, "invalid_request_error", "output_config.format: not supported"),
        anthropic.failed(400, "invalid_request_error", "tool_choice forces tool use"),
        lambda: anthropic.answering(VALUE),
        anthropic_call,
    ),
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_schema_then_a_tool_then_words(provider):
    make, no_schema, no_tools, words, call = PROVIDERS[provider]
    roads = [
        ([words()], ["schema"]),
        ([no_schema, call(VALUE)], ["schema", "tool"]),
        ([no_schema, no_tools, words()], ["schema", "tool", "prompted"]),
    ]
    for replies, ways in roads:
        with serving(*replies) as server, on.recording() as run:
            model = make("m", base_url=server.url, key="")
            assert order_of.using(model).run("Is o17 late?") == Order("o17", True)
        shown = [_way(body) for _, body in server.asked]
        assert shown == ways
        asked = [record for record in run.records if record.kind == "model"]
        assert [bool(record.error) for record in asked] == [True] * (len(ways) - 1) + [False]


def _way(body):
    if "response_format" in body or "output_config" in body:
        return "schema"
    return "tool" if "tools" in body else "prompted"
