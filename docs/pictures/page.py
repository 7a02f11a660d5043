"""Draws the web page's pictures: `python docs/pictures/page.py` starts the backend on this machine and takes them in Chromium.

The picture on the front page (hosted/web/static) and the ones in docs/pictures, each in light and dark.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "hosted" / "web" / "static"
EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
MEMORIES = (
    ("Deploys go out on Tuesdays; nobody deploys on Fridays", ["work"], "cursor"),
    ("Ana's birthday is on 14 March; she likes orchids", ["family"], "claude"),
    ("Use ruff and mypy --strict in every Python project", ["work", "code"], "cursor"),
    ("Sister Mia lives in Lisbon and works at the aquarium", ["family"], "claude"),
    ("Allergic to penicillin", ["health"], "web"),
    ("Usually flies from Logan, never with a layover under an hour", ["travel"], "chatgpt"),
    ("Collects points with two airlines; the gold card is the blue one", ["travel"], "claude"),
    ("Prefers aisle seats on long flights, close to the front", ["travel", "seats"], "claude"),
)


def main() -> None:
    """Start, fill, take the pictures, stop."""
    command = [sys.executable, "-m", "hosted", "dev", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1]) as backend:
        assert backend.stdout is not None
        try:
            ready = json.loads(backend.stdout.readline())
            fill(ready)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
                )
                for scheme in ("light", "dark"):
                    take(browser, ready["url"], scheme)
                browser.close()
        finally:
            backend.terminate()


def fill(ready: dict[str, Any]) -> None:
    """An account with memories of several programs."""
    answer = httpx.post(f"{ready['supabase_url']}/auth/v1/signup", json={"email": EMAIL, "password": PASSWORD},
                        headers={"apikey": ready["publishable_key"]})  # fmt: skip
    headers = {"authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
    for content, tags, client in MEMORIES:
        memory = {"content": content, "tags": tags, "client": client}
        httpx.post(f"{ready['url']}/api/v1/memories", json=memory, headers=headers).raise_for_status()


def take(browser: Browser, url: str, scheme: Any) -> None:
    """The list with a question in it."""
    context = browser.new_context(viewport={"width": 1120, "height": 640}, device_scale_factor=1.5, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{url}/sign-in")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Search your memories").fill("which seat should I book")
    page.locator(".card mark").first.wait_for()
    page.wait_for_timeout(500)
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=STATIC / f"picture-{scheme}.png")
    context.close()


if __name__ == "__main__":
    main()
