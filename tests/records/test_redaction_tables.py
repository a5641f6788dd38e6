"""Redaction: what must not be kept is in no file, and what may be is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.records.record import pack
from onrecord.records.redaction.patterns import is_card
from onrecord.records.redaction.redactor import Redactor, pseudonym_key

RULES = ("fields", "keys", "cards", "ibans", "emails", "phones")
ALL = Redactor(RULES, key=b"a key of the tests")


def redacted(text: str) -> str:
    return ALL.redact_text(text)[0]


SECRET = [
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "5555555555554444",
    "378282246310005",
    "6011 1111 1111 1117",
    "DE89 3704 0044 0532 0130 00",
    "de89370400440532013000",
    "GB29NWBK60161331926819",
    "NO93 8601 1117 947",
    "ada@example.org",
    "Ada.Lovelace+notes@mail.example.co.uk",
    "jürgen@example.de",
    "+49 30 901820",
    "0049 30 901820",
    "+1 (555) 234-5678",
    "(555) 234-5678",
    "555-234-5678",
    "555.234.5678",
    "+44 (0) 20 7946 0958",
]


@pytest.mark.parametrize("secret", SECRET)
@pytest.mark.parametrize("around", ["{}", "It is {}.", "({})", "a:{},b", "x\n{}\ty", "<b>{}</b>"])
def test_a_secret_is_found(secret: str, around: str) -> None:
    found = redacted(around.format(secret))
    assert secret not in found and around.partition("{}")[0] == found[: around.index("{}")]


HARMLESS = """
2026-11-21
2026-11-21T10:30:00.123456789Z
21.11.2026
10:30:00
192.168.178.21
1,204,332
3.14159265358979
1795255116663119551
01a1fd8b237769673749440000000002
550e8400-e29b-41d4-a716-446655440000
4111 1111 1111 1112
1234 5678 9012 3456
version 1.2.3.4
isbn 978-3-16-148410-0
order 4711-0815
chapter 12, page 345
@on.flow
@mention me
a@b
max_tokens: 4000
tokens=1234
the author said: hello
my opinion: none
secretary of state
a pinned message
DE is a country, IN 2026 there were 10000000 people
the key to success
keyboard: german
passage: the second
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
https://example.org/a/b?page=2&sort=name
file:///home/me/notes.txt
lines 100-200, 300-400
1 2 3 4 5 6 7 8 9 10 11 12 13 14
f(x) = 2x + 1
call 911
room 0815
""".strip().splitlines()


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert ALL.redact_text(text) == (text, 0)
    assert ALL.redact_text(f"Well, {text} it is.") == (f"Well, {text} it is.", 0)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("password: hunter2", "password: "),
        ("PASSWORD=correct-horse", "PASSWORD="),
        ('{"api_key": "abcdef123456"}', '{"api_key": "'),
        ("apiKey = 'abcdef123456'", "apiKey = '"),
        ("Authorization: Bearer abc.def.ghi123", "Authorization: Bearer "),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic "),
        ("Cookie: session=abc; other=def", "Cookie: "),
        ("https://x.example/?access_token=abcdefgh&page=2", "https://x.example/?access_token="),
        ("postgresql://me:hunter2@db/main", "postgresql://me:"),
        ("redis://:hunter2@cache:6379", "redis://:"),
        ("DB_PASSWORD=hunter2\nDB_HOST=x", "DB_PASSWORD="),
        ("client_secret: 0123456789", "client_secret: "),
    ],
)
def test_a_named_secret_is_found(text: str, kept: str) -> None:
    found, changes = ALL.redact_text(text)
    assert changes == 1 and found.startswith(kept + "<secret:")
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "name",
    "password Password db_password userPassword passwd pwd passphrase api_key apiKey API-KEY "
    "x-api-key access_token refreshToken client_secret secret authorization Cookie set-cookie "
    "credentials private_key aws_secret_access_key cvv cvc pin ssn jwt".split(),
)
def test_a_field_with_a_telling_name_is_hidden_whole(name: str) -> None:
    value = {name: {"a": ["deep", 4711, None, True]}, "other": "seen"}
    found, changes = ALL.redact(value)
    assert changes == 2 and "deep" not in str(found) and "4711" not in str(found)
    assert found["other"] == "seen" and list(found) == [name, "other"]
    assert ALL.suspicious(pack(value))


@pytest.mark.parametrize(
    "name",
    "tokens max_tokens token_count input_tokens author authors secretary pinned opinion keys key "
    "keyword monkey passage passenger compass question text user session id name spin".split(),
)
def test_a_field_with_another_name_is_not(name: str) -> None:
    assert ALL.redact({name: "words"}) == ({name: "words"}, 0)


def test_fields_of_ones_own_are_hidden() -> None:
    rules = Redactor((), ("patient_name", "MRN"), key=b"k")
    value = {"patientName": "Ada", "mrn": 4711, "other": "Ada"}
    found, changes = rules.redact(value)
    assert changes == 2 and found["other"] == "Ada" and "4711" not in str(found)
    assert rules.suspicious(pack(value))


def test_equal_secrets_have_equal_pseudonyms_and_only_with_the_key() -> None:
    assert redacted("ada@example.org") == redacted("Ada@Example.org")
    assert redacted("4111 1111 1111 1111") == redacted("4111111111111111")
    assert redacted("ada@example.org") != redacted("bob@example.org")
    other = Redactor(("emails",), key=b"another key")
    assert other.redact_text("ada@example.org")[0] != redacted("ada@example.org")


def test_numbers_and_names_of_fields_are_looked_at_too() -> None:
    number = 4111111111111111
    assert is_card(str(number))
    value = {"ada@example.org": [number, 17]}
    found, changes = ALL.redact(value)
    assert changes == 2 and str(number) not in str(found) and "@" not in str(found)
    assert found[next(iter(found))][1] == 17
    assert ALL.suspicious(pack(value))


def test_the_key_is_made_once_and_is_nobody_elses_to_read(project: Path) -> None:
    keys = {pseudonym_key(project / "home") for _ in range(3)}
    path = project / "home" / "pseudonym.key"
    assert keys == {path.read_bytes()} and len(path.read_bytes()) == 32
    assert path.stat().st_mode & 0o077 == 0
    assert [each.name for each in path.parent.iterdir()] == ["pseudonym.key"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TELLING = st.sampled_from(
    "password api_key Bearer auth pin cookie :// @ : = + 4111111111111111 token secret key sk- eyJ "
    "DE89370400440532013000 hunter2 0049 AKIA -----BEGIN PRIVATE KEY----- 00 jwt \u212aey".split(
        " "
    )
)
TEXTS = st.lists(TELLING | st.text(max_size=3), max_size=8).map("".join)
NESTED = st.recursive(
    TEXTS | st.integers(0, 2**63),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(PLAIN | NESTED)
def test_what_is_not_suspicious_is_not_changed(value: Any) -> None:
    packed = pack(value)
    changes = ALL.redact(value)[1]
    if changes:
        assert ALL.suspicious(packed)
    if not ALL.suspicious(packed):
        assert ALL.redact(value) == (value, 0)


@given(PLAIN | NESTED)
def test_redacting_again_changes_nothing(value: Any) -> None:
    once, _ = ALL.redact(value)
    again, changes = ALL.redact(once)
    assert changes == 0 or pack(again) == pack(once)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 2_000_000,
        "1" * 2_000_000,
        "1 " * 1_000_000,
        "@" * 500_000,
        "a@" * 500_000,
        "+1" * 500_000,
        "eyJ" * 500_000,
        "password" * 200_000,
        "://" * 500_000,
        "DE89" * 500_000,
        "-----BEGIN " * 100_000,
        "cookie:" * 200_000,
        "a.b" * 500_000,
        "sk-" * 500_000,
        "00" * 1_000_000,
    ],
    ids=lambda text: text[:10],
)
def test_long_texts_take_no_time_to_speak_of(text: str) -> None:
    # Without bounds in the patterns these would take hours, and the run would end at its limit.
    assert isinstance(ALL.suspicious(pack(text)), bool)
    assert ALL.redact_text(text) == (text, 0)  # none of them is a secret
