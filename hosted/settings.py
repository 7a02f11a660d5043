"""The settings of the hosted backend: one declaration each, named as the environment names them, in lower case.

Only the composition root (`hosted.app`, and the commands beside it) reads the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_type_hints

from jmem.core.errors import Invalid

_YES, _NO = frozenset(("1", "true", "yes", "on")), frozenset(("0", "false", "no", "off", ""))


def _setting(default: Any, about: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"about": about, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the deployment decides."""

    database_url: str = field(
        metadata={"about": "Postgres, as the application's role, which owns nothing", "secret": True}
    )
    migration_database_url: str = _setting(
        "", "Postgres, as the role that owns the tables; for migrations only", secret=True
    )
    events_database_url: str = _setting(
        "", "Postgres without a transaction pooler between, to hear of changes; database_url by default", secret=True
    )
    database_pooler: bool = _setting(False, "a transaction pooler stands before Postgres: no prepared statements")
    database_pool_size: int = _setting(10, "connections of one replica")
    database_pool_timeout: float = _setting(
        5.0, "seconds a request waits for a connection before it is told to come back"
    )
    supabase_url: str = _setting("", "the Supabase project")
    supabase_anon_key: str = _setting("", "its publishable key")
    supabase_service_key: str = _setting("", "its service key, for deleting accounts", secret=True)
    supabase_jwt_secret: str = _setting("", "the legacy HS256 secret; empty: such tokens are refused", secret=True)
    llm_provider: str = _setting("", "openai, or empty: texts are stored as they are")
    openai_api_key: str = _setting("", "for extraction and embeddings", secret=True)
    openai_model: str = _setting("gpt-4o-mini", "the model that extracts memories")
    embedder_provider: str = _setting("", "openai or bundled; empty: openai with a key, else bundled")
    embedder_model: str = _setting("text-embedding-3-small", "the embedding model")
    qdrant_host: str = _setting("", "Qdrant; empty: search by words alone")
    qdrant_port: int = _setting(6333, "its port")
    qdrant_api_key: str = _setting("", "its key", secret=True)
    main_qdrant_collection_name: str = _setting("jonathans_memory_main", "the collection of all tenants")
    support_contact: str = _setting(
        "", "where people get help: an address for mail, or a page; shown on the support page"
    )
    activity_kept: int = _setting(20_000, "accesses that are kept in the activity of an account")
    activity_days: int = _setting(365, "days for which they are kept; 0: without end")
    port: int = _setting(8080, "the port to serve")
    public_url: str = _setting("", "where people and programs reach this backend; http://127.0.0.1:PORT by default")

    bind_host: str = _setting("127.0.0.1", "the address to serve on; 0.0.0.0: every one of the machine")
    log_level: str = _setting("info", "debug, info, warning or error")
    metrics_token: str = _setting("", "the bearer token for /metrics; empty: nobody is told", secret=True)
    drain_timeout: int = _setting(20, "seconds for which an end waits for the requests that are under way")
    backup_key: str = _setting("", "the key of backups, as `python -m hosted backup-key` makes one", secret=True)
    sentry_dsn: str = _setting("", "where failures are reported; empty: nowhere", secret=True)
    posthog_api_key: str = _setting("", "the project that is told of uses; empty: none", secret=True)
    posthog_host: str = _setting("https://eu.i.posthog.com", "where that project is")
    trusted_proxies: int = _setting(
        0, "proxies before this backend whose word on who asks is taken; 0: X-Forwarded-For is ignored"
    )
    redis_url: str = _setting(
        "", "Redis, where all replicas count requests; empty: each counts for itself", secret=True
    )
    rate_read: int = _setting(1200, "reads of one account a minute; this and the other rates: 0 for no limit")
    rate_search: int = _setting(600, "searches and calls of assistants of one account a minute")
    rate_write: int = _setting(600, "writes of one account a minute")
    rate_sync: int = _setting(600, "sync requests of one account a minute")
    rate_sign_in: int = _setting(30, "tries to sign in, sign up or reset a password from one address a minute")
    rate_address: int = _setting(3000, "requests from one address a minute")
    body_timeout: float = _setting(30.0, "seconds in which a request has to have arrived whole")
    request_timeout: float = _setting(60.0, "seconds in which an answer has to begin")
    cors_origins: str = _setting("", "web pages that may ask with a token, by their origins, with commas between")

    @staticmethod
    def read(environment: Mapping[str, str]) -> Settings:
        """The settings of an environment; raises Invalid `setting` for one that is missing or has a wrong form."""
        kinds = get_type_hints(Settings)
        values: dict[str, Any] = {}
        for declared in fields(Settings):
            name = declared.name.upper()
            text = environment.get(name)
            if text is not None:
                values[declared.name] = _parsed(name, text, kinds[declared.name])
            elif declared.default is MISSING:
                raise Invalid(f"{name} is not set: {declared.metadata['about']}", code="setting", field=name)
        return Settings(**values)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{f.name}={'(secret)' if f.metadata['secret'] and getattr(self, f.name) else repr(getattr(self, f.name))}"
            for f in fields(self)
        )
        return f"Settings({shown})"


def _parsed(name: str, text: str, kind: type) -> Any:
    try:
        if kind is bool:
            if text.strip().lower() not in _YES | _NO:
                raise ValueError
            return text.strip().lower() in _YES
        return kind(text.strip())
    except ValueError:
        raise Invalid(f"{name} is not {_KINDS[kind]}", code="setting", field=name) from None


_KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number"}
