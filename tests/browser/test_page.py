"""An exported game, opened from the disk in Chromium with the network off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from telephonegan.chains import Chain, Round
from telephonegan.results import Caption, Picture
from tests.browser.accessibility import serious_findings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROUNDS = 8
SENTENCES = [
    "a man in a red coat walks on the beach" if t % 2 else f"a man and {t} dogs in the snow" for t in range(ROUNDS + 1)
]
SCREENS = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


def game() -> Chain:
    """Eight rounds as large as those of the shipped models."""
    numbers, rounds = np.random.default_rng(0), []
    for t, text in enumerate(SENTENCES):
        size, words, before = 128 if t else 512, text.split(), SENTENCES[t - 1].split() if t else []
        image = Image.fromarray(numbers.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((size, size))
        painted = numbers.dirichlet(np.ones(len(before)), (64, 64)).transpose(2, 0, 1) if t else None
        seen = numbers.dirichlet(np.ones(64), len(words)).reshape(-1, 8, 8)
        picture = Picture(image, text=" ".join(before), words=before, attention=painted)
        rounds.append(Round(t, Caption(text, words, [0.5] * len(words), seen, image=image), picture))
    return Chain(rounds[0].picture.image, wanted=ROUNDS, rounds=rounds)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The file, and the seconds it took to write it."""
    played, path = game(), tmp_path_factory.mktemp("export") / "game.html"
    start = time.perf_counter()
    return played.export(path), time.perf_counter() - start


@pytest.fixture(params=[(screen, scheme) for screen in SCREENS for scheme in ("light", "dark")], ids="-".join)
def page(
    request: pytest.FixtureRequest, browser: Browser, exported: tuple[Path, float], artefacts: Path
) -> Iterator[Page]:
    """On a wide and a narrow screen, in both colour schemes; nothing may go wrong meanwhile."""
    screen, scheme = request.param
    context = browser.new_context(viewport=SCREENS[screen], color_scheme=scheme, offline=True)
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if not _is_local(request.url) else None)
    page.goto(exported[0].as_uri())
    yield page
    page.screenshot(path=artefacts / f"page-{screen}-{scheme}.png", full_page=True)
    context.close()
    assert problems == []


@pytest.fixture
def wide(browser: Browser, exported: tuple[Path, float]) -> Iterator[Page]:
    page = browser.new_page(viewport=SCREENS["wide"])
    page.goto(exported[0].as_uri())
    yield page
    page.close()


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


def test_it_is_small(exported, measured):
    path, seconds = exported
    measured["an HTML file of 8 rounds is written"] = 1000 * seconds
    assert path.stat().st_size < 3_000_000


def test_it_fits_the_screen_and_can_be_used_by_anybody(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("slider").fill("3")
    assert page.get_by_text("Round 3 of 8").is_visible()
    assert page.get_by_role("slider").bounding_box()["width"] >= 120
    assert serious_findings(page) == []


def test_the_keyboard_goes_through_rounds_plays_and_stops(wide):
    slider = wide.get_by_role("slider")
    slider.focus()
    wide.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == f"Round 1 of 8: {SENTENCES[1]}"
    wide.get_by_role("button", name="Play").press("Enter")
    wide.get_by_text("Round 2 of 8").wait_for()
    wide.keyboard.press("Escape")
    wide.get_by_role("button", name="Play").wait_for()
    here = slider.get_attribute("aria-valuetext")
    wide.wait_for_timeout(1500)  # longer than a round lasts
    assert slider.get_attribute("aria-valuetext") == here


def test_words_and_pixels_are_linked(wide):
    wide.get_by_role("slider").fill("2")
    word = wide.get_by_role("button", name="beach")
    before = wide.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")
    word.hover()
    assert "beach" in wide.locator(".tg-note").nth(2).inner_text()
    assert wide.locator("canvas").last.evaluate("canvas => canvas.toDataURL()") != before
    wide.locator(".tg-box").first.hover()
    lights = [float(value) for value in wide.locator(".tg-word").evaluate_all(
        "words => words.map(word => word.style.getPropertyValue('--tg-light') || 0)"
    )]  # fmt: skip
    assert max(lights) == 1 and "Here most" in wide.locator(".tg-told").inner_text()


def test_the_arrow_keys_move_a_point_over_the_picture(wide):
    wide.locator(".tg-box[tabindex]").focus()
    wide.keyboard.press("ArrowLeft")
    assert wide.locator(".tg-told").inner_text().startswith("Here most")


def test_words_are_reached_by_tab_and_arrow_keys(wide):
    wide.get_by_role("slider").fill("1")
    first = wide.get_by_role("toolbar").last.get_by_role("button", pressed=True)
    first.focus()
    wide.keyboard.press("ArrowRight")
    assert wide.evaluate("document.activeElement.textContent") == "in"


def test_nothing_moves_and_nothing_flashes_while_the_slider_is_dragged(wide, measured):
    moved = wide.evaluate("""async () => {
        const shifts = []
        new PerformanceObserver(list => shifts.push(...list.getEntries().map(entry => entry.value)))
            .observe({type: "layout-shift", buffered: false})
        const slider = document.querySelector("input[type=range]"), times = []
        let empty = 0
        for (let drag = 0; drag < 200; drag += 1) {
            const start = performance.now()
            slider.value = (drag * 5) % 9
            slider.dispatchEvent(new Event("input"))
            const image = document.querySelector(".tg-box img")
            empty += !(image.complete && image.naturalWidth)
            await new Promise(done => requestAnimationFrame(() => setTimeout(done)))
            times.push(performance.now() - start)
        }
        return {shift: Math.max(0, ...shifts), empty, median: times.sort((a, b) => a - b)[100]}
    }""")
    measured["page: slider until painted, median of 200"] = moved["median"]
    measured["page: largest layout shift of 200 drags, in thousandths"] = 1000 * moved["shift"]
    measured["page: pictures not decoded when shown, of 200"] = moved["empty"]
    assert moved["shift"] <= 0.02
