"""An import beside the embedder's own throughput, alone and with four clients asking meanwhile."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path

from bench import text
from bench.floor import EmbedderAlone
from bench.harness import Options, Row, Sample, below, info, main, say, share
from bench.home import Home, temporary_home, wait_for
from jmem.core.embed import embed_text


class Asker(threading.Thread):
    """One client that asks a new question twice a second."""

    def __init__(self, home: Home, seed: int, enough: threading.Event) -> None:
        super().__init__(daemon=True)
        self.home, self.enough = home, enough
        self.took: list[float] = []
        self.asked = iter(text.questions(4000, seed=seed))

    def run(self) -> None:
        """Ask until told to stop."""
        with contextlib.closing(self.home.api()) as api:
            due = time.perf_counter()
            while not self.enough.is_set():
                start = time.perf_counter()
                api.search(next(self.asked))
                self.took.append((time.perf_counter() - start) * 1000)
                due = max(due + 0.5, time.perf_counter())
                self.enough.wait(due - time.perf_counter())


def _import(home: Home, path: Path) -> float:
    """Seconds until everything in the file is stored and has its vector."""
    start = time.perf_counter()
    home.jmem("import", str(path), "--from", "jsonl", timeout=1800)
    with contextlib.closing(home.api()) as api:
        wait_for(lambda: api.must("GET", "/status")["pending_index"] == 0, 1800, "the vectors")
    return time.perf_counter() - start


def _file(home: Home, items: list[dict[str, object]], name: str) -> Path:
    path = home.path.parent / name
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return path


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    count = 1_500 if options.quick else 10_000
    items = list(text.memories(count, seed=303))
    probe = [embed_text(item["content"], item.get("speaker")) for item in text.memories(160, seed=304)]
    half = count // 2
    with temporary_home() as home, EmbedderAlone(home.env) as alone:
        home.start()
        with contextlib.closing(home.api()) as api:
            api.search("a question that waits for the model")
        floors = [alone.texts_per_second(probe)]
        say(f"importing {half:,}")
        quiet = half / _import(home, _file(home, items[:half], "quiet.jsonl"))
        floors.append(alone.texts_per_second(probe))
        say(f"importing {count - half:,} with four clients asking")
        enough = threading.Event()
        askers = [Asker(home, 400 + n, enough) for n in range(4)]
        for asker in askers:
            asker.start()
        asked = (count - half) / _import(home, _file(home, items[half:], "asked.jsonl"))
        enough.set()
        for asker in askers:
            asker.join(30)
        floors.append(alone.texts_per_second(probe))
    floor = Sample(tuple(floors)).p50
    answers = Sample(tuple(ms for asker in askers for ms in asker.took))
    return [
        share(f"import of {half:,}, vectors included", quiet, floor, "/s", 0.9),
        info(f"import of {count - half:,} while 4 clients ask", asked, "/s", floor=floor),
        below("p99 of their answers meanwhile", answers.quantile(0.99), "ms", 250, spread=answers.spread),
        info("answers given meanwhile", len(answers.values), ""),
    ]


if __name__ == "__main__":
    main("imports", "Import (floor: the embedder alone, in batches)", bench)
