"""Memories that have no vector yet because the embedder was away or refuses their text, and when each is due again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

FIRST_REFUSAL, LONGEST_REFUSAL = 60.0, 86_400.0
"""Seconds until a text that was refused by itself is tried again; another model, or a restart, tries it at once."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str
    pause: float
    due_at: float


@dataclass(slots=True)
class Postponed:
    """Ids with the `seq` at which they came up. Those refused by themselves wait on their own and hold nobody up."""

    _seqs: dict[str, int] = field(default_factory=dict)
    _refusals: dict[str, _Refusal] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._seqs)

    def add(self, id: str, seq: int) -> None:
        """It waits for the embedder to come back."""
        self._seqs.setdefault(id, seq)

    def refuse(self, id: str, seq: int, reason: str) -> None:
        """The embedder works, but not for this text: each refusal doubles the time until the next try."""
        self.add(id, seq)
        before = self._refusals.get(id)
        pause = FIRST_REFUSAL if before is None else min(LONGEST_REFUSAL, before.pause * 2)
        self._refusals[id] = _Refusal(reason, pause, time.monotonic() + pause)

    def drop(self, ids: Iterable[str]) -> None:
        """These wait no more: embedded, or gone."""
        for id in ids:
            self._seqs.pop(id, None)
            self._refusals.pop(id, None)

    def due(self) -> list[str]:
        """What to try now."""
        now = time.monotonic()
        return [id for id in self._seqs if id not in self._refusals or self._refusals[id].due_at <= now]

    @property
    def only_refused(self) -> bool:
        """Whether nothing waits but texts that the embedder refuses."""
        return len(self._seqs) == len(self._refusals)

    @property
    def reason(self) -> str | None:
        """Why texts are refused, for people; None while none is."""
        for refusal in self._refusals.values():
            return f"{len(self._refusals)} not taken by the embedder: {refusal.reason}"
        return None

    def patience(self) -> float | None:
        """Seconds until the first refused text is due; None while none is refused."""
        due = min((refusal.due_at for refusal in self._refusals.values()), default=None)
        return None if due is None else max(0.0, due - time.monotonic())

    def settled(self, position: int) -> int:
        """The seq up to which nothing waits, at most `position`."""
        return min(position, min(self._seqs.values(), default=position + 1) - 1)
