"""The OAuth 2.1 server, through which programs such as MCP clients get tokens of their own."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hosted.dev.supabase.auth_routes import with_query
from hosted.dev.supabase.context import Context, body_of
from hosted.dev.supabase.errors import AuthFailure, OAuthFailure, bad_request
from hosted.dev.supabase.signing import challenge_of
from hosted.dev.supabase.users import Row, iso

_DEFAULT_SCOPE = "email"


class OAuthRoutes:
    """Metadata, registration, authorization with consent, tokens and grants."""

    def __init__(self, context: Context) -> None:
        self._context, self._store, self._settings = context, context.store, context.settings

    def routes(self) -> list[Route]:
        """The routes, below the API's base address."""
        return [
            Route("/.well-known/oauth-authorization-server", self.metadata, methods=["GET"]),
            Route("/.well-known/openid-configuration", self.metadata, methods=["GET"]),
            Route("/oauth/clients/register", self.register, methods=["POST"]),
            Route("/oauth/authorize", self.authorize, methods=["GET"]),
            Route("/oauth/authorizations/{id}", self.details, methods=["GET"]),
            Route("/oauth/authorizations/{id}/consent", self.consent, methods=["POST"]),
            Route("/oauth/token", self.token, methods=["POST"]),
            Route("/user/oauth/grants", self.grants, methods=["GET"]),
            Route("/user/oauth/grants", self.revoke, methods=["DELETE"]),
        ]

    async def metadata(self, request: Request) -> Response:
        """Where everything is, as RFC 8414 says."""
        issuer = self._settings.issuer
        found = {
            "issuer": issuer, "authorization_endpoint": f"{issuer}/oauth/authorize",
            "token_endpoint": f"{issuer}/oauth/token", "jwks_uri": f"{issuer}/.well-known/jwks.json",
            "response_types_supported": ["code"], "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "code_challenge_methods_supported": ["S256", "plain"],
            "scopes_supported": ["openid", "profile", "email", "phone"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        }  # fmt: skip
        if self._settings.dynamic_registration:
            found["registration_endpoint"] = f"{issuer}/oauth/clients/register"
        return JSONResponse(found)

    async def register(self, request: Request) -> Response:
        """A client registers itself, as RFC 7591 says."""
        if not self._settings.dynamic_registration:
            raise AuthFailure(403, "oauth_dynamic_client_registration_disabled",
                              "Dynamic client registration is not enabled")  # fmt: skip
        asked = await body_of(request)
        uris = asked.get("redirect_uris")
        if not isinstance(uris, list) or not 0 < len(uris) <= 10 or not all(_fit_to_return(uri) for uri in uris):
            raise bad_request("redirect_uris must be one to ten https or loopback addresses without a fragment")
        public = asked.get("token_endpoint_auth_method") == "none"
        client_id, secret = str(uuid.uuid4()), None if public else secrets.token_urlsafe(32)
        grants = asked.get("grant_types") or ["authorization_code", "refresh_token"]
        self._store.insert(
            "oauth_clients", id=client_id, name=str(asked.get("client_name") or "")[:1024], secret=secret,
            redirect_uris=json.dumps(uris), grant_types=json.dumps(grants), uri=asked.get("client_uri"),
            logo=asked.get("logo_uri"), registration="dynamic", created_at=self._store.now(),
        )  # fmt: skip
        client = self._client(client_id)
        return JSONResponse(_shown(client) | ({"client_secret": secret} if secret else {}), 201)

    async def authorize(self, request: Request) -> Response:
        """Note what a client asks for and send the person to the page that asks for consent."""
        query = request.query_params
        client = self._client(query.get("client_id", ""))
        redirect_uri = query.get("redirect_uri", "")
        if redirect_uri not in json.loads(client["redirect_uris"]):
            raise bad_request("invalid redirect_uri")
        state, challenge, method = (
            query.get(name, "") for name in ("state", "code_challenge", "code_challenge_method")
        )
        refused = ""
        if query.get("response_type", "code") != "code":
            refused = "Only response_type=code is supported"
        elif method.lower() not in ("s256", "plain") or not 43 <= len(challenge) <= 128:
            refused = "PKCE flow requires both code_challenge and code_challenge_method"
        if refused:
            said = {"error": "invalid_request", "error_description": refused, "state": state}
            return RedirectResponse(with_query(redirect_uri, **said), 302)
        authorization_id = secrets.token_urlsafe(24)
        self._store.insert(
            "oauth_authorizations", id=authorization_id, client_id=client["id"], redirect_uri=redirect_uri, state=state,
            scope=query.get("scope") or _DEFAULT_SCOPE, challenge=challenge, method=method, status="pending",
            resource=query.get("resource"), at=self._store.now(),
        )  # fmt: skip
        page = self._settings.consent_path
        address = f"{self._settings.site_url}{page}" if page else f"{self._settings.url}/dev/consent"
        return RedirectResponse(with_query(address, authorization_id=authorization_id), 302)

    async def details(self, request: Request) -> Response:
        """Who asks the signed-in person for what; consent that was given before is used at once."""
        self._context.keyed(request)
        user, _ = self._context.who(request)
        asked = self._pending(request.path_params["id"])
        if asked["user_id"] is None:
            self._store.update("oauth_authorizations", asked["id"], user_id=user["id"])
            given = self._store.one(
                "SELECT scope FROM oauth_consents WHERE user_id=? AND client_id=?", user["id"], asked["client_id"]
            )  # fmt: skip
            if given and set(asked["scope"].split()) <= set(given["scope"].split()):
                return JSONResponse({"redirect_url": self.approve(asked["id"], user)})
        elif asked["user_id"] != user["id"]:
            raise _unknown()
        client = self._client(asked["client_id"])
        return JSONResponse({
            "authorization_id": asked["id"], "redirect_uri": asked["redirect_uri"], "scope": asked["scope"],
            "client": {"id": client["id"], "name": client["name"], "uri": client["uri"] or "",
                       "logo_uri": client["logo"] or ""},
            "user": {"id": user["id"], "email": user["email"]},
        })  # fmt: skip

    async def consent(self, request: Request) -> Response:
        """The person's decision; the answer says where to go."""
        self._context.keyed(request)
        user, _ = self._context.who(request)
        action = (await body_of(request)).get("action")
        asked = self._pending(request.path_params["id"])
        if asked["user_id"] != user["id"]:
            raise _unknown()
        if action not in ("approve", "deny"):
            raise bad_request("action must be 'approve' or 'deny'")
        address = self.approve(asked["id"], user) if action == "approve" else self.deny(asked["id"])
        return JSONResponse({"redirect_url": address})

    def approve(self, authorization_id: str, user: Row) -> str:
        """Note the consent of `user`; the address that hands the client its code."""
        asked, code = self._pending(authorization_id), secrets.token_urlsafe(24)
        self._store.update("oauth_authorizations", asked["id"], status="approved", code=code, user_id=user["id"],
                           at=self._store.now())  # fmt: skip
        self._store.run("INSERT OR REPLACE INTO oauth_consents VALUES(?,?,?,?)", user["id"], asked["client_id"],
                        asked["scope"], self._store.now())  # fmt: skip
        return with_query(asked["redirect_uri"], code=code, **({"state": asked["state"]} if asked["state"] else {}))

    def deny(self, authorization_id: str) -> str:
        """The address that tells the client no."""
        asked = self._pending(authorization_id)
        self._store.update("oauth_authorizations", asked["id"], status="denied")
        said = {"error": "access_denied", "error_description": "User denied the request", "state": asked["state"]}
        return with_query(asked["redirect_uri"], **said)

    async def token(self, request: Request) -> Response:
        """Tokens for a code or a refresh token, to a client that proves who it is."""
        if "json" in request.headers.get("content-type", ""):
            asked = await body_of(request)
        else:
            async with request.form() as form:
                asked = {name: str(value) for name, value in form.items()}
        client = self._authenticated(request, asked)
        match asked.get("grant_type"):
            case "authorization_code":
                answer = self._exchange(client, asked)
            case "refresh_token":
                answer = self._context.sessions.refresh(asked.get("refresh_token"), client["id"])
            case _:
                raise OAuthFailure("unsupported_grant_type", "grant_type must be authorization_code or refresh_token")
        names = ("access_token", "token_type", "expires_in", "refresh_token")
        return JSONResponse({name: answer[name] for name in names}, headers={"cache-control": "no-store"})

    async def grants(self, request: Request) -> Response:
        """Which clients the person has let in."""
        self._context.keyed(request)
        user, _ = self._context.who(request)
        given = self._store.all("SELECT * FROM oauth_consents WHERE user_id=?", user["id"])
        return JSONResponse([
            {"client": {"id": client["id"], "name": client["name"], "uri": client["uri"] or "", "logo_uri": ""},
             "scopes": row["scope"].split(), "granted_at": iso(row["granted_at"])}
            for row in given for client in [self._client(row["client_id"])]
        ])  # fmt: skip

    async def revoke(self, request: Request) -> Response:
        """Shut a client out: its consent and sessions are gone."""
        self._context.keyed(request)
        user, _ = self._context.who(request)
        client_id = request.query_params.get("client_id", "")
        gone = self._store.run("DELETE FROM oauth_consents WHERE user_id=? AND client_id=?", user["id"], client_id)
        if not gone:
            raise AuthFailure(404, "oauth_consent_not_found", "No active grant found for this client")
        self._context.sessions.end_of_client(user["id"], client_id)
        return Response(status_code=204)

    def _exchange(self, client: Row, asked: dict[str, Any]) -> Row:
        found = self._store.one(
            "SELECT * FROM oauth_authorizations WHERE code=? AND status='approved'", asked.get("code") or ""
        )  # fmt: skip
        if found is None or found["client_id"] != client["id"]:
            raise OAuthFailure("invalid_grant", "Invalid authorization code")
        self._store.run("DELETE FROM oauth_authorizations WHERE id=?", found["id"])
        if self._store.now() - found["at"] > self._settings.flow_lifetime:
            raise OAuthFailure("invalid_grant", "Authorization code has expired")
        if asked.get("redirect_uri", found["redirect_uri"]) != found["redirect_uri"]:
            raise OAuthFailure("invalid_grant", "Invalid redirect_uri")
        if asked.get("resource") and asked["resource"] != found["resource"]:
            raise OAuthFailure("invalid_grant", "Authorization code resource does not match the resource parameter")
        verifier = str(asked.get("code_verifier") or "")
        if not secrets.compare_digest(challenge_of(verifier, found["method"]), found["challenge"]):
            raise OAuthFailure("invalid_grant", "PKCE verification failed")
        user = self._context.users.by_id(found["user_id"])
        if user is None:
            raise OAuthFailure("invalid_grant", "User not found for authorization code")
        method = "oauth_provider/authorization_code"
        return self._context.sessions.start(user, method, client_id=client["id"], scope=found["scope"])

    def _authenticated(self, request: Request, asked: dict[str, Any]) -> Row:
        client_id, secret = asked.get("client_id"), asked.get("client_secret")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = (unquote(part) for part in base64.b64decode(given).decode().partition(":"))
            except ValueError as error:
                raise OAuthFailure("invalid_client", "Invalid basic authorization", 401) from error
        client = self._store.one("SELECT * FROM oauth_clients WHERE id=?", client_id or "")
        if client is None or (client["secret"] and not secrets.compare_digest(client["secret"], str(secret or ""))):
            raise OAuthFailure("invalid_client", "Invalid client credentials", 401)
        return client

    def _client(self, client_id: str) -> Row:
        found = self._store.one("SELECT * FROM oauth_clients WHERE id=?", client_id)
        if found is None:
            raise bad_request("invalid client_id", "oauth_client_not_found")
        return found

    def _pending(self, authorization_id: str) -> Row:
        found = self._store.one("SELECT * FROM oauth_authorizations WHERE id=?", authorization_id)
        if found is None or self._store.now() - found["at"] > self._settings.flow_lifetime:
            raise _unknown()
        if found["status"] != "pending":
            raise bad_request("authorization request cannot be processed")
        return found


def _unknown() -> AuthFailure:
    return AuthFailure(404, "oauth_authorization_not_found", "authorization not found")


def _shown(client: Row) -> dict[str, Any]:
    secret = client["secret"]
    return {
        "client_id": client["id"], "client_name": client["name"], "client_uri": client["uri"] or "",
        "logo_uri": client["logo"] or "", "client_type": "confidential" if secret else "public",
        "token_endpoint_auth_method": "client_secret_basic" if secret else "none", "response_types": ["code"],
        "redirect_uris": json.loads(client["redirect_uris"]), "grant_types": json.loads(client["grant_types"]),
        "registration_type": client["registration"], "created_at": iso(client["created_at"]),
    }  # fmt: skip


def _fit_to_return(uri: Any) -> bool:
    if not isinstance(uri, str) or len(uri) > 2048:
        return False
    parts = urlsplit(uri)
    if parts.scheme == "http":
        return parts.hostname in ("127.0.0.1", "localhost", "::1") and not parts.fragment
    return bool(parts.scheme) and not parts.fragment and parts.scheme not in ("javascript", "data", "file", "vbscript")
