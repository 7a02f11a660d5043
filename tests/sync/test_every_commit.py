"""A device or the account's server ends at every commit and every request of an exchange, before and after it, one after the
other: what is on disk then is begun again, and both sides hold the same, each write once, and nothing told is lost."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import hosted.ops.feed
from hosted.db.engine import Database
from jmem.core.drafts import Draft
from jmem.core.store import Store
from sync.engine import Engine
from sync.remote import Remote
from sync.verify import verify
from tests.core.conftest import User, open_user
from tests.sync.conftest import ME
from tests.sync.world import Tables


class Ended(BaseException):
    """The device's process is no more."""


class ServerEnded(Exception):
    """The server's process is no more."""


class Points:
    """Counts the points that an exchange passes, and ends the process at one of them."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.passed = 0
        self.requests = True
        """whether requests are points too"""

    def arm(self, at: int | None) -> None:
        self.at, self.passed = at, 0

    def reach(self, end: BaseException) -> None:
        if self.at is None:
            return
        self.passed += 1
        if self.passed == self.at:
            raise end


class Line(httpx.BaseTransport):
    """To the account; a server that has ended gives no answer."""

    def __init__(self, points: Points) -> None:
        self._inner, self._points = httpx.HTTPTransport(), points

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._reach()
        answer = self._inner.handle_request(request)
        answer.read()
        self._reach()
        if answer.status_code == 500:
            raise httpx.ReadError("the server is gone", request=request)
        return answer

    def _reach(self) -> None:
        if self._points.requests:
            self._points.reach(Ended())

    def close(self) -> None:
        self._inner.close()


class Device:
    """A store and its engine, which may be begun again from what is on disk."""

    def __init__(self, url: str, account: uuid.UUID, folder: Path, points: Points) -> None:
        self._url, self._account, self._folder, self._points = url, account, folder, points
        self._lives = 0
        self._open(folder / "0")

    def _open(self, folder: Path) -> None:
        self.user: User = open_user(folder)
        http = httpx.Client(transport=Line(self._points), timeout=20)
        self.remote = Remote(self._url, self.user.store.store_id, lambda refused: str(self._account), http)
        self.engine = Engine(
            self.user.store, self.remote, lambda taken: self.user.service.finish_purges() if taken.purged else None
        )

    def begin_again(self) -> None:
        """As a process that was killed leaves its files: the log of the database not yet in the database."""
        self._lives += 1
        folder = self._folder / str(self._lives)
        shutil.copytree(self.user.folder, folder)
        self.close()
        self._open(folder)

    def close(self) -> None:
        self.user.close()
        self.remote.close()

    def texts(self) -> dict[str, str]:
        with self.user.store.reader() as conn:
            rows = conn.execute("SELECT id, content FROM memories WHERE NOT deleted AND privacy <> 'local'")
            return dict(rows.fetchall())

    def log(self) -> dict[str, str]:
        with self.user.store.reader() as conn:
            return dict(conn.execute("SELECT stamp, payload FROM ops WHERE sent <> 2").fetchall())

    def open_ends(self) -> int:
        with self.user.store.reader() as conn:
            return int(conn.execute("SELECT COUNT(*) FROM ops WHERE sent IN (0, 3, 4)").fetchone()[0])


class Pair:
    """Two devices of one account, and what both have to know."""

    def __init__(self, url: str, folder: Path, points: Points) -> None:
        self.points, self.account = points, uuid.uuid4()
        self.one = Device(url, self.account, folder / "one", points)
        self.other = Device(url, self.account, folder / "other", points)
        self.want: dict[str, str] = {}
        self.gone: set[str] = set()

    def live(self, n: int) -> None:
        """Each device has something of every kind to tell, and the other's is in the feed or waits."""
        one, other = self.one.user.service, self.other.user.service
        both = one.add(Draft(f"both {n}"), ME).memory.id
        doomed = one.add(Draft(f"doomed {n}"), ME).memory.id
        for device in (self.one, self.other):
            device.engine.exchange()
        other.edit(both, {"content": f"the other's {n}"}, ME)
        other.purge(doomed, ME)
        theirs = other.add(Draft(f"theirs {n}"), ME).memory.id
        self.other.engine.exchange()
        one.edit(both, {"tags": ["seen"]}, ME)
        mine = one.add(Draft(f"mine {n}"), ME).memory.id
        never = one.add(Draft(f"never {n}"), ME).memory.id
        one.purge(never, ME)
        one.add(Draft(f"private {n}", privacy="local"), ME)
        self.want |= {both: f"the other's {n}", theirs: f"theirs {n}", mine: f"mine {n}"}
        self.gone |= {doomed, never}

    def check(self, tables: Tables) -> None:
        """Both begin again as often as it takes, then everything is compared."""
        for device in (self.one, self.other, self.one):
            device.engine.exchange()
        rows = tables.fetch("SELECT stamp, payload FROM jmem.ops WHERE user_id = $1", self.account)
        feed = {row["stamp"]: row["payload"] for row in rows}
        assert "private" not in str(feed)
        for device in (self.one, self.other):
            assert device.texts() == self.want
            assert {s: t for s, t in device.log().items() if s in feed} == feed
            assert device.open_ends() == 0
            assert not self.gone & device.texts().keys()

    def close(self) -> None:
        self.one.close()
        self.other.close()


@pytest.fixture(scope="module")
def tables(owner_url: str) -> Iterator[Tables]:
    made = Tables(owner_url)
    yield made
    made.close()


@pytest.fixture
def pair(account_url: str, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(account_url, tmp_path, Points())
    yield made
    made.close()


def every_point(pair: Pair, tables: Tables, *, restart: bool) -> int:
    """Exchange once for each point, ending there; how many there are."""
    at = 0
    while True:
        at += 1
        pair.live(at)
        pair.points.arm(at)
        try:
            pair.one.engine.exchange()
        except Ended:
            assert restart
            ended = True
        except Exception:
            assert not restart  # the device is told that nothing answers
            ended = True
        else:
            ended = pair.points.passed >= at
        pair.points.arm(None)
        if restart:
            pair.one.begin_again()
        pair.check(tables)
        if not ended:
            break
    verdict = verify(pair.one.user.store, pair.one.remote, pair.one.engine.exchange)
    assert verdict.as_dict()["equal"]
    return at - 1


def test_a_device_ends_at_every_commit_and_every_request(pair: Pair, tables: Tables, monkeypatch: pytest.MonkeyPatch):
    write, outside = Store.write, Store.outside
    commits: list[int] = []

    def counted(real: Any) -> Any:
        def run(store: Store, fn: Any) -> Any:
            if store is not pair.one.user.store:
                return real(store, fn)
            pair.points.reach(Ended())  # before the commit: nothing of it is there
            done = real(store, fn)
            if pair.points.at is not None:
                commits.append(pair.points.passed)
            pair.points.reach(Ended())  # after it: all of it is
            return done

        return run

    monkeypatch.setattr(Store, "write", counted(write))
    monkeypatch.setattr(Store, "outside", counted(outside))
    points = every_point(pair, tables, restart=True)
    # two pulls, a hello and a push, each asked and answered; pages that are taken in, a batch, a purge that is ended
    assert points >= 16, points
    assert len(set(commits)) >= 4, commits


def test_the_server_ends_at_every_commit(pair: Pair, tables: Tables, monkeypatch: pytest.MonkeyPatch):
    writing = hosted.ops.feed.writing

    class Dying:
        """The account's database, whose transactions end with the process."""

        def __init__(self, database: Database) -> None:
            self._database = database

        @asynccontextmanager
        async def tenant(self, user_id: uuid.UUID, **how: Any) -> AsyncIterator[Any]:
            async with self._database.tenant(user_id, **how) as conn:
                yield conn
                if user_id == pair.account:
                    pair.points.reach(ServerEnded())  # before the commit
            if user_id == pair.account:
                pair.points.reach(ServerEnded())  # after it, before anybody is told

    monkeypatch.setattr(
        hosted.ops.feed, "writing", lambda database, bus, user_id: writing(Dying(database), bus, user_id)
    )
    pair.points.requests = False
    assert every_point(pair, tables, restart=False) >= 2
