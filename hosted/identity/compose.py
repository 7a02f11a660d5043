"""Identity as the application puts it together: one place knows how its parts fit."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from hosted.db.engine import Database
from hosted.identity.accounts import Accounts, Vectors
from hosted.identity.jwks import KeySet
from hosted.identity.jwt import Verifier
from hosted.identity.lookup import Lookup
from hosted.identity.principal import Identity
from hosted.identity.services import Services
from hosted.identity.supabase import Supabase
from hosted.settings import Settings
from jmem.core.errors import Invalid


def issuer_of(supabase_url: str) -> str:
    """The `iss` of a project's tokens, and the base address of its auth server."""
    return f"{supabase_url.rstrip('/')}/auth/v1"


def identity(
    settings: Settings, database: Database, http: httpx.AsyncClient, *, resource_metadata: str | None = None,
    observe: Callable[[str], None] = lambda outcome: None,
) -> Identity:  # fmt: skip
    """Who asks, told by the project's keys and the database. `http` lives as long as the application.

    Raises Invalid `setting` without a project, or with an HS256 secret that is too short to be one.
    """
    if not settings.supabase_url:
        raise Invalid("SUPABASE_URL is not set: nobody could sign in", code="setting", field="SUPABASE_URL")
    issuer = issuer_of(settings.supabase_url)
    keys = KeySet(f"{issuer}/.well-known/jwks.json", http)
    try:
        verifier = Verifier(issuer, keys, secret=settings.supabase_jwt_secret)
    except ValueError as error:
        raise Invalid(f"SUPABASE_JWT_SECRET: {error}", code="setting", field="SUPABASE_JWT_SECRET") from None
    return Identity(verifier, Lookup(database.engine), resource_metadata=resource_metadata, observe=observe)


def services(
    settings: Settings, database: Database, vectors: Vectors, http: httpx.AsyncClient, public_url: str
) -> Services:
    """What routes reach beyond who asks."""
    project = supabase(settings, http)
    return Services(
        project, Accounts(database, vectors, project), public_url.rstrip("/"), settings.supabase_url.rstrip("/"),
        settings.supabase_anon_key,
    )  # fmt: skip


def supabase(settings: Settings, http: httpx.AsyncClient) -> Supabase:
    """The project's auth server, for pages and for deleting accounts."""
    return Supabase(settings.supabase_url, settings.supabase_anon_key, settings.supabase_service_key, http)
