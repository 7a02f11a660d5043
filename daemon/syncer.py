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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon import account
from daemon.account import SignedIn
from daemon.eraser import Eraser
from jmem.core import conflicts, outbox, rules
from jmem.core.clock import ahead_s
from jmem.core.errors import Conflict, JmemError, Unauthorized, Unreachable
from jmem.core.model import iso
from jmem.core.outbox import Way
from jmem.core.receipts import PlaceReceipt, erased
from sync.plan import Exchange, Failed, State, backoff, next_try, plan, slept, to_read

if TYPE_CHECKING:
    import httpx

    from jmem.core.outbox import TakenIn
    from jmem.core.service import MemoryService
    from jmem.core.store import Store
    from sync.engine import Engine, Progress
    from sync.remote import Remote
    from sync.verify import Verdict

REACH_S = 3.0
"""How long a purge waits for the account before its receipt says that it waits."""
PATIENCE_S = 2.0
"""How long a stop waits for a request that is under way; it may be cut at any point."""
LIVED_S = 30.0
"""A stream of hints that ended earlier counts as one that failed: something on the way closes each at once."""
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
        self._sessions: httpx.Client | None = None
        """by which the session of `_signed_in` is renewed and ended"""
        self._verifying: tuple[str, int] | None = None
        self._eraser = Eraser(service, log)
        self._asked = self._begun = self._ended = 0
        """exchanges asked for, begun for them, ended"""
        self._wrote_at: float | None = None
        self._hint = 0
        self._streaming = False
        self._read_at: float | None = None
        self._failed = Failed()
        self._ahead = ahead_s()
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
        for thread in (*self._threads, *self._eraser.threads()):
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def restart(self) -> None:
        """Begin anew, as whoever is signed in now."""
        self.stop()
        with self._loading:
            if self._sessions is not None:
                self._sessions.close()
            self._sessions = self._signed_in = None
        with self._wake:
            self._threads, self._remote = [], None
            self._error = self._progress = self._last = self._read_at = self._wrote_at = None
            self._exchanging, self._streaming, self._failed, self._hint = False, False, Failed(), 0
        self.start()

    def signed_in(self) -> SignedIn:
        """Who is signed in, with what proves it; the only holder of a session's tokens in this process.

        Raises Unauthorized without anybody, Offline while the keyring does not answer, StorageFailed.
        """
        from sync.remote import connections

        with self._loading:
            if self._signed_in is None:
                http = connections()
                try:
                    found = account.load(self._folder, self._user_id, self._url, self._key, http)
                except BaseException:
                    http.close()
                    raise
                if found is None:
                    http.close()
                    raise Unauthorized("nobody is signed in", code="not_signed_in", fix="jmem login")
                self._signed_in, self._sessions = found, http
            return self._signed_in

    def sign_out(self, seconds: float) -> None:
        """End the session at the account too, as far as that answers within the time. Raises as `signed_in`."""
        known = self.signed_in()
        with self._loading:
            http, self._sessions = self._sessions, None
        account.end_soon(known, seconds, http.close if http is not None else lambda: None)

    def remote(self) -> Remote:
        """The account's own calls, beside the exchange. Raises as `signed_in`."""
        from sync.remote import Remote, connections

        known = self.signed_in()
        return Remote(
            known.account.url, outbox.device(self._store), known.tokens.token, connections(10.0), account.about()
        )

    # ---- told from outside --------------------------------------------------------------------

    def wrote(self) -> None:
        """A commit was made on this machine."""
        if self._threads:
            with self._wake:
                if self._wrote_at is None:
                    self._wrote_at = time.monotonic()
                    self._wake.notify_all()

    def now(self, seconds: float) -> dict[str, Any]:
        """Exchange now, and wait for its end; raises what it raised, Unauthorized without an account, Conflict `paused`,
        Unreachable."""
        with self._wake:
            if not self._threads:
                raise Unauthorized("nobody is signed in", code="not_signed_in", fix="jmem login")
            if self._paused:
                raise _paused()
            self._asked += 1
            mine, life = self._asked, self._life
            self._wake.notify_all()
            if not self._wake.wait_for(lambda: self._ended >= mine or self._life is not life or self._paused, seconds):
                raise Unreachable("the exchange goes on", code="still_syncing", fix="jmem sync status")
            if self._life is not life:
                raise Unreachable("the exchange was ended", code="ended", fix="jmem sync now")
            if self._ended < mine:
                raise _paused()
            if self._error is not None:
                raise self._error
        return self.status()

    @property
    def verifying(self) -> tuple[str, int]:
        """What a comparison is doing, and how many of it; an empty name while nobody compares."""
        return self._verifying or ("", 0)

    def _sit_out(self, life: object, seconds: float) -> None:
        """Let time pass; raises Unreachable where the sign-in has changed or the daemon stops meanwhile."""
        with self._wake:
            if self._wake.wait_for(lambda: self._life is not life, seconds):
                raise Unreachable("the exchange was ended", code="ended", fix="jmem sync verify")

    def verify(self, seconds: float, *, fix: bool) -> Verdict:
        """Whether this machine and the account know the same; raises what `now` and the account raise, and Conflict
        `still_verifying`."""
        from sync.verify import verify

        with self._wake:
            if self._verifying is not None:
                raise Conflict("they are being compared already", code="still_verifying", fix="wait for it to end")
            self._verifying, life = ("exchanged", 0), self._life

        def tell(what: str, done: int) -> None:
            self._verifying = (what, done)

        try:
            self.now(seconds)
            remote = self._remote
            if remote is None:
                raise Unreachable("the exchange was ended", code="ended", fix="jmem sync verify")
            return verify(
                self._store, remote, lambda: self.now(seconds), fix=fix, purged=self._service.finish_purges, tell=tell,
                wait=lambda pause: self._sit_out(life, pause),
            )  # fmt: skip
        finally:
            self._verifying = None

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
            kept, paused, apart = rules.of(conn), outbox.paused(conn), conflicts.how_many(conn)
        said = account.told(self._folder)
        progress = self._progress
        return {
            "state": self._state(paused), "url": said.get("url") or self._url,
            "email": said.get("email", ""), "account": said.get("sub", ""),
            "waiting": waiting, "lag_s": None if oldest is None else max(0, round(time.time() - oldest)),
            "held": counts["held"], "local": counts["local"], "seen": counts["seen"], "conflicts": apart, "rules": kept.as_dict(),
            "streaming": self._streaming, "last_exchange": None if self._last is None else iso(int(self._last * 1000)),
            "progress": None if progress is None or not self._exchanging else
            {"sent": progress.sent, "received": progress.received, "coming": progress.coming, "waiting": progress.waiting},
            "stuck": {} if progress is None else dict(progress.stuck),
            "refused": {} if progress is None else dict(progress.refused),
            "error": None if self._error is None else self._error.problem(),
            "next_try_s": self._next_try(),
        }  # fmt: skip

    def _next_try(self) -> int | None:
        again = None if self._exchanging else next_try(self._planned())
        return None if again is None else max(1, round(again - time.monotonic()))

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
        made: list[Engine] = []
        try:
            while (turn := self._await_turn(life)) is not None:
                error = self._exchange(life, made, turn)
                if self._life is not life:
                    return
                if error is not None and error.code == PAUSED:
                    with self._wake:
                        self._exchanging, self._read_at = False, None
                else:
                    self._after(life, error, turn)
        finally:
            for engine in made:
                engine.close()

    def _exchange(self, life: object, made: list[Engine], turn: _Turn) -> JmemError | None:
        """One exchange; what ended it early."""
        try:
            try:
                if not made:
                    made.append(self._connect(life))
                self._progress = made[0].exchange(read=turn.read, anew=turn.asked)
            except JmemError as error:
                failure = account.meant(error, self._signed_in)
                if failure.code == "account_deleted" and self._life is life:
                    account.leave(self._folder, self._user_id, self._store)
                if failure.code == "offline":
                    failure.fix = "nothing to do: it goes on by itself"
                return failure
        except Exception as failure:  # noqa: BLE001  the thread's edge: it goes on, and says so
            self._log.error("sync failed", user=self._user_id, exc_info=failure)
            return JmemError("sync failed; the log tells how", code="sync_failed", fix="jmem daemon logs")
        return None

    def _await_turn(self, life: object) -> _Turn | None:
        """Sleep until the plan says to exchange; None when it is time to stop."""
        with self._wake:
            while self._life is life:
                before, self._ahead = self._ahead, ahead_s()
                if slept(before, self._ahead):
                    self._failed = self._failed.woken()
                state = self._planned()
                step = plan(state)
                if isinstance(step, Exchange):
                    turn = _Turn(self._asked, state.asked, to_read(state))
                    self._wrote_at, self._hint, self._exchanging = None, 0, True
                    return turn
                self._wake.wait(step.seconds)
        return None

    def _planned(self) -> State:
        signed_out = self._error is not None and self._error.code in _FINAL
        return State(
            time.monotonic(), not signed_out or self._asked > self._ended, self._paused, self._asked > self._ended,
            self._wrote_at, self._hint > 0, self._streaming, self._read_at, self._failed,
        )  # fmt: skip

    def _after(self, life: object, error: JmemError | None, turn: _Turn) -> None:
        with self._wake:
            if self._life is not life:
                return
            newer = self._progress.newer if error is None and self._progress is not None else None
            first = newer is not None and self._error is None
            self._exchanging, self._ended, self._error = False, turn.number, error or newer
            now = time.monotonic()
            if error is None:
                self._failed, self._last = Failed(), time.time()
                self._read_at = now if turn.read else self._read_at
                with suppress(JmemError):
                    if self._hint <= self._read_to():  # of what it has pushed itself, or read already
                        self._hint = 0
            else:
                self._failed = self._failed.once_more(now, random.random(), getattr(error, "retry_after", None))
                self._read_at = None
            self._wake.notify_all()
            why = self._error
        if why is not None and (first or self._failed.count == 1):
            self._log.warning("sync waits", user=self._user_id, code=why.code, why=why.message)

    def _connect(self, life: object) -> Engine:
        """The engine of the account that is signed in; raises Offline, SignedOut, Conflict `bound`."""
        from sync.engine import Engine
        from sync.remote import Remote, connections

        known = self.signed_in()
        asking = self._asking(life, known)
        remote = Remote(known.account.url, outbox.device(self._store), asking, connections(), account.about())
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
        return Engine(self._store, remote, self._changed, self._tell, lambda: self._go_on(life))

    def _go_on(self, life: object) -> None:
        """Raises Unreachable where the exchange is to end."""
        if self._life is not life:
            raise Unreachable("the exchange was ended", code="ended")
        if self._paused:
            raise Unreachable("paused in the midst of an exchange", code=PAUSED)

    def _asking(self, life: object, known: SignedIn) -> Callable[[str | None], str]:
        """The bearer token for a request; raises Unreachable where nothing may be asked any more."""

        def token(refused: str | None) -> str:
            if self._life is not life:
                raise Unreachable("the exchange was ended", code="ended")
            return known.tokens.token(refused)

        return token

    def _changed(self, taken: TakenIn) -> None:
        if taken.purged:
            self._eraser.ask()
        for stamp, code in taken.refused:
            self._log.warning("an op of the feed can't be kept here", user=self._user_id, stamp=stamp, code=code)

    def _tell(self, progress: Progress) -> None:
        self._progress = progress

    # ---- the listening thread -----------------------------------------------------------------

    def _listen(self, life: object) -> None:
        failures = 0
        while (remote := self._listened(life)) is not None:
            began, wait = time.monotonic(), None
            ended_well = refused = False
            try:
                ended_well = self._follow(life, remote)
            except JmemError as error:
                wait = getattr(error, "retry_after", None)
                refused = wait == 0 or error.code != "offline"
            except Exception as error:  # noqa: BLE001  the thread's edge: without hints the feed is looked at every minute
                if self._life is life:
                    self._log.error("the stream of hints failed", user=self._user_id, exc_info=error)
            finally:
                self._hear(life, False, look=refused)  # what it means that nobody may listen, an exchange finds out
            failures = 1 if time.monotonic() - began >= LIVED_S else failures + 1
            if failures == 1 and (ended_well or wait == 0):  # as when its token has ended
                continue
            with self._wake:
                self._wake.wait_for(lambda: self._life is not life, backoff(failures, random.random(), wait))

    def _listened(self, life: object) -> Remote | None:
        """The account to listen to, once it answers; None when it is time to stop."""
        with self._wake:
            self._wake.wait_for(lambda: self._life is not life or (self._remote is not None and self._error is None))
            return self._remote if self._life is life else None

    def _follow(self, life: object, remote: Remote) -> bool:
        """Hear a stream of hints to its end; whether it had one."""
        with remote.hints() as hints:
            self._hear(life, True)
            for number, seq in enumerate(hints):
                if self._life is not life:
                    return False
                self._hinted(seq, first=number == 0)
        return True

    def _hear(self, life: object, streaming: bool, *, look: bool = False) -> None:
        with self._wake:
            if self._life is not life:
                return
            self._streaming = streaming
            if streaming or look:
                self._read_at = None  # what was said while nobody listened
            self._wake.notify_all()

    def _hinted(self, seq: int, *, first: bool) -> None:
        with self._wake:  # so that no exchange ends between the two
            here = self._read_to()
            if seq > here or (first and seq != here):  # behind what was read: another feed
                self._hint = seq
                self._wake.notify_all()

    def _read_to(self) -> int:
        """The seq up to which the feed was read."""
        with self._store.reader() as conn:
            return int((outbox.position(conn).cursor or "0:").partition(":")[0])


@dataclass(frozen=True, slots=True)
class _Turn:
    """An exchange that is to be made: up to which number of those asked for, whether it was, whether the feed is read
    though nothing is offered."""

    number: int
    asked: bool
    read: bool


def _paused() -> Conflict:
    return Conflict("sync is paused", code="paused", fix="jmem sync resume")
