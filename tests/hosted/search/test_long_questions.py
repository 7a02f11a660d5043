"""A question of many words over many memories: what is held and counted follows what matches, not words times rows."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from hosted.memories import lexical
from hosted.memories.lexical import TERM_ROWS

TERMS = [f"word{n}" for n in range(48)]


class Postgres:
    """Finds other rows for each word, as many as are looked at."""

    async def fetch(self, sql: str, terms: list[str], most: int) -> list[dict[str, Any]]:
        return [
            {"term": n, "total": 50_000, "ids": [f"{n}-{m}" for m in range(most)], "ranks": [0.0607927] * most,
             "lengths": [10] * most} for n in range(1, len(terms) + 1)
        ]  # fmt: skip


async def test_only_the_words_that_a_row_has_are_counted_for_it() -> None:
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(another())
    matches = await lexical._match(cast(Any, Postgres()), TERMS)
    other.cancel()
    assert sum(map(len, matches.counts.values())) == len(matches.counts) == len(TERMS) * TERM_ROWS
    assert turns >= len(TERMS)
