"""Time in the page, from a real key or click until a person sees what it changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator

# The clock starts with the browser's own time of the event.
_START = """(root, [event, selector]) => {
    const source = () => root.querySelector(selector)?.src
    const before = source()
    window.stopwatch = new Promise((resolve, reject) => document.addEventListener(event, ({timeStamp}) => {
        const observer = new MutationObserver(async () => {
            if (!source() || source() === before) return
            observer.disconnect()
            const there = performance.now() - timeStamp
            await root.querySelector(selector).decode()
            requestAnimationFrame(() => resolve([there, performance.now() - timeStamp]))
        })
        setTimeout(() => reject(new Error('The picture has not changed.')), 20000)
        observer.observe(root, {subtree: true, childList: true, attributes: true})
    }, {capture: true, once: true}))
}"""


def milliseconds_until_another(picture: str, root: Locator, event: str, act: Callable[[], None]) -> tuple[float, float]:
    """Does `act`, which makes an `event`; the first `picture` (CSS, within `root`) becomes another one.

    Returns when that was in the page, and when it was painted.
    """
    root.evaluate(_START, [event, picture])
    act()
    return tuple(root.page.evaluate("window.stopwatch"))
