"""Who asks: the holder of an API key, and nobody else. What a request says of its user is not asked for."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import Request
from fastapi.security import APIKeyHeader

from hosted.identity.errors import BadToken
from hosted.identity.principal import Identity, Principal, Via, bearer

PREFIX = "/openmemory/api/v1"
PROOFS: Collection[Via] = frozenset(("api_key",))
header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="api_key", description="an API key")


async def program(request: Request) -> Principal:
    """The holder of the API key in `Authorization: Bearer` or `X-API-Key`; raises BadToken, MissingScope."""
    given = [*request.headers.getlist("authorization"), *request.headers.getlist("x-api-key")]
    if len(given) > 1:
        raise BadToken("there are several keys in the request")
    credentials = await bearer(request)
    token = await header(request) or (credentials.credentials if credentials else None)
    if token is None:
        raise BadToken("this needs an API key", code="unauthorized", missing=not given)
    identity: Identity = request.app.state.identity
    found = await identity.of_bearer(token, PROOFS)
    request.state.principal = found
    return found
