"""One user's exchange with the hosted account: a thread that sleeps until there is something to do, and one that listens.

Which step is next is decided by `sync.plan`, what it does by `sync.engine`; here are the threads, the failures and what is
told of them. Nothing of it runs while nobody is signed in.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon import account
from daemon.account import SignedIn
from jmem.core import conflicts, outbox
from jmem.core.errors import JmemError, Unauthorized, Unreachable
from jmem.core.model import iso
from jmem.core.outbox import Way
from jmem.core.receipts import PlaceReceipt, erased
from sync.plan import Exchange, State, backoff, plan

if TYPE_CHECKING:
    from jmem.core.outbox import TakenIn
    from jmem.core.service import MemoryService
    from jmem.core.store import Store
    from sync.engine import Engine, Progress
    from sync.remote import Remote
    from sync.verify import Tell, Verdict

REACH_S = 3.0
"""How long a purge waits for the account before its receipt says that it waits."""
PATIENCE_S = 2.0
"""How long a stop waits for a request that is under way; it may be cut at any point."""
PAUSED = "paused"
_FINAL = frozenset(("signed_out", "account_deleted"))
"""Failures that no waiting mends."""


class Syncer:
    """Threads of one user's sync. Thread-safe."""

    def __init__(
        self, user_id: str, folder: Path, store: Store, service: MemoryService, url: str, key: str, log: Any
    ) -> None:
        self._user_id, self._folder, self._store, self._service = user_id, folder, store, service
        self._url, self._key, self._log = url, key, log
        self._wake = threading.Condition()
        self._life: object | None = None
        """of the threads that run now; one that finds another here ends"""
        self._threads: list[threading.Thread] = []
        self._remote: Remote | None = None
        self._loading = threading.Lock()
        self._signed_in: SignedIn | None = None
        self._asked = self._begun = self._ended = 0
        """exchanges asked for, begun for them, ended"""
        self._wrote_at: float | None = None
        self._hint = 0
        self._streaming = False
        self._read_at: float | None = None
        self._failures = 0
        self._not_before = 0.0
        self._error: JmemError | None = None
        self._progress: Progress | None = None
        self._exchanging = False
        self._last: float | None = None
        self._paused = False

    # ---- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, if somebody is signed in; safe to call again."""
        with self._wake:
            if self._threads or not self._may_start():
                return
            life = self._life = object()
            with self._store.reader() as conn:
                self._paused = outbox.paused(conn)
            self._threads = [threading.Thread(target=work, args=(life,), name=f"jmem-{name}-{self._user_id[:8]}", daemon=True)
                             for name, work in (("sync", self._run), ("hints", self._listen))]  # fmt: skip
            for thread in self._threads:
                thread.start()

    def _may_start(self) -> bool:
        return (self._folder / account.FILE).exists() or bool(self._key and self._url)

    def cut(self) -> None:
        """Have the threads end, and wait for nothing."""
        with self._wake:
            self._life = None
            self._wake.notify_all()
        if self._remote is not None:
            self._remote.hang_up()

    def stop(self) -> None:
        """End the threads; what is under way is cut, which every step may be: one that hangs ends by itself later."""
        self.cut()
        deadline = time.monotonic() + PATIENCE_S
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        if self._remote is not None and not any(thread.is_alive() for thread in self._threads):
            self._remote.close()

    def restart(self) -> None:
        """Begin anew, as whoever is signed in now."""
        self.stop()
        with self._wake:
            self._threads, self._remote, self._signed_in = [], None, None
            self._error, self._failures, self._not_before, self._read_at = None, 0, 0.0, None
            self._exchanging, self._streaming, self._progress, self._last = False, False, None, None
        self.start()

    def signed_in(self) -> SignedIn:
        """Who is signed in, with what proves it; the only holder of a session's tokens in this process.

        Raises Unauthorized without anybody, Offline while the keyring does not answer, StorageFailed.
        """
        import httpx

        with self._loading:
            if self._signed_in is None:
                http = httpx.Client(timeout=httpx.Timeout(30.0, connect=10.0), headers={"user-agent": "jmem"})
                found = account.load(self._folder, self._user_id, self._url, self._key, http)
                if found is None:
                    http.close()
                    raise Unauthorized("nobody is signed in", code="not_signed_in", fix="jmem login")
                self._signed_in = found
            return self._signed_in

    def remote(self) -> Remote:
        """The account's own calls, beside the exchange. Raises as `signed_in`."""
        import httpx

        from sync.remote import Remote

        known = self.signed_in()
        http = httpx.Client(timeout=httpx.Timeout(10.0, connect=5.0), headers={"user-agent": "jmem"})
        return Remote(known.account.url, self._store.store_id, known.tokens.token, http, account.about())

    # ---- told from outside --------------------------------------------------------------------

    def wrote(self) -> None:
        """A commit was made on this machine."""
        if self._threads:
            with self._wake:
                if self._wrote_at is None:
                    self._wrote_at = time.monotonic()
                    self._wake.notify_all()

    def now(self, seconds: float) -> dict[str, Any]:
        """Exchange now, and wait for its end; raises what it raised, Unauthorized without an account, Unreachable."""
        with self._wake:
            if not self._threads:
                raise Unauthorized("nobody is signed in", code="not_signed_in", fix="jmem login")
            self._asked += 1
            mine, life = self._asked, self._life
            self._wake.notify_all()
            if not self._wake.wait_for(lambda: self._ended >= mine or self._life is not life, seconds):
                raise Unreachable("the exchange goes on", code="still_syncing", fix="jmem sync status")
            if self._life is not life:
                raise Unreachable("the exchange was ended", code="ended", fix="jmem sync now")
            if self._error is not None:
                raise self._error
        return self.status()

    def verify(self, seconds: float, *, fix: bool, tell: Tell) -> Verdict:
        """Whether this machine and the account know the same; raises what `now` and the account raise."""
        from sync.verify import verify

        self.now(seconds)
        remote = self._remote
        assert remote is not None
        return verify(
            self._store, remote, lambda: self.now(seconds), fix=fix, purged=self._service.finish_purges, tell=tell
        )

    def forgotten(self, ids: list[str]) -> tuple[PlaceReceipt, ...]:
        """What became of memories that were just forgotten for ever in the account, and what will on other machines.

        While the account answers it is told at once; nothing is said of an account where nobody ever signed in.
        """
        with self._store.reader() as conn:
            bound, way = outbox.position(conn).account, outbox.purge_way(conn, ids)
        if bound is None:
            return ()
        if way is Way.WAITS and self._threads and threading.current_thread() not in self._threads:
            with suppress(JmemError):
                if self._error is None and not self._paused:
                    self.now(REACH_S)
            with self._store.reader() as conn:
                way = outbox.purge_way(conn, ids)
        if way is Way.NEVER_LEFT:
            return (erased("account", "nothing there"),)
        if way is Way.REACHED:
            return erased("account"), erased("other machines", "erased at the next exchange of each")
        wait = "waits for the next exchange" + (
            "; jmem sync resume" if self._paused else "" if self._threads else "; jmem login"
        )
        return erased("account", wait), erased("other machines", "erased at the exchange of each after that")

    def pause(self, paused: bool) -> dict[str, Any]:
        """Stop exchanging until told otherwise, also over a restart."""
        outbox.set_paused(self._store, paused)
        with self._wake:
            self._paused = paused
            self._wake.notify_all()
        return self.status()

    def status(self) -> dict[str, Any]:
        """How it goes, without a secret."""
        with self._store.reader() as conn:
            counts, waiting, oldest = outbox.counts(conn), outbox.waiting(conn), outbox.oldest_waiting(conn)
            rules, paused, apart = outbox.position(conn).rules, outbox.paused(conn), conflicts.how_many(conn)
        said = account.stored(self._folder) or {}
        progress = self._progress
        return {
            "state": self._state(paused), "url": said.get("url") or self._url,
            "email": said.get("email", ""), "account": said.get("sub", ""),
            "waiting": waiting, "lag_s": None if oldest is None else max(0, round(time.time() - oldest)),
            "held": counts["held"], "local": counts["local"], "seen": counts["seen"], "conflicts": apart, "rules": rules.as_dict(),
            "streaming": self._streaming, "last_exchange": None if self._last is None else iso(int(self._last * 1000)),
            "progress": None if progress is None or not self._exchanging else
            {"sent": progress.sent, "received": progress.received, "waiting": progress.waiting},
            "stuck": {} if progress is None else dict(progress.stuck),
            "refused": {} if progress is None else dict(progress.refused),
            "error": None if self._error is None else self._error.problem(),
            "next_try_s": self._next_try(),
        }  # fmt: skip

    def _next_try(self) -> int | None:
        wait = self._not_before - time.monotonic()
        return round(wait) if self._error is not None and wait > 0 else None

    def _state(self, paused: bool) -> str:
        if not self._threads:
            return "off"
        if self._error is not None and self._error.code in (*_FINAL, "upgrade_required", "bound"):
            return self._error.code
        if paused:
            return "paused"
        if self._exchanging:
            return "syncing"
        return "on" if self._error is None and self._last is not None else "waiting"

    # ---- the exchanging thread ----------------------------------------------------------------

    def _run(self, life: object) -> None:
        engine: Engine | None = None
        while True:
            with self._wake:
                if not self._await_turn(life):
                    return
                mine, self._wrote_at, hint, self._hint = self._asked, None, self._hint, 0
                self._exchanging = True
            error: JmemError | None = None
            try:
                engine = engine or self._connect(life)
                self._progress = engine.exchange()
            except JmemError as failure:
                error = failure
            except Exception as failure:  # noqa: BLE001  the thread's edge: it goes on, and says so
                self._log.error("sync failed", user=self._user_id, exc_info=failure)
                error = JmemError("sync failed; the log tells how", code="sync_failed", fix="jmem daemon logs")
            if self._life is not life:
                return
            if error is not None and error.code == PAUSED:
                with self._wake:
                    self._exchanging, self._read_at = False, None
                continue
            if error is not None and error.code == "account_deleted":
                account.leave(self._folder, self._user_id, self._store)
            self._after(life, error, mine, hint)

    def _await_turn(self, life: object) -> bool:
        """Sleep until the plan says to exchange; False when it is time to stop."""
        while self._life is life:
            step = plan(self._planned())
            if isinstance(step, Exchange):
                return True
            self._wake.wait(step.seconds)
        return False

    def _planned(self) -> State:
        signed_out = self._error is not None and self._error.code in _FINAL
        return State(
            time.monotonic(), not signed_out or self._asked > self._ended, self._paused, self._asked > self._ended,
            self._wrote_at, self._hint > 0, self._streaming, self._read_at, self._not_before,
        )  # fmt: skip

    def _after(self, life: object, error: JmemError | None, mine: int, hint: int) -> None:
        with self._wake:
            if self._life is not life:
                return
            self._exchanging, self._ended, self._error = False, mine, error
            now = time.monotonic()
            if error is None:
                self._failures, self._not_before, self._read_at, self._last = 0, 0.0, now, time.time()
            else:
                self._failures += 1
                self._not_before = now + backoff(self._failures, random.random(), getattr(error, "retry_after", None))
                self._read_at = None
            self._wake.notify_all()
        if error is not None and self._failures == 1:
            self._log.warning("sync waits", user=self._user_id, code=error.code, why=error.message)

    def _connect(self, life: object) -> Engine:
        """The engine of the account that is signed in; raises Offline, SignedOut, Conflict `bound`."""
        import httpx

        from sync.engine import Engine
        from sync.remote import Remote

        known = self.signed_in()
        http = httpx.Client(timeout=httpx.Timeout(30.0, connect=10.0), headers={"user-agent": "jmem"})
        remote = Remote(known.account.url, self._store.store_id, self._asking(life, known), http, account.about())
        try:
            outbox.bind(self._store, remote.hello().account)
            with self._wake:
                if self._life is not life:
                    raise Unreachable("the exchange was ended", code="ended")
                self._remote = remote
                self._wake.notify_all()
        except BaseException:
            remote.close()
            raise
        return Engine(self._store, remote, self._changed, self._tell)

    def _asking(self, life: object, known: SignedIn) -> Callable[[str | None], str]:
        """The bearer token for a request; raises Unreachable where the exchange may ask nothing any more."""

        def token(refused: str | None) -> str:
            if self._life is not life:
                raise Unreachable("the exchange was ended", code="ended")
            exchanging = threading.current_thread() is self._threads[0]
            if exchanging and self._paused and self._asked <= self._ended:
                raise Unreachable("paused in the midst of an exchange", code=PAUSED)
            return known.tokens.token(refused)

        return token

    def _changed(self, taken: TakenIn) -> None:
        if taken.purged:
            self._service.finish_purges()
        for stamp, code in taken.refused:
            self._log.warning("an op of the feed can't be kept here", user=self._user_id, stamp=stamp, code=code)

    def _tell(self, progress: Progress) -> None:
        self._progress = progress

    # ---- the listening thread -----------------------------------------------------------------

    def _listen(self, life: object) -> None:
        failures = 0
        while True:
            with self._wake:
                self._wake.wait_for(
                    lambda: self._life is not life or (self._remote is not None and self._error is None)
                )
                if self._life is not life:
                    return
                remote = self._remote
            assert remote is not None
            wait: float | None = None
            try:
                with remote.hints() as hints:
                    self._hear(life, True)
                    failures = 0
                    for seq in hints:
                        self._hinted(seq)
            except JmemError as error:
                wait = getattr(error, "retry_after", None)
            except (RuntimeError, OSError) as error:  # hung up while it was read
                self._log.debug("the stream of hints ended", user=self._user_id, why=repr(error))
            self._hear(life, False)
            failures += 1
            with self._wake:
                if self._wake.wait_for(lambda: self._life is not life, backoff(failures, random.random(), wait)):
                    return

    def _hear(self, life: object, streaming: bool) -> None:
        with self._wake:
            if self._life is not life:
                return
            self._streaming = streaming
            if streaming:
                self._read_at = None  # what was said while nobody listened
            self._wake.notify_all()

    def _hinted(self, seq: int) -> None:
        with self._store.reader() as conn:
            cursor = outbox.position(conn).cursor or "0:"
        if seq != int(cursor.partition(":")[0]):
            with self._wake:
                self._hint = seq
                self._wake.notify_all()
