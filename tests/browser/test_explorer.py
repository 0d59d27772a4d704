"""The widgets of notebook 03 under the hands of a person: mouse, keyboard, and what is then seen."""

from __future__ import annotations

import re
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from PIL import Image

import telephonegan as tg
from telephonegan.samples import sample
from tests.browser.accessibility import serious_findings
from tests.browser.stopwatch import milliseconds_until_another

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong")
NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1440, "height": 1100}


def test_all_cells_run_without_a_complaint(notebook, screenshot):
    assert [text for text in notebook.prompts() if not text.strip("[]:").isdigit()] == []
    screenshot(notebook.page, "notebook")


def test_dragging_the_slider_changes_pictures_and_captions(explorer, screenshot):
    pictures, captions = explorer.shown()
    explorer.drag(1)
    explorer.expect_round(explorer.last)
    later_pictures, later_captions = explorer.shown()
    assert pictures and set(pictures).isdisjoint(later_pictures)
    assert captions != later_captions
    screenshot(explorer.root, "explorer-last-round")
    explorer.drag(0)
    explorer.expect_round(0)
    assert explorer.shown() == (pictures, captions)


def test_play_goes_to_the_last_round_and_stops_there(notebook, explorer):
    explorer.go_to(explorer.last - 2)
    explorer.play.click()
    explorer.expect_round(explorer.last)
    explorer.play.wait_for()
    after = explorer.shown()
    notebook.page.wait_for_timeout(2000)  # longer than a round lasts
    assert explorer.shown() == after


def test_the_keyboard_alone_plays_and_escape_stops(notebook, explorer):
    explorer.play.focus()
    notebook.page.keyboard.press("Space")
    explorer.pause.wait_for()
    explorer.expect_round(1)
    notebook.page.keyboard.press("Escape")
    explorer.play.wait_for()
    here = explorer.shown()
    notebook.page.wait_for_timeout(2000)
    assert explorer.shown() == here


def test_arrow_keys_go_through_the_rounds(explorer, screenshot):
    explorer.go_to(0)
    seen = [explorer.shown()]
    for index in range(1, explorer.last + 1):
        explorer.press("ArrowRight")
        explorer.expect_round(index)
        seen.append(explorer.shown())
    assert len({pictures for pictures, _ in seen}) == len(seen)  # captions may repeat
    explorer.press("ArrowLeft")
    explorer.expect_round(explorer.last - 1)
    assert explorer.shown() == seen[-2]
    explorer.go_to(4)
    screenshot(explorer.root, "explorer")


def test_pointing_at_a_word_shows_its_map_and_leaves_the_picture(explorer):
    explorer.go_to(1)
    before, maps = explorer.shown(), explorer.root.locator("canvas")
    source = "canvases => canvases.map(canvas => canvas.toDataURL())"
    resting = maps.evaluate_all(source)
    explorer.words.last.hover()
    assert maps.evaluate_all(source) != resting
    explorer.slider.hover()
    assert maps.evaluate_all(source) == resting and explorer.shown() == before


def test_pictures_tell_in_words_what_they_show(explorer):
    explorer.go_to(3)
    names = re.findall(r"img ['\"](.*)['\"]", explorer.root.aria_snapshot())
    assert [name.split()[0] for name in names] == ["Round", "Where", "Where", "Similarity"]
    assert "captioned" in names[0] and "round 3" in names[1]
    assert explorer.root.locator('[title="null"]:visible').count() == 0


def test_the_frames_stand_in_one_row_on_a_small_laptop(explorer):
    assert len({round(frame.bounding_box()["y"]) for frame in explorer.root.locator(".tg-frame").all()}) == 1


def test_nothing_moves_when_the_round_changes(explorer):
    places = []
    for index in (0, 1, explorer.last):
        explorer.go_to(index)
        explorer.slider.scroll_into_view_if_needed()
        top = explorer.root.bounding_box()["y"]
        parts = [*explorer.root.locator(".tg-frame, .tg-line, .tg-left").all(), explorer.keep]
        places.append([(box["x"], box["y"] - top) for box in (part.bounding_box() for part in parts)])
    assert np.ptp(places, axis=0).max() <= 2  # pixels: a line with a struck word is a little higher


def test_one_slider_moves_both_games(comparison, screenshot):
    pictures, captions = comparison.shown()
    assert pictures[0] == pictures[1]
    comparison.drag(0.5)
    comparison.expect_round(comparison.last // 2)
    later, later_captions = comparison.shown()
    assert len({*pictures, *later}) == 3 and captions != later_captions
    screenshot(comparison.root, "comparison", for_readme=True)


@pytest.mark.parametrize("screen", [NARROW, WIDE], ids=["phone", "wide"])
def test_views_fit_the_screen_and_can_be_used_by_anybody(notebook, screen, screenshot):
    before, file_browser = notebook.page.viewport_size, "jupyterapp.commands.execute('application:toggle-left-area')"
    notebook.page.evaluate(file_browser)  # on a phone it would cover the notebook
    notebook.page.set_viewport_size(screen)
    try:
        for view in notebook.page.locator(".tg-view").all():
            assert view.evaluate("view => view.scrollWidth <= view.clientWidth + 1")
        for slider in notebook.page.locator(".tg-bar input").all():
            assert slider.bounding_box()["width"] >= 120
        assert serious_findings(notebook.page, ".tg") == []
        screenshot(notebook.page.locator(".tg-view").first, f"explorer-{screen['width']}")
    finally:
        notebook.page.set_viewport_size(before)
        notebook.page.evaluate(file_browser)


@pytest.mark.parametrize(("label", "starts"), [("GIF", b"GIF89a"), ("HTML", b"<!DOCTYPE html>"), ("PDF", b"%PDF")])
def test_files_are_downloaded(notebook, explorer, label, starts):
    with notebook.page.expect_download(timeout=120_000) as download:
        explorer.keep.get_by_role("button", name=label).click()
    assert Path(download.value.path()).read_bytes().startswith(starts)
    assert download.value.suggested_filename == f"game-seed0.{label.lower()}"


def test_a_downloaded_strip_is_a_picture(notebook, explorer):
    with notebook.page.expect_download(timeout=120_000) as download:
        explorer.keep.get_by_role("button", name="PNG").click()
    assert Image.open(download.value.path()).width > 512


def test_latency_of_the_slider(explorer, measured):
    def elapsed(key):
        return milliseconds_until_another(".tg-box img", explorer.root, "keydown", lambda: explorer.press(key))

    for _ in range(2):  # every state is drawn once; the second time it is there
        times = [elapsed(key) for key in ["ArrowRight"] * explorer.last + ["ArrowLeft"] * explorer.last]
    there, painted = zip(*times, strict=True)
    measured[f"slider: from the key until the next picture is in the page, median of {len(times)}"] = median(there)
    measured["slider: until it is painted, median"] = median(painted)
    measured["slider: until it is painted, the slowest"] = max(painted)
    explorer.expect_round(0)


# the studio


def test_a_new_seed_paints_other_pictures(studio, explorer, screenshot, measured):
    explorer.go_to(1)
    before = explorer.shown()
    studio.choose(rounds=1, seed=5)
    start = time.perf_counter()
    studio.button.click()
    studio.expect_game(rounds=1, seed=5)
    measured["new seed: from Play to the end of a game of one round"] = 1000 * (time.perf_counter() - start)
    explorer.go_to(1)
    pictures, captions = explorer.shown()
    assert pictures[0] != before[0][0] and captions != before[1]
    screenshot(studio.root, "studio")


def test_rounds_are_shown_about_as_fast_as_the_models_play_them(studio, measured):
    phone, photograph, rounds = tg.load(), sample("astronaut"), 4
    phone.play(image=photograph, rounds=1, progress=False)
    start = time.perf_counter()
    phone.play(image=photograph, rounds=rounds, seed=21, progress=False)
    measured[f"{rounds} rounds: the models alone"] = 1000 * (time.perf_counter() - start)
    studio.choose(rounds=rounds, seed=21)
    start = time.perf_counter()
    studio.button.click()
    studio.expect_game(rounds=rounds, seed=21)
    measured[f"{rounds} rounds: in the studio, until all are shown"] = 1000 * (time.perf_counter() - start)


@pytest.mark.parametrize("by_key", [False, True], ids=["Stop", "Escape"])
def test_stop_and_escape_keep_the_rounds_that_are_there(notebook, studio, explorer, by_key):
    from playwright.sync_api import expect

    studio.choose(rounds=24, seed=7)
    games = studio.history.count()
    studio.button.click()
    studio.history.nth(games).wait_for(timeout=120_000)
    expect(explorer.slider).not_to_have_attribute("max", "0", timeout=120_000)
    notebook.page.keyboard.press("Escape") if by_key else studio.button.click()
    expect(studio.button).to_have_text("Play", timeout=120_000)
    assert "Stopped" in studio.status.inner_text()
    assert 1 <= explorer.last < 24


def test_games_of_the_history_stand_side_by_side(studio, explorer):
    studio.choose(rounds=1, seed=11)
    studio.button.click()
    studio.expect_game(rounds=1, seed=11)
    studio.history.first.click()
    explorer.root.locator(".tg-column").nth(1).wait_for()


def test_dice_bring_a_new_picture(studio, measured):
    studio.choose(rounds=2, seed=0)
    games = studio.history.count()
    start = time.perf_counter()
    studio.dice.click()
    studio.history.nth(games).wait_for(timeout=120_000)
    measured["dice: until the first round of the new game is there"] = 1000 * (time.perf_counter() - start)
    studio.root.get_by_role("button", name="Play").first.wait_for(timeout=120_000)
