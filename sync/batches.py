"""How much goes into one push: as much as the line and the account have shown that they take in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.protocol import Limits

FIRST_BYTES = 256 * 1024
"""The account wants a request whole within half a minute: this much gets through a line of 10 KB a second."""
QUICK_S = 5.0
"""A batch that took no longer may be followed by one of twice its size."""
_ENVELOPE = 1024
"""Bytes of a push beside its ops."""


@dataclass(slots=True)
class Batches:
    """Bounds of the next batch; halved where one was too much, and growing back while they go quickly."""

    most: Limits = field(default_factory=Limits)
    ops: int = Limits().push_ops
    bytes: int = FIRST_BYTES

    def learn(self, limits: Limits) -> None:
        """What the account allows; asked anew, something on the way may allow more again too."""
        self.most = limits
        self._bound()

    def too_much(self, texts: Mapping[str, str]) -> None:
        """A batch failed, perhaps for its size: half of it next."""
        self.ops = min(self.ops, len(texts)) // 2
        self.bytes = min(self.bytes, _size(texts)) // 2
        self._bound()

    def too_big(self, texts: Mapping[str, str]) -> None:
        """A batch of this size is refused, and will be."""
        self.too_much(texts)
        self.most = self.most.model_copy(update={"push_bytes": self.bytes + _ENVELOPE, "push_ops": self.ops})

    def went(self, texts: Mapping[str, str], seconds: float) -> None:
        """A batch was taken."""
        if seconds <= QUICK_S:
            self.ops = max(self.ops, 2 * len(texts))
            self.bytes = max(self.bytes, 2 * _size(texts))
            self._bound()

    def _bound(self) -> None:
        self.ops = max(1, min(self.ops, self.most.push_ops))
        self.bytes = max(1, min(self.bytes, self.most.push_bytes - _ENVELOPE))


def _size(texts: Mapping[str, str]) -> int:
    return sum(len(text.encode()) + 1 for text in texts.values())
