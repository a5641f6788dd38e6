"""Names that say that their value is a secret: `password`, `api_key`, `Authorization`.

A name counts by how it ends: `OPENAI_API_KEY`, `dbPassword` and `x-api-key` do; `secretary`,
`max_tokens` and `password_hint` do not. `-`, `_`, blanks, dots, capitals and a digit at the end
make no difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from onrecord.records.redaction.patterns import PSEUDONYM, Found, keys

Words = tuple[str, ...]


class Naming:
    """Tells which names have secrets for values, and finds them with their values in text."""

    def __init__(self, names: Sequence[Words], own: Sequence[Words] = ()) -> None:
        self.names = (*names, *own)
        stems = "|".join(_stem(name) for name in (*own, *names)) or r"(?!)"
        owned = "|".join(_stem(name) for name in own) or r"(?!)"
        self._own = re.compile(rf"(?:{owned})\Z", re.ASCII | re.IGNORECASE)
        self._name = re.compile(
            rf"(?:{_BEGIN})(?i:{stems})[-_ ]?[0-9]?[^A-Za-z0-9]{{0,4}}\Z", re.ASCII
        )
        self._value = re.compile(
            rf"{PSEUDONYM.pattern}|(?:{_BEGIN})(?P<name>(?i:{stems})s?)(?:[-_ ]?[0-9])?"
            rf"(?x:{_VALUE})",
            re.ASCII,
        )

    def is_secret(self, name: str) -> bool:
        """Is the value of a field of this name a secret?"""
        return self._name.search(name[-_LONGEST:]) is not None

    def values(self, text: str, places: Iterable[int]) -> Iterator[Found]:
        """The values that follow such names in a text: `name: value`, `"name": "value"`,
        `name=value`, `<name>value`. Looked for where a sign is at one of the places, ascending."""
        end = 0
        for place in places:
            if place < end:
                continue
            match = self._value.search(text, max(end, place - _LONGEST))
            if match is None:
                return
            end = match.end()
            found = self._found(match) if match["name"] else None
            if found is not None:
                yield found

    def _found(self, match: re.Match[str]) -> Found | None:
        name = re.sub(r"[^a-z]", "", match["name"].lower())
        text = match.string
        if PSEUDONYM.match(text, max(match.start() - 1, 0)):
            return None
        group = match.lastgroup or "bare"
        start, end = match.span(group)
        if group == "bare":
            own = self._own.match(match["name"])
            if own or name in _LINES:
                line = _LINE.match(text, start)
                end = line.end() if line else end
            value = _trimmed(text[start:end])
            if not own and not _looks_secret(name, value, match["sign"]):
                return None
        else:
            value = text[start:end].strip()
        if not value or PSEUDONYM.fullmatch(value) or _is_harmless(match["name"], value):
            return None
        return Found(start, start + len(value), kind_of(value), value)


def words(name: str) -> Words:
    """The words of a name: `clientSecret`, `client-secret` and `CLIENT_SECRET` have the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])", " ", name)
    return tuple(re.sub(r"[-_. ]+", " ", spaced).lower().split())


def kind_of(value: str) -> str:
    """`key` for what is the key of a provider, wherever it stands; else `secret`."""
    for found in keys(value):
        if found.end - found.start == len(value):
            return "key"
    return "secret"


def headers(text: str) -> Iterator[Found]:
    """What comes with `Bearer`, `Cookie: name=value` and, in addresses, `?token=`."""
    for match in _HEADER.finditer(text):
        group = match.lastgroup or ""
        value = match[group]
        if not PSEUDONYM.fullmatch(value) and re.search("[0-9]", value):
            yield Found(*match.span(group), kind_of(value), value)


def _stem(name: Words) -> str:
    return r"[-_. ]?".join(re.escape(word) for word in name)


def _trimmed(value: str) -> str:
    """Without what ends a sentence, or the brackets around it."""
    value = value.rstrip(" \t.")
    for _ in range(4):
        opening = _CLOSING.get(value[-1:], "")
        if not opening or value.count(value[-1]) <= value.count(opening):
            break
        value = value[:-1]
    return value


def _is_harmless(name: str, value: str) -> bool:
    # password=password, api_key=self.api_key: program text names things after themselves
    return _HARMLESS.fullmatch(value) is not None or value.rpartition(".")[2] == name


def _looks_secret(name: str, value: str, sign: str) -> bool:
    if name.startswith(_NUMBERS):
        return re.fullmatch(r"[0-9][0-9 -]{1,14}\.?", value) is not None
    if sign != ":" or name.startswith("pass") or name.startswith("pwd"):
        return True
    # After a colon there may be prose: "the secret: be kind".
    return len(value) > 5 and re.search(r"[0-9!@#$%^&*+/=~_]|[a-z][A-Z]", value) is not None


def _named(text: str) -> tuple[Words, ...]:
    return tuple(tuple(name.split()) for name in text.split(","))


FIELDS = _named(
    "pass word,passwd,pwd,pass phrase,pass code,secret,secrets,api key,api keys,secret key,"
    "access key,private key,signing key,encryption key,master key,account key,shared key,auth key,"
    "access token,refresh token,auth token,id token,session token,bearer token,api token,bot token,"
    "security token,secret token,personal token,csrf token,device token,authorization,cookie,"
    "cookies,credential,credentials,pin,pin code,cvv,cvv2,cvc,cvc2,security code,otp,ssn,"
    "social security number,jwt"
)
"""The names of rule "fields"."""

KEY_NAMES = _named("secret access key,account key,shared access key")
"""The names of rule "keys": keys of AWS and Azure have no shape of their own."""

QUERIES = ("token", "key", "sig", "signature", "auth", "code")
"""Names that have secrets for values in addresses (`?token=`) only."""

_BEGIN = r"(?<![A-Za-z])|(?<=[a-z])(?=[A-Z])|(?=(?i:pass|api|client|secret.?(?:access|key)))"
_LONGEST = 80
_LINES = ("passphrase",)
_NUMBERS = ("pin", "cvv", "cvc", "otp", "ssn", "socialsec", "securitycode")
_VALUE = r"""
    (?:[\\"'`*\s)\]]{0,4}+)(?P<sign>=>|:=|[:=>])[\s*`]{0,4}+
    (?:(?i:bearer|basic|token|apikey|digest|negotiate)[ ]{1,4})?
    (?: "(?P<double>(?:[^"\\]|\\.)++)"
      | '(?P<single>(?:[^'\\]|\\.)++)'
      | (?P<escaped>\\{1,4}["'])(?:(?i:bearer|basic)[ ])?(?P<inner>(?s:.){1,8192}?)(?P=escaped)
      | ["'`]?(?P<bare>[^\s"'`<>,;&\\]++)
    )
"""
_LINE = re.compile(r"[^\r\n\"<>,;]{0,512}")
_HARMLESS = re.compile(
    r"(?i:none|null|nil|true|false|yes|no|str|string|text|bytes|int|integer|number|bool|boolean|any"
    r"|object|dict|list|array|secretstr|optional|required|missing|invalid|incorrect|wrong|expired"
    r"|unknown|empty|hidden|redacted|must|should|can|may|is|was|are|the|an?|not|to|for|with|please"
    r"|enter|your|see|and|or)[.!?:]?"
    r"|[x*.•…_-]+|(?:self|settings|config|os|env|environ|process|args|request|context)\.[\w.]+"
    r"|\$?\{+[^{}]*\}*|\$[A-Z_]+|%s|%\(\w+\)s|<[^<>]*>"
    r"|[A-Za-z_.]+[(\[][A-Za-z_.)\]]*",  # a call: password=getpass()
    re.ASCII,
)
_CLOSING = {")": "(", "]": "[", "}": "{"}
_HEADER = re.compile(
    r"\b[Bb]earer[ \t]{1,4}(?P<bearer>[A-Za-z0-9._~+/=-]{20,}+)"
    r"|\b(?i:cookie)[\\\"']{0,3}\s?[:=]\s?[\\\"']{0,3}"
    r"(?P<cookie>[^\s=;,\\\"']{1,64}=[^\r\n\\\"']++)"
    rf"|[?&;](?i:{'|'.join(QUERIES)})=(?P<query>[^\s&#\"'<>]{{8,}}+)"
)
