"""Whole commands at 10,000 memories beside a bare Python process."""

from __future__ import annotations

from bench import floor, text
from bench.fill import filled
from bench.harness import Options, Row, at_most, info, interleaved, main
from bench.home import JMEM, temporary_home


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    rounds = 15 if options.quick else 60
    with temporary_home(filled(10_000, synthetic=options.quick)) as home:
        home.start()
        home.jmem("search", "a question that waits for the model")
        asked = text.questions(rounds + 10, seed=101)
        told = [item["content"] for item in text.memories(rounds + 10, seed=102)]
        bare, search, add, json_search, listing = interleaved(
            rounds,
            [
                lambda n: floor.run(floor.BARE_PYTHON, home.env),
                lambda n: floor.run([JMEM, "search", asked[n]], home.env),
                lambda n: floor.run([JMEM, "add", told[n]], home.env),
                lambda n: floor.run([JMEM, "search", asked[n] + " indeed", "--json"], home.env),
                lambda n: floor.run([JMEM, "list", "-n", "20"], home.env),
            ],
        )
        bare_again, help_ = interleaved(
            max(5, rounds // 3),
            [lambda n: floor.run(floor.BARE_PYTHON, home.env), lambda n: floor.run([JMEM, "--help"], home.env)],
        )
    return [
        at_most("jmem search, a new question", search, bare, 4),
        at_most("jmem add, a new text", add, bare, 4),
        at_most("jmem --help", help_, bare_again, 12),
        info("jmem search --json", json_search.p50, "ms", floor=bare.p50),
        info("jmem list -n 20", listing.p50, "ms", floor=bare.p50),
    ]


if __name__ == "__main__":
    main("commands", "Commands at 10,000 memories (floor: python -c pass)", bench)
