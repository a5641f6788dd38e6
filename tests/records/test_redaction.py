"""Redaction: what must not be kept is in no file, and what may be is left alone."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import SettingsError
from onrecord.records.record import pack
from onrecord.records.recording import call
from onrecord.records.redaction import RULES, Redactor, pseudonym_key
from onrecord.records.secrets import is_card, is_secret_field
from onrecord.records.store import Store
from tests.records.secrets_made import KINDS, made

ALL = Redactor(tuple(RULES), key=b"a key of the tests")


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
    "credentials private_key aws_secret_access_key cvv cvc pin ssn jwt auth".split(),
)
def test_a_field_with_a_telling_name_is_hidden_whole(name: str) -> None:
    assert is_secret_field(name)
    value = {name: {"a": ["deep", 4711, None, True]}, "other": "seen"}
    found, changes = ALL.redact(value)
    assert changes == 2 and "deep" not in str(found) and "4711" not in str(found)
    assert found["other"] == "seen" and list(found) == [name, "other"]
    assert ALL.suspicious(pack(value)) and ALL.suspicious(pack(value), value)


@pytest.mark.parametrize(
    "name",
    "tokens max_tokens token_count input_tokens author authors secretary pinned opinion keys key "
    "keyword monkey passage passenger compass question text user session id name spin".split(),
)
def test_a_field_with_another_name_is_not(name: str) -> None:
    assert ALL.redact({name: "words"}) == ({name: "words"}, 0)


def test_fields_of_ones_own_are_hidden() -> None:
    rules = Redactor((), ("patient_name", "MRN"), key=b"k")
    value = {"patientName": "Ada", "mrn": 17, "other": "Ada"}
    found, changes = rules.redact(value)
    assert changes == 2 and found["other"] == "Ada" and "17" not in str(found)
    assert rules.suspicious(pack(value), value)


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
    assert ALL.suspicious(pack(value), value)


def shout(text: str) -> str | None:
    return text.replace("patient zero", "<patient>") if "patient zero" in text else None


def broken(text: str) -> str:
    raise RuntimeError("a rule that fails")


def test_rules_of_ones_own() -> None:
    rules = Redactor((f"{__name__}:shout",))
    assert rules.redact(["this is patient zero", "not"]) == (["this is <patient>", "not"], 1)
    assert rules.suspicious(b"") is True


@pytest.mark.parametrize(
    "rule", [f"{__name__}:broken", "no.such.module:rule", f"{__name__}:nothing"]
)
def test_a_broken_rule_keeps_nothing(rule: str) -> None:
    found, changes = Redactor((rule,)).redact({"q": "the secret of the house"})
    assert changes >= 1 and "house" not in str(found) and rule in str(found)


def test_a_rule_that_there_is_not_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no rule 'email'.*Did you mean 'emails'"):
        Redactor(("email",))


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
        assert ALL.suspicious(packed) and ALL.suspicious(packed, value)
    if not ALL.suspicious(packed):
        assert ALL.redact(value) == (value, 0)


@given(PLAIN | NESTED)
def test_redacting_again_changes_nothing(value: Any) -> None:
    once, _ = ALL.redact(value)
    again, changes = ALL.redact(once)
    assert changes == 0 or pack(again) == pack(once)


@given(st.sampled_from(KINDS), st.integers(0, 10**9), st.text(max_size=20), st.text(max_size=20))
def test_a_secret_is_found_between_any_words(
    kind: str, seed: int, before: str, behind: str
) -> None:
    text, secret = made(kind, random.Random(seed))
    value = {"q": [f"{before} {text} {behind}"]}
    found, changes = ALL.redact(value)
    assert changes and secret not in str(found)
    assert ALL.suspicious(pack(value), value)


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
    ALL.suspicious(pack(text), text)
    ALL.redact_text(text)


def everything_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_5000_secrets_are_in_no_file(project: Path) -> None:
    (project / "onrecord.toml").write_text(f"redact = {list(RULES)}\n".replace("'", '"'))
    chance = random.Random(20261121)
    seeded = [made(KINDS[at % len(KINDS)], chance) for at in range(5000)]
    seeded_secrets = [secret for _, secret in seeded]

    @on.step
    async def work(text: str, deep: dict[str, Any]) -> list[Any]:
        if chance.random() < 0.1:
            raise ValueError(f"cannot do this: {text}")
        return [text] if "list" in deep else [deep]

    @on.flow
    async def everything() -> int:
        failed = 0
        for at, (text, secret) in enumerate(seeded):
            try:
                deep = {"list": [{"note": text}]} if at % 2 else {"password": secret}
                await work(text, {"n": at, **deep})
            except ValueError:
                failed += 1
        return failed

    with on.recording() as run:
        assert everything.run() > 100
    store = Store.open()
    assert len(store.records(limit=10_000)) == 5001
    store.close()
    (project / "onrecord.toml").unlink()
    kept = everything_under(project) + msgspec.json.encode(run.records)
    assert b"<card:" in kept and b"<key:" in kept and b"<iban:" in kept
    leaked = [secret for secret in seeded_secrets if secret.encode() in kept]
    assert leaked == []


def test_without_bodies_nothing_that_was_said_is_kept(project: Path) -> None:
    (project / "onrecord.toml").write_text("bodies = false\n")
    with pytest.raises(ValueError), call("flow", "quiet", {"q": "unmistakable words"}) as this:
        this.output = "unmistakable answer"
        raise ValueError("unmistakable error")
    (record,) = Store.open().records()
    assert (record.name, record.state, record.input, record.output) == (
        "quiet",
        "failed",
        None,
        None,
    )
    assert record.error == "ValueError" and record.redacted
    assert b"unmistakable" not in everything_under(project / ".onrecord")


def test_a_huge_body_leaves_its_size(project: Path) -> None:
    huge = "x" * 100_000_000
    with call("flow", "huge", huge) as this:
        this.output = huge
    (record,) = Store.open().records()
    assert "not kept" in record.input and record.redacted
    assert len(everything_under(project / ".onrecord")) < 1_000_000
    assert sys.getsizeof(record.input) < 200
