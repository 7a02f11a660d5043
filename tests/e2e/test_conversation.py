"""A conversation goes in with `jmem add --lines -` and its questions are answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.home import Home

LINES = Path(__file__).with_name("conversation.txt").read_text(encoding="utf-8").splitlines()
QUESTIONS = [
    ("Who teaches the pottery class?", "Ingrid"),
    ("How did Ben break his wrist?", "falling off my bike"),
    ("What is the name of Ben's dog?", "called Juniper"),
    ("Where did Nora find a new job?", "city library"),
    ("What was Nora's former employer?", "insurance office"),
    ("Which museum does Nora recommend in Lisbon?", "favourite place"),
    ("In which hospital was Nora's mother?", "Saint Anne's"),
    ("Who brings Nora's mother back to Porto?", "Luis"),
    ("How old did Ella become?", "turned nine"),
    ("Which language does Nora study?", "Portuguese"),
    ("What did Ben eat on his trip?", "sardines"),
    ("What happened to Nora's car?", "Renault"),
    ("Which food can Nora not tolerate?", "without dairy"),
    ("What goes into the lentil curry?", "tamarind"),
    ("Did Nora win anything with her ceramics?", "second prize"),
    ("On which days does Ben teach?", "Mondays and Wednesdays"),
    ("Which piece does the choir practise?", "Fauré Requiem"),
    ("How much does the vet ask for the tooth?", "six hundred"),
]


@pytest.fixture(scope="module")
def told(daemon: Home) -> Home:
    done = daemon.jmem("add", "--lines", "-", input="\n".join(LINES) + "\n")
    assert len(set(done.stdout.split())) == len(LINES)
    return daemon


def rank(home: Home, question: str, expected: str) -> int | None:
    found = home.json("search", question, "-n", "10")["results"]
    assert len(found) == 10
    return next((at for at, hit in enumerate(found, 1) if expected in hit["content"]), None)


def test_its_questions_are_answered(told: Home) -> None:
    told.indexed()
    ranks = {question: rank(told, question, expected) for question, expected in QUESTIONS}
    missed = [question for question, at in ranks.items() if at is None]
    assert len(missed) <= 1, missed
    first_five = sum(1 for at in ranks.values() if at and at <= 5)
    assert first_five >= 15, ranks


def test_it_comes_back_in_order_and_whole(told: Home) -> None:
    listed = told.json("list", "-n", "1000", "--sort", "created")["memories"]
    assert [m["content"] for m in listed] == LINES


def test_the_same_lines_again_store_nothing(told: Home) -> None:
    before = told.status()["memories"]
    again = told.jmem("add", "--lines", "-", input="\n".join(LINES) + "\n")
    assert len(set(again.stdout.split())) == len(LINES)
    assert told.status()["memories"] == before
