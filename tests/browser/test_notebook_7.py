"""The same notebook in Notebook 7: it runs, its widgets are alive, and files are downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("notebook", reason="Notebook 7 is not installed")

from tests.browser.jupyter_server import NOTEBOOK_7

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong")


@pytest.fixture(scope="module")
def front_end():
    return NOTEBOOK_7


def test_all_cells_run_without_a_complaint(notebook, screenshot):
    assert [text for text in notebook.prompts() if not text.strip("[]:").isdigit()] == []
    screenshot(notebook.page, "notebook-7")


def test_the_slider_changes_pictures_and_captions(explorer, screenshot):
    pictures, captions = explorer.shown()
    explorer.go_to(2)
    later_pictures, later_captions = explorer.shown()
    assert pictures and set(pictures).isdisjoint(later_pictures) and captions != later_captions
    screenshot(explorer.root, "notebook-7-explorer")


def test_a_page_of_the_game_is_downloaded(notebook, explorer):
    with notebook.page.expect_download(timeout=120_000) as download:
        explorer.keep.get_by_role("button", name="HTML").click()
    assert Path(download.value.path()).read_bytes().startswith(b"<!DOCTYPE html>")
