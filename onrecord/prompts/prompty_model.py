"""The model that a Prompty file names: its name and its parameters as ours are written.

Keys and addresses of servers are never read from a prompt's file; a key in it is refused, for the
texts of prompts are kept. A variable of the environment may name the model, and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from onrecord.errors import PromptError
from onrecord.prompts.front_matter import guess


class Remarks:
    """What there is to say of one file: notes, and refusals that name it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.notes: list[str] = []

    def note(self, words: str) -> None:
        """Note what is not honoured and changes no message."""
        self.notes.append(words)

    def refusal(self, what: str, cure: str) -> PromptError:
        """The error for what cannot be honoured."""
        return PromptError(f"the Prompty file cannot be used: {what}", where=self.where, cure=cure)

    def refuse_tools(self, tools: Any) -> None:
        """Raise PromptError where there are any."""
        if tools:
            raise self.refusal(
                "it names tools", "A prompt calls none: give them to an agent, and take them out."
            )


class ModelPart:
    """The reader of a file's `model`, of either version."""

    def __init__(self, remarks: Remarks) -> None:
        self._remarks = remarks

    def read(self, model: Any) -> tuple[str | None, dict[str, Any]]:
        """The model's name as ours are written, and the parameters by our names."""
        if isinstance(model, str):
            return self._named(model, None), {}
        if not isinstance(model, dict):
            raise self._remarks.refusal("'model' is no name and no mapping", AS_IN_DOCS)
        self._check_known(model, _MODEL_FIELDS, "model")
        api = model.get("apiType") or model.get("api") or "chat"
        if api == "responses":
            self._remarks.note("it asks for the API 'responses'; the model is asked as a chat")
        elif api != "chat":
            raise self._remarks.refusal(
                f"it asks for the API '{api}'", "Only a chat can be had: write 'chat'."
            )
        if model.get("response", "first") not in ("first", None):
            raise self._remarks.refusal(
                f"it asks for the response '{model['response']}'",
                "A call gives its value; the record holds the whole answer.",
            )
        configuration = model.get("configuration") or {}
        self._check_connection(model.get("connection") or {}, "connection")
        self._check_connection(configuration, "configuration")
        provider = model.get("provider")
        if isinstance(configuration, dict):
            provider = provider or configuration.get("type")
        options = model.get("parameters") or model.get("options") or {}
        return self._name(model, configuration, provider), self._parameters(options)

    def _name(self, model: dict[str, Any], configuration: Any, provider: Any) -> str | None:
        found = model.get("id") or model.get("name")
        if not found and isinstance(configuration, dict):
            found = configuration.get("azure_deployment") or configuration.get("name")
            found = found or configuration.get("model")
        if not found:
            return None
        if not isinstance(found, str):
            raise self._remarks.refusal("the model's name is no text", AS_IN_DOCS)
        return self._named(found, provider)

    def _named(self, name: str, provider: Any) -> str | None:
        """As our models are named; a variable of the environment in it is looked up."""
        resolved = REFERENCE.sub(self._from_environment, name).strip()
        if not resolved:
            return None
        if provider is None:
            return resolved if ":" in resolved else f"openai:{resolved}"
        ours = _PROVIDERS.get(str(provider).lower())
        if ours is None:
            raise self._remarks.refusal(
                f"its model's provider '{provider}' is not known",
                f"There are {', '.join(_PROVIDERS)}; or name the model in the decorator.",
            )
        if "azure" in str(provider).lower() or provider == "foundry":
            self._remarks.note(
                f"the provider '{provider}' is asked as {ours}:, at the address that the"
                " environment names"
            )
        return f"{ours}:{resolved}"

    def _from_environment(self, reference: re.Match[str]) -> str:
        kind, name = reference["kind"], reference["name"]
        if kind != "env":
            raise self._remarks.refusal(
                f"the model's name is in a file ({reference[0]})", "Write it into the prompt."
            )
        if _SECRET.search(name):
            raise self._remarks.refusal(
                f"the model's name is to be taken from the variable {name}",
                "That looks like a secret, and a model's name is kept with every record.",
            )
        value = os.environ.get(name) or reference["default"] or ""
        if not value:
            self._remarks.note(
                f"the variable {name}, which names its model, is not set: no model is named"
            )
        return value

    def _check_connection(self, connection: Any, name: str) -> None:
        if not isinstance(connection, dict):
            raise self._remarks.refusal(f"'{name}' is no mapping", AS_IN_DOCS)
        for field, value in _fields(connection):
            match = REFERENCE.fullmatch(value)
            if _SECRET.search(field) and value and (match is None or match["default"]):
                raise self._remarks.refusal(
                    f"there is a secret in the file, at model.{name}, '{field}'",
                    "Take it out: keys are read from the environment, and files are kept.",
                )
        beside = set(connection) - {"type", "name", "azure_deployment", "model", "kind"}
        if beside:
            fields = ", ".join(sorted(map(str, beside)))
            self._remarks.note(
                f"its {name} is not read ({fields}): the environment says where models are"
            )

    def _parameters(self, options: Any) -> dict[str, Any]:
        if not isinstance(options, dict):
            raise self._remarks.refusal("the model's parameters are no mapping", AS_IN_DOCS)
        more = options.get("additionalProperties") or {}
        if isinstance(more, dict):
            options = {**options, **more}
        found: dict[str, Any] = {}
        for field, value in options.items():
            name = str(field)
            if name in _PARAMETERS:
                if value is not None:
                    found[_PARAMETERS[name]] = _as_ours(_PARAMETERS[name], value)
            elif name in _NOTED:
                self._remarks.note(f"its parameter '{name}' is not read: {_NOTED[name]}")
            elif name in ("tools", "tool_choice", "tools_choice"):
                self._remarks.refuse_tools(value)
            elif name == "n" and value in (1, None):
                continue
            elif name != "additionalProperties":
                raise self._remarks.refusal(
                    f"its parameter '{name}' has no counterpart",
                    f"{guess(name, _PARAMETERS)}There are {', '.join(_PARAMETERS)}.",
                )
        return found

    def _check_known(self, values: Mapping[Any, Any], known: tuple[str, ...], place: str) -> None:
        for name in values:
            if name not in known:
                self._remarks.note(f"{place}.{name} is not read. {guess(str(name), known)}".strip())


def _fields(mapping: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """The fields with a text, of a mapping and the mappings in it."""
    waiting = [mapping]
    while waiting:
        each = waiting.pop()
        for field, value in each.items():
            if isinstance(value, str):
                yield str(field), value.strip()
            elif isinstance(value, dict):
                waiting.append(value)


def _as_ours(name: str, value: Any) -> Any:
    return [value] if name == "stop" and isinstance(value, str) else value


AS_IN_DOCS = "docs/prompts.md shows a Prompty file."
_MODEL_FIELDS = (
    *("id", "name", "provider", "apiType", "api", "connection", "configuration"),
    *("options", "parameters", "response"),
)
_PROVIDERS = {
    "openai": "openai",
    "azure": "openai",
    "azure_openai": "openai",
    "azure_serverless": "openai",
    "foundry": "openai",
    "anthropic": "anthropic",
}
# Names of both versions, and ours.
_PARAMETERS = {
    "temperature": "temperature",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "maxOutputTokens": "max_tokens",
    "top_p": "top_p",
    "topP": "top_p",
    "top_k": "top_k",
    "topK": "top_k",
    "stop": "stop",
    "stopSequences": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "presencePenalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "frequencyPenalty": "frequency_penalty",
}
_NOTED = {
    "response_format": "the function's return type says what comes back",
    "allowMultipleToolCalls": "a prompt calls no tools",
    "stream": "whoever calls the prompt decides that",
}
_SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)
REFERENCE = re.compile(r"\$\{(?P<kind>env|file):(?P<name>[^:}]+)(?::(?P<default>[^}]*))?\}")
