from __future__ import annotations

import asyncio
import json
import os
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP as Smtpd
from aiosmtpd.smtp import AuthResult, LoginPassword
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import DeadlineError, OnrecordError, UsageError
from onrecord.programs.tools.email_client.message import Mail, check_subject, check_text, is_address
from onrecord.programs.tools.email_tool import Sent, email
from onrecord.prompts.schemas import Unfit

pytestmark = pytest.mark.anyio
PASSWORD = "hush-4711"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Inbox:
    """What a real server on loopback took."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], EmailMessage]] = []
        self.raw: list[bytes] = []
        self.users: list[tuple[str, bool]] = []
        self.refuse: dict[str, str] = {}

    async def handle_RCPT(
        self, server: Smtpd, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Smtpd, session: Any, envelope: Any) -> str:
        content = envelope.content
        if "data" in self.refuse:
            return self.refuse["data"]
        self.raw.append(content)
        message = message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, message))
        return "250 taken"

    def authenticate(self, server: Any, session: Any, envelope: Any, way: str, data: Any) -> Any:
        assert isinstance(data, LoginPassword)
        accepted = data.password == PASSWORD.encode()
        self.users.append((data.login.decode(), session.ssl is not None))
        return AuthResult(success=accepted, handled=False)


@asynccontextmanager
async def served(
    inbox: Inbox, ssl_context: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Smtpd(inbox, hostname="test", loop=loop, **options),
        "127.0.0.1",
        0,
        ssl=ssl_context,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def port(inbox: Inbox) -> AsyncIterator[int]:
    async with served(inbox) as port:
        yield port


def tool_at(port: int, **options: Any) -> Any:
    usual: dict[str, Any] = {"sender": "shop@example.com", "to": ["*@example.com"], "tls": "none"}
    return email("127.0.0.1", port=port, **(usual | options))


ANN = "ann@example.com"


# --- a mail


async def test_a_mail_arrives(inbox: Inbox, port: int) -> None:
    sent = await tool_at(port)(
        to=[ANN, ANN], subject="Your order — Größe", text="Dear Ann,\n.\nü\n"
    )
    ((sender, to, message),) = inbox.mails
    assert (sender, to) == ("shop@example.com", [ANN])
    assert message["From"] == "shop@example.com"
    assert message["To"] == ANN
    assert message["Subject"] == "Your order — Größe"
    assert message["Message-ID"] == sent.message_id
    assert sent.message_id.endswith("@example.com>")
    assert message["Date"].datetime.tzinfo is not None
    assert message.get_content_type() == "text/plain"
    assert message.get_content().splitlines() == ["Dear Ann,", ".", "ü"]
    assert sent == Sent(sent.message_id, [ANN], {})


async def test_html_stays_text(inbox: Inbox, port: int) -> None:
    await tool_at(port)(to=[ANN], subject="Hi", text="<b>bold</b>")
    assert inbox.mails[0][2].get_content_type() == "text/plain"


async def test_long_lines_are_wrapped_for_the_protocol(inbox: Inbox, port: int) -> None:
    await tool_at(port)(to=[ANN], subject="s" * 200, text="word " * 5_000)
    assert max(map(len, inbox.raw[0].split(b"\r\n"))) <= 998
    assert inbox.mails[0][2].get_content().strip() == ("word " * 5_000).strip()


# --- what a model is told


def test_what_a_model_is_told() -> None:
    tool = tool_at(1)
    assert tool.name == "email"
    assert "Only these get mail: *@example.com." in tool.schema.description
    assert tool.schema.parameters["required"] == ["to", "subject", "text"]
    assert "attachments" not in tool.schema.parameters["properties"]
    assert not tool.idempotent
    assert tool.needs_approval({"to": [ANN], "subject": "", "text": ""})
    assert not tool_at(1, approve=False).needs_approval({})
    assert tool_at(1, name="label").schema.name == "label"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"to": ["eve@evil.com"]}, r"eve@evil\.com may not get mail.*Only these"),
        ({"to": [ANN, "eve@evil.com"]}, "may not get mail"),
        ({"to": []}, "nobody"),
        ({"to": [f"a{n}@example.com" for n in range(11)]}, "11 recipients"),
        ({"to": "ann@example.com"}, "valid array"),
        ({"to": ["ann@example.com\r\nBcc: eve@evil.com"]}, "is no address"),
        ({"to": ["ann@example.com, eve@evil.com"]}, "is no address"),
        ({"to": ["ann@example.com,eve@evil.com"]}, "is no address"),
        ({"to": ["Ann <ann@example.com>"]}, "is no address"),
        ({"to": ["eve@evil.com <ann@example.com>"]}, "is no address"),
        ({"to": ['"eve@evil.com,"@example.com']}, "is no address"),
        ({"to": ["@evil.com:ann@example.com"]}, "is no address"),
        ({"to": ["ann@example.com> NOTIFY=NEVER"]}, "is no address"),
        ({"to": ["ann@evil.com\x00@example.com"]}, "is no address"),
        ({"to": ["änn@example.com"]}, "is no address"),
        ({"to": ["ann@еxample.com"]}, "is no address"),
        ({"to": ["ann"]}, "is no address"),
        ({"to": ["a" * 65 + "@example.com"]}, "is no address"),
        ({"subject": "Hi\r\nBcc: eve@evil.com"}, "not one line"),
        ({"subject": "Hi\nBcc: eve@evil.com"}, "not one line"),
        ({"subject": "Hi\rX"}, "not one line"),
        ({"subject": "Hi\u2028X"}, "not one line"),
        ({"subject": "Hi\x85X"}, "not one line"),
        ({"subject": "Hi\x00"}, "not one line"),
        ({"subject": "=?utf-8?q?a=0D=0ABcc:_eve=40evil.com?="}, "not one line"),
        ({"subject": " "}, "not one line"),
        ({"subject": "x" * 201}, "not one line"),
        ({"text": ""}, "is empty"),
        ({"text": "x" * 50_001}, "50,001 characters"),
        ({"text": "a\x00b"}, "holds the character"),
        ({"text": "a\x1b[2J"}, "holds the character"),
    ],
)
async def test_what_is_refused_before_anybody_is_asked(
    inbox: Inbox, port: int, given: dict[str, Any], said: str
) -> None:
    tool = tool_at(port)
    arguments = {"to": [ANN], "subject": "Hi", "text": "Hello"} | given
    with pytest.raises(Unfit, match=said):
        tool.read(json.dumps(arguments))
    if isinstance(arguments["to"], list):
        with pytest.raises(UsageError, match=said):
            await tool(**arguments)
    assert inbox.mails == []


def test_who_may_get_mail() -> None:
    from onrecord.programs.tools.email_client.message import Recipients

    exact = Recipients(["Ann@Example.com"], 5)
    assert exact.check(["ann@EXAMPLE.com"]) == ["ann@EXAMPLE.com"]
    for other in ("bob@example.com", "ann+x@example.com", "ann@example.com.evil.com"):
        with pytest.raises(UsageError, match="may not get mail"):
            exact.check([other])
    wide = Recipients(["*@example.com"], 5)
    with pytest.raises(UsageError, match="may not get mail"):
        wide.check(["ann@sub.example.com"])
    by_function = Recipients(lambda address: address.startswith("ann@"), 5)
    assert by_function.check([ANN]) == [ANN]
    with pytest.raises(UsageError, match="may not get mail"):
        by_function.check(["bob@example.com"])
    truthy: Any = lambda address: "yes"  # noqa: E731
    with pytest.raises(UsageError, match="may not get mail"):
        Recipients(truthy, 5).check([ANN])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": []}, "nobody may get mail"),
        ({"to": ANN}, "several"),
        ({"to": ["*"]}, "is no address"),
        ({"to": ["*@*"]}, "is no address"),
        ({"sender": "shop"}, "sender='shop'"),
        ({"sender": "shop@example.com\r\nBcc: x@y.z"}, "sender="),
        ({"port": 0}, "port=0"),
        ({"tls": "ssl"}, "tls='ssl'"),
        ({"user": "shop"}, "together"),
        ({"seconds": 0}, "seconds=0"),
        ({"attachments": "nowhere"}, "no such folder"),
        ({"name": "send mail"}, "no name of a tool"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        tool_at(**({"port": 1} | options))


def test_a_password_is_not_sent_in_the_clear() -> None:
    for host in ("smtp.example.com", "127.evil.com"):
        with pytest.raises(UsageError, match="as it is"):
            email(host, sender="a@b.c", to=["*@b.c"], user="a", password="b", tls="none")


@given(st.text(max_size=80))
def test_whatever_the_subject_it_is_one_header(subject: str) -> None:
    try:
        check_subject(subject)
    except UsageError:
        return
    raw = Mail([ANN], subject, "text").message("shop@example.com").as_bytes(policy=SMTP)
    head, _, body = raw.partition(b"\r\n\r\n")
    found = message_from_bytes(raw, policy=default)
    expected = "From To Subject Date Message-ID Content-Type Content-Transfer-Encoding MIME-Version"
    assert sorted(found) == sorted(expected.split())
    assert body.strip() == b"text"
    assert b"\n" not in head.replace(b"\r\n", b"")


@given(st.text(max_size=200))
def test_whatever_the_text_it_arrives(text: str) -> None:
    try:
        text = check_text(text, 200)
    except UsageError:
        return
    raw = Mail([ANN], "Hi", text).message("shop@example.com").as_bytes(policy=SMTP)
    found = message_from_bytes(raw, policy=default)
    assert isinstance(found, EmailMessage)
    assert found.get_content().replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")
    assert b"\r" not in raw.replace(b"\r\n", b"")


@given(st.one_of(st.text(max_size=30), st.emails()))
def test_an_address_is_one_address(text: str) -> None:
    if is_address(text):
        from email.utils import getaddresses

        assert getaddresses([text]) == [("", text)]


# --- attachments


@pytest.fixture
def folder(project: Path) -> Path:
    folder = project / "labels"
    folder.mkdir()
    (folder / "label.pdf").write_bytes(b"%PDF-1.7 \xff")
    (project / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(project / "secret.txt")
    (folder / "inner").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / ".hidden").write_text("x")
    return folder


async def test_an_attachment(inbox: Inbox, port: int, folder: Path) -> None:
    tool = tool_at(port, attachments=folder)
    mail = {"to": [ANN], "subject": "Label", "text": "Here it is."}
    read = tool.read('{"to": ["ann@example.com"], "subject": "Label", "text": "Here it is."}')
    await tool.called(read)
    await tool(**mail, attachments=["label.pdf"])
    assert list(inbox.mails[0][2].iter_attachments()) == []
    (attached,) = inbox.mails[1][2].iter_attachments()
    assert attached.get_filename() == "label.pdf"
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_content() == b"%PDF-1.7 \xff"


@pytest.mark.parametrize(
    "name",
    [
        *("../secret.txt", "/etc/passwd", "link.txt", "inner", "pipe", "nothing", "..", ""),
        *(".hidden", "label.pdf\x00", "a\r\nb"),
    ],
)
async def test_attachments_from_elsewhere(inbox: Inbox, port: int, folder: Path, name: str) -> None:
    tool = tool_at(port, attachments=folder)
    with pytest.raises(UsageError, match=r"no name of a file|is no file|there is no file"):
        await tool(to=[ANN], subject="Label", text="Here.", attachments=[name])
    assert inbox.mails == []


async def test_attachments_that_are_too_large(inbox: Inbox, port: int, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"x" * 600)
    (folder / "b.txt").write_bytes(b"x" * 600)
    tool = tool_at(port, attachments=folder, max_bytes=1_000)
    with pytest.raises(Unfit, match="larger than 1,000 bytes"):
        tool.read(
            '{"to": ["ann@example.com"], "subject": "a", "text": "b", '
            '"attachments": ["a.txt", "b.txt"]}'
        )
    await tool(to=[ANN], subject="a", text="b", attachments=["a.txt"])
    assert len(inbox.mails) == 1


# --- servers


async def test_a_recipient_that_the_server_refuses(inbox: Inbox, port: int) -> None:
    inbox.refuse[ANN] = "550 no such mailbox"
    tool = tool_at(port)
    with pytest.raises(OnrecordError, match=r"takes no mail for ann@example.com \(550 no such"):
        await tool(to=[ANN], subject="Hi", text="Hello")
    sent = await tool(to=[ANN, "bob@example.com"], subject="Hi", text="Hello")
    assert sent.to == ["bob@example.com"]
    assert sent.refused == {ANN: "550 no such mailbox"}


async def test_a_mail_that_the_server_refuses(inbox: Inbox, port: int) -> None:
    inbox.refuse["data"] = "554 looks like spam"
    with pytest.raises(OnrecordError, match="refuses the mail: 554 looks like spam"):
        await tool_at(port)(to=[ANN], subject="Hi", text="Hello")


async def test_nobody_is_there() -> None:
    with pytest.raises(OnrecordError, match=r"no connection to 127\.0\.0\.1"):
        await tool_at(1)(to=[ANN], subject="Hi", text="Hello")


@asynccontextmanager
async def saying(words: bytes, *, then_close: bool = False) -> AsyncIterator[int]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()
        if not then_close:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_server_that_says_nothing() -> None:
    async with saying(b"") as port:
        with pytest.raises(DeadlineError, match="may have been sent or not"):
            await tool_at(port, seconds=0.3)(to=[ANN], subject="Hi", text="Hello")


async def test_a_server_that_stops_in_the_middle_leaves_no_thread() -> None:
    before = threading.active_count()
    async with saying(b"220 hello\r\n") as port:
        with pytest.raises(DeadlineError):
            await tool_at(port, seconds=0.3)(to=[ANN], subject="Hi", text="Hello")
        async with asyncio.timeout(10):
            while threading.active_count() > before:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("words", [b"", b"500 go away\r\n", b"\xff\xfe garbage\r\n", b"220"])
async def test_what_is_no_mail_server(words: bytes) -> None:
    async with saying(words, then_close=True) as port:
        with pytest.raises(OnrecordError):
            await tool_at(port)(to=[ANN], subject="Hi", text="Hello")


# --- TLS and passwords


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_starttls_with_a_password(
    inbox: Inbox, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    options = {"tls_context": tls, "require_starttls": True, "authenticator": inbox.authenticate}
    async with served(inbox, **options, auth_required=True) as port:
        usual = {"tls": "starttls", "user": "shop", "certificates": trusting}
        tool = tool_at(port, password=PASSWORD, **usual)
        await tool(to=[ANN], subject="Hi", text="Hello")
        assert inbox.users == [("shop", True)]
        wrong = tool_at(port, password="wrong-1234", **usual)
        with pytest.raises(OnrecordError, match="does not accept the user") as raised:
            await wrong(to=[ANN], subject="Hi", text="Hello")
        assert "wrong-1234" not in str(raised.value)
        untrusting = tool_at(port, tls="starttls")
        with pytest.raises(OnrecordError, match="is not trusted"):
            await untrusting(to=[ANN], subject="Hi", text="Hello")
    assert len(inbox.mails) == 1


async def test_a_server_without_starttls_is_left(
    inbox: Inbox, port: int, trusting: ssl.SSLContext
) -> None:
    tool = tool_at(port, tls="starttls", user="shop", password=PASSWORD, certificates=trusting)
    with pytest.raises(OnrecordError, match="does not offer what is needed: STARTTLS"):
        await tool(to=[ANN], subject="Hi", text="Hello")
    assert inbox.mails == [] and inbox.users == []


async def test_tls_from_the_first_byte(
    inbox: Inbox, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with served(inbox, ssl_context=tls) as port:
        await tool_at(port, tls="implicit", certificates=trusting)(
            to=[ANN], subject="Hi", text="Hello"
        )
    assert len(inbox.mails) == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_the_password_is_on_no_record(inbox: Inbox, project: Path) -> None:
    async with served(
        inbox, authenticator=inbox.authenticate, auth_require_tls=False, auth_required=True
    ) as port:
        tool = tool_at(port, user="shop", password=PASSWORD)

        @on.flow
        async def send(text: str) -> Sent:
            return await tool(to=[ANN], subject="Hi", text=text)

        sent = await send("a text to be found")
        assert isinstance(sent, Sent)
    kept = b"".join(each.read_bytes() for each in project.rglob("*") if each.is_file())
    assert b"a text to be found" in kept
    assert PASSWORD.encode() not in kept
    assert PASSWORD not in repr(tool) + str(tool.schema)
