"""Every operation of the API, tried by a stranger with everything of another account, while two layers, or one, hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hosted.conftest import APP, Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.isolation.attack import Leak, Owner, Watch, attack, owner
from tests.hosted.isolation.layers import LAYERS, unfiltering, words_of_everybody
from tests.hosted.isolation.requests import Operation, operations
from tests.hosted.world import World, served

SILENT = {
    "GET /api/v1/sync/hello", "GET /api/v1/auth", "GET /api/v1/account", "DELETE /api/v1/account",
    "POST /api/v1/account/sign-out", "POST /api/v1/keys", "POST /api/v1/connections",
    "GET /openmemory/api/v1/config/", "GET /api/v1/sync/tree", "POST /api/v1/sync/mend",
}  # fmt: skip
"""Operations that show no row: they tell what the token says, sums of hashes, or only make something."""
ENDING = [one for one in operations() if not one.streams]


@dataclass
class Pair:
    """A backend in which some layers hold, and an account in it that others try to reach."""

    layers: str
    world: World
    watch: Watch
    theirs: Owner


@contextlib.contextmanager
def pair_of(layers: str, databases: Databases, supabase: Running) -> Iterator[Pair]:
    name = databases.make()
    behind = databases.cluster.url(name)
    if layers in ("none", "both, not the words"):
        words_of_everybody(behind)
    url = databases.cluster.url(name, APP) if layers.startswith(("both", "policies")) else behind
    with (
        unfiltering(layers in ("policies", "none")),
        served(url, behind, supabase, vectors=False) as world,
        contextlib.closing(Watch(behind)) as watch,
    ):
        yield Pair(layers, world, watch, owner(world))
    databases.drop(name)


@pytest.fixture(scope="module", params=LAYERS)
def pair(request: pytest.FixtureRequest, databases: Databases, supabase: Running) -> Iterator[Pair]:
    with pair_of(request.param, databases, supabase) as made:
        yield made


@pytest.mark.parametrize("operation", ENDING, ids=lambda one: one.name)
def test_nothing_of_another_account_shows_or_changes(pair: Pair, operation: Operation) -> None:
    # what an answer looks like is told by both layers at once; each alone has to hide and to keep
    attack(pair.world, pair.watch, pair.theirs, operation, compare=pair.layers == "both")


def test_words_that_are_looked_up_for_everybody_show_nothing(databases: Databases, supabase: Running) -> None:
    """What the look-up beyond row-level security finds is read again by the tenant."""
    search = next(one for one in ENDING if one.name == "POST /api/v1/search")
    with pair_of("both, not the words", databases, supabase) as pair:
        attack(pair.world, pair.watch, pair.theirs, search)


def test_with_neither_layer_nearly_everything_leaks(databases: Databases, supabase: Running) -> None:
    """Else this suite would show nothing."""
    leaks: dict[str, str] = {}
    with pair_of("none", databases, supabase) as pair:
        for operation in ENDING:
            if operation.name in SILENT:
                continue
            try:
                attack(pair.world, pair.watch, pair.theirs, operation, control=False)
            except Leak as leak:
                leaks[operation.name] = str(leak)
            except AssertionError:
                leaks[operation.name] = ""  # what belongs to everybody can't be used by anybody
    assert {one.name for one in ENDING} - leaks.keys() == SILENT
    assert sum(map(bool, leaks.values())) > len(ENDING) / 2
