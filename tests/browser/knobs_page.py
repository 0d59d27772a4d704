"""The explorer of axes through its marks in the page: what a person finds by role and name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PICTURE = ".tg-shown img:not(.tg-before)"


class KnobsPage:
    """The first explorer of axes in the page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.root = page.locator(".tg-knobs").first
        self.keep = self.root.locator("xpath=..").locator(".tg-keep")
        self.share = self.root.get_by_role("textbox", name="this state as text", exact=False)
        self.alert = self.root.get_by_role("alert")
        self.told = self.root.locator("figcaption")

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name).first

    def slider(self, name: str) -> Locator:
        return self.root.get_by_role("slider", name=name, exact=True)

    def number(self, name: str) -> Locator:
        return self.root.get_by_role("spinbutton", name=f"{name} in σ")

    def meter(self, name: str) -> Locator:
        return self.root.get_by_role("group", name=name, exact=True).locator(".tg-meter")

    def picture(self) -> str:
        """The picture on display, by its data."""
        return self.root.locator(PICTURE).get_attribute("src")

    def press(self, name: str, key: str) -> None:
        """A key, with the focus on a slider."""
        self.slider(name).focus()
        self._page.keyboard.press(key)

    def drag(self, name: str, sigmas: float, steps: int = 8) -> None:
        """Drag a slider with the mouse, from where it is to a number of σ."""
        slider = self.slider(name)
        slider.scroll_into_view_if_needed()
        self._page.wait_for_timeout(250)  # JupyterLab arranges a window that changed its size some time later
        slider.element_handle().wait_for_element_state("stable")
        box, reach, thumb = slider.bounding_box(), float(slider.get_attribute("max")), 16
        middle = box["y"] + box["height"] / 2
        places = [
            box["x"] + thumb / 2 + (value + reach) / (2 * reach) * (box["width"] - thumb)
            for value in (float(slider.input_value()), sigmas)
        ]
        self._page.mouse.move(places[0], middle)
        self._page.mouse.down()
        self._page.mouse.move(places[1], middle, steps=steps)
        self._page.mouse.up()

    def expect(self, words: str, seconds: float = 30) -> None:
        """Wait until the picture of a state is on display, such as “seed 3 · age +2 σ”, and not only a sketch of it."""
        from playwright.sync_api import expect

        expect(self.told).to_have_text(words, timeout=1000 * seconds)
        expect(self.root.locator(".tg-shown")).to_have_attribute("aria-busy", "false", timeout=1000 * seconds)
