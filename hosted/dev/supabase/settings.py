"""How one double is set up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from hosted.dev.supabase.signing import Algorithm


@dataclass(slots=True)
class Settings:
    """What a Supabase project's dashboard would hold. Durations are seconds; tests may change fields while it runs."""

    url: str
    """Where the double is reached, with no path: http://127.0.0.1:9999"""
    site_url: str
    """The application that signs its users in here; links return there."""
    publishable_key: str = "sb_publishable_dev"
    secret_key: str = "sb_secret_dev"
    redirects: tuple[str, ...] = ("http://127.0.0.1:*", "http://localhost:*")
    algorithm: Algorithm = "ES256"
    jwt_secret: str | None = None
    path: Path | None = None
    """A SQLite file, or None: memory."""
    autoconfirm: bool = True
    """Whether a sign-up needs no confirmation by mail."""
    token_lifetime: int = 3600
    reuse_interval: float = 10.0
    otp_lifetime: float = 3600.0
    flow_lifetime: float = 300.0
    mail_interval: float = 0.0
    password_length: int = 6
    providers: tuple[str, ...] = ("github", "google")
    dynamic_registration: bool = True
    consent_path: str | None = None
    """The application's page that asks for consent, below `site_url`; None: the double's own."""
    jwks_max_age: int = 600
    clock: Callable[[], float] = time.time

    @property
    def issuer(self) -> str:
        """The `iss` of every token, and the base address of the API."""
        return f"{self.url}/auth/v1"

    def redirect(self, wanted: object) -> str:
        """The address to return to: `wanted` when it is allowed, else the site."""
        if not isinstance(wanted, str) or not wanted:
            return self.site_url
        asked, site = urlsplit(wanted), urlsplit(self.site_url)
        if (asked.scheme, asked.netloc) == (site.scheme, site.netloc):
            return wanted
        origin = f"{asked.scheme}://{asked.netloc}"
        allowed = any(fnmatchcase(origin, pattern) or wanted == pattern for pattern in self.redirects)
        return wanted if allowed and "@" not in asked.netloc else self.site_url
