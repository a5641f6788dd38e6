"""What leaves the shop: labels that the shipping partner makes, and mail. Neither may happen twice.

Both are tools with `idempotent=False`: where a process dies in the middle of one, the resumed run
asks a person whether it happened, and never does it again by itself.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

import onrecord as on
from onrecord.errors import ToolError
from onrecord.programs.tool import Tool

SENDER = "returns@leaf-and-cup.example"
Mail = Callable[[str], Tool[..., Any]]
"""Makes a tool that mails to one address, and to no other."""


@dataclass
class Label:
    """A return label: its number at the partner's, and where it is printed."""

    label: str
    url: str


class Carrier:
    """The shipping partner, at a URL, with our key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def __repr__(self) -> str:
        return "the carrier"

    @on.tool(idempotent=False)
    async def label(self, number: str) -> Label:
        """Have a label made. Each is billed, and asking twice makes two. Raises ToolError."""
        headers = {"Authorization": f"Bearer {self._key}"}
        try:
            async with httpx.AsyncClient(timeout=10, headers=headers) as client:
                answer = await client.post(f"{self._url}/labels", json={"reference": number})
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=Label)
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            _log.error("the shipping partner: %s", error)
            raise ToolError(
                "the shipping partner did not make a label",
                cure="The return is registered; a colleague will send the label.",
            ) from None


def mail_by(place: str) -> Mail:
    """Mail through a server (`smtp://user@host:587`, the password in SHOPBOT_SMTP_PASSWORD), or,
    for trying, into files of a folder."""
    server = urlsplit(place)
    if server.scheme != "smtp":
        return lambda to: _into(Path(place), to)
    options: dict[str, Any] = {"sender": SENDER, "port": server.port, "approve": False}
    if server.hostname in ("127.0.0.1", "localhost"):
        options["tls"] = "none"
    if server.username:
        options["user"] = server.username
        options["password"] = os.environ.get("SHOPBOT_SMTP_PASSWORD", "")
    return lambda to: on.tools.email(server.hostname or "", to=[to], name="mail", **options)


def _into(folder: Path, address: str) -> Tool[..., Any]:
    @on.tool(idempotent=False)
    def mail(to: list[str], subject: str, text: str) -> str:
        assert to == [address]
        folder.mkdir(exist_ok=True)
        path = folder / f"{secrets.token_hex(6)}.txt"
        path.write_text(f"To: {address}\nSubject: {subject}\n\n{text}\n", encoding="utf-8")
        return path.name

    return mail


_log = logging.getLogger("shopbot")
