"""Any model of the fastembed package, from the extra `jmem[fastembed]`. It downloads its model at first use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jmem.core.embed.base import EmbedderUnavailable, PackagedEmbedder, unit
from jmem.core.errors import Invalid

if TYPE_CHECKING:
    from jmem.core.embed.base import Vectors

FIX = 'uv tool install "jmem[fastembed]"'


class FastEmbedEmbedder(PackagedEmbedder):
    """`model` is one of fastembed's own names; its dimension is read from fastembed's table."""

    name = "fastembed"

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model_name = model
        self._dimension = 0

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        if not self._dimension:
            try:
                self._dimension = int(_package().get_embedding_size(self._model_name))
            except ValueError:
                raise Invalid(f"fastembed knows no model {self._model_name!r}", code="bad_config",
                              field="embedder.model") from None  # fmt: skip
        return self._dimension

    @property
    def fingerprint(self) -> str:
        """What the vectors depend on; other vectors are not compared with these."""
        return f"fastembed/{self._model_name}/{self.dimension}"

    def _load(self) -> None:
        package = _package()
        try:
            self._model = package(self._model_name, threads=1)
        except Exception as error:  # a download's errors are of many kinds
            raise EmbedderUnavailable(f"fastembed can't load {self._model_name}: {error}"[:500]) from error

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """One unit vector a text, as float32 rows; raises EmbedderUnavailable."""
        import numpy as np

        model = self._ready()
        rows = list((model.query_embed if query else model.passage_embed)(list(texts)))
        self.touch()
        return unit(np.asarray(rows, np.float32)) if rows else np.empty((0, self.dimension), np.float32)


def _package() -> Any:
    try:
        from fastembed import TextEmbedding
    except ImportError:
        raise EmbedderUnavailable("the embedder fastembed is not installed", fix=FIX) from None
    return TextEmbedding
