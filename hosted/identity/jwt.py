"""Supabase access tokens, verified here: no request goes to Supabase while its keys are known.

What a signature can't tell: that its session was ended at Supabase. Such a token is good until its `exp`, an hour at
most by Supabase's default. Sign-outs made through this backend are noted in its own database and refused at once
(`lookup.Lookup.session`), as is everything of a deleted account and of a program that was disconnected.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import jwt
from jwt.utils import base64url_decode

from hosted.identity.errors import BadToken
from hosted.identity.jwks import VerifyingKey

MAX_TOKEN = 8 * 1024
LEEWAY = 10
"""Seconds by which this machine's clock and Supabase's may differ."""
AUDIENCE = "authenticated"
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_KID = re.compile(r"[A-Za-z0-9._~=+-]{1,128}")
_REQUIRED = ["exp", "iat", "sub", "iss", "aud"]


class Keys(Protocol):
    """Where public keys come from."""

    async def key(self, kid: str) -> VerifyingKey | None:
        """The key of an id, or None."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. `client_id` is the program it was given to; None: the person's own session."""

    user_id: UUID
    session_id: str
    client_id: str | None
    email: str
    issued_at: int
    expires_at: int


class Verifier:
    """Verifies tokens of one issuer. HS256 is taken only when its secret is given."""

    def __init__(
        self, issuer: str, keys: Keys, *, secret: str = "", audience: str = AUDIENCE, leeway: float = LEEWAY,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._issuer, self._keys, self._audience = issuer, keys, audience
        self._secret, self._leeway, self._clock = secret, leeway, clock
        if secret and len(secret.encode()) < 32:
            raise ValueError("the HS256 secret is shorter than 32 bytes")

    async def verify(self, token: str) -> Claims:
        """The claims of a token; raises BadToken, or IdentityUnavailable while no keys are known."""
        if len(token) > MAX_TOKEN:
            raise BadToken("the token is too long")
        if not _SHAPE.fullmatch(token):
            raise BadToken("the token is not a JSON Web Token")
        algorithm, key = await self._key(_part(token, 0))
        options: Any = {"require": _REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            claims = jwt.decode(
                token, key, algorithms=[algorithm], audience=self._audience, issuer=self._issuer, options=options,
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise BadToken(_REASONS.get(type(error), "the token is not valid")) from None
        self._in_time(claims)
        return _claims(claims)

    async def _key(self, header: dict[str, Any]) -> tuple[str, Any]:
        """The algorithm and the key of a token: both are ours to choose, the header only names which."""
        if "crit" in header:
            raise BadToken("the token asks for extensions that are not known here")
        match header.get("alg"):
            case "ES256" | "RS256" as algorithm:
                kid = header.get("kid")
                if not isinstance(kid, str) or not _KID.fullmatch(kid):
                    raise BadToken("the token does not name its key")
                known = await self._keys.key(kid)
                if known is None:
                    raise BadToken("the token is signed with a key that is not known")
                if known.algorithm != algorithm:
                    raise BadToken("the token's algorithm is not its key's")
                return algorithm, known.key
            case "HS256" if self._secret:
                return "HS256", self._secret
        raise BadToken("the token's algorithm is not allowed")

    def _in_time(self, claims: dict[str, Any]) -> None:
        now = self._clock()
        times = {name: claims.get(name) for name in ("exp", "iat", "nbf")}
        for name, at in times.items():
            if at is None and name == "nbf":
                continue
            if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < 2**40:
                raise BadToken(f"the token's {name} is not a time")
        expires, issued, begins = times["exp"] or 0, times["iat"] or 0, times["nbf"] or 0
        if expires <= now - self._leeway:
            raise BadToken("the token has expired", code="token_expired")
        if max(issued, begins) > now + self._leeway:
            raise BadToken("the token is not valid yet")


def session_of(token: str) -> str:
    """The session that a token names, which nobody has verified: one that Supabase gave to who asks. Raises BadToken."""
    return str(_part(token, 1).get("session_id") or "")[:128]


def _part(token: str, place: int) -> dict[str, Any]:
    try:
        found = json.loads(base64url_decode(token.split(".")[place].encode()))
    except (ValueError, IndexError, RecursionError):
        raise BadToken("the token is not a JSON Web Token") from None
    if not isinstance(found, dict):
        raise BadToken("the token is not a JSON Web Token")
    return found


def _claims(claims: dict[str, Any]) -> Claims:
    """Only a signed-in person: not the project's own keys, which are tokens of the same issuer, and nobody anonymous."""
    if claims.get("role") != "authenticated" or claims.get("is_anonymous"):
        raise BadToken("the token is not a signed-in person's")
    client_id = claims.get("client_id") or None
    session_id = claims.get("session_id")
    if not isinstance(session_id, str) or not session_id or not isinstance(client_id, str | None):
        raise BadToken("the token names no session")
    try:
        user_id = UUID(claims["sub"])
    except ValueError:
        raise BadToken("the token names no user") from None
    return Claims(
        user_id, session_id[:128], client_id and client_id[:128], str(claims.get("email") or ""), int(claims["iat"]),
        int(claims["exp"]),
    )  # fmt: skip


_REASONS: dict[type[Exception], str] = {
    jwt.InvalidSignatureError: "the token's signature is wrong",
    jwt.InvalidIssuerError: "the token is another project's",
    jwt.InvalidAudienceError: "the token is for somebody else",
    jwt.MissingRequiredClaimError: "the token lacks a claim",
}
