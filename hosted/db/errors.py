"""What the database's own refusals mean to who asked."""

from __future__ import annotations

from jmem.core.errors import JmemError

SQLSTATE_DELETED = "JM410"
"""What triggers raise when something is written for an account that was deleted meanwhile."""


class AccountDeleted(JmemError):
    """The account was deleted; what is on the person's own machines is untouched."""

    code, status, exit_code = "account_deleted", 410, 4

    def __init__(self) -> None:
        super().__init__("this account was deleted", fix="sign up anew; memories on your own machines are untouched")


def of_database(error: BaseException) -> AccountDeleted | None:
    """What the database meant that refused a write, when it was one after the account's end."""
    nested: BaseException | None = error
    while nested is not None:
        if getattr(nested, "sqlstate", None) == SQLSTATE_DELETED:
            return AccountDeleted()
        nested = getattr(nested, "orig", None) or nested.__cause__
    return None
