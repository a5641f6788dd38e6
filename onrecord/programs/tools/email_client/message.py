"""A mail as a model writes it, and what of it is refused before it is a mail.

A line break in a subject begins a header of the writer's own, a comma in an address another
recipient; so both are looked at here, and not left to whoever reads the mail.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from onrecord.arguments import several
from onrecord.errors import UsageError

if TYPE_CHECKING:
    from email.message import EmailMessage

Allowed = Sequence[str] | Callable[[str], bool]
"""Who may get mail: addresses, `*@example.com` for all of a domain, or a function of an address."""


class Recipients:
    """Who may get mail, and at most how many at once. Raises UsageError for what is nobody."""

    def __init__(self, allowed: Allowed, most: int) -> None:
        self._function = allowed if callable(allowed) else None
        self._most = most
        named = () if callable(allowed) else several(allowed, "recipients", texts=True)
        for each in named:
            if not _PATTERN.fullmatch(each):
                raise UsageError(
                    f"to: {each!r:.100} is no address", cure='Write "ann@x.com" or "*@x.com".'
                )
        if not (named or self._function):
            raise UsageError("nobody may get mail", cure='Say who: to=["*@example.com"].')
        self._named = frozenset(each.lower() for each in named)

    def check(self, to: Sequence[str]) -> list[str]:
        """The addresses, each once. Raises UsageError for one that is none, or not allowed."""
        found = list(dict.fromkeys(to))
        if not found:
            raise UsageError("the mail is to nobody", cure="Name a recipient.")
        if len(found) > self._most:
            raise UsageError(f"{len(found)} recipients are more than the {self._most} of one mail")
        for each in found:
            if not is_address(each):
                raise UsageError(
                    f"{each!r:.100} is no address", cure="Write it bare, as ann@example.com."
                )
            if not self._admits(each):
                raise UsageError(f"{each} may not get mail", cure=self.shown)
        return found

    @property
    def shown(self) -> str:
        """Who may get mail, as a model is told."""
        if self._function is not None:
            return "Only addresses that the program allows get mail."
        return f"Only these get mail: {', '.join(sorted(self._named))}."

    def _admits(self, address: str) -> bool:
        if self._function is not None:
            return self._function(address) is True
        low = address.lower()
        return low in self._named or f"*@{low.rpartition('@')[2]}" in self._named


def is_address(text: str) -> bool:
    """Whether a text is one bare address of ASCII letters: no name, no comment, no list."""
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


class Folder:
    """The folder that attachments are in; a name stands for a file right in it.

    Raises UsageError where it is none.
    """

    def __init__(self, path: str | Path, max_bytes: int) -> None:
        self.path = Path(path).absolute()
        self._max_bytes = max_bytes
        if not self.path.is_dir():
            raise UsageError("there is no such folder of attachments", where=str(self.path))

    def read(self, names: Sequence[str]) -> list[tuple[str, bytes]]:
        """The files. Raises UsageError for what is none, and where all are too large."""
        found, left = [], self._max_bytes
        for name in dict.fromkeys(names):
            content = self._content(name, left)
            left -= len(content)
            found.append((name, content))
        return found

    def _content(self, name: str, most: int) -> bytes:
        if Path(name).name != name or not _is_one_line(name) or name[:1] in ".=":
            raise UsageError(f"{name!r:.100} is no name of a file", cure="Leave out the folder.")
        try:
            # A link may lead out of the folder, and a pipe never ends.
            number = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(number, "rb") as file:  # noqa: PTH123  # it is open already
                if not stat.S_ISREG(os.fstat(number).st_mode):
                    raise UsageError(f"{name!r:.100} is no file")
                content = file.read(most + 1)
        except (OSError, ValueError):
            raise UsageError(f"there is no file {name!r:.100} to attach") from None
        if len(content) > most:
            raise UsageError(f"the attachments are larger than {self._max_bytes:,} bytes")
        return content


class Mail(NamedTuple):
    """A mail: its recipients are allowed, its subject is one line."""

    to: Sequence[str]
    subject: str
    text: str
    attachments: Sequence[tuple[str, bytes]] = ()

    def message(self, sender: str) -> EmailMessage:
        """With a Date and a Message-ID, as plain text, lines at most as long as SMTP takes them."""
        import mimetypes
        from email.headerregistry import Address
        from email.message import EmailMessage
        from email.policy import SMTP
        from email.utils import localtime, make_msgid

        message = EmailMessage(policy=SMTP)
        message["From"] = Address(addr_spec=sender)
        message["To"] = [Address(addr_spec=each) for each in self.to]
        message["Subject"] = self.subject
        message["Date"] = localtime()
        message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
        message.set_content(self.text)
        for name, content in self.attachments:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            main, _, sub = kind.partition("/")
            message.add_attachment(content, main, sub, filename=name)
        return message


def check_subject(subject: str) -> str:
    """The subject. Raises UsageError where it is not one line of up to 200 characters."""
    is_short = len(subject.strip()) > 0 and len(subject) <= _LONGEST_SUBJECT
    # "=?" begins a word in another encoding, in which line breaks can hide.
    if not is_short or not _is_one_line(subject) or "=?" in subject:
        raise UsageError(
            "the subject is not one line of text",
            cure=f'Write 1 to {_LONGEST_SUBJECT} characters without line breaks and "=?".',
        )
    return subject


def check_text(text: str, most: int) -> str:
    """The text with `\\n` newlines. Raises UsageError where it is empty, too long, or no text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UsageError("the mail is empty", cure="Write a text.")
    if len(text) > most:
        raise UsageError(f"the text has {len(text):,} characters; {most:,} are allowed")
    odd = next((each for each in text if each not in "\n\t" and _category(each) in _ODD), None)
    if odd is not None:
        raise UsageError(f"the text holds the character {odd!r}", cure="Leave it out.")
    return text


def _is_one_line(text: str) -> bool:
    return not any(_category(each) in (*_ODD, "Zl", "Zp") for each in text)


def _category(character: str) -> str:
    return unicodedata.category(character)


_ODD = ("Cc", "Cs", "Cn", "Co")  # controls, halves of characters, and what is no character
_LONGEST_SUBJECT = 200
_WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"(?:{_LABEL}\.)*{_LABEL}"
_ADDRESS = re.compile(rf"(?=.{{1,64}}@){_WORD}(?:\.{_WORD})*@{_DOMAIN}")
_PATTERN = re.compile(rf"(?:\*|{_WORD}(?:\.{_WORD})*)@{_DOMAIN}")
