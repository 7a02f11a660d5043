"""The account itself: name, address, password, and its end."""

from __future__ import annotations

import hmac

from starlette.responses import Response

from hosted.identity.errors import IdentityUnavailable
from hosted.identity.supabase import Pkce, SignInRefused
from hosted.web import browser
from hosted.web.connections import connected
from hosted.web.entry import remember
from hosted.web.flashes import Flash
from hosted.web.refusals import refusal
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.filter import Filter
from jmem.core.model import STATES

pages = Pages(private=True)
MAX_NAME = 100


@pages.get("/settings")
async def settings(visit: Visit) -> Response:
    """What is known of the person, and where to change it."""
    return await _settings(visit)


async def _settings(visit: Visit, status: int = 200, problem: str = "") -> Response:
    try:
        user = await visit.site.supabase.user(visit.session.tokens.access_token)
    except (SignInRefused, IdentityUnavailable):
        user = {}
    given = user.get("user_metadata")
    name = str(given.get("name") or "") if isinstance(given, dict) else ""
    return visit.page("settings.html", status, name=name[:MAX_NAME], new_email=str(user.get("new_email") or ""),
                      email=str(user.get("email") or visit.me.email), problem=problem)  # fmt: skip


@pages.post("/settings/name")
async def name(visit: Visit) -> Response:
    """What the pages call the person."""
    wanted = "".join(c for c in visit.form.get("name") if c.isprintable()).strip()[:MAX_NAME]
    return await _changed(visit, Flash("name_saved"), data={"name": wanted})


@pages.post("/settings/email")
async def email(visit: Visit) -> Response:
    """Another address: it counts once the link in the mail that is sent there was followed, in this browser."""
    pkce = Pkce.make()
    fields = {"email": visit.form.get("email").strip(), **pkce.body()}
    response = await _changed(visit, Flash("email_asked"), **fields)
    return remember(visit, response, "email", pkce, "/settings")


async def _changed(visit: Visit, flash: Flash, **fields: object) -> Response:
    back = f"{visit.site.public_url}/auth/return/email"
    try:
        await visit.site.supabase.change_user(visit.session.tokens.access_token, redirect_to=back, **fields)
    except SignInRefused as refused:
        return await _settings(visit, 422, refusal(refused))
    return visit.go("/settings", flash)


@pages.get("/settings/delete")
async def leaving(visit: Visit) -> Response:
    """What deleting means, in numbers."""
    return await _leaving(visit)


async def _leaving(visit: Visit, status: int = 200, problem: str = "") -> Response:
    return visit.page("delete.html", status, counts=await _counts(visit), problem=problem)


async def _counts(visit: Visit) -> dict[str, int]:
    memories = await visit.memories.count(Filter(states=STATES, expired=True), visit.actor)
    return {"memories": memories, "connections": len(await connected(visit))}


@pages.post("/settings/delete")
async def delete(visit: Visit) -> Response:
    """The end, once the address is typed: marked at once, carried out now or within minutes."""
    typed, mine = visit.form.get("confirm").strip().lower(), visit.me.email.lower()
    if not mine or not hmac.compare_digest(typed.encode(), mine.encode()):
        return await _leaving(visit, 422, "This is not the address of this account. Nothing was deleted.")
    counts = await _counts(visit)
    gone = await visit.site.services.accounts.delete(visit.me.user_id)
    response = visit.go("/goodbye")
    visit.site.cookies.take(response, browser.SESSION)
    receipt = browser.packed({"m": counts["memories"], "c": counts["connections"], "g": int(gone)})
    visit.site.cookies.give(response, "receipt", receipt, 600)
    return response


@pages.get("/goodbye", private=False)
async def goodbye(visit: Visit) -> Response:
    """What was deleted."""
    found = browser.unpacked(visit.site.cookies.read(visit.request, "receipt"))
    numbers = {key: value if type(value := found.get(key)) is int and value >= 0 else 0 for key in ("m", "c", "g")}
    return visit.page(
        "goodbye.html", known=bool(found), memories=numbers["m"], connections=numbers["c"], gone=bool(numbers["g"])
    )
