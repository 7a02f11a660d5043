"""How the double says no: as Supabase Auth does, in the two shapes that its clients tell apart."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

API_VERSION = "2024-01-01"


class AuthFailure(Exception):
    """A refusal with an HTTP status, a stable error code and a sentence."""

    def __init__(self, status: int, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.extra = status, code, message, extra

    def answer(self, request: Request) -> JSONResponse:
        """The body in the API version that the client asked for; without one, the older shape."""
        if request.headers.get("x-supabase-api-version", "") >= API_VERSION:
            body: dict[str, Any] = {"code": self.code, "message": self.message, **self.extra}
        else:
            body = {"code": self.status, "error_code": self.code, "msg": self.message, **self.extra}
        headers = {"x-supabase-api-version": API_VERSION, "x-sb-error-code": self.code}
        return JSONResponse(body, self.status, headers)


class OAuthFailure(Exception):
    """A refusal of the OAuth server, as RFC 6749 says."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status

    def answer(self) -> JSONResponse:
        """The body with `error` and `error_description`."""
        return JSONResponse({"error": self.error, "error_description": self.description}, self.status)


def bad_request(message: str, code: str = "validation_failed") -> AuthFailure:
    """A 400 for input that can't be taken."""
    return AuthFailure(400, code, message)
