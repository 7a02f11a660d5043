"""Proof that a device and its account know the same: their hash trees compared, what differs named, and mended.

What is new on either side is exchanged first. What changes while both are looked at shows as another end of the feed, and
is exchanged and looked at again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jmem.core import outbox, tree, treescan
from jmem.core.store import Store
from jmem.core.tree import NODE, Leaf
from sync.protocol import MAX_MEND, Limits, TreeAnswer
from sync.remote import Offline, Rejected, Remote

T = TypeVar("T")
MAX_NODES = 64
"""Nodes that are asked for at once: up to 256 buckets are below each."""
MAX_WAITS = 10
MAX_WAIT_S = 90.0
"""How often, and how long at most each time, a comparison waits where the account asks it to."""
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
    wait: Callable[[float], object] = time.sleep,
) -> Verdict:  # fmt: skip
    """Compare, and with `fix` put right what can be. `exchange` brings both together, `purged` ends what purges began, `wait`
    lets seconds pass where the account asks for it.

    Raises what `exchange`, `wait` and the account raise.
    """
    return _Verifying(store, remote, exchange, purged, tell, wait).verdict(fix=fix)


class _Verifying:
    """One comparison under way."""

    def __init__(
        self, store: Store, remote: Remote, exchange: Callable[[], object], purged: Callable[[], object], tell: Tell,
        wait: Callable[[float], object],
    ) -> None:  # fmt: skip
        self._store, self._remote, self._exchange, self._purged = store, remote, exchange, purged
        self._tell, self._wait = tell, wait
        self._limits = Limits()

    def verdict(self, *, fix: bool) -> Verdict:
        """Compare, and mend."""
        self._limits = self._patient(self._remote.hello).limits
        verdict = self._settled()
        if not fix or not verdict.differing:
            return verdict
        ids = [one.id for one in verdict.differing]
        for n, some in enumerate(_parts(ids, self._limits.logs)):
            with self._store.reader() as conn:
                seen = outbox.seen_of(conn, some)
            logs = self._patient(lambda some=some: self._remote.logs_of(some))  # type: ignore[misc]
            for id, theirs in logs.items():
                if outbox.mend(self._store, id, theirs, "sync", seen):
                    self._purged()
            self._tell("mended", n * self._limits.logs + len(some))
        self._patient(self._exchange)
        for some in _parts(ids, MAX_MEND):
            self._patient(lambda some=some: self._remote.mend(some))  # type: ignore[misc]
        again = self._settled()
        left = {one.id for one in again.differing}
        return Verdict(again.local, again.hosted, again.differing, [id for id in ids if id not in left])

    def _settled(self) -> Verdict:
        """The differences that stay when nobody writes."""
        for last in (False, False, True):
            self._patient(self._exchange)
            found, seq = self._compare()
            if not found.differing or last or _seen(self._store) == seq:
                return found
        raise AssertionError("unreachable")

    def _patient(self, ask: Callable[[], T]) -> T:
        """What is asked, again where the account said when to come back: it counts what one asks in a minute."""
        for _ in range(MAX_WAITS):
            try:
                return ask()
            except Offline as error:
                if error.retry_after is None:
                    raise
                self._wait(min(error.retry_after + 0.5, MAX_WAIT_S))
        return ask()

    def _compare(self) -> tuple[Verdict, int]:
        """What differs, and how far the account's feed goes."""
        with self._store.reader() as conn:
            here = treescan.scan(conn, lambda done: self._tell("compared", done))
        top = self._tree(())
        verdict = Verdict(here.memories, top.memories)
        differing = tree.differing(here.buckets.above(NODE).nodes(), top.nodes)
        seq, leaves = top.seq, dict[str, Leaf]()
        buckets: list[str] = []
        for nodes in _parts(differing, min(self._limits.tree_names, MAX_NODES)):
            answer = self._tree(nodes)
            seq = max(seq, answer.seq)
            buckets += tree.differing(here.buckets.below(nodes), answer.nodes)
        for names in _parts(buckets, self._limits.tree_names):
            answer = self._tree(names)
            seq = max(seq, answer.seq)
            leaves.update((leaf.id, _leaf(leaf.model_dump())) for leaf in answer.leaves)
            self._tell("compared", len(leaves))
        if buckets:
            with self._store.reader() as conn:
                mine = treescan.leaves(conn, buckets)
                waits = outbox.waiting_of(conn)
            verdict.differing = list(_differences(mine, leaves, waits))
        return verdict, seq

    def _tree(self, names: Sequence[str]) -> TreeAnswer:
        return self._patient(lambda: self._remote.tree(names))


def _seen(store: Store) -> int:
    with store.reader() as conn:
        return int((outbox.position(conn).cursor or "0:").partition(":")[0])


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
