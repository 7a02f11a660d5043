"""The programs that are connected, and what each may do."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from daemon import replies
from daemon.clients import Client
from daemon.http import Answer, Call, Routes, json_answer
from daemon.security import DEFAULT_USER
from daemon.users import UserMemory
from jmem.core.errors import Invalid
from jmem.core.wire import answers
from jmem.core.wire.asks import ConnectAsk, PermissionsAsk
from jmem.core.wire.base import NoQuery

routes = Routes("clients")


@routes.route("GET", "/clients", NoQuery, "Connected programs", answers={200: answers.Clients})
def clients(call: Call, ask: NoQuery) -> Answer:
    """With their permissions, and when each was last seen."""
    return json_answer({"clients": [_shown(call.user, client) for client in call.user.clients.all()]})


@routes.route("POST", "/clients", ConnectAsk, "Connect a program", answers={200: replies.Connection}, problems=(507,), writes=True)  # fmt: skip
def connect(call: Call, ask: ConnectAsk) -> Answer:
    """Its personal addresses. The key in them is made at first use and the same ever after, until it is rotated or revoked."""
    call.user.clients.connect(ask.name, rotate=ask.rotate)
    return json_answer(connection(call, ask.name))


@routes.route("PATCH", "/clients/{name}", PermissionsAsk, "Change what a program may do", answers={200: answers.Client}, problems=(404, 507))  # fmt: skip
def change(call: Call, ask: PermissionsAsk) -> Answer:
    """In force with its next request."""
    changes = ask.model_dump(exclude_unset=True)
    for name in ("read", "write", "delete", "review"):
        if name in changes and changes[name] is None:
            raise Invalid(f"{name} can't be null", field=name)
    if not changes:
        raise Invalid("nothing to change was given", code="empty")
    return json_answer(_shown(call.user, call.user.clients.change(call.params["name"], changes)))


@routes.route("DELETE", "/clients/{name}", NoQuery, "Disconnect a program", answers={200: answers.Client}, problems=(404, 507))  # fmt: skip
def disconnect(call: Call, ask: NoQuery) -> Answer:
    """Its key is worthless at once; connecting it again makes another."""
    return json_answer(_shown(call.user, call.user.clients.revoke(call.params["name"])))


def connection(call: Call, client: str) -> dict[str, Any]:
    """The personal addresses of a client."""
    user = call.user.name
    key = call.daemon.users.key(user, client)
    base = f"http://127.0.0.1:{call.daemon.tcp.port}/mcp/{client}"
    other = [] if user == DEFAULT_USER else ["--user", user]
    stdio = {"command": _command(), "args": ["mcp", "--client", client, *other]}
    return {"client": client, "sse": f"{base}/sse/{key}", "http": f"{base}/http/{key}", "stdio": stdio}


def _shown(user: UserMemory, client: Client) -> dict[str, Any]:
    last = user.access.recent(client.name, 1)
    return {**client.as_dict(), "last_seen": last[0].at if last else None}


def _command() -> str:
    """The path of the `jmem` command: the one on the PATH if it is this installation's, which survives an upgrade."""
    beside = Path(sys.executable).with_name("jmem")
    found = shutil.which("jmem")
    return found if found and Path(found).resolve() == beside.resolve() else str(beside)
