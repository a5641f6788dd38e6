"""The tool `email`: a model sends mail, to recipients that are allowed."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from onrecord.errors import UsageError
from onrecord.programs.tool import Approve, Tool, checked_name, tool
from onrecord.programs.tools.email_client.message import (
    Allowed,
    Folder,
    Mail,
    Recipients,
    check_subject,
    check_text,
    is_address,
)
from onrecord.programs.tools.email_client.server import PORTS, Server, Tls
from onrecord.threads import in_thread


class Sent(msgspec.Struct, frozen=True):
    """A mail that the server took: its Message-ID, for whom, and for whom not, with the server's
    words."""

    message_id: str
    to: list[str]
    refused: dict[str, str] = {}


def email(
    server: str,
    *,
    sender: str,
    to: Allowed,
    port: int | None = None,
    user: str = "",
    password: str = "",
    tls: Tls = "starttls",
    certificates: ssl.SSLContext | None = None,
    seconds: float = 30.0,
    max_recipients: int = 10,
    max_characters: int = 50_000,
    attachments: str | Path | None = None,
    max_bytes: int = 10_000_000,
    approve: Approve = True,
    name: str = "email",
) -> Tool[..., Sent]:
    """A tool with which a model sends mail through an SMTP server, from `sender` and to nobody but
    `to`.

        send = on.tools.email("smtp.example.com", sender="shop@example.com", to=["*@example.com"],
                              user="shop", password=os.environ["SMTP_PASSWORD"])

    `to`: addresses, `*@example.com` for all of a domain, or a function of an address. A person is
    asked before each mail (`approve`), and a mail is never sent twice by itself: the tool is not
    idempotent. Mail is plain text, with a Date and a Message-ID; subjects of more than one line and
    recipients that are more than an address are refused, before a person is asked.

    `tls`: "starttls" (port 587; a server that does not offer it is left), "implicit" (465) or
    "none" (25), which takes a password only to this machine. `certificates`: what to trust in place
    of the public authorities. `attachments`: a folder; the model may attach the files right in it,
    by name, up to `max_bytes` in all. The password is neither on record nor shown to the model.

    What it does NOT protect against: what a mail says (a model that was talked into it can write
    anything to those who are allowed), how many mails are sent (see `Limits`), what lies in the
    folder of attachments, and a server that takes a mail and does not deliver it. Addresses that
    are not ASCII are refused.

    The tool raises UsageError for what is refused here, ToolError for what the server refuses,
    and DeadlineError where nobody knows whether the mail was sent. Raises UsageError here for
    options that are none.
    """
    recipients = Recipients(to, max_recipients)
    place = PORTS.get(tls, 0) if port is None else port
    smtp = Server(server, place, tls, user, password, seconds, certificates).check()
    folder = None if attachments is None else Folder(attachments, max_bytes)
    if not isinstance(sender, str) or not is_address(sender):
        raise UsageError(f"sender={sender!r:.80} is no address", cure='"shop@example.com"')

    async def deliver(mail: Mail) -> Sent:
        message = mail.message(sender)
        refused = await smtp.send(message, sender, list(mail.to))
        taken = [each for each in mail.to if each not in refused]
        return Sent(str(message["Message-ID"]), taken, refused)

    def written(to: list[str], subject: str, text: str) -> Mail:
        found = recipients.check(to)
        return Mail(found, check_subject(subject), check_text(text, max_characters))

    async def send(to: list[str], subject: str, text: str) -> Sent:
        return await deliver(written(to, subject, text))

    function = send if folder is None else _with_attachments(folder, written, deliver)
    function.__name__ = function.__qualname__ = checked_name(name)
    function.__doc__ = f"Send a mail, as plain text. {recipients.shown}"
    function.__annotations__ |= {
        "to": _checked(list[str], recipients.check, "Addresses, such as ann@example.com"),
        "subject": _checked(str, check_subject, "One line"),
        "text": _checked(str, lambda text: check_text(text, max_characters), "The whole text"),
    }
    if folder is not None:
        function.__annotations__["attachments"] = _checked(
            list[str], lambda names: folder.read(names) and names, "Names of files to attach"
        )
    return tool(approve=approve, idempotent=False)(function)


def _with_attachments(
    folder: Folder, written: Callable[..., Mail], deliver: Callable[[Mail], Awaitable[Sent]]
) -> Callable[..., Awaitable[Sent]]:
    async def send(
        to: list[str],
        subject: str,
        text: str,
        attachments: list[str] = [],  # noqa: B006  # it is never changed
    ) -> Sent:
        mail = written(to, subject, text)
        found = await in_thread(folder.read, attachments)
        return await deliver(mail._replace(attachments=found))

    return send


def _checked(kind: Any, check: Callable[[Any], Any], words: str) -> Any:
    """A type of which `check` raises UsageError for what is refused: the model is told why."""
    from pydantic import AfterValidator

    def fits(value: Any) -> Any:
        try:
            check(value)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return value

    return Annotated[kind, AfterValidator(fits), words]
