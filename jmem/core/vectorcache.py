"""Vectors of questions and of texts that are not in the index yet, in memory only."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]


class VectorCache:
    """The most recently used vectors by (embedder, text). Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], Vector] = OrderedDict()

    def get(self, key: tuple[str, str]) -> Vector | None:
        """The vector of a (fingerprint, text), None where it is not kept."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: tuple[str, str], vector: Vector) -> None:
        """Keep a vector; the one unused for longest goes."""
        with self._lock:
            self._held[key] = vector
            while len(self._held) > self._size:
                self._held.popitem(last=False)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._held.clear()
