"""What secrets look like in text: keys of providers, cards, IBANs, e-mail addresses, phones.

Each finder takes a text and yields what it found in it. All of them take time in proportion to the
text's length, whatever is in it: no pattern begins with an open repetition, every repetition before
something that may be missing is bounded or possessive. Names with their values are in `naming.py`.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple


class Found(NamedTuple):
    """A secret in `text[start:end]`; `secret` is its normal form (None: as it is written)."""

    start: int
    end: int
    kind: str
    secret: str | None


Finder = Callable[[str], Iterable[Found]]


def keys(text: str) -> Iterator[Found]:
    """Keys that tell by their shape whose they are, JSON web tokens, private keys as PEM blocks."""
    for match in _KEY.finditer(text):
        if match[0].startswith("-----") or _random(match[0]):
            yield Found(*match.span(), "key", match[0])


def cards(text: str) -> Iterator[Found]:
    """Card numbers of 13 to 19 digits, blanks and dashes between groups allowed."""
    for run in _DIGITS.finditer(text):
        groups = list(_GROUP.finditer(text, *run.span()))
        first = 0
        while first < len(groups):
            number, last = _card_among(groups, first)
            if last is not None:
                yield Found(groups[first].start(), groups[last].end(), "card", number)
                first = last
            first += 1


def is_card(number: str) -> bool:
    """Do these digits begin and end as a card's do: an issuer, its length, Luhn's check digit?"""
    return _ISSUER.fullmatch(number) is not None and _luhn(number)


def ibans(text: str) -> Iterator[Found]:
    """International bank account numbers (ISO 13616): country, its length, remainder 1 of 97."""
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[1].upper(), 0)
        there = list(_ALPHANUMERIC.finditer(text, *match.span()))
        if not length or len(there) < length:
            continue
        number = "".join(m[0] for m in there[:length]).upper()
        end = there[length - 1].end()
        if text[end : end + 1] not in _ASCII_WORD and _mod_97(number) == 1:
            yield Found(match.start(), end, "iban", number)


def emails(text: str) -> Iterator[Found]:
    """E-mail addresses, with letters of any script; not `@name`, not `package@1.2`."""
    last = 0
    at = text.find("@")
    while at >= 0:
        start = _local_part(text, at, max(last, at - 64))
        domain = _DOMAIN.match(text, at + 1)
        if start < at and domain is not None and _is_domain(domain[0], text[start:at]):
            last = domain.end()
            yield Found(start, last, "email", text[start:last].lower())
        at = text.find("@", max(at + 1, last))


def phones(text: str) -> Iterator[Found]:
    """Telephone numbers: `+49 30 …`, `0049 …`, `(555) 123-4567`, `555-123-4567`, `Tel. 030 …`."""
    for match in _PHONE.finditer(text):
        kind = match.lastgroup or ""
        start, end = match.span(kind)
        number = re.sub(r"\D", "", match[kind])
        if kind == "abroad":
            number = number.removeprefix("00")
        yield Found(start, end, "phone", number)


def url_passwords(text: str) -> Iterator[Found]:
    """The password of `scheme://user:password@host`."""
    for match in _URL_PASSWORD.finditer(text):
        yield Found(*match.span(1), "secret", match[1])


class Plainer:
    """A text with what is only typography taken out, and the way back to its places.

    Full-width letters and digits become ASCII, unusual blanks and dashes usual ones; what cannot
    be seen (zero-width spaces, soft hyphens, marks of direction) is left out.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._before: list[int] = []
        if not text.isascii() and UNUSUAL.search(text):
            seen = text.translate(_USUAL)
            holes = [match.start() for match in _INVISIBLE.finditer(seen)]
            # _before[i]: how far the text reaches before the i-th hole, the holes left out.
            self._before = [hole - i for i, hole in enumerate(holes)]
            self.text = _INVISIBLE.sub("", seen) if holes else seen

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where `self.text[start:end]` is in the original text."""
        if not self._before:
            return start, end
        return self._place(start), self._place(end - 1) + 1

    def _place(self, place: int) -> int:
        return place + bisect.bisect_right(self._before, place)


def _random(key: str) -> bool:
    # sk-learn-is-a-good-library is none: what was drawn at random has digits or capitals.
    return len(_DRAWN.findall(key)) > 1


def _card_among(groups: list[re.Match[str]], first: int) -> tuple[str, int | None]:
    number = ""
    for last in range(first, len(groups)):
        group = groups[last][0]
        number += group
        if len(number) > 19:
            break
        if len(number) >= 13 and is_card(number):
            return number, last
        if len(group) < 4:  # only the last group is shorter: a row of numbers is no card
            break
    return "", None


def _luhn(number: str) -> bool:
    total = sum(map(int, number[-1::-2]))
    return (total + sum(_DOUBLED[int(digit)] for digit in number[-2::-2])) % 10 == 0


def _mod_97(number: str) -> int:
    return int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97


def _local_part(text: str, at: int, floor: int) -> int:
    start = at
    while start > floor:
        char = text[start - 1]
        inside = char == "'" and start < at and text[start - 2 : start - 1].isalnum()
        if not (char.isalnum() or char in "._%+-" or inside):
            break
        start -= 1
    while start < at and text[start] in ".-%+":
        start += 1
    return start


def _is_domain(domain: str, local: str) -> bool:
    # logo@2x.png is a file, git@github.com:onrecord is where a repository is.
    return domain.rpartition(".")[2].lower() not in _FILES and local != "git"


PSEUDONYM = re.compile(r"<(?:key|secret|card|iban|email|phone):[0-9a-f]{8}>")
"""What redaction puts in a secret's place."""

_WORD = "[A-Za-z0-9_-]"
_KEY_SHAPES = (
    rf"sk-{_WORD}{{20,}}",  # OpenAI, Anthropic (sk-ant-), OpenRouter (sk-or-), Langfuse (sk-lf-) …
    rf"AIza{_WORD}{{35}}|ya29\.{_WORD}{{20,}}|GOCSPX-{_WORD}{{20,}}|AQ\.{_WORD}{{30,}}",  # Google
    r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,}",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|oas)-[A-Za-z0-9_.-]{20,}",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{16,}|xapp-[A-Za-z0-9-]{20,}",  # Slack
    r"https://hooks\.slack\.com/[a-z]{1,20}/[A-Za-z0-9/_+-]{20,}",
    rf"https://(?:\w{{1,9}}\.)?discord(?:app)?\.com/api/webhooks/\d{{15,20}}/{_WORD}{{30,}}",
    r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{24,}",  # Stripe
    r"(?:hf|api_org)_[A-Za-z0-9]{30,}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}|" rf"pypi-{_WORD}{{30,}}|" r"rubygems_[0-9a-f]{48}",
    rf"dckr_pat_{_WORD}{{20,}}",
    rf"SG\.{_WORD}{{16,32}}\.{_WORD}{{32,64}}",  # SendGrid
    r"(?:AC|SK)[0-9a-f]{32}(?![A-Za-z0-9])",  # Twilio
    rf"\d{{8,10}}:AA{_WORD}{{32,34}}(?!{_WORD})",  # a Telegram bot
    r"dapi[0-9a-f]{32}(?:-\d)?",  # Databricks
    r"r8_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{40,}",  # Replicate, Groq, xAI
    rf"pplx-[A-Za-z0-9]{{30,}}|nvapi-{_WORD}{{40,}}|csk-[a-z0-9]{{30,}}",  # Perplexity, NVIDIA …
    rf"tvly-{_WORD}{{20,}}|tgp_v1_{_WORD}{{30,}}|fw_[A-Za-z0-9]{{22,}}|pcsk_\w{{40,}}",
    rf"jina_\w{{40,}}|pa-{_WORD}{{40,}}|e2b_[0-9a-f]{{40}}",
    r"lsv2_[a-z]{2}_\w{30,}|ls__\w{30,}",  # LangSmith
    r"dop_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|lin_api_\w{32,}|ntn_[A-Za-z0-9]{40,}",
    rf"hvs\.{_WORD}{{60,}}|tskey-{_WORD}{{20,}}|glsa_\w{{32,}}|figd_{_WORD}{{36,}}",
    r"sntrys_[\w+/=]{40,}|PMAK-[0-9a-f-]{50,}|NRAK-[A-Z0-9]{27}|ATATT3[\w=-]{50,}",
    r"sbp_[0-9a-f]{40}|sb_secret_\w{20,}|key-[0-9a-f]{32}(?![A-Za-z0-9])",
    rf"eyJ{_WORD}{{14,}}(?:\.{_WORD}{{2,}}){{2,4}}",  # a JSON web token, signed or encrypted
)
_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?s:.*?)(?:-----END [A-Z0-9 ]{0,50}-----|\Z)"
    r"|(?<![A-Za-z0-9])(?:" + "|".join(_KEY_SHAPES) + ")",
    re.ASCII,
)
_DRAWN = re.compile(r"[0-9A-Z]")

_DIGITS = re.compile(r"(?<![A-Za-z0-9.])[0-9](?:[ \t-]{0,3}+[0-9])+(?![A-Za-z])(?!\.[0-9])")
_GROUP = re.compile(r"[0-9]+")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
# Digits that an issuer's numbers begin with, and how many there are (ISO/IEC 7812, 2024).
_ISSUER = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # MC
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"  # Discover, RuPay
    r"|(?:62[0-9]{2}|81[0-9]{2}|220[0-4])[0-9]{12,15}"  # UnionPay, Mir
    r"|(?:36|38|39|30[0-5])[0-9]{11,17}"  # Diners Club, by the check of lengths below 14 to 19
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB
    r"|(?:50(?:18|20|38)|5[678][0-9]{2}|6304|6759|676[1-3])[0-9]{9,15}"  # Maestro
    r"|(?:508[5-9]|60[0-9]{2}|82[0-9]{2}|9792)[0-9]{12}"  # RuPay, Troy
)

_IBAN = re.compile(
    r"(?<![A-Za-z0-9])([A-Za-z]{2})[0-9]{2}[ -]?[A-Za-z0-9]{4}(?:[ -]?[A-Za-z0-9]){7,26}+"
)
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]")
_ASCII_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}

_DOMAIN = re.compile(
    r"(?:[^\W_][\w-]{0,62}+(?<!-)\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?!\w)"
)
_FILES = frozenset("png jpg jpeg gif svg webp ico css js ts py json html txt md pdf zip gz".split())

# Calling codes of two or three digits (ITU-T E.164)
_COUNTRY = (
    r"(?:2[07]|2[1-69][0-9]|3[0-469]|3[578][0-9]|42[0-9]|4[013-9]|5[1-8]|5[09][0-9]|6[0-6]"
    r"|6[789][0-9]|8[1246]|8[0578][0-9]|9[0-58]|9[679][0-9])"
)
_PHONE = re.compile(
    # In North America and Russia ten digits follow; nowhere do more than 15 belong to a number.
    r"(?<![\w+.])(?P<abroad>(?:\+|00 ?)\(?(?:[17](?:[ .()/-]{0,3}+[0-9]){10}"
    rf"|(?={_COUNTRY})[2-9](?:[ .()/-]{{0,3}}+[0-9]){{8,14}}))(?!\w)"
    r"|(?<![\w+./-])(?P<home>(?:1[-. ])?(?:\([2-9][0-9]{2}\)[ -]?|[2-9][0-9]{2}[-.])"
    r"[0-9]{3}[-. ][0-9]{4})(?![\w-])(?!\.[0-9])"
    r"|\b(?i:tel|telephone|phone|mobile|cell|fax|fon|telefon|handy|mobil)\b[.: ]{1,4}"
    r"(?P<named>\(?[0-9][0-9 ()/.-]{5,20}[0-9])(?!\w)"
)
_URL_PASSWORD = re.compile(
    rf"://[^\s/@:?#\"']{{0,128}}:(?!{PSEUDONYM.pattern}@)([^\s/@\"'][^\s/?#\"']{{0,255}})@"
)

_BLANKS = "\u00a0\u2000-\u200a\u202f\u205f\u3000"
_DASHES = "\u2010-\u2013\u2212"
_INVISIBLES = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_FULL_WIDTH = "\uff0d\uff10-\uff1a\uff1d\uff20-\uff3a\uff41-\uff5a"
UNUSUAL = re.compile(f"[{_BLANKS}{_DASHES}{_INVISIBLES}{_FULL_WIDTH}]")
"""The characters that `Plainer` changes or leaves out."""
_INVISIBLE = re.compile(f"[{_INVISIBLES}]")
_USUAL: dict[int, str] = {
    **dict.fromkeys([0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " "),
    **dict.fromkeys([*range(0x2010, 0x2014), 0x2212], "-"),
    **{
        code: chr(code - 0xFEE0)
        for code in (0xFF0D, *range(0xFF10, 0xFF1B), 0xFF1D, *range(0xFF20, 0xFF3B))
    },
    **{code: chr(code - 0xFEE0) for code in range(0xFF41, 0xFF5B)},
}
