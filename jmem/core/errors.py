"""Every failure a user can meet.

    JmemError
    ├── Invalid            bad input; nothing changed                     HTTP 422, exit 2
    │   ├── TooLarge       over a documented limit                        HTTP 413, exit 2
    │   └── SecretFound    the text carries a recognised secret           HTTP 422, exit 6
    ├── NotFound           no memory, client, user or revision like that  HTTP 404, exit 5
    │   └── Ambiguous      an id part that fits several memories          HTTP 409, exit 5
    ├── Conflict           changed since it was read; busy                HTTP 409, exit 6
    ├── Refused            not permitted to this client                   HTTP 403, exit 6
    │   └── RateLimited    not yet: it has made the changes of an hour    HTTP 429, exit 6
    ├── Unauthorized       no or a wrong token                            HTTP 401, exit 4
    ├── Unreachable        no daemon, and none could be started           exit 3
    └── StorageFailed      disk full, read-only, damaged                  HTTP 507, exit 1

`code` is stable and documented in docs/errors.md; `fix` names the command or the field that mends it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much as a bare Python, and every command that fails imports this module
if TYPE_CHECKING:
    from typing import Any


class JmemError(Exception):
    """A failure with a stable code, an HTTP status, an exit code and, where there is one, a remedy."""

    code = "internal"
    status = 500
    exit_code = 1

    def __init__(self, message: str, *, code: str | None = None, fix: str | None = None, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.detail = detail
        if code:
            self.code = code

    def problem(self) -> dict[str, Any]:
        """The RFC 9457 problem document: type, title, status, code, detail, and fix where known."""
        return {
            "type": f"https://jmem.dev/errors/{self.code}",
            "title": self.message,
            "status": self.status,
            "code": self.code,
            **({"fix": self.fix} if self.fix else {}),
            **self.detail,
        }


class Invalid(JmemError):
    """Bad input; nothing changed."""

    code, status, exit_code = "invalid", 422, 2


class TooLarge(Invalid):
    """Over a documented limit."""

    code, status = "too_large", 413


class SecretFound(Invalid):
    """The text carries a recognised secret."""

    code, exit_code = "secret_found", 6


class NotFound(JmemError):
    """No memory, client, user or revision like that."""

    code, status, exit_code = "not_found", 404, 5


class Ambiguous(NotFound):
    """Part of an id that fits several memories."""

    code, status = "ambiguous", 409


class Conflict(JmemError):
    """Changed since it was read, or busy."""

    code, status, exit_code = "conflict", 409, 6


class Refused(JmemError):
    """Not permitted to this client."""

    code, status, exit_code = "refused", 403, 6


class RateLimited(Refused):
    """More writes than this client may do in an hour."""

    code, status = "rate_limited", 429


class Unauthorized(JmemError):
    """No token, or a wrong one."""

    code, status, exit_code = "unauthorized", 401, 4


class Unreachable(JmemError):
    """No daemon, and none could be started."""

    code, status, exit_code = "unreachable", 503, 3


class StorageFailed(JmemError):
    """Disk full, read-only, damaged."""

    code, status = "storage_failed", 507


_EXACT: tuple[type[JmemError], ...] = (
    TooLarge,
    SecretFound,
    NotFound,
    Ambiguous,
    Conflict,
    RateLimited,
    Refused,
    Unauthorized,
    Unreachable,
    StorageFailed,
    Invalid,
)
_BY_STATUS: dict[int, type[JmemError]] = {
    **{kind.status: kind for kind in (Invalid, TooLarge, NotFound, Conflict, Refused, Unauthorized, StorageFailed)},
    410: Unauthorized,
}
"""What a code that no class has as its own stands for; other statuses are plain failures."""


def from_problem(problem: dict[str, Any]) -> JmemError:
    """The error a problem document stands for, with its own code kept, for clients of the daemon."""
    code = str(problem.get("code", "internal"))
    status = int(problem.get("status", 500))
    kind = next((e for e in _EXACT if e.code == code), None) or _BY_STATUS.get(status, JmemError)
    known = {"type", "title", "status", "code", "fix"}
    detail = {k: v for k, v in problem.items() if k not in known}
    return kind(str(problem.get("title", "the daemon failed")), code=code, fix=problem.get("fix"), **detail)
