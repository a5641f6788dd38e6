"""EML: one message, its headers as metadata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onrecord.errors import LoadError
from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading.encoding import MEBIBYTE, decode, read_bytes
from onrecord.retrieval.loading.html import read_page

if TYPE_CHECKING:
    from email.message import EmailMessage, MIMEPart


def load_mail(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """The body, plain text where there is one, else the HTML's text; the title is the subject.

    From, to, cc, date and the names of attachments become metadata; attachments are not read.
    """
    from email import policy
    from email.message import EmailMessage
    from email.parser import BytesParser

    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(read_bytes(path, _LIMIT))
    if not any(message[name] for name in ("From", "To", "Date", "Subject")):
        raise LoadError("no e-mail message", where=str(path))
    text, format = _body(message, path)
    title = str(message["Subject"] or "").strip() or path.stem
    yield Document(document_id, title, text, format, _metadata(message))


def _body(message: EmailMessage, path: Path) -> tuple[str, str]:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        raise LoadError("a message without text", where=str(path))
    text = _part_text(part, path)
    if part.get_content_subtype() == "html":
        return read_page(text, str(path)).text, "markdown"
    return text, "text"


def _part_text(part: MIMEPart, path: Path) -> str:
    try:
        text = str(part.get_content())
    except (LookupError, ValueError):  # a character set that does not exist, or is not the one used
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes) or not payload:
            raise LoadError("a message without text", where=str(path)) from None
        return decode(payload, str(path)).text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _metadata(message: EmailMessage) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("From", "To", "Cc"):
        if value := str(message[name] or "").strip():
            found[name.lower()] = value
    if date := _date(str(message["Date"] or "")):
        found["date"] = date
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    if names:
        found["attachments"] = names
    return found


def _date(text: str) -> str | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).isoformat()
    except (ValueError, TypeError, OverflowError):
        return None


_LIMIT = 256 * MEBIBYTE
