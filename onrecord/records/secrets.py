"""What a secret looks like: one finder a rule, from a text to the spans that must not be kept.

A finder yields (start, end, kind, value): what to cut out, the word that stands for it, and the
secret in the form in which equal ones are equal. All of them are linear in the length of the text:
every repetition is bounded, or consumes what it has looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Found(NamedTuple):
    """A secret in a text: text[start:end], what kind it is, and its plain form."""

    start: int
    end: int
    kind: str
    value: str


def is_secret_field(name: str, more: frozenset[str] = frozenset()) -> bool:
    """Whether a field of this name holds a secret, written in any way (apiKey, API-KEY)."""
    lower = name.encode("utf-8", "surrogatepass").lower()
    return _FIELD.search(lower) is not None or (bool(more) and plain_name(name) in more)


def plain_name(name: str) -> str:
    """A field's name without case and separators."""
    return _SEPARATORS.sub("", name).lower()


def find_named(text: str) -> Iterator[Found]:
    """Secrets that a text names: `password: …`, `api_key=…`, `Authorization: Bearer …`, cookies,
    the password in an address."""
    for pattern in (_ASSIGNED, _AUTHORIZATION, _BEARER, _COOKIE, _USERINFO):
        for match in pattern.finditer(text):
            start, end = match.span("secret")
            secret = match["secret"]
            if pattern is _ASSIGNED and len(secret) < 6 and not _DIGIT.search(secret):
                continue  # "password: yes"
            yield Found(start, end, "secret", secret)


def find_keys(text: str) -> Iterator[Found]:
    """Keys of known providers, JSON Web Tokens, private keys in PEM."""
    for match in KEYS.finditer(text):
        yield Found(*match.span(), "key", match[0])
    for match in _BESIDE_ITS_NAME.finditer(text):
        yield Found(*match.span("secret"), "key", match["secret"])


def find_cards(text: str) -> Iterator[Found]:
    """Payment cards: an issuer's prefix and length, and the Luhn checksum (ISO/IEC 7812)."""
    for run in _DIGIT_RUN.finditer(text):
        yield from _cards_in(run[0], run.start())


def is_card(digits: str) -> bool:
    """Whether digits are the number of a payment card."""
    return _ISSUER.fullmatch(digits) is not None and _luhn(digits)


def find_ibans(text: str) -> Iterator[Found]:
    """International bank account numbers: a country's length, and the checksum (ISO 13616)."""
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        if length is None:
            continue
        end, plain = _alphanumerics(text, match.start(), length)
        behind = text[end : end + 1]
        digits = sum(sign.isdigit() for sign in plain)
        whole = len(plain) == length and not behind.isalnum() and digits >= FEWEST_DIGITS
        if whole and _mod_97(plain) == 1:
            yield Found(match.start(), end, "iban", plain)


def find_emails(text: str) -> Iterator[Found]:
    """E-mail addresses; not @mentions and @decorators."""
    at = text.find("@")
    while at >= 0:
        before = _LOCAL_PART.search(text, max(at - 64, 0), at)
        behind = _DOMAIN.match(text, at + 1)
        if before is not None and behind is not None:
            start, end = before.start(), behind.end()
            yield Found(start, end, "email", text[start:end].lower())
        at = text.find("@", at + 1)


def find_phones(text: str) -> Iterator[Found]:
    """Telephone numbers: +49 30 …, 0049 …, (555) 123-4567, 555-123-4567, 555.123.4567."""
    for pattern in (_INTERNATIONAL, _AMERICAN):
        for match in pattern.finditer(text):
            digits = _NO_DIGIT.sub("", match[0])
            if 8 <= len(digits.removeprefix("00")) <= 15:
                yield Found(*match.span(), "phone", digits.removeprefix("00"))


def _cards_in(run: str, offset: int) -> Iterator[Found]:
    """Cards in a run of digits and single separators: whole groups, all but the last of three
    digits or more."""
    groups = list(_GROUP.finditer(run))
    behind = 0
    for first, group in enumerate(groups):
        if group.start() < behind:
            continue
        digits = ""
        for last in groups[first : first + 6]:
            digits += last[0]
            if len(digits) > 19:
                break
            if is_card(digits):
                behind = last.end()
                yield Found(offset + group.start(), offset + behind, "card", digits)
                break
            if len(last[0]) < 3:
                break


def _luhn(digits: str) -> bool:
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + at % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _alphanumerics(text: str, start: int, count: int) -> tuple[int, str]:
    """Where `count` letters and digits from `start` on end, separators left out, and which."""
    plain: list[str] = []
    at = start
    while at < len(text) and len(plain) < count:
        if text[at].isascii() and text[at].isalnum():
            plain.append(text[at].upper())
        elif text[at] not in _GAPS:
            break
        at += 1
    return at, "".join(plain)


def _mod_97(iban: str) -> int:
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(sign, 36)) for sign in moved)) % 97


_KEY_PATTERNS = (
    r"sk-[A-Za-z0-9_-]{20,300}",  # OpenAI, Anthropic, OpenRouter, DeepSeek, Langfuse, …
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"ya29\.[A-Za-z0-9_-]{20,500}",
    r"GOCSPX-[A-Za-z0-9_-]{20,60}",
    r"gh[pousr]_[A-Za-z0-9]{36,255}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,255}",
    r"gl(?:pat|dt|rt|cbt|ft|ptt|soat|agent)-[A-Za-z0-9_.-]{20,100}",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",  # Slack
    r"xapp-[0-9]-[A-Za-z0-9-]{10,250}",
    r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,80}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,250}",  # Stripe
    r"whsec_[A-Za-z0-9+/=]{24,100}",
    r"hf_[A-Za-z0-9]{30,100}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,300}",
    r"SG\.[A-Za-z0-9_-]{16,40}\.[A-Za-z0-9_-]{16,60}",  # SendGrid
    r"SK[0-9a-f]{32}",  # Twilio
    r"[0-9]{8,10}:[A-Za-z0-9_-]{35}",  # Telegram
    r"eyJ[A-Za-z0-9_-]{8,8000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{0,2000}",  # JWT
    r"dapi[0-9a-f]{32}",  # Databricks
    r"r8_[A-Za-z0-9]{37}",  # Replicate
    r"gsk_[A-Za-z0-9]{40,80}",  # Groq
    r"(?:xai|pplx|nvapi|tvly)-[A-Za-z0-9_-]{20,120}",
    r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{32,80}",  # LangSmith
    r"dop_v1_[a-f0-9]{64}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    r"key-[0-9a-f]{32}",
    r"(?:fw|fpk|pat|ntn|figd|secret)_[A-Za-z0-9]{24,80}",
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
    r"(?:[^-]{0,20000}-----END [A-Z ]{0,30}PRIVATE KEY-----|[A-Za-z0-9+/=\s\\]{0,20000})",
)
KEYS = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_KEY_PATTERNS)})")
KEY_BEGINNINGS = "|".join(re.sub(r"\{(\d+),\d+\}.*", r"{\1}", each) for each in _KEY_PATTERNS[:-1])
"""What every key begins with (but for those in PEM): a pattern that is quick to try."""

# A name, an assignment, and what is assigned. Between the parts of a name there may be signs.
_GAP = r"[^a-z0-9]{0,3}"
WORDS = {
    "pass": rf"pass{_GAP}(?:word|wd|phrase|code)",
    "pwd": "pwd",
    "secret": "secret",
    "credential": "credentials?",
    "key": rf"(?:api|access|private|secret|signing|encryption|account){_GAP}key",
    "token": rf"(?:access|refresh|auth|id|bearer|session|client|csrf|api|secret){_GAP}token",
}
"""The words that names of secrets have, each with the names that it is in (in small letters)."""

_NAME = "|".join(WORDS.values())
_ASSIGNED = re.compile(
    rf"(?:{_NAME})[\"'\\]{{0,3}}\s{{0,3}}[:=]\s{{0,3}}[\"'\\]{{0,3}}"
    r"(?P<secret>(?!<[a-z]+:[0-9a-f]{10}>)[^\s\"'\\,;&)}\]]{3,4000})",
    re.IGNORECASE | re.ASCII,
)
_AUTHORIZATION = re.compile(
    r"authorization[\"'\\]{0,3}\s{0,3}[:=]\s{0,3}[\"'\\]{0,3}(?:(?:bearer|basic|token|digest)\s{1,3})?"
    r"(?P<secret>[A-Za-z0-9._~+/=-]{8,8000})",
    re.IGNORECASE | re.ASCII,
)
_BEARER = re.compile(
    r"\bbearer\s{1,3}(?P<secret>[A-Za-z0-9._~+/=-]{16,8000})", re.IGNORECASE | re.ASCII
)
_COOKIE = re.compile(
    r"\b(?:set-)?cookie[\"'\\]{0,3}\s{0,3}:\s{0,3}[\"'\\]{0,3}"
    r"(?P<secret>[^\r\n\"'\\<]{4,4000})",
    re.IGNORECASE | re.ASCII,
)
_USERINFO = re.compile(r"://[^\s/:@<]{0,100}:(?P<secret>(?!<)[^\s/@]{1,200})@")
_BESIDE_ITS_NAME = re.compile(
    r"(?:aws.{0,20}secret.{0,20}|AccountKey|SharedAccessKey)[\"'\s:=]{1,5}"
    r"(?P<secret>[A-Za-z0-9/+]{40,100}={0,2})",
    re.IGNORECASE | re.ASCII,
)
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
# Whole names, and how names end.
_FIELD = re.compile(
    rf"^(?:pin|cvv2?|cvc2?|ssn|jwt|auth|secrets|{_GAP}cookies?|set{_GAP}cookies?)$"
    rf"|(?:{_NAME}|authorization|secretaccesskey)$".encode()
)
FEWEST_DIGITS = 7
_DIGIT, _NO_DIGIT = re.compile(r"\d"), re.compile(r"\D+")
_GAPS = " \u00a0\u202f-"
_GROUP = re.compile(r"[0-9]+")
_DIGIT_RUN = re.compile(r"(?<![\d.,])[0-9](?:[ \u00a0\u202f-]?[0-9]){12,}")
_ISSUER = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12,15}"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    r"|3(?:0[0-5]\d|[689]\d\d)\d{10,15}"  # Diners Club
    r"|62\d{14,17}"  # UnionPay
    r"|(?:50|5[6-8]|6[37])\d{11,17}"  # Maestro
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=(?:[ \u00a0\u202f-]?[A-Za-z0-9]){11})")
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        entry.split(":")
        for entry in (
            "15:NO;16:BE;18:DK FO FI GL NL SD;19:MK SI;20:AT BA EE KZ XK LT LU MN;21:HR LV LI CH;"
            "22:BG CR GE DE IE ME RS GB VA BH;23:TL GI IL IQ OM AE SO;"
            "24:AD CZ MD PK RO SA SK ES SE TN VG;25:LY PT ST;26:IS TR;"
            "27:FR GR IT MC MR SM BI DJ;28:AL AZ BY CY DO GT HU LB NI PL SV;29:BR PS QA UA EG;"
            "30:JO KW MU YE;31:MT SC;32:LC;33:RU"
        ).split(";")
    )
    for country in countries.split()
}
_LOCAL_PART = re.compile(r"(?<![\w.+%-])[\w](?:[\w.+%'-]{0,62}[\w+])?$")
_DOMAIN = re.compile(r"[^\W_](?:[\w-]{0,62}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_INTERNATIONAL = re.compile(
    r"(?<![\w.+/-])(?:\+|00)[1-9][0-9]{0,2}[ .\-/\u00a0]?(?:\(0?\)[ ]?)?"
    r"\(?[0-9]{1,5}\)?(?:[ .\-/\u00a0]?[0-9]{1,5}){1,5}(?![\w-]|[.,][0-9])"
)
_AMERICAN = re.compile(
    r"(?<![\w.+/-])(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[-. ][0-9]{4}"
    r"|[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}|[2-9][0-9]{2}\.[2-9][0-9]{2}\.[0-9]{4})(?![\w-]|\.[0-9])"
)
