"""The Supabase project's auth server, as far as this backend asks it: for its pages, and to remove a user."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode
from uuid import UUID

import httpx

from hosted.identity.errors import IdentityUnavailable
from jmem.core.errors import JmemError

OFFERED_S = 300.0
AGAIN_S = 15.0
"""Seconds after which a project that could not tell what it offers is asked again."""
TIMEOUT = httpx.Timeout(10.0, connect=3.0)
VERSION = "2024-01-01"
MAX_ANSWER = 256 * 1024
Scope = Literal["local", "global", "others"]
_NO_PROVIDERS = frozenset(("email", "phone", "anonymous_users"))


class SignInRefused(JmemError):
    """Supabase said no. `reason` is its stable code: invalid_credentials, otp_expired, weak_password, …"""

    code, exit_code = "sign_in_refused", 4

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message, reason=reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Session:
    """Tokens of one session; `expires_at` in seconds since the epoch."""

    access_token: str
    refresh_token: str
    expires_at: int
    user_id: UUID
    email: str


@dataclass(frozen=True, slots=True)
class Pkce:
    """What a flow keeps to itself (verifier) and what it tells (challenge)."""

    verifier: str
    challenge: str

    @staticmethod
    def make() -> Pkce:
        """A new pair, S256."""
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        return Pkce(verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode())

    def body(self) -> dict[str, str]:
        """The fields that a request carries."""
        return {"code_challenge": self.challenge, "code_challenge_method": "s256"}


class Supabase:
    """An asynchronous client. Every call raises SignInRefused, or IdentityUnavailable when there is no answer."""

    def __init__(self, url: str, key: str, service_key: str, http: httpx.AsyncClient) -> None:
        self.base, self._key, self._service_key, self._http = f"{url.rstrip('/')}/auth/v1", key, service_key, http
        self._offered: list[str] = []
        self._offered_until = 0.0

    async def sign_up(self, email: str, password: str, *, redirect_to: str, pkce: Pkce | None = None) -> Session | None:
        """A new account; None: the address must be confirmed by mail first."""
        body = {"email": email, "password": password, **(pkce.body() if pkce else {})}
        return _maybe_session(await self._call("POST", "/signup", body, params={"redirect_to": redirect_to}))

    async def sign_in(self, email: str, password: str) -> Session:
        """A session for a password."""
        return await self._token("password", {"email": email, "password": password})

    async def refresh(self, refresh_token: str) -> Session:
        """The session's next tokens. Only one place may refresh a session: the token before is void soon."""
        return await self._token("refresh_token", {"refresh_token": refresh_token})

    async def exchange(self, code: str, verifier: str) -> Session:
        """The session for the code that a PKCE flow brought back."""
        return await self._token("pkce", {"auth_code": code, "code_verifier": verifier})

    async def mail_link(self, email: str, *, redirect_to: str, pkce: Pkce, create: bool = True) -> None:
        """Mail a link and a code to sign in with."""
        body = {"email": email, "create_user": create, **pkce.body()}
        await self._call("POST", "/otp", body, params={"redirect_to": redirect_to})

    async def mail_recovery(self, email: str, *, redirect_to: str, pkce: Pkce) -> None:
        """Mail a link to somebody who forgot the password; an unknown address is no error."""
        await self._call("POST", "/recover", {"email": email, **pkce.body()}, params={"redirect_to": redirect_to})

    async def verify(self, kind: str, *, email: str = "", token: str = "", token_hash: str = "") -> Session:
        """The session for a mailed code (with its address) or the hash of a link."""
        body = {"type": kind, **({"token_hash": token_hash} if token_hash else {"email": email, "token": token})}
        return _session(await self._call("POST", "/verify", body))

    def authorize_url(self, provider: str, *, redirect_to: str, pkce: Pkce) -> str:
        """Where to send a person who signs in with another account."""
        return f"{self.base}/authorize?" + urlencode({"provider": provider, "redirect_to": redirect_to, **pkce.body()})

    async def offers(self) -> list[str]:
        """Other accounts that one may sign in with (github, google, …), as the project is set up; kept for five minutes.

        While the project can't be asked these are the ones that were known last, and it is asked again after a while.
        """
        if time.monotonic() > self._offered_until:
            try:
                await self.ask_offers()
            except (SignInRefused, IdentityUnavailable):
                self._offered_until = time.monotonic() + AGAIN_S
        return self._offered

    async def ask_offers(self) -> None:
        """Ask the project what it offers now."""
        found = (await self._call("GET", "/settings")).get("external")
        known = found if isinstance(found, dict) else {}
        self._offered = sorted(name for name, on in known.items() if on is True and name not in _NO_PROVIDERS)
        self._offered_until = time.monotonic() + OFFERED_S

    async def user(self, access_token: str) -> dict[str, Any]:
        """The user as Supabase knows it: this also tells whether the session lives there."""
        return await self._call("GET", "/user", bearer=access_token)

    async def change_user(self, access_token: str, *, redirect_to: str, **fields: Any) -> dict[str, Any]:
        """Another `password` or `email`."""
        return await self._call("PUT", "/user", fields, bearer=access_token, params={"redirect_to": redirect_to})

    async def sign_out(self, access_token: str, scope: Scope = "local") -> None:
        """End this session, all, or the others. Where this one alone was to end, it is no error that it is gone already."""
        try:
            await self._call("POST", "/logout", bearer=access_token, params={"scope": scope})
        except SignInRefused as refused:
            if scope != "local" or refused.status not in (401, 403, 404):
                raise

    async def authorization(self, access_token: str, authorization_id: str) -> dict[str, Any]:
        """What a program asks for, or `redirect_url` alone when it was let in before."""
        return await self._call("GET", f"/oauth/authorizations/{_safe(authorization_id)}", bearer=access_token)

    async def decide(self, access_token: str, authorization_id: str, action: Literal["approve", "deny"]) -> str:
        """Let the program in or not; the address to send the person to."""
        path = f"/oauth/authorizations/{_safe(authorization_id)}/consent"
        answer = await self._call("POST", path, {"action": action}, bearer=access_token)
        return str(answer.get("redirect_url") or "")

    async def programs(self, access_token: str) -> list[str]:
        """The ids of the programs that the person has consented to."""
        found = (await self._call("GET", "/user/oauth/grants", bearer=access_token)).get("items") or []
        clients = [one["client"] for one in found if isinstance(one, dict) and isinstance(one.get("client"), dict)]
        return [client["id"] for client in clients if isinstance(client.get("id"), str)]

    async def revoke_program(self, access_token: str, client_id: str) -> None:
        """End a program's consent and sessions; one that is gone already is no error."""
        try:
            await self._call("DELETE", "/user/oauth/grants", bearer=access_token, params={"client_id": client_id})
        except SignInRefused as refused:
            if refused.status != 404:
                raise

    async def one_time_hash(self, user_id: UUID) -> tuple[str, str]:
        """(address, hash) of a link that nobody is mailed: worth one session of the user to whoever verifies it (`email`).

        A link that was mailed to them before serves no more. Raises SignInRefused `no_address`, `user_not_found`.
        """
        user = await self._call("GET", f"/admin/users/{user_id}", bearer=self._service_key)
        email = str(user.get("email") or "")
        if not email:
            raise SignInRefused(422, "no_address", "this account has no address")
        body = {"type": "magiclink", "email": email}
        made = await self._call("POST", "/admin/generate_link", body, bearer=self._service_key)
        if made.get("id") != str(user_id) or not made.get("hashed_token"):  # it is of whoever has the address by now
            raise SignInRefused(409, "email_changed", "the account's address has changed meanwhile")
        return email, str(made["hashed_token"])

    async def delete_user(self, user_id: UUID) -> None:
        """Remove the user with every session; one that is gone already is no error."""
        try:
            await self._call("DELETE", f"/admin/users/{user_id}", bearer=self._service_key)
        except SignInRefused as refused:
            if refused.status != 404:
                raise

    async def has_user(self, user_id: UUID) -> bool:
        """Whether the project knows the user."""
        try:
            await self._call("GET", f"/admin/users/{user_id}", bearer=self._service_key)
        except SignInRefused as refused:
            if refused.status != 404:
                raise
            return False
        return True

    async def _token(self, grant: str, body: dict[str, Any]) -> Session:
        return _session(await self._call("POST", "/token", body, params={"grant_type": grant}))

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, bearer: str = "",
        params: dict[str, str] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        key = self._service_key if bearer == self._service_key and bearer else self._key
        headers = {"apikey": key, "x-supabase-api-version": VERSION, "authorization": f"Bearer {bearer or key}"}
        try:
            answer = await self._http.request(
                method, self.base + path, json=body, params=params, headers=headers, timeout=TIMEOUT,
            )  # fmt: skip
        except httpx.HTTPError as error:
            raise IdentityUnavailable(type(error).__name__) from error
        if answer.status_code >= 500 or len(answer.content) > MAX_ANSWER:
            raise IdentityUnavailable(f"it answered with {answer.status_code}")
        if answer.status_code == 204 or not answer.content:
            return {}
        try:
            found = answer.json()
        except (ValueError, RecursionError) as error:
            raise IdentityUnavailable("its answer is not JSON") from error
        if not answer.is_success:
            raise _refused(answer.status_code, found)
        return found if isinstance(found, dict) else {"items": found}


def _refused(status: int, found: Any) -> SignInRefused:
    said = found if isinstance(found, dict) else {}
    reason = said.get("code") if isinstance(said.get("code"), str) else said.get("error_code") or said.get("error")
    message = said.get("message") or said.get("msg") or said.get("error_description") or "the sign-in was refused"
    return SignInRefused(status, str(reason or "refused"), str(message))


def _maybe_session(answer: dict[str, Any]) -> Session | None:
    return _session(answer) if answer.get("access_token") else None


def _session(answer: dict[str, Any]) -> Session:
    try:
        user, tokens = answer["user"], (answer["access_token"], answer["refresh_token"])
        if not all(isinstance(text, str) for text in (*tokens, user["id"])):
            raise TypeError
        return Session(*tokens, int(answer["expires_at"]), UUID(user["id"]), str(user.get("email") or ""))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise IdentityUnavailable("its answer holds no session") from error


def _safe(segment: str) -> str:
    """One part of a path, whatever it holds."""
    quoted = quote(segment, safe="")
    return quoted if quoted.strip(".") else "-"
