"""The account a store is signed in to: who it is, and the tokens that prove it.

A refresh token serves once, and using an old one ends the whole session: so one process refreshes, one call at a time, and
the next token is on disk before it is used for anything.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol
from uuid import UUID

import httpx

from jmem.core.addresses import account_address
from jmem.core.errors import JmemError, StorageFailed
from sync.remote import AccountGone, Offline, SignedOut

EARLY_S = 60.0
"""A token is renewed this long before it ends."""
TIMEOUT = httpx.Timeout(15.0, connect=10.0)
_VERSION = "2024-01-01"
_ENDED = frozenset(("refresh_token_not_found", "refresh_token_already_used", "session_not_found", "session_expired",
                    "user_not_found", "user_banned", "invalid_grant", "validation_failed", "bad_jwt"))  # fmt: skip

_GONE = frozenset(("session_not_found", "session_expired", "user_not_found"))


@dataclass(frozen=True, slots=True)
class Account:
    """Where somebody signed in, and as whom. No secret."""

    url: str
    """of the hosted account"""
    supabase_url: str
    publishable_key: str
    sub: str
    email: str

    def as_dict(self) -> dict[str, str]:
        """As it is kept."""
        return asdict(self)


class Keeper(Protocol):
    """Keeps the refresh token of one account where no other user of the machine finds it."""

    def load(self) -> str | None:
        """What is kept; None for nothing."""

    def save(self, token: str) -> None:
        """Keep it; durable when this returns."""


class SignInRefused(JmemError):
    """Supabase said no; `reason` is its code."""

    code, status, exit_code = "sign_in_refused", 401, 4


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one session; `expires_at` in seconds since 1970 by Supabase's clock, `lasts` seconds from when it was given."""

    access: str
    refresh: str
    lasts: float
    sub: str
    email: str


class Project:
    """The account's Supabase project, as far as a device asks it. Raises SignInRefused, Offline."""

    def __init__(self, supabase_url: str, publishable_key: str, http: httpx.Client) -> None:
        """Raises Invalid `bad_address` where a password must not be sent."""
        self._base, self._key, self._http = f"{account_address(supabase_url)}/auth/v1", publishable_key, http

    def by_password(self, email: str, password: str) -> Tokens:
        """A session for a password."""
        return self._tokens("/token?grant_type=password", {"email": email, "password": password})

    def mail_code(self, email: str) -> None:
        """Mail a code to sign in with; an account is not made by it."""
        self._call("POST", "/otp", {"email": email, "create_user": False})

    def by_code(self, email: str, code: str) -> Tokens:
        """A session for a mailed code."""
        return self._tokens("/verify", {"type": "email", "email": email, "token": code})

    def by_hash(self, token_hash: str) -> Tokens:
        """A session for the hash of a link that the account made for this device."""
        return self._tokens("/verify", {"type": "email", "token_hash": token_hash})

    def by_refresh_token(self, token: str) -> Tokens:
        """The session's next tokens; `token` serves no more."""
        return self._tokens("/token?grant_type=refresh_token", {"refresh_token": token})

    def sign_out(self, access: str) -> bool:
        """End this session alone; whether Supabase did, or knew that it has ended."""
        try:
            self._call("POST", "/logout?scope=local", {}, access)
        except SignInRefused as refusal:
            return refusal.detail.get("reason") in _GONE
        return True

    def _tokens(self, path: str, body: dict[str, Any]) -> Tokens:
        answer = self._call("POST", path, body)
        try:
            user = answer["user"]
            return Tokens(answer["access_token"], answer["refresh_token"], float(answer["expires_in"]),
                          str(UUID(user["id"])), str(user.get("email") or ""))  # fmt: skip
        except (KeyError, TypeError, ValueError):
            raise Offline("the sign-in's answer holds no session") from None

    def _call(self, method: str, path: str, body: dict[str, Any], bearer: str = "") -> dict[str, Any]:
        headers = {
            "apikey": self._key,
            "x-supabase-api-version": _VERSION,
            "authorization": f"Bearer {bearer or self._key}",
        }
        try:
            answer = self._http.request(method, self._base + path, json=body, headers=headers, timeout=TIMEOUT)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Offline(f"{self._base} can't be reached: {error or type(error).__name__}") from None
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Offline(f"the sign-in answered {answer.status_code}", retry_after=5)
        try:
            found = answer.json() if answer.content else {}
        except ValueError:
            raise Offline("the sign-in's answer is no JSON") from None
        said: dict[str, Any] = found if isinstance(found, dict) else {}
        if not answer.is_success:
            reason = (
                said.get("code") if isinstance(said.get("code"), str) else said.get("error_code") or said.get("error")
            )
            message = (
                said.get("message") or said.get("msg") or said.get("error_description") or "the sign-in was refused"
            )
            raise SignInRefused(str(message), reason=str(reason or "refused"), fix="jmem login")
        return said


class Session:
    """Hands out access tokens of one account. Thread-safe; only one of these may live for a session."""

    def __init__(self, project: Project, keeper: Keeper, clock: Callable[[], float] = time.monotonic) -> None:
        self._project, self._keeper, self._clock = project, keeper, clock
        self._lock = threading.Lock()
        self._access = ""
        self._ends = 0.0
        self.ended: str | None = None
        """why nobody is signed in any more"""

    def begin(self, tokens: Tokens) -> None:
        """Go on with these tokens; they are kept before they are used."""
        with self._lock:
            self.ended = None
            self._take(tokens)

    def token(self, refused: str | None = None) -> str:
        """An access token that is good; raises SignedOut, Offline."""
        with self._lock:
            if self.ended is not None:
                raise SignedOut(self.ended)
            good = self._access and self._clock() < self._ends
            if good and (refused is None or refused != self._access):
                return self._access
            kept = self._keeper.load()
            if kept is None:
                self.ended = "nobody is signed in"
                raise SignedOut(self.ended)
            try:
                self._take(self._project.by_refresh_token(kept))
            except SignInRefused as refusal:
                self._access = ""
                if refusal.detail.get("reason") not in _ENDED:
                    raise Offline(f"the sign-in could not be renewed: {refusal.message}") from None
                self.ended = f"the sign-in has ended: {refusal.message}"
                raise SignedOut(self.ended) from None
            return self._access

    def end(self) -> None:
        """Sign out: here at once, at Supabase as far as it can be reached."""
        self.ended = (
            self.ended or "signed out"
        )  # a renewal that is under way, and holds the lock, keeps nothing any more
        try:
            with self._lock:
                good, self._access = self._access if self._clock() < self._ends else "", ""
                kept = self._keeper.load()
            if good and self._project.sign_out(good):
                return
            if kept is not None:  # a token that has ended ends no session
                self._project.sign_out(self._project.by_refresh_token(kept).access)
        except (Offline, SignInRefused, StorageFailed):
            return

    def _take(self, tokens: Tokens) -> None:
        if self.ended is None:
            self._keeper.save(tokens.refresh)
        self._access = tokens.access
        self._ends = self._clock() + max(tokens.lasts - EARLY_S, tokens.lasts / 2)
        if self.ended is not None:
            raise SignedOut(self.ended)


def where_to_sign_in(url: str, http: httpx.Client, account: str | None = None) -> tuple[str, str]:
    """(Supabase's address, its publishable key) as the hosted account publishes them; raises Offline, and AccountGone where
    the one with the id `account` was deleted."""
    address = f"{url.rstrip('/')}/api/v1/auth"
    try:
        answer = http.get(address, params={} if account is None else {"account": account}, timeout=TIMEOUT)
        if answer.status_code == AccountGone.status and answer.json()["code"] == AccountGone.code:
            raise AccountGone("the account was deleted", fix="jmem login   with another account")
        if not answer.is_success:
            raise Offline(f"{address} does not tell where to sign in: it answers {answer.status_code}")
        said = answer.json()
        return str(said["supabase_url"]), str(said["publishable_key"])
    except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError, KeyError, TypeError) as error:
        raise Offline(f"{address} does not tell where to sign in: {error or type(error).__name__}") from None


def redeem(url: str, code: str, verifier: str, http: httpx.Client) -> str:
    """What the account gives for a code that a browser brought: the hash for `Project.by_hash`.

    Raises SignInRefused for a code that is used, too old or another program's, Offline.
    """
    address = f"{url.rstrip('/')}/api/v1/devices/redeem"
    try:
        answer = http.post(address, json={"code": code, "verifier": verifier}, timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Offline(f"{url} can't be reached: {error or type(error).__name__}") from None
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Offline(f"the account answered {answer.status_code}", retry_after=5)
    try:
        said = answer.json()
        if answer.is_success:
            return str(said["token_hash"])
        reason, why = str(said.get("code") or "refused"), str(said.get("detail") or said.get("title") or "refused")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Offline(f"{address} answers with something else") from None
    raise SignInRefused(f"the account did not take the browser's code: {why}", reason=reason, fix="jmem login")
