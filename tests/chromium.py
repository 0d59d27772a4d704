"""Headless Chromium. Where there is none, the tests that need it are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    reason = "there is no browser to test with: `pip install -e '.[dev]'` and `apt install chromium` bring one"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip(reason)
    with playwright.sync_playwright() as player:
        try:
            opened = chromium(player)
        except playwright.Error as error:
            pytest.skip(f"Chromium does not start: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


def chromium(player: Any) -> Any:
    """The browser of this machine; `player` is playwright's."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to run as root with it
    executable = next(filter(None, map(shutil.which, BROWSERS)))
    return player.chromium.launch(executable_path=executable, args=options)
