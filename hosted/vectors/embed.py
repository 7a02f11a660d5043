"""Embeddings: texts of many requests in few questions, none asked twice, and a failure that search survives.

A memory's text is embedded in bulk; the words of a question in a queue of their own, with less patience. What was
embedded is remembered in this process by user and hash of the text: a shared memory would tell by its speed whether
somebody else has the same text.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from jmem.core.embed import Embedder, EmbedderUnavailable
from jmem.core.embed.base import MAX_EMBED_CHARS
from jmem.core.errors import Invalid
from jmem.core.vectorcache import VectorCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from openai import AsyncOpenAI

    Vector = NDArray[np.float32]

log = logging.getLogger(__name__)

DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
BATCH_TEXTS, BULK_WAIT_S, QUERY_WAIT_S = 64, 0.02, 0.004
"""Of one question to the embedder, and for how long the first text waits for others."""
AT_ONCE = 4
BULK_TIMEOUT_S, BULK_RETRIES = 30.0, 3
QUERY_TIMEOUT_S, QUERY_RETRIES = 3.0, 0
REST_S = 10.0
"""For which a remote embedder that failed is not asked again by searches."""
CACHED = 1024
"""Vectors that are remembered: 6 MB of OpenAI's small model."""


class Rejected(EmbedderUnavailable):
    """The embedder will never take these texts; others it may."""

    code = "text_not_embedded"


@dataclass(frozen=True, slots=True)
class Model:
    """What vectors depend on: those of different models are never compared, and live in collections of their own."""

    provider: str
    name: str
    dimension: int

    @property
    def key(self) -> str:
        """How it is named in the index's state."""
        return f"{self.provider}/{self.name}/{self.dimension}"

    @property
    def suffix(self) -> str:
        """How its collection is named, after the collection's name."""
        return self.key.replace("/", ".")

    @staticmethod
    def of_suffix(suffix: str) -> Model | None:
        """The model of a collection; None for a name that no model has."""
        provider, _, rest = suffix.partition(".")
        name, _, dimension = rest.rpartition(".")
        return Model(provider, name, int(dimension)) if name and dimension.isdecimal() else None


class Source(Protocol):
    """What makes vectors of one model."""

    @property
    def model(self) -> Model:
        """Whose vectors they are."""

    @property
    def remote(self) -> bool:
        """Whether texts leave this machine."""

    async def ask(self, texts: Sequence[str], *, query: bool) -> Sequence[Vector]:
        """One unit vector a text; raises EmbedderUnavailable, Rejected."""

    async def close(self) -> None:
        """Let go of its connections."""


class OpenAISource:
    """OpenAI's embeddings, or another server's that speaks its dialect. Backs off as the server says, and jitters."""

    remote = True

    def __init__(self, model: str, api_key: str, base_url: str = "") -> None:
        from openai import AsyncOpenAI

        if model not in DIMENSIONS:
            raise Invalid(f"EMBEDDER_MODEL is one of {', '.join(DIMENSIONS)}", code="setting", field="EMBEDDER_MODEL")
        self.model = Model("openai", model, DIMENSIONS[model])
        self._client: AsyncOpenAI = AsyncOpenAI(api_key=api_key, base_url=base_url or "https://api.openai.com/v1")

    async def ask(self, texts: Sequence[str], *, query: bool) -> Sequence[Vector]:
        """One unit vector a text; raises EmbedderUnavailable, Rejected."""
        import numpy as np
        from openai import BadRequestError, OpenAIError

        timeout, retries = (QUERY_TIMEOUT_S, QUERY_RETRIES) if query else (BULK_TIMEOUT_S, BULK_RETRIES)
        client = self._client.with_options(timeout=timeout, max_retries=retries)
        try:
            answer = await client.embeddings.create(input=list(texts), model=self.model.name, encoding_format="float")
        except BadRequestError as error:
            raise Rejected("the embedder refuses this text") from error
        except OpenAIError as error:
            raise EmbedderUnavailable(f"the embedder failed: {type(error).__name__}") from error
        rows = sorted(answer.data or [], key=lambda row: row.index)
        if len(rows) != len(texts) or any(len(row.embedding) != self.model.dimension for row in rows):
            raise EmbedderUnavailable(f"the embedder's answer is not {len(texts)} vectors of {self.model.dimension}")
        vectors = [np.asarray(row.embedding, np.float32) for row in rows]
        if not all(np.isfinite(vector).all() for vector in vectors):
            raise EmbedderUnavailable("the embedder's answer holds what is no number")
        return vectors

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class LocalSource:
    """The bundled model, in threads: one for questions, one for the rest, which lets questions pass."""

    remote = False

    def __init__(self, embedder: Embedder | None = None) -> None:
        from jmem.core.embed.bundled import SHA256, BundledEmbedder

        self._embedder = embedder or BundledEmbedder()
        self.model = Model("bundled", f"minilm-int8-{SHA256[:12]}", self._embedder.dimension)
        self._pool = ThreadPoolExecutor(2, "jmem-embed")

    async def ask(self, texts: Sequence[str], *, query: bool) -> Sequence[Vector]:
        """One unit vector a text; raises EmbedderUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._embed, texts, query)

    def _embed(self, texts: Sequence[str], query: bool) -> Sequence[Vector]:
        gate = self._embedder.gate
        with gate.query() if query else gate.bulk():
            return list(self._embedder.embed(texts, query=query))

    async def close(self) -> None:
        """Let the threads and the model go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._embedder.unload()


class Gatherer:
    """Puts the texts of several requests into one question: asked when there are enough, or at a deadline."""

    def __init__(self, ask: Callable[[list[str]], Awaitable[Sequence[Vector]]], wait: float) -> None:
        self._ask, self._wait = ask, wait
        self._waiting: list[tuple[str, asyncio.Future[Vector]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._free = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def vector(self, text: str) -> Vector:
        """The vector of a text; raises EmbedderUnavailable, Rejected."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Vector] = loop.create_future()
        self._waiting.append((text, future))
        if len(self._waiting) >= BATCH_TEXTS:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(self._wait, self._flush)
        return await future

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        if batch:
            task = asyncio.create_task(self._run(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, batch: list[tuple[str, asyncio.Future[Vector]]]) -> None:
        texts = list(dict.fromkeys(text for text, future in batch if not future.done()))
        if not texts:
            return
        async with self._free:
            told = await self._tell(texts)
        for text, future in batch:
            answer = told[text]
            if future.done():
                continue
            if isinstance(answer, EmbedderUnavailable):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _tell(self, texts: list[str]) -> dict[str, Vector | EmbedderUnavailable]:
        try:
            return dict(zip(texts, await self._ask(texts), strict=True))
        except Rejected as error:
            if len(texts) == 1:
                return {texts[0]: error}
            # one that is refused must not stop those of others
            parts = [await self._tell([text]) for text in texts]
            return {text: answer for part in parts for text, answer in part.items()}
        except EmbedderUnavailable as error:
            return dict.fromkeys(texts, error)
        except Exception as error:  # the model's own: whoever waits has to be told something
            log.exception("the embedder failed")
            return dict.fromkeys(texts, EmbedderUnavailable(f"the embedder failed: {type(error).__name__}"))


class Embeddings:
    """The vectors of one model."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.model = source.model
        self._bulk = Gatherer(lambda texts: source.ask(texts, query=False), BULK_WAIT_S)
        self._queries = Gatherer(lambda texts: source.ask(texts, query=True), QUERY_WAIT_S)
        self._known = VectorCache(CACHED)
        self._forgotten = 0
        self._resting_until = 0.0

    async def texts(self, user_id: UUID, texts: Sequence[str]) -> list[Vector | None]:
        """The vectors of memories' texts, None for one that the embedder refuses; raises EmbedderUnavailable."""
        found = await asyncio.gather(
            *(self._vector(user_id, text, self._bulk) for text in texts), return_exceptions=True
        )
        vectors: list[Vector | None] = []
        for answer in found:
            if isinstance(answer, Rejected):
                log.warning("the embedder refuses a text")
                vectors.append(None)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                vectors.append(answer)
        return vectors

    async def query(self, user_id: UUID, text: str) -> Vector:
        """The vector of a question; raises EmbedderUnavailable, at once while the embedder rests from a failure."""
        if time.monotonic() < self._resting_until:
            raise EmbedderUnavailable("the embedder failed a moment ago")
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_S):
                return await self._vector(user_id, text[:MAX_EMBED_CHARS], self._queries)
        except TimeoutError:
            self._rest()
            raise EmbedderUnavailable("the embedder is not ready yet") from None
        except Rejected:
            raise
        except EmbedderUnavailable:
            self._rest()
            raise

    def forget(self) -> None:
        """Drop every remembered vector, and remember none that is being made: one may come from a purged text."""
        self._forgotten += 1
        self._known.clear()

    async def close(self) -> None:
        """Let the model or its connections go."""
        await self.source.close()

    def _rest(self) -> None:
        if self.source.remote:
            self._resting_until = time.monotonic() + REST_S

    async def _vector(self, user_id: UUID, text: str, gatherer: Gatherer) -> Vector:
        key = (user_id.hex, hashlib.sha256(text.encode()).hexdigest())
        vector = self._known.get(key)
        if vector is None:
            forgotten = self._forgotten
            vector = await gatherer.vector(text)
            if forgotten == self._forgotten:
                self._known.put(key, vector)
        return vector


def source_of(model: Model, api_key: str, base_url: str = "") -> Source | None:
    """What makes vectors of a model that a collection is named after; None when there is nothing (any more)."""
    made: Source | None = None
    if model.provider == "openai" and model.name in DIMENSIONS and api_key:
        made = OpenAISource(model.name, api_key, base_url)
    elif model.provider == "bundled":
        made = LocalSource()
    return made if made is not None and made.model == model else None


def configured(provider: str, model: str, api_key: str, base_url: str = "") -> Source:
    """The source that the settings name; raises Invalid `setting`."""
    match provider or ("openai" if api_key else "bundled"):
        case "openai":
            if not api_key:
                raise Invalid("EMBEDDER_PROVIDER openai needs OPENAI_API_KEY", code="setting", field="OPENAI_API_KEY")
            return OpenAISource(model or "text-embedding-3-small", api_key, base_url)
        case "bundled":
            return LocalSource()
    raise Invalid("EMBEDDER_PROVIDER is openai or bundled", code="setting", field="EMBEDDER_PROVIDER")
