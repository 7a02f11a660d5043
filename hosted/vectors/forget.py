"""Everything of one account out of the index, whichever models it has vectors of: what the end of an account asks."""

from __future__ import annotations

from uuid import UUID

from hosted.vectors.alias import Collections
from hosted.vectors.client import Vectors, VectorsUnavailable
from hosted.vectors.drain import Forget


class TenantIndex:
    """The points of accounts over all collections of one name: the one that serves, one being filled, one left over."""

    def __init__(self, vectors: Vectors, collections: Collections, forget: Forget) -> None:
        """`forget` drops what replicas remember of texts."""
        self._vectors, self._collections, self._forget = vectors, collections, forget

    async def forget_user(self, user_id: UUID) -> None:
        """Remove every point of the user; none is no error. Raises VectorsUnavailable."""
        await self._forget()
        for collection in await self._collections.all():
            try:
                await self._vectors.delete_tenant(user_id, collection)
            except VectorsUnavailable as error:
                if not error.missing:  # a switch of models dropped it meanwhile
                    raise

    async def count_user(self, user_id: UUID) -> int:
        """How many points the user has; raises VectorsUnavailable."""
        found = 0
        for collection in await self._collections.all():
            try:
                found += await self._vectors.count(user_id, collection)
            except VectorsUnavailable as error:
                if not error.missing:
                    raise
        return found


class NoIndex:
    """Where no vector index is set up, there is nothing to forget."""

    async def forget_user(self, user_id: UUID) -> None:
        """Nothing."""

    async def count_user(self, user_id: UUID) -> int:
        """None."""
        return 0
