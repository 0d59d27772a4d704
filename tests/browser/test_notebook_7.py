"""The explorer in Notebook 7: its cell runs, rounds change, a picture is pointed at, and files are downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("notebook", reason="Notebook 7 is not installed")

from tests.browser.jupyter_server import NOTEBOOK_7
from tests.browser.notebook_page import NotebookPage, one_cell, opened
from tests.browser.view_page import ViewPage

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong")
# Notebook 7.6.5 says so of a page whose only cell is `1 + 1`, too: github.com/jupyter/notebook/issues/7862.
OF_NOTEBOOK_ITSELF = "page: Cannot read properties of undefined (reading 'schema')"
CELL = """
import telephonegan as tg
from telephonegan.widgets import ChainExplorer

ChainExplorer(tg.play(text="a dog runs in the grass", rounds=2, progress=False))
"""


@pytest.fixture(scope="module")
def notebook(browser, artefacts, tmp_path_factory) -> Iterator[NotebookPage]:
    folder = tmp_path_factory.mktemp("notebook-7")
    with opened(browser, one_cell(folder, CELL), folder, artefacts / "jupyter-7.log", NOTEBOOK_7) as page:
        yield page


@pytest.fixture
def nothing_goes_wrong(notebook: NotebookPage) -> Iterator[None]:
    yield
    assert [problem for problem in notebook.problems() if problem != OF_NOTEBOOK_ITSELF] == []


@pytest.fixture
def explorer(notebook) -> ViewPage:
    """At round 1."""
    view = ViewPage(notebook.page, 0)
    view.go_to(1)
    return view


def test_the_cell_runs_without_a_complaint(notebook, explorer, screenshot):
    assert notebook.prompts() == ["[1]:"] and explorer.last == 2
    screenshot(notebook.page, "notebook-7")


def test_keys_and_mouse_change_pictures_and_captions(explorer):
    pictures, captions = explorer.shown()
    explorer.press("ArrowRight")
    explorer.expect_round(2)
    later_pictures, later_captions = explorer.shown()
    assert pictures and set(pictures).isdisjoint(later_pictures) and captions != later_captions
    explorer.drag(0.5)
    explorer.expect_round(1)
    assert explorer.shown() == (pictures, captions)


def test_pointing_at_a_word_shows_its_map(explorer):
    maps, source = explorer.root.locator("canvas"), "canvases => canvases.map(canvas => canvas.toDataURL())"
    resting = maps.evaluate_all(source)
    explorer.words.last.hover()
    assert maps.evaluate_all(source) != resting


def test_a_page_of_the_game_is_downloaded(notebook, explorer):
    with notebook.page.expect_download(timeout=120_000) as download:
        explorer.keep.get_by_role("button", name="HTML").click()
    assert Path(download.value.path()).read_bytes().startswith(b"<!DOCTYPE html>")
