"""What an add is told of, on every backend: the equal one it does not store again, and those it resembles.

Those are the few that hold its rare words and share enough of all. Cheap on purpose, since an add waits for it: of a few
long words, those are looked up that few memories have.
"""

from __future__ import annotations

from collections.abc import Iterable

from jmem.core.actor import Actor
from jmem.core.drafts import Near
from jmem.core.filter import Filter
from jmem.core.words import share, words

MAX_TERMS = 6
ENOUGH_TERMS = 3
"""Looking stops after so many telling terms."""
MAX_DOCS = 32
"""A term in more memories than this tells little."""
MAX_LOOKED_AT = 6
_MAX_NEAR = 3
_MIN_SCORE = 0.5


def equals_for(actor: Actor) -> list[Filter]:
    """Of which memories an add is told that it equals one: the active ones that the actor may read.

    Whether or not it may read, also what it wrote itself: a write that is repeated because its answer was lost is one
    memory. Where what it writes waits for review, that is what waits of it already.
    """
    filters = [Filter() if actor.read else Filter(clients=(actor.client,))]
    if actor.review:
        filters.append(Filter(states=("review",), clients=(actor.client,)))
    return filters


def telling(mine: set[str]) -> list[str]:
    """The words to look up, the longest first: they are the rare ones, mostly."""
    return sorted((word for word in mine if len(word) > 2), key=lambda word: (-len(word), word))[:MAX_TERMS]


def needed(telling_terms: int) -> int:
    """How many of the telling terms a memory has to hold: one of several in common is no resemblance yet."""
    return 2 if telling_terms > 1 else 1


def nearest(mine: set[str], found: Iterable[tuple[str, str]], without: str | None) -> tuple[Near, ...]:
    """Of (id, text), at most three that share at least half of their words with `mine`, best first."""
    scored = ((id, text, share(mine, words(text))) for id, text in found if id != without)
    near = [Near(id, text, round(score, 3)) for id, text, score in scored if score >= _MIN_SCORE]
    return tuple(sorted(near, key=lambda n: (-n.score, n.id))[:_MAX_NEAR])
