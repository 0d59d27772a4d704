"""One view with a slider over rounds, through its marks in the page: an explorer or a comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_RECORD = """root => {
    const round = () => root.querySelector('.widget-html')?.textContent.match(/Round ([0-9]+)/)?.[1]
    window.rounds = [round()]
    const observer = new MutationObserver(() => {
        if (round() && round() !== window.rounds.at(-1)) window.rounds.push(round())
    })
    observer.observe(root, {subtree: true, childList: true, characterData: true})
}"""
_FETCH = "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"


class ViewPage:
    """The view number `index` of those with a slider over rounds, from top to bottom."""

    def __init__(self, page: Page, index: int) -> None:
        self._page = page
        bar = page.locator(".widget-hbox:has(> .widget-play)").nth(index)
        self.root = bar.locator("xpath=..")
        self.slider = bar.get_by_role("slider")
        self.play, self.stop, _ = (bar.locator(".widget-play button").nth(i) for i in range(3))
        self.playing = bar.locator(".widget-play .fa-pause")
        self.pictures = self.root.locator("img.widget-image")
        self.captions = self.root.locator(".widget-html")
        self.words = self.root.locator(".widget-toggle-buttons button")

    @property
    def last(self) -> int:
        return int(float(self.slider.get_attribute("aria-valuemax")))

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
        """Drag the slider with the mouse, to a share of its length."""
        self.slider.scroll_into_view_if_needed()
        handle = self.slider.bounding_box()
        line = self.slider.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]").bounding_box()
        self._page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
        self._page.mouse.down()
        self._page.mouse.move(line["x"] + share * line["width"], handle["y"] + handle["height"] / 2, steps=12)
        self._page.mouse.up()

    def expect_round(self, index: int, seconds: float = 20) -> None:
        """Wait until the slider, the caption and all pictures are those of a round."""
        from playwright.sync_api import expect

        milliseconds = 1000 * seconds
        expect(self.slider).to_have_attribute("aria-valuenow", f"{index:.1f}", timeout=milliseconds)
        expect(self.captions.first).to_contain_text(f"Round {index} of", timeout=milliseconds)
        for picture in self.pictures.all():
            expect(picture).to_have_js_property("complete", True, timeout=milliseconds)

    def recorded(self) -> Callable[[], list[int]]:
        """From now on records which rounds the caption tells of; the function that is returned gives them."""
        self.root.evaluate(_RECORD)
        return lambda: [int(number) for number in self._page.evaluate("window.rounds")]

    def shown(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Checksums of the pictures' bytes, and the captions."""
        files = [bytes(picture.evaluate(_FETCH)) for picture in self.pictures.all()]
        return tuple(hashlib.sha256(file).hexdigest() for file in files), tuple(self.captions.all_inner_texts())
