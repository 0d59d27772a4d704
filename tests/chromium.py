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
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(reason)
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to run as root with it
    with playwright.sync_playwright() as player:
        try:
            chromium = player.chromium.launch(executable_path=executable, args=options)
        except playwright.Error as error:
            pytest.skip(f"{executable} does not start: {str(error).splitlines()[0]}")
        yield chromium
        chromium.close()
