"""What every handler of the double reaches, and how a request says who asks."""

from __future__ import annotations

import json
from typing import Any

import jwt
from starlette.requests import Request

from hosted.dev.supabase.errors import AuthFailure, bad_request
from hosted.dev.supabase.sessions import Sessions
from hosted.dev.supabase.settings import Settings
from hosted.dev.supabase.signing import Signer
from hosted.dev.supabase.store import Store
from hosted.dev.supabase.users import Row, Users

_LARGEST_BODY = 256 * 1024


class Context:
    """The parts of one double."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.path, lambda: settings.clock())
        self.signer = Signer(self.store, settings.algorithm, settings.jwt_secret)
        self.users = Users(self.store, settings)
        self.sessions = Sessions(self.store, settings, self.users, self.signer)

    def who(self, request: Request) -> tuple[Row, Row]:
        """The user and session of the bearer token."""
        return self.sessions.of_token(bearer(request))

    def keyed(self, request: Request) -> None:
        """Refuse a request without one of the project's keys, as the gateway before Supabase Auth does."""
        if request.headers.get("apikey") not in (self.settings.publishable_key, self.settings.secret_key):
            raise AuthFailure(401, "no_authorization", "Invalid API key")

    def administers(self, request: Request) -> None:
        """Refuse anyone but the holder of the secret key or of a service_role token."""
        self.keyed(request)
        token = bearer(request)
        if token == self.settings.secret_key:
            return
        try:
            claims = self.signer.verify(token, self.store.now())
        except jwt.PyJWTError as error:
            raise AuthFailure(401, "no_authorization", "This endpoint requires a valid Bearer token") from error
        if claims.get("role") != "service_role":
            raise AuthFailure(403, "not_admin", "User not allowed")


def bearer(request: Request) -> str:
    """The bearer token of a request; raises when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthFailure(401, "no_authorization", "This endpoint requires a Bearer token")
    return token


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries; {} when it has no body."""
    raw = await request.body()
    if len(raw) > _LARGEST_BODY:
        raise AuthFailure(413, "request_too_large", "Request body is too large")
    try:
        found = json.loads(raw or b"{}")
    except ValueError as error:
        raise bad_request("Could not parse request body as JSON", "bad_json") from error
    if not isinstance(found, dict):
        raise bad_request("Could not parse request body as a JSON object", "bad_json")
    return found
