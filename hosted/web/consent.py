"""The page where a person lets a program in that comes by OAuth. Supabase sends them here."""

from __future__ import annotations

import re
from typing import Any

import structlog
from starlette.responses import Response

from hosted.identity import grants
from hosted.identity.lookup import Rights
from hosted.identity.principal import SESSION_CLIENT
from hosted.identity.supabase import SignInRefused
from hosted.web import browser
from hosted.web.rights import rights_asked, typed
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.errors import Invalid, NotFound, Refused
from jmem.core.model import MAX_CLIENT_CHARS

pages = Pages(private=True)
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_log = structlog.get_logger(__name__)


@pages.get("/oauth/consent")
async def ask(visit: Visit) -> Response:
    """Which program asks, where it will send the person, and what it may do."""
    await _forget_unknown(visit)
    asked = await _asked(visit, visit.query.get("authorization_id", ""))
    if not isinstance(asked.get("client"), dict):  # it was let in before, here too
        return _onward(visit, str(asked.get("redirect_url") or ""), let_in=True)
    return visit.page("consent.html", **_shown(asked), rights=Rights("program"), problem="")


@pages.post("/oauth/consent")
async def decide(visit: Visit) -> Response:
    """Let it in with these permissions, or not; then back to the program."""
    authorization_id = visit.form.get("authorization_id")
    asked = await _asked(visit, authorization_id)
    if not isinstance(asked.get("client"), dict):
        return _onward(visit, str(asked.get("redirect_url") or ""), let_in=True)
    shown = _shown(asked)
    if visit.form.get("decision") != "allow":
        return _onward(visit, await _decided(visit, authorization_id, "deny"), let_in=False)
    try:
        given = rights_asked(visit.form, shown["slug"])
    except Invalid as error:
        return visit.page("consent.html", 422, **shown, rights=typed(visit.form), problem=error.message)
    if not (given.read or given.write or given.delete):
        return visit.page(
            "consent.html", 422, **shown, rights=typed(visit.form), problem="Choose at least one permission, or refuse."
        )
    address = await _decided(visit, authorization_id, "approve")
    # the program learns its code by the answer to this: it is let in before it can ask anything
    async with visit.site.backend.database.tenant(visit.me.user_id) as conn:
        await grants.allow(conn, visit.me.user_id, shown["client_id"], shown["name"], given)
    return _onward(visit, address, let_in=True)


async def _forget_unknown(visit: Visit) -> None:
    """Have Supabase forget consents that nothing here goes with: given elsewhere, or left by an end that came between.

    It would use them without asking, and the program would be handed tokens that are refused here for ever.
    """
    token, user_id = visit.session.tokens.access_token, visit.me.user_id
    try:
        consented = await visit.site.supabase.programs(token)
        async with visit.site.backend.database.tenant(user_id) as conn:
            known = {grant.client_id for grant in await grants.listed(conn, user_id)}
        for client_id in consented:
            if client_id not in known:
                await visit.site.supabase.revoke_program(token, client_id)
    except SignInRefused as refused:  # a project that keeps no list asks every time
        _log.warning("consents_not_compared", code=refused.reason)


async def _asked(visit: Visit, authorization_id: str) -> dict[str, Any]:
    if not _ID.fullmatch(authorization_id):
        raise NotFound("there is no such request to let a program in", fix="start again from the program")
    try:
        return await visit.site.supabase.authorization(visit.session.tokens.access_token, authorization_id)
    except SignInRefused as refused:
        raise NotFound("this request to let a program in is answered already, too old, or not yours",
                       fix="start again from the program") from refused  # fmt: skip


async def _decided(visit: Visit, authorization_id: str, action: str) -> str:
    token = visit.session.tokens.access_token
    try:
        return await visit.site.supabase.decide(token, authorization_id, "approve" if action == "approve" else "deny")
    except SignInRefused as refused:
        raise Refused(f"the sign-in service did not take the answer: {refused.message}",
                      fix="start again from the program") from refused  # fmt: skip


def _shown(asked: dict[str, Any]) -> dict[str, Any]:
    client = asked["client"]
    name = "".join(c for c in str(client.get("name") or "") if c.isprintable()).strip()[:100]
    slug = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:MAX_CLIENT_CHARS] or "program"
    slug = f"{slug}-program" if slug == SESSION_CLIENT else slug
    place = browser.place_of(str(asked.get("redirect_uri") or ""))
    if not place:
        raise Refused("the program names no way back that a browser could be sent", fix="start again from the program")
    return {
        "authorization_id": str(asked.get("authorization_id") or ""), "client_id": str(client.get("id") or ""),
        "name": name or "A program without a name", "slug": slug, "place": place,
    }  # fmt: skip


def _onward(visit: Visit, address: str, *, let_in: bool) -> Response:
    """Back to the program. Not by a redirect, which `form-action` would hold back for addresses that are not ours."""
    address = browser.outside(address)
    return visit.page("onward.html", 200 if address else 502, address=address, let_in=let_in)
