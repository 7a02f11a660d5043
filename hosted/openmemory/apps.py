"""Programs, counts and configuration as OpenMemory's clients ask for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fastapi import Response

from hosted.api.routing import Call, Routes, answer
from hosted.identity.principal import bearer
from hosted.openmemory import answers
from hosted.openmemory.access import PREFIX, header, program
from hosted.openmemory.asks import AppsQuery, OpenQuery, PageQuery
from jmem.core.accesses import Access
from jmem.core.errors import NotFound
from jmem.core.filter import Filter
from jmem.core.model import MAX_LIMIT

routes = Routes("openmemory", PREFIX, proofs=(bearer, header), any_query=True)
_STATES = ("active", "paused", "archived")


@routes.route("GET", "/apps/", AppsQuery, "Programs", answers={200: answers.Apps}, who=program, also=("/apps",))
async def list_apps(call: Call, ask: AppsQuery) -> Response:
    """Whoever wrote a memory, or is among the newest 1,000 accesses."""
    found = await _apps(call)
    if ask.name:
        found = [app for app in found if ask.name.lower() in app["name"]]
    if ask.is_active is not None:
        found = [app for app in found if app["is_active"] == ask.is_active]
    column = {"memories": "total_memories_created", "memories_accessed": "total_memories_accessed"}.get(
        ask.sort_by, "name"
    )
    found.sort(key=lambda app: (app[column], app["name"]), reverse=ask.sort_direction.lower() == "desc")
    shown = found[(ask.page - 1) * ask.page_size : ask.page * ask.page_size]
    return answer({"total": len(found), "page": ask.page, "page_size": ask.page_size, "apps": shown})


@routes.route("GET", "/apps/{app_id}", OpenQuery, "A program", answers={200: answers.AppDetails}, problems=(404,), who=program,
              also=("/apps/{app_id}/",))  # fmt: skip
async def get_app(call: Call, ask: OpenQuery) -> Response:
    """How much it wrote and got."""
    app = await _app(call)
    times = [one.at for one in await _accesses(call, app["name"])]
    return answer({**app, "first_accessed": times[-1] if times else None, "last_accessed": times[0] if times else None})


@routes.route("GET", "/apps/{app_id}/memories", PageQuery, "What a program wrote", answers={200: answers.AppMemories},
              problems=(404,), who=program, also=("/apps/{app_id}/memories/",))  # fmt: skip
async def app_memories(call: Call, ask: PageQuery) -> Response:
    """Newest first."""
    filter = Filter(clients=((await _app(call))["name"],), states=_STATES)
    total = await call.memories.count(filter, call.actor)
    found = await call.memories.list(filter, call.actor, limit=ask.page_size, offset=(ask.page - 1) * ask.page_size)
    shown = answers.fitting("memories", found.memories)
    return answer({"total": total, "page": ask.page, "page_size": ask.page_size, **shown})


@routes.route("GET", "/apps/{app_id}/accessed", PageQuery, "What a program got", answers={200: answers.AppAccessed},
              problems=(404,), who=program, also=("/apps/{app_id}/accessed/",))  # fmt: skip
async def app_accessed(call: Call, ask: PageQuery) -> Response:
    """In its newest 1,000 accesses, what it got most often first; for a key without restriction."""
    counts = Counter(got.id for one in await _accesses(call, (await _app(call))["name"]) for got in one.answers)
    shown = counts.most_common()[(ask.page - 1) * ask.page_size : ask.page * ask.page_size]
    memories = []
    for id, count in shown:
        try:
            memory = await call.memories.get(id, call.actor, deleted=True)
        except NotFound:  # forgotten since
            continue
        memories.append({"memory": answers.item(memory), "access_count": count})
    return answer({"total": len(counts), "page": ask.page, "page_size": ask.page_size, "memories": memories})


@routes.route("GET", "/stats/", OpenQuery, "Counts", answers={200: answers.Stats}, who=program, also=("/stats",))
async def stats(call: Call, ask: OpenQuery) -> Response:
    """Of memories that are not deleted, and of programs."""
    apps = await _apps(call)
    total = await call.memories.count(Filter(states=_STATES), call.actor)
    return answer({"total_memories": total, "total_apps": len(apps), "apps": apps})


@routes.route(
    "GET", "/config/", OpenQuery, "Configuration", answers={200: answers.Config}, who=program, also=("/config",)
)
async def config(call: Call, ask: OpenQuery) -> Response:
    """What this backend runs on; it is the operator's, and can't be changed here."""
    settings = call.request.app.state.settings
    embedder = settings.embedder_provider or ("openai" if settings.openai_api_key else "bundled")
    model = settings.embedder_model if embedder == "openai" else embedder
    llm = (
        {"provider": settings.llm_provider, "config": {"model": settings.openai_model}}
        if settings.llm_provider
        else None
    )
    return answer({
        "openmemory": {"custom_instructions": None},
        "mem0": {"llm": llm, "embedder": {"provider": embedder, "config": {"model": model}}, "vector_store": None},
    })  # fmt: skip


async def _apps(call: Call) -> list[dict[str, Any]]:
    wrote: dict[str, int] = (await call.memories.stats(call.actor))["clients"]
    got: dict[str, set[str]] = {}
    for one in await _accesses(call):
        got.setdefault(one.client, set()).update(answer.id for answer in one.answers)
    return [
        {"id": answers.app_id(name), "name": name, "is_active": True, "total_memories_created": wrote.get(name, 0),
         "total_memories_accessed": len(got.get(name, ()))}
        for name in sorted({*wrote, *got})
    ]  # fmt: skip


async def _app(call: Call) -> dict[str, Any]:
    asked = call.params["app_id"].lower()
    for app in await _apps(call):
        if app["id"] == asked:
            return app
    raise NotFound("there is no such app", code="unknown_client", id=asked, fix="see /openmemory/api/v1/apps/")


async def _accesses(call: Call, client: str | None = None) -> Sequence[Access]:
    """The newest accesses; none for a key with restrictions, which may not know of what others do."""
    if not call.actor.unrestricted:
        return ()
    return await call.memories.accesses(call.actor, client=client, limit=MAX_LIMIT)
