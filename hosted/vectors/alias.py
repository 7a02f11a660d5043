"""Which collection answers: every model has its own, and an alias names the one that serves.

Questions go to that collection by its own name, which the replicas look up again and again, so that a vector of one model
is never compared with those of another. When the settings name a new model, its collection is filled in the background
while the old one goes on to answer and to be filled; then the alias is switched, and the old one dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from uuid import UUID

from qdrant_client import models
from sqlalchemy import text

from hosted.db.engine import DATABASE_FAILURES, Database
from hosted.ops.events import Bus
from hosted.vectors.client import KEYWORDS, NUMBERS, TENANT, Vectors, VectorsUnavailable, asking
from hosted.vectors.drain import BATCH, CLOSE_S, POLL_S, Depth, Drain, Target
from hosted.vectors.embed import Embeddings, Model, Source
from jmem.core.errors import Conflict
from jmem.core.receipts import PlaceReceipt, erased

log = logging.getLogger(__name__)

_FORGET = text("SELECT jmem.index_forget(:model)")
_SEPARATOR = "--"
FORGET = "jmem_forget"
"""The channel on which replicas tell each other to drop remembered vectors."""


class Collections:
    """The collections of one name: `NAME--MODEL`, and the alias NAME."""

    def __init__(self, vectors: Vectors, name: str) -> None:
        self._client, self.name = vectors.client, name

    def of(self, model: Model) -> str:
        """The collection of a model."""
        return f"{self.name}{_SEPARATOR}{model.suffix}"

    def model_of(self, collection: str) -> Model | None:
        """The model of a collection; None for a collection that is not one of these."""
        name, separator, suffix = collection.partition(_SEPARATOR)
        return Model.of_suffix(suffix) if separator and name == self.name else None

    async def create(self, model: Model) -> bool:
        """Make the collection of a model with its indexes; False when it was there. Safe to do twice."""
        collection = self.of(model)
        async with asking():
            made = not await self._client.collection_exists(collection)
            if made:
                await self._client.create_collection(
                    collection,
                    vectors_config=models.VectorParams(size=model.dimension, distance=models.Distance.COSINE),
                    # a graph a tenant, and none over all: nobody searches over all
                    hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
                    strict_mode_config=models.StrictModeConfig(
                        enabled=True, unindexed_filtering_retrieve=False, unindexed_filtering_update=False
                    ),
                )
            tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            await self._client.create_payload_index(collection, TENANT, tenant, wait=True)
            for field in KEYWORDS:
                kind = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD)
                await self._client.create_payload_index(collection, field, kind, wait=True)
            for field in NUMBERS:
                number = models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=False, range=True)
                await self._client.create_payload_index(collection, field, number, wait=True)
        return made

    async def serving(self) -> str | None:
        """The collection that the alias names; None before there is one."""
        async with asking():
            aliases = (await self._client.get_aliases()).aliases
        return next((each.collection_name for each in aliases if each.alias_name == self.name), None)

    async def switch(self, collection: str) -> None:
        """Have the alias name another collection, at once for everybody."""
        actions: list[models.DeleteAliasOperation | models.CreateAliasOperation] = []
        if await self.serving() is not None:
            actions.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self.name)))
        named = models.CreateAlias(collection_name=collection, alias_name=self.name)
        actions.append(models.CreateAliasOperation(create_alias=named))
        async with asking():
            if self.name in {each.name for each in (await self._client.get_collections()).collections}:
                raise Conflict(
                    f"Qdrant has a collection {self.name!r} that jmem did not make", code="index_name_taken",
                    fix="set MAIN_QDRANT_COLLECTION_NAME to another name, or delete that collection",
                )  # fmt: skip
            await self._client.update_collection_aliases(actions)

    async def drop(self, collection: str) -> None:
        """Delete a collection with all its points."""
        async with asking():
            await self._client.delete_collection(collection)

    async def all(self) -> list[str]:
        """Every collection of this name, whatever its model."""
        async with asking():
            told = (await self._client.get_collections()).collections
        return [each.name for each in told if self.model_of(each.name) is not None]


class VectorIndex:
    """The vector index as this replica sees it: what serves, what is being filled. Lives on one event loop."""

    def __init__(
        self, database: Database, vectors: Vectors, name: str, source: Source, other: Callable[[Model], Source | None],
        *, poll: float = POLL_S,
    ) -> None:  # fmt: skip
        """`source` makes the vectors that the settings want, `other` those of a model that serves still."""
        self.vectors, self.collections = vectors, Collections(vectors, name)
        self._database, self._poll, self._other = database, poll, other
        embeddings = Embeddings(source)
        self.wanted = Target(self.collections.of(embeddings.model), embeddings)
        self.serving: Target | None = None
        self._begun = self._filling = self._closing = False
        self._drains: dict[str, Drain] = {}
        self._task: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._bus: Bus | None = None
        self._untold = False

    # ---- life ---------------------------------------------------------------------------------

    def join(self, bus: Bus) -> None:
        """Hear of changes, and of what is forgotten in other replicas; before the bus starts."""
        self._bus = bus
        bus.on_change(self.hear)
        bus.carry(FORGET, lambda _: self._drop())

    def start(self) -> None:
        """Begin; Qdrant may be down, then it is tried again."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End everything that goes on, and let the models go."""
        self._closing = True
        self._look.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSE_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for drain in self._drains.values():
            await drain.close()
        for target in {id(target): target for target in (self.wanted, self.serving) if target is not None}.values():
            await target.embeddings.close()
        await self.vectors.close()

    def hear(self, user_id: UUID, seq: int = 0) -> None:
        """An account changed: for `Bus.on_change`."""
        for drain in self._drains.values():
            drain.hear(user_id, seq)

    def moved(self) -> None:
        """A search did not find the collection: look again which one serves."""
        self._look.set()

    async def _run(self) -> None:
        while not self._closing:
            pause = self._poll
            try:
                await self.step()
            except (VectorsUnavailable, Conflict, *DATABASE_FAILURES) as error:
                log.warning("the vector index can't be tended now: %s", error)
                pause = min(self._poll, 5.0)
            else:
                pause = min(self._poll, 2.0) if self._filling else self._poll
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), pause)
            if not self._closing:
                self._look.clear()

    @property
    def reached(self) -> bool:
        """Whether Qdrant has told once which collection serves."""
        return self._begun

    # ---- which one serves ---------------------------------------------------------------------

    async def step(self) -> None:
        """Look which collection serves; make, fill, switch and drop as far as can be done now."""
        await self._tell()
        named = await self.collections.serving()
        if named is None:
            await self._make()
            await self.collections.switch(self.wanted.collection)
            named = self.wanted.collection
        first = not self._begun
        await self._serve(named)
        if named == self.wanted.collection:
            if first:
                await self._make()  # it may have been lost
            self._filling = False
        elif first:  # a replica with other settings may have switched later: that one is followed, not undone
            await self._make()
            self._filling = True
        self._begun = True
        await self._keep_drains()
        if self._filling and await self._is_filled():
            await self._switch(named)

    async def _make(self) -> None:
        if await self.collections.create(self.wanted.embeddings.model):
            await self._forget(self.wanted.model)

    async def _forget(self, model: str) -> None:
        async with self._database.engine.begin() as conn:
            await conn.execute(_FORGET, {"model": model})

    async def _serve(self, named: str) -> None:
        if self.serving is not None and self.serving.collection == named:
            return
        before = self.serving
        if named == self.wanted.collection:
            self.serving = self.wanted
        else:
            model = self.collections.model_of(named)
            source = None if model is None else self._other(model)
            self.serving = None if source is None else Target(named, Embeddings(source))
        if before is not None and before is not self.wanted:
            await before.embeddings.close()

    async def _keep_drains(self) -> None:
        targets = {} if self.serving is None else {self.serving.collection: self.serving}
        if self._filling:
            targets[self.wanted.collection] = self.wanted
        for collection in [collection for collection in self._drains if collection not in targets]:
            await self._drains.pop(collection).close()
        for collection, target in targets.items():
            if collection not in self._drains:
                self._drains[collection] = drain = Drain(
                    self._database, self.vectors, target, poll=self._poll, forget=self.forget
                )
                drain.start()

    async def _is_filled(self) -> bool:
        depth = await self._drains[self.wanted.collection].depth()
        # where people write all the time it is never quite done
        return depth.empty == 0 and depth.worst <= BATCH

    async def _switch(self, old: str) -> None:
        log.info("the vector index answers from %s now", self.wanted.collection)
        await self.collections.switch(self.wanted.collection)
        self._filling = False
        await self._serve(self.wanted.collection)
        await self._keep_drains()
        await self.collections.drop(old)
        model = self.collections.model_of(old)
        if model is not None:
            await self._forget(model.key)

    # ---- for others ---------------------------------------------------------------------------

    async def forget(self) -> None:
        """Drop remembered vectors, in every replica: one may come from a purged text."""
        self._drop()
        self._untold = True
        await self._tell()

    async def _tell(self) -> None:
        if self._untold and self._bus is not None and not self._bus.alone:
            try:
                await self._bus.send(FORGET, [""])
            except ConnectionError:
                return  # with the next look
        self._untold = False

    def _drop(self) -> None:
        for target in (self.wanted, self.serving):
            if target is not None:
                target.embeddings.forget()

    async def purge(self, user_id: UUID, ids: Sequence[str]) -> PlaceReceipt:
        """Take forgotten memories out of every collection at once; what can't be now is done by the drain."""
        await self.forget()
        try:
            for collection in await self.collections.all():
                await self.vectors.delete(user_id, collection, ids)
        except VectorsUnavailable as error:
            return erased("vector index", f"to be done: {error.message}")
        return erased("vector index")

    async def depth(self) -> Depth:
        """How far behind what serves is; for metrics."""
        drain = None if self.serving is None else self._drains.get(self.serving.collection)
        return Depth() if drain is None else await drain.depth()

    @property
    def drains(self) -> dict[str, Drain]:
        """What is being filled, by collection; for metrics."""
        return self._drains
