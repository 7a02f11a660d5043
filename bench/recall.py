"""Recall: where the memories that answer a question land, through the daemon, without any model judging.

One conversation is one user, one turn one memory, imported with its thread, time and speaker. Headline: R@10
over LoCoMo's categories 1 to 4; 5 (adversarial) stands beside. The floor is plain FTS5 over the same texts.
`confident` is asked of every question in its own conversation and in the next one, which can't know.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.harness import Options, Row, main, say
from bench.home import Api, Home, temporary_home, wait_for

HERE = Path(__file__).parent
LOCOMO = HERE.parent.parent / "shared" / "data" / "locomo-dev.json"
NOTES = HERE / "data" / "notes.json"
DEPTH = 20
TARGET = 0.77
METRICS = ("R@1", "R@5", "R@10", "R@20", "MRR", "nDCG@10")
_DATES = ("%I:%M %p on %d %B, %Y", "%I:%M %p on %d %b, %Y")


@dataclass(frozen=True)
class Conversation:
    """One user's memories, as `jmem import` takes them, and what is asked of them."""

    name: str
    memories: list[dict[str, Any]]
    questions: list[dict[str, Any]]


def load(path: Path, captions: bool = False) -> list[Conversation]:
    """The conversations of a file in LoCoMo's form or in that of bench/data."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(raw, list):
        return [_locomo(sample, captions) for sample in raw]
    return [Conversation(c["id"], c["memories"], c["questions"]) for c in raw["conversations"]]


def _locomo(sample: dict[str, Any], captions: bool) -> Conversation:
    talk, memories = sample["conversation"], []
    numbers = sorted(int(key.split("_")[1]) for key in talk if re.fullmatch(r"session_\d+", key) and talk[key])
    for number in numbers:
        moment = _moment(talk.get(f"session_{number}_date_time", ""))
        for turn in talk[f"session_{number}"]:
            caption = f" [shared image: {turn['blip_caption']}]" if captions and turn.get("blip_caption") else ""
            memories.append(
                {
                    "id": turn["dia_id"], "content": turn["text"] + caption, "speaker": turn["speaker"],
                    "thread": f"{sample['sample_id']}/{number}", "occurred_at": moment,
                }
            )  # fmt: skip
    known = {memory["id"] for memory in memories}
    questions = []
    for question in sample["qa"]:
        named = [f"D{a}:{b}" for e in question.get("evidence", []) for a, b in re.findall(r"D:?(\d+):0*(\d+)", e)]
        gold = [id for id in dict.fromkeys(named) if id in known]
        if gold:
            questions.append({"question": question["question"], "gold": gold, "category": question["category"]})
    return Conversation(sample["sample_id"], memories, questions)


def _moment(text: str) -> str | None:
    for form in _DATES:
        with contextlib.suppress(ValueError):
            return datetime.strptime(text.strip(), form).strftime("%Y-%m-%dT%H:%M:%SZ")
    return None


# ---- what is measured -------------------------------------------------------------------------

Search = Callable[[Conversation, str], list[str]]


def score(ranked: Sequence[str], gold: Sequence[str]) -> dict[str, float]:
    """Recall at k, reciprocal rank of the first answer, nDCG@10 with equal gains."""
    at = [rank for rank, id in enumerate(ranked) if id in set(gold)]
    values = {f"R@{k}": sum(rank < k for rank in at) / len(gold) for k in (1, 5, 10, 20)}
    values["MRR"] = 1 / (at[0] + 1) if at else 0.0
    best = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(gold))))
    values["nDCG@10"] = sum(1 / math.log2(rank + 2) for rank in at if rank < 10) / best
    return values


def run(search: Search, conversations: Sequence[Conversation]) -> dict[int, list[dict[str, float]]]:
    """Scores of every question with an answer, by category."""
    found: dict[int, list[dict[str, float]]] = {}
    for conversation in conversations:
        for question in conversation.questions:
            if question["gold"]:
                ranked = search(conversation, question["question"])
                found.setdefault(question["category"], []).append(score(ranked, question["gold"]))
    return found


def mean(scores: dict[int, list[dict[str, float]]], categories: Sequence[int], metric: str) -> float:
    """The mean score of some categories of questions."""
    values = [s[metric] for c in categories for s in scores.get(c, ())]
    return sum(values) / len(values) if values else 0.0


class Floor:
    """Plain FTS5: porter, the words of the question joined with OR, bm25."""

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        self._databases: dict[str, sqlite3.Connection] = {}
        for conversation in conversations:
            db = self._databases[conversation.name] = sqlite3.connect(":memory:")
            db.execute("CREATE VIRTUAL TABLE t USING fts5 (id UNINDEXED, text, tokenize = 'porter unicode61')")
            rows = [(m["id"], f"{m.get('speaker') or ''} {m['content']}") for m in conversation.memories]
            db.executemany("INSERT INTO t VALUES (?, ?)", rows)

    def __call__(self, conversation: Conversation, question: str) -> list[str]:
        match = " OR ".join(f'"{word}"' for word in re.findall(r"[^\W_]+", question.lower()))
        sql = "SELECT id FROM t WHERE t MATCH ? ORDER BY bm25(t) LIMIT ?"
        return [id for (id,) in self._databases[conversation.name].execute(sql, (match, DEPTH))]

    def close(self) -> None:
        """Close the databases."""
        for db in self._databases.values():
            db.close()


class Daemon:
    """jmem as its users have it: imported and searched over the socket, one user a conversation."""

    def __init__(self, home: Home, mode: str) -> None:
        self._home, self._mode = home, mode
        self._open: tuple[str, Api] | None = None
        self._ids: dict[str, dict[str, str]] = {}
        self.confident: dict[tuple[str, str], bool] = {}

    def _api(self, conversation: Conversation) -> Api:
        """One connection at a time: the daemon closes those that are idle."""
        if self._open is None or self._open[0] != conversation.name:
            self.close()
            self._open = conversation.name, self._home.api(user=conversation.name.lower())
        return self._open[1]

    def take(self, conversation: Conversation) -> None:
        """Store a conversation."""
        api = self._api(conversation)
        own: dict[str, str] = {}
        for start in range(0, len(conversation.memories), 500):
            chunk = conversation.memories[start : start + 500]
            adds = [{"op": "add", **{k: v for k, v in m.items() if k != "id" and v is not None}} for m in chunk]
            answer = api.must("POST", "/memories/batch", {"operations": adds})
            for memory, result in zip(chunk, answer["results"], strict=True):
                own[result["memory"]["id"]] = memory["id"]  # of equal memories the first is kept
        self._ids[conversation.name] = own
        wait_for(lambda: api.must("GET", "/index")["state"] == "ready", 600, "a full index")

    def __call__(self, conversation: Conversation, question: str) -> list[str]:
        answer = self._api(conversation).search(question, limit=DEPTH, mode=self._mode, fold=False)
        self.confident[conversation.name, question] = answer["confident"]
        return [self._ids[conversation.name][hit["id"]] for hit in answer["results"]]

    def is_confident(self, conversation: Conversation, question: str) -> bool:
        """Whether the daemon thinks that it knows something about a question."""
        return bool(self._api(conversation).search(question, limit=1, mode=self._mode)["confident"])

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            self._open[1].close()


# ---- the table --------------------------------------------------------------------------------


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    path: Path = options.rest.data or (LOCOMO if LOCOMO.exists() else NOTES)
    conversations = load(path, options.rest.captions)
    if options.quick:
        conversations = [Conversation(c.name, c.memories, c.questions[::4]) for c in conversations[:2]]
    floor = Floor(conversations)
    with temporary_home() as home, contextlib.closing(floor):
        home.start()
        with contextlib.closing(Daemon(home, options.rest.mode)) as daemon:
            for conversation in conversations:
                say(f"{conversation.name}: importing {len(conversation.memories):,} memories")
                daemon.take(conversation)
            say("asking")
            plain, found = run(floor, conversations), run(daemon, conversations)
            rows = list(_rows(plain, found))
            rows += _confidence(daemon, conversations, 3 if not options.quick else 12)
    say(f"{path.name}: {sum(map(len, found.values())):,} questions with an answer")
    return rows


def _rows(plain: dict[int, list[dict[str, float]]], found: dict[int, list[dict[str, float]]]) -> Iterator[Row]:
    main_categories = [c for c in found if c != 5]
    for metric in METRICS:
        measured, floor = (100 * mean(scores, main_categories, metric) for scores in (found, plain))
        budget, ok = ("", True) if metric != "R@10" else (f"≥ {100 * TARGET:g}", measured >= 100 * TARGET)
        yield Row(f"{metric}, categories 1–4", round(measured, 2), "%", budget, ok, round(floor, 2), measured / floor)
    if 5 in found:
        measured, floor = (100 * mean(scores, [5], "R@10") for scores in (found, plain))
        yield Row(
            "R@10, category 5 (adversarial)", round(measured, 2), "%", "", True, round(floor, 2), measured / floor
        )


def _confidence(daemon: Daemon, conversations: Sequence[Conversation], every: int) -> list[Row]:
    """Rates of `confident` where the answer is known, and where it can't be."""
    known = [daemon.confident[c.name, q["question"]] for c in conversations for q in c.questions
             if q["gold"] and q["category"] != 5]  # fmt: skip
    foreign = [(c, q["question"]) for c in conversations for q in c.questions if not q["gold"]]
    for conversation, other in zip(conversations, [*conversations[1:], conversations[0]], strict=True):
        if other is not conversation:
            foreign += [(conversation, q["question"]) for q in other.questions[::every]]
    unknown = [daemon.is_confident(c, question) for c, question in foreign]
    right, wrong = (100 * sum(values) / max(1, len(values)) for values in (known, unknown))
    return [
        Row("confident where the answer is known", round(right, 1), "%", "≥ 80", right >= 80),
        Row("confident where it can't be known", round(wrong, 1), "%", "≤ 20", wrong <= 20),
    ]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="a file in LoCoMo's form or in that of bench/data")
    parser.add_argument("--mode", choices=("hybrid", "text", "vector"), default="hybrid")
    parser.add_argument("--captions", action="store_true", help="LoCoMo's image captions as part of the turns")


if __name__ == "__main__":
    main("recall", "Recall", bench, _options)
