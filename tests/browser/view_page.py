"""One view of games through its marks in the page: what a person finds by role and name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

VIEWS = ".tg-view[aria-label^='Broken telephone']"


class ViewPage:
    """The view number `index` of those with a slider over rounds, from top to bottom."""

    def __init__(self, page: Page, index: int) -> None:
        self._page = page
        self.root = page.locator(VIEWS).nth(index)
        self.slider = self.root.get_by_role("slider", name="round")
        self.play = self.root.get_by_role("button", name="Play", exact=False)
        self.pause = self.root.get_by_role("button", name="Pause", exact=False)
        self.keep = self.root.locator("xpath=..").locator(".tg-keep")
        self.words = self.root.locator("button.tg-word")

    @property
    def last(self) -> int:
        return int(self.slider.get_attribute("max"))

    def press(self, key: str) -> None:
        """A key, with the focus on the slider."""
        self.slider.focus()
        self._page.keyboard.press(key)

    def go_to(self, index: int) -> None:
        """Show a round, by the keyboard."""
        self.press("Home")
        for _ in range(index):
            self.press("ArrowRight")
        self.expect_round(index)

    def drag(self, share: float) -> None:
        """Drag the slider with the mouse, from where it is to a share of its length."""
        self.slider.scroll_into_view_if_needed()
        box = self.slider.bounding_box()
        middle, here = box["y"] + box["height"] / 2, int(self.slider.input_value()) / self.last
        thumb = 16  # its middle stays so far within the ends
        at = [box["x"] + thumb / 2 + part * (box["width"] - thumb) for part in (here, share)]
        self._page.mouse.move(at[0], middle)
        self._page.mouse.down()
        self._page.mouse.move(at[1], middle, steps=12)
        self._page.mouse.up()

    def expect_round(self, index: int, seconds: float = 20) -> None:
        """Wait until the view says that it shows a round."""
        from playwright.sync_api import expect

        expect(self.root.locator(".tg-counter")).to_have_text(re.compile(f"^Round {index} of"), timeout=1000 * seconds)

    def shown(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The pictures, by their data, and the captions."""
        pictures = self.root.locator(".tg-box img").evaluate_all("images => images.map(image => image.src)")
        return tuple(pictures), tuple(self.root.locator(".tg-words:not(.tg-sizer)").all_inner_texts())
