"""Demos made to fit a function: inputs of its types, answers as a model would write them.

An example that the contract would refuse teaches the wrong thing, so it is an error with its line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from onrecord.errors import PromptError
from onrecord.messages import Passage
from onrecord.prompts.contract import Contract
from onrecord.prompts.demos import Demo
from onrecord.prompts.front_matter import guess
from onrecord.prompts.schemas import codec_of
from onrecord.prompts.structured import Output, Quoted, Unfit


class Fitting:
    """What demos have to fit: a function's contract, and what its answer has to be."""

    def __init__(self, contract: Contract, output: Output) -> None:
        self._contract = contract
        self._output = output

    def demo(self, demo: Demo) -> Demo:
        """The demo with typed inputs and its answer. Raises PromptError with its line."""
        inputs = self.inputs(demo.inputs, demo.where, "the demo's ")
        answer = self._answer(demo)
        try:
            problem = self._output.read(answer, _passages(inputs)).problem
        except Unfit as error:
            problem = str(error)
        if problem:
            raise PromptError(
                f"the demo's output does not fit the function's type: {problem.rstrip('.')}",
                where=demo.where,
                cure="Write what the model should have answered.",
            )
        return msgspec.structs.replace(demo, inputs=inputs, answer=answer)

    def inputs(self, values: Mapping[str, Any], where: str, whose: str = "") -> dict[str, Any]:
        """Plain values as the arguments' types. Raises PromptError."""
        known = self._contract.arguments
        for name in values:
            if name not in known:
                raise PromptError(
                    f"{whose}input '{name}' is no argument of the prompt",
                    where=where,
                    cure=f"{guess(name, known)}There are {', '.join(known)}.",
                )
        typed = {name: self._typed(name, value, where, whose) for name, value in values.items()}
        try:
            return dict(self._contract.bind((), typed))
        except TypeError as error:
            raise PromptError(
                f"{whose}inputs do not fit the prompt: {error}",
                where=where,
                cure=f"It takes {', '.join(known)}.",
            ) from None

    def _typed(self, name: str, value: Any, where: str, whose: str) -> Any:
        hint = self._contract.hint(name)
        if hint is Passage or Passage in get_args(hint):
            value = (
                [_passage(each) for each in value] if isinstance(value, list) else _passage(value)
            )
        try:
            validate = codec_of(hint).validate
        except PromptError:  # a type that JSON has no form of: the caller's own business
            return value
        try:
            return validate(value)
        except Unfit as error:
            raise PromptError(
                f"{whose}input '{name}' does not fit its type: {str(error).rstrip('.')}",
                where=where,
            ) from None

    def _answer(self, demo: Demo) -> str:
        """The demo's output, in the form that the model is asked for."""
        output = self._output
        thinks = bool(output.guidance)
        if isinstance(output, Quoted):
            thinks = "reasoning" in (output.schema or {})["properties"]
        if thinks and not demo.reasoning:
            raise PromptError(
                "the demo has no reasoning, and the prompt asks the model for it",
                where=demo.where,
                cure='Write {"inputs": …, "reasoning": "…", "output": …}.',
            )
        if output.schema is None:
            if not isinstance(demo.output, str):
                raise PromptError(
                    "the demo's output is no text, and the function returns one", where=demo.where
                )
            thought = f"<reasoning>\n{demo.reasoning}\n</reasoning>\n" if thinks else ""
            return thought + demo.output
        return json.dumps(self._wrapped(demo, thinks), ensure_ascii=False)

    def _wrapped(self, demo: Demo, thinks: bool) -> Any:
        thought = {"reasoning": demo.reasoning} if thinks else {}
        if isinstance(self._output, Quoted):
            said = demo.output if isinstance(demo.output, dict) else {"answer": demo.output}
            defaults = {"quotes": [], "refused": False, "reason": ""}
            return {**thought, **defaults, **said}
        if thinks:
            return {**thought, "answer": demo.output}
        names = list((self._output.schema or {}).get("properties", {}))
        bare = not (isinstance(demo.output, dict) and list(demo.output) == ["value"])
        return {"value": demo.output} if names == ["value"] and bare else demo.output


def as_written(demo: Demo) -> Demo:
    """The demo with its answer as far as it is known without the function: a text, or JSON."""
    said = demo.output
    answer = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return msgspec.structs.replace(demo, answer=answer)


def _passage(value: Any) -> Any:
    """A passage may be written as its text alone, or with some of its fields."""
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return value
    text = value["text"]
    whole = {"document_id": "demo", "title": "", "start": 0, "end": len(text), "score": 1.0}
    return {**whole, **value}


def _passages(inputs: Mapping[str, Any]) -> list[Passage]:
    found: list[Passage] = []
    for value in inputs.values():
        several = value if isinstance(value, list | tuple) else [value]
        found += [each for each in several if isinstance(each, Passage)]
    return found
