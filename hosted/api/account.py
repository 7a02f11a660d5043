"""The account itself: where to sign in, who one is, signing out, and the end."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from fastapi import Request, Response
from pydantic import Field

from hosted.api import access
from hosted.api.routing import Call, Routes, answer, problems_of, takes
from hosted.db.errors import AccountDeleted
from hosted.identity import grants, signing_out
from hosted.identity.principal import person, token_of
from hosted.identity.services import services_of
from jmem.core.errors import Invalid
from jmem.core.wire.base import Ask, NoQuery, Query
from sync.protocol import AccountId

routes = Routes("account")


class AuthQuery(Query):
    """On whose behalf."""

    account: AccountId | None = Field(None, description="the id of the account that a machine belongs to")


class SignOutAsk(Ask):
    """Which sessions to end."""

    scope: Literal["local", "global"] = Field("local", description="this session, or all of them")


class DeleteAsk(Ask):
    """A deletion that was meant."""

    confirm: str = Field(description="the account's address")


@routes.router.get("/auth", summary="Where to sign in", operation_id="account_auth", response_model=access.SignInAt,
                   responses=problems_of(410, 422, 429, 503), openapi_extra=takes("/auth", AuthQuery))  # fmt: skip
async def auth(request: Request) -> Response:
    """The Supabase project and its publishable key, for programs that sign their user in. Needs no token.

    With an `account`: 410 where that one was deleted.
    """
    services, asked = services_of(request), AuthQuery.model_validate(dict(request.query_params))
    if asked.account is not None and await services.accounts.ended(UUID(asked.account)):
        raise AccountDeleted()
    return answer({"supabase_url": services.supabase_url, "publishable_key": services.publishable_key})


@routes.route("GET", "/account", NoQuery, "Whose session this is", answers={200: access.Account}, who=person)
async def account(call: Call, ask: NoQuery) -> Response:
    """The account's id and address."""
    return answer({"id": str(call.principal.user_id), "email": call.principal.email})


@routes.route("POST", "/account/sign-out", SignOutAsk, "Sign out", answers={200: access.Account}, who=person)
async def sign_out(call: Call, ask: SignOutAsk) -> Response:
    """Here at once, and at Supabase: tokens of the sessions are refused from the next request on."""
    principal = call.principal
    database, supabase = call.backend.database, services_of(call.request).supabase
    if ask.scope == "global":
        await signing_out.everywhere(database, supabase, principal.user_id, token_of(call.request))
    else:
        async with database.tenant(principal.user_id) as conn:
            await grants.sign_out(conn, principal.user_id, principal.session_id or "")
        await supabase.sign_out(token_of(call.request))
    return answer({"id": str(principal.user_id), "email": principal.email})


@routes.route("DELETE", "/account", DeleteAsk, "Delete the account", answers={202: access.AccountDeleted}, who=person)
async def delete_account(call: Call, ask: DeleteAsk) -> Response:
    """With everything in it, for ever. What can't be done at once goes on alone; no token or key works from here on."""
    if ask.confirm.strip().casefold() != call.principal.email.casefold():
        raise Invalid("confirm must be the account's address", code="not_confirmed", field="confirm")
    return answer({"deleted": await services_of(call.request).accounts.delete(call.principal.user_id)}, 202)
