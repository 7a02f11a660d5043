"""New questions to a running daemon beside the cost of embedding the question alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from bench import text
from bench.fill import filled
from bench.floor import EmbedderAlone
from bench.harness import Options, Row, at_most, below, info, interleaved, main
from bench.home import Home, temporary_home


def _at(size: int, home: Home, rounds: int, socket_times: float, mcp_times: float) -> list[Row]:
    home.start()
    asked = text.questions(4 * (rounds + 10), seed=size)
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(contextlib.closing(home.api()))
        mcp = stack.enter_context(contextlib.closing(home.mcp("bench")))
        alone = stack.enter_context(EmbedderAlone(home.env))
        home.indexed(300)
        api.search("a question that waits for the model")

        def over_mcp(number: int) -> None:
            if mcp.tool("search_memory", query=asked[4 * number + 2]).get("isError"):
                raise AssertionError("search_memory failed")

        works: list[Callable[[int], object]] = [
            lambda n: alone.embed([asked[4 * n]]),
            lambda n: api.search(asked[4 * n + 1]) and None,
            over_mcp,
            lambda n: api.search(asked[4 * n + 3], mode="text") and None,
        ]
        embed, socket, session, words = interleaved(rounds, works, warm=5)
    rows = [
        at_most(f"question over the socket, {size:,} memories", socket, embed, socket_times),
        at_most(f"question over MCP, {size:,} memories", session, embed, mcp_times),
        info(f"question over MCP, p95, {size:,}", session.quantile(0.95), "ms", floor=embed.p50),
    ]
    if size == 10_000:
        rows.append(below(f"mode=text over the socket, {size:,}", words.p50, "ms", 5, spread=words.spread))
    else:
        rows.append(info(f"mode=text over the socket, {size:,}", words.p50, "ms"))
    return rows


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    rounds = 40 if options.quick else 200
    with temporary_home(filled(10_000, synthetic=options.quick)) as home:
        rows = _at(10_000, home, rounds, 2, 2.5)
    if not options.quick:
        with temporary_home(filled(100_000, synthetic=True)) as home:
            rows += _at(100_000, home, rounds, 6, 6)
    return rows


if __name__ == "__main__":
    main("answers", "Answers (floor: embedding the question, nothing else)", bench)
