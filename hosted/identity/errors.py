"""How identity says no: problems that also say, in a header, how to ask better."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from jmem.core.actor import VERBS
from jmem.core.errors import Refused, Unauthorized, Unreachable

REALM = "jmem"


class BadToken(Unauthorized):
    """No token, or one that proves nothing. `headers` carries the challenge of RFC 6750.

    `of` is whose it once was, or still is elsewhere; it is told to nobody who asks.
    """

    code = "bad_token"

    def __init__(
        self, message: str, *, code: str | None = None, missing: bool = False, of: UUID | None = None, **detail: Any
    ) -> None:  # fmt: skip
        super().__init__(message, code=code, fix="sign in again, or send a key that is not revoked", **detail)
        self.missing, self.of = missing, of

    def headers(self, resource_metadata: str | None = None) -> dict[str, str]:
        """WWW-Authenticate; `resource_metadata` is where RFC 9728's document is."""
        said = [f'realm="{REALM}"']
        if not self.missing:  # RFC 6750: a request that tried nothing gets no error
            said += ['error="invalid_token"', f'error_description="{_quotable(self.message)}"']
        if resource_metadata:
            said.append(f'resource_metadata="{_quotable(resource_metadata)}"')
        return {"WWW-Authenticate": "Bearer " + ", ".join(said)}


class MissingScope(Refused):
    """A key or program that is known, and may not do this."""

    code = "missing_scope"

    def __init__(self, needed: str, client: str) -> None:
        super().__init__(f"{client} may not {VERBS.get(needed, needed)}", client=client, scope=needed,
                         fix="give it the permission under connections, or use another key")  # fmt: skip
        self.needed = needed

    def headers(self, resource_metadata: str | None = None) -> dict[str, str]:
        """WWW-Authenticate that names the scope."""
        said = [f'realm="{REALM}"', 'error="insufficient_scope"', f'scope="{_quotable(self.needed)}"']
        if resource_metadata:
            said.append(f'resource_metadata="{_quotable(resource_metadata)}"')
        return {"WWW-Authenticate": "Bearer " + ", ".join(said)}


class IdentityUnavailable(Unreachable):
    """Supabase doesn't answer, so nobody new can be told who they are."""

    code = "identity_unavailable"

    def __init__(self, why: str) -> None:
        super().__init__(f"the sign-in service can't be reached: {why}", fix="try again in a minute")


def _quotable(text: str) -> str:
    """Text for a quoted string in a header."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in text)
