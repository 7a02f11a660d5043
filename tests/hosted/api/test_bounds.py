"""Questions without end: what is kept of them, and asked of the database for them, is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from hosted.api.routing import MAX_BODY_BYTES
from jmem.core.model import MAX_CONTENT_BYTES, MAX_LIMIT
from jmem.core.wire.common import make_filter
from tests.hosted.api.conftest import Client


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"query": "a" * (MAX_CONTENT_BYTES + 1)}, "query"),
        ({"query": "a", "clients": [f"c{n}" for n in range(MAX_LIMIT + 1)]}, "clients"),
        ({"query": "a", "tags": [f"t{n}" for n in range(1000)]}, "tags"),
    ],
)
async def test_a_question_has_an_end(me: Client, asked: dict[str, Any], field: str) -> None:
    answer = await me.ask("POST", "/search", asked)
    assert (answer.status_code, answer.json()["field"]) == (413, field)
    assert (await me.ask("GET", "/access")).json()["accesses"] == []


@pytest.mark.parametrize("path", ["/memories", "/search", "/undo", "/review"])
async def test_what_is_no_batch_has_a_smaller_body(me: Client, path: str) -> None:
    answer = await me.ask("POST", path, {"content": "a", "metadata": {"note": "x" * MAX_BODY_BYTES}})
    assert (answer.status_code, answer.json()["limit"]) == (413, MAX_BODY_BYTES)
    adds = [{"op": "add", "content": f"{n} " + "long " * 12_000} for n in range(20)]
    assert (await me.ask("POST", "/memories/batch", {"operations": adds})).status_code == 200


async def test_the_longest_question_is_answered(me: Client) -> None:
    asked = {"query": "a " * (MAX_CONTENT_BYTES // 2), "clients": [f"c{n}" for n in range(MAX_LIMIT)]}
    assert (await me.ask("POST", "/search", asked)).status_code == 200


def test_a_state_that_is_named_often_is_one() -> None:
    assert make_filter(states=["active", "paused"] * 100_000).states == ("active", "paused")
