"""A full disk and a read-only database: a clear answer, no loss, and work goes on when there is room again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.home import Home

FACT, QUESTION = "I prefer aisle seats on long flights", "which seat should I book"


@dataclass(frozen=True)
class Small:
    """A home on a small file system of its own or, where none can be mounted, under a limit on file sizes."""

    home: Home
    mounted: bool

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """No room is left meanwhile."""
        filler = self.home.path.parent / "filler"
        if self.mounted:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
        elif self.home.pid:
            self._limit(1)
        try:
            yield
        finally:
            if self.mounted:
                filler.unlink()
            elif self.home.pid:
                self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        pid = self.home.start()
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))


def mount(folder: Path, size_mb: int) -> bool:
    options = ["-t", "tmpfs", "-o", f"size={size_mb}m,mode=700", "tmpfs"]
    return subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False).returncode == 0


@pytest.fixture(params=["mounted", "limited"])
def small(request: pytest.FixtureRequest) -> Iterator[Small]:
    """Both ways, so that the second is known to work where the first does not."""
    folder = Path(tempfile.mkdtemp(prefix="jmem-"))
    made = Small(Home(folder / "h"), request.param == "mounted" and mount(folder, 160))
    try:
        yield made
    finally:
        made.home.kill()
        if made.mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def fail_to_add(home: Home, number: int) -> None:
    """Add until the first refusal (what is left of a page may still take a little), and look at it closely."""
    with contextlib.closing(home.api()) as api:
        for attempt in range(200):
            content = f"A sentence about the number {number} {attempt}. " + "It goes on. " * 400
            answer = api.call("POST", "/api/v1/memories", {"content": content})
            if not answer.ok:
                break
    assert answer.status == 507
    assert answer.body["code"] in ("disk_full", "storage_failed")
    assert answer.body["fix"]
    with contextlib.closing(home.api()) as api:
        assert content not in {m["content"] for m in api.every()}


def test_a_full_disk_is_said_and_nothing_is_lost(small: Small) -> None:
    home = small.home
    pid = home.start()
    kept = {home.json("add", FACT)["id"]: FACT}
    home.indexed()
    with small.full():
        fail_to_add(home, 1)
        done = home.jmem("add", "Another sentence. " * 400, check=False)
        assert done.returncode == 1
        assert "disk" in done.stderr
        assert done.stdout == ""
        assert home.json("search", QUESTION)["results"][0]["content"] == FACT
    assert home.pid == pid
    kept[home.json("add", "There is room again")["id"]] = "There is room again"
    home.indexed()
    with contextlib.closing(home.api()) as api:
        there = {m["id"]: m["content"] for m in api.every()}
        assert kept.items() <= there.items()
        assert api.must("GET", "/index")["points"] == len(there)
        assert api.search("is there any room", mode="vector")["results"][0]["content"] == "There is room again"


def test_a_daemon_started_on_a_full_disk_answers_or_says_why(small: Small) -> None:
    home = small.home
    home.json("add", FACT)
    home.indexed()
    home.kill()
    limit = None if small.mounted else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, -1))
    with small.full():
        done = home.jmem("search", QUESTION, check=False, before_exec=limit)
        assert "Traceback" not in done.stderr
        assert FACT in done.stdout if done.returncode == 0 else "disk" in done.stderr
    if not small.mounted:
        home.kill()
    assert FACT in home.jmem("search", QUESTION).stdout
    assert home.json("add", "Later")["id"]


CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24


def without_power_over_files() -> None:
    """What is executed next obeys file permissions, as any unprivileged user's program does, even when root's.

    (The interpreter may lie where no other user can enter, so changing the user id is no way.)
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 and os.geteuid() == 0:
            raise OSError(ctypes.get_errno(), "prctl")


def test_a_read_only_folder_is_said_and_mended(home: Home) -> None:
    home.json("add", FACT)
    home.indexed()
    home.stop()
    files = [*home.user_folder.glob("memories.db*"), home.user_folder]
    for path in files:
        path.chmod(0o500)
    started = home.jmem("search", QUESTION, check=False, before_exec=without_power_over_files)
    # a database that was closed cleanly has no shared memory beside it, and SQLite can make none here
    assert FACT in started.stdout or "read-only" in started.stderr
    done = home.jmem("add", "This has no place to go", check=False)
    assert done.returncode == 1
    assert "read-only" in done.stderr
    assert "chmod" in done.stderr

    for path in files:
        path.chmod(0o700)
    assert home.json("add", "Now there is a place")["id"]
    assert FACT in home.jmem("search", QUESTION).stdout
