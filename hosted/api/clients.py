"""The programs of the account, by name."""

from __future__ import annotations

from fastapi import Response

from hosted.api.routing import Call, Routes, answer
from hosted.identity import clients
from hosted.identity.principal import owner
from jmem.core.wire import answers
from jmem.core.wire.base import NoQuery

routes = Routes("clients")


@routes.route("GET", "/clients", NoQuery, "Connected programs", answers={200: answers.Clients}, who=owner)
async def list_clients(call: Call, ask: NoQuery) -> Response:
    """With what each may do by its keys, URLs and consents together, and when it was last seen."""
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        return answer({"clients": await clients.listed(conn, user_id)})
