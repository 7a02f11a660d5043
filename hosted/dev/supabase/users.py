"""People: their passwords, identities, and the codes mailed to them."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from hosted.dev.supabase.errors import AuthFailure, bad_request
from hosted.dev.supabase.settings import Settings
from hosted.dev.supabase.store import Store

EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*")
_COST = {"n": 2**12, "r": 8, "p": 1}
Row = dict[str, Any]


class Users:
    """Everything that is kept of people."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings

    def by_id(self, user_id: str) -> Row | None:
        """The user with this id."""
        return self._store.one("SELECT * FROM users WHERE id=?", user_id)

    def by_email(self, email: str) -> Row | None:
        """The user with this address, however it is capitalised."""
        return self._store.one("SELECT * FROM users WHERE email=?", email)

    def all(self) -> list[Row]:
        """Everybody, newest first."""
        return self._store.all("SELECT * FROM users ORDER BY created_at DESC, rowid DESC")

    def create(self, email: str, password: str | None, data: Any, *, confirmed: bool, provider: str = "email") -> Row:
        """A new user; raises when the address is taken."""
        now, user_id = self._store.now(), str(uuid.uuid4())
        if self.by_email(email):
            raise AuthFailure(422, "user_already_exists", "User already registered")
        self._store.insert(
            "users", id=user_id, email=email.lower(), password=password and hashed(password), created_at=now,
            updated_at=now, confirmed_at=now if confirmed else None, user_metadata=json.dumps(data or {}),
            app_metadata=json.dumps({"provider": provider, "providers": [provider]}),
        )  # fmt: skip
        self.link(user_id, provider, user_id if provider == "email" else email, {"email": email, "sub": user_id})
        return self._must(user_id)

    def link(self, user_id: str, provider: str, provider_id: str, data: Row) -> None:
        """Note that the user may sign in by `provider`."""
        known = self._store.one(
            "SELECT 1 FROM identities WHERE provider=? AND provider_id=?", provider, provider_id
        )  # fmt: skip
        if known:
            return
        self._store.insert(
            "identities", id=str(uuid.uuid4()), user_id=user_id, provider=provider, provider_id=provider_id,
            data=json.dumps(data), created_at=self._store.now(),
        )  # fmt: skip
        names = [row["provider"] for row in self._identities(user_id)]
        self._store.update("users", user_id, app_metadata=json.dumps({"provider": names[0], "providers": names}))

    def change(self, user_id: str, **columns: Any) -> Row:
        """Set columns and return the user."""
        self._store.update("users", user_id, **columns, updated_at=self._store.now())
        return self._must(user_id)

    def delete(self, user_id: str) -> bool:
        """Remove the user with sessions, codes and identities; False when there is none."""
        return self._store.run("DELETE FROM users WHERE id=?", user_id) > 0

    def public(self, user: Row) -> Row:
        """The user as the API shows it."""
        identities = [
            {
                "identity_id": row["id"], "id": row["provider_id"], "user_id": row["user_id"],
                "identity_data": json.loads(row["data"]), "provider": row["provider"], "email": user["email"],
                "last_sign_in_at": iso(row["created_at"]), "created_at": iso(row["created_at"]),
                "updated_at": iso(row["created_at"]),
            }
            for row in self._identities(user["id"])
        ]  # fmt: skip
        moments = {
            "email_confirmed_at": user["confirmed_at"], "confirmed_at": user["confirmed_at"],
            "last_sign_in_at": user["last_sign_in_at"],
        }  # fmt: skip
        return {
            "id": user["id"], "aud": "authenticated", "role": "authenticated", "email": user["email"], "phone": "",
            "app_metadata": json.loads(user["app_metadata"]), "user_metadata": json.loads(user["user_metadata"]),
            "identities": identities, "is_anonymous": False,
            "created_at": iso(user["created_at"]), "updated_at": iso(user["updated_at"]),
            **({"new_email": user["new_email"]} if user["new_email"] else {}),
            **{name: iso(at) for name, at in moments.items() if at},
        }  # fmt: skip

    def mail(self, user: Row, kind: str, redirect_to: str, challenge: str | None, method: str | None) -> None:
        """Write a code and a link to the user."""
        recent = self._store.one("SELECT max(at) AS at FROM one_time_tokens WHERE user_id=?", user["id"])
        if recent and recent["at"] and self._store.now() - recent["at"] < self._settings.mail_interval:
            raise AuthFailure(
                429, "over_email_send_rate_limit", "For security purposes, you must wait before asking again"
            )
        to = user["new_email"] if kind == "email_change" else user["email"]
        body = self.one_time(user, kind, redirect_to, challenge, method)
        self._store.insert("mails", at=self._store.now(), recipient=to, type=kind, body=json.dumps(body))

    def one_time(
        self, user: Row, kind: str, redirect_to: str, challenge: str | None = None, method: str | None = None
    ) -> dict[str, str]:  # fmt: skip
        """A code and a link of the user; an older one of the kind is void from now on."""
        self._store.run("DELETE FROM one_time_tokens WHERE user_id=? AND type=?", user["id"], kind)
        to = user["new_email"] if kind == "email_change" else user["email"]
        otp, token_hash = f"{secrets.randbelow(10**6):06}", ("pkce_" if challenge else "") + secrets.token_hex(28)
        self._store.insert(
            "one_time_tokens", token_hash=token_hash, user_id=user["id"], type=kind, otp=otp, email=to,
            challenge=challenge, method=method or "s256", at=self._store.now(),
        )  # fmt: skip
        query = urlencode({"token": token_hash, "type": kind, "redirect_to": redirect_to})
        return {"token": otp, "token_hash": token_hash, "redirect_to": redirect_to,
                "link": f"{self._settings.issuer}/verify?{query}"}  # fmt: skip

    def redeem(
        self, kind: str, *, token_hash: str | None = None, email: str | None = None, otp: str | None = None
    ) -> Row:
        """The one-time token that was mailed, used up by this; raises when it is unknown, used or too old."""
        kinds = _KINDS.get(kind)
        if kinds is None:
            raise bad_request(f"Verify requires a verification type, not {kind!r}")
        places = ",".join("?" * len(kinds))
        if token_hash:
            found = self._store.one(
                f"SELECT * FROM one_time_tokens WHERE token_hash=? AND type IN ({places})", token_hash, *kinds
            )
        else:
            found = self._store.one(
                f"SELECT * FROM one_time_tokens WHERE email=? AND otp=? AND type IN ({places}) ORDER BY at DESC",
                (email or "").lower(), otp, *kinds,
            )  # fmt: skip
        if found is None or self._store.now() - found["at"] > self._settings.otp_lifetime:
            words = "Email link is invalid or has expired" if token_hash else "Token has expired or is invalid"
            raise AuthFailure(403, "otp_expired", words)
        self._store.run("DELETE FROM one_time_tokens WHERE token_hash=?", found["token_hash"])
        return found

    def confirm(self, found: Row) -> Row:
        """What a redeemed code proves: that the address is the user's."""
        user = self._must(found["user_id"])
        if found["type"] == "email_change":
            return self.change(user["id"], email=found["email"], new_email=None)
        return user if user["confirmed_at"] else self.change(user["id"], confirmed_at=self._store.now())

    def checked_password(self, password: Any) -> str:
        """The password, when it is long enough."""
        if not isinstance(password, str) or not password:
            raise bad_request("Signup requires a valid password")
        if len(password) < self._settings.password_length or len(password) > 72:
            raise AuthFailure(
                422, "weak_password", f"Password should be at least {self._settings.password_length} characters.",
                weak_password={"reasons": ["length"]},
            )  # fmt: skip
        return password

    def _identities(self, user_id: str) -> list[Row]:
        return self._store.all("SELECT * FROM identities WHERE user_id=? ORDER BY created_at, rowid", user_id)

    def _must(self, user_id: str) -> Row:
        found = self.by_id(user_id)
        if found is None:
            raise AuthFailure(404, "user_not_found", "User not found")
        return found


_KINDS: dict[str, tuple[str, ...]] = {
    "signup": ("signup", "invite"), "invite": ("invite",), "magiclink": ("magiclink",), "recovery": ("recovery",),
    "email_change": ("email_change",), "email": ("signup", "magiclink", "invite"),
}  # fmt: skip


def checked_email(email: Any) -> str:
    """The address, in lower case, when it looks like one."""
    if not isinstance(email, str) or not EMAIL.fullmatch(email) or len(email) > 254:
        raise bad_request("Unable to validate email address: invalid format")
    return email.lower()


def hashed(password: str) -> str:
    """A salted scrypt hash."""
    salt = os.urandom(16)
    return f"{salt.hex()}:{hashlib.scrypt(password.encode(), salt=salt, **_COST).hex()}"


def fits(password: str, stored: str | None) -> bool:
    """Whether the password is the one that was hashed."""
    salt, _, digest = (stored or ":").partition(":")
    got = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **_COST).hex()
    return hmac.compare_digest(got, digest)


def iso(at: float) -> str:
    """Seconds since the epoch as the API writes them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
