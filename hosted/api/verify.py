"""What a device compares itself with: the account's hash tree, the ops of single memories, and rows folded anew."""

from __future__ import annotations

from fastapi import Response
from pydantic_core import to_json

from hosted.api.routing import Call, Routes, answer
from hosted.identity.principal import owner
from hosted.ops import tree
from jmem.core.wire.base import Ask, Query
from sync import protocol

routes = Routes("verify")


class _Tree(Query, protocol.TreeQuery):
    """Which part of the tree."""


class _Log(Query, protocol.LogQuery):
    """Which memory, and where to go on."""


class _Mend(Ask, protocol.MendAsk):
    """Which memories."""


@routes.route("GET", "/sync/tree", _Tree, "A part of the hash tree", answers={200: protocol.TreeAnswer}, who=owner)
async def hash_tree(call: Call, ask: _Tree) -> Response:
    """The nodes below the root; with `under`, the buckets below some of those, or the memories of some buckets."""
    found = await tree.part(call.backend.database, call.principal.user_id, protocol.listed(ask.under))
    leaves = [leaf.as_dict(id) for id, leaf in sorted(found.leaves.items())]
    return answer({"seq": found.seq, "memories": found.memories, "nodes": found.nodes, "leaves": leaves})


@routes.route("GET", "/sync/log", _Log, "The ops of memories", answers={200: protocol.LogAnswer}, who=owner)
async def memory_log(call: Call, ask: _Log) -> Response:
    """In the order of their stamps, whole; those of the memories in `then` come after them. Nothing for a memory that the
    account does not know."""
    ids = [ask.id, *protocol.listed(ask.then)]
    texts, more = await tree.log_of(
        call.backend.database, call.principal.user_id, ids, ask.behind or "", protocol.MAX_PUSH_OPS
    )
    body = b'{"ops":[' + ",".join(texts).encode() + b"]," + to_json({"more": more})[1:]
    return Response(body, media_type="application/json")


@routes.route("POST", "/sync/mend", _Mend, "Fold rows anew", answers={200: protocol.MendAnswer}, who=owner)
async def mend(call: Call, ask: _Mend) -> Response:
    """What a memory is follows from its ops: where a row says something else, it is made what they add up to."""
    mended = await tree.mend(call.backend.database, call.backend.bus, call.principal.user_id, ask.ids)
    return answer({"mended": mended})
