"""What `@prompt(…)`, `.using(…)` and a front matter say of a prompt: checked, and put together."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from onrecord.errors import PromptError
from onrecord.models.model import Model, Parameters
from onrecord.models.names import model as made
from onrecord.prompts.front_matter import FrontMatter
from onrecord.prompts.template import parameters
from onrecord.prompts.untrusted import Untrusted


def check_function(function: object) -> None:
    """Raises PromptError for what is no asynchronous function."""
    if inspect.iscoroutinefunction(function):
        return
    if inspect.isroutine(function):
        raise PromptError(
            f"a prompt is an asynchronous function, and '{function.__name__}' is a plain one",
            cure="Write 'async def'.",
        )
    raise PromptError(
        f"a prompt is an asynchronous function, and {function!r:.80} is none",
        cure="Write @prompt, or @prompt(model=…), above an 'async def'.",
    )


def check_name(name: object) -> None:
    """Raises PromptError where it is no name of a file."""
    if not isinstance(name, str) or not name or name in (".", "..") or set(name) & set("/\\\0"):
        raise PromptError(
            f"{name!r} is no name of a prompt",
            cure="It is that of its file in the folder prompts, and holds no '/'.",
        )


def check_choices(repairs: object, reasoning: object) -> None:
    """Raises PromptError where they are no number and no yes or no."""
    if repairs is not None and (type(repairs) is not int or repairs < 0):
        raise PromptError(
            f"repairs is {repairs!r}", cure="It is how often an answer may go back: 0 or more."
        )
    if reasoning is not None and not isinstance(reasoning, bool):
        raise PromptError(f"reasoning is {reasoning!r}", cure="It is True or False.")


def checked_model(model: str | Model | None) -> str | Model | None:
    """The model, where it is None, a name or a model. Raises UsageError."""
    return model if model is None or isinstance(model, str) else made(model)


def checked_parameters(said: Parameters | Mapping[str, Any] | None, where: str) -> Parameters:
    """The parameters that a decorator says. Raises PromptError."""
    if said is not None and not isinstance(said, Parameters | Mapping):
        raise PromptError(
            f"parameters is {said!r:.80}",
            where=where,
            cure="They have names: parameters={'temperature': 0}.",
        )
    return parameters(said, where)


def changed(before: Parameters, changes: Parameters) -> Parameters:
    """The parameters with those of `changes` that say something in their place."""
    default = Parameters()
    given = {
        name: each
        for name, each in msgspec.structs.asdict(changes).items()
        if each != getattr(default, name)
    }
    return msgspec.structs.replace(before, **given)


def checked_untrusted(said: object) -> Untrusted:
    """What a decorator says is untrusted. Raises PromptError."""
    if isinstance(said, Untrusted):
        return said
    names = (said,) if isinstance(said, str) else said
    if not isinstance(names, Sequence | set | frozenset) or not all(
        isinstance(name, str) for name in names
    ):
        raise PromptError(
            f"untrusted is {said!r:.80}",
            cure="It names arguments: untrusted='email', or untrusted=('email', 'links').",
        )
    return Untrusted(tuple(names))


def untrusted_by(said: Untrusted, front: FrontMatter) -> Untrusted:
    """What the decorator and the file say together."""
    more = (front.untrusted,) if isinstance(front.untrusted, str) else front.untrusted
    return Untrusted(
        tuple(dict.fromkeys((*said.names, *more))),
        said.reminder or front.reminder,
        said.max_chars or front.max_chars,
    )


def signature_of(function: Callable[..., Any]) -> str:
    """The arguments and the result as they are written: `(mail: str) -> str`."""
    try:
        return str(inspect.signature(function, eval_str=True))
    except Exception:  # types that cannot be read: a repr fails for nobody
        return str(inspect.signature(function))
