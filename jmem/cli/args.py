"""What a command is given: the values of its parameters, and what it works with."""

from __future__ import annotations

from jmem.core import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from jmem.cli.output import Output
    from jmem.client import Client


class Args:
    """The values of one invocation, by `dest`, with the home, the user, the output and the daemon's client."""

    def __init__(self, values: Mapping[str, Any], environ: Mapping[str, str], out: Output) -> None:
        self.environ = environ
        self.home = places.home(environ)
        self.out = out
        self._client: Client | None = None
        self.__dict__.update(values)
        self.user: str = values.get("user") or environ.get("JMEM_USER") or "default"

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @property
    def daemon(self) -> Client:
        """The client of the daemon; the first request starts one where none runs."""
        if self._client is None:
            from jmem.client import Client

            self._client = Client(self.home, user=self.user, note=self.out.note)
        return self._client
