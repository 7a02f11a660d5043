"""The layers that keep accounts apart in Postgres, of which either alone has to hold.

policies    row-level security; switched off by logging in as the superuser, whom no policy binds
filter      the code's own `user_id = …` in every statement; switched off by taking it out on the way to Postgres
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from hosted.db.security import THE_TENANT
from tests.hosted.world import Behind

LAYERS = ("both", "policies", "filter")
"""Which of them hold."""
_OF_TENANT = re.compile(re.escape(THE_TENANT))
_FILTER = re.compile(r"(?:\b\w+\.)*\buser_id = (\$\d+)(::uuid)?", re.IGNORECASE)


def unfiltered(sql: str) -> str:
    """A statement that takes every account's rows for those of the one that asks."""
    return _FILTER.sub(r"(\1::uuid IS NOT NULL)", sql)


@contextlib.contextmanager
def unfiltering(off: bool) -> Iterator[None]:
    """Statements lose their filter, when `off`."""
    if not off:
        yield
        return
    whole = asyncpg.connection.Connection._get_statement

    async def get(self: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        return await whole(self, unfiltered(query), *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.connection.Connection, "_get_statement", get)
        yield


def words_of_everybody(url: str) -> None:
    """The function that looks up words beyond row-level security forgets to ask for the tenant."""

    with contextlib.closing(Behind(url)) as behind:
        ((told,),) = behind.fetch("SELECT pg_get_functiondef('jmem.matching(tsquery[], integer)'::regprocedure)")
        found = _OF_TENANT.sub("true", told)
        assert found != told
        behind.execute(found)
