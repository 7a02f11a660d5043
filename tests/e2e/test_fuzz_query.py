"""Whatever is typed as a question is answered or refused with a reason: no failure, no syntax of the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.home import Api, Home

PIECES = st.sampled_from(
    ['"', "'", "*", "^", "(", ")", "{", "}", ":", "-", "+", "NEAR(", "NEAR/2", "AND", "OR", "NOT", "text:", "context:",
     "memory_fts", "rank", ";--", "\\", "%", "_", "\u200b", "\u202e", "🧠", "👩‍👩‍👧", "é", "ß", "中文", "seat", "aisle",
     "\n", "\t", "\x01", "\x7f", "\ufeff", "yesterday", "in March", "last week", "2024-02-30", "speaker:", "the", "I"]
)  # fmt: skip
QUERIES = st.lists(st.one_of(PIECES, st.text(max_size=12)), min_size=1, max_size=12).map(" ".join)
LEAKS = ("fts5", "syntax error", "sqlite", "malformed", "Traceback", "no such column")


@pytest.fixture(scope="module")
def api(daemon: Home) -> Iterator[Api]:
    with contextlib.closing(daemon.api()) as connection:
        connection.add("I prefer aisle seats on long flights", speaker="Ann")
        connection.add("NEAR( the river AND NOT the road *", tags=["text"])
        daemon.indexed()
        connection.search("wait for the model")
        yield connection


def check(api: Api, query: str, mode: str) -> None:
    raw = api.call("POST", "/api/v1/search", {"query": query, "mode": mode, "limit": 5})
    assert raw.status < 500, raw.raw
    if raw.ok:
        assert len(raw.body["results"]) <= 5
    else:
        assert raw.status in (413, 422)
        assert raw.body["code"]
        assert not query.strip() or "\0" in query or not query.isprintable() or len(query.encode()) > 60_000
    assert not any(leak in raw.raw.decode() for leak in LEAKS if leak not in query)  # the answer repeats the question


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=QUERIES, mode=st.sampled_from(["hybrid", "text", "text", "vector"]))
@example(query='"', mode="text")
@example(query="*", mode="hybrid")
@example(query="NEAR(", mode="text")
@example(query='a" OR "b', mode="text")
@example(query="content:seat", mode="text")
@example(query="-seat", mode="text")
@example(query="🧠", mode="hybrid")
@example(query="\u200b", mode="hybrid")
@example(query=" ".join(["OR"] * 50), mode="text")
def test_any_query_is_answered(api: Api, query: str, mode: str) -> None:
    check(api, query, mode)


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
@pytest.mark.parametrize(
    "query",
    [
        "seat " * 13_107,
        "🧠" * 16_384,
        '"' * 65_536,
        "a" * 65_536,
        " ".join(f"w{n}" for n in range(9_000)),
        "(" * 65_536,
    ],
    ids=["words", "emoji", "quotes", "one-word", "distinct-words", "brackets"],
)
def test_a_query_of_64_kib(api: Api, query: str, mode: str) -> None:
    check(api, query, mode)


def test_a_query_longer_than_any_memory_is_refused_or_answered(api: Api) -> None:
    answer = api.call("POST", "/api/v1/search", {"query": "seat " * 200_000})
    assert answer.status in (200, 413, 422)


def test_an_operator_is_just_a_word(api: Api) -> None:
    found = api.search("NEAR(", mode="text")["results"]
    assert found[0]["content"].startswith("NEAR(")
