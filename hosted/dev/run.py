"""What `python -m hosted dev` runs, once its port and its folder are its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hosted.app import app_of
from hosted.db.migrate import upgrade
from hosted.dev import cluster as postgres
from hosted.dev import qdrant
from hosted.dev.home import AGAIN, HOST, Home
from hosted.dev.supabase import Double
from hosted.dev.supabase import Settings as DoubleSettings
from hosted.operate import logs, serving
from hosted.operate.environment import read_settings
from hosted.settings import Settings
from jmem.core.errors import Conflict, StorageFailed

DATABASE, OWNER, LOGIN = "jmem", "jmem_owner", "jmem_login"
START_S = 15.0


@dataclass(frozen=True, slots=True)
class Ready:
    """Where everything is."""

    url: str
    supabase_url: str
    publishable_key: str
    database_url: str
    migration_database_url: str
    data: str | None

    def document(self) -> str:
        """As one line of JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__})

    def text(self) -> str:
        """For a person."""
        kept = f"kept in {self.data}" if self.data else "thrown away at the end (--data DIR keeps it)"
        return (
            f"jmem is ready at {self.url}\n"
            f"  Supabase (a double)  {self.supabase_url}  (what it would mail: {self.supabase_url}/dev/mails)\n"
            f"  publishable key      {self.publishable_key}\n"
            f"  database             {self.database_url}\n"
            f"  data                 {kept}\n"
            "Ctrl-C ends it."
        )


def serve(stack: contextlib.ExitStack, held: Home, listening: socket.socket, *, as_json: bool) -> None:
    """Start everything on `stack`, say where it is, and serve until a signal."""
    supabase_listening = stack.enter_context(_supabase_socket(held, listening.getsockname()[1]))
    cluster = stack.enter_context(_database(held))
    double = DoubleSettings(
        _url(supabase_listening), _url(listening), secret_key=f"sb_secret_{secrets.token_hex(16)}",
        path=held.supabase if held.kept else None, consent_path="/oauth/consent",
    )  # fmt: skip
    stack.enter_context(_supabase(double, supabase_listening))
    ready = Ready(
        double.site_url, double.url, double.publishable_key, cluster.url(DATABASE, LOGIN), cluster.url(DATABASE, OWNER),
        str(held.folder) if held.kept else None,
    )  # fmt: skip
    asyncio.run(upgrade(ready.migration_database_url, application_url=ready.database_url))
    settings = _settings(ready, double, os.environ)
    logs.configure(settings.log_level, sys.stderr)  # who reads the one line on standard output may not read on
    app = app_of(settings, qdrant.in_process(qdrant.Store()))

    def tell() -> None:
        sys.stdout.write((ready.document() if as_json else ready.text()) + "\n")
        sys.stdout.flush()

    bus = app.state.backend.bus
    options = serving.options(
        app, body_timeout=settings.body_timeout, request_timeout=settings.request_timeout, timeout_graceful_shutdown=3
    )
    serving.run(serving.Server(options, tell, bus.end_streams), [listening])


def _settings(ready: Ready, double: DoubleSettings, environment: Mapping[str, str]) -> Settings:
    """What this machine decides, over the environment: nothing in it may lead to anybody's real project."""
    decided = {
        "PUBLIC_URL": ready.url, "PORT": ready.url.rpartition(":")[2], "DATABASE_URL": ready.database_url,
        "MIGRATION_DATABASE_URL": ready.migration_database_url, "EVENTS_DATABASE_URL": "", "DATABASE_POOLER": "no",
        "SUPABASE_URL": ready.supabase_url, "SUPABASE_ANON_KEY": double.publishable_key,
        "SUPABASE_SERVICE_KEY": double.secret_key, "SUPABASE_JWT_SECRET": "", "QDRANT_HOST": "", "QDRANT_API_KEY": "",
        "SENTRY_DSN": "", "POSTHOG_API_KEY": "", "REDIS_URL": "",
    }  # fmt: skip
    # a log that nobody reads must not fill the pipe it goes to: what is worth a warning is little
    usual = {"EMBEDDER_PROVIDER": "bundled", "METRICS_TOKEN": "dev", "LOG_LEVEL": "warning"}
    return read_settings({**usual, **environment, **decided})


@contextlib.contextmanager
def _database(held: Home) -> Iterator[postgres.Cluster]:
    """A running cluster with the application's database and login."""
    cluster: postgres.Cluster | None = None
    try:
        with serving.deferred():
            cluster = postgres.start(held.postgres, {} if held.kept else postgres.UNSAFE)
        for role in (f"{LOGIN} LOGIN", f"{OWNER} LOGIN CREATEROLE BYPASSRLS"):  # no superuser, as on a platform
            made = f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            cluster.psql("postgres", made)
        with contextlib.suppress(subprocess.CalledProcessError):  # it is there from the last run
            cluster.psql("postgres", f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        yield cluster
    except subprocess.CalledProcessError as error:
        raise StorageFailed(
            f"Postgres does not start: {error.output.strip()}", code="postgres_failed",
            fix=f"read {held.postgres / 'log'}, or name another folder by --data",
        ) from error  # fmt: skip
    finally:
        if cluster is not None:
            cluster.stop()


@contextlib.contextmanager
def _supabase(settings: DoubleSettings, listening: socket.socket) -> Iterator[None]:
    """The double, in a thread and on an event loop of its own."""
    double = Double(settings)
    begun = threading.Event()
    server = serving.Server(serving.options(double.app, lifespan="off", timeout_graceful_shutdown=1), begun.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="supabase-double", daemon=True)
    thread.start()
    try:
        if not begun.wait(START_S):
            raise StorageFailed("the double of Supabase does not start", code="not_started")
        yield
    finally:
        server.should_exit = True
        thread.join(START_S)
        double.close()


def _supabase_socket(held: Home, port: int) -> socket.socket:
    """Where the double listens: in a kept folder where it did before, since tokens name their issuer by it."""
    last = held.remembered().get("supabase_port")
    for wanted in (last if isinstance(last, int) else 0, port + 1 if 0 < port < 65535 else 0):
        with contextlib.suppress(Conflict):
            if wanted:
                found = serving.listen(HOST, wanted, again=AGAIN)
                break
    else:
        found = serving.listen(HOST, 0, again=AGAIN)
    if held.kept:
        held.remember({"supabase_port": found.getsockname()[1]})
    return found


def _url(listening: socket.socket) -> str:
    return f"http://{HOST}:{listening.getsockname()[1]}"
