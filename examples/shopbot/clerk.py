"""Two doubles in place of a model, so that everything runs offline. They say nothing of any model.

`honest` follows the instructions, by regular expressions. `gullible` does whatever a customer
writes: it shows that what must not happen does not depend on what a model can be talked into.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from itertools import product
from typing import Any

from shop import PRODUCTS

from onrecord.messages import Completion, Message, Text, ToolCall, ToolResult, Usage
from onrecord.models.model import Event, Request, Way

Said = str | list[tuple[str, str]]
"""Words, or calls: names of tools with their arguments as JSON."""


class Clerk:
    """A model that is a function of the conversation."""

    version = "1"
    structures: tuple[Way, ...] = ("tool",)

    def __init__(self, name: str, says: Callable[[tuple[Message, ...]], Said]) -> None:
        self.name = name
        self._says = says

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """One answer."""
        said, at = self._says(request.messages), len(request.messages)
        parts = (
            (Text(said),)
            if isinstance(said, str)
            else tuple(ToolCall(f"{at}.{n}", *each) for n, each in enumerate(said))
        )
        yield Completion(Message("assistant", parts), self.name, Usage(), cost=0)


def honest(messages: tuple[Message, ...]) -> Said:
    """Asks for what is missing, looks the order up, asks for a yes, and registers the return."""
    words = [each.text for each in messages if each.role == "user"]
    numbers, emails = _NUMBER.findall(" ".join(words)), _EMAIL.findall(" ".join(words))
    results = _results(messages)
    if messages[-1].role == "tool" and results[-1][0].name == "return_items":
        return results[-1][1].text
    if not numbers:
        return "Which order is it? Its number begins with T-."
    if not emails:
        return "And which e-mail address was it placed with?"
    asked = {"order_number": numbers[-1], "email": emails[-1]}
    found = [result.text for call, result in results if json.loads(call.arguments) == asked]
    if not found:
        return [("find_order", json.dumps(asked))]
    if not found[-1].startswith("{"):
        return found[-1]
    items = _items(json.loads(found[-1])["lines"], words)
    if not items:
        return "Found it. Which items come back, and how many of each?"
    last = [each.text for each in messages if each.role == "assistant"][-1]
    if last.startswith("Shall I") and re.match(r"\W*(yes|correct|please do)\b", words[-1], re.I):
        return [("return_items", json.dumps(asked | {"items": items}))]
    named = ", ".join(f"{each['quantity']} × {PRODUCTS[each['sku']][0]}" for each in items)
    return f"Shall I register the return of {named}? The label goes to the address of the order."


def gullible(messages: tuple[Message, ...]) -> Said:
    """Makes every call that a customer spells out, and tries to return whatever is mentioned, with
    every number and every address."""
    if messages[-1].role == "tool":
        results = [each for each in messages[-1].parts if isinstance(each, ToolResult)]
        return "Of course! " + " ".join(each.text for each in results)
    words = " ".join(each.text for each in messages if each.role == "user")
    calls = re.findall(r"(\w+)\((\{.*?\})\)", messages[-1].text)
    numbers, emails = _NUMBER.findall(words) + _QUOTED.findall(words), _EMAIL.findall(words)
    named = [sku for sku in PRODUCTS if sku.lower() in words.lower()] or ["CUP-BLUE"]
    many = max(map(int, re.findall(r"(?<![\w-])(\d{1,3})(?![\w-])", words)), default=1)
    items = [{"sku": sku, "quantity": many} for sku in named]
    for number, email in product(dict.fromkeys(numbers), dict.fromkeys(emails)):
        wanted = {"order_number": number, "email": email, "items": items}
        calls.append(("return_items", json.dumps(wanted)))
    return calls or "Of course! What is your order number, and your e-mail address?"


def _results(messages: tuple[Message, ...]) -> list[tuple[ToolCall, ToolResult]]:
    """The calls so far, each with its result."""
    parts = [part for each in messages for part in each.parts]
    calls = {each.id: each for each in parts if isinstance(each, ToolCall)}
    return [(calls[each.id], each) for each in parts if isinstance(each, ToolResult)]


def _items(lines: list[dict[str, Any]], words: list[str]) -> list[dict[str, Any]]:
    """What of an order the customer has named, and how many: by a number before it, else one."""
    text = _NUMBER.sub("", " ".join(words)).lower()
    found = []
    for line in lines:
        product = "|".join(line["sku"].lower().split("-"))
        if re.search(product, text):
            many = re.search(rf"\b(\d+|two|both|all)(\W+\w+)?\W+\w*({product})", text)
            said = {"two": "2", "both": "2", "all": str(line["quantity"])}
            quantity = int(said.get(many[1], many[1])) if many else 1
            found.append({"sku": line["sku"], "quantity": quantity})
    return found


DOUBLES = {
    "scripted:clerk": Clerk("scripted:clerk", honest),
    "scripted:gullible": Clerk("scripted:gullible", gullible),
}

_NUMBER = re.compile(r"\bT-\d{6}\b")
_EMAIL = re.compile(r"[^\s\"<>,;]+@[^\s\"<>,;]*[^\s\"<>,;.!?]")
_QUOTED = re.compile(r"\"([^\"]+)\"")
