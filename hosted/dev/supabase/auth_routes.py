"""Sign-up, sign-in, codes by mail, the user and sign-out."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hosted.dev.supabase.context import Context, body_of
from hosted.dev.supabase.errors import AuthFailure, bad_request
from hosted.dev.supabase.users import Row, checked_email, fits, hashed

_REFUSED = ("invalid_credentials", "Invalid login credentials")


class AuthRoutes:
    """The part of the API that applications use on behalf of people."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._users, self._sessions, self._settings = context.users, context.sessions, context.settings

    def routes(self) -> list[Route]:
        """The routes, below the API's base address."""
        return [
            Route("/signup", self.sign_up, methods=["POST"]),
            Route("/token", self.token, methods=["POST"]),
            Route("/otp", self.otp, methods=["POST"]),
            Route("/magiclink", self.otp, methods=["POST"]),
            Route("/recover", self.recover, methods=["POST"]),
            Route("/resend", self.resend, methods=["POST"]),
            Route("/verify", self.verify, methods=["POST"]),
            Route("/verify", self.follow_link, methods=["GET"]),
            Route("/user", self.user, methods=["GET"]),
            Route("/user", self.change_user, methods=["PUT"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/settings", self.settings, methods=["GET"]),
        ]

    async def sign_up(self, request: Request) -> Response:
        """A new user: a session, or with confirmation the user alone and a mail."""
        self._context.keyed(request)
        asked = await body_of(request)
        email, password = checked_email(asked.get("email")), self._users.checked_password(asked.get("password"))
        known = self._users.by_email(email)
        if self._settings.autoconfirm:
            user = self._users.create(email, password, asked.get("data"), confirmed=True)
            return JSONResponse(self._sessions.start(user, "password"))
        if known and known["confirmed_at"]:
            # says nothing of who has an account: the answer looks like that of a new one
            seeming = {**self._users.public(known), "id": str(uuid.uuid4()), "identities": [], "user_metadata": {}}
            return JSONResponse({key: seeming[key] for key in seeming if not key.endswith(("_at", "_confirmed"))}
                                | {"created_at": seeming["created_at"], "updated_at": seeming["updated_at"]})  # fmt: skip
        user = known or self._users.create(email, password, asked.get("data"), confirmed=False)
        self._mail(request, user, "signup", asked)
        return JSONResponse(self._users.public(user))

    async def token(self, request: Request) -> Response:
        """A session for a password, a refresh token or a PKCE code."""
        self._context.keyed(request)
        asked = await body_of(request)
        match request.query_params.get("grant_type"):
            case "password":
                return JSONResponse(self._sessions.start(self._by_password(asked), "password"))
            case "refresh_token":
                return JSONResponse(self._sessions.refresh(asked.get("refresh_token")))
            case "pkce":
                return JSONResponse(self._sessions.exchange(asked.get("auth_code"), asked.get("code_verifier")))
        raise bad_request("unsupported_grant_type")

    async def otp(self, request: Request) -> Response:
        """Mail a code and a link to sign in with."""
        self._context.keyed(request)
        asked = await body_of(request)
        email = checked_email(asked.get("email"))
        user = self._users.by_email(email)
        if user is None:
            if asked.get("create_user") is False:
                raise AuthFailure(422, "otp_disabled", "Signups not allowed for otp")
            user = self._users.create(email, None, asked.get("data"), confirmed=False)
        self._mail(request, user, "magiclink" if user["confirmed_at"] else "signup", asked)
        return JSONResponse({})

    async def recover(self, request: Request) -> Response:
        """Mail a link to somebody who forgot the password; the answer is the same for an unknown address."""
        self._context.keyed(request)
        asked = await body_of(request)
        user = self._users.by_email(checked_email(asked.get("email")))
        if user:
            self._mail(request, user, "recovery", asked)
        return JSONResponse({})

    async def resend(self, request: Request) -> Response:
        """Mail a sign-up's or a change of address's code again."""
        self._context.keyed(request)
        asked = await body_of(request)
        kind = asked.get("type")
        if kind not in ("signup", "email_change"):
            raise bad_request("Missing one of these types: signup, email_change")
        user = self._users.by_email(checked_email(asked.get("email")))
        if user and not (kind == "signup" and user["confirmed_at"]):
            self._mail(request, user, str(kind), asked)
        return JSONResponse({})

    async def verify(self, request: Request) -> Response:
        """A session for a mailed code."""
        self._context.keyed(request)
        asked = await body_of(request)
        kind, by_hash = str(asked.get("type") or ""), asked.get("token_hash")
        if not by_hash and not asked.get("token"):
            raise bad_request("Verify requires a token or a token hash")
        found = self._users.redeem(
            kind, token_hash=str(by_hash) if by_hash else None,
            email=str(asked.get("email") or ""), otp=str(asked.get("token") or ""),
        )  # fmt: skip
        return JSONResponse(self._sessions.start(self._users.confirm(found), "otp"))

    async def follow_link(self, request: Request) -> Response:
        """The mailed link: back to the application, with a session in the fragment or a PKCE code in the query."""
        query = request.query_params
        back = self._settings.redirect(query.get("redirect_to"))
        try:
            found = self._users.redeem(query.get("type", ""), token_hash=query.get("token") or "-")
        except AuthFailure as failure:
            said = {"error": "access_denied", "error_code": failure.code, "error_description": failure.message}
            return RedirectResponse(f"{back}#{urlencode(said)}", 303)
        user = self._users.confirm(found)
        if found["challenge"]:
            flow = self._sessions.flow(found["challenge"], found["method"], "otp", back, user["id"])
            return RedirectResponse(with_query(back, code=flow["code"]), 303)
        return RedirectResponse(f"{back}#{fragment(self._sessions.start(user, 'otp'), type=found['type'])}", 303)

    async def user(self, request: Request) -> Response:
        """Who the bearer token belongs to."""
        self._context.keyed(request)
        return JSONResponse(self._users.public(self._context.who(request)[0]))

    async def change_user(self, request: Request) -> Response:
        """Another password, address or metadata; a new password ends the user's other sessions."""
        self._context.keyed(request)
        user, session = self._context.who(request)
        asked = await body_of(request)
        columns: dict[str, Any] = {}
        if "password" in asked:
            password = self._users.checked_password(asked["password"])
            if user["password"] and fits(password, user["password"]):
                raise AuthFailure(422, "same_password", "New password should be different from the old password.")
            columns["password"] = hashed(password)
        if isinstance(asked.get("data"), dict):
            columns["user_metadata"] = json.dumps(json.loads(user["user_metadata"]) | asked["data"])
        wanted = asked.get("email")
        moving = bool(wanted) and checked_email(wanted) != user["email"]
        if moving:
            if self._users.by_email(checked_email(wanted)):
                raise AuthFailure(422, "email_exists", "A user with this email address has already been registered")
            columns["new_email"] = checked_email(wanted)
        changed = self._users.change(user["id"], **columns)
        if "password" in columns:
            self._sessions.end(user, session, "others")
        if moving:
            self._mail(request, changed, "email_change", asked)
        return JSONResponse(self._users.public(changed))

    async def logout(self, request: Request) -> Response:
        """End this session, all or the others."""
        self._context.keyed(request)
        self._sessions.end(*self._context.who(request), request.query_params.get("scope") or "global")
        return Response(status_code=204)

    async def settings(self, request: Request) -> Response:
        """What this project offers."""
        self._context.keyed(request)
        external = dict.fromkeys((*self._settings.providers, "email"), True)
        return JSONResponse({"external": external, "disable_signup": False,
                             "mailer_autoconfirm": self._settings.autoconfirm})  # fmt: skip

    def _by_password(self, asked: Row) -> Row:
        email, password = asked.get("email"), asked.get("password")
        user = self._users.by_email(email) if isinstance(email, str) else None
        if (
            user is None
            or not isinstance(password, str)
            or not user["password"]
            or not fits(password, user["password"])
        ):
            raise bad_request(_REFUSED[1], _REFUSED[0])
        if not user["confirmed_at"]:
            raise bad_request("Email not confirmed", "email_not_confirmed")
        return user

    def _mail(self, request: Request, user: Row, kind: str, asked: Row) -> None:
        back = self._settings.redirect(request.query_params.get("redirect_to"))
        challenge = asked.get("code_challenge") or None
        self._users.mail(user, kind, back, challenge, asked.get("code_challenge_method"))


def with_query(address: str, **values: str) -> str:
    """The address with more in its query."""
    parts = urlsplit(address)
    query = "&".join(part for part in (parts.query, urlencode(values)) if part)
    return urlunsplit(parts._replace(query=query))


def fragment(answer: Row, **more: str) -> str:
    """A token answer as the implicit flow hands it over, without the user."""
    return urlencode({key: value for key, value in answer.items() if key != "user"} | more)
