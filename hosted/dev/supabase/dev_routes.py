"""What no real project has: the mails, the keys' rotation, and a plain page to consent at."""

from __future__ import annotations

import json
from html import escape
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hosted.dev.supabase.context import Context, body_of
from hosted.dev.supabase.errors import bad_request
from hosted.dev.supabase.oauth_routes import OAuthRoutes
from hosted.dev.supabase.signing import Algorithm
from hosted.dev.supabase.users import fits, iso

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Consent (development)</title><body><main><h1>Let a program in?</h1><p role="alert">{problem}</p>
<form method="post"><input type="hidden" name="authorization_id" value="{id}">
<p><label>Email <input name="email" type="email" required></label></p>
<p><label>Password <input name="password" type="password" required></label></p>
<button name="action" value="approve">Allow</button> <button name="action" value="deny" formnovalidate>Refuse</button>
</form></main></body></html>"""
_MAILS = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Mails (development)</title><body><main><h1>Mails, newest first</h1><ul>{mails}</ul></main></body></html>"""


def _mail(mail: dict[str, Any]) -> str:
    said = {name: escape(str(value)) for name, value in mail.items() if value}
    link = f' <a href="{said["link"]}">Follow the link</a>' if "link" in said else ""
    code = f" Code: <code>{said['token']}</code>" if "token" in said else ""
    return f"<li>{said['at']}, to {said['to']}: {said['type']}.{link}{code}</li>"


class DevRoutes:
    """The addresses below `/dev`, for tests and for a person at the keyboard."""

    def __init__(self, context: Context, oauth: OAuthRoutes) -> None:
        self._context, self._store, self._oauth = context, context.store, oauth

    def routes(self) -> list[Route]:
        """The routes, at the root."""
        return [
            Route("/dev/mails", self.mails, methods=["GET"]),
            Route("/dev/mails", self.forget_mails, methods=["DELETE"]),
            Route("/dev/keys/rotate", self.rotate, methods=["POST"]),
            Route("/dev/consent", self.page, methods=["GET"]),
            Route("/dev/consent", self.decide, methods=["POST"]),
        ]

    async def mails(self, request: Request) -> Response:
        """Every mail, newest first, as JSON or, to a browser, as a list; `to` narrows it to one address."""
        to = request.query_params.get("to")
        found = self._store.all("SELECT * FROM mails WHERE ?1 IS NULL OR recipient=lower(?1) ORDER BY id DESC", to)
        mails = [
            {"id": row["id"], "at": iso(row["at"]), "to": row["recipient"], "type": row["type"], **json.loads(row["body"])}
            for row in found
        ]  # fmt: skip
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"mails": mails})
        return HTMLResponse(
            _MAILS.format(mails="".join(_mail(mail) for mail in mails) or "<li>Nothing is mailed yet.</li>")
        )

    async def forget_mails(self, request: Request) -> Response:
        """Empty the mailbox."""
        self._store.run("DELETE FROM mails")
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        """Sign with a new key; {"alg": "RS256"} changes the algorithm, {"forget": true} withdraws the old keys."""
        asked = await body_of(request)
        algorithm = asked.get("alg") or self._context.signer.algorithm
        if algorithm not in get_args(Algorithm):
            raise bad_request("alg must be ES256, RS256 or HS256")
        return JSONResponse({"kid": self._context.signer.rotate(algorithm, forget=bool(asked.get("forget")))})

    async def page(self, request: Request) -> Response:
        """A page to consent at, when the application has none."""
        return self._page(request.query_params.get("authorization_id", ""))

    async def decide(self, request: Request) -> Response:
        """Sign in and decide in one step."""
        async with request.form() as form:
            asked, email, password, action = (
                str(form.get(name) or "") for name in ("authorization_id", "email", "password", "action")
            )
        if action == "deny":
            return RedirectResponse(self._oauth.deny(asked), 303)
        user = self._context.users.by_email(email)
        if user is None or not user["password"] or not fits(password, user["password"]):
            return self._page(asked, "Wrong address or password.")
        return RedirectResponse(self._oauth.approve(asked, user), 303)

    @staticmethod
    def _page(authorization_id: str, problem: str = "") -> Response:
        return HTMLResponse(_PAGE.format(id=escape(authorization_id), problem=problem))
