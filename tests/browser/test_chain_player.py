"""The player of a sampling under the hands of a person: slider, Play, keyboard, knobs, and what is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.accessibility import serious_findings
from tests.browser.notebook_page import NotebookPage, one_cell, opened
from tests.browser.player_page import PlayerPage

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong")
SCREENS = {"phone": {"width": 390, "height": 844}, "wide": {"width": 1440, "height": 1100}}
CELL = """
from telephonegan.latent import CodeDecoder, Sampler, image_class
from telephonegan.latent.codes import CodeModel
from telephonegan.widgets import ChainPlayer

decoder = CodeDecoder(CodeModel.random(32))
junco = image_class("junco", device="cpu")
sampler = Sampler(decoder, junco, prior=decoder.prior("joint"), n_iters=12, save_every=2, threshold=-1)
ChainPlayer(sampler.run([3], progress=False), sampler)
"""


@pytest.fixture(scope="module")
def notebook(browser, artefacts, tmp_path_factory) -> Iterator[NotebookPage]:
    folder = tmp_path_factory.mktemp("player")
    with opened(browser, one_cell(folder, CELL), folder, artefacts / "jupyter-player.log") as page:
        yield page


@pytest.fixture
def player(notebook) -> PlayerPage:
    """At the picture where its chain begins."""
    found = PlayerPage(notebook.page)
    found.view.wait_for()
    found.press("Home")
    found.expect_step(0)
    return found


def test_the_keyboard_goes_through_the_pictures_and_what_is_said_of_them(player, screenshot):
    from playwright.sync_api import expect

    first, told = player.picture(), player.told.inner_text()
    player.press("ArrowRight")
    player.expect_step(2)
    assert player.picture() != first and player.told.inner_text() != told
    assert re.search(r"junco \d+%", player.slider.get_attribute("aria-valuetext"))
    expect(player.curve).to_have_attribute("aria-label", re.compile("^Probability at step 2: probability"))
    player.press("End")
    player.expect_step(12)
    screenshot(player.root, "player")


def test_the_mouse_drags_through_the_pictures_and_a_click_on_the_curve_goes_there(notebook, player):
    player.slider.element_handle().wait_for_element_state("stable")
    box = player.slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    notebook.page.mouse.move(box["x"] + 8, middle)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + box["width"] / 2, middle, steps=10)
    notebook.page.mouse.up()
    player.expect_step(6)
    curve = player.curve.bounding_box()
    player.curve.click(position={"x": 0.95 * curve["width"], "y": curve["height"] / 2})
    player.expect_step(12)


def test_play_runs_to_the_end_and_escape_stops_it(notebook, player):
    from playwright.sync_api import expect

    player.play.click()
    expect(player.pause).to_be_visible()
    player.expect_step(12)
    expect(player.play).to_be_visible()
    player.press("Home")
    player.play.focus()
    notebook.page.keyboard.press("Enter")
    expect(player.pause).to_be_visible()
    notebook.page.keyboard.press("Escape")
    expect(player.play).to_be_visible()


def test_nothing_moves_while_pictures_change(player):
    def places():
        parts = (player.slider, player.curve, player.keep, player.again)
        return [part.bounding_box() for part in parts]

    before = places()
    for key in ("ArrowRight", "ArrowRight", "End", "Home"):
        player.press(key)
        assert places() == before


def test_the_knobs_sample_again_and_nothing_but_the_pictures_changes(player, screenshot):
    from playwright.sync_api import expect

    player.press("End")
    before, place = player.picture(), player.keep.bounding_box()
    player.type("ε1 prior", "0.5")
    player.type("steps", "8")
    player.again.click()
    expect(player.status).to_contain_text("after 8 steps", timeout=60_000)
    player.expect_step(8)
    assert player.picture() != before and player.last == 4
    assert player.keep.bounding_box() == place
    screenshot(player.root, "player-again")
    player.type("steps", "12")
    player.again.click()
    expect(player.status).to_contain_text("after 12 steps", timeout=60_000)


def test_pictures_are_downloaded_as_an_animation_and_a_strip(notebook, player):
    sizes = {}
    for label in ("PNG", "GIF", "PDF"):
        with notebook.page.expect_download(timeout=120_000) as download:
            player.keep.get_by_role("button", name=label).click()
        path = Path(download.value.path())
        if label == "PDF":
            assert path.read_bytes().startswith(b"%PDF")
            continue
        with Image.open(path) as image:
            sizes[label] = (image.width, getattr(image, "n_frames", 1))
    assert sizes["GIF"][1] == 7 and sizes["PNG"][1] == 1 and sizes["PNG"][0] > 1000


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_it_fits_the_screen_and_can_be_used_by_anybody(notebook, player, screen, theme, screenshot):
    page, before = notebook.page, notebook.page.viewport_size
    side_bar = "jupyterapp.commands.execute('application:toggle-left-area')"
    colours = "name => jupyterapp.commands.execute('apputils:change-theme', {theme: `JupyterLab ${name}`})"
    page.evaluate(side_bar)  # on a phone it would cover the notebook
    page.evaluate(colours, theme.title())
    page.set_viewport_size(SCREENS[screen])
    try:
        page.locator(f"body[data-jp-theme-light={'true' if theme == 'light' else 'false'}]").wait_for(state="attached")
        assert player.root.evaluate("view => view.scrollWidth <= view.clientWidth + 1")
        assert player.slider.bounding_box()["width"] >= 100
        assert serious_findings(page, ".tg-player") == []
        screenshot(player.root, f"player-{screen}-{theme}")
    finally:
        page.set_viewport_size(before)
        page.evaluate(colours, "Light")
        page.evaluate(side_bar)
