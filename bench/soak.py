"""kill -9 at random moments in a stream of acknowledged writes from four clients."""

from __future__ import annotations

import argparse

from bench.harness import Options, Row, Sample, below, info, main, say
from bench.home import temporary_home
from bench.writers import Killing


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    kills = options.rest.kills or (5 if options.quick else 40)
    with temporary_home() as home:
        killing = Killing(home, seed=options.rest.seed)
        rounds = []
        for number in range(kills):
            rounds.append(killing.round(number))
            for what in (*rounds[-1].lost, *rounds[-1].back, *rounds[-1].strange, *killing.failures):
                say(f"kill {number + 1}: {what}")
        home.indexed()
        home.jmem("doctor")
    commands = Sample(tuple(r.next_command_ms for r in rounds))
    return [
        info("kills", kills, ""),
        info("acknowledged writes", killing.acknowledged, ""),
        below("acknowledged and lost", sum(len(r.lost) for r in rounds), "", 0, inclusive=True),
        below("deleted and back", sum(len(r.back) for r in rounds), "", 0, inclusive=True),
        below("there and never asked for", sum(len(r.strange) for r in rounds), "", 0, inclusive=True),
        below("answers that were errors", len(killing.failures), "", 0, inclusive=True),
        info("next command, p50", commands.p50, "ms"),
        info("next command, slowest", max(commands.values), "ms"),
    ]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this bench."""
    parser.add_argument("--kills", type=int, help="how often (40; 5 with --quick)")
    parser.add_argument("--seed", type=int, default=1)


if __name__ == "__main__":
    main("soak", "Killed while writing", bench, arguments)
