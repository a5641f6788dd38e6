"""From messages to the tokens that an `hf:` model reads.

With a chat template in the model's folder, that template is used. A marker such as `<|im_start|>`
or `</s>` inside a message is read as the words it is made of: only the template can write the
marker itself. (Whole markers of the tokenizer only; a model may still take text that looks like one
for one.)

A model without a template, as base models and T5 are, reads the texts of the messages, a blank line
between them, in their order and without their roles; markers inside them are words there, too.
"""

from __future__ import annotations

from typing import Any

from onrecord.messages import Text, Thinking
from onrecord.models.model import Request
from onrecord.models.transformers.loading import refusal

BETWEEN = "\n\n"


def tokens_of(request: Request, tokenizer: Any, where: str) -> list[int]:
    """The numbers of the tokens of a request. Raises ModelRefusedError for what has no words."""
    texts = [_text(message.parts, where) for message in request.messages]
    if tokenizer.chat_template is None:
        whole = BETWEEN.join(text for text in texts if text)
        ids = tokenizer(whole, split_special_tokens=True)["input_ids"]
        if not whole:
            raise refusal("there is nothing to answer: the messages are empty", where)
    else:
        turns = [
            {"role": message.role, "content": text}
            for message, text in zip(request.messages, texts, strict=True)
        ]
        ids = _templated(turns, tokenizer, where)
    if not ids:
        raise refusal("there is nothing to answer: the messages hold no tokens", where)
    return list(ids)


def _templated(turns: list[dict[str, str]], tokenizer: Any, where: str) -> Any:
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        return tokenizer.apply_chat_template(
            turns,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            sanitize_control_tokens=True,
        )["input_ids"]
    except TemplateSyntaxError as error:
        what = f"the model's chat template cannot be read: {error.message}, line {error.lineno}"
        raise refusal(what, where, "Check the model's files.") from error
    except (TemplateError, TypeError, LookupError, ValueError) as error:
        said = str(error).strip() or type(error).__name__
        roles = ", ".join(turn["role"] for turn in turns)
        raise refusal(
            f"the model's chat template refuses these messages ({roles}): {said[:200]}",
            where,
            "Change the roles of the messages, or name another model.",
        ) from error


def _text(parts: tuple[object, ...], where: str) -> str:
    words = []
    for part in parts:
        if isinstance(part, Thinking):
            continue  # another answer's, and no part of its words
        if not isinstance(part, Text):
            raise refusal(
                f"hf: models are sent words, and a message holds a {type(part).__name__}",
                where,
                "Leave it out, or name a model behind a server.",
            )
        # Half a surrogate pair is legal in a str, and not in UTF-8.
        words.append(part.text.encode("utf-8", "replace").decode("utf-8"))
    return "".join(words)
