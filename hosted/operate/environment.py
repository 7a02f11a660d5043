"""The one place that reads the environment of this process."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hosted.settings import Settings


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of an environment, by default this process's; raises Invalid `setting`."""
    found = os.environ if environment is None else environment
    public_url = found.get("RENDER_EXTERNAL_URL", "")  # where the platform itself tells it
    return Settings.read({"PUBLIC_URL": public_url, **found})
