"""Whether an answer is likely to be about the question at all.

Two signs are added: the best cosine, and which share of the best possible bm25 the best row reaches (words
that no memory has count against it).
"""

from __future__ import annotations

from jmem.core.terms import Weighed

WEIGHT = 0.5
THRESHOLD = 0.58
WORDS_THRESHOLD = 0.16


def is_confident(weighed: Weighed, lexical: float, vector: float | None) -> bool:
    """`lexical`: the best bm25; `vector`: the best cosine, None when words alone were used."""
    share = lexical / weighed.best_score if weighed.frequencies and weighed.best_score > 0 else 0.0
    if vector is None:
        return share >= WORDS_THRESHOLD
    return vector + WEIGHT * share >= THRESHOLD
