"""What routes and pages reach of identity beyond who asks; the application puts it together once."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from hosted.identity.accounts import Accounts
from hosted.identity.supabase import Supabase


@dataclass(frozen=True, slots=True)
class Services:
    """In `app.state.services`. `public_url` is where people and programs reach this backend."""

    supabase: Supabase
    accounts: Accounts
    public_url: str
    supabase_url: str
    publishable_key: str


def services_of(request: Request) -> Services:
    """The services of the application that a request came to."""
    found: Services = request.app.state.services
    return found
