"""Two daemons write to one account for minutes while lines break and daemons are killed; then both hold the same, and all of it."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import random
import sqlite3
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from bench.harness import Options, Row, below, info, main, say
from bench.home import Home, temporary_home, wait_for
from bench.sync import PASSWORD, hosted, sign_up
from bench.sync_wire import Line

EMAIL = "soak@example.com"
MOODS = ("down", "half_open", "cut", "slow", "429", "500", "413")
SETTLE_S = 300.0
CUT = (OSError, http.client.HTTPException, TimeoutError)


@dataclass
class Machine:
    """A home on a line of its own, and what its person was told is stored: texts by id."""

    name: str
    home: Home
    line: Line
    told: dict[str, str] = field(default_factory=dict)
    did: Counter[str] = field(default_factory=Counter)

    def write(self, ended: threading.Event, shared: str, rng: random.Random) -> None:
        """New memories, and edits of one that the other edits too, as fast as a busy assistant."""
        n = 0
        while not ended.is_set():
            try:
                with contextlib.closing(self.home.api()) as api:
                    while not ended.wait(rng.uniform(0.01, 0.1)):
                        n += 1
                        if n % 3:
                            content = f"{self.name} remembers number {n}"
                            self.told[str(api.add(content)["id"])] = content
                            self.did["added"] += 1
                        else:
                            change = {"tags": [f"t{n}"]} if n % 2 else {"content": f"{self.name} says {n}"}
                            api.must("PATCH", f"/memories/{shared}", change)
                            self.did["edited"] += 1
            except CUT:
                time.sleep(0.1)  # it was killed, and comes back

    def trouble(self, ended: threading.Event, rng: random.Random) -> None:
        """Something happens to the line or to the daemon, again and again."""
        while not ended.wait(rng.uniform(0.5, 4)):
            what = rng.choice((*MOODS, "kill"))
            self.did[what] += 1
            if what == "kill":
                self.home.kill()
                self.home.start()
            else:
                with self.line.in_mood(what):
                    ended.wait(rng.uniform(0.2, 5))

    def log(self) -> dict[str, str]:
        """Digests of the ops that may leave, by stamp."""
        with contextlib.closing(sqlite3.connect(f"{(self.home.user_folder / 'memories.db').as_uri()}?mode=ro", uri=True)) as conn:  # fmt: skip
            return dict(conn.execute("SELECT stamp, digest FROM ops WHERE sent <> 2").fetchall())

    def step(self) -> bool:
        """Exchange once more; whether nothing waits any longer."""
        try:
            with contextlib.closing(self.home.api(timeout=60)) as api:
                api.call("POST", "/api/v1/sync/now", {})
                status = api.must("GET", "/sync")
                return status["state"] == "on" and status["waiting"] == 0 and status["error"] is None
        except CUT:
            return False


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    seconds = 20.0 if options.quick else 60.0 * options.rest.minutes
    rng = random.Random(options.rest.seed)
    with contextlib.ExitStack() as stack:
        told = stack.enter_context(hosted())
        sign_up(told, EMAIL)
        machines = []
        for name in ("one", "other"):
            home = stack.enter_context(temporary_home())
            line = Line(told["url"])
            stack.callback(line.close)
            home.start()
            with contextlib.closing(home.api()) as api:
                api.must("POST", "/account/login", {"url": line.url, "email": EMAIL, "password": PASSWORD})
            machines.append(Machine(name, home, line))
        with contextlib.closing(machines[0].home.api()) as api:
            shared = str(api.add("edited by both")["id"])
        wait_for(lambda: all(machine.step() for machine in machines), 60, "the first exchange")
        ended = threading.Event()
        threads = [
            threading.Thread(target=work, args=arguments)
            for machine in machines
            for work, arguments in (
                (machine.write, (ended, shared, random.Random(rng.random()))),
                (machine.trouble, (ended, random.Random(rng.random()))),
            )
        ]
        for thread in threads:
            thread.start()
        say(f"{seconds:g} s of trouble")
        time.sleep(seconds)
        ended.set()
        for thread in threads:
            thread.join()
        start = time.monotonic()
        wait_for(lambda: all(machine.step() for machine in machines) and machines[0].log() == machines[1].log(),
                 SETTLE_S, "both machines hold the same")  # fmt: skip
        settled = time.monotonic() - start
        lists = []
        for machine in machines:
            with contextlib.closing(machine.home.api()) as api:
                lists.append({m["id"]: (m["content"], m["version"]) for m in api.every(state="all")})
        lost = sum(1 for m in machines for id, content in m.told.items() for one in lists if one.get(id, ("",))[0] != content)  # fmt: skip
        differ = sum(1 for id in lists[0].keys() | lists[1].keys() if lists[0].get(id) != lists[1].get(id))
        did = machines[0].did + machines[1].did
    for what, times in sorted(did.items()):
        say(f"  {what}: {times}")
    return [
        below("acknowledged writes that are lost", lost, "memories", 0, inclusive=True),
        below("memories that differ", differ, "memories", 0, inclusive=True),
        info("memories added", did["added"], "memories"),
        info("edits of the same memory", did["edited"], "edits"),
        info("daemons killed", did["kill"], "times"),
        info("until both held the same", settled, "s"),
    ]


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)


if __name__ == "__main__":
    main("sync_soak", "Two machines, one account, and trouble", bench, _more)
