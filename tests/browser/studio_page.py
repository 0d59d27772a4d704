"""The studio through its marks in the page: the rules of a game, and the button that plays it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

GAME = ".widget-hbox:has(> .widget-play) ~ * img.widget-image"  # the pictures of the game that is shown


class StudioPage:
    """The only studio of the page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        controls = page.locator(".widget-box:has(> .widget-vbox > .widget-dropdown)")
        self.root = controls.locator("xpath=..")
        self.button = self.root.locator("button.mod-primary")
        self.status = self.root.locator("> .widget-html")
        self._rounds = controls.get_by_role("slider").first
        self._seed = controls.get_by_role("spinbutton", name="seed")

    def choose(self, *, rounds: int, seed: int) -> None:
        """Set the rules of the next game by the keyboard."""
        self._rounds.focus()
        for key in ["Home"] + ["ArrowRight"] * (rounds - 1):
            self._page.keyboard.press(key)
        self._seed.fill(str(seed))
        self._seed.press("Tab")

    def expect_busy(self) -> None:
        """Wait until the models are at work and nothing can be pressed."""
        from playwright.sync_api import expect

        expect(self.button).to_contain_text("Playing")
        expect(self.button).to_be_disabled()
        expect(self._seed).to_be_disabled()

    def expect_game(self, *, rounds: int, seed: int, seconds: float = 60) -> None:
        """Wait until a game has been played."""
        from playwright.sync_api import expect

        counted = "1 round" if rounds == 1 else f"{rounds} rounds"
        expect(self.status).to_contain_text(f"{counted} with seed {seed}", timeout=1000 * seconds)
        expect(self.button).to_be_enabled(timeout=1000 * seconds)
