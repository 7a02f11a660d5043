"""Adding with extraction: the facts of a passage where the model gives them, else the passage itself, marked.

The model is asked in threads of a pool of its own, and no transaction is open while it thinks: what is known is read
before, what it says is written after.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from hosted.memories import writes
from hosted.memories.base import Account
from jmem.core import extract
from jmem.core.errors import JmemError, RateLimited, Refused
from jmem.core.extract import Extraction, ExtractionFailed, Extractor, Remembered
from jmem.core.filter import Filter
from jmem.core.model import Memory, now_iso
from jmem.core.query import SearchOutcome, SearchQuery

if TYPE_CHECKING:
    from hosted.settings import Settings
    from jmem.core.actor import Actor
    from jmem.core.drafts import Added, Draft

AT_ONCE = 16
"""Passages that the model is asked about at once, by one replica."""
GRACE_S = 0.5
"""For the model to say itself that it took too long."""
OPENAI = "https://api.openai.com/v1"
NO_MODEL = "this backend has no model"
log = logging.getLogger(__name__)


class Inference:
    """The model, asked from the event loop by a bounded number of threads."""

    def __init__(self, extractor: Extractor, at_once: int = AT_ONCE) -> None:
        self.extractor = extractor
        self._threads = ThreadPoolExecutor(at_once, "jmem-infer")
        self._free = asyncio.Semaphore(at_once)

    async def extract(self, text: str, known: Sequence[Memory], *, said_at: str, speaker: str | None) -> Extraction:
        """The facts of a passage; raises ExtractionFailed after the model's `timeout`, waiting for others included."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.extractor.timeout
        try:
            async with asyncio.timeout_at(until):
                await self._free.acquire()
        except TimeoutError:
            raise ExtractionFailed("too many passages wait for the model") from None
        ask = partial(self.extractor.extract, text, known, said_at=said_at, speaker=speaker)
        asked = loop.run_in_executor(self._threads, ask)
        asked.add_done_callback(self._done)
        # not cancelled with the request, which leaves its thread at work: that one is not free yet
        done, _ = await asyncio.wait([asked], timeout=until - loop.time() + GRACE_S)
        if not done:
            raise ExtractionFailed("others had the model for too long")
        return asked.result()

    def close(self) -> None:
        """Let the threads go; those that wait for the model end with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, asked: asyncio.Future[Extraction]) -> None:
        self._free.release()
        if not asked.cancelled():
            asked.exception()  # it was told, unless nobody waits any more


def inference_of(settings: Settings, base_url: str = OPENAI) -> Inference | None:
    """The model of the settings; None without one."""
    if settings.llm_provider != "openai" or not settings.openai_api_key:
        return None
    return Inference(Extractor(base_url, settings.openai_model, settings.openai_api_key))


class Inferring(Account):
    """The part of `Memories` that takes passages apart."""

    add: Callable[[Draft, Actor], Coroutine[Any, Any, Added]]
    add_many: Callable[[Sequence[Draft], Actor], Coroutine[Any, Any, list[Added | JmemError]]]
    search: Callable[..., Coroutine[Any, Any, SearchOutcome]]

    async def remember(self, draft: Draft, actor: Actor) -> Remembered:
        """Add what a passage says: its facts where the model gives them, else the passage itself.

        Raises what `add` raises for the passage; no failure of the model is among that.
        """
        try:
            actor.may("write")
            fields = writes.checked(draft, actor)
        except Refused as error:
            self.refused(actor, "add", error)
            raise
        draft = extract.passage_of(draft, fields)
        inference = self._backend.inference
        if inference is None:
            return Remembered([await self.add(draft, actor)], reason=NO_MODEL)
        if (why := extract.held_back(inference.extractor, draft)) is not None:
            return await self._verbatim(draft, actor, "skipped", why)
        known = await self._known(inference.extractor, draft, actor)
        said_at = fields.get("occurred_at") or now_iso()
        try:
            extraction = await inference.extract(draft.content, known, said_at=said_at, speaker=draft.speaker)
        except ExtractionFailed as error:
            log.warning("extraction failed: %s", error)
            return await self._verbatim(draft, actor, "failed", str(error))
        return await self._store(draft, actor, extraction)

    async def _known(self, extractor: Extractor, draft: Draft, actor: Actor) -> list[Memory]:
        """Near memories of this account that the actor may read; none when search fails."""
        if not actor.read:
            return []
        query = SearchQuery(draft.content[: extract.MAX_QUERY_CHARS], extract.MAX_KNOWN, Filter())
        try:
            hits = (await self.search(query, actor, keep_query=False)).hits
        except JmemError as error:
            log.warning("extraction goes on without what is known: %s", error.message)
            return []
        return extract.to_show(extractor, (hit.memory for hit in hits))

    async def _store(self, draft: Draft, actor: Actor, extraction: Extraction) -> Remembered:
        if not extraction.facts:
            return Remembered([], list(extraction.known), inferred=True)
        drafts = extract.drafts_of(draft, extraction)
        try:
            results = await self.add_many(drafts, actor)
        except RateLimited:  # the passage is one change, where its facts are more than the hour has left
            return await self._verbatim(draft, actor, "failed", extract.NO_ROOM)
        if any(isinstance(result, JmemError) for result in results):
            again = await self.add_many(extract.unlinked(drafts, results), actor)
            if any(isinstance(result, JmemError) for result in again):
                return await self._verbatim(draft, actor, "failed", extract.NOT_STORED)
            results = [*results, *again]
        return extract.remembered(results, extraction)

    async def _verbatim(self, draft: Draft, actor: Actor, mark: str, reason: str) -> Remembered:
        return Remembered([await self.add(extract.marked(draft, mark, reason), actor)], reason=reason)
