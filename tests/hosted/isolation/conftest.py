from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosted.identity.conftest import Running


@pytest.fixture(scope="session")
def supabase() -> Iterator[Running]:
    """One double for all of the suite."""
    with Running() as running:
        yield running
