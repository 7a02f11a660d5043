"""The Supabase project's published keys: fetched once for everybody, kept, and asked again in measure.

A key that the project withdrew is refused here once its set is older than its max-age, at most an hour later. When the
project can't be reached, the keys that are known serve on for an hour more; a key that nobody knows is not waited for.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from hosted.identity.errors import IdentityUnavailable

MAX_BYTES, MAX_KEYS, MIN_RSA_BITS = 64 * 1024, 32, 2048
SHORTEST, LONGEST, DEFAULT_AGE = 60.0, 3600.0, 600.0
STALE = 3600.0
"""How long past its age a set serves on while the project can't be reached."""
COOLDOWN = 15.0
"""At least this long lies between two fetches that an unknown key or a failure brings about."""

PublicKey = EllipticCurvePublicKey | RSAPublicKey
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key with the one algorithm that it verifies."""

    algorithm: str
    key: PublicKey


class KeySet:
    """Keys by kid. One per process; safe for any number of tasks of one event loop."""

    def __init__(self, url: str, http: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._http, self._clock = url, http, clock
        self._keys: Mapping[str, VerifyingKey] = {}
        self._fresh_until = self._asked_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._problem = ""

    async def key(self, kid: str) -> VerifyingKey | None:
        """The key of this id, or None when the project publishes none; raises IdentityUnavailable when none are known."""
        now = self._clock()
        if now >= self._fresh_until and (self._cooled(now) or not self._usable(now)):
            await self._refresh()
        elif kid not in self._keys and (self._cooled(now) or self._under_way()):
            await self._refresh()  # perhaps the keys just rotated
        if not self._usable(self._clock()):
            raise IdentityUnavailable(self._problem or "its keys are not known yet")
        return self._keys.get(kid)

    def _cooled(self, now: float) -> bool:
        return now - self._asked_at >= COOLDOWN

    def _usable(self, now: float) -> bool:
        return now < self._fresh_until + STALE

    async def _refresh(self) -> None:
        """Fetch once, however many wait; a caller that gives up leaves the fetch to the others."""
        if not self._under_way():
            if not self._cooled(self._clock()):
                return
            self._asked_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    def _under_way(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    async def _fetch(self) -> None:
        try:
            answer = await self._http.get(self._url, timeout=5.0, follow_redirects=False)
            answer.raise_for_status()
            if len(answer.content) > MAX_BYTES:
                raise ValueError("the set of keys is too large")
            keys = parse(answer.json())
        except (httpx.HTTPError, ValueError) as error:
            self._problem = type(error).__name__
            _log.warning("keys_not_fetched", error=type(error).__name__, known=len(self._keys))
            return
        self._keys, self._problem = keys, ""
        self._fresh_until = self._clock() + _age(answer.headers)


def parse(document: Any) -> dict[str, VerifyingKey]:
    """The signature keys of a JSON Web Key Set by kid; what isn't ES256 or RS256 is passed over. Raises ValueError."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a set of keys")
    found: dict[str, VerifyingKey] = {}
    for described in listed[:MAX_KEYS]:
        if isinstance(described, dict) and described.get("use", "sig") == "sig":
            kid, key = described.get("kid"), _verifying(described)
            if isinstance(kid, str) and key is not None:
                found[kid] = key
    return found


def _verifying(described: dict[str, Any]) -> VerifyingKey | None:
    try:
        match described.get("kty"):
            case "EC" if described.get("crv") == "P-256" and described.get("alg", "ES256") == "ES256":
                curve = ECAlgorithm.from_jwk(described)
                if isinstance(curve, EllipticCurvePublicKey) and isinstance(curve.curve, SECP256R1):
                    return VerifyingKey("ES256", curve)
            case "RSA" if described.get("alg", "RS256") == "RS256":
                modulus = RSAAlgorithm.from_jwk(described)
                if isinstance(modulus, RSAPublicKey) and modulus.key_size >= MIN_RSA_BITS:
                    return VerifyingKey("RS256", modulus)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        _log.warning("key_not_understood", kty=described.get("kty"))
    return None


def _age(headers: httpx.Headers) -> float:
    found = re.search(r"(?:^|[,\s])max-age=(\d{1,9})", headers.get("cache-control", ""))
    return min(LONGEST, max(SHORTEST, float(found[1]))) if found else DEFAULT_AGE
