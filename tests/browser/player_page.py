"""The player of a sampling through its marks in the page: what a person finds by role and name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURE = ".tg-box img"


class PlayerPage:
    """The first player in the page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.root = page.locator(".tg-player").first
        self.view = self.root.locator(".tg-view")
        self.slider = self.view.get_by_role("slider", name="picture")
        self.play = self.view.get_by_role("button", name="Play", exact=False)
        self.pause = self.view.get_by_role("button", name="Pause", exact=False)
        self.curve = self.view.get_by_role("img", name=re.compile("^Probability at step"))
        self.told = self.view.locator("figcaption.tg-caption")
        self.keep = self.root.locator(".tg-keep")
        self.again = self.root.get_by_role("button", name="Sample again", exact=False)
        self.status = self.root.locator("> .widget-html")
        self.alert = self.root.get_by_role("alert")

    @property
    def last(self) -> int:
        return int(self.slider.get_attribute("max"))

    def type(self, name: str, value: str) -> None:
        """Give a knob a value by the keyboard."""
        knob = self.root.locator(".widget-inline-hbox", has=self._page.get_by_text(name, exact=True))
        number = knob.locator("input, [contenteditable]").last
        number.fill(value)
        number.press("Enter")

    def press(self, key: str) -> None:
        """A key, with the focus on the slider over the pictures."""
        self.slider.focus()
        self._page.keyboard.press(key)

    def picture(self) -> str:
        """The picture on display, by its data."""
        return self.view.locator(PICTURE).get_attribute("src")

    def expect_step(self, step: int, seconds: float = 30) -> None:
        """Wait until the picture of a step is on display."""
        from playwright.sync_api import expect

        expect(self.view.locator(".tg-counter")).to_have_text(f"Step {step}", timeout=1000 * seconds)
