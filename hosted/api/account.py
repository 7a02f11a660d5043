"""The account itself: where to sign in, who one is, signing out, and the end."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from hosted.api.access import Body, account_of, database_of, token_of
from hosted.identity import grants
from hosted.identity.accounts import Accounts
from hosted.identity.principal import Person
from hosted.identity.supabase import Supabase
from hosted.settings import Settings
from jmem.core.errors import Invalid

router = APIRouter(tags=["account"])


class SignOutAsk(Body):
    """Which sessions to end."""

    scope: Literal["local", "global"] = Field("local", description="this session, or all of them")


class DeleteAsk(Body):
    """A deletion that was meant."""

    confirm: str = Field(description="the account's address")


@router.get("/auth")
async def sign_in_at(request: Request) -> dict[str, Any]:
    """Where a program signs its user in: the Supabase project and its publishable key. Needs no token."""
    settings: Settings = request.app.state.settings
    return {"supabase_url": settings.supabase_url, "publishable_key": settings.supabase_anon_key}


@router.get("/account")
async def account(person: Person) -> dict[str, Any]:
    """Whose session this is."""
    return account_of(person)


@router.post("/account/sign-out", status_code=204)
async def sign_out(request: Request, person: Person, ask: SignOutAsk) -> Response:
    """End sessions here at once and at Supabase; tokens of theirs are refused from the next request on."""
    async with database_of(request).tenant(person.user_id) as conn:
        await grants.sign_out(
            conn, person.user_id, (person.session_id or "") if ask.scope == "local" else grants.EVERY_SESSION
        )
    supabase: Supabase = request.app.state.supabase
    await supabase.sign_out(token_of(request), ask.scope)
    return Response(status_code=204)


@router.delete("/account", status_code=202)
async def delete_account(request: Request, person: Person, ask: DeleteAsk) -> dict[str, Any]:
    """Delete the account with everything in it, for ever. `deleted` is false while something is left to do: that goes on
    alone, and no token or key of the account works any more."""
    if ask.confirm.strip().casefold() != person.email.casefold():
        raise Invalid("confirm must be the account's address", code="not_confirmed", field="confirm")
    accounts: Accounts = request.app.state.accounts
    return {"deleted": await accounts.delete(person.user_id)}
