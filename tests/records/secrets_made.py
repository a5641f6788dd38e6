"""Secrets for tests: of the right shape, drawn at random, nobody's. Their beginnings are put
together from parts, so that nobody who looks for secrets in this repository finds any.

`made(kind, random)` draws one; `placed(kind, secret, random)` is a text that holds it as it would
be met: alone where its shape tells, after its name where only the name does; `traces(secret)` is
what must not be found anywhere once it is redacted.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Callable
from random import Random

BASE62 = string.ascii_letters + string.digits
URLSAFE = BASE62 + "-_"
HEX = "0123456789abcdef"


def made(kind: str, random: Random) -> str:
    """A secret of one of KINDS."""
    return MAKERS[kind](random)


def placed(kind: str, secret: str, random: Random) -> str:
    """The secret in a text, with a name before it where nothing else tells that it is one."""
    return random.choice(PLACES.get(kind, ("{}",))).replace("{}", secret)


def traces(secret: str) -> list[str]:
    """What to search for: the secret, or each line of one with several."""
    lines = [line for line in secret.splitlines() if not line.startswith("--")]
    return lines if "\n" in secret else [secret]


def rule(kind: str) -> str:
    """The redaction rule that removes secrets of this kind."""
    if kind in ("card", "iban", "email", "phone"):
        return f"{kind}s"
    return "fields" if kind in PLACES and kind not in ("aws_secret", "azure") else "keys"


def drawn(random: Random, letters: str, count: int) -> str:
    return "".join(random.choices(letters, k=count))


def luhn(digits: str) -> str:
    """The digits with their check digit."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


def card(random: Random) -> str:
    begin, length = random.choice(
        [
            *[("4", 16), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16)],
            *[("34", 15), ("37", 15), ("6011", 16), ("65", 16), ("62", 16), ("62", 19)],
            *[("36", 14), ("3528", 16), ("6759", 13), ("5018", 18), ("2200", 16)],
        ]
    )
    number = luhn(begin + drawn(random, string.digits, length - len(begin) - 1))
    sizes = {15: (4, 6, 5), 14: (4, 6, 4)}.get(length, (4, 4, 4, 4, 4))
    between = random.choice(["", "", " ", "-", "\u00a0", "\u202f"])
    groups, start = [], 0
    for size in sizes:
        groups.append(number[start : start + size])
        start += size
    return between.join(filter(None, groups))


def iban(random: Random) -> str:
    country, shape = random.choice(
        [
            *[("DE", "n18"), ("GB", "a4n14"), ("FR", "n10c11n2"), ("NL", "a4n10"), ("NO", "n11")],
            *[("MT", "a4n5c18"), ("SK", "n20"), ("KW", "a4c22"), ("CH", "n5c12"), ("SE", "n20")],
        ]
    )
    account, at = "", 0
    while at < len(shape):
        end = next((i for i in range(at + 1, len(shape)) if shape[i].isalpha()), len(shape))
        letters = {"n": string.digits, "a": string.ascii_uppercase}.get(
            shape[at], string.digits + string.ascii_uppercase
        )
        account += drawn(random, letters, int(shape[at + 1 : end]))
        at = end
    rest = int("".join(str(int(c, 36)) for c in f"{account}{country}00")) % 97
    number = f"{country}{98 - rest:02}{account}"
    if random.random() < 0.5:
        number = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    return number.lower() if random.random() < 0.2 else number


def email(random: Random) -> str:
    name = random.choice(["ada", "jürgen", "o'brien", "li.wei", "иван", "max_m", "anna-lena"])
    domain = random.choice(["example.org", "mail.example.co.uk", "bücher.example", "x-y.example"])
    return f"{name}{random.choice(['', '+news', '.'])}{random.randrange(10**6)}@{domain}"


def phone(random: Random) -> str:
    def digits(count: int) -> str:
        return drawn(random, string.digits, count)

    return random.choice(
        [
            f"+49 {random.randint(30, 89)} {digits(7)}",
            f"0049 {random.randint(30, 89)} {digits(4)}-{digits(3)}",
            f"+44 20 {digits(4)} {digits(4)}",
            f"+1 {random.randint(200, 999)} {digits(3)} {digits(4)}",
            f"+33{random.randint(1, 9)}{digits(8)}",
            f"({random.randint(200, 999)}) {digits(3)}-{digits(4)}",
            f"{random.randint(200, 999)}-{digits(3)}-{digits(4)}",
        ]
    )


def pem(random: Random) -> str:
    name = random.choice(["RSA ", "EC ", "OPENSSH ", ""]) + "PRIVATE " + "KEY"
    lines = [drawn(random, BASE62 + "+/", 64) for _ in range(4)]
    return "\n".join([f"-----BEGIN {name}-----", *lines, f"-----END {name}-----"])


def jwt(random: Random) -> str:
    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    algorithm = random.choice(["HS256", "RS256", "EdDSA"])
    header = part(f'{{"alg":"{algorithm}","typ":"JWT"}}')
    body = part(f'{{"sub":"{random.randrange(10**9)}","iat":{random.randrange(10**9)}}}')
    return f"{header}.{body}.{drawn(random, URLSAFE, 43)}"


def after(*parts: str, letters: str = BASE62, count: int) -> Callable[[Random], str]:
    """Secrets that begin with the parts together."""
    return lambda random: "".join(parts) + drawn(random, letters, count)


def password(random: Random) -> str:
    return drawn(random, BASE62 + "!$%*+-_.~", random.randint(9, 20)) + random.choice("0123456789")


MAKERS: dict[str, Callable[[Random], str]] = {
    "card": card,
    "iban": iban,
    "email": email,
    "phone": phone,
    "pem": pem,
    "jwt": jwt,
    "openai": after("s", "k-", count=48),
    "openai_project": after("s", "k-proj-", letters=URLSAFE, count=120),
    "anthropic": after("s", "k-ant-", "api03-", letters=URLSAFE, count=95),
    "openrouter": after("s", "k-or-", "v1-", letters=HEX, count=64),
    "google": after("AI", "za", letters=URLSAFE, count=35),
    "aws": after("AK", "IA", letters=string.ascii_uppercase + "234567", count=16),
    "aws_session": after("AS", "IA", letters=string.ascii_uppercase + "234567", count=16),
    "github": after("gh", "p_", count=36),
    "github_app": after("gh", "s_", count=36),
    "github_fine": after("github", "_pat_", count=82),
    "gitlab": after("gl", "pat-", letters=URLSAFE, count=20),
    "slack": lambda random: (
        "xo" + f"xb-{random.randrange(10**11, 10**12)}-" + drawn(random, BASE62, 24)
    ),
    "slack_hook": lambda random: (
        "https://hooks.slack" + f".com/services/T0{drawn(random, BASE62, 8).upper()}/B0"
        f"{drawn(random, BASE62, 8).upper()}/{drawn(random, BASE62, 24)}"
    ),
    "stripe": after("s", "k_", "live_", count=24),
    "stripe_restricted": after("r", "k_", "live_", count=24),
    "hugging_face": after("h", "f_", letters=string.ascii_letters, count=34),
    "npm": after("np", "m_", count=36),
    "pypi": after("py", "pi-", "AgEIcHlwaS5vcmc", letters=URLSAFE, count=150),
    "sendgrid": lambda random: "S" + f"G.{drawn(random, URLSAFE, 22)}.{drawn(random, URLSAFE, 43)}",
    "twilio": after("S", "K", letters=HEX, count=32),
    "telegram": lambda random: (
        f"{random.randrange(10**8, 10**10)}:A" + "A" + drawn(random, URLSAFE, 33)
    ),
    "databricks": after("da", "pi", letters=HEX, count=32),
    "replicate": after("r", "8_", count=37),
    "groq": after("gs", "k_", count=52),
    "xai": after("xa", "i-", count=80),
    "perplexity": after("pp", "lx-", count=48),
    "langsmith": lambda random: "ls" + f"v2_pt_{drawn(random, HEX, 32)}_{drawn(random, HEX, 10)}",
    "langfuse": lambda random: (
        "s" + f"k-lf-{drawn(random, HEX, 8)}-{drawn(random, HEX, 4)}-{drawn(random, HEX, 12)}"
    ),
    "password": password,
    "api_key": after(letters=BASE62, count=32),
    "url_password": after(letters=BASE62 + "._~%", count=14),
    "bearer": lambda random: f"{drawn(random, BASE62, 30)}1.{drawn(random, URLSAFE, 12)}",
    "cookie": lambda random: f"session={drawn(random, BASE62, 24)}7; theme=dark",
    "query": lambda random: drawn(random, BASE62, 19) + "3",
    "aws_secret": after(letters=BASE62 + "/+", count=40),
    "azure": lambda random: drawn(random, BASE62 + "/+", 86) + "==",
}
KINDS = tuple(MAKERS)

PLACES: dict[str, tuple[str, ...]] = {
    "password": (
        "password: {}",
        "DB_PASSWORD={}",
        '"password": "{}"',
        "{'userPassword': '{}'}",
        "pwd = {}",
        '{\\"passwd\\": \\"{}\\"}',
        "<password>{}</password>",
    ),
    "api_key": ("MISTRAL_API_KEY={}", "x-api-key: {}", 'apiKey: "{}"', "client_secret={}&a=b"),
    "url_password": ("postgresql://ada:{}@db.example:5432/app", "redis://:{}@localhost/0"),
    "bearer": (
        "Authorization: Bearer {}",
        '"authorization": "Bearer {}"',
        "-H 'Authorization: {}'",
    ),
    "cookie": ("Cookie: {}", "Set-Cookie: {}"),
    "query": ("https://x.example/a?token={}&b=1", "https://x.example/?b=1&access_token={}"),
    "aws_secret": ("aws_secret_access_key = {}", '"SecretAccessKey": "{}"'),
    "azure": ("AccountName=x;AccountKey={};EndpointSuffix=core.windows.net",),
}
