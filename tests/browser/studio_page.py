"""The studio through its marks in the page: the rules of a game, and the button that plays it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


class StudioPage:
    """The only studio of the page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.root = page.locator(".tg-studio").first
        # By its text: the name that a screen reader hears begins with the glyph of the icon.
        buttons = self.root.locator("button.jupyter-button")
        self.button = buttons.filter(has_text=re.compile(r"^\s*(Play|Stop)\s*$")).first
        self.dice = self.root.get_by_role("button", name="Dice")
        self.status = self.root.locator("> .widget-html")
        self.history = self.root.locator(".widget-toggle-button")
        self._rounds = self.root.get_by_role("slider").first
        self.seed = self.root.get_by_role("spinbutton", name="seed").first

    def choose(self, *, rounds: int, seed: int) -> None:
        """Set the rules of the next game by the keyboard."""
        from playwright.sync_api import expect

        self._rounds.focus()
        for key in ["Home"] + ["ArrowRight"] * (rounds - 1):
            self._page.keyboard.press(key)
        expect(self._rounds).to_have_attribute("aria-valuenow", re.compile(rf"^{rounds}(\.0)?$"))
        self.seed.fill(str(seed))
        self.seed.press("Tab")

    def expect_game(self, *, rounds: int, seed: int, seconds: float = 120) -> None:
        """Wait until a game has been played."""
        from playwright.sync_api import expect

        counted = "1 round" if rounds == 1 else f"{rounds} rounds"
        expect(self.status).to_contain_text(re.compile(f"seed {seed}: {counted}"), timeout=1000 * seconds)
        expect(self.button).to_have_text("Play", timeout=1000 * seconds)
