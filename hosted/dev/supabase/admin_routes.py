"""What only the holder of the secret key may do."""

from __future__ import annotations

import json
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hosted.dev.supabase.context import Context, body_of
from hosted.dev.supabase.errors import AuthFailure, bad_request
from hosted.dev.supabase.users import Row, checked_email, hashed


class AdminRoutes:
    """People seen by the application's server."""

    def __init__(self, context: Context) -> None:
        self._context, self._users = context, context.users

    def routes(self) -> list[Route]:
        """The routes, below the API's base address."""
        return [
            Route("/admin/users", self.list, methods=["GET"]),
            Route("/admin/users", self.create, methods=["POST"]),
            Route("/admin/users/{user_id}", self.get, methods=["GET"]),
            Route("/admin/users/{user_id}", self.change, methods=["PUT"]),
            Route("/admin/users/{user_id}", self.delete, methods=["DELETE"]),
            Route("/admin/generate_link", self.generate_link, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """Everybody, newest first, by pages."""
        self._context.administers(request)
        page, size = (_count(request, *wanted) for wanted in (("page", 1), ("per_page", 50)))
        everybody = self._users.all()
        chosen = everybody[(page - 1) * size : page * size]
        return JSONResponse({"users": [self._users.public(user) for user in chosen], "aud": "authenticated"},
                            headers={"x-total-count": str(len(everybody))})  # fmt: skip

    async def create(self, request: Request) -> Response:
        """A user made by the server."""
        self._context.administers(request)
        asked = await body_of(request)
        email = checked_email(asked.get("email"))
        if self._users.by_email(email):
            raise AuthFailure(422, "email_exists", "A user with this email address has already been registered")
        password = asked.get("password") or None
        user = self._users.create(email, password and self._users.checked_password(password), asked.get("user_metadata"),
                                  confirmed=bool(asked.get("email_confirm")))  # fmt: skip
        return JSONResponse(self._users.public(user))

    async def get(self, request: Request) -> Response:
        """One user."""
        return JSONResponse(self._users.public(self._asked(request)))

    async def change(self, request: Request) -> Response:
        """Another password, ban, address or metadata, without asking the user."""
        user, asked = self._asked(request), await body_of(request)
        columns: dict[str, Any] = {}
        if asked.get("password"):
            columns["password"] = hashed(self._users.checked_password(asked["password"]))
        if asked.get("email"):
            columns["email"] = checked_email(asked["email"])
        if asked.get("email_confirm"):
            columns["confirmed_at"] = self._context.store.now()
        if "ban_duration" in asked:
            columns["banned"] = int(asked["ban_duration"] != "none")
        for name in ("user_metadata", "app_metadata"):
            if isinstance(asked.get(name), dict):
                columns[name] = json.dumps(json.loads(user[name]) | asked[name])
        return JSONResponse(self._users.public(self._users.change(user["id"], **columns)))

    async def delete(self, request: Request) -> Response:
        """Remove a user with every session."""
        self._users.delete(self._asked(request)["id"])
        return JSONResponse({})

    async def generate_link(self, request: Request) -> Response:
        """What would be mailed, given to the server instead: the user with the link, its code and its hash.

        A magic link for an address that nobody has makes a user, as the real one does.
        """
        self._context.administers(request)
        asked = await body_of(request)
        email, kind = checked_email(asked.get("email")), asked.get("type")
        user = self._users.by_email(email)
        if kind not in ("magiclink", "recovery"):
            raise bad_request(f"Invalid email action link type requested: {kind}")
        if user is None:
            if kind == "recovery":
                raise AuthFailure(404, "user_not_found", "User with this email not found")
            user, kind = (
                self._users.create(email, secrets.token_urlsafe(48), asked.get("data"), confirmed=False),
                "signup",
            )
        back = self._context.settings.redirect(request.query_params.get("redirect_to") or asked.get("redirect_to"))
        body = self._users.one_time(user, kind, back)
        return JSONResponse({
            **self._users.public(user), "action_link": body["link"], "email_otp": body["token"],
            "hashed_token": body["token_hash"], "verification_type": kind, "redirect_to": back,
        })  # fmt: skip

    def _asked(self, request: Request) -> Row:
        self._context.administers(request)
        user = self._users.by_id(request.path_params["user_id"])
        if user is None:
            raise AuthFailure(404, "user_not_found", "User not found")
        return user


def _count(request: Request, name: str, start: int) -> int:
    given = request.query_params.get(name, "")
    return max(1, int(given)) if given.isascii() and given.isdigit() else start
