"""What a run had spent when it goes on: what its budgets held before, they hold again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onrecord.programs.agents.outcome import ENDED
from onrecord.programs.history import Node
from onrecord.records.ledger import book_again
from onrecord.records.limits import Spent


def book(nodes: Sequence[Node]) -> None:
    """What calls took in earlier attempts, in the budgets around that were opened in the run."""
    cost = tokens = calls = steps = 0
    for node in nodes:
        made = [each for each in node.records if each.source is None]
        if _is_model(node):
            if not any(map(_is_model, node.children)):  # what a wrapper asks for is booked itself
                asked = [each for each in made if not each.name.startswith("cached:")]
                calls += len(asked)
                cost += sum(each.cost or 0 for each in asked)
                tokens += sum(each.usage.input + each.usage.output for each in asked)
        elif len(nodes) > 1 and made and made[0].kind == "flow":
            steps += _turns(made[-1].output)
    if calls or steps:
        book_again(Spent(cost, tokens, calls), steps)


def _is_model(node: Node) -> bool:
    return bool(node.records) and node.records[0].kind == "model"


def _turns(output: Any) -> int:
    """How many turns a flow took that was an agent's."""
    is_agents = isinstance(output, Mapping) and output.get("type") == ENDED
    return int(output["turns"]) if is_agents else 0
