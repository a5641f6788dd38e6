"""Secrets to be looked for, made anew: none of them is or ever was one. They are put together from
parts, so that nobody who scans this repository for keys finds one."""

from __future__ import annotations

import random
import string

LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"

# (prefix, the letters behind it, how many)
_KEYS = [
    ("sk" + "-", LETTERS, 48),
    ("sk" + "-proj-", LETTERS + "_-", 120),
    ("sk" + "-ant-api03-", LETTERS + "_-", 95),
    ("sk" + "-or-v1-", HEX, 64),
    ("AK" + "IA", string.ascii_uppercase + "234567", 16),
    ("AS" + "IA", string.ascii_uppercase + "234567", 16),
    ("AI" + "za", LETTERS + "_-", 35),
    ("gh" + "p_", LETTERS, 36),
    ("gh" + "s_", LETTERS, 36),
    ("github" + "_pat_", LETTERS + "_", 82),
    ("gl" + "pat-", LETTERS, 20),
    ("xo" + "xb-", string.digits + "-" + LETTERS, 50),
    ("sk" + "_live_", LETTERS, 24),
    ("rk" + "_live_", LETTERS, 24),
    ("h" + "f_", LETTERS, 34),
    ("np" + "m_", LETTERS, 36),
    ("py" + "pi-", LETTERS + "_-", 160),
    ("da" + "pi", HEX, 32),
    ("r" + "8_", LETTERS, 37),
    ("gs" + "k_", LETTERS, 52),
    ("x" + "ai-", LETTERS, 80),
    ("pp" + "lx-", LETTERS, 48),
    ("lsv2" + "_pt_", HEX, 32),
    ("SK", HEX, 32),
]

KINDS = ("key", "jwt", "pem", "card", "iban", "email", "phone", "password", "address")


def made(kind: str, chance: random.Random) -> tuple[str, str]:
    """A text with a secret of a kind in it, and the secret: what must be in no file."""
    if kind == "key":
        prefix, letters, length = chance.choice(_KEYS)
        secret = prefix + _letters(chance, letters, length)
        return f"use {secret} for it", secret
    if kind == "jwt":
        parts = (_letters(chance, LETTERS + "_-", chance.randrange(20, 90)) for _ in range(3))
        secret = ".".join(("ey" + "J" + next(parts), "ey" + "J" + next(parts), next(parts)))
        return f"the token is {secret}", secret
    if kind == "pem":
        body = _letters(chance, LETTERS + "+/", 200)
        dashes = "-" * 5
        begin, end = (f"{dashes}{word} PRIVATE KEY{dashes}" for word in ("BEGIN", "END"))
        return f"{begin}\n{body}\n{end}", body
    if kind == "card":
        return _card(chance)
    if kind == "iban":
        return _iban(chance)
    if kind == "email":
        secret = (
            f"{_letters(chance, string.ascii_lowercase, 12)}.{chance.randrange(10**6)}@example.org"
        )
        return f"write to {secret} about it", secret
    if kind == "phone":
        number = f"{chance.randrange(10**8, 10**9)}"
        secret = f"+49 {number[:3]} {number[3:]}"
        return f"call {secret} today", secret
    if kind == "password":
        secret = _letters(chance, LETTERS + "!$%*", 14)
        written = chance.choice(["password: {}", "api_key={}", '"client_secret": "{}"', "PWD={}"])
        return written.format(secret), secret
    secret = _letters(chance, LETTERS, 16)
    return f"postgresql://app:{secret}@db.internal/main", secret


def luhn(digits: str) -> str:
    """The digit that makes these a valid number."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 - at % 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _card(chance: random.Random) -> tuple[str, str]:
    prefix, length = chance.choice([("4", 16), ("52", 16), ("37", 15), ("6011", 16), ("3530", 16)])
    digits = prefix + _letters(chance, string.digits, length - len(prefix) - 1)
    digits += luhn(digits)
    gap = chance.choice(["", " ", "-"])
    secret = gap.join(digits[at : at + 4] for at in range(0, length, 4))
    return f"charge {secret} please", secret


def _iban(chance: random.Random) -> tuple[str, str]:
    country, length = chance.choice([("DE", 22), ("AT", 20), ("NL", 18), ("FR", 27), ("GB", 22)])
    letters = "ABNA" if country in ("NL", "GB") else ""
    account = letters + _letters(chance, string.digits, length - 4 - len(letters))
    number = int("".join(str(int(sign, 36)) for sign in f"{account}{country}00"))
    iban = f"{country}{98 - number % 97:02}{account}"
    gap = chance.choice(["", " "])
    secret = gap.join(iban[at : at + 4] for at in range(0, length, 4))
    return f"transfer it to {secret}, thank you", secret


def _letters(chance: random.Random, letters: str, count: int) -> str:
    return "".join(chance.choice(letters) for _ in range(count))
