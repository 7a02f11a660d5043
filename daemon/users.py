"""The users of this machine: each with a store, an index and an indexer of its own, opened at first use."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from daemon import account
from daemon.clients import Client, Clients
from daemon.files import read_json, write_json
from daemon.keys import api_token, derived, load_secret, mcp_key
from daemon.lock import FileLock
from daemon.security import DEFAULT_USER
from daemon.syncer import Syncer
from jmem.core.access import AccessLog
from jmem.core.actor import Actor
from jmem.core.errors import Invalid, NotFound, Refused, StorageFailed, Unreachable
from jmem.core.extract import Extractor, make_extractor
from jmem.core.index import VectorIndex
from jmem.core.indexer import Indexer
from jmem.core.lost import Watch
from jmem.core.model import MAX_CLIENT_CHARS, check_client, check_text
from jmem.core.nearness import Nearness
from jmem.core.search import Searcher
from jmem.core.service import MemoryService
from jmem.core.settings import Settings
from jmem.core.store import Store
from jmem.core.vectors import VectorStore

if TYPE_CHECKING:
    from jmem.core.embed import Embedder

T = TypeVar("T")


def key_of(settings: Settings, name: str) -> str:
    """The hosted account's API key in the settings: it is the first user's."""
    return str(settings["hosted.token"]) if name == DEFAULT_USER and settings["hosted.url"] else ""


@dataclass(slots=True)
class UserMemory:
    """One user's memory, open."""

    id: str
    name: str
    folder: Path
    store: Store
    access: AccessLog
    vectors: VectorStore
    index: VectorIndex
    indexer: Indexer
    searcher: Searcher
    service: MemoryService
    clients: Clients
    extractor: Extractor | None
    """splits texts into memories where a model is set"""
    watch: Watch
    """tells a new store from one that was lost"""
    syncer: Syncer

    @staticmethod
    def open(user_id: str, name: str, folder: Path, settings: Settings, embedder: Embedder, clients: Clients, log: Any) -> UserMemory:  # fmt: skip
        """Open the store and what is derived from it, and start to index what is pending; raises StorageFailed."""
        with contextlib.ExitStack() as undo:
            store = Store.open(folder)
            undo.callback(store.close)
            watch = Watch(store)
            access = AccessLog(folder)
            undo.callback(access.close)
            vectors = VectorStore(folder)
            undo.callback(vectors.close)
            index = VectorIndex(folder / "index", store.store_id)
            remote = bool(settings["allow_remote_for_local"])
            indexer = Indexer(store, vectors, index, embedder, allow_remote_for_local=remote)
            searcher = Searcher(store, index, vectors, embedder)
            undo.callback(searcher.close)
            service = MemoryService(
                store, access, searcher, purge_hooks=(indexer.forget, searcher.forget),
                nearness=Nearness(store, vectors, index),
            )  # fmt: skip
            memory = UserMemory(
                user_id, name, folder, store, access, vectors, index, indexer, searcher, service, clients,
                make_extractor(settings), watch, Syncer(user_id, folder, store, service, settings["hosted.url"], key_of(settings, name), log),
            )  # fmt: skip
            service.reach_on_purge(memory.syncer.forgotten)
            indexer.start()
            undo.callback(indexer.stop)
            try:
                service.replay_purges()  # before anything is shown: a restored backup may hold what was purged
            except OSError as error:
                raise StorageFailed(f"{folder} can't be written: {error.strerror}", fix="jmem doctor") from None
            undo.pop_all()
        return memory

    def warning(self) -> dict[str, str]:
        """{"warning": …} for answers while the store seems to stand in the place of a lost one, else nothing."""
        found = self.watch.look()
        return {"warning": found.warning} if found else {}

    def release(self) -> None:
        """Give back what is only needed while somebody searches."""
        self.indexer.release()
        self.service.nearness.release()

    def close(self) -> None:
        """Flush and close everything; what was acknowledged is on disk whether or not this is called."""
        self.syncer.stop()
        self.indexer.stop()
        self.searcher.close()
        self.index.close()
        self.vectors.close()
        self.store.close()
        self.access.close()


class Users:
    """Finds users by name, token or key, and opens each once. Thread-safe; `open` and `by_key` may read the disk."""

    def __init__(self, settings: Settings, embedder: Embedder, note: dict[str, Any], opened: Callable[[UserMemory], None], log: Any = None) -> None:  # fmt: skip
        """`note` names this process in the locks it takes; `opened` is told of every memory once it is open.

        Raises StorageFailed when the home's own small files can't be read or made.
        """
        self.home = home = settings.home
        self._settings = settings
        self._embedder = embedder
        self._note = note
        self._opened = opened
        self._log = log
        self._path = home / "users.json"
        self._lock = threading.Lock()
        self._mapping = threading.Lock()
        self._secret = load_secret(home)
        self._ids: dict[str, str] = {}
        self._open: dict[str, UserMemory] = {}
        self._opening: dict[str, threading.Lock] = {}
        self._locks: dict[str, FileLock] = {}
        self._clients: dict[str, Clients] = {}
        self._tokens: dict[bytes, str] = {}
        self._keys: dict[bytes, tuple[str, str]] = {}
        self._closed = False
        for name, user_id in (read_json(self._path) or {}).items():
            self._learn(name, str(user_id))
        if DEFAULT_USER not in self._ids:
            self._create(DEFAULT_USER)

    # ---- names --------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every user's name."""
        return sorted(self._ids)

    def id_of(self, name: str) -> str:
        """A user's id; raises NotFound `unknown_user`."""
        user_id = self._ids.get(name)
        if user_id is None:
            raise NotFound(f"no user is called {check_user(name)!r}", code="unknown_user",
                           fix="a user is made by the first memory added with --user")  # fmt: skip
        return user_id

    def token(self, name: str) -> str:
        """A user's bearer token; raises NotFound."""
        return api_token(self._secret, self.id_of(name))

    def user_of_token(self, token: str) -> str | None:
        """The name of the user a bearer token belongs to."""
        # looked up by hash: how long that takes tells nothing about a token that is nearly right
        name = self._tokens.get(_digest(token))
        return name if name is not None and hmac.compare_digest(self.token(name).encode(), token.encode()) else None

    # ---- memories -----------------------------------------------------------------------------

    def open(self, name: str, create: bool = False) -> UserMemory:
        """A user's memory, opened at first use; raises NotFound `unknown_user`, Conflict `locked`, StorageFailed."""
        memory = self._open.get(self._ids.get(name, ""))
        if memory is not None:
            return memory
        if create and name not in self._ids:
            self._create(name)
        user_id = self.id_of(name)
        with self._nobody_else_opens(user_id):
            memory = self._open.get(user_id)
            if memory is None:
                memory = self._open[user_id] = self._open_memory(user_id, name)
            return memory

    def folder(self, name: str) -> Path:
        """Where a user's files are; raises NotFound `unknown_user`."""
        return self.home / "users" / self.id_of(name)

    def alone(self, name: str, work: Callable[[], T]) -> T:
        """Close a user's memory, run `work`, and let the next use open what is there then.

        Whatever asks meanwhile waits; what was already under way fails with StorageFailed `closed`. Works also for
        a memory that can't be opened, which is when a backup is restored.
        """
        user_id = self.id_of(name)
        with self._nobody_else_opens(user_id):
            self._hold(user_id, name)
            memory = self._open.pop(user_id, None)
            if memory is not None:
                memory.close()
            return work()

    def opened(self) -> list[UserMemory]:
        """The memories that are open now."""
        return list(self._open.values())

    def opened_as(self, user_id: str) -> UserMemory | None:
        """A user's memory if it is open."""
        return self._open.get(user_id)

    def close(self) -> None:
        """Close every memory; nothing can be opened afterwards."""
        with self._lock:
            self._closed = True
            opening = list(self._opening.values())
        for lock in opening:
            lock.acquire()
        for memory in self._open.values():
            memory.syncer.cut()  # all at once: each may hang for a moment
        for memory in self._open.values():
            memory.close()
        for held in self._locks.values():
            held.release()

    # ---- clients ------------------------------------------------------------------------------

    def key(self, name: str, client: str) -> str:
        """The key in the personal URLs of a user's client; raises NotFound, StorageFailed."""
        user_id = self.id_of(name)
        return mcp_key(self._secret, user_id, client, self.clients(name).get(client).key_generation)

    def clients(self, name: str) -> Clients:
        """The clients of a user; raises NotFound."""
        return self._clients[self.id_of(name)]

    def by_key(self, client: str, key: str) -> tuple[UserMemory, Actor] | None:
        """The memory and the permissions that a client's key opens; None for any other key, or another client's."""
        known = self._known_client(client, key)
        return (self.open(known[0]), known[1].actor) if known else None

    def by_open_key(self, client: str, key: str) -> tuple[UserMemory, Actor] | None:
        """As `by_key`, for memories that are open: never touches the disk."""
        known = self._known_client(client, key)
        memory = self._open.get(self._ids[known[0]]) if known else None
        return (memory, known[1].actor) if known and memory else None

    def by_name(self, name: str, client: str) -> tuple[UserMemory, Actor]:
        """A user's memory for a program on the unix socket, with the permissions of its name; both are made if new.

        Raises Refused `client_revoked` when that client has been disconnected, Invalid for what is no client's name.
        """
        memory = self.open(name, create=True)
        known = memory.clients.find(check_client(client))
        if known is None:
            try:
                known = memory.clients.meet(client)
            except StorageFailed:  # a full disk must not keep it from reading; it is noted another time
                return memory, Client(client).actor
        if known.revoked:
            raise Refused(f"{client} has been disconnected", code="client_revoked", fix=f"jmem connect {client}")
        return memory, known.actor

    def session_secret(self) -> bytes:
        """What MCP session ids are made with; survives a restart."""
        return derived(self._secret, "mcp sessions")

    def has_clients(self) -> bool:
        """Whether any client is connected by a key."""
        return bool(self._keys)

    # ---- inside -------------------------------------------------------------------------------

    def _known_client(self, client: str, key: str) -> tuple[str, Client] | None:
        # looked up by hash: how long that takes tells nothing about a key that is nearly right
        found = self._keys.get(_digest(key))
        if found is None or not hmac.compare_digest(found[1].encode(), client.encode()):
            return None
        known = self.clients(found[0]).get(client)
        if known.revoked or not hmac.compare_digest(self.key(found[0], client).encode(), key.encode()):
            return None
        return found[0], known

    def _create(self, name: str) -> None:
        check_user(name)
        with self._lock:
            if name not in self._ids:
                user_id = str(uuid.uuid4())
                write_json(self._path, {**self._ids, name: user_id})
                self._learn(name, user_id)

    def _learn(self, name: str, user_id: str) -> None:
        """Take a user in; one at a time."""
        folder = self.home / "users" / user_id
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFailed(f"{folder} can't be made: {error.strerror}", fix="jmem doctor") from None
        self._clients[user_id] = Clients(folder, self._map_keys)
        self._tokens[_digest(api_token(self._secret, user_id))] = name
        self._ids = {**self._ids, name: user_id}
        self._map_keys()

    def _map_keys(self) -> None:
        with self._mapping:  # of two changes at once the later one must not be overwritten by the earlier
            keys = {}
            for name, user_id in self._ids.items():
                clients = self._clients[user_id]
                for client in clients.all() if clients.trouble is None else ():
                    if not client.revoked:
                        key = mcp_key(self._secret, user_id, client.name, client.key_generation)
                        keys[_digest(key)] = (name, client.name)
            self._keys = keys

    @contextlib.contextmanager
    def _nobody_else_opens(self, user_id: str) -> Iterator[None]:
        """Hold a user's memory open or closed while the block runs; raises Unreachable when the daemon stops."""
        with self._lock:
            opening = self._opening.setdefault(user_id, threading.Lock())
        with opening:
            if self._closed:
                raise Unreachable("the daemon is stopping", fix="jmem daemon start")
            yield

    def _hold(self, user_id: str, name: str) -> Path:
        """The user's folder, locked for this process; raises Conflict `locked`."""
        folder = self.home / "users" / user_id
        if user_id not in self._locks:
            what = f"the memories of {name!r} are open in another process"
            self._locks[user_id] = FileLock.acquire(folder / "store.lock", what, self._note)
        return folder

    def _open_memory(self, user_id: str, name: str) -> UserMemory:
        folder = self._hold(user_id, name)
        memory = UserMemory.open(
            user_id, name, folder, self._settings, self._embedder, self._clients[user_id], self._log
        )
        try:
            self._opened(memory)
            memory.syncer.start()
        except BaseException:  # nobody else knows of it, and the next one to ask opens it anew
            memory.close()
            raise
        return memory

    def signed_in(self) -> list[str]:
        """The names of those who are signed in to a hosted account, or have a key in the settings."""
        return [name for name in self.names()
                if (self.folder(name) / account.FILE).exists() or key_of(self._settings, name)]  # fmt: skip


def check_user(name: str) -> str:
    """A user's name: 1 to 64 characters, none of them a control character; raises Invalid."""
    text = check_text(name, "user", MAX_CLIENT_CHARS)
    if text != text.strip() or not text.isprintable():
        raise Invalid("a user's name is 1 to 64 printable characters", field="user")
    return text


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
