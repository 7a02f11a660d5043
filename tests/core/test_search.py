from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.fusion import Candidate, demote_superseded, fuse, named_speaker, ranked, z_scores
from jmem.core.query import SearchQuery
from jmem.core.terms import MAX_TERMS, Frequencies, match_any, query_terms

ME = Actor("cli")
Open = Callable[..., Any]
NOTES = (
    "I prefer aisle seats on long flights",
    "My sister Nora is allergic to walnuts",
    "The staging database runs Postgres 15 on port 5433",
    "Rent is due on the third of every month",
    "We adopted Biscuit, a grey tabby, in October 2022",
    "The spare key is with Mrs Lindqvist on the second floor",
    "Our plumber is Henk, he only answers text messages",
    "I broke my left wrist skiing in 2017",
)


# ---- with the model ---------------------------------------------------------------------------


@pytest.fixture
def notes(open_recall: Open, model: Any) -> Any:
    recall = open_recall(model)
    recall.add(*NOTES)
    return recall


def test_questions_find_their_notes_by_meaning_and_words(notes: Any) -> None:
    for question, answer in [
        ("which seat should I book on the plane?", 0),
        ("who in the family has a nut allergy?", 1),
        ("what port does the test DB listen on?", 2),
        ("what kind of cat do we have?", 4),
        ("which bone did I injure?", 7),
    ]:
        assert notes.find(question)[0] == NOTES[answer]
        assert len(notes.find(question)) == len(NOTES)  # the best n, always
    assert notes.find("Henk", mode="text") == [NOTES[6]]
    assert notes.find("where is another key to the flat?", mode="vector")[0] == NOTES[5]


def test_confident_tells_known_from_unknown(notes: Any) -> None:
    assert notes.searcher.search(SearchQuery("which seats do I prefer on flights?")).confident
    assert notes.searcher.search(SearchQuery("who is our plumber?", mode="text")).confident
    assert not notes.searcher.search(SearchQuery("quarterly revenue of the Brazilian subsidiary")).confident
    assert not notes.searcher.search(SearchQuery("zzz unknownword", mode="text")).confident


def test_what_was_just_written_is_found_by_meaning(notes: Any) -> None:
    """Before its vector is in the index: the indexer is held back here by other bulk work."""
    with notes.embedder.gate.bulk():
        notes.service.add(Draft(content="The dentist is Dr. Oyelaran on Mill Street"), ME)
        assert notes.indexer.pending() == 1
        assert notes.find("who looks after my teeth?", limit=1) == ["The dentist is Dr. Oyelaran on Mill Street"]
    assert notes.indexer.wait_idle(10)


def test_explain_shows_both_legs(notes: Any) -> None:
    best = notes.searcher.search(SearchQuery("aisle seats", explain=True)).hits[0].explain
    assert best["text"]["rank"] == 1
    assert best["vector"]["rank"] == 1
    assert best["text"]["score"] > 0
    assert 0.3 < best["vector"]["score"] <= 1
    assert set(best["terms"]) == {"aisle", "seats"}
    assert notes.searcher.search(SearchQuery("aisle seats")).hits[0].explain is None


def test_it_waits_for_a_model_that_loads_and_goes_on_without_one_that_does_not(
    open_recall: Open, word_embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall = open_recall(word_embedder())
    recall.add("tea with milk", "coffee, black")
    hold = threading.Event()
    embed = recall.embedder.embed
    monkeypatch.setattr(recall.embedder, "embed", lambda t, query=False: (hold.wait(20), embed(t, query=query))[1])
    monkeypatch.setattr("jmem.core.search.EMBED_PATIENCE", 0.05)
    outcome = recall.searcher.search(SearchQuery("coffee"))
    assert [hit.memory.content for hit in outcome.hits] == ["coffee, black"]
    assert outcome.mode == "text"
    assert outcome.degraded
    hold.set()
    monkeypatch.setattr("jmem.core.search.EMBED_PATIENCE", 20)
    outcome = recall.searcher.search(SearchQuery("coffee"))
    assert (outcome.mode, outcome.degraded) == ("hybrid", None)


def test_query_vectors_are_kept_until_a_purge(recall: Any) -> None:
    ids = recall.add("tea with milk", "coffee, black")
    recall.find("a drink")
    recall.find("a drink")
    assert recall.embedder.texts.count("a drink") == 1
    recall.service.purge([ids[0]], ME)
    recall.find("a drink")
    assert recall.embedder.texts.count("a drink") == 2


# ---- filters, folding, order ------------------------------------------------------------------


def test_filters_hold_in_every_mode(recall: Any) -> None:
    recall.add("alpha one", tags=("work",), thread="t", source="mail", occurred_at="2026-01-05")
    recall.add("alpha two", tags=("home", "work"), privacy="local", occurred_at="2026-02-05")
    recall.add("alpha three", state="archived")
    recall.add("alpha four", expires_at="2020-01-01")
    live = {"alpha one", "alpha two"}
    for mode in ("hybrid", "text", "vector"):
        for filter, wanted in [
            ({}, live),
            ({"tags": ("work",)}, live),
            ({"tags": ("work", "home")}, {"alpha two"}),
            ({"visible": ("home",)}, {"alpha two"}),
            ({"visible": ()}, set()),
            ({"clients": ("cli",)}, live),
            ({"clients": ("claude",)}, set()),
            ({"states": ("archived",)}, {"alpha three"}),
            ({"states": (), "expired": True}, {*live, "alpha three", "alpha four"}),
            ({"since": "2026-02-01T00:00:00.000Z", "until": "2026-03-01T00:00:00.000Z"}, {"alpha two"}),
            ({"privacy": "local"}, {"alpha two"}),
            ({"thread": "t"}, {"alpha one"}),
            ({"source": "mail"}, {"alpha one"}),
        ]:
            assert set(recall.find("alpha", mode=mode, **filter)) == wanted, (mode, filter)


def test_a_scope_does_not_learn_from_the_context_what_hidden_neighbours_say(recall: Any) -> None:
    recall.add("the biopsy was clear", tags=("private",), thread="t")
    recall.add("we meet on monday", tags=("work",), thread="t")
    assert "we meet on monday" in recall.find("biopsy", mode="text")
    assert recall.find("biopsy", mode="text", visible=("work",)) == []
    assert recall.find("monday", mode="text", visible=("work",)) == ["we meet on monday"]


def test_confidence_tells_a_scope_nothing_of_hidden_words(recall: Any) -> None:
    recall.add("the budget is due", tags=("work",))
    scope = Filter(visible=("work",))
    questions = [SearchQuery(f"budget {word}", filter=scope, mode="text") for word in ("flugelhorn", "unknownword")]
    before = [recall.searcher.search(question).confident for question in questions]
    recall.add(*(f"flugelhorn lesson {n}" for n in range(30)), tags=("private",))
    assert [recall.searcher.search(question).confident for question in questions] == before == [True, True]


@pytest.mark.parametrize("mode", ["hybrid", "text"])
def test_scores_and_order_tell_a_scope_nothing_of_hidden_words(recall: Any, mode: str) -> None:
    recall.add("the budget is due in march", "a flugelhorn for the march", "the march budget", tags=("work",))
    recall.add(*(f"work note {n} about the office and the garden" for n in range(5)), tags=("work",))
    questions = [
        SearchQuery(text, filter=Filter(visible=("work",)), mode=mode)
        for text in ("budget flugelhorn", "march flugelhorn garden", "budget march unknownword", "flugelhorn")
    ]

    def answers() -> list[list[tuple[str, float]]]:
        found = [recall.searcher.search(question) for question in questions]
        return [[(hit.memory.id, hit.score) for hit in outcome.hits] for outcome in found]

    before = answers()
    assert [hits[0][0] != hits[-1][0] for hits in before[:3]] == [True] * 3
    recall.add(*(f"flugelhorn lesson {n} with a rather long text about it" for n in range(60)), tags=("private",))
    recall.add(*(f"garden {n}" for n in range(60)), tags=("private",))
    assert answers() == before
    assert recall.find("flugelhorn", mode=mode, visible=("work",))[0] == "a flugelhorn for the march"


def test_words_that_are_rare_in_a_scope_weigh_more_there(recall: Any) -> None:
    recall.add(*(f"meeting number {n}" for n in range(20)), tags=("work",))
    recall.add("meeting about the budget", tags=("work",))
    found = recall.find("the meeting on the budget", mode="text", visible=("work",))
    assert found[0] == "meeting about the budget"
    assert len(found) == 10


def test_many_archived_ones_do_not_crowd_out_the_active(recall: Any) -> None:
    recall.add(*(f"alpha alpha alpha {i}" for i in range(450)), state="archived")
    recall.add("alpha and a lot of other words that make it rank below them")
    for mode in ("hybrid", "text", "vector"):
        assert len(recall.find("alpha", mode=mode)) == 1


def test_a_deleted_or_edited_memory_never_comes_back_from_a_leg(recall: Any) -> None:
    one, two = recall.add("alpha one", "alpha two")
    with recall.embedder.gate.bulk():
        recall.service.delete([one], ME)
        recall.service.edit(two, {"content": "beta"}, ME)
        for mode in ("hybrid", "text", "vector"):
            assert "alpha one" not in recall.find("alpha", mode=mode)
            assert "alpha two" not in recall.find("alpha", mode=mode)


def test_equal_texts_are_folded(recall: Any) -> None:
    ids = recall.add("Alpha beta", "alpha  BETA", "alpha gamma")
    hits = recall.searcher.search(SearchQuery("alpha beta")).hits
    assert len(hits) == 2
    assert {hits[0].memory.id, *hits[0].also} == set(ids[:2])
    assert len(recall.searcher.search(SearchQuery("alpha beta", fold=False)).hits) == 3
    assert len(recall.searcher.search(SearchQuery("alpha beta", limit=1)).hits) == 1


def test_what_supersedes_stands_above(recall: Any) -> None:
    (old,) = recall.add("we meet on tuesday at nine for the weekly planning")
    (new,) = recall.add("planning moved to friday", supersedes=old)
    recall.add(*(f"unrelated number {i}" for i in range(30)))
    outcome = recall.searcher.search(SearchQuery("when do we meet on tuesday", explain=True))
    order = [hit.memory.id for hit in outcome.hits]
    assert order.index(new) < order.index(old)
    assert order.index(new) == 0
    assert outcome.hits[order.index(old)].explain["superseded_by"] == new
    recall.service.delete([new], ME)
    assert recall.find("when do we meet on tuesday")[0].startswith("we meet on tuesday")


def test_scores_fall_and_lie_between_0_and_1(recall: Any) -> None:
    recall.add(*(f"alpha {'beta ' * i}" for i in range(20)))
    scores = [hit.score for hit in recall.searcher.search(SearchQuery("alpha beta", limit=20)).hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_limits_up_to_a_thousand(recall: Any) -> None:
    recall.add(*(f"alpha {i}" for i in range(700)))
    assert len(recall.find("alpha", limit=1000)) == 700
    assert len(recall.find("nothing alike", limit=1000, mode="vector")) == 700


def test_bad_questions_are_refused(recall: Any) -> None:
    for query in (SearchQuery("   "), SearchQuery("\0"), SearchQuery("x", mode="magic"), SearchQuery("x", limit=0)):
        with pytest.raises(Invalid):
            recall.searcher.search(query)


@pytest.mark.parametrize(
    "query",
    ['"', "*", "NEAR(", "a AND", "NOT", "col:x", "^x", "-x", "(", "😀", "\ud800x", "\0x", "x" * 65536, "word " * 13000,
     "text:alpha", "alpha*", '"alpha', "alpha; DROP TABLE memories", "你好", "%s {} \\"],
)  # fmt: skip
def test_no_query_is_syntax(recall: Any, query: str) -> None:
    recall.add("alpha text", "another")
    for mode in ("hybrid", "text", "vector"):
        recall.searcher.search(SearchQuery(query, mode=mode))


def test_stored_vectors_serve_while_the_index_is_empty(recall: Any) -> None:
    recall.add(*(f"alpha {i}" for i in range(10)))
    recall.index.current.delete([m.id for m in recall.service.list(Filter(), ME).memories])
    asked = len(recall.embedder.texts)
    hits = recall.searcher.search(SearchQuery("alpha 7", explain=True)).hits
    assert hits[0].memory.content == "alpha 7"
    assert all(hit.explain["vector"]["score"] is not None for hit in hits)
    assert recall.embedder.texts[asked:] == ["alpha 7"]


def test_an_empty_store_answers(recall: Any) -> None:
    outcome = recall.searcher.search(SearchQuery("anything"))
    assert (outcome.hits, outcome.confident) == ([], False)


def test_searches_run_while_the_index_is_rebuilt(recall: Any) -> None:
    recall.add(*(f"alpha {i}" for i in range(300)))
    failures: list[Any] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            outcome = recall.searcher.search(SearchQuery("alpha 7"))
            if outcome.degraded or not outcome.hits or outcome.hits[0].memory.content != "alpha 7":
                failures.append(outcome)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        recall.indexer.rebuild()
        assert recall.indexer.wait_idle(30)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


# ---- pure parts -------------------------------------------------------------------------------


def candidate(number: int, **fields: Any) -> Candidate:
    return Candidate(number, f"id{number}", "2026-01-01T00:00:00.000Z", **fields)


def test_terms() -> None:
    assert query_terms("When did Caroline go to the LGBTQ support-group?") == [
        "caroline",
        "go",
        "lgbtq",
        "support",
        "group",
    ]
    assert query_terms("what is that?") == ["what", "is", "that"]
    assert query_terms("😀 !!") == []
    assert len(query_terms(" ".join(f"w{i}" for i in range(500)))) == MAX_TERMS
    assert match_any(["a", "b"]) == '"a" OR "b"'


def test_frequent_terms_are_counted_rather_than_scored(recall: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jmem.core.terms.SCORED_ROWS", 3)
    monkeypatch.setattr("jmem.core.terms.MOST_SCORED_ROWS", 3)
    recall.add(
        *(f"common rare{i}" for i in range(3)), *(f"common thing number {i}" for i in range(3)), *["x", "y", "z", "q"]
    )
    with recall.store.reader() as conn:
        weighed = Frequencies().weigh(conn, ["common", "rare1", "absent"])
    assert (weighed.scored, weighed.counted) == (("rare1",), ())  # in more than half of the rows
    assert weighed.dropped == ("common",)
    with recall.store.reader() as conn:
        weighed = Frequencies().weigh(conn, ["number", "rare1"])
    assert (weighed.scored, weighed.counted) == (("rare1",), ("number",))
    assert recall.find("rare1 number", mode="text")[0] == "common rare1"


def test_z_scores() -> None:
    assert z_scores([]) == []
    assert z_scores([1.0, 1.0]) == [0.0, 0.0]
    assert z_scores([None, None]) == [0.0, 0.0]
    one, none, two = z_scores([0.0, None, 2.0])
    assert (one, none, two) == (-1.0, 0.0, 1.0)


def test_fusion_prefers_what_both_legs_like_and_the_named_speaker() -> None:
    both = candidate(1, lexical=2.0, vector=0.6)
    words = candidate(2, lexical=2.0, vector=0.1)
    meaning = candidate(3, vector=0.6)
    neither = candidate(4, lexical=0.1, vector=0.1)
    now = "2026-11-22T00:00:00.000Z"
    assert fuse([neither, meaning, words, both], "q", now)[0] is both
    ann, bob = candidate(5, speaker="Ann", vector=0.5), candidate(6, speaker="Bob", vector=0.5)
    assert fuse([bob, ann], "what did Ann say?", now)[0] is ann
    assert named_speaker("ann and bob", ["Ann", "Bob"]) is None
    assert named_speaker("Annabel", ["Ann"]) is None
    assert named_speaker("c++ (or so)", ["c++", "("]) == "c++"
    new = Candidate(7, "new", "2026-11-21T00:00:00.000Z", vector=0.5)
    old = Candidate(8, "old", "2020-11-21T00:00:00.000Z", vector=0.5)
    assert fuse([old, new], "q", now)[0] is new


def test_chains_and_circles_of_supersession() -> None:
    first, second, third = (candidate(i) for i in (1, 2, 3))
    first.total, second.total, third.total = 3.0, 2.0, 1.0
    order = demote_superseded(ranked([first, second, third]), {"id1": "id2", "id2": "id3"})
    assert order[0] is third
    first.total, second.total = 3.0, 2.0
    circle = demote_superseded([first, second], {"id1": "id2", "id2": "id1"})
    assert [c.id for c in circle] == ["id1", "id2"]


def test_the_filter_type_is_what_the_service_gives(recall: Any) -> None:
    recall.add("alpha", tags=("a",))
    hits = recall.service.search(SearchQuery("alpha", filter=Filter(tags=("a",))), Actor("claude", tags=("b",))).hits
    assert hits == []
