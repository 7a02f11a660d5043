from __future__ import annotations

import hashlib
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmem.core import model, opcheck
from jmem.core.errors import Invalid, TooLarge
from jmem.core.model import Op, check_field, iso, new_id, parse_time


def op(**changes) -> Op:
    values = {"stamp": "0199f3a1c2d4-0003-a1b2c3d4", "id": "0199f3a1-c2d4-7b3e-9c1a-0123456789ab",
              "set": {"content": "Prefers aisle seats", "tags": ["travel"], "deleted": False},
              "base": ("0199f39f0a11-0000-77aa12ef",), "client": "claude", "nonce": "9f"}  # fmt: skip
    return Op(**{**values, **changes})


def test_ids_are_rising_uuid7s():
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert all(uuid.UUID(i).version == 7 and uuid.UUID(i).variant == uuid.RFC_4122 for i in ids[:50])
    assert all(model.is_id(i) for i in ids[:50])


def test_times_are_utc_with_milliseconds():
    assert iso(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert parse_time("2026-11-22T20:13:05+02:00") == "2026-11-22T18:13:05.000Z"
    assert parse_time("2026-11-22T20:13:05.1239Z") == "2026-11-22T20:13:05.123Z"
    assert len(parse_time("2026-11-22")) == 24
    with pytest.raises(Invalid) as caught:
        parse_time("the day after", "since")
    assert caught.value.detail["field"] == "since"


def test_the_digest_covers_everything_but_itself():
    sealed = op().sealed()
    body = {k: v for k, v in json.loads(sealed.text()).items() if k != "digest"}
    assert sealed.digest == "sha256:" + hashlib.sha256(model.canonical(body).encode()).hexdigest()
    for change in ({"client": "x"}, {"nonce": "a0"}, {"base": ()}, {"set": {"content": "x"}}, {"purge": True}):
        assert op(**change).sealed().digest != sealed.digest


def test_an_op_survives_its_text():
    sealed = op(extra={"signed": "by me"}).sealed()
    assert Op.parse(sealed.text()) == sealed
    for text in ("", "[]", "{}", '{"v":1}', "\x00"):
        with pytest.raises(Invalid) as caught:
            Op.parse(text)
        assert caught.value.code == "bad_op"


@pytest.mark.parametrize("change", [
    {}, {"purge": True, "set": {}}, {"base": ()}, {"client": "é\"\\"}, {"set": {"content": "\u2028 \U0001f600 \t\"\\"}},
    {"set": {"metadata": {"b": 1.0, "a": [1e21, 0.1, -0.0, None, {"\U0001f600": 1, "\ufb33": 2}]}}},
    {"set": {"occurred_at": None, "state": "paused", "tags": []}},
])  # fmt: skip
def test_the_quick_way_of_sealing_gives_the_same(change):
    sealed, text = opcheck.seal(op(**change))
    assert sealed == op(**change).sealed()
    assert text == sealed.text()


def test_a_blanked_op_keeps_stamp_id_and_digest_only():
    sealed = op(extra={"note": "secret"}).sealed()
    blank = sealed.blanked()
    assert (blank.stamp, blank.id, blank.digest) == (sealed.stamp, sealed.id, sealed.digest)
    assert (blank.set, blank.base, blank.nonce, blank.extra) == ({}, (), "", {})
    assert opcheck.is_blank(blank)


@pytest.mark.parametrize(("name", "value", "error"), [
    ("content", "", Invalid), ("content", " \n", Invalid), ("content", "a\0b", Invalid), ("content", "\ud800", Invalid),
    ("content", 7, Invalid), ("content", "é" * 32_769, TooLarge), ("tags", "work", Invalid), ("tags", [1], Invalid),
    ("tags", ["x" * 65], TooLarge), ("tags", [str(n) for n in range(65)], TooLarge), ("tags", ["a\tb"], Invalid),
    ("metadata", [], Invalid), ("metadata", {"a": float("nan")}, Invalid), ("metadata", {"a": 2**53 + 1}, Invalid),
    ("metadata", {"a": "x" * 17_000}, TooLarge), ("metadata", {"a": {1, 2}}, Invalid), ("metadata", {"a": "\0"}, Invalid),
    ("state", "deleted", Invalid), ("privacy", "public", Invalid), ("deleted", 1, Invalid), ("client", "Claude!", Invalid),
    ("occurred_at", "yesterday", Invalid), ("created_at", None, Invalid), ("thread", "x" * 257, TooLarge),
    ("source", "", Invalid), ("supersedes", "0199", Invalid), ("colour", "red", Invalid),
])  # fmt: skip
def test_bad_values_are_refused(name, value, error):
    with pytest.raises(error):
        check_field(name, value)


@pytest.mark.parametrize(("name", "value", "stored"), [
    ("content", "x", "x"), ("content", "é" * 32_768, "é" * 32_768), ("tags", ("b", "a", " b "), ["b", "a"]), ("tags", [], []),
    ("metadata", {"a": [1, 2.5, None]}, {"a": [1, 2.5, None]}), ("state", "archived", "archived"), ("deleted", True, True),
    ("occurred_at", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"), ("expires_at", None, None), ("thread", None, None),
    ("client", "claude-code", "claude-code"),
])  # fmt: skip
def test_good_values_have_one_stored_form(name, value, stored):
    assert check_field(name, value) == stored
    assert check_field(name, stored) == stored


@given(st.lists(st.text(st.sampled_from('a b,#"\u2003'), min_size=1, max_size=6), max_size=5))
def test_a_line_of_tags_names_the_same_tags(tags: list[str]) -> None:
    held = model.check_tags([tag for tag in tags if tag.strip()])
    assert model.tags_of(model.tags_line(held)) == held


@pytest.mark.parametrize(
    ("line", "tags"),
    [
        (" #a, b c ,, a,#b c", ["a", "b c"]),
        ('"red, green", "#1" ,home', ["red, green", "#1", "home"]),
        ('"say ""hi""", 5" pipe', ['say "hi"', '5" pipe']),
        ('"no end, home', ['"no end', "home"]),
        ('"a" b, c', ['"a" b', "c"]),
        ('"", " "', []),
    ],
)
def test_what_a_line_of_tags_names(line: str, tags: list[str]) -> None:
    assert model.tags_of(line) == tags
