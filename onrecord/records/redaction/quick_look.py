"""The quick look: is there anything in these bytes that may have to be removed?

Nearly all bodies hold nothing, and every call waits for the answer, so this is made to say no in
less than a microsecond. It never says no where `redact` would change something: whatever `redact`
looks for is looked for only in texts that are suspicious themselves, and a body that holds a
suspicious text is suspicious.

The bytes are folded into few symbols. `~` stands for what may come right after a name: a sign
(`:`, `=`, `>`) or the first byte of a MessagePack value. `#` stands for digits, dashes,
the capitals K and S and the small z: no key that is looked for is without one; other capitals are
made small. To search for one rare symbol is what `re` does fastest. From there a name is read
backwards, so the symbols are turned round first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from onrecord.records.redaction.field_names import QUERIES, Words


class Suspicion:
    """The quick look for a set of rules and names."""

    def __init__(self, rules: Collection[str], names: Sequence[Words] = ()) -> None:
        turned = [tokens for name in names for tokens in _turned(name)]
        if "fields" in rules:
            turned += [[*each, "[?&;]"] for name in QUERIES for each in _turned((name,))]
        after = [f"[^a-z?&;,~!]{{0,8}}+{_tree(turned)}"] if turned else []
        if "keys" in rules:
            after.append("s(?<=skooh//~s)")  # https://hooks
        digits = [pattern for rule in rules for pattern in _DIGITS.get(rule, ())]
        named = re.compile(f"~(?:{'|'.join(after) or '(?!)'})".encode())
        self._names = named.search if after else _nothing
        self._each_name = named.finditer
        self._digits = (
            re.compile(f"#(?:{'|'.join(digits)})".encode()).search if digits else _nothing
        )
        self._ascii = all(word.isascii() for name in names for word in name)
        self._numbers = "cards" in rules
        self._any_at = "emails" in rules
        self._at = "emails" in rules or "fields" in rules

    def of(self, data: bytes) -> bool:
        """False: there is certainly nothing. `data` is text in UTF-8, or MessagePack."""
        symbols = data.translate(_FOLD)[::-1]
        return (
            self._digits(symbols) is not None
            or self._names(symbols) is not None
            or (_LOOK in symbols and self._closer(data))
            or (0xCF in data and self._numbers and _BIG(data) is not None)
        )

    def places(self, text: str) -> list[int]:
        """Where in a text something stands that may come right after one of the names."""
        if not self._ascii:
            return [match.start() for match in _SIGN.finditer(text)]
        # One byte a character, so that places in the bytes are places in the text.
        symbols = text.encode("ascii", "replace").translate(_FOLD)[::-1]
        last = len(symbols) - 1
        return [last - match.start() for match in self._each_name(symbols)][::-1]

    def _closer(self, data: bytes) -> bool:
        if self._at and 0x40 in data and (self._any_at or b"://" in data):
            return True
        return _UNUSUAL(data) is not None


def _turned(name: Words) -> Iterator[list[str]]:
    """The symbols of a name backwards, as patterns."""
    tokens: list[str] = []
    for word in reversed(name):
        tokens += ["[# ]?"] if tokens else []
        tokens += map(_token, reversed(word.encode("utf-8", "surrogatepass")))
    yield tokens
    # At the end of a name, such a letter or a digit was taken for something that follows it.
    while tokens and "#" in tokens[0]:
        tokens = tokens[1:]
        yield tokens


def _token(code: int) -> str:
    symbol = chr(_FOLD[code])
    return _EITHER.get(chr(code), "#" if symbol == "#" else re.escape(symbol))


def _tree(names: Iterable[Sequence[str]]) -> str:
    """One pattern for all names, branching letter by letter: what has no name is left at once."""
    branches: dict[str, list[Sequence[str]]] = {}
    for name in names:
        if not name:
            return ""
        branches.setdefault(name[0], []).append(name[1:])
    each = [token + _tree(rest) for token, rest in sorted(branches.items())]
    return each[0] if len(each) == 1 else f"(?:{'|'.join(each)})"


def _nothing(symbols: bytes) -> None:
    return None


def _fold(code: int) -> int:
    char = chr(code)
    if char in "0123456789-_KSz":
        return ord("#")
    if char in ":=>" or 0x80 <= code <= 0xBF or code in _VALUES:
        return ord("~")
    if char in ".\t()+":
        return ord(" ")
    if char == "@" or code in (0xC2, 0xE2, 0xE3, 0xEF):
        return _LOOK
    if code > 0xBF or char in "~!":
        return ord(",")
    return code + 32 if "A" <= char <= "Z" else code


_SIGN = re.compile("[:=>]")
_LOOK = ord("!")  # a byte that needs a closer look
_VALUES = frozenset((0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF))
_FOLD = bytes(map(_fold, range(256)))
_EITHER = {"k": "[k#]", "s": "[s#]", "z": "[z#]"}
_DIGITS = {
    "keys": (
        # a digit or dash with a long run of letters and digits on one of its sides
        "[a-z#]{16}",
        "[a-z#](?<=[a-z#]{16}#[a-z#])",
        "a(?<=[a-z#]{16}ai#a)",  # AKIA, ASIA
        "####(?<=nigeb#####)",  # -----BEGIN
        "#######(?<=[a-z#]{30}~########)",  # 12345678:AA…
    ),
    "ibans": (
        "#(?:[a-z][a-z#]|#[a-z])(?:(?<=[a-z#]{4}##[a-z#]{2})|(?<=[a-z#]{4} ##[a-z#]{2}))",
        "##(?=[# ]{18})(?: ?#){18}",  # the letters of Slovakia, SK, look like digits
    ),
    "cards": ("(?=[# ]{12})(?: {0,3}#){12}",),
    "phones": ("(?=[# ]{6})(?: {0,3}#){6}",),
}
# A card as a number: 8 bytes after 0xcf, of which the first is less than in any Greek letter.
_BIG = re.compile(rb"\xcf[\x00-\x7f]").search
# The characters of patterns.UNUSUAL, in UTF-8.
_UNUSUAL = re.compile(
    rb"\xc2[\xa0\xad]|\xe2(?:\x80[\x80-\x93\xaa-\xaf]|\x81[\x9f-\xa9]|\x88\x92)|\xe3\x80\x80"
    rb"|\xef(?:\xbb\xbf|\xbc[\x8d\x90-\x9a\x9d\xa0-\xba]|\xbd[\x81-\x9a])"
).search
