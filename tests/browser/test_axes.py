"""Knobs on painted faces under the hands of a person: mouse, keyboard, and what is then seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from PIL import Image

from tests.browser.accessibility import serious_findings
from tests.browser.knobs_page import PICTURE, KnobsPage
from tests.browser.notebook_page import NotebookPage, one_cell, opened
from tests.browser.stopwatch import milliseconds_until_another

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong")
SCREENS = {"phone": {"width": 390, "height": 844}, "wide": {"width": 1440, "height": 1100}}
START = "seed 3"
CELL = """
from telephonegan.generation import Generator
from telephonegan.latent import AxisSet, Walk
from telephonegan.widgets import AxisExplorer

AxisExplorer(Walk(Generator.load("faces"), AxisSet.load("faces"), seed=3))
"""


@pytest.fixture(scope="module")
def notebook(browser, artefacts, tmp_path_factory) -> Iterator[NotebookPage]:
    folder = tmp_path_factory.mktemp("axes")
    with opened(browser, one_cell(folder, CELL), folder, artefacts / "jupyter-axes.log") as page:
        yield page


@pytest.fixture
def explorer(notebook) -> KnobsPage:
    """As it was at first."""
    found = KnobsPage(notebook.page)
    found.root.wait_for()
    found.share.fill("tg1;faces;3;;;;")
    found.share.press("Enter")
    found.expect(START)
    return found


def test_dragging_a_knob_changes_the_picture_and_is_one_step_of_undo(explorer, screenshot):
    before = explorer.picture()
    explorer.drag("age", 2)
    explorer.expect(f"{START} · age +2 σ")
    assert explorer.picture() != before and explorer.number("age").input_value() == "2"
    screenshot(explorer.root, "axes")
    explorer.button("Undo").click()
    explorer.expect(START)
    assert explorer.picture() == before and explorer.slider("age").input_value() == "0"
    explorer.button("Redo").click()
    explorer.expect(f"{START} · age +2 σ")


def test_a_locked_knob_stays_and_its_meter_tells_so_while_another_moves(explorer, screenshot):
    from playwright.sync_api import expect

    explorer.button("lock brightness").click()
    expect(explorer.slider("brightness")).to_be_disabled(timeout=30_000)
    explorer.drag("warmth", 2)
    explorer.expect(f"{START} · warmth +2 σ")
    expect(explorer.meter("brightness")).to_have_attribute("aria-label", re.compile("locked"), timeout=30_000)
    expect(explorer.meter("warmth")).to_have_attribute("aria-label", re.compile(r"\+[01]\.[1-9]"))
    screenshot(explorer.root, "axes-locked")
    explorer.button("unlock brightness").click()
    expect(explorer.slider("brightness")).to_be_enabled(timeout=30_000)


def test_the_keyboard_alone_moves_locks_and_takes_back(notebook, explorer):
    from playwright.sync_api import expect

    explorer.press("sex", "ArrowRight")
    explorer.expect(f"{START} · sex +0.1 σ")
    explorer.press("sex", "Control+z")
    explorer.expect(START)
    explorer.press("sex", "Control+y")
    explorer.expect(f"{START} · sex +0.1 σ")
    explorer.press("sex", "l")
    expect(explorer.button("unlock sex")).to_be_visible(timeout=30_000)
    outline = "element => getComputedStyle(document.activeElement).outlineStyle"
    explorer.press("age", "Shift+Tab")
    assert explorer.root.evaluate(outline) == "solid"


def test_a_number_can_be_typed_and_a_wrong_one_is_explained(explorer):
    from playwright.sync_api import expect

    explorer.number("age").fill("5.25")
    explorer.number("age").press("Enter")
    explorer.expect(f"{START} · age +5.25 σ")
    explorer.number("age").fill("99")
    explorer.number("age").press("Enter")
    expect(explorer.alert).to_contain_text("from -20 to 20 σ", timeout=30_000)
    explorer.button("age: younger").click()
    explorer.expect(f"{START} · age +4.85 σ")
    expect(explorer.alert).to_have_count(0, timeout=30_000)


def test_the_start_is_seen_while_the_button_is_held(notebook, explorer):
    explorer.drag("brightness", -2)
    explorer.expect(f"{START} · brightness -2 σ")
    start = explorer.root.locator(".tg-before")
    assert not start.is_visible()
    explorer.button("Hold to compare").hover()
    notebook.page.mouse.down()
    assert start.is_visible() and not explorer.root.locator(PICTURE).is_visible()
    notebook.page.mouse.up()
    assert not start.is_visible() and explorer.root.locator(PICTURE).is_visible()


def test_a_shared_text_restores_the_state(explorer):
    explorer.drag("age", 3)
    explorer.expect(f"{START} · age +3 σ")
    shared, picture = explorer.share.input_value(), explorer.picture()
    explorer.button("Random").click()
    explorer.root.get_by_text(re.compile(r"seed \d{1,4} · age \+3 σ")).wait_for()
    explorer.share.fill(shared)
    explorer.share.press("Enter")
    explorer.expect(f"{START} · age +3 σ")
    assert explorer.picture() == picture


def test_pictures_and_walks_are_downloaded(notebook, explorer):
    explorer.drag("age", 2)
    explorer.expect(f"{START} · age +2 σ")
    sizes = {}
    for label in ("PNG", "Film strip", "GIF"):
        with notebook.page.expect_download(timeout=120_000) as download:
            explorer.keep.get_by_role("button", name=label).click()
        with Image.open(Path(download.value.path())) as image:
            sizes[label] = (image.size, getattr(image, "n_frames", 1) > 1)
    assert sizes["PNG"] == ((64, 64), False) and sizes["GIF"] == ((256, 256), True)
    assert sizes["Film strip"][0][0] > 1000


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_it_fits_the_screen_and_can_be_used_by_anybody(notebook, explorer, screen, theme, screenshot):
    page, before = notebook.page, notebook.page.viewport_size
    explorer.drag("age", 2)
    explorer.expect(f"{START} · age +2 σ")
    side_bar = "jupyterapp.commands.execute('application:toggle-left-area')"
    colours = "name => jupyterapp.commands.execute('apputils:change-theme', {theme: `JupyterLab ${name}`})"
    page.evaluate(side_bar)  # on a phone it would cover the notebook
    page.evaluate(colours, theme.title())
    page.set_viewport_size(SCREENS[screen])
    try:
        page.locator(f"body[data-jp-theme-light={'true' if theme == 'light' else 'false'}]").wait_for(state="attached")
        assert explorer.root.evaluate("view => view.scrollWidth <= view.clientWidth + 1")
        assert explorer.slider("age").bounding_box()["width"] >= 100
        assert serious_findings(page, ".tg") == []
        screenshot(explorer.root, f"axes-{screen}-{theme}")
    finally:
        page.set_viewport_size(before)
        page.evaluate(colours, "Light")
        page.evaluate(side_bar)


def test_latency_of_a_knob(explorer, measured):
    def elapsed(key):
        return milliseconds_until_another(PICTURE, explorer.root, "keydown", lambda: explorer.press("age", key))

    times = [elapsed("ArrowRight") for _ in range(30)]  # to pictures that were never painted
    there, painted = zip(*times, strict=True)
    measured[f"knob: from the key until the new picture is in the page, median of {len(times)}"] = median(there)
    measured["knob: until it is painted, median"] = median(painted)
    measured["knob: until it is painted, the slowest"] = max(painted)
    explorer.expect(f"{START} · age +3 σ")
