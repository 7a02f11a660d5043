"""Proof that a device and its account know the same: their hash trees compared, what differs named, and mended.

What is new on either side is exchanged first. What changes while both are looked at shows as another end of the feed, and
is exchanged and looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmem.core import outbox, tree, treescan
from jmem.core.outbox import Mended
from jmem.core.store import Store
from jmem.core.tree import NODE, Leaf
from sync.protocol import MAX_MEND, MAX_TREE_NAMES
from sync.remote import Rejected, Remote

Tell = Callable[[str, int], object]
"""(what is done, how many of it)"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A memory that is not the same. `what`: missing_here, missing_there, ops (both have it, with other ops), row (the same
    ops, and a row that is not what they add up to); `waiting` are ops here that the account does not take."""

    id: str
    what: str
    waiting: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As it is told."""
        return {"id": self.id, "what": self.what, "waiting": self.waiting}


@dataclass(slots=True)
class Verdict:
    """How many memories each side has, and those that differ; `mended` were put right."""

    local: int
    hosted: int
    differing: list[Difference] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As it is told."""
        return {
            "equal": not self.differing, "local": self.local, "hosted": self.hosted,
            "differing": [one.id for one in self.differing], "differences": [one.as_dict() for one in self.differing],
            "mended": self.mended,
        }  # fmt: skip


def verify(
    store: Store, remote: Remote, exchange: Callable[[], object], *, fix: bool = False,
    purged: Callable[[], object] = lambda: None, tell: Tell = lambda what, done: None,
) -> Verdict:  # fmt: skip
    """Compare, and with `fix` put right what can be. `exchange` brings both together, `purged` ends what purges began.

    Raises what `exchange` and the account raise.
    """
    verdict = _settled(store, remote, exchange, tell)
    if not fix or not verdict.differing:
        return verdict
    for n, one in enumerate(verdict.differing):
        tell("mended", n)
        done = outbox.mend(store, one.id, remote.log_of(one.id), "sync")
        if done is Mended.PURGED:
            purged()
    exchange()
    for ids in _parts([one.id for one in verdict.differing], MAX_MEND):
        remote.mend(ids)
    again = _settled(store, remote, exchange, tell)
    left = {one.id for one in again.differing}
    mended = [one.id for one in verdict.differing if one.id not in left]
    return Verdict(again.local, again.hosted, again.differing, mended)


def _settled(store: Store, remote: Remote, exchange: Callable[[], object], tell: Tell) -> Verdict:
    """The differences that stay when nobody writes."""
    for last in (False, False, True):
        exchange()
        found, seq = _compare(store, remote, tell)
        if not found.differing or last or _seen(store) == seq:
            return found
    raise AssertionError("unreachable")


def _seen(store: Store) -> int:
    with store.reader() as conn:
        return int((outbox.position(conn).cursor or "0:").partition(":")[0])


def _compare(store: Store, remote: Remote, tell: Tell) -> tuple[Verdict, int]:
    """What differs, and how far the account's feed goes."""
    with store.reader() as conn:
        here = treescan.scan(conn, lambda done: tell("compared", done))
    top = remote.tree()
    verdict = Verdict(here.memories, top.memories)
    differing = tree.differing(here.buckets.above(NODE).nodes(), top.nodes)
    seq, leaves = top.seq, dict[str, Leaf]()
    buckets: list[str] = []
    for nodes in _parts(differing, MAX_TREE_NAMES):
        answer = remote.tree(nodes)
        seq = max(seq, answer.seq)
        buckets += tree.differing(here.buckets.below(nodes), answer.nodes)
    for names in _parts(buckets, MAX_TREE_NAMES):
        answer = remote.tree(names)
        seq = max(seq, answer.seq)
        leaves.update((leaf.id, _leaf(leaf.model_dump())) for leaf in answer.leaves)
    if buckets:
        with store.reader() as conn:
            mine = treescan.leaves(conn, buckets)
            waits = outbox.waiting_of(conn)
        verdict.differing = list(_differences(mine, leaves, waits))
    return verdict, seq


def _leaf(said: Mapping[str, Any]) -> Leaf:
    try:
        return Leaf.of(said)
    except (KeyError, ValueError, TypeError) as error:
        raise Rejected(f"not a part of a hash tree: {error!r}") from None


def _differences(
    here: Mapping[str, Leaf], there: Mapping[str, Leaf], waits: Mapping[str, int]
) -> Iterator[Difference]:  # fmt: skip
    for id in sorted(here.keys() | there.keys()):
        mine, theirs = here.get(id), there.get(id)
        if mine == theirs:
            continue
        if mine is None:
            what = "missing_here"
        elif theirs is None:
            what = "missing_there"
        else:
            what = "row" if (mine.ops, mine.log) == (theirs.ops, theirs.log) else "ops"
        yield Difference(id, what, waits.get(id, 0))


def _parts(names: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))
