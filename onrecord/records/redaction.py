"""Redaction: what must not be kept is replaced before the first byte reaches the disk.

Equal secrets become equal pseudonyms, `<email:3f9a0c2177>`: the kind, and a keyed hash, so that
joins still work and nobody without the project's key finds the secret by guessing.

What this covers is what `secrets.py` finds: fields with telling names, keys of known providers,
card numbers, IBANs, e-mail addresses, telephone numbers, and what functions of the user's own
find. What it does not: names and addresses, secrets without a known shape, secrets split over two
values, and whatever stands inside base64, images or sound.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import importlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from onrecord.errors import SettingsError
from onrecord.records import secrets
from onrecord.records.record import new_id
from onrecord.records.secrets import Found

Finder = Callable[[str], Iterable[Found]]
Own = Callable[[str], str | None]


class Redactor:
    """The rules of a project, built once. Safe to use from any thread.

    `rules`: names of RULES, and `package.module:function` for functions of your own, which get a
    text and return it changed (or None: as it was). `fields`: further names of fields that hold
    secrets. `key`: the secret of the pseudonyms, asked for when the first one is made.
    Raises SettingsError for a rule that there is not.
    """

    def __init__(
        self,
        rules: Sequence[str],
        fields: Sequence[str] = (),
        key: Callable[[], bytes] | bytes = b"",
    ) -> None:
        for rule in rules:
            _check(rule)
        self._key = key
        self._named = "fields" in rules or bool(fields)
        self._fields = frozenset(map(secrets.plain_name, fields))
        self._finders: list[Finder] = [RULES[rule] for rule in rules if rule in RULES]
        self._own = [_Own(rule) for rule in rules if ":" in rule]
        self._cards = "cards" in rules
        self._keys = "keys" in rules
        self._digits = bool({"cards", "ibans", "phones"} & set(rules))
        self._at = "emails" in rules
        self._field_words = _field_words(fields)
        self._harmless: dict[str, bool] = {}

    def suspicious(self, packed: bytes, value: object = None) -> bool:
        """Whether a closer look is needed at `value`, whose MessagePack is `packed`.

        False means that `redact` would change nothing. Most values are cleared here, in about a
        microsecond: this is why an ordinary call costs as little as it does. Without the value
        itself the answer is the same, and takes longer.
        """
        if self._own:
            return True
        digits = len(packed.translate(None, _NO_DIGITS)) if self._digits else 0
        if digits >= secrets.FEWEST_DIGITS and _DIGITS.search(packed):
            return True
        if self._at and b"@" in packed:
            return True
        shape = packed.translate(_SHAPE)
        long = _RUN in shape
        if self._keys and ((long and _KEYS.search(packed)) or b"PRIVATE KEY" in packed):
            return True
        if type(value) is str or self._is_plain(value):
            # A text: names are followed by : or =, or by a long word.
            return self._named and (long or b"!" in shape) and self._may_name(packed)
        if self._cards and (b"\xcf" in packed or b"\xd3" in packed):
            return True  # a whole number of eight bytes may be a card's
        return self._named and self._may_name(packed)

    def _is_plain(self, value: object) -> bool:
        """Whether this is a flat dict of texts under names that hide nothing."""
        if type(value) is not dict:
            return False
        for name, each in value.items():
            if type(each) is not str:
                return False
            harmless = self._harmless.get(name)
            if harmless is None:
                harmless = type(name) is str and not self.redact({name: "?"})[1]
                if len(self._harmless) < _MANY:
                    self._harmless[name] = harmless
            if not harmless:
                return False
        return True

    def redact(self, value: Any) -> tuple[Any, int]:
        """A plain value without what must not be kept, and how many places were changed.

        Unchanged values are handed back as they are. Never fails.
        """
        work = _Work(self)
        try:
            redacted = work.value(value)
        except RecursionError:
            return "<redacted: nested too deeply>", 1
        return (redacted, work.changes) if work.changes else (value, 0)

    def redact_text(self, text: str) -> tuple[str, int]:
        """A text without what must not be kept, and how many places were changed."""
        work = _Work(self)
        redacted = work.text(text)
        return redacted, work.changes

    def pseudonym(self, kind: str, value: str) -> str:
        """What stands for a secret: equal for equal ones."""
        if callable(self._key):
            self._key = self._key()
        data = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return f"<{kind}:{hashlib.blake2b(data, key=self._key[:64], digest_size=5).hexdigest()}>"

    def _may_name(self, packed: bytes) -> bool:
        lower = packed.lower()
        for word, names in _NAMES:
            if word in lower and names.search(lower):
                return True
        return any(word in lower for word in self._field_words)


class _Work:
    """One walk through a value."""

    def __init__(self, rules: Redactor) -> None:
        self._rules = rules
        self.changes = 0

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self._dict(value)
        if isinstance(value, list | tuple):
            return [self.value(each) for each in value]
        if isinstance(value, int) and not isinstance(value, bool) and self._rules._cards:
            digits = str(value)
            if secrets.is_card(digits):
                return self._replaced("card", digits)
        return value

    def text(self, text: str) -> str:
        for own in self._rules._own:
            changed = own(text)
            if changed is not None and changed != text:
                self.changes += 1
                text = changed
        found = [each for finder in self._rules._finders for each in finder(text)]
        if not found:
            return text
        pieces, at = [], 0
        for each in _apart(found):
            pieces += [text[at : each.start], self._replaced(each.kind, each.value)]
            at = each.end
        return "".join((*pieces, text[at:]))

    def _dict(self, value: dict[str, Any]) -> dict[str, Any]:
        rules = self._rules
        named = rules._named
        changed = {}
        for name, each in value.items():
            hides = named and secrets.is_secret_field(name, rules._fields)
            changed[self.text(name)] = self._hidden(each) if hides else self.value(each)
        return changed

    def _hidden(self, value: Any) -> Any:
        """Every text and number under a field that holds secrets."""
        if isinstance(value, dict):
            return {self.text(name): self._hidden(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._hidden(each) for each in value]
        if value is None or value == "" or isinstance(value, bool):
            return value
        text = str(value)
        return text if _PSEUDONYM.fullmatch(text) else self._replaced("secret", text)

    def _replaced(self, kind: str, value: str) -> str:
        self.changes += 1
        return self._rules.pseudonym(kind, value)


class _Own:
    """A function of the user's, named in the settings and imported when it is first needed."""

    def __init__(self, place: str) -> None:
        self._place = place

    @functools.cached_property
    def _function(self) -> Own:
        module, _, name = self._place.partition(":")
        function: Own = getattr(importlib.import_module(module), name)
        return function

    def __call__(self, text: str) -> str | None:
        try:
            changed = self._function(text)
        except Exception:  # what a broken rule would have removed must not be kept
            return f"<redacted: {self._place} failed>"
        return changed if changed is None or isinstance(changed, str) else str(changed)


def pseudonym_key(folder: Path) -> bytes:
    """The project's secret for pseudonyms: 32 bytes in `pseudonym.key`, made when there is none."""
    path = folder / "pseudonym.key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    folder.mkdir(parents=True, exist_ok=True)
    being_made = folder / f".{new_id()}.key"
    being_made.touch(0o600)
    being_made.write_bytes(os.urandom(32))
    with contextlib.suppress(FileExistsError):  # whoever is second takes the key of the first
        path.hardlink_to(being_made)
    being_made.unlink()
    return path.read_bytes()


RULES: dict[str, Finder] = {
    "fields": secrets.find_named,
    "keys": secrets.find_keys,
    "cards": secrets.find_cards,
    "ibans": secrets.find_ibans,
    "emails": secrets.find_emails,
    "phones": secrets.find_phones,
}
"""The rules there are, by the name that the settings know them by."""


def _check(rule: str) -> None:
    if rule in RULES or re.fullmatch(r"[\w.]+:\w+", rule):
        return
    close = difflib.get_close_matches(rule, RULES, 1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    raise SettingsError(
        f"there is no rule '{rule}' for redaction",
        where="the setting 'redact'",
        cure=f"{hint}There are {', '.join(RULES)}, and package.module:function for your own.",
    )


def _apart(found: list[Found]) -> Iterator[Found]:
    """Secrets one behind the other; of two that overlap, both in one."""
    current: Found | None = None
    for each in sorted(found, key=lambda each: (each.start, -each.end)):
        if current is None or each.start >= current.end:
            if current is not None:
                yield current
            current = each
        elif each.end > current.end:
            current = Found(current.start, each.end, current.kind, current.value + each.value)
    if current is not None:
        yield current


def _field_words(fields: Sequence[str]) -> tuple[bytes, ...]:
    """Some letters of each further field, as they stand whatever its separators are."""
    words = []
    for field in fields:
        parts = [part for part in re.split(r"[^a-z0-9]+|(?<=[a-z0-9])(?=[A-Z])", field) if part]
        words.append(max(parts, key=len, default=field).lower().encode())
    return tuple(words)


_PSEUDONYM = re.compile(r"<[a-z]+:[0-9a-f]{10}>")
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
_MANY = 10_000
_GAPS = rb"[ \-./()\xa0\xc2\xe2\x80\xaf]"
_DIGITS = re.compile(
    rb"(?:[0-9]" + _GAPS + rb"{0,6}){7}"  # cards, telephones
    rb"|[A-Za-z]{2}[0-9]{2}" + _GAPS + rb"{0,3}[A-Za-z0-9]"  # IBANs
)
# The shape of a text: x for signs that keys are made of (a run of them is a key, or a long word),
# ! for what stands between a name and its value.
_SIGNS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+")
_SHAPE = bytes(ord("x" if sign in _SIGNS else "!" if sign in b":=" else " ") for sign in range(256))
_RUN = b"x" * 14
_KEYS = re.compile(
    rf"{secrets.KEY_BEGINNINGS}|(?i:AccountKey|SharedAccessKey|aws.{{0,20}}secret)".encode(),
    re.DOTALL,
)
# What has to be there for a name to be there, and then the name. Short names are those of whole
# fields: in MessagePack the byte before them says how long they are.
_NAMES = [
    *((word.encode(), re.compile(names.encode())) for word, names in secrets.WORDS.items()),
    *((word, re.compile(re.escape(word))) for word in (b"authorization", b"bearer", b"cookie")),
    (b"://", re.compile(rb"://[^\s/:@<]{0,100}:[^\s/@]{1,200}@")),
    (b"\xa3", re.compile(rb"\xa3(?:pin|cvv|cvc|ssn|jwt)")),
    (b"\xa4", re.compile(rb"\xa4(?:auth|cvv2|cvc2)")),
]
