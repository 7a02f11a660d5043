"""Who asks, where a test is about something else than tokens: the account whose id is the bearer token."""

from __future__ import annotations

import uuid

from hosted.identity.errors import BadToken
from hosted.identity.principal import Principal
from jmem.core.actor import Actor


class LetIn:
    """Stands for `Identity`: lets everybody in."""

    async def of_bearer(self, token: str) -> Principal:
        """The owner of the account with this id; raises BadToken for what is none."""
        try:
            return Principal(uuid.UUID(token), Actor("web"), "session")
        except ValueError:
            raise BadToken("this needs a bearer token", code="unauthorized", missing=True) from None

    async def again(self, token: str) -> Principal:
        """The same."""
        return await self.of_bearer(token)


def bearer(user: uuid.UUID) -> dict[str, str]:
    """The header with which an account asks."""
    return {"authorization": f"Bearer {user}"}
