"""Redaction: what is a secret goes, what is none stays, and the quick look is never fooled."""

from __future__ import annotations

import multiprocessing
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import SettingsError, StorageError
from onrecord.records.redaction.redactor import FAILED, RULES, Redactor, pseudonym_key
from tests.records.secrets_made import HEX, KINDS, drawn, luhn, made, placed, rule, traces

KEY = b"a key for tests"
ALL = Redactor(RULES, ("diagnosis", "kundenNummer", "line2", "ADDRESS"), key=KEY)
DEFAULT = Redactor(("fields", "keys", "cards", "ibans"), key=KEY)

CARD = luhn("411111111111111")


def only(*rules: str) -> Redactor:
    return Redactor(rules, key=KEY)


def cleaned(redactor: Redactor, text: str) -> str:
    """The text after redaction, with `<card:…>` for every pseudonym."""
    new, count = redactor.redact_text(text)
    assert (count == 0) == (new == text)
    assert redactor.redact_text(new) == (new, 0), "a second time changes nothing"
    return re.sub(r"<(\w+):[0-9a-f]{8}>", r"<\1>", new)


# What goes


@pytest.mark.parametrize(
    "text, expected",
    [
        (f"my card is {CARD}.", "my card is <card>."),
        ("4111 1111 1111 1111", "<card>"),
        ("4111-1111-1111-1111,", "<card>,"),
        ("4111  1111  1111  1111", "<card>"),
        ("4111\u00a01111\u20111111\u202f1111", "<card>"),
        ("41\u200b11111111111111", "<card>"),
        ("\uff14\uff11\uff11\uff11 1111 1111 1111", "<card>"),
        ("卡号\uff1a4111111111111111。", "卡号\uff1a<card>。"),
        ("3782 822463 10005 12/27", "<card> 12/27"),
        ("12 4111 1111 1111 1111 99", "12 <card> 99"),
        ("5555555555554444;6011111111111117", "<card>;<card>"),
        ("3056 9309 0259 04", "<card>"),
        ("3530111333300000", "<card>"),
        ("6200000000000005", "<card>"),
        ("4222222222222", "<card>"),
        ("2223003122003222", "<card>"),
    ],
)
def test_cards(text: str, expected: str) -> None:
    assert cleaned(only("cards"), text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # check digit
        "1111111111111117",  # no issuer
        "9111111111111111",
        "411111111111",  # too short
        "41111111111111111111111",  # too long
        "a4111111111111111",
        "4111111111111111b",
        "0.4111111111111111",
        "3.4111111111111111e5",
        "2026-11-21 10:27:43.123456",
        "1732180000000",
        "1732180000000000",
        "1732180000000000000",
        "1,204,332,111,222,333",
        "550e8400-e29b-41d4-a716-446655440000",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "00000000000000000000",
        "0000000000000000",
        "978-3-16-148410-0",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "4 11 11 11 11 11 11 11 1",
        "2019 2020 2021 2022 2023 2024",
        "10.0.0.1 192.168.100.200",
        "127 0.25 4096 16384 65536 131072",
        "+49 30 1234567890",
        "v1.2.3-20240131123456",
        "3.14159265358979323846",
        "6.02214076e23",
        "order 20261121-0001-0002",
        "https://x.example/d/1AbCdEf4111111111111111GhIj",
    ],
)
def test_no_cards(text: str) -> None:
    assert cleaned(only("cards"), text) == text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("DE89 3704 0044 0532 0130 00 and more", "<iban> and more"),
        ("de89370400440532013000", "<iban>"),
        ("GB29-NWBK-6016-1331-9268-19", "<iban>"),
        ("IBAN: NO9386011117947.", "IBAN: <iban>."),
        ("MT84MALT011000012345MTLCAST001S", "<iban>"),
        ("(FR14 2004 1010 0505 0001 3M02 606)", "(<iban>)"),
        ("SK3112000000198742637541", "<iban>"),
        ("DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "<iban>"),
    ],
)
def test_ibans(text: str, expected: str) -> None:
    assert cleaned(only("ibans"), text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "DE89370400440532013001",  # check digits
        "DE8937040044053201300",  # too short
        "DE893704004405320130001",  # too long
        "XX89370400440532013000",  # no such country
        "xDE89370400440532013000",
        "deadbeef12345678deadbeef12345678",
        "in 2026 they made 1234 5678 9012 things",
        "am12 text more and more text here",
    ],
)
def test_no_ibans(text: str) -> None:
    assert cleaned(only("ibans"), text) == text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("write to ada@example.org.", "write to <email>."),
        ("<Ada.L+news@Mail.Example.CO.UK>", "<<email>>"),
        ("jürgen@bücher.example, o'brien@x.example", "<email>, <email>"),
        ("mailto:иван@пример.рф?subject=x", "mailto:<email>?subject=x"),
        ("a_b-c%d@xn--bcher-kva.example", "<email>"),
        ("'ada@example.org'", "'<email>'"),
        ("ada\uff20example.org", "<email>"),
        ("ada@\u200bexample.org", "<email>"),
        ("x=ada@example.org&y", "x=<email>&y"),
    ],
)
def test_emails(text: str, expected: str) -> None:
    assert cleaned(only("emails"), text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "@ada and @property",
        "@on.flow\nasync def f(): ...",
        "logo@2x.png",
        "git@github.com:onrecord/onrecord.git",
        "left-pad@1.3.0",
        "user@localhost",
        "root@10.0.0.1",
        "a @ b.c",
        "ada@example",
        "@scope/package.js",
        "x@y@z",
        "@@@@ @.",
        "matrix @ vector.T",
    ],
)
def test_no_emails(text: str) -> None:
    assert cleaned(only("emails"), text) == text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("call +49 30 123456-78", "call <phone>"),
        ("0049 30 12345678!", "<phone>!"),
        ("+49 (0)30 / 1234 5678", "<phone>"),
        ("+1 (555) 123-4567", "<phone>"),
        ("+15551234567", "<phone>"),
        ("(555) 123-4567 or 555-123-4567", "<phone> or <phone>"),
        ("555.123.4567", "<phone>"),
        ("+44 20 7946 0958", "<phone>"),
        ("+33 1 70 18 99 00", "<phone>"),
        ("Tel. 030 1234567", "Tel. <phone>"),
        ("phone: 0171/1234567", "phone: <phone>"),
        ("555\u2011123\u20114567", "<phone>"),
        ("+86 138 0013 8000", "<phone>"),
    ],
)
def test_phones(text: str, expected: str) -> None:
    assert cleaned(only("phones"), text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21",
        "2026-11-21T10:27:43+00:00",
        "2026-11-21T10:27:43.123456+0100",
        "21.11.2026 10:27",
        "3.14159265",
        "1.2.3",
        "10.15.7.1234",
        "192.168.100.200",
        "1,204,332",
        "1.204.332,50",
        "550e8400-e29b-41d4-a716-446655440000",
        "d41d8cd98f00b204e9800998ecf8427e",
        "1732180000",
        "0012345678",
        "00000000000000",
        "1e+10",
        "a+4930123456789",
        "+1 204 332",
        "x = 12 + 4930 - 123456",
        "100-200-3000 pages",
        "555-1234",
        "978-3-16-148410-0",
        "12345-6789",
        "Q3 2026: 250 500 1000",
        "ISO 27001:2022, RFC 9110",
        "line 555-123-45678",
        "0x0049301234567",
        "1555-123-4567-8901",
        "tel: none",
    ],
)
def test_no_phones(text: str) -> None:
    assert cleaned(only("phones"), text) == text


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn-is-a-rather-nice-library",
        "sk-short1A",
        "task-force-one-two-three-four-five-six",
        "hf_transformers_model_for_sequence_classification",
        "npm_config_registry_something_long_and_wide",
        "xai-explanations-of-all-the-models-we-have-in-use",
        "ghp_notakey",
        "AKIA is how they begin",
        "AKIAABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "eyJ is the beginning of a token",
        "eyJhbGciOiJIUzI1NiJ9",
        "SG.1.2",
        "dapi_reference",
        "550e8400-e29b-41d4-a716-446655440000",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "https://hooks.slack.com/ is where they go",
        "https://example.org/a/very/long/path/with/many/segments/2026/11/21",
        "gsk_ and r8_ and pplx- and lsv2_",
        "the AIza prefix",
        "pk-value-of-the-row-in-the-table",
        "12345678:90",
        "12:34:56 78:90",
        "risk-adjusted-return-on-capital-employed",
        "organisational-restructuring-responsibilities",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
        "SKU 1234567890",
        "pa-rallel-and-long-words-with-many-dashes-in-between-them",
        "key-value-store-with-a-long-name-and-nothing-else",
    ],
)
def test_no_keys(text: str) -> None:
    assert cleaned(only("keys"), text) == text


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_secret_is_removed_by_its_own_rule(kind: str) -> None:
    source = random.Random(kind)
    for _ in range(40):
        secret = made(kind, source)
        text = f"before {placed(kind, secret, source)} after"
        new, count = only(rule(kind)).redact_text(text)
        assert count >= 1
        assert not any(trace in new for trace in traces(secret)), text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("password: hunter2", "password: <secret>"),
        ("**Password:** swordfish.", "**Password:** <secret>."),
        ("DB_PASSWORD=hunter2 make", "DB_PASSWORD=<secret> make"),
        ('{"api_key": "a \\"b\\" c", "x": 1}', '{"api_key": "<secret>", "x": 1}'),
        (r"{\"apiKey\": \"abc\"}", r"{\"apiKey\": \"<secret>\"}"),
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer <secret>"),
        ("authorization: Basic YWRhOmx1bm==", "authorization: Basic <secret>"),
        ("GET /a?token=abcdefg1234&b=1", "GET /a?token=<secret>&b=1"),
        ("x?access_token=abc&b=1", "x?access_token=<secret>&b=1"),
        ("postgresql://ada:p@ss@db/x", "postgresql://ada:<secret>@db/x"),
        ("redis://:pass@h:1", "redis://:<secret>@h:1"),
        ("<password>hunter2</password>", "<password><secret></password>"),
        ("Cookie: a=b1; c=d\nHost: x", "Cookie: <secret>\nHost: x"),
        ("passphrase: correct horse battery\nnext", "passphrase: <secret>\nnext"),
        ("PIN: 1234, CVV=123", "PIN: <secret>, CVV=<secret>"),
        ("\uff50assword\uff1ahunter2", "\uff50assword\uff1a<secret>"),
        ("pass\u200bword: hunter2", "pass\u200bword: <secret>"),
        ("diagnosis: flu and a cold, mild", "diagnosis: <secret>, mild"),
        ("KUNDEN_NUMMER=a17", "KUNDEN_NUMMER=<secret>"),
    ],
)
def test_secrets_after_their_names(text: str, expected: str) -> None:
    assert cleaned(Redactor(("fields",), ("diagnosis", "kundenNummer"), KEY), text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "the secretary: Ada",
        "author: Ada",
        "pinned: true",
        "max_tokens: 100, tokens=5, token_count: 7",
        "token: 17",
        "password: str, api_key: str | None = None",
        "password=password, api_key=self.api_key",
        "password=getpass()",
        "api_key=${API_KEY} password={{ password }}",
        "Password: must have 8 characters",
        "the secret: be kind",
        "spin: 1234, opinion: 5",
        "Cookie: chocolate chip",
        "primary_key=17, cache_key: abc, key: value",
        "password_hint: my dog",
        "https://example.org:8080/a@b",
        "http://ada@example.org/",
        "Authorization: required",
        "bearer of good news: 12345678901234567890",
        "?code=42&token=short1",
        "the password is not here",
        "keyboard: qwerty, monkey=1",
        "pwd",
        '"password": "string"',
    ],
)
def test_names_that_have_no_secrets(text: str) -> None:
    assert cleaned(only("fields"), text) == text


def test_the_values_of_secret_fields() -> None:
    value = {
        "user": "ada",
        "password": "hunter2",
        "X-API-Key": "hunter2",
        "dbPassword": 123456,
        "client_secret": {"a": ["x1", None, True, 5], "b": 3000.5},
        "max_tokens": 100,
        "secretary": "Grace",
        "token": "the",
        "has_password": True,
        "PIN": "0042",
        "kundennummer": "k-1",
    }
    new, count = ALL.redact(value)
    assert count == 7
    assert new["password"] == new["X-API-Key"] and re.fullmatch(
        "<secret:[0-9a-f]{8}>", new["password"]
    )
    assert new["client_secret"]["a"][1:] == [None, True, 5]
    kept = ("user", "max_tokens", "secretary", "token", "has_password")
    assert all(new[name] == value[name] for name in kept)
    assert value["password"] == "hunter2", "the value itself is not touched"
    assert ALL.redact(new) == (new, 0)


# How it goes


def test_equal_secrets_have_equal_pseudonyms_and_other_projects_have_others() -> None:
    def names(text: str, key: bytes = KEY) -> list[str]:
        return re.findall(r"<\w+:\w+>", Redactor(RULES, key=key).redact_text(text)[0])

    one, two = names("Ada@Example.org and ada@example.ORG")
    assert one == two
    assert len(set(names(f"{CARD}, 4111 1111 1111 1111, 4111-1111-1111-1111"))) == 1
    assert len(set(names("DE89 3704 0044 0532 0130 00, de89370400440532013000"))) == 1
    assert len(set(names("+49 30 1234567, 0049 (30) 123-4567"))) == 1
    assert names(CARD) != names(CARD, b"another")
    assert names(CARD, b"") != names(CARD, b""), "without a key nobody can find out by trying"
    assert names(CARD) == names(CARD, b"a key for tests")


def test_a_key_of_a_provider_has_one_pseudonym_wherever_it_stands() -> None:
    secret = made("openai", random.Random(1))
    new, count = ALL.redact({"api_key": secret, "text": f"use {secret}, api_key={secret}"})
    assert count == 3
    assert new["text"] == f"use {new['api_key']}, api_key={new['api_key']}"
    assert new["api_key"].startswith("<key:")


def test_what_has_nothing_to_hide_is_the_very_same_object() -> None:
    value = {"question": "How many days?", "n": [1, 2.5, None, True], "nested": {"a": ("b",)}}
    assert ALL.redact(value) == (value, 0)
    assert ALL.redact(value)[0] is value


def test_keys_of_dicts_and_numbers_are_looked_at_too() -> None:
    new, count = ALL.redact({CARD: 1, "4111 1111 1111 1111": 2, "n": int(CARD), "m": -int(CARD)})
    assert count == 3 and CARD not in str(new).replace("-" + CARD, "")
    assert sorted(map(str, new.values()))[1:3] == ["1", "2"], "two keys that become one are kept"


def test_fields_are_left_alone_without_the_rule() -> None:
    value = {"2221\u00a05801:KW97UWPNBGMK93EF85NQE2A0P1A2LN": 128, "password": "hunter2"}
    new, count = only("ibans").redact(value)
    assert count == 1 and list(new.values()) == [128, "hunter2"]


def test_every_name_can_be_typed_in_every_way() -> None:
    for name in ("api_key", "API-KEY", "apiKey", "ApiKey", "APIKEY", "x.api.key", "api key"):
        assert ALL.redact({name: "abcdef"})[1] == 1, name
    for name in ("ADDRESS", "address", "line2", "LINE2", "Line_2", "KUNDEN-NUMMER", "diagnosis"):
        assert ALL.redact({name: "abcdef"})[1] == 1, name
        assert ALL.suspicious(msgspec.msgpack.encode({name: "abcdef"})), name
        assert ALL.redact_text(f"{name}: abcdef")[1] == 1, name


def test_names_of_other_alphabets() -> None:
    redactor = Redactor(("fields",), ("Schlüssel", "Größe", "пароль", "密码", "città"), KEY)
    for name in ("Schlüssel", "Größe", "пароль", "密码", "città", "meine_Größe"):
        assert redactor.redact({name: "abcdef"})[1] == 1, name
        assert redactor.redact_text(f"{name}: abcdef, password: hunter2")[1] == 2, name
        assert redactor.suspicious(msgspec.msgpack.encode({name: "abcdef"})), name


def test_deep_values_end() -> None:
    deep: Any = f"card {CARD}"
    for _ in range(400):
        deep = {"a": [deep]}
    new, count = ALL.redact(deep)
    assert count == 1 and CARD not in str(new)
    harmless: Any = "x"
    for _ in range(400):
        harmless = [harmless]
    assert ALL.redact(harmless)[0] is harmless
    cyclic: list[Any] = [CARD]
    cyclic.append(cyclic)
    assert CARD not in str(ALL.redact(cyclic)[0])


# Rules of one's own


def shout(text: str) -> str:
    return text.upper()


def hide_ada(text: str) -> str | None:
    return text.replace("Ada", "<person>") if "Ada" in text else None


def fail(text: str) -> str:
    raise ValueError(text)


def wrong(text: str) -> Any:
    return len(text)


def test_a_rule_of_ones_own(caplog: pytest.LogCaptureFixture) -> None:
    redactor = Redactor((f"{__name__}:hide_ada", "cards"), key=KEY)
    assert redactor.suspicious(b"\xa1x"), "nobody knows what it looks for"
    new, count = redactor.redact({"Ada": ["Ada", f"Ada {CARD}", "Grace"]})
    assert new["<person>"][0] == "<person>" and "<card:" in new["<person>"][1] and count == 4
    same = ["Grace"]
    assert redactor.redact(same)[0] is same


@pytest.mark.parametrize("name", [f"{__name__}:fail", f"{__name__}:wrong", "no.such:rule"])
def test_a_rule_of_ones_own_that_fails_leaks_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    redactor = Redactor((name,), key=KEY)
    assert redactor.redact_text("my secret") == (FAILED, 1)
    assert redactor.redact(["my secret", 1]) == ([FAILED, 1], 2 - 1)
    assert redactor.redact_text(FAILED) == (FAILED, 0)
    assert "my secret" not in caplog.text and "failed" in caplog.text


def test_an_unknown_rule_is_told_with_the_closest() -> None:
    with pytest.raises(SettingsError, match=r"no redaction rule 'card'.*'cards'.*fields, keys"):
        Redactor(("card",))
    with pytest.raises(SettingsError, match="functions as"):
        Redactor(("a b:c",))
    with pytest.raises(SettingsError):
        Redactor((":",))


def test_no_rules_change_nothing() -> None:
    redactor = Redactor(())
    assert not redactor.suspicious(msgspec.msgpack.encode({"password": CARD}))
    assert redactor.redact({"password": CARD}) == ({"password": CARD}, 0)


# The key of a project


def test_the_key_of_a_project(tmp_path: Path) -> None:
    key = pseudonym_key(tmp_path / "home")
    assert len(key) == 32 and pseudonym_key(tmp_path / "home") == key
    path = tmp_path / "home" / "pseudonym.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    path.write_bytes(b"short")
    with pytest.raises(StorageError, match="damaged"):
        pseudonym_key(tmp_path / "home")


def test_processes_agree_on_the_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(pseudonym_key, [tmp_path / "home"] * 16, chunksize=1)
    assert len(set(keys)) == 1


def test_the_key_is_asked_for_when_something_is_found_and_only_once() -> None:
    asked = []

    def key() -> bytes:
        asked.append(1)
        return KEY

    redactor = Redactor(("cards",), key=key)
    redactor.redact("nothing")
    assert not asked
    redactor.redact([CARD, CARD])
    redactor.redact(CARD)
    assert len(asked) == 1


def test_a_key_that_cannot_be_had_leaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def key() -> bytes:
        raise StorageError("the disk is full")

    redactor = Redactor(("cards",), key=key)
    new, count = redactor.redact([CARD, CARD])
    assert count == 2 and new[0] == new[1] and CARD not in new[0]
    assert "the disk is full" in caplog.text


# Whatever comes

HINTS = (
    "password secret api_key=:>\"'\\ sk- AKIA eyJ. @x.org :// DE89 4111 +49 (555) 00 -----BEGIN "
    "PRIVATE KEY----- Bearer ?token= cookie KS \u200b \u00a0 \uff11 <secret:0a1b2c3d> ß 漢"
).split(" ")
pieces = st.one_of(
    st.text(max_size=8),
    st.sampled_from(HINTS),
    st.from_regex(r"[0-9 -]{1,20}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True),
    st.builds(
        lambda kind, seed: placed(kind, made(kind, random.Random(seed)), random.Random(seed)),
        st.sampled_from(KINDS),
        st.integers(0, 10**6),
    ),
)
texts = st.lists(pieces, max_size=8).map("".join)
names = st.one_of(
    texts, st.sampled_from("password API_KEYS clientSecret pin cookie address line_2 n".split())
)
numbers = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.integers(0, 10**9).map(lambda n: int(luhn(f"4{n:014}"))),
    st.integers(0, 10**12).map(lambda n: int(luhn(f"62{n:016}"))),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, st.floats(allow_nan=False), texts)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4), st.tuples(inner)
    ),
    max_leaves=8,
)
redactors = [ALL, DEFAULT, *(only(name) for name in RULES)]


@settings(max_examples=400, deadline=None)
@given(values, st.sampled_from(redactors))
def test_the_quick_look_is_never_fooled(value: Any, redactor: Redactor) -> None:
    try:
        packed = msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        return
    new, count = redactor.redact(value)
    if count:
        assert redactor.suspicious(packed)
    else:
        assert new is value
    assert redactor.redact(new) == (new, 0)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10**9), texts, texts, st.booleans())
def test_a_secret_is_found_among_anything(
    kind: str, seed: int, before: str, after: str, as_name: bool
) -> None:
    source = random.Random(seed)
    secret = made(kind, source)
    # A text that ends in an open quotation, or within a word, may hide what comes next.
    text = f"{before}\n{placed(kind, secret, source)}\n{after}"
    value = {"a": [{"b": text} if not as_name else {text: 1}], "c": 1}
    try:
        packed = msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        return
    assert ALL.suspicious(packed)
    new, _ = ALL.redact(value)
    written = msgspec.msgpack.encode(new) + msgspec.json.encode(new)
    for trace in traces(secret):
        if trace not in before + after:
            assert trace.encode() not in written


def test_five_thousand_secrets(tmp_path: Path) -> None:
    source = random.Random(5000)
    words = "the leave of 25 days in 2026 is paid; see also: Grüße, ¿qué? 漢字 (cf. § 7)".split()
    secrets: list[str] = []
    values: list[Any] = []
    for number in range(5000):
        kind = KINDS[number % len(KINDS)]
        secret = made(kind, source)
        prose = source.choices(words, k=source.randint(0, 12))
        prose.insert(source.randint(0, len(prose)), placed(kind, secret, source))
        secrets += traces(secret)
        values.append(source.choice([str, nested, titled])(" ".join(prose)))
    kept = []
    for value in values:
        assert ALL.suspicious(msgspec.msgpack.encode(value))
        new, count = ALL.redact(value)
        assert count, value
        kept.append(new)
    written = msgspec.msgpack.encode(kept) + msgspec.json.encode(kept)
    left = [secret for secret in secrets if secret.encode() in written]
    assert left == []


def nested(text: str) -> Any:
    return {"messages": [{"role": "user", "parts": [{"text": text}]}], "n": 3}


def titled(text: str) -> Any:
    return {text: [1, 2.5, None]}


@pytest.mark.parametrize(
    "unit",
    [
        *("a", "1", "4 ", "1-", "@", "a@a.", "sk-a1", "DE89 ", "+49 ", "(555) ", "tel: 0", "漢"),
        *(
            'password:"',
            'password:\\"',
            "passphrase: a ",
            "password: ",
            "<secret:",
            "password(",
            "\\",
        ),
        *("://a:b", "Bearer a", "cookie=a=", "&token=a1", "eyJa.", "12345678:", "4\u200b"),
        *("-----BEGIN PRIVATE " + "KEY-----", "-----BEGIN ", "password:" + ")" * 4000),
    ],
)
def test_a_megabyte_of_anything_comes_to_an_end(unit: str) -> None:
    text = unit * (1_000_000 // len(unit.encode()) // 4)
    ALL.suspicious(msgspec.msgpack.encode(text))
    assert len(ALL.redact_text(text)[0]) <= 3 * len(text)


def test_ordinary_bodies_are_not_suspicious() -> None:
    bodies: Sequence[Any] = [
        {"n": 3},
        {"question": "How many days of leave do I have after twenty-five years, since May 2003?"},
        {"passages": [{"document_id": "handbook", "title": "Leave", "score": 0.75, "page": 12}]},
        {"question": "Wie viele Tage Urlaub habe ich für das Jahr, und was heißt Übertragung?"},
        {"text": "所有员工每年有二十五天假期"},
        {"usage": {"input": 12, "output": 7, "max_tokens": 100}, "ok": False},
    ]
    for body in bodies:
        assert not DEFAULT.suspicious(msgspec.msgpack.encode(body)), body


def test_hashes_and_ids_are_kept() -> None:
    source = random.Random(3)
    for _ in range(2000):
        text = f"{drawn(source, HEX, 32)} {drawn(source, HEX, 64)} {source.random()!r}"
        assert DEFAULT.redact_text(text)[1] == 0, text
