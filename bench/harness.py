"""What every bench shares: samples with their spread, interleaving, and the table of results."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one thing, in milliseconds unless the bench says otherwise."""

    values: tuple[float, ...]

    @property
    def p50(self) -> float:
        """The median, in the unit of the sample."""
        return statistics.median(self.values)

    def quantile(self, q: float) -> float:
        """The q-quantile by nearest rank, q in 0..1."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, max(0, round(q * len(ordered) + 0.5) - 1))]

    @property
    def spread(self) -> str:
        """The middle half, as `12.1–13.0`."""
        return f"{self.quantile(0.25):.3g}–{self.quantile(0.75):.3g}"


def timed(work: Callable[[], Any]) -> float:
    """Wall milliseconds of one call."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def interleaved(rounds: int, works: Sequence[Callable[[int], Any]], *, warm: int = 2) -> list[Sample]:
    """Time each of `works` once a round, in turn, so that a noisy moment hits the floor and the measured alike.

    Each gets the round's number, so that it can do something new every time. A work may return its own
    milliseconds (a float) instead of being timed from outside.
    """
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds + warm):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            own = work(number)
            wall = (time.perf_counter() - start) * 1000
            if number >= warm:
                times.append(own if isinstance(own, float) else wall)
    return [Sample(tuple(times)) for times in taken]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    measure: str
    measured: float
    unit: str
    budget: str
    ok: bool
    floor: float | None = None
    ratio: float | None = None
    spread: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def cells(self) -> list[str]:
        """The Markdown cells."""
        return [
            self.measure,
            f"{_number(self.measured)} {self.unit}" + (f" ({self.spread})" if self.spread else ""),
            "" if self.floor is None else f"{_number(self.floor)} {self.unit}",
            "" if self.ratio is None else f"{self.ratio:.2f}×",
            self.budget,
            "ok" if self.ok else "**over**",
        ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def at_most(measure: str, measured: Sample, floor: Sample, times: float, *, plus: float = 0.0) -> Row:
    """Medians: measured <= times x floor + plus."""
    budget = f"≤ {times:g}×" + (f" + {plus:g} ms" if plus else "")
    ratio = measured.p50 / floor.p50
    ok = measured.p50 <= times * floor.p50 + plus
    return Row(measure, measured.p50, "ms", budget, ok, floor.p50, ratio, measured.spread)


def ratio_of(measure: str, measured: float, floor: float, unit: str, times: float, *, slack: float = 0.0) -> Row:
    """Single values: measured <= times x floor + slack (in the unit)."""
    ratio = measured / floor if floor else (1.0 if measured <= slack else float("inf"))
    budget = f"≤ {times:g}×" + (f" + {slack:g} {unit}" if slack else "")
    return Row(measure, measured, unit, budget, measured <= times * floor + slack, floor, ratio)


def share(measure: str, measured: float, floor: float, unit: str, at_least: float) -> Row:
    """A throughput: measured >= at_least x floor."""
    ratio = measured / floor
    return Row(measure, measured, unit, f"≥ {at_least:g}×", ratio >= at_least, floor, ratio)


def below(measure: str, measured: float, unit: str, limit: float, *, spread: str = "", inclusive: bool = False) -> Row:
    """An absolute limit."""
    ok = measured <= limit if inclusive else measured < limit
    return Row(measure, measured, unit, f"{'≤' if inclusive else '<'} {limit:g} {unit}", ok, spread=spread)


def info(measure: str, measured: float, unit: str, *, floor: float | None = None) -> Row:
    """A number without a budget."""
    ratio = measured / floor if floor else None
    return Row(measure, measured, unit, "", True, floor, ratio)


def markdown(title: str, rows: Iterable[Row]) -> str:
    """The table, with its title."""
    head = "| measure | measured | floor | ratio | budget | |\n|---|---|---|---|---|---|"
    return "\n".join([f"### {title}", "", head, *("| " + " | ".join(row.cells()) + " |" for row in rows)])


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    quick: bool
    rest: argparse.Namespace


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def main(
    name: str,
    title: str,
    bench: Callable[[Options], list[Row]],
    more: Callable[[argparse.ArgumentParser], None] | None = None,
) -> None:
    """Run one bench as a command: Markdown (or JSON) on stdout; 1 only with --strict and a row over budget."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=title)
    parser.add_argument("--quick", action="store_true", help="a smaller run")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a row is over its budget")
    if more:
        more(parser)
    args = parser.parse_args()
    started = time.monotonic()
    rows = bench(Options(args.quick, args))
    took = time.monotonic() - started
    if args.json:
        document = {"bench": name, "quick": args.quick, "seconds": round(took, 1), "rows": [asdict(r) for r in rows]}
        print(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        print(markdown(title + (" (quick)" if args.quick else ""), rows))
        print(f"\n{took:.0f} s")
    sys.exit(1 if args.strict and not all(row.ok for row in rows) else 0)
