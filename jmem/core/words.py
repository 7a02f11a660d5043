"""The words of texts, as every comparison of them sees them."""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W_]+")
"""Letters and digits: what the full-text index takes for a word."""
COMPARED_CHARS = 4_000
"""Of a text, what is compared by words; the beginning of a long one tells as much."""


def words(text: str) -> set[str]:
    """The words of the beginning of a text, lower-cased."""
    return set(WORD.findall(text[:COMPARED_CHARS].lower()))


def share(a: set[str], b: set[str]) -> float:
    """The share of words that two texts have in common, 0 to 1; 0 where neither has any."""
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0
