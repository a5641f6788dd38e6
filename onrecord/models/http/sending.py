"""What is refused before it is sent, because a protocol has no words for it."""

from __future__ import annotations

from onrecord.errors import ModelRefusedError
from onrecord.models.http.failures import note
from onrecord.models.model import Request


def unsendable(name: str, why: str, where: str) -> ModelRefusedError:
    """The error of a request of which something cannot be sent: nothing was."""
    error = ModelRefusedError(
        f"{name} cannot be sent: {why}",
        where=where,
        cure="Leave it out, or name another model.",
    )
    return note(error, sent=False)


def check_tool_choice(request: Request, where: str) -> None:
    """Raises ModelRefusedError where a request asks for a choice that its tools do not give."""
    choice = request.tool_choice
    names = [tool.name for tool in request.tools]
    if choice in ("auto", "none", *names) or (choice == "required" and names):
        return
    there = ", ".join(names) or "there are none"
    raise unsendable("tool_choice", f"it asks for {choice!r}, and the tools are: {there}", where)
