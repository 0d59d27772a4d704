"""What axe-core finds wrong with a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


def serious_findings(page: Page, within: str | None = None) -> list[str]:
    """Rules that are broken seriously or critically, each with the first element. Skips the test without axe-core."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="there is no axe-core to check with")
    found = axe.Axe().run(page, context=within).response["violations"]
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {each['nodes'][0]['html']:.200}" for each in grave]
