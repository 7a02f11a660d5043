from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.home import Home
from tests.daemon.harness import Spawned


@pytest.fixture
def spawn(home: Home) -> Iterator[Callable[..., Spawned]]:
    """Starts daemons of the test's home; what is left of them is killed at the end."""
    made: list[Spawned] = []

    def start(**options: Any) -> Spawned:
        made.append(Spawned(options.pop("home", home), **options))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()
