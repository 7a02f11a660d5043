"""Tokens, honest and forged, against the verifier and its cache of keys."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hosted.dev.supabase.signing import SigningKey
from hosted.identity.errors import BadToken, IdentityUnavailable
from hosted.identity.jwks import COOLDOWN, STALE, KeySet, parse
from hosted.identity.jwt import LEEWAY, MAX_TOKEN, Verifier

ISSUER = "https://project.example/auth/v1"
NOW = 1_800_000_000.0
USER = uuid.uuid4()
EC_KEY = SigningKey("ec-1", "ES256", ec.generate_private_key(ec.SECP256R1()))
RSA_KEY = SigningKey("rsa-1", "RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048))
SECRET = "a legacy secret of enough bytes: 0123456789"


class Project:
    """A Supabase project's address of keys that counts who asks, on a clock of its own."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys, self.asked, self.now = list(keys), 0, 0.0
        self.failing, self.headers, self.delay = False, {"cache-control": "public, max-age=600"}, 0.0
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.key_set = KeySet(f"{ISSUER}/.well-known/jwks.json", self.http, lambda: self.now)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        await asyncio.sleep(self.delay)
        if self.failing:
            raise httpx.ConnectError("no route")
        return httpx.Response(200, json={"keys": [key.published() for key in self.keys]}, headers=self.headers)

    def verifier(self, **options: Any) -> Verifier:
        return Verifier(ISSUER, self.key_set, clock=lambda: NOW, **options)


@pytest.fixture
async def project() -> AsyncIterator[Project]:
    made = Project(EC_KEY, RSA_KEY)
    yield made
    await made.http.aclose()


def claims(**changes: Any) -> dict[str, Any]:
    found = {
        "iss": ISSUER, "sub": str(USER), "aud": "authenticated", "exp": int(NOW) + 3600, "iat": int(NOW),
        "role": "authenticated", "session_id": "s-1", "email": "ann@example.com", "aal": "aal1", **changes,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def signed(key: SigningKey = EC_KEY, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key.private, key.algorithm, headers={"kid": key.kid, **(headers or {})})


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("key", [EC_KEY, RSA_KEY], ids=lambda key: key.algorithm)
async def test_an_honest_token_is_taken(project: Project, key: SigningKey) -> None:
    found = await project.verifier().verify(signed(key, client_id="program"))
    assert (found.user_id, found.session_id, found.client_id) == (USER, "s-1", "program")
    assert (found.email, found.issued_at) == ("ann@example.com", int(NOW))


async def test_the_shared_secret_is_taken_only_when_it_is_set(project: Project) -> None:
    token = jwt.encode(claims(), SECRET, "HS256")
    assert (await project.verifier(secret=SECRET).verify(token)).user_id == USER
    with pytest.raises(BadToken, match="algorithm is not allowed"):
        await project.verifier().verify(token)
    with pytest.raises(BadToken, match="signature"):
        await project.verifier(secret="another secret that is long enough too").verify(token)
    assert project.asked == 0
    with pytest.raises(ValueError, match="32 bytes"):
        project.verifier(secret="short")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": int(NOW) - LEEWAY}, "expired"),
        ({"nbf": int(NOW) + LEEWAY + 1}, "not valid yet"),
        ({"iat": int(NOW) + LEEWAY + 1}, "not valid yet"),
        ({"iss": "https://other.example/auth/v1"}, "another project"),
        ({"iss": ISSUER + "/"}, "another project"),
        ({"aud": "anon"}, "somebody else"),
        ({"aud": ["anon", "service"]}, "somebody else"),
        ({"exp": None}, "lacks a claim"),
        ({"iat": None}, "lacks a claim"),
        ({"aud": None}, "lacks a claim"),
        ({"iss": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"exp": 1e400}, "exp is not a time"),
        ({"exp": "later"}, "exp is not a time"),
        ({"exp": True}, "exp is not a time"),
        ({"nbf": "soon"}, "nbf is not a time"),
        ({"sub": "../../admin"}, "names no user"),
        ({"sub": ""}, "names no user"),
        ({"role": "anon"}, "signed-in person"),
        ({"role": "service_role"}, "signed-in person"),
        ({"is_anonymous": True}, "signed-in person"),
        ({"session_id": None}, "names no session"),
        ({"session_id": 7}, "names no session"),
        ({"client_id": ["x"]}, "names no session"),
    ],
)
async def test_a_signed_token_that_says_the_wrong_thing_is_refused(
    project: Project, changes: dict[str, Any], why: str
) -> None:
    body = ".".join((encoded({"alg": "ES256", "kid": EC_KEY.kid}), encoded(claims(**changes))))
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(body.encode(), EC_KEY.private)
    with pytest.raises(BadToken, match=why):
        await project.verifier().verify(f"{body}.{encoded(signature)}")


async def test_clocks_may_differ_a_little(project: Project) -> None:
    verifier = project.verifier()
    assert await verifier.verify(signed(exp=int(NOW) - LEEWAY + 1))
    assert await verifier.verify(signed(iat=int(NOW) + LEEWAY, nbf=int(NOW) + LEEWAY))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", None, 7, ["ES256"], "ES384", "PS256", "EdDSA", "HS512"]
)
@pytest.mark.parametrize("secret", ["", SECRET])
async def test_no_algorithm_but_the_known_ones(project: Project, algorithm: Any, secret: str) -> None:
    for signature in ("", encoded(b"x"), encoded(hmac.digest(b"", b"", "sha256"))):
        token = f"{encoded({'alg': algorithm, 'kid': EC_KEY.kid})}.{encoded(claims())}.{signature}"
        with pytest.raises(BadToken, match=r"algorithm is not allowed|not a JSON Web Token"):
            await project.verifier(secret=secret).verify(token)


@pytest.mark.parametrize("secret", ["", SECRET])
@pytest.mark.parametrize("form", ["pem", "der", "pkcs1", "jwk"])
@pytest.mark.parametrize("key", [EC_KEY, RSA_KEY], ids=lambda key: key.algorithm)
async def test_a_public_key_is_no_shared_secret(project: Project, key: SigningKey, form: str, secret: str) -> None:
    public = key.private.public_key()
    if form == "jwk":
        guess = json.dumps(key.published()).encode()
    else:
        encoding = serialization.Encoding.DER if form == "der" else serialization.Encoding.PEM
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        if form == "pkcs1" and isinstance(public, rsa.RSAPublicKey):
            kind = serialization.PublicFormat.PKCS1
        guess = public.public_bytes(encoding, kind)
    body = f"{encoded({'alg': 'HS256', 'kid': key.kid, 'typ': 'JWT'})}.{encoded(claims())}"
    token = f"{body}.{encoded(hmac.digest(guess, body.encode(), hashlib.sha256))}"
    with pytest.raises(BadToken, match="algorithm is not allowed" if not secret else "signature"):
        await project.verifier(secret=secret).verify(token)


async def test_a_key_verifies_its_own_algorithm_alone(project: Project) -> None:
    body = f"{encoded({'alg': 'RS256', 'kid': EC_KEY.kid})}.{encoded(claims())}"
    with pytest.raises(BadToken, match="not its key's"):
        await project.verifier().verify(f"{body}.{encoded(b'x' * 64)}")


@pytest.mark.parametrize(
    "kid", ["../../../etc/passwd", "..\\x", "a/b", "x" * 129, "", None, 7, {"a": 1}, "a\0b", "http://x/"]
)
async def test_a_kid_is_a_name_and_nothing_else(project: Project, kid: Any) -> None:
    token = f"{encoded({'alg': 'ES256', 'kid': kid})}.{encoded(claims())}.{encoded(b'x' * 64)}"
    with pytest.raises(BadToken, match="does not name its key"):
        await project.verifier().verify(token)
    assert project.asked == 0


async def test_a_token_can_not_bring_its_own_key(project: Project) -> None:
    own = SigningKey(EC_KEY.kid, "ES256", ec.generate_private_key(ec.SECP256R1()))
    for said in (
        {"jwk": own.published()},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/c"},
    ):
        with pytest.raises(BadToken, match="signature"):
            await project.verifier().verify(signed(own, said))
    with pytest.raises(BadToken, match="extensions"):
        await project.verifier().verify(signed(headers={"crit": ["exp"]}))


@pytest.mark.parametrize(
    "token",
    ["", "a", "a.b", "a.b.c.d", "...", "ä.b.c", "a b.c.d", " ", "a.b.c\n", "Bearer a.b.c",
     f"{encoded(b'not json')}.e30.AA", f"{encoded([1])}.e30.AA", f"{encoded(b'[' * 5000)}.e30.AA",
     f"{encoded(chr(0xD800).encode('utf-8', 'surrogatepass'))}.e30.AA", "A.A.A"],
)  # fmt: skip
async def test_what_is_no_token_is_refused(project: Project, token: str) -> None:
    with pytest.raises(BadToken):
        await project.verifier(secret=SECRET).verify(token)
    assert project.asked == 0


async def test_a_huge_token_costs_nothing(project: Project) -> None:
    started = time.process_time()
    for size in (MAX_TOKEN, 1_000_000):
        with pytest.raises(BadToken, match="too long"):
            await project.verifier().verify(signed()[:20] + "A" * size)
    assert time.process_time() - started < 0.5
    assert project.asked == 0


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_any_change_breaks_the_signature(project: Project, part: int) -> None:
    parts = signed().split(".")
    raw = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    raw[len(raw) // 2] ^= 1
    parts[part] = encoded(bytes(raw))
    with pytest.raises(BadToken):
        await project.verifier().verify(".".join(parts))


async def test_keys_are_fetched_once_for_everybody(project: Project) -> None:
    project.delay = 0.05
    verifier, token = project.verifier(), signed()
    await asyncio.gather(*(verifier.verify(token) for _ in range(50)))
    await verifier.verify(token)
    assert project.asked == 1
    project.now += 599
    await verifier.verify(token)
    assert project.asked == 1
    project.now += 2
    await asyncio.gather(*(verifier.verify(token) for _ in range(20)))
    assert project.asked == 2


async def test_a_caller_that_gives_up_leaves_the_fetch_to_the_others(project: Project) -> None:
    project.delay = 0.05
    first = asyncio.create_task(project.verifier().verify(signed()))
    second = asyncio.create_task(project.verifier().verify(signed()))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second).user_id == USER
    assert project.asked == 1


async def test_a_rotated_key_is_found_and_a_withdrawn_one_is_refused_in_time(project: Project) -> None:
    verifier = project.verifier()
    await verifier.verify(signed())
    new = SigningKey("ec-2", "ES256", ec.generate_private_key(ec.SECP256R1()))
    project.keys = [new]
    project.now += COOLDOWN
    assert await verifier.verify(signed(new))
    with pytest.raises(BadToken, match="not known"):
        await verifier.verify(signed())


async def test_a_flood_of_unknown_keys_reaches_the_project_rarely(project: Project) -> None:
    verifier = project.verifier()
    for wave in range(1, 4):
        for number in range(200):
            stranger = SigningKey(f"unknown-{wave}-{number}", "ES256", EC_KEY.private)
            with pytest.raises(BadToken, match="not known"):
                await verifier.verify(signed(stranger))
        assert project.asked == wave
        assert (await verifier.verify(signed())).user_id == USER
        project.now += COOLDOWN


async def test_known_keys_serve_on_while_the_project_is_away(project: Project) -> None:
    verifier = project.verifier()
    await verifier.verify(signed())
    project.failing = True
    project.now += 601
    assert await verifier.verify(signed())
    assert await verifier.verify(signed())
    assert project.asked == 2
    project.now += STALE
    with pytest.raises(IdentityUnavailable):
        await verifier.verify(signed())
    project.failing = False
    project.now += COOLDOWN
    assert await verifier.verify(signed())


async def test_no_keys_at_all_is_no_fault_of_the_token(project: Project) -> None:
    project.failing = True
    verifier = project.verifier()
    for _ in range(5):
        with pytest.raises(IdentityUnavailable, match="ConnectError"):
            await verifier.verify(signed())
    assert project.asked == 1


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(200, text="<html>"), httpx.Response(200, json=[]), httpx.Response(200, json={"keys": 1}),
     httpx.Response(500), httpx.Response(302, headers={"location": "https://evil.example"}),
     httpx.Response(200, json={"keys": ["x" * 70_000]})],
)  # fmt: skip
async def test_a_broken_answer_changes_nothing(answer: httpx.Response) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as http:
        with pytest.raises(IdentityUnavailable):
            await Verifier(ISSUER, KeySet("https://project.example/jwks", http)).verify(signed())


@pytest.mark.parametrize(
    ("header", "age"), [("max-age=5", 60), ("public, max-age=86400", 3600), ("no-store", 600), ("s-maxage=9", 600)]
)
async def test_the_age_of_keys_has_bounds(project: Project, header: str, age: int) -> None:
    project.headers = {"cache-control": header}
    await project.verifier().verify(signed())
    project.now += age - 1
    await project.verifier().verify(signed())
    assert project.asked == 1
    project.now += 2
    await project.verifier().verify(signed())
    assert project.asked == 2


def test_keys_that_are_not_for_this_are_passed_over() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    listed = [
        {"kty": "oct", "k": encoded(b"secret"), "kid": "oct", "alg": "HS256"},
        {**SigningKey("weak", "RS256", weak).published()},
        {**EC_KEY.published(), "kid": "enc", "use": "enc"},
        {**EC_KEY.published(), "kid": "other", "alg": "ES384"},
        {**EC_KEY.published(), "kid": "off-curve", "y": EC_KEY.published()["x"]},
        {**EC_KEY.published(), "kid": 7},
        {"kty": "EC", "crv": "P-256", "kid": "empty"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "ed"},
        "no key", None,
        EC_KEY.published(),
    ]  # fmt: skip
    assert list(parse({"keys": listed})) == ["ec-1"]
