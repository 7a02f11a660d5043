"""Realistic memories and questions: English words at Zipf's frequencies, from a seed.

The words are the whole words of the bundled embedder's vocabulary, which is ordered by frequency, so that
tokens, document frequencies and embedding cost are those of real notes (about 127 characters each).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import Any

VERSION = 1
"""Raise it when the generated text changes: filled stores are cached under it."""
_EXPONENT = 1.05
_START = datetime(2024, 1, 1, tzinfo=UTC)
_SPEAKERS = ("Maya", "Jonas", "Priya", "Tom", None, None)
_TAGS = ("work", "travel", "family", "health", "food", "code", "money", "books")
_ASK = ("what did", "when was", "where is", "who told", "which one has", "how many times did", "why did", "what about")


@cache
def words() -> list[str]:
    """English words, the most frequent first."""
    lines = files("jmem.core.embed").joinpath("vocab.txt").read_text(encoding="utf-8").split("\n")
    first = lines.index("the")
    return [w for w in lines[first:] if w.isascii() and w.isalpha() and (len(w) > 1 or w in "ai")]


@cache
def _rank() -> dict[str, int]:
    return {word: rank for rank, word in reversed(list(enumerate(words())))}


@cache
def _weights() -> list[float]:
    return list(accumulate((rank + 2.7) ** -_EXPONENT for rank in range(len(words()))))


def _pick(rng: random.Random, count: int) -> list[str]:
    return rng.choices(words(), cum_weights=_weights(), k=count)


def _sentence(rng: random.Random) -> str:
    count = min(60, max(4, round(rng.lognormvariate(3.05, 0.45))))
    picked = _pick(rng, count)
    return " ".join(picked).capitalize() + "."


def memories(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """`count` memories as `jmem import --from jsonl` takes them; the same for the same seed, whatever the count."""
    rng = random.Random(seed)
    moment, thread, left = _START, "", 0
    for number in range(count):
        if left == 0:
            thread, left = f"conversation-{seed}-{number}", rng.randint(8, 40)
        left -= 1
        moment += timedelta(seconds=rng.expovariate(1 / 900))
        item: dict[str, Any] = {
            "content": _sentence(rng),
            "thread": thread,
            "occurred_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if speaker := rng.choice(_SPEAKERS):
            item["speaker"] = speaker
        if rng.random() < 0.4:
            item["tags"] = rng.sample(_TAGS, rng.randint(1, 2))
        yield item


def questions(count: int, seed: int = 11) -> list[str]:
    """`count` questions, no two alike: a question word, a few frequent words and two to four rarer ones."""
    rng = random.Random(seed)
    asked: dict[str, None] = {}
    while len(asked) < count:
        rare = [w for w in _pick(rng, 60) if _rank()[w] > 150][: rng.randint(2, 4)]
        text = f"{rng.choice(_ASK)} {' '.join(_pick(rng, rng.randint(2, 5)))} {' '.join(rare)}"
        asked[text] = None
    return list(asked)
