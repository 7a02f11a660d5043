"""What every embedder is, and the text it is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from jmem.core.embed.memory import giving_back
from jmem.core.errors import JmemError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

MAX_EMBED_CHARS = 4_000
"""Text past this is not embedded: 256 word pieces end long before it. The lexical leg sees all of it."""


class EmbedderUnavailable(JmemError):
    """No vectors can be had now; search goes on with words alone. HTTP 503, exit 1."""

    code, status, exit_code = "embedder_unavailable", 503, 1


class EmbeddingRefused(EmbedderUnavailable):
    """The embedder answers, but has no vector for one of these texts; asked for fewer of them it may have the others'."""


def embed_text(content: str, speaker: str | None) -> str:
    """What is embedded of a memory: `speaker: content`, cut at MAX_EMBED_CHARS."""
    text = content[:MAX_EMBED_CHARS]
    return f"{speaker}: {text}" if speaker else text


class QueryGate:
    """Lets queries pass before bulk work: two cores can't do both at full speed.

    Bulk work of all users takes turns under one lock and steps aside, for at most `patience` seconds a
    batch, while a query is being embedded.
    """

    def __init__(self, patience: float = 1.0) -> None:
        self._patience = patience
        self._queries = 0
        self._idle = threading.Condition()
        self._bulk = threading.Lock()

    @contextmanager
    def query(self) -> Iterator[None]:
        """While a query is embedded: texts in bulk wait."""
        with self._idle:
            self._queries += 1
        try:
            yield
        finally:
            with self._idle:
                self._queries -= 1
                if not self._queries:
                    self._idle.notify_all()

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """While a batch of texts is embedded: it begins when no query waits."""
        with self._bulk:
            with self._idle:
                self._idle.wait_for(lambda: not self._queries, timeout=self._patience)
            yield


class Embedder(Protocol):
    """Turns text into unit vectors. Thread-safe; loads itself at first use."""

    @property
    def name(self) -> str:
        """The value of the setting `embedder`."""

    @property
    def fingerprint(self) -> str:
        """Names model, revision, dimension and preprocessing: vectors of different ones never mix.
        Raises EmbedderUnavailable while it can't be known."""

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""

    @property
    def remote(self) -> bool:
        """Whether texts leave this machine."""

    @property
    def loaded(self) -> bool:
        """Whether it can embed at once."""

    @property
    def gate(self) -> QueryGate:
        """Lets queries go before texts in bulk."""

    @property
    def last_used(self) -> float:
        """`time.monotonic()` of the last use; 0.0 before the first."""

    def load(self) -> None:
        """Make it ready; returns at once when it is. Raises EmbedderUnavailable."""

    def unload(self) -> None:
        """Give back its memory; the next use loads it again."""

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """(len(texts), dimension) float32 rows of length 1; raises EmbedderUnavailable, or its kind EmbeddingRefused
        where the reason may be one of the texts.

        `query` marks a question rather than a memory: some models want a different prefix, and a remote
        one then answers fast or not at all.
        """


class LocalEmbedder:
    """What embedders inside this process share: one load at a time, the time of the last use."""

    remote = False

    def __init__(self) -> None:
        self.gate = QueryGate()
        self.last_used = 0.0
        self._loading = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether it can embed at once."""
        raise NotImplementedError

    def _load(self) -> None:
        raise NotImplementedError

    def load(self) -> None:
        """Load the model, once; raises EmbedderUnavailable."""
        if not self.loaded:
            with self._loading:
                if not self.loaded:
                    self._load()
        self.touch()

    def touch(self) -> None:
        """Note that it is in use, for `last_used`."""
        self.last_used = time.monotonic()


class PackagedEmbedder(LocalEmbedder):
    """What embedders share whose model is one object of another package: `_load` sets `_model`."""

    def __init__(self) -> None:
        super().__init__()
        self._model: Any = None

    @property
    def loaded(self) -> bool:
        """Whether it can embed at once."""
        return self._model is not None

    def unload(self) -> None:
        """Give back the memory of the model; the next use loads it again."""
        with giving_back(), self._loading:
            self._model = None

    def _ready(self) -> Any:
        """The model, loaded; raises EmbedderUnavailable."""
        while True:
            self.load()
            model = self._model
            if model is not None:  # else it was unloaded in between
                return model


def unit(vectors: Vectors) -> Vectors:
    """The rows at length 1; raises EmbeddingRefused for NaN, infinity or a zero row, which no index may hold."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise EmbeddingRefused("the embedder answered with a vector that has no direction")
    return np.asarray(vectors / lengths, dtype=np.float32)
