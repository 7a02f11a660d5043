"""The daemon's client for the command line and the terminal interface: typed calls over a raw unix socket.

Documents are dicts in the shapes of the HTTP API. Every call opens a connection of its own, so one Client
serves several threads. Every method raises JmemError: the problem document that the daemon answered with, or
Unreachable. A daemon is started where none runs; one that is older than this client is restarted.
"""

from __future__ import annotations

import os

from jmem import __version__, wire
from jmem.core import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from jmem.core.errors import JmemError

    Document = dict[str, Any]

API = "/api/v1"
TIMEOUT = 60.0
LONG = 3600.0
"""Seconds to wait for an answer whose time depends on the size of the store (restore, rebuild, purge)."""


class Client:
    """One user's memory, as the daemon of `home` serves it."""

    def __init__(
        self,
        home: str,
        *,
        user: str = "default",
        client: str = "cli",
        autostart: bool = True,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.home = home
        self._autostart = autostart
        self._note = note or (lambda text: None)
        self.told: Callable[[str], object] = lambda event: None
        """called with "starting", then "started" or "failed", in the thread that asks, where it starts a daemon"""
        self._identity = f"X-Jmem-User: {_quoted(user)}\r\nX-Jmem-Client: {_quoted(client)}\r\n"

    def without_start(self) -> Client:
        """The same, but it starts no daemon: raises Unreachable where none runs."""
        from copy import copy

        other = copy(self)
        other._autostart = False
        return other

    # ---- the daemon itself

    def listening(self) -> bool:
        """Whether a daemon takes connections; starts nothing."""
        try:
            self._open().close()
        except (OSError, ValueError):
            return False
        return True

    def running(self) -> bool:
        """Whether a daemon runs and takes connections. Unlike `listening`, it does not wake one that systemd starts."""
        return daemon_pid(self.home) is not None and self.listening()

    def start(self) -> bool:
        """Make sure that a daemon runs; True when this call started it."""
        if self.listening():
            return False
        from jmem import launch
        from jmem.core.errors import JmemError

        self.told("starting")
        try:
            started = launch.start(self.home, self.listening)
        except JmemError:
            self.told("failed")
            raise
        self.told("started")
        return started

    def stop(self) -> bool:
        """Stop the daemon and wait until it has; False when none ran."""
        if not self.running():
            return False
        from jmem import launch

        self._send("POST", API + "/daemon/stop", b"", "", TIMEOUT, repeat=False).body()
        launch.wait_stopped(self.home)
        return True

    def health(self) -> Document:
        """status, version and pid of the daemon."""
        return self._document("GET", "/health")

    def status(self) -> Document:
        """The shape of `jmem status --json`."""
        return self._document("GET", API + "/status")

    def token(self) -> str:
        """The bearer token of this user for the HTTP API on TCP."""
        return str(self._document("GET", API + "/daemon/token")["token"])

    # ---- memories

    def add(self, fields: Document) -> Document:
        """Store a memory (POST /memories). It is repeated when the daemon dies meanwhile, since an equal memory is not
        stored twice; but not with `infer`: a language model gives other texts each time."""
        return self._document("POST", API + "/memories", fields, repeat=not fields.get("infer"))

    def search(self, request: Document) -> Document:
        """The best hits of POST /search."""
        return self._document("POST", API + "/search", request, repeat=True)

    def page(self, query: Mapping[str, Any]) -> Document:
        """One page: `memories` and `next_cursor`."""
        return self._document("GET", API + "/memories", query=query)

    def pages(self, query: Mapping[str, Any]) -> Iterator[Document]:
        """Every page from the one that `query` names."""
        page = self.page(query)
        yield page
        while page["next_cursor"]:
            page = self.page({**query, "cursor": page["next_cursor"]})
            yield page

    def get(self, id: str, as_of: str | None = None) -> Document:
        """The memory that `id`, or a unique part of it, names; as it stood at a moment."""
        return self._document("GET", _memory(id), query={"as_of": as_of})

    def chain(self, id: str) -> Document:
        """`chain`: all that the memory superseded or was superseded by, oldest first; `current`: the id that holds."""
        return self._document("GET", _memory(id) + "/chain")

    def edit(self, id: str, changes: Document, version: str | None = None) -> Document:
        """Change fields; with `version`, only if nothing else changed the memory since (else Conflict)."""
        return self._document("PATCH", _memory(id), changes, headers=f"If-Match: {version}\r\n" if version else "")

    def delete(self, id: str) -> Document:
        """Delete one memory so that `undo` can bring it back: `deleted` and `missing`."""
        return self._document("DELETE", _memory(id))

    def purge(self, id: str) -> Document:
        """Forget one memory for ever: `purged` with a receipt of every place."""
        return self._document("DELETE", _memory(id), query={"purge": True}, timeout=LONG)

    def batch(self, operations: Sequence[Document], *, repeat: bool = False) -> list[Document]:
        """Up to 1,000 operations as one action; the result of each, in order."""
        answer = self._document("POST", API + "/memories/batch", {"operations": operations}, repeat=repeat)
        return list(answer["results"])

    # ---- what says nearly the same

    def similar(self, id: str, *, limit: int = 10, least: float | None = None) -> list[Document]:
        """The nearest memories of one, nearest first: score, same_words, by, memory."""
        return list(self._document("GET", _memory(id) + "/similar", query={"limit": limit, "least": least})["similar"])

    def duplicates(self, query: Mapping[str, Any]) -> Document:
        """One step over the store: `pairs`, `scanned` of `total`, and `next_cursor` until all were looked at."""
        return self._document("GET", API + "/duplicates", query=query)

    def set_distinct(self, a: str, b: str, *, distinct: bool = True) -> Document:
        """Note that two memories are no duplicates, or take that back."""
        return self._document("POST", API + "/duplicates/distinct", {"a": a, "b": b, "distinct": distinct}, repeat=True)

    def merge(self, keep: str, request: Document) -> Document:
        """Make one of two: `memory`, which stays, and the id `deleted`. `request`: other, content, version, …"""
        return self._document("POST", _memory(keep) + "/merge", request)

    # ---- texts written apart

    def conflicts(self, query: Mapping[str, Any]) -> Document:
        """One page of `conflicts`, each a memory and its `versions`, the live one first; `next_cursor`."""
        return self._document("GET", API + "/conflicts", query=query)

    def settle(self, id: str, request: Document) -> Document:
        """Settle a conflict: `memory`, and `others` made of its other texts. `request`: how, version, content, stamps."""
        return self._document("POST", API + "/conflicts/" + _memory(id).rpartition("/")[2], request)

    # ---- history

    def history(self, id: str) -> Document:
        """All revisions of a memory, oldest first."""
        return self._document("GET", _memory(id) + "/history")

    def changes(self, query: Mapping[str, Any]) -> Document:
        """One page of what changed `since` a moment, newest first: `changes` and `next_cursor`."""
        return self._document("GET", API + "/changes", query=query)

    def restore(self, id: str, rev: int | None = None) -> Document:
        """Bring back a deleted memory, or an earlier revision's content."""
        return self._document("POST", _memory(id) + "/restore", {} if rev is None else {"rev": rev})

    def accesses(self, query: Mapping[str, Any], id: str | None = None) -> Document:
        """Who read what, newest first; of one memory or of all."""
        return self._document("GET", _memory(id) + "/access" if id else API + "/access", query=query)

    def log(self, query: Mapping[str, Any]) -> Document:
        """One page of actions, newest first."""
        return self._document("GET", API + "/log", query=query)

    def undo(self, n: int, *, redo: bool = False, dry_run: bool = False) -> Document:
        """Undo (or redo) the last `n` actions."""
        return self._document("POST", API + "/undo", {"n": n, "redo": redo, "dry_run": dry_run}, timeout=LONG)

    def undo_all(
        self, client: str | None, since: str | None, *, upto: int | None = None, dry_run: bool = False
    ) -> Document:
        """Undo all actions of a client since a moment (of either, where the other is None) as one step.

        `upto` leaves out what came after that action.
        """
        ask = {"client": client, "since": since, "upto": upto, "dry_run": dry_run}
        return self._document("POST", API + "/undo", ask, timeout=LONG)

    # ---- everything at once

    def tags(self) -> list[Document]:
        """Tags with their counts."""
        return list(self._document("GET", API + "/tags")["tags"])

    def stats(self) -> Document:
        """Counts by state, tag, client and day."""
        return self._document("GET", API + "/stats")

    def clients(self) -> list[Document]:
        """The programs that are connected, with what they may do."""
        return list(self._document("GET", API + "/clients")["clients"])

    def export(self, query: Mapping[str, Any]) -> Iterator[Document]:
        """Objects of an export as they arrive."""
        for line in self.lines("GET", API + "/export", query=query):
            yield wire.loads(line)

    def import_items(self, request: Document) -> Document:
        """Import up to 1,000 items (POST /import); repeating it is harmless."""
        return self._document("POST", API + "/import", request, repeat=True, timeout=LONG)

    def backup(self) -> Document:
        """Make a backup now."""
        return self._document("POST", API + "/backup", {}, timeout=LONG)

    def backups(self) -> Document:
        """`backups`, newest first, and when the `next` daily one is due."""
        return self._document("GET", API + "/backups")

    def restore_backup(self, path: str) -> Document:
        """Prove a backup and put it in the place of the store."""
        return self._document("POST", API + "/backup/restore", {"path": path}, timeout=LONG)

    def index(self) -> Document:
        """State of the vector index."""
        return self._document("GET", API + "/index")

    def rebuild_index(self, *, embed: bool = False) -> Document:
        """Rebuild the vector index; with `embed`, every text is embedded anew."""
        return self._document("POST", API + "/index/rebuild", {"embed": embed}, timeout=LONG)

    def events(
        self, since: int | None = None, *, store: str | None = None, access: bool = False
    ) -> Iterator[tuple[str, Document]]:
        """What happens, as it happens; ends only with the connection.

        ("start", {"store","seq"}) first; then ("memory", {"seq","id","kind","client"}) for each change,
        ("access", {"id","client","what","query","count","at"}) where that is asked for, and
        ("reset", {"store","seq"}) when all that is known has to be loaded anew. `since` and `store` resume.
        """
        name = ""
        query = {"since": since, "store": store, "access": access}
        for line in self.lines("GET", API + "/events", query=query, timeout=None):
            if line.startswith(b"event:"):
                name = line[6:].strip().decode()
            elif line.startswith(b"data:"):
                yield name, wire.loads(line[5:])

    # ---- any request

    def request(self, method: str, path: str, body: Document | None = None, **options: Any) -> Document:
        """Any route below /api/v1: its JSON document. Options: query, headers, timeout, repeat."""
        return self._document(method, API + path, body, **options)

    def lines(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, timeout: float | None = LONG
    ) -> Iterator[bytes]:
        """The lines of a streamed answer (NDJSON, server-sent events) as they arrive, empty ones left out."""
        rest = b""
        for piece in self.pieces(method, path, query=query, timeout=timeout):
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line.rstrip(b"\r") for line in whole if line.strip())
        if rest.strip():
            yield rest

    def pieces(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, timeout: float | None = LONG
    ) -> Iterator[bytes]:
        """A streamed answer as it arrives; raises Unreachable when it breaks off."""
        answer = self._send(method, path + encode_query(query), b"", "", timeout, repeat=True)
        if answer.status >= 400:
            raise _problem(answer.status, self._body(answer, method, path))
        try:
            yield from answer.chunks()
        except (wire.Lost, TimeoutError):
            raise _cut_off(method, path) from None

    def _document(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: str = "",
        timeout: float | None = TIMEOUT,
        repeat: bool = False,
    ) -> Document:
        try:
            data = wire.dumps(body).encode() if body is not None else b""
        except UnicodeEncodeError:  # an argument of the command line that is in another encoding
            raise _not_utf8() from None
        target = path + encode_query(query)
        repeat = repeat or method == "GET"
        answer = self._send(method, target, data, headers, timeout, repeat=repeat)
        text = self._body(answer, method, path)
        if self._replaces(answer.headers) and answer.status >= 400:
            answer = self._send(method, target, data, headers, timeout, repeat=repeat)
            text = self._body(answer, method, path)
        if answer.status >= 400:
            raise _problem(answer.status, text)
        return wire.loads(text) if text else {}

    def _body(self, answer: wire.Answer, method: str, path: str) -> bytes:
        try:
            return answer.body()
        except (wire.Lost, TimeoutError):
            raise _cut_off(method, path) from None

    def _replaces(self, headers: Mapping[str, str]) -> bool:
        """Restart a daemon of an older version than this client, or one that runs what was installed here before.

        True when it was one.
        """
        running, place = headers.get("x-jmem-version"), headers.get("x-jmem-installation", "")
        if not running:
            return False
        if running != __version__ and version_key(running) < version_key(__version__):
            self._note(f"restarting the daemon: it is version {running}, this is {__version__}")
        elif running == __version__ and _installed_anew(place, places.installation()):
            self._note("restarting the daemon: jmem was installed anew since it started")
        else:
            return False
        self.stop()
        self.start()
        return True

    def _send(
        self, method: str, target: str, body: bytes, headers: str, timeout: float | None, *, repeat: bool
    ) -> wire.Answer:
        """One request. Sent again once when the daemon died before it can have acted on it, or with `repeat`."""
        try:
            return wire.exchange(self.connect(), method, target, self.identity() + headers, body, timeout)
        except wire.Lost as lost:
            if lost.sent and not repeat:
                what = f"{method} {target.partition('?')[0]}"
                raise _unreachable(
                    f"the daemon stopped before it answered {what}: `jmem log` shows if it was done"
                ) from None
        except TimeoutError:
            raise _unreachable(f"the daemon did not answer within {timeout:.0f} seconds") from None
        try:
            return wire.exchange(self.connect(), method, target, self.identity() + headers, body, timeout)
        except OSError:
            raise _unreachable("the daemon stopped before it answered, twice") from None

    def identity(self) -> str:
        """Header lines that say who asks."""
        if wire.HAS_UNIX:
            return self._identity
        with open(places.token_path(self.home), encoding="ascii") as file:
            return f"{self._identity}Authorization: Bearer {file.read().strip()}\r\n"

    def _open(self) -> Any:
        """A connection; raises OSError or ValueError where no daemon listens."""
        if not wire.HAS_UNIX:
            with open(places.port_path(self.home), encoding="ascii") as file:
                return wire.open_tcp(int(file.read()))
        path = places.socket_path(self.home)
        if not path.startswith(self.home) and not places.is_private(places.short_dir()):
            raise FileNotFoundError(path)  # nobody else's socket is ours
        return wire.open_unix(path)

    def connect(self) -> Any:
        """A connection to the daemon, which is started where none runs; raises Unreachable."""
        try:
            return self._open()
        except (OSError, ValueError):
            if not self._autostart:
                raise _unreachable("no daemon is running", fix="jmem daemon start") from None
        self.start()
        try:
            return self._open()
        except (OSError, ValueError):
            raise _unreachable("the daemon started and stopped again") from None


def daemon_pid(home: str) -> int | None:
    """The daemon's process, by the note in its lock file: one that ends empties it, one that was killed can't."""
    try:
        with open(places.daemon_lock(home), "rb") as file:
            pid = int(wire.loads(file.read())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (OSError, OverflowError):
        return None
    return pid


def encode_query(query: Mapping[str, Any] | None) -> str:
    """`?a=1&b=x&b=y` of the values that are set; lists repeat their key. Raises Invalid where one is not UTF-8."""
    pairs = [
        f"{key}={'true' if one is True else _quoted(str(one))}"
        for key, value in (query or {}).items()
        for one in (value if isinstance(value, list | tuple) else (value,))
        if one is not None and one is not False
    ]
    return "?" + "&".join(pairs) if pairs else ""


def _quoted(text: str) -> str:
    """`text` for a path segment or a header; raises Invalid where it is not UTF-8."""
    try:
        return wire.quote(text)
    except UnicodeEncodeError:
        raise _not_utf8() from None


def version_key(version: str) -> tuple[int, ...]:
    """What versions compare by: the numbers of `1.2.3`."""
    return tuple(int("".join(c for c in part if c.isdecimal()) or 0) for part in version.split(".")[:3])


def _installed_anew(before: str, now: str) -> bool:
    """Whether two `places.installation` are of one place and different moments."""
    return before != now and before.partition(".")[0] == now.partition(".")[0]


def _memory(id: str) -> str:
    if not id or id.strip("0123456789abcdefABCDEF-"):
        from jmem.core.errors import NotFound

        raise NotFound(f"no memory has the id {id!r}", fix="jmem list")
    return f"{API}/memories/{wire.quote(id)}"


def _not_utf8() -> JmemError:
    from jmem.core.errors import Invalid

    return Invalid("the text is not valid UTF-8", fix="convert it to UTF-8, for example with iconv")


def _problem(status: int, text: bytes) -> JmemError:
    from jmem.core.errors import from_problem

    try:
        problem = wire.loads(text)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"title": f"the daemon answered {status}: {text[:200].decode('utf-8', 'replace')}", "status": status}
    return from_problem(problem)


def _cut_off(method: str, path: str) -> JmemError:
    return _unreachable(f"the daemon stopped in the middle of its answer to {method} {path}")


def _unreachable(message: str, fix: str = "jmem doctor") -> JmemError:
    from jmem.core.errors import Unreachable

    return Unreachable(message, fix=fix)
