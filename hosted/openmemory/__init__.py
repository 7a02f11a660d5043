"""What programs written for OpenMemory ask of its REST interface, answered from an account of jmem.

The addresses begin with `/openmemory` where OpenMemory's begin with nothing; docs/openmemory.md maps one to the other.
"""

from __future__ import annotations

from hosted.api.routing import Routes


def groups() -> list[Routes]:
    """Every group of routes."""
    from hosted.openmemory import apps, memories

    return [memories.routes, apps.routes]
