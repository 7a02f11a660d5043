"""Whether an answer is likely to be about the question at all.

Two signs are added: the best cosine, and which share of the best possible bm25 the best row reaches (words
that no memory has count against it). Among more memories the best cosine of an unrelated question is higher,
by about 0.03 for each factor of e, so the threshold rises with the store.

Measured with `python -m bench.recall`: on LoCoMo's five development conversations (names in every turn) 99%
of the questions of categories 1 to 4 are confident in their own conversation and 13% in another one; on
bench/data/notes.json (short notes without names, asked in other words) 81% and, of those that have no answer
in them, 12%. With words alone 97% and 21%, and 65% and 24%.
"""

from __future__ import annotations

from math import log

from jmem.core.terms import Weighed

SHARE_WEIGHT = 0.25
THRESHOLD, TYPICAL_ROWS, RISE = 0.46, 500, 0.015
WORDS_THRESHOLD = 0.12


def is_confident(weighed: Weighed, lexical: float, vector: float | None, *, scoped: bool = False) -> bool:
    """`lexical`: the best bm25; `vector`: the best cosine, None when words alone were used.

    `scoped`: the asker sees a part of the store. How frequent a word is in all of it would tell which words the
    hidden part has, so only what was found counts.
    """
    if scoped:
        return lexical > 0 if vector is None else vector >= THRESHOLD
    share = lexical / weighed.best_score if weighed.frequencies else 0.0
    if vector is None:
        return share >= WORDS_THRESHOLD
    threshold = THRESHOLD + RISE * log(max(50, weighed.rows) / TYPICAL_ROWS)
    return vector + SHARE_WEIGHT * share >= threshold
