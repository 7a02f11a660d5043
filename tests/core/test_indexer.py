from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jmem.core import purge
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.embed import EmbeddingRefused
from jmem.core.errors import StorageFailed
from jmem.core.feeding import PROBE
from jmem.core.filter import Filter
from jmem.core.indexer import _Command
from jmem.core.model import now_iso
from jmem.core.query import SearchQuery
from jmem.core.texts import text_key

ME = Actor("cli")
Open = Callable[..., Any]


def wait(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def indexed(recall: Any) -> set[str]:
    """Every id in the index, whatever its state."""
    vector = np.ones(recall.embedder.dimension, np.float32)
    return {id for id, _ in recall.index.search(vector, Filter(states=(), expired=True), now_iso(), 1000)}


def test_the_index_follows_every_kind_of_change(recall: Any) -> None:
    one, two, three = recall.add("tea with milk", "coffee, black", "water")
    assert indexed(recall) == {one, two, three}
    recall.service.delete([two], ME)
    recall.service.edit(three, {"content": "sparkling water", "tags": ["drinks"]}, ME)
    assert recall.indexer.wait_idle(10)
    assert indexed(recall) == {one, three}
    assert recall.find("sparkling", mode="vector", tags=("drinks",)) == ["sparkling water"]
    recall.service.undo(ME, n=2)
    assert recall.indexer.wait_idle(10)
    assert indexed(recall) == {one, two, three}
    assert recall.find("water", mode="vector")[0] == "water"
    assert recall.indexer.pending() == 0
    assert recall.indexer.state()["state"] == "ready"


def test_a_change_of_tags_costs_no_embedding(recall: Any) -> None:
    (id,) = recall.add("tea with milk")
    asked = len(recall.embedder.texts)
    recall.service.edit(id, {"tags": ["drinks"], "state": "archived"}, ME)
    assert recall.indexer.wait_idle(10)
    assert len(recall.embedder.texts) == asked
    assert recall.find("tea", mode="vector", states=("archived",), tags=("drinks",)) == ["tea with milk"]


def test_a_restart_embeds_and_applies_nothing_again(open_recall: Open) -> None:
    recall = open_recall()
    ids = recall.add(*(f"note number {i}" for i in range(250)))
    recall.close()
    again = open_recall()
    assert again.indexer.wait_idle(10)
    assert indexed(again) == set(ids)
    assert again.embedder.texts == []


@pytest.mark.parametrize("harm", ["delete", "truncate", "empty mark", "foreign store", "lost points"])
def test_a_harmed_index_mends_itself_from_the_stored_vectors(open_recall: Open, harm: str) -> None:
    recall = open_recall()
    ids = recall.add("tea with milk", "coffee, black", "water")
    if harm == "lost points":
        recall.index.current.delete(ids[:1])
    recall.close()
    folder: Path = recall.folder / "index"
    if harm == "delete":
        shutil.rmtree(folder)
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        if harm == "truncate" and path.name != "watermark.json":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        elif harm == "empty mark" and path.name == "watermark.json":
            path.write_text("")
        elif harm == "foreign store" and path.name == "watermark.json":
            path.write_text(path.read_text().replace(recall.store.store_id, "another"))
    again = open_recall()
    assert again.indexer.wait_idle(10)
    assert indexed(again) == set(ids)
    assert again.embedder.texts == []
    assert again.find("coffee", mode="vector")[0] == "coffee, black"


def test_lost_vectors_are_embedded_again(open_recall: Open) -> None:
    recall = open_recall()
    recall.add("tea with milk", "coffee, black")
    recall.close()
    for path in recall.folder.glob("vectors.db*"):
        path.unlink()
    shutil.rmtree(recall.folder / "index")
    again = open_recall()
    assert again.indexer.wait_idle(10)
    assert sorted(again.embedder.texts) == ["coffee, black", "tea with milk"]


def test_damage_found_by_a_search_is_mended(recall: Any) -> None:
    recall.add("tea with milk", "coffee, black")
    broken = recall.index.current
    broken.release()
    for path in broken.folder.rglob("*"):
        if path.is_file() and path.name != "watermark.json":
            path.write_bytes(b"")
    assert recall.find("coffee")[0] == "coffee, black"  # by its words
    wait(lambda: recall.index.current is not broken and recall.indexer.wait_idle(10))
    assert recall.find("coffee", mode="vector")[0] == "coffee, black"


def test_while_the_embedder_is_away_other_changes_flow(
    open_recall: Open, word_embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jmem.core.indexer.FIRST_PAUSE", 0.05)
    recall = open_recall(word_embedder())
    one, two = recall.add("tea with milk", "coffee, black")
    recall.embedder.broken = True
    recall.service.edit(one, {"content": "green tea"}, ME)
    recall.service.edit(two, {"tags": ["drinks"]}, ME)
    recall.service.add(Draft(content="water"), ME)
    wait(lambda: recall.indexer.state()["state"] == "waiting")
    wait(lambda: recall.indexer.pending() == 2)
    assert indexed(recall) == {two}
    assert recall.find("green tea")[0] == "green tea"
    outcome = recall.searcher.search(SearchQuery("green"))
    assert (outcome.mode, outcome.degraded) == ("text", "the embedder is away")
    recall.embedder.broken = False
    wait(lambda: recall.indexer.wait_idle(1))
    assert len(indexed(recall)) == 3
    assert recall.indexer.state()["error"] is None


def test_writes_while_the_embedder_is_away_do_not_lengthen_the_pause(
    open_recall: Open, word_embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jmem.core.indexer.FIRST_PAUSE", 30.0)
    recall = open_recall(word_embedder())
    recall.add("tea with milk")
    recall.embedder.broken = True
    for n in range(4):
        recall.service.add(Draft(content=f"note {n}"), ME)
        wait(lambda n=n: recall.indexer.pending() == n + 1 and not (recall.indexer._woken or recall.indexer._busy))
    assert recall.indexer._pause == 30.0
    monkeypatch.setattr("jmem.core.indexer.FIRST_PAUSE", 0.01)
    recall.embedder.broken = False
    assert recall.add("water")  # a write tries again at once
    recall.embedder.broken = True
    recall.service.add(Draft(content="coffee"), ME)
    wait(lambda: recall.indexer._pause >= 0.08)  # each try that nothing asked for doubles it


def test_postponed_memories_survive_a_restart(open_recall: Open, word_embedder: Any) -> None:
    away = word_embedder()
    recall = open_recall(away)
    recall.add("tea with milk")
    away.broken = True
    recall.service.add(Draft(content="coffee, black"), ME)
    recall.service.add(Draft(content="water"), ME)
    wait(lambda: recall.indexer.pending() == 2)
    recall.close()
    again = open_recall()
    assert again.indexer.wait_idle(10)
    assert sorted(again.embedder.texts) == ["coffee, black", "water"]
    assert len(indexed(again)) == 3


def test_local_memories_stay_away_from_a_remote_embedder(open_recall: Open, word_embedder: Any) -> None:
    recall = open_recall(word_embedder(remote=True))
    recall.add("the secret code is 4471", privacy="local")
    recall.add("coffee, black")
    assert recall.embedder.texts == ["coffee, black"]
    assert recall.indexer.pending() == 0
    state = recall.indexer.state()
    assert (state["points"], state["expected"]) == (1, 1)
    assert recall.find("secret code")[0] == "the secret code is 4471"
    assert "the secret code is 4471" not in recall.embedder.texts
    recall.close()
    allowed = open_recall(word_embedder(remote=True), allow_remote_for_local=True)
    wait(lambda: allowed.indexer.wait_idle(10) and len(indexed(allowed)) == 2)


def _picky(embedder: Any, refused: set[str]) -> Any:
    """The embedder, which takes no batch that holds one of these texts; `asked` counts its calls."""
    embed = embedder.embed

    def some(texts: Any, *, query: bool = False) -> Any:
        embedder.asked += 1
        if refused & set(texts):
            raise EmbeddingRefused("400: it does not like this text")
        return embed(texts, query=query)

    embedder.embed, embedder.asked = some, 0
    return embedder


def test_one_refused_text_holds_no_other_up(open_recall: Open, word_embedder: Any, tmp_path: Path) -> None:
    refused = {"note 7", "note 8"}
    recall = open_recall(_picky(word_embedder(64, remote=True), refused))
    recall.service.add_many([Draft(f"note {n}") for n in range(30)], ME)
    wait(lambda: recall.index.points() == 28)
    wait(lambda: recall.indexer.state()["state"] == "waiting")
    state = recall.indexer.state()
    assert (state["pending"], state["error"]) == (2, "2 not taken by the embedder: 400: it does not like this text")
    asked = recall.embedder.asked
    assert asked < 20  # by halves
    recall.service.add(Draft("another"), ME)
    wait(lambda: recall.index.points() == 29)
    assert recall.embedder.asked == asked + 1  # the two wait on their own
    with recall.store.reader() as conn:
        (seven,) = (id for (id,) in conn.execute("SELECT id FROM memories WHERE content = 'note 7'"))
    recall.service.edit(seven, {"content": "note seven"}, ME)
    wait(lambda: recall.index.points() == 30)
    recall.close()
    again = open_recall(word_embedder(64, remote=True))  # which takes it
    assert again.indexer.wait_idle(10)
    assert again.embedder.texts == ["note 8"]
    assert again.index.points() == 31


def test_a_refused_text_comes_up_again_after_a_while(
    open_recall: Open, word_embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jmem.core.postponed.FIRST_REFUSAL", 0.1)
    refused = {"water"}
    recall = open_recall(_picky(word_embedder(64), refused))
    recall.service.add_many([Draft("water"), Draft("tea")], ME)
    wait(lambda: recall.index.points() == 1 and recall.indexer.pending() == 1)
    refused.clear()
    assert recall.indexer.wait_idle(10)
    assert recall.index.points() == 2
    assert recall.indexer.state()["error"] is None


def test_an_embedder_that_refuses_everything_is_away(open_recall: Open, word_embedder: Any) -> None:
    recall = open_recall(_picky(word_embedder(64), {PROBE, *(f"note {n}" for n in range(30))}))
    recall.service.add_many([Draft(f"note {n}") for n in range(30)], ME)
    wait(lambda: recall.indexer.state()["state"] == "waiting")
    assert recall.embedder.asked <= 4
    assert recall.indexer.state()["error"] == "400: it does not like this text"


def test_another_embedder_takes_over_though_it_refuses_a_text(open_recall: Open, word_embedder: Any) -> None:
    recall = open_recall(word_embedder(64))
    recall.add("tea with milk", "coffee, black")
    recall.close()
    again = open_recall(_picky(word_embedder(32), {"coffee, black"}))
    wait(lambda: again.index.fingerprint == "words/32" and again.index.filling is None)
    assert again.index.points() == 1


def test_another_embedder_takes_over_when_it_has_caught_up(open_recall: Open, word_embedder: Any) -> None:
    recall = open_recall(word_embedder(64))
    recall.add("tea with milk", "coffee, black")
    recall.close()
    slow = word_embedder(32)
    hold = threading.Event()
    embed = slow.embed
    slow.embed = lambda texts, query=False: (hold.wait(20), embed(texts, query=query))[1]
    again = open_recall(slow)
    wait(lambda: again.index.filling is not None)
    assert again.index.fingerprint == "words/64"
    assert again.find("coffee") == ["coffee, black"]  # by its words: the old embedder is not at hand
    again.service.add(Draft(content="water"), ME)
    hold.set()
    assert again.indexer.wait_idle(20)
    assert again.index.fingerprint == "words/32"
    assert again.index.filling is None
    assert len(indexed(again)) == 3
    assert again.vectors.count("words/64") == 0
    assert len(list((again.folder / "index").iterdir())) == 1


def test_rebuild_from_vectors_and_from_texts(recall: Any) -> None:
    ids = recall.add("tea with milk", "coffee, black")
    before, asked = recall.index.current, len(recall.embedder.texts)
    recall.indexer.rebuild()
    assert recall.indexer.wait_idle(20)
    assert recall.index.current is not before
    assert len(recall.embedder.texts) == asked
    recall.indexer.rebuild(embed=True)
    assert recall.indexer.wait_idle(20)
    assert len(recall.embedder.texts) == asked + 2
    assert indexed(recall) == set(ids)


def test_a_purge_and_a_stop_wait_for_one_batch_only(open_recall: Open, word_embedder: Any) -> None:
    embedder, steps, began = word_embedder(64), threading.Semaphore(0), threading.Semaphore(0)
    recall = open_recall(embedder)
    (gone,) = recall.add("tea with milk")
    embed, sizes = embedder.embed, list[int]()

    def one_at_a_time(texts: Any, **options: Any) -> Any:
        sizes.append(len(texts))
        began.release()
        assert steps.acquire(timeout=20)
        return embed(texts, **options)

    embedder.embed = one_at_a_time
    recall.service.add_many([Draft(f"number {n} " + "long " * 600) for n in range(30)], ME)
    assert began.acquire(timeout=20)
    forgetting = threading.Thread(target=recall.service.purge, args=([gone], ME))
    forgetting.start()
    wait(lambda: bool(recall.indexer._commands))
    steps.release()
    assert began.acquire(timeout=20)  # the next batch begins when the purge is through
    wait(lambda: not recall.vectors.get("words/64", [(gone, text_key("tea with milk", None))]))
    forgetting.join(20)
    assert not forgetting.is_alive()
    stopping = threading.Thread(target=recall.indexer.stop)
    stopping.start()
    wait(lambda: recall.indexer._stopping)
    steps.release()
    stopping.join(20)
    assert not stopping.is_alive()
    assert len(sizes) == 2
    assert max(sizes) <= 3  # of long texts


def test_a_purge_reaches_vectors_and_index_files(open_recall: Open, word_embedder: Any) -> None:
    recall = open_recall(word_embedder(64))
    gone, kept = recall.add("tea with milk", "coffee, black", thread="unmistakable-thread")
    (vector,) = recall.vectors.get("words/64", [(gone, _key(recall, gone))]).values()
    (purged,) = recall.service.purge([gone], ME)
    places = {r.place: r.result for r in purged.receipt}
    assert (places["vectors"], places["vector index"]) == ("erased", "erased")
    assert indexed(recall) == {kept}
    recall.indexer.release()
    assert recall.indexer.wait_idle(10)
    for path in recall.folder.rglob("*"):
        if path.is_file():
            # its deletion may be applied once more after the files are written anew, and stands in their log then
            data = path.read_bytes().replace(b"delete_points\xa1cids\x81x$" + gone.encode(), b"")
            assert vector.tobytes() not in data, path
            assert gone.encode() not in data or path.name in ("memories.db", "memories.db-wal", "purged.jsonl"), path
    recall.close()
    again = open_recall(word_embedder(64))
    assert again.indexer.wait_idle(10)
    assert indexed(again) == {kept}


def test_a_purge_that_the_index_could_not_follow_is_repeated_at_the_next_start(
    open_recall: Open, word_embedder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        raise StorageFailed("less than 64 MiB are free", code="disk_full")

    recall = open_recall(word_embedder(64))
    gone, kept = recall.add("tea with milk", "coffee, black")
    with monkeypatch.context() as patch:
        patch.setattr("jmem.core.shard.check_room", full)
        (purged,) = recall.service.purge([gone], ME)
        places = {r.place: r.result for r in purged.receipt}
        assert places["vector index"] == "to be repeated at the next start: less than 64 MiB are free"
        with recall.store.reader() as conn:
            assert purge.due(conn) == [gone]
        recall.close()
    again = open_recall(word_embedder(64))
    assert again.indexer.wait_idle(10)
    before = again.index.current
    again.service.replay_purges()
    assert again.index.current is not before  # written anew, since deleted bytes stay in its files
    assert again.indexer.wait_idle(10)
    assert indexed(again) == {kept}
    with again.store.reader() as conn:
        assert purge.due(conn) == []


def test_whatever_fails_in_a_purge_of_vectors_is_told_and_the_next_command_is_carried_out(
    recall: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall.add("tea with milk")
    with monkeypatch.context() as patch:
        patch.setattr(recall.vectors, "forget", lambda ids: 1 / 0)
        recall.indexer._commands.append(failing := _Command("forget", ["0199f3a1-c2d4-7b3e-9c1a-0123456789a1"]))
        places = recall.indexer.forget(["0199f3a1-c2d4-7b3e-9c1a-0123456789a2"])
    assert failing.done.wait(10)
    assert [place.done for place in places] == [False, False]
    assert "ZeroDivisionError" in places[0].result
    assert recall.add("coffee, black")


def test_a_purge_the_index_is_still_at_is_not_called_done(recall: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone,) = recall.add("tea with milk")
    hold, forget = threading.Event(), recall.vectors.forget
    monkeypatch.setattr(recall.vectors, "forget", lambda ids: (hold.wait(20), forget(ids))[1])
    monkeypatch.setattr("jmem.core.indexer.FORGET_TIMEOUT", 0.05)
    (purged,) = recall.service.purge([gone], ME)
    hold.set()
    assert {r.place: r.result for r in purged.receipt}["vectors"].endswith("it is still at work")
    with recall.store.reader() as conn:
        assert purge.due(conn) == [gone]


def _key(recall: Any, id: str) -> bytes:
    with recall.store.reader() as conn:
        return bytes(conn.execute("SELECT text_key FROM memories WHERE id = ?", (id,)).fetchone()[0])


def test_released_memory_is_taken_again_at_the_next_use(recall: Any) -> None:
    recall.add("tea with milk")
    recall.indexer.release()
    assert recall.indexer.wait_idle(10)
    wait(lambda: not recall.index.current.loaded)
    assert recall.find("tea", mode="vector") == ["tea with milk"]
    assert recall.index.current.loaded
    recall.indexer.release()
    recall.add("coffee, black")
    assert len(indexed(recall)) == 2


def test_asking_how_the_index_is_leaves_it_released(recall: Any) -> None:
    recall.add("tea with milk")
    recall.indexer.release()
    wait(lambda: not recall.index.current.loaded)
    assert recall.indexer.state()["points"] == 1
    assert not recall.index.current.loaded
    recall.add("coffee, black")
    assert recall.indexer.state()["points"] == 2
    recall.index.drop(recall.index.current)
    assert recall.index.points() == 0


def test_vectors_follow_within_a_second(open_recall: Open, model: Any) -> None:
    recall = open_recall(model)
    recall.add("warm up")
    start = time.monotonic()
    recall.service.add(Draft(content="the spare key is with the neighbour"), ME)
    assert recall.indexer.wait_idle(10)
    assert time.monotonic() - start < 1.0
    assert recall.find("where is another key?", mode="vector")[0] == "the spare key is with the neighbour"


def test_no_thread_is_busy_at_rest(recall: Any) -> None:
    recall.add("tea with milk")
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


def test_a_command_in_the_middle_of_work_loses_none_of_it(recall: Any) -> None:
    recall.service.add_many([Draft(content=f"note number {i}") for i in range(900)], ME)
    for _ in range(3):
        recall.indexer.release()
        wait(lambda: not recall.indexer._commands)
    assert recall.indexer.wait_idle(20)
    assert recall.indexer.pending() == 0
    assert recall.index.points() == 900
