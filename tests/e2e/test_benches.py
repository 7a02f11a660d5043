"""The benches themselves: they are listed, say what they do, and call a result over budget what is over budget."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench import harness, text
from bench.__main__ import benches
from bench.harness import Options, Row, Sample

NAMES = {"answers", "commands", "footprint", "imports", "recall", "scale", "push", "soak", "terminal", "writes"}
TWO, FIVE = Sample((1.0, 2.0, 9.0)), Sample((4.0, 5.0, 6.0))


def test_every_bench_is_listed_with_a_sentence() -> None:
    found = benches()
    assert found.keys() >= NAMES
    assert all(found.values())


@pytest.mark.parametrize("name", sorted(NAMES - {"recall"}))
def test_every_bench_takes_the_common_options(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert all(option in done.stdout for option in ("--quick", "--json", "--strict"))


@pytest.mark.parametrize(
    ("row", "ok"),
    [
        (harness.at_most("x", FIVE, TWO, 2.5), True),
        (harness.at_most("x", FIVE, TWO, 2.4), False),
        (harness.at_most("x", FIVE, TWO, 2, plus=1), True),
        (harness.share("x", 90, 100, "/s", 0.9), True),
        (harness.share("x", 89, 100, "/s", 0.9), False),
        (harness.below("x", 5, "ms", 5), False),
        (harness.below("x", 5, "ms", 5, inclusive=True), True),
        (harness.ratio_of("x", 0, 0, "ms", 2), True),
        (harness.ratio_of("x", 10, 0, "ms", 2), False),
        (harness.ratio_of("x", 7, 3, "MB", 2), False),
    ],
)
def test_a_row_knows_its_budget(row: Row, ok: bool) -> None:
    assert row.ok is ok
    assert ("over" in row.cells()[-1]) is not ok


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--strict"], 1)])
def test_only_strict_fails(
    arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bench(options: Options) -> list[Row]:
        assert options.quick
        return [harness.at_most("slow", FIVE, TWO, 1)]

    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--json", *arguments])
    with pytest.raises(SystemExit) as ended:
        harness.main("slow", "Slow", bench)
    assert ended.value.code == code
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert (row["measured"], row["floor"], row["ratio"], row["ok"]) == (5.0, 2.0, 2.5, False)


def test_works_take_turns() -> None:
    order: list[str] = []
    first, second = harness.interleaved(2, [lambda n: order.append(f"a{n}"), lambda n: 7.0], warm=1)
    assert order == ["a0", "a1", "a2"]
    assert len(first.values) == 2
    assert second.values == (7.0, 7.0)


def test_the_text_is_the_same_every_time_and_its_words_are_as_frequent_as_in_english() -> None:
    some, more = list(text.memories(200)), list(text.memories(400))
    assert more[:200] == some
    lengths = [len(item["content"]) for item in more]
    assert 100 < sum(lengths) / len(lengths) < 160
    assert len({item["content"] for item in more}) == 400
    the = sum(" the " in f" {item['content'].lower()} " for item in more)
    assert 0.4 < the / 400 < 0.8
    assert len(set(text.questions(300))) == 300
