"""The double's ASGI application."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from hosted.dev.supabase.admin_routes import AdminRoutes
from hosted.dev.supabase.auth_routes import AuthRoutes
from hosted.dev.supabase.context import Context
from hosted.dev.supabase.dev_routes import DevRoutes
from hosted.dev.supabase.errors import AuthFailure, OAuthFailure
from hosted.dev.supabase.external_routes import ExternalRoutes
from hosted.dev.supabase.oauth_routes import OAuthRoutes
from hosted.dev.supabase.settings import Settings
from hosted.dev.supabase.signing import Algorithm


class Double:
    """One double: its application, and what tests and `hosted dev` reach from inside."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._context = Context(settings)
        oauth = OAuthRoutes(self._context)
        inside = [
            *AuthRoutes(self._context).routes(), *ExternalRoutes(self._context).routes(),
            *AdminRoutes(self._context).routes(), *oauth.routes(),
            Route("/.well-known/jwks.json", self._jwks, methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
        ]  # fmt: skip
        self.app = Starlette(
            routes=[
                Mount("/auth/v1", routes=inside),
                # where RFC 8414 looks for the metadata of an issuer with a path
                Route("/.well-known/oauth-authorization-server/auth/v1", oauth.metadata, methods=["GET"]),
                *DevRoutes(self._context, oauth).routes(),
            ],
            exception_handlers={AuthFailure: _refused, OAuthFailure: _refused},
            middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])],
        )

    def mails(self, to: str | None = None) -> list[dict[str, Any]]:
        """What was mailed, newest first: `to`, `type`, `token` (six digits), `token_hash`, `link`."""
        rows = self._context.store.all("SELECT * FROM mails ORDER BY id DESC")
        found = [{"to": row["recipient"], "type": row["type"], **json.loads(row["body"])} for row in rows]
        return [mail for mail in found if to is None or mail["to"] == to.lower()]

    def rotate(self, algorithm: Algorithm | None = None, *, forget: bool = False) -> str | None:
        """Sign with a new key from now on; returns its kid."""
        return self._context.signer.rotate(algorithm, forget=forget)

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with any claims, signed as this project signs."""
        return self._context.signer.sign(claims)

    def close(self) -> None:
        """Let go of the state's file."""
        self._context.store.close()

    async def _jwks(self, request: Request) -> Response:
        age = self.settings.jwks_max_age
        return JSONResponse(self._context.signer.jwks(), headers={"cache-control": f"public, max-age={age}"})

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"name": "GoTrue", "version": "double", "description": "a double of Supabase Auth"})


async def _refused(request: Request, failure: Exception) -> Response:
    if isinstance(failure, OAuthFailure):
        return failure.answer()
    if isinstance(failure, AuthFailure):
        return failure.answer(request)
    raise failure
