"""100,000 memories beside 10,000: writes, start, rest, memory, and a rebuild of the index."""

from __future__ import annotations

import contextlib
import time

from bench import text
from bench.fill import filled
from bench.footprint import cold_starts, use_of, uss_mb
from bench.harness import Options, Row, at_most, below, info, interleaved, main, ratio_of
from bench.home import Home, temporary_home, wait_for


def rebuild(home: Home) -> float:
    """Seconds until an index made anew from the kept vectors is whole."""
    with contextlib.closing(home.api(timeout=300)) as api:
        start = time.perf_counter()
        api.must("POST", "/index/rebuild", {"embed": False})

        def whole() -> bool:
            index = api.must("GET", "/index")
            return bool(index["pending"] == 0 and index["points"] >= index["indexed"] > 0 and index["state"] == "ready")

        wait_for(whole, 600, "a whole index")
        return time.perf_counter() - start


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    many, rounds = (30_000, 40) if options.quick else (100_000, 200)
    told = [item["content"] for item in text.memories(2 * rounds + 20, seed=601)]
    with (
        temporary_home(filled(10_000, synthetic=True)) as small,
        temporary_home(filled(many, synthetic=True)) as large,
    ):
        few_starts, _ = cold_starts(small, 5)
        many_starts, _ = cold_starts(large, 5)
        with contextlib.closing(small.api()) as few, contextlib.closing(large.api()) as more:
            small.indexed(300)
            large.indexed(300)
            few_adds, _, more_adds, _ = interleaved(
                rounds,
                [
                    lambda n: few.add(told[2 * n]) and None,
                    lambda n: small.indexed(),
                    lambda n: more.add(told[2 * n + 1]) and None,
                    lambda n: large.indexed(),
                ],
            )
            for question in text.questions(20, seed=602):
                few.search(question)
                more.search(question)
        time.sleep(2)
        few_memory, more_memory = uss_mb(small.start()), uss_mb(large.start())
        few_rest, more_rest = use_of(small.start(), 5), use_of(large.start(), 5)
        took = rebuild(large)
    return [
        at_most(f"add at {many:,}", more_adds, few_adds, 2),
        at_most(f"first answer after a cold start at {many:,}", many_starts, few_starts, 2),
        ratio_of(f"CPU in 5 s at rest at {many:,}", more_rest.cpu_ms, few_rest.cpu_ms, "ms", 2),
        ratio_of(f"private memory at {many:,}", more_memory, few_memory, "MB", 2),
        below(f"index of {many:,} made anew without embedding", took, "s", 60),
        info(f"wake-ups in 5 s at rest at {many:,}", more_rest.wakeups, "", floor=few_rest.wakeups or None),
    ]


if __name__ == "__main__":
    main("scale", "A large store (floor: the same at 10,000)", bench)
