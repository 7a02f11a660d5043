"""The web page: rendered here, made better by htmx, whole without a script."""

from __future__ import annotations

from fastapi import FastAPI


def mount(app: FastAPI) -> None:
    """Add the pages to the app, and have its failures told to browsers as pages. Without services there are none."""
    if app.state.services is None:
        return
    from hosted.web import problems, static_files
    from hosted.web.groups import groups
    from hosted.web.site import Site

    state = app.state
    site = Site(state.backend, state.identity, state.services, getattr(state, "settings", None))
    state.site = site
    app.router.routes.append(static_files.route(site))
    for group in groups():
        app.router.routes.extend(group.routes(site))
    problems.install(app, site)
