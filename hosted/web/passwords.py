"""A new password: after a mailed link, or from the settings."""

from __future__ import annotations

from starlette.responses import Response

from hosted.identity.supabase import SignInRefused
from hosted.web.flashes import Flash
from hosted.web.refusals import refusal
from hosted.web.routing import Pages
from hosted.web.site import Visit

pages = Pages(private=True)


@pages.get("/settings/password")
async def password(visit: Visit) -> Response:
    """Choose a password."""
    return visit.page("password.html", problem="")


@pages.post("/settings/password")
async def change(visit: Visit) -> Response:
    """Set it, and sign every other browser out."""
    wanted = visit.form.get("password")
    try:
        await visit.site.supabase.change_user(
            visit.session.tokens.access_token, redirect_to=f"{visit.site.public_url}/auth/return/email", password=wanted
        )
    except SignInRefused as refused:
        return visit.page("password.html", 422, problem=refusal(refused))
    await visit.site.sessions.end(visit.session, others=True)
    return visit.go("/settings", Flash("password_changed"))
