"""Embeddings over HTTP in OpenAI's dialect: OpenAI, Ollama, LM Studio, vLLM and others.

The dimension is the model's own: it is learnt from the first answer and kept in a small file, so that
the index opens after a restart even while the server is away.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmem.core.embed.base import EmbedderUnavailable, EmbeddingRefused, QueryGate, unit
from jmem.core.errors import Invalid

if TYPE_CHECKING:
    from jmem.core.embed.base import Vectors

BATCH_TEXTS = 64
BULK_TIMEOUT, BULK_RETRIES = 60.0, 3
QUERY_TIMEOUT, QUERY_RETRIES = 5.0, 0
"""Seconds, tries: a search would rather go on with words alone than wait."""
REFUSALS = frozenset((400, 413, 422))
"""Statuses that may be for one of the texts, not for the whole request."""
DEFAULT_BASE_URL = "https://api.openai.com/v1"


class OpenAIEmbedder:
    """A remote model. Raises EmbedderUnavailable for every failure of the server or the network, as EmbeddingRefused
    where it may lie in a text."""

    name = "openai"
    remote = True

    def __init__(self, *, base_url: str, model: str, api_key: str, dimensions_file: Path | None = None) -> None:
        if not model:
            raise Invalid("the openai embedder needs a model", code="bad_config", field="embedder.model",
                          fix="jmem config set embedder.model text-embedding-3-small")  # fmt: skip
        self._base_url = (base_url or DEFAULT_BASE_URL).rstrip("/")
        self._model = model
        self._api_key = api_key or "none"  # the client insists on one; local servers ignore it
        self._file = dimensions_file
        self._client: Any = None
        self._lock = threading.Lock()
        self.dimension = self._known_dimensions().get(self._key, 0)
        self.gate = QueryGate()
        self.last_used = 0.0

    @property
    def _key(self) -> str:
        return f"openai/{self._base_url}/{self._model}"

    @property
    def fingerprint(self) -> str:
        """What the vectors depend on; other vectors are not compared with these."""
        if not self.dimension:
            raise EmbedderUnavailable(f"the dimension of {self._model} is not known before its first answer")
        return f"{self._key}/{self.dimension}"

    @property
    def loaded(self) -> bool:
        """Whether it can embed at once."""
        return self._client is not None and self.dimension > 0

    def load(self) -> None:
        """Ask once, which tells the dimension; raises EmbedderUnavailable."""
        if not self.loaded:
            self._ask(["jmem"], BULK_TIMEOUT, 0)

    def unload(self) -> None:
        """Close the connection; the next use opens another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """One unit vector a text, as float32 rows; raises EmbedderUnavailable."""
        import numpy as np

        timeout, retries = (QUERY_TIMEOUT, QUERY_RETRIES) if query else (BULK_TIMEOUT, BULK_RETRIES)
        parts = [self._ask(texts[i : i + BATCH_TEXTS], timeout, retries) for i in range(0, len(texts), BATCH_TEXTS)]
        self.last_used = time.monotonic()
        return np.concatenate(parts) if parts else np.empty((0, self.dimension), np.float32)

    def _ask(self, texts: Sequence[str], timeout: float, retries: int) -> Vectors:
        import numpy as np
        from openai import OpenAIError

        client = self._open().with_options(timeout=timeout, max_retries=retries)
        try:
            answer = client.embeddings.create(input=list(texts), model=self._model, encoding_format="float")
        except OpenAIError as error:
            kind = EmbeddingRefused if getattr(error, "status_code", None) in REFUSALS else EmbedderUnavailable
            raise kind(f"the embedder at {self._base_url} failed: {error}"[:500],
                       fix="jmem config set embedder.base_url …") from error  # fmt: skip
        rows = sorted(answer.data or [], key=lambda row: row.index)
        if len(rows) != len(texts) or len({len(row.embedding) for row in rows}) != 1:
            raise EmbeddingRefused(
                f"the embedder at {self._base_url} answered with {len(rows)} vectors for {len(texts)} texts"
            )
        vectors = np.array([row.embedding for row in rows], np.float32)
        self._learn(vectors.shape[1])
        return unit(vectors)

    def _open(self) -> Any:
        with self._lock:
            if self._client is None:
                from openai import OpenAI

                self._client = OpenAI(base_url=self._base_url, api_key=self._api_key)
            return self._client

    def _learn(self, dimension: int) -> None:
        """Another dimension under the same name is another model: the fingerprint changes with it."""
        with self._lock:
            if dimension == self.dimension:
                return
            self.dimension = dimension
            if self._file is not None:
                known = {**self._known_dimensions(), self._key: dimension}
                part = self._file.with_suffix(".part")
                part.write_text(json.dumps(known), encoding="utf-8")
                part.replace(self._file)

    def _known_dimensions(self) -> dict[str, int]:
        try:
            raw = json.loads(self._file.read_text(encoding="utf-8")) if self._file else {}
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in raw.items() if isinstance(v, int) and v > 0} if isinstance(raw, dict) else {}
