"""What a program asks over MCP is seen by whoever listens over HTTP, at once and with the reasons."""

from __future__ import annotations

import socket
from contextlib import closing

from bench.home import Home
from tests.daemon.test_events import Listener
from tests.mcp.raw import Session


def test_a_search_over_mcp_reaches_the_listener(home: Home) -> None:
    with closing(home.api()) as api:
        api.add("The boat is moored in the north harbour")
        session = Session(str(home.json("connect", "watched", "--print")["http"]), hello=True)
        listener = Listener(home.socket_path, "?access=true")
        try:
            assert listener.event()[0] == "start"
            found = session.tool("search_memory", query="where is the boat moored")
            while (access := listener.events(1, "access")[0])["client"] != "watched":
                pass  # the access log writes behind the answers: something earlier
            assert (access["what"], access["query"]) == ("search", "where is the boat moored")
            assert access["count"] == len(found["structuredContent"]["memories"])
            (told,) = api.must("GET", "/access?client=watched&what=search&content=true")["accesses"]
            assert told["id"] == access["id"]
            best = told["answers"][0]
            assert (best["rank"], best["content"]) == (1, "The boat is moored in the north harbour")
            assert best["legs"]["text"]["rank"] == best["legs"]["vector"]["rank"] == 1
            assert (best["changed"], best["gone"]) == (False, False)
            assert api.must("GET", f"/access?client=watched&after={access['id']}")["accesses"] == []
        finally:
            listener.socket.shutdown(socket.SHUT_RDWR)
            listener.socket.close()
