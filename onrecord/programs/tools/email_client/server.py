"""A mail server: how it is reached, and what it says in words.

The standard library's smtplib speaks the protocol, in a thread that nobody has to wait for: where
the time is up its socket is closed, which ends the thread too.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from onrecord.errors import DeadlineError, ToolError, UsageError
from onrecord.threads import in_thread

if TYPE_CHECKING:
    import smtplib
    from email.message import EmailMessage

Tls = Literal["starttls", "implicit", "none"]
"""How a connection is encrypted: after a plain greeting, from its first byte, or not at all."""


class Server(NamedTuple):
    """A mail server and who we are to it. `check` raises UsageError for what is none."""

    host: str
    port: int
    tls: Tls
    user: str
    password: str
    seconds: float
    certificates: ssl.SSLContext | None

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port}, tls={self.tls!r})"

    def check(self) -> Server:
        """Itself."""
        if not isinstance(self.host, str) or not self.host or not self.host.isprintable():
            raise UsageError(f"{self.host!r:.80} is no mail server", cure='"smtp.example.com"')
        if not isinstance(self.port, int) or not 0 < self.port < 65_536:
            raise UsageError(f"port={self.port!r:.40} is no port from 1 to 65535")
        if self.tls not in PORTS:
            raise UsageError(f"tls={self.tls!r:.40} is none of {', '.join(map(repr, PORTS))}")
        if not isinstance(self.seconds, int | float) or not self.seconds > 0:
            raise UsageError(f"seconds={self.seconds!r:.40} is no time", cure="Give one above 0.")
        if bool(self.user) != bool(self.password):
            raise UsageError("a user and a password are given together")
        if self.password and self.tls == "none" and not _is_here(self.host):
            raise UsageError(
                "the password would go through the network as it is", cure='Use tls="starttls".'
            )
        return self

    async def send(self, message: EmailMessage, sender: str, to: list[str]) -> dict[str, str]:
        """Hand a mail over: the recipients that the server refused, with its words. Raises
        ToolError where it took it for nobody, DeadlineError where nobody knows."""
        sending = _Sending(self)
        try:
            async with asyncio.timeout(self.seconds) as limit:
                return await in_thread(sending.send, message, sender, to)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineError(
                f"{self.host} did not take the mail within {self.seconds:g} s: it may have been "
                "sent or not"
            ) from None
        finally:
            sending.stop()


class _Sending:
    """One mail on its way, in a thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._socket: socket.socket | None = None
        self._stopped = False

    def stop(self) -> None:
        """End the thread, if it still goes on."""
        self._stopped = True
        if self._socket is not None:
            with suppress(OSError):  # it is closed
                self._socket.shutdown(socket.SHUT_RDWR)

    def send(self, message: EmailMessage, sender: str, to: list[str]) -> dict[str, str]:
        """The recipients that the server refused."""
        import smtplib

        server = self._server
        try:
            with self._connected() as connection:
                self._go_on(connection)
                if server.tls == "starttls":
                    connection.starttls(context=server.certificates or _trust())
                    self._go_on(connection)
                if server.user:
                    connection.login(server.user, server.password)
                refused = connection.send_message(message, sender, to)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise self._failed(error) from None
        return {each: _words(*said) for each, said in refused.items()}

    def _go_on(self, connection: smtplib.SMTP) -> None:
        """What `stop` is to close. Raises ToolError where nobody waits any more: what was not
        sent by then is not."""
        self._socket = connection.sock
        if self._stopped:
            raise ToolError("the mail was not sent in time")

    def _connected(self) -> smtplib.SMTP:
        import smtplib

        server = self._server
        place = (server.host, server.port)
        if server.tls == "implicit":
            context = server.certificates or _trust()
            return smtplib.SMTP_SSL(*place, timeout=server.seconds, context=context)
        return smtplib.SMTP(*place, timeout=server.seconds)

    def _failed(self, error: Exception) -> ToolError:
        import smtplib

        host, where = self._server.host, ""
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            what = f"{host} takes no mail for " + "; ".join(
                f"{each} ({_words(*said)})" for each, said in error.recipients.items()
            )
        elif isinstance(error, smtplib.SMTPAuthenticationError):
            what = f"{host} does not accept the user and the password"
            where = str(error.smtp_code)  # its words may repeat what it was given
        elif isinstance(error, smtplib.SMTPResponseException):
            what = f"{host} refuses the mail: {_words(error.smtp_code, error.smtp_error)}"
        elif isinstance(error, smtplib.SMTPNotSupportedError):
            what = f"{host} does not offer what is needed: {_words(0, str(error))}"
        elif isinstance(error, ssl.SSLCertVerificationError):
            what, where = f"the certificate of {host} is not trusted", error.verify_message
        elif isinstance(error, smtplib.SMTPServerDisconnected):
            what = f"{host} ended the connection: the mail may have been sent or not"
        elif isinstance(error, OSError):
            what, where = f"no connection to {host}", _words(0, str(error))
        else:
            what = f"the mail cannot be sent: {_words(0, str(error))}"
        return ToolError(what, where=where)


@functools.cache
def _trust() -> ssl.SSLContext:
    """The public authorities. A context of its own: the one for HTTP says in its greeting that it
    speaks that, and some mail servers then leave."""
    import httpx

    return httpx.create_ssl_context()


def _words(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    line = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(f"{code or ''} {line}".split())[:300].rstrip(".")


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


PORTS: dict[str, int] = {"starttls": 587, "implicit": 465, "none": 25}
