"""Sessions: access tokens, and refresh tokens that rotate and betray a thief."""

from __future__ import annotations

import json
import secrets
import uuid
from typing import Any

import jwt

from hosted.dev.supabase.errors import AuthFailure, OAuthFailure, bad_request
from hosted.dev.supabase.settings import Settings
from hosted.dev.supabase.signing import Signer, challenge_of
from hosted.dev.supabase.store import Store
from hosted.dev.supabase.users import Row, Users


class Sessions:
    """Issues, refreshes and ends sessions."""

    def __init__(self, store: Store, settings: Settings, users: Users, signer: Signer) -> None:
        self._store, self._settings, self._users, self._signer = store, settings, users, signer

    def start(self, user: Row, method: str, *, client_id: str | None = None, scope: str | None = None) -> Row:
        """A new session's token answer."""
        if user["banned"]:
            raise bad_request("User is banned", "user_banned")
        now, session_id = self._store.now(), str(uuid.uuid4())
        self._store.insert(
            "sessions", id=session_id, user_id=user["id"], method=method, client_id=client_id, scope=scope,
            created_at=now, refreshed_at=now,
        )  # fmt: skip
        self._store.update("users", user["id"], last_sign_in_at=now)
        session = self._must(session_id)
        return self._answer(session, self._hand_out(session))

    def refresh(self, token: object, client_id: str | None = None) -> Row:
        """The next token answer of the session that `token` belongs to.

        The token before the active one, and any within the reuse interval, give the active one again: its answer was
        lost, or two tabs asked at once. An older one ends the session: somebody kept a copy.
        """
        if not isinstance(token, str) or not token:
            raise OAuthFailure("invalid_request", "refresh_token required")
        found = self._store.one("SELECT * FROM refresh_tokens WHERE token=?", token)
        if found is None:
            raise bad_request("Invalid Refresh Token: Refresh Token Not Found", "refresh_token_not_found")
        session = self._must(found["session_id"])
        if session["client_id"] != client_id:
            raise OAuthFailure("invalid_client", "Client does not match the session's OAuth client")
        behind = session["counter"] - found["counter"]
        fresh = self._store.now() - session["refreshed_at"] < self._settings.reuse_interval
        if behind > 1 and not fresh:
            self._store.run("DELETE FROM sessions WHERE id=?", session["id"])
            raise bad_request("Invalid Refresh Token: Already Used", "refresh_token_already_used")
        if behind == 0:
            self._store.update(
                "sessions", session["id"], counter=session["counter"] + 1, refreshed_at=self._store.now()
            )
            session = self._must(session["id"])
            return self._answer(session, self._hand_out(session))
        active = self._store.one(
            "SELECT token FROM refresh_tokens WHERE session_id=? AND counter=?", session["id"], session["counter"]
        )
        return self._answer(session, active["token"] if active else self._hand_out(session))

    def of_token(self, token: str) -> tuple[Row, Row]:
        """The user and session of an access token; raises when either is gone."""
        try:
            claims = self._signer.verify(token, self._store.now())
        except jwt.PyJWTError as error:
            words = f"invalid JWT: unable to parse or verify signature, {error}"
            raise AuthFailure(403, "bad_jwt", words) from error
        user = self._users.by_id(str(claims.get("sub", "")))
        if user is None:
            raise AuthFailure(403, "user_not_found", "User from sub claim in JWT does not exist")
        session = self._store.one("SELECT * FROM sessions WHERE id=?", str(claims.get("session_id", "")))
        if session is None:
            raise AuthFailure(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        return user, session

    def end(self, user: Row, session: Row, scope: str) -> None:
        """Sign out: this session, all of the user's, or all others."""
        match scope:
            case "local":
                self._store.run("DELETE FROM sessions WHERE id=?", session["id"])
            case "others":
                self._store.run("DELETE FROM sessions WHERE user_id=? AND id<>?", user["id"], session["id"])
            case "global":
                self._store.run("DELETE FROM sessions WHERE user_id=?", user["id"])
            case _:
                raise bad_request(f"Unsupported logout scope {scope!r}")

    def end_of_client(self, user_id: str, client_id: str) -> None:
        """End every session that an OAuth client has for the user."""
        self._store.run("DELETE FROM sessions WHERE user_id=? AND client_id=?", user_id, client_id)

    def flow(
        self, challenge: str, method: str | None, provider: str, redirect_to: str, user_id: str | None = None
    ) -> Row:
        """Note a PKCE flow; its code is worth a session once a user is known."""
        flow_id, code = str(uuid.uuid4()), str(uuid.uuid4())
        self._store.insert(
            "flows", id=flow_id, code=code, user_id=user_id, challenge=challenge, method=method or "s256",
            provider=provider, redirect_to=redirect_to, at=self._store.now(),
        )  # fmt: skip
        return {"id": flow_id, "code": code}

    def exchange(self, code: object, verifier: object) -> Row:
        """The session for a PKCE code; a code is good once."""
        if not isinstance(code, str) or not isinstance(verifier, str) or not code or not verifier:
            raise bad_request("invalid request: both auth code and code verifier should be non-empty")
        flow = self._store.one("SELECT * FROM flows WHERE code=? AND user_id IS NOT NULL", code)
        if flow is None:
            raise AuthFailure(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
        if self._store.now() - flow["at"] > self._settings.flow_lifetime:
            raise bad_request("invalid flow state, flow state has expired", "flow_state_expired")
        if not secrets.compare_digest(challenge_of(verifier, flow["method"]), flow["challenge"]):
            raise bad_request("code challenge does not match previously saved code verifier", "bad_code_verifier")
        self._store.run("DELETE FROM flows WHERE id=?", flow["id"])
        user = self._users.by_id(flow["user_id"])
        if user is None:
            raise AuthFailure(404, "user_not_found", "User not found")
        return self.start(user, flow["provider"])

    def _hand_out(self, session: Row) -> str:
        token = secrets.token_urlsafe(9)
        self._store.insert("refresh_tokens", token=token, session_id=session["id"], counter=session["counter"])
        return token

    def _must(self, session_id: str) -> Row:
        found = self._store.one("SELECT * FROM sessions WHERE id=?", session_id)
        if found is None:
            raise bad_request("Invalid Refresh Token: No Valid Session Found", "session_not_found")
        return found

    def _answer(self, session: Row, refresh_token: str) -> Row:
        user = self._users.by_id(session["user_id"])
        if user is None:
            raise AuthFailure(404, "user_not_found", "User not found")
        now = int(self._store.now())
        expires = now + self._settings.token_lifetime
        claims: dict[str, Any] = {
            "iss": self._settings.issuer, "sub": user["id"], "aud": "authenticated", "exp": expires, "iat": now,
            "email": user["email"], "phone": "", "role": "authenticated", "aal": "aal1", "is_anonymous": False,
            "amr": [{"method": session["method"], "timestamp": int(session["created_at"])}],
            "session_id": session["id"], "app_metadata": json.loads(user["app_metadata"]),
            "user_metadata": json.loads(user["user_metadata"]),
        }  # fmt: skip
        if session["client_id"]:
            claims |= {"client_id": session["client_id"], "scope": session["scope"] or ""}
        return {
            "access_token": self._signer.sign(claims), "token_type": "bearer", "expires_in": self._settings.token_lifetime,
            "expires_at": expires, "refresh_token": refresh_token, "user": self._users.public(user),
        }  # fmt: skip
