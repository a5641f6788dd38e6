"""The quick look: is there anything in these bytes that may have to be removed?

Nearly all bodies hold nothing, and every call waits for the answer, so this is made to say no in
less than a microsecond. It never says no where `redact` would change something: whatever `redact`
looks for is looked for only in texts that are suspicious themselves, and a body that holds a
suspicious text is suspicious.

The bytes are folded into few symbols and turned round. `#` stands for whatever may come right after
a name (a sign, or the first byte of a MessagePack value) and for digits, dashes and the capitals K
and S; other capitals are made small. Searching for one rare symbol is what `re` does fastest, and
from there a name is read backwards.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from onrecord.records.naming import Words


class Suspicion:
    """The quick look for a set of rules and names."""

    def __init__(self, rules: Collection[str], names: Sequence[Words]) -> None:
        turned = "|".join(sorted({_name(name) for name in names}))
        after = [rf"[^a-z]{{0,8}}+(?:{turned})"] if names else []
        if "fields" in rules:
            after.append(r"[^a-z?&;]{0,2}(?:nekot|yek|gi[s#]|erutangi[s#]|htua|edoc)[?&;]")
        if "keys" in rules:
            after += _KEYS
        if "ibans" in rules:
            after += (_IBAN, "(?: ?#){20}")  # the latter for Slovakia, SK
        if "phones" in rules:
            after.append(r"(?: {0,3}#){6}")
        elif "cards" in rules:
            after.append(r"(?: {0,3}#){12}")
        # No byte of a letter that is no ASCII ends a name, unless a name ends with such a letter.
        skipped = "(?!#{0,2},)" if all(name[-1][-1].isascii() for name in names) else ""
        pattern = f"#{skipped}(?:{'|'.join(after or ['(?!)'])})"
        self._search = re.compile(pattern.encode()).search
        self._numbers = "cards" in rules
        self._any_at = "emails" in rules
        self._at = "emails" in rules or "fields" in rules

    def of(self, data: bytes) -> bool:
        """False: there is certainly nothing. `data` is text in UTF-8, or MessagePack."""
        return (
            self._search(data.translate(_FOLD)[::-1]) is not None
            or (0x40 in data and self._at and (self._any_at or b"://" in data))
            or (0xCF in data and self._numbers and _BIG(data) is not None)
            or (0xE2 in data and _E2(data) is not None)
            or (0xC2 in data and _C2(data) is not None)
            or (0xEF in data and _EF(data) is not None)
            or (0xE3 in data and b"\xe3\x80\x80" in data)
        )


def folded(text: str) -> str:
    """The symbols of a text, turned round."""
    return text.encode("utf-8", "surrogatepass").translate(_FOLD)[::-1].decode("latin-1")


def _name(name: Words) -> str:
    symbols = [
        "".join(_CLASSES.get(symbol, re.escape(symbol)) for symbol in folded(word)) for word in name
    ]
    last = re.match(r"(?:\[[sk]#\]|#)*", symbols[-1])
    if last is not None and last[0]:  # what stands before the name may have taken these
        symbols[-1] = re.sub(r"\[[sk]#\]|#(?!\])", r"\g<0>?", last[0]) + symbols[-1][last.end() :]
    return "[# ]?".join(reversed(symbols))


def _fold(code: int) -> int:
    char = chr(code)
    if char in "0123456789-_:=>KS":
        return ord("#")
    if 0x80 <= code <= 0xBF or code in _VALUES:  # bytes that begin a MessagePack value
        return ord("#")
    if char in ".\t()+":
        return ord(" ")
    if code > 0xBF:
        return ord(",")
    return code + 32 if "A" <= char <= "Z" else code


_VALUES = frozenset((0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF))
_FOLD = bytes(map(_fold, range(256)))
_CLASSES = {"k": "[k#]", "s": "[s#]", "#": "#"}
_KEYS = (
    "[a-z#]{16}",  # a digit or dash with a long run of letters and digits on one of its sides
    "(?<=[a-z#]{16}#)",
    "a(?<=[a-z#]{16}ai#a)",  # AKIA, ASIA
    "####(?<=nigeb#####)",  # -----BEGIN
    "(?<=skooh//#)",  # https://hooks
)
_IBAN = "(?=#(?:[a-z][a-z#]|#[a-z]))(?:(?<=[a-z#]{4}#)|(?<=[a-z#]{4} #))"
# A card as a number: 8 bytes after 0xcf, of which the first is less than in any Greek letter.
_BIG = re.compile(rb"\xcf[\x00-\x7f]").search
_E2 = re.compile(rb"\xe2(?:\x80[\x80-\x93\xaa-\xaf]|\x81[\x9f-\xa9]|\x88\x92)").search
_C2 = re.compile(rb"\xc2[\xa0\xad]").search
_EF = re.compile(rb"\xef(?:\xbb\xbf|\xbc[\x8d\x90-\x9a\x9d\xa0-\xba]|\xbd[\x81-\x9a])").search
