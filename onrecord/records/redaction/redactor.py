"""Redaction: secrets and personal data are removed before the first byte reaches the disk.

    rule      what it removes
    fields    values of fields called password, api_key, authorization …, in values and in text;
              passwords in addresses (scheme://user:password@host), bearer tokens, cookies
    keys      keys of known providers, JSON web tokens, private keys
    cards     card numbers: issuer, length and check digit fit
    ibans     bank accounts: country, length and check digits fit
    emails    e-mail addresses
    phones    telephone numbers: international, North American, or after "Tel."
    package.module:function    your own: takes a text, returns what is kept of it; None changes
              nothing

In the place of a secret stands a pseudonym, `<card:3f9a0c21>`: its kind and the beginning of a
keyed hash (BLAKE2b) of its normal form. Equal secrets have equal pseudonyms in a whole project, so
records can still be joined; without the project's key nobody can find out by trying.

What is NOT found: names, postal addresses, dates of birth; passwords and keys of unknown shape that
no name stands before (`mysql -phunter2`, "my password is hunter2"), of a provider without a shape
(Mistral, Cohere) included; national telephone numbers, except North American ones; what is split
over two strings, written in words, encoded (base64, an archive) or in an image or sound; letters
that only look like others; numbers below 128 in a field. A card or key is taken for one by its
shape: now and then a harmless number has it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import logging
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import SettingsError, StorageError
from onrecord.records.redaction import patterns
from onrecord.records.redaction.field_names import (
    FIELDS,
    KEY_NAMES,
    Naming,
    headers,
    kind_of,
    words,
)
from onrecord.records.redaction.patterns import PSEUDONYM, Finder, Found, Plainer
from onrecord.records.redaction.quick_look import Suspicion
from onrecord.settings import make_home

Own = Callable[[str], str | None]
_Look = Callable[[bytes], bool]


class Redactor:
    """Removes secrets by rules. Built once per project from the settings; safe in any thread.

    `rules` are names of the table above; `fields` further names of fields whose values are secrets.
    `key` is the project's secret for pseudonyms, or how to get it: asked for when the first secret
    is found. Without one, pseudonyms are equal within this object only.

    Raises SettingsError where there is no such rule. A function of your own is imported when it is
    first needed; where it fails, the whole text is replaced by `FAILED`.
    """

    suspicious: Callable[[bytes], bool]
    """The quick look at the MessagePack bytes of a value: False where `redact` would certainly
    change nothing. Under a microsecond for an ordinary body, in proportion to its length."""

    def __init__(
        self,
        rules: Sequence[str],
        fields: Sequence[str] = (),
        key: Callable[[], bytes] | bytes = b"",
    ) -> None:
        for rule in rules:
            _check(rule)
        named = (FIELDS if "fields" in rules else ()) + (KEY_NAMES if "keys" in rules else ())
        own_names = tuple(filter(None, map(words, fields)))
        self._naming = naming = Naming(named, own_names)
        self._own = [_own(rule) for rule in rules if ":" in rule]
        # Each finder looks only where its own quick look tells it to.
        self._finders: list[tuple[_Look, Finder]] = [
            (Suspicion((name,)).of, _FINDERS[name]) for name in _FINDERS if name in rules
        ]
        if naming.names:
            look = Suspicion(_FIELDS if "fields" in rules else (), naming.names)
            more = (headers, patterns.url_passwords) if "fields" in rules else ()
            values = lambda text: naming.values(text, look.places(text))  # noqa: E731
            self._finders += ((look.of, find) for find in (values, *more))
        self._cards = "cards" in rules
        self._looks = Suspicion(rules, naming.names).of if self._finders else _never
        self.suspicious = _always if self._own else self._looks
        self._key = key
        self._secret = b""
        self._known_names: dict[str, bool] = {}

    def redact(self, value: Any) -> tuple[Any, int]:
        """A copy of plain JSON-like values without secrets, and how many places were changed.

        None changed: the very same object. Never raises.
        """
        try:
            return self._redact(value, 0)
        except Exception as error:
            _log.warning("a value could not be redacted and is not kept (%s)", type(error).__name__)
            return FAILED, 1

    def redact_text(self, text: str) -> tuple[str, int]:
        """A text without secrets, and how many there were. Never raises."""
        try:
            return self._text(text)
        except Exception as error:
            _log.warning("a text could not be redacted and is not kept (%s)", type(error).__name__)
            return FAILED, 1

    def _redact(self, value: Any, depth: int) -> tuple[Any, int]:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return self._number(value)
        if depth > _DEEPEST and isinstance(value, dict | list | tuple):
            return (FAILED, 1) if self.suspicious(msgspec.msgpack.encode(value)) else (value, 0)
        if isinstance(value, dict):
            return self._dict(value, depth)
        if isinstance(value, list | tuple):
            return _listed(value, [self._redact(item, depth + 1) for item in value])
        return value, 0

    def _dict(self, value: dict[str, Any], depth: int) -> tuple[Any, int]:
        kept: dict[str, Any] = {}
        changes = 0
        for name, item in value.items():
            new_name, count = self._text(name)
            while new_name in kept:
                new_name += "'"
            secret = self._is_secret(name)
            kept[new_name], more = self._leaves(item) if secret else self._redact(item, depth + 1)
            changes += count + more
        return (kept, changes) if changes else (value, 0)

    def _is_secret(self, name: str) -> bool:
        known = self._known_names.get(name)
        if known is None:
            # Any value that is removed begins with a byte that looks like this one.
            known = self._looks(_bytes(name) + b"\x81") and self._naming.is_secret(
                Plainer(name).text
            )
            if len(self._known_names) < _NAMES:
                self._known_names[name] = known
        return known

    def _leaves(self, value: Any) -> tuple[Any, int]:
        """Everything in a field that holds a secret."""
        if value is None or isinstance(value, bool):
            return value, 0
        if isinstance(value, dict):
            pairs = {name: self._leaves(item) for name, item in value.items()}
            changes = sum(count for _, count in pairs.values())
            kept = {self._text(name)[0]: item for name, (item, _) in pairs.items()}
            return (kept, changes) if changes else (value, 0)
        if isinstance(value, list | tuple):
            return _listed(value, [self._leaves(item) for item in value])
        if isinstance(value, int | float) and value < 128:
            return value, 0  # a count or a flag; its MessagePack would not be suspicious
        text = str(value)
        if not text or PSEUDONYM.fullmatch(text):
            return value, 0
        return self._pseudonym(kind_of(text), text), 1

    def _number(self, value: int) -> tuple[Any, int]:
        if self._cards and 10**12 <= value < 10**19 and patterns.is_card(str(value)):
            return self._pseudonym("card", str(value)), 1
        return value, 0

    def _text(self, text: str) -> tuple[str, int]:
        changes = 0
        for own in self._own:
            new = own(text)
            changes += new != text
            text = new
        for _ in range(_ROUNDS):  # what is left may look like a secret only now
            if not self._looks(_bytes(text)):
                break
            text, count = self._once(text)
            changes += count
            if not count:
                break
        return text, changes

    def _once(self, text: str) -> tuple[str, int]:
        plainer = Plainer(text)
        data = _bytes(plainer.text)
        found = [each for look, find in self._finders if look(data) for each in find(plainer.text)]
        if not found:
            return text, 0
        pieces: list[str] = []
        end = 0
        spans = _merged(found)
        for each in spans:
            first, last = plainer.span(each.start, each.end)
            secret = plainer.text[each.start : each.end] if each.secret is None else each.secret
            pieces += (text[end:first], self._pseudonym(each.kind, secret))
            end = last
        return "".join((*pieces, text[end:])), len(spans)

    @property
    def secret(self) -> bytes:
        """What pseudonyms are keyed with."""
        if not self._secret:
            self._secret = self._get_secret()
        return self._secret

    def _pseudonym(self, kind: str, secret: str) -> str:
        hashed = hashlib.blake2b(_bytes(secret), digest_size=4, key=self.secret)
        return f"<{kind}:{hashed.hexdigest()}>"

    def _get_secret(self) -> bytes:
        try:
            key = self._key() if callable(self._key) else self._key
        except Exception as error:
            _log.warning("pseudonyms hold for this process only: %s", error)
            key = b""
        return hashlib.blake2b(key).digest() if key else secrets.token_bytes(32)


FAILED = "<redacted: rule failed>"
"""What is kept of a text, or a value, that could not be redacted."""


def pseudonym_key(folder: Path) -> bytes:
    """The secret of a project's pseudonyms: 32 bytes in `folder/pseudonym.key`, made if missing.

    Only the user who made it may read it. Processes that make it at once agree on one. Whoever has
    it can test a guess against a pseudonym: keep it from those whom you hand records.

    Raises StorageError where it can be neither read nor made.
    """
    path = folder / _KEY_FILE
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"there is no key for pseudonyms: {reason}", where=str(path)) from None
    if len(key) != 32:
        raise StorageError(
            "the key for pseudonyms is damaged",
            where=str(path),
            cure="Remove it: a new one is made, and pseudonyms differ from earlier ones.",
        )
    return key


def _make_key(path: Path) -> None:
    make_home(path.parent)
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, secrets.token_bytes(32))
        os.fsync(file)
        with suppress(FileExistsError):  # another process was first: its key holds
            os.link(new, path)
    finally:
        os.close(file)
        new.unlink()


def _listed(value: Any, items: list[tuple[Any, int]]) -> tuple[Any, int]:
    changes = sum(count for _, count in items)
    if not changes:
        return value, 0
    kept = [item for item, _ in items]
    return (tuple(kept) if isinstance(value, tuple) else kept), changes


def _merged(found: Iterable[Found]) -> list[Found]:
    """Where secrets overlap, all of what they cover is one."""
    merged: list[Found] = []
    for each in sorted(found, key=lambda each: (each.start, -each.end)):
        if not merged or each.start >= merged[-1].end:
            merged.append(each)
        elif each.end > merged[-1].end:
            merged[-1] = Found(merged[-1].start, each.end, merged[-1].kind, None)
    return merged


def _check(rule: str) -> None:
    if rule in RULES or re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.]*", rule):
        return
    close = difflib.get_close_matches(rule, RULES, 1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    raise SettingsError(
        f"there is no redaction rule '{rule}'",
        where="setting redact",
        cure=f"{hint}The rules are {', '.join(RULES)}, and functions as 'package.module:function'.",
    )


def _own(rule: str) -> Callable[[str], str]:
    """A function of the user's, imported at its first use, that never fails."""
    functions: list[Own] = []

    def call(text: str) -> str:
        if text == FAILED:
            return text
        try:
            if not functions:
                module, _, names = rule.partition(":")
                if _is_being_imported(module):
                    raise ImportError("it is still being imported")
                function: Any = importlib.import_module(module)
                for name in names.split("."):
                    function = getattr(function, name)
                functions.append(function)
            new: object = functions[0](text)
            if new is None or isinstance(new, str):
                return text if new is None else new
            reason = f"it returned {type(new).__name__}"
        except Exception as error:  # its message may hold what it should have removed
            reason = type(error).__name__
        _log.warning("the redaction rule %s failed (%s): texts are not kept", rule, reason)
        return FAILED

    return call


def _is_being_imported(module: str) -> bool:
    """Whether some thread imports this module just now: to wait for it could be to wait for
    ourselves, when what it does while it is imported is recorded."""
    found = sys.modules.get(module)
    return bool(getattr(getattr(found, "__spec__", None), "_initializing", False))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _always(packed: bytes) -> bool:
    return True


def _never(packed: bytes) -> bool:
    return False


_FINDERS: dict[str, Finder] = {
    "keys": patterns.keys,
    "ibans": patterns.ibans,
    "cards": patterns.cards,
    "emails": patterns.emails,
    "phones": patterns.phones,
}
_FIELDS = ("fields",)
RULES = ("fields", *_FINDERS)
"""The names of the rules that come with Onrecord."""

_KEY_FILE = "pseudonym.key"
_DEEPEST = 100
_ROUNDS = 5
_NAMES = 4096
_log = logging.getLogger("onrecord")
