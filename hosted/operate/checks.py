"""`python -m hosted check`: what is wrong with a deployment, and which setting mends it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal
from urllib.parse import urlsplit

import httpx
from sqlalchemy import text
from sqlalchemy.exc import ArgumentError

from hosted.db.engine import DATABASE_FAILURES, Database
from hosted.db.migrate import revisions
from hosted.identity import compose
from hosted.operate.environment import read_settings
from hosted.operate.health import revision, revision_state
from hosted.settings import Settings
from hosted.vectors.client import asking, connect
from hosted.vectors.embed import configured
from jmem.core.errors import Invalid, JmemError
from jmem.core.redaction import redacted

State = Literal["ok", "warn", "fail", "off"]
_ROLE = text("""
    SELECT current_user AS name, r.rolsuper OR r.rolbypassrls AS unbound, pg_has_role(current_user, 'jmem_app', 'USAGE') AS admitted,
        EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'jmem' AND c.relowner = r.oid) AS owns
    FROM pg_roles r WHERE r.rolname = current_user""")
_OWNER = text("SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.rolname = current_user")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `mends`: the setting or the command that does."""

    name: str
    state: State
    about: str
    mends: str | None = None

    def document(self) -> dict[str, str | None]:
        """For JSON."""
        return asdict(self)


async def check(environment: Mapping[str, str] | None = None) -> list[Check]:
    """Every finding; none of them changes anything. Passwords and keys are not in them."""
    try:
        settings = read_settings(environment)
    except Invalid as error:
        return [Check("settings", "fail", error.message, str(error.detail.get("field", "")) or None)]
    found = [Check("settings", "ok", "every setting has its form")]
    found += [each async for each in _database(settings)]
    found += [each async for each in _supabase(settings)]
    found.append(await _qdrant(settings))
    found += [_embedder(settings), _extraction(settings), _address(settings)]
    found.append(_switch("metrics", settings.metrics_token, "METRICS_TOKEN"))
    found.append(_switch("backups", settings.backup_key, "BACKUP_KEY"))
    return found


async def _database(settings: Settings) -> AsyncIterator[Check]:
    try:
        database = Database(settings.database_url, pool_size=1, timeout=5, pooler=settings.database_pooler)
    except (ArgumentError, ValueError):
        yield Check("database", "fail", "DATABASE_URL is no address of a Postgres database", "DATABASE_URL")
        return
    try:
        async with database.engine.connect() as conn:
            version = (await conn.execute(text("SHOW server_version"))).scalar_one()
        yield Check("database", "ok", f"Postgres {version} answers")
        at, known = await revision(database), revisions()
        match revision_state(at, known):
            case "ok" if at in known:
                yield Check("schema", "ok", f"at revision {at}")
            case "ok":
                yield Check(
                    "schema", "warn", f"at revision {at}, which is newer than this program", "deploy the newer one"
                )
            case _:
                about = f"at revision {at or 'none'}; this program needs {known[-1]}"
                yield Check("schema", "fail", about, "python -m hosted migrate")
                return
        async with database.engine.connect() as conn:
            role = (await conn.execute(_ROLE)).one()
        yield _role(role.name, unbound=role.unbound, owns=role.owns, admitted=role.admitted)
    except DATABASE_FAILURES as error:
        yield Check("database", "fail", f"the database does not answer: {_reason(error)}", "DATABASE_URL")
    finally:
        await database.close()
    if settings.migration_database_url:
        yield await _owner(settings.migration_database_url)
    else:
        yield Check("migrations", "warn", "this environment can't migrate or keep copies", "MIGRATION_DATABASE_URL")


def _role(name: str, *, unbound: bool, owns: bool, admitted: bool) -> Check:
    if unbound:
        return Check("role", "fail", f"no row-level security binds {name}: use a role of its own", "DATABASE_URL")
    if owns:
        return Check("role", "fail", f"{name} owns the tables: use a role that owns nothing", "DATABASE_URL")
    if not admitted:
        return Check("role", "fail", f"{name} is not let in as the application", "python -m hosted migrate")
    return Check("role", "ok", f"{name} owns nothing, and row-level security binds it")


async def _owner(url: str) -> Check:
    database = Database(url, pool_size=1, timeout=5)
    try:
        async with database.engine.connect() as conn:
            unbound = (await conn.execute(_OWNER)).scalar_one()
    except DATABASE_FAILURES as error:
        return Check("migrations", "fail", f"the owner can't log in: {_reason(error)}", "MIGRATION_DATABASE_URL")
    finally:
        await database.close()
    if not unbound:
        return Check("migrations", "warn", "row-level security binds the owner: it can migrate, and keep no copies",
                     "ALTER ROLE … BYPASSRLS")  # fmt: skip
    return Check("migrations", "ok", "the owner can migrate and keep copies")


async def _supabase(settings: Settings) -> AsyncIterator[Check]:
    if not settings.supabase_url:
        yield Check("supabase", "fail", "nobody could sign in", "SUPABASE_URL")
        return
    async with httpx.AsyncClient(timeout=10) as http:
        try:
            answer = await http.get(f"{compose.issuer_of(settings.supabase_url)}/.well-known/jwks.json")
            keys = answer.json()["keys"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            yield Check("supabase", "fail", f"the project publishes no keys: {type(error).__name__}", "SUPABASE_URL")
            return
        if keys:
            yield Check(
                "supabase", "ok", f"the project signs with {', '.join(sorted({k.get('alg', '?') for k in keys}))}"
            )
        elif settings.supabase_jwt_secret:
            yield Check(
                "supabase", "warn", "tokens are signed with the legacy secret alone", "signing keys, in the dashboard"
            )
        else:
            yield Check(
                "supabase", "fail", "the project publishes no keys, and there is no secret", "SUPABASE_JWT_SECRET"
            )
        yield await _publishable(settings, http)
        yield await _service_key(settings, http)


async def _publishable(settings: Settings, http: httpx.AsyncClient) -> Check:
    if not settings.supabase_anon_key:
        return Check("publishable key", "fail", "pages could sign nobody in", "SUPABASE_ANON_KEY")
    url = f"{compose.issuer_of(settings.supabase_url)}/settings"
    try:
        answer = await http.get(url, headers={"apikey": settings.supabase_anon_key})
    except httpx.HTTPError as error:
        return Check("publishable key", "fail", f"can't be tried: {type(error).__name__}", "SUPABASE_URL")
    if answer.status_code in (401, 403):
        return Check("publishable key", "fail", "the project does not know it", "SUPABASE_ANON_KEY")
    return Check("publishable key", "ok", "the project knows it")


async def _service_key(settings: Settings, http: httpx.AsyncClient) -> Check:
    if not settings.supabase_service_key:
        return Check("service key", "fail", "accounts could not be deleted whole", "SUPABASE_SERVICE_KEY")
    try:
        await compose.supabase(settings, http).has_user(uuid.uuid4())
    except (JmemError, httpx.HTTPError) as error:
        reason = error.message if isinstance(error, JmemError) else type(error).__name__
        return Check("service key", "fail", f"the project does not take it: {reason}", "SUPABASE_SERVICE_KEY")
    return Check("service key", "ok", "accounts can be deleted whole")


async def _qdrant(settings: Settings) -> Check:
    if not settings.qdrant_host:
        return Check("qdrant", "off", "search is by words alone", "QDRANT_HOST")
    client = connect(settings.qdrant_host, settings.qdrant_port, settings.qdrant_api_key)
    try:
        async with asking():
            collections = (await client.get_collections()).collections
    except JmemError as error:
        return Check("qdrant", "fail", error.message, "QDRANT_HOST, QDRANT_PORT, QDRANT_API_KEY")
    finally:
        await client.close()
    name = settings.main_qdrant_collection_name
    if name in {each.name for each in collections}:
        return Check(
            "qdrant", "fail", f"a collection {name!r} is there that jmem did not make", "MAIN_QDRANT_COLLECTION_NAME"
        )
    return Check(
        "qdrant", "ok", f"answers, with {sum(each.name.startswith(name) for each in collections)} collections of ours"
    )


def _embedder(settings: Settings) -> Check:
    if not settings.qdrant_host:
        return Check("embedder", "off", "not needed without Qdrant")
    try:
        source = configured(settings.embedder_provider, settings.embedder_model, settings.openai_api_key)
    except JmemError as error:
        return Check("embedder", "fail", error.message, str(error.detail.get("field", "EMBEDDER_PROVIDER")))
    return Check("embedder", "ok", f"{source.model.provider}, {source.model.dimension} dimensions")


def _extraction(settings: Settings) -> Check:
    if not settings.llm_provider:
        return Check("extraction", "off", "texts are stored as they are", "LLM_PROVIDER")
    if settings.llm_provider != "openai":
        return Check("extraction", "fail", f"{settings.llm_provider} is no provider: openai, or empty", "LLM_PROVIDER")
    if not settings.openai_api_key:
        return Check("extraction", "fail", "LLM_PROVIDER needs a key", "OPENAI_API_KEY")
    return Check("extraction", "ok", settings.openai_model)


def _address(settings: Settings) -> Check:
    if not settings.public_url:
        return Check("address", "warn", "programs would be told to come to this machine alone", "PUBLIC_URL")
    parts = urlsplit(settings.public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        return Check("address", "fail", "PUBLIC_URL is https://HOST with no path", "PUBLIC_URL")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return Check("address", "fail", "tokens would travel in the clear", "PUBLIC_URL")
    return Check("address", "ok", settings.public_url)


def _switch(name: str, value: str, setting: str) -> Check:
    return Check(name, "ok" if value else "off", "on" if value else "off", None if value else setting)


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return redacted(str(cause).splitlines()[0] if str(cause) else type(cause).__name__)
