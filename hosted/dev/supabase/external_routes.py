"""Signing in by somebody else's account: a provider of the double's own, whose page asks for an address only."""

from __future__ import annotations

import secrets
import uuid
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from hosted.dev.supabase.auth_routes import fragment, with_query
from hosted.dev.supabase.context import Context
from hosted.dev.supabase.errors import AuthFailure, bad_request
from hosted.dev.supabase.users import checked_email

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{provider} (development)</title><body><main><h1>Sign in with {provider}</h1>
<p>This page stands for {provider} during development. Any address will do.</p>
<form method="post"><input type="hidden" name="state" value="{state}">
<label>Email <input name="email" type="email" required autofocus></label>
<button name="action" value="allow">Continue</button> <button name="action" value="deny" formnovalidate>Cancel</button>
</form></main></body></html>"""


class ExternalRoutes:
    """`/authorize`, the provider's page and `/callback`."""

    def __init__(self, context: Context) -> None:
        self._context, self._store, self._settings = context, context.store, context.settings

    def routes(self) -> list[Route]:
        """The routes, below the API's base address."""
        return [
            Route("/authorize", self.authorize, methods=["GET"]),
            Route("/dev/provider/{provider}", self.page, methods=["GET"]),
            Route("/dev/provider/{provider}", self.decide, methods=["POST"]),
            Route("/callback", self.callback, methods=["GET"]),
        ]

    async def authorize(self, request: Request) -> Response:
        """Off to the provider; the flow is remembered by its state."""
        query = request.query_params
        provider, method = query.get("provider", ""), query.get("code_challenge_method") or "s256"
        if provider not in self._settings.providers:
            raise bad_request("Unsupported provider: provider is not enabled")
        challenge = query.get("code_challenge", "")
        if challenge and not (43 <= len(challenge) <= 128 and method.lower() in ("s256", "plain")):
            raise bad_request("code challenge and its method do not fit")
        flow_id = str(uuid.uuid4())
        self._store.insert(
            "flows", id=flow_id, challenge=challenge or None, method=method, provider=provider, at=self._store.now(),
            redirect_to=self._settings.redirect(query.get("redirect_to")),
        )  # fmt: skip
        return RedirectResponse(with_query(f"{self._settings.issuer}/dev/provider/{provider}", state=flow_id), 302)

    async def page(self, request: Request) -> Response:
        """The provider's sign-in page."""
        provider, state = request.path_params["provider"], request.query_params.get("state", "")
        return HTMLResponse(_PAGE.format(provider=escape(provider.title()), state=escape(state)))

    async def decide(self, request: Request) -> Response:
        """The provider sends the person back, with a code or a refusal."""
        async with request.form() as form:
            state, email, action = (str(form.get(name) or "") for name in ("state", "email", "action"))
        back = f"{self._settings.issuer}/callback"
        if action == "deny":
            said = {"error": "access_denied", "error_description": "The user denied the request", "state": state}
            return RedirectResponse(with_query(back, **said), 303)
        code = secrets.token_urlsafe(24)
        provider = request.path_params["provider"]
        self._store.insert("provider_codes", code=code, provider=provider, email=checked_email(email),
                           at=self._store.now())  # fmt: skip
        return RedirectResponse(with_query(back, code=code, state=state), 303)

    async def callback(self, request: Request) -> Response:
        """From the provider back to the application: a PKCE code, or a session in the fragment."""
        query = request.query_params
        flow = self._store.one("SELECT * FROM flows WHERE id=? AND code IS NULL", query.get("state", ""))
        if flow is None or self._store.now() - flow["at"] > self._settings.flow_lifetime:
            raise bad_request("OAuth state is missing, invalid or has expired", "bad_oauth_state")
        if query.get("error"):
            said = {"error": query["error"], "error_description": query.get("error_description", "")}
            self._store.run("DELETE FROM flows WHERE id=?", flow["id"])
            return RedirectResponse(with_query(flow["redirect_to"], **said), 303)
        given = self._store.one("SELECT * FROM provider_codes WHERE code=?", query.get("code", ""))
        if given is None or given["provider"] != flow["provider"]:
            raise AuthFailure(400, "bad_oauth_callback", "The provider does not know this code")
        self._store.run("DELETE FROM provider_codes WHERE code=?", given["code"])
        user = self._user_of(given["email"], flow["provider"])
        if flow["challenge"]:
            code = str(uuid.uuid4())
            self._store.update("flows", flow["id"], code=code, user_id=user["id"])
            return RedirectResponse(with_query(flow["redirect_to"], code=code), 303)
        self._store.run("DELETE FROM flows WHERE id=?", flow["id"])
        answer = self._context.sessions.start(user, "oauth")
        return RedirectResponse(f"{flow['redirect_to']}#{fragment(answer)}", 303)

    def _user_of(self, email: str, provider: str) -> dict[str, object]:
        users = self._context.users
        user = users.by_email(email)
        if user is None:
            return users.create(email, None, {"email": email}, confirmed=True, provider=provider)
        users.link(user["id"], provider, email, {"email": email, "sub": email})
        return users.confirm({"type": "oauth", "user_id": user["id"]})
