"""Encoder-decoder models that were trained with words before a text: which, and how they are asked.

T5 (Raffel et al., 2020) was trained on "summarize: …" and "translate English to German: …"; files
of such models say so under `task_specific_params`. Models for one task alone (BART, Marian) want
the text as it is.
"""

from __future__ import annotations

from onrecord.messages import text_message
from onrecord.models.calling import complete
from onrecord.models.model import Model, Request
from onrecord.programs.tasks.ways import Generating


def prefix_of(way: Generating, task: str, asked: str | None, to: str = "", source: str = "") -> str:
    """The words before a text: as asked for, else as the model's files say, else those of T5."""
    if asked is not None:
        return asked
    trained = dict(way.trained or {})
    kind = str(trained.pop("kind", ""))
    for name, said in trained.items():
        prefix = said.get("prefix") if isinstance(said, dict) else None
        if isinstance(prefix, str) and _is_meant(name, prefix, task, to, source):
            return prefix
    if "t5" not in kind:
        return ""
    return "summarize: " if task == "summarize" else f"translate {source or 'English'} to {to}: "


async def written(model: Model, text: str) -> str:
    """What a model makes of a text alone."""
    answer = await complete(model, Request((text_message("user", text),), inputs={"text": text}))
    return answer.text.strip()


def _is_meant(name: str, prefix: str, task: str, to: str, source: str) -> bool:
    if task == "summarize":
        return name.startswith("summar")
    said = prefix.lower()
    return (
        name.startswith("translat")
        and f" to {to.lower()}" in said
        and (not source or source.lower() in said)
    )
