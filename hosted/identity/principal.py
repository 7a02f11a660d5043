"""Who asks. The tenant is the token's `sub` or the key's owner, and comes from nowhere else: no path, query or body.

Three ways for a route to ask, each stricter than the one before:

    current   anybody known: a session, an API key, or a program that was let in; the actor says what it may do
    owner     everything of the account, as for sync and export: a session, or a key without restriction
    person    the account's own settings, keys and end: a session alone, so that no leaked key can make another
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from fastapi import Request
from fastapi.security import HTTPBearer

from hosted.db.errors import AccountDeleted
from hosted.edge.rates import admit
from hosted.identity import audit, secret
from hosted.identity.errors import BadToken, MissingScope
from hosted.identity.jwt import MAX_TOKEN, Verifier
from hosted.identity.lookup import Lookup, Rights
from jmem.core.actor import Actor
from jmem.core.errors import JmemError

Via = Literal["session", "api_key", "connector", "oauth"]
Permission = Literal["read", "write", "delete", "everything"]
SESSION_CLIENT = "web"
BEARERS: Collection[Via] = frozenset(("session", "api_key", "oauth"))
"""How a bearer token may prove who asks; a connector's key serves in its URL alone."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks and what they may do. `key_id` for keys, `client_id` for programs, `session_id` for both JWT kinds."""

    user_id: UUID
    actor: Actor
    via: Via
    key_id: UUID | None = None
    client_id: str | None = None
    session_id: str | None = None
    email: str = ""

    def may(self, *permissions: Permission) -> None:
        """Raise MissingScope unless the actor has every one of these."""
        has = {"read": self.actor.read, "write": self.actor.write, "delete": self.actor.delete,
               "everything": self.actor.unrestricted}  # fmt: skip
        for permission in permissions:
            if not has[permission]:
                raise MissingScope(permission, self.actor.client)


class Identity:
    """Tells who asks. `resource_metadata` is the address that challenges name; `observe` is told every outcome."""

    def __init__(
        self, verifier: Verifier, lookup: Lookup, *, resource_metadata: str | None = None,
        observe: Callable[[str], None] = lambda outcome: None,
    ) -> None:  # fmt: skip
        self._verifier, self._lookup, self._observe = verifier, lookup, observe
        self.resource_metadata = resource_metadata

    async def of_bearer(self, token: str, accepted: Collection[Via] = BEARERS) -> Principal:
        """Who a bearer token belongs to; raises BadToken, MissingScope, AccountDeleted or IdentityUnavailable."""
        try:
            found = await self.again(token)
            if found.via not in accepted:
                raise _not_here(found)
        except (BadToken, MissingScope, AccountDeleted) as error:
            await self._refused(error)
            raise
        self._observe(found.via)
        await admit(found)
        return found

    async def again(self, token: str) -> Principal:
        """As `of_bearer`, for a request that is being answered still: it is not counted once more."""
        kind = secret.kind_of(token)
        if kind is None:
            return await self._of_jwt(token)
        if kind == "connector":
            raise BadToken("the key of a personal URL is no bearer token")
        return await self._of_key(token, "api_key")

    async def of_connector(self, client: str, key: str) -> Principal:
        """Who the last part of a personal URL belongs to, when it is this client's; raises BadToken, AccountDeleted."""
        try:
            found = await self.connector_again(client, key)
        except (BadToken, AccountDeleted) as error:
            await self._refused(error)
            raise
        self._observe(found.via)
        await admit(found)
        return found

    async def connector_again(self, client: str, key: str) -> Principal:
        """As `of_connector`, for a stream that is open already."""
        if secret.kind_of(key) != "connector":
            raise BadToken("this is no key of a personal URL")
        found = await self._of_key(key, "connector")
        if found.actor.client != client:
            raise BadToken("the key is not this client's", of=found.user_id)
        return found

    async def _refused(self, error: JmemError) -> None:
        self._observe(error.code)
        if isinstance(error, BadToken) and error.of is not None:
            await audit.refused(error.of, error.code)

    async def _of_key(self, key: str, via: Literal["api_key", "connector"]) -> Principal:
        digest = secret.digest(key) if len(key) <= MAX_TOKEN else None
        holder = await self._lookup.key(digest) if digest else None
        if holder is None:
            raise BadToken("the key is not known")
        if not holder.valid:
            raise BadToken("the key is revoked or has expired", code="key_revoked", of=holder.user_id)
        return Principal(holder.user_id, _actor(holder.rights, own=via == "api_key"), via, key_id=holder.id)

    async def _of_jwt(self, token: str) -> Principal:
        claims = await self._verifier.verify(token)
        holder = await self._lookup.session(claims)
        if holder.deleted:
            raise AccountDeleted()
        if holder.signed_out:
            if await self._lookup.revoked(claims):
                raise BadToken("this device was revoked by its owner", code="device_revoked", of=claims.user_id)
            raise BadToken("the session was signed out", code="signed_out", of=claims.user_id)
        if claims.client_id is None:
            actor = Actor(SESSION_CLIENT)
            return Principal(claims.user_id, actor, "session", session_id=claims.session_id, email=claims.email)
        if holder.rights is None:
            raise BadToken(
                "this program was not let in, or was disconnected", code="program_not_allowed", of=claims.user_id
            )
        return Principal(
            claims.user_id, _actor(holder.rights, own=False), "oauth", client_id=claims.client_id,
            session_id=claims.session_id, email=claims.email,
        )  # fmt: skip


def token_of(request: Request) -> str:
    """The bearer token of a request whose sender is known already."""
    return request.headers["authorization"].partition(" ")[2].strip()


async def still_owner(request: Request, *, expired: bool = False) -> bool:
    """Whether who opened a stream as the owner would be let in as the owner now; a stream asks before it tells anything, and
    whenever somebody's rights in the account change.

    Not after the key was revoked or restricted, the session signed out, its token out of time, or the account deleted.
    With `expired` a token may have gone out of time meanwhile, as what can't be asked for anew is let come to its end.
    """
    again: Callable[[], Awaitable[Principal]] | None = getattr(request.state, "again", None)
    if again is None:
        return True  # let in by something other than a token
    try:
        (await again()).may("everything")
    except JmemError as error:
        return expired and error.code == "token_expired"
    return True


def _actor(rights: Rights, *, own: bool) -> Actor:
    """An unrestricted API key is the owner's own hand, as a session is; an assistant never is."""
    actor = Actor(
        rights.client, rights.read, rights.write, rights.delete, rights.tags, rights.review, rights.writes_per_hour
    )
    return replace(actor, owner=own and actor.unrestricted)


def _not_here(found: Principal) -> MissingScope:
    words = {"session": "use this address with a session: connect as a program", "api_key": "do this with an API key: sign in",
             "oauth": "do this as a connected program: sign in"}  # fmt: skip
    return MissingScope(words.get(found.via, "do this"), found.actor.client)


bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="an access token or an API key")
"""Reads the token of a request, and tells of itself in OpenAPI."""


async def _authenticated(request: Request) -> Principal:
    credentials = await bearer(request)
    if len(request.headers.getlist("authorization")) > 1:
        raise BadToken("there are several Authorization headers")
    if credentials is None:
        raise BadToken("this needs a bearer token", code="unauthorized", missing="authorization" not in request.headers)
    identity: Identity = request.app.state.identity
    found = await identity.of_bearer(credentials.credentials)
    request.state.principal = found
    request.state.again = lambda: identity.again(credentials.credentials)
    return found


async def current(request: Request) -> Principal:
    """Anybody known; its actor says what it may do."""
    return await _authenticated(request)


async def owner(request: Request) -> Principal:
    """The owner's own hand, without restriction; raises MissingScope for anybody else."""
    found = await _authenticated(request)
    found.may("everything")
    return found


async def person(request: Request) -> Principal:
    """The signed-in person; raises MissingScope for keys and programs."""
    found = await _authenticated(request)
    if found.via != "session":
        raise _not_here(found)
    return found
