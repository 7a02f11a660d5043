"""The keys that sign access tokens: ES256, RS256 or the legacy shared secret, and their rotation."""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from hosted.dev.supabase.store import Store

Algorithm = Literal["ES256", "RS256", "HS256"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair; `kid` names it in tokens and in the published set."""

    kid: str
    algorithm: str
    private: PrivateKey

    def published(self) -> dict[str, Any]:
        """The public half as a JSON Web Key."""
        public = self.private.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            numbers = ECAlgorithm.to_jwk(public, as_dict=True)
        else:
            numbers = RSAAlgorithm.to_jwk(public, as_dict=True)
        return {**numbers, "kid": self.kid, "alg": self.algorithm, "use": "sig", "key_ops": ["verify"]}


class Signer:
    """Signs and verifies access tokens; keys rest in the store, newest first."""

    def __init__(self, store: Store, algorithm: Algorithm, secret: str | None) -> None:
        self._store, self._secret = store, secret
        self.algorithm = algorithm
        self._keys = [self._load(row) for row in store.all("SELECT * FROM signing_keys ORDER BY at DESC, rowid DESC")]
        if algorithm == "HS256":
            if not secret:
                raise ValueError("HS256 needs its secret")
        elif not any(key.algorithm == algorithm for key in self._keys):
            self.rotate(algorithm)

    def rotate(self, algorithm: Algorithm | None = None, *, forget: bool = False) -> str | None:
        """Sign with a new key from now on; the older ones stay published unless `forget`. Returns the new kid."""
        self.algorithm = algorithm or self.algorithm
        if forget:
            self._keys.clear()
            self._store.run("DELETE FROM signing_keys")
        if self.algorithm == "HS256":
            return None
        made = SigningKey(str(uuid.uuid4()), self.algorithm, _generate(self.algorithm))
        pem = made.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._store.insert(
            "signing_keys", kid=made.kid, algorithm=made.algorithm, pem=pem.decode(), at=self._store.now()
        )
        self._keys.insert(0, made)
        return made.kid

    def jwks(self) -> dict[str, Any]:
        """The public keys; a shared secret is never among them."""
        return {"keys": [key.published() for key in self._keys]}

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with `claims`, under the current key."""
        if self.algorithm == "HS256":
            return jwt.encode(claims, self._secret or "", algorithm="HS256")
        current = next(key for key in self._keys if key.algorithm == self.algorithm)
        return jwt.encode(claims, current.private, algorithm=current.algorithm, headers={"kid": current.kid})

    def verify(self, token: str, now: float) -> dict[str, Any]:
        """The claims of a token that this server signed and that lasts still; raises jwt.PyJWTError."""
        header = jwt.get_unverified_header(token)
        options: Any = {"verify_aud": False, "verify_exp": False, "verify_iat": False}
        if header.get("alg") == "HS256" and self._secret:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"], options=options)
        else:
            key = next((key for key in self._keys if key.kid == header.get("kid")), None)
            if key is None:
                raise jwt.InvalidKeyError("unrecognized JWT kid")
            claims = jwt.decode(token, key.private.public_key(), algorithms=[key.algorithm], options=options)
        if claims.get("exp", 0) <= now:
            raise jwt.ExpiredSignatureError("token is expired")
        return claims

    @staticmethod
    def _load(row: dict[str, Any]) -> SigningKey:
        private = serialization.load_pem_private_key(row["pem"].encode(), password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise TypeError(f"unexpected key {row['kid']}")
        return SigningKey(row["kid"], row["algorithm"], private)


def _generate(algorithm: str) -> PrivateKey:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def challenge_of(verifier: str, method: str) -> str:
    """The PKCE challenge that a verifier must give, method s256 or plain."""
    if method.lower() == "plain":
        return verifier
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
