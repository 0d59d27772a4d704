"""The widgets of notebook 03 under the hands of a person: mouse, keyboard, and what is then seen."""

from __future__ import annotations

import re
from statistics import median

import pytest

from tests.browser.stopwatch import milliseconds_until_another
from tests.browser.studio_page import GAME

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong")


def test_all_cells_run_without_a_complaint(notebook, screenshot):
    assert [text for text in notebook.prompts() if not text.strip("[]:").isdigit()] == []
    screenshot(notebook.page, "notebook")


def test_dragging_the_slider_changes_pictures_and_captions(explorer, screenshot):
    pictures, captions = explorer.shown()
    explorer.drag(1)
    explorer.expect_round(explorer.last)
    later_pictures, later_captions = explorer.shown()
    assert len(pictures) == 3 and set(pictures).isdisjoint(later_pictures)
    assert captions != later_captions
    screenshot(explorer.root, "explorer-last-round")
    explorer.drag(0)
    explorer.expect_round(0)
    assert explorer.shown() == (pictures, captions)


def test_play_goes_to_the_last_round_and_stops_there(notebook, explorer):
    explorer.go_to(explorer.last - 2)
    before = explorer.shown()
    rounds_seen = explorer.recorded()
    explorer.play.click()
    explorer.expect_round(explorer.last)
    explorer.playing.wait_for(state="detached")
    after = explorer.shown()
    assert rounds_seen() == [explorer.last - 2, explorer.last - 1, explorer.last]
    assert before[0][0] != after[0][0] and before[1] != after[1]
    notebook.page.wait_for_timeout(2000)  # longer than a round lasts
    assert explorer.shown() == after


def test_the_keyboard_alone_plays_and_pauses(notebook, explorer):
    explorer.play.focus()
    notebook.page.keyboard.press("Space")
    explorer.playing.wait_for()
    explorer.expect_round(1)
    notebook.page.keyboard.press("Space")
    explorer.playing.wait_for(state="detached")
    here = explorer.shown()
    notebook.page.wait_for_timeout(2000)
    assert explorer.shown() == here


def test_arrow_keys_go_through_the_rounds(explorer, screenshot):
    seen = [explorer.shown()]
    for index in range(1, explorer.last + 1):
        explorer.press("ArrowRight")
        explorer.expect_round(index)
        seen.append(explorer.shown())
    assert len({pictures[0] for pictures, _ in seen}) == len({captions for _, captions in seen}) == len(seen)
    explorer.press("ArrowLeft")
    explorer.expect_round(explorer.last - 1)
    assert explorer.shown() == seen[-2]
    explorer.go_to(4)
    screenshot(explorer.root, "explorer", for_readme=True)


def test_another_word_moves_the_light_and_nothing_else(explorer):
    (picture, overlay, curve), captions = explorer.shown()
    milliseconds_until_another("img:nth-of-type(2)", explorer.root, "click", explorer.words.last.click)
    (same, moved, still), unchanged = explorer.shown()
    assert moved != overlay
    assert (same, still, unchanged) == (picture, curve, captions)


def test_pictures_tell_in_words_what_they_show(explorer):
    explorer.go_to(3)
    names = re.findall(r"img ['\"](.*)['\"]", explorer.root.aria_snapshot())
    assert [name.split()[0] for name in names] == ["Round", "Where", "Similarity"]
    assert "captioned" in names[0] and "round 3" in names[1]
    assert explorer.root.locator('[title="null"]:visible').count() == 0


def test_the_three_pictures_stand_in_one_row_on_a_small_laptop(explorer):
    tops = {round(picture.bounding_box()["y"]) for picture in explorer.pictures.all()}
    assert len(tops) == 1


def test_nothing_moves_when_the_round_changes(explorer):
    places = []
    for index in (0, 1, explorer.last):
        explorer.go_to(index)
        explorer.slider.scroll_into_view_if_needed()
        top = explorer.root.bounding_box()["y"]
        parts = [*explorer.pictures.all(), explorer.captions.first, explorer.words.first]
        places.append([(box["x"], round(box["y"] - top)) for box in (part.bounding_box() for part in parts)])
    assert places[0] == places[1] == places[2]


def test_one_slider_moves_both_games(comparison, screenshot):
    pictures, captions = comparison.shown()
    assert pictures[0] == pictures[1]
    comparison.drag(0.5)
    comparison.expect_round(comparison.last // 2)
    later, later_captions = comparison.shown()
    assert len({*pictures, *later}) == 3
    assert all(before != after for before, after in zip(captions, later_captions, strict=True))
    screenshot(comparison.root, "comparison", for_readme=True)


# the studio


def test_a_new_seed_paints_other_pictures(studio, explorer, screenshot, measured):
    explorer.go_to(1)
    before = explorer.shown()
    studio.choose(rounds=1, seed=5)
    _, painted = milliseconds_until_another(GAME, studio.root, "click", studio.button.click)
    measured["new seed: from Play to caption, picture, and its caption on the screen"] = painted
    studio.expect_game(rounds=1, seed=5)
    explorer.go_to(1)
    pictures, captions = explorer.shown()
    assert pictures[0] != before[0][0] and captions != before[1]
    screenshot(studio.root, "studio")


def test_while_the_models_run_the_controls_wait(studio):
    studio.choose(rounds=8, seed=7)
    studio.button.click()
    studio.expect_busy()
    studio.expect_game(rounds=8, seed=7)


def test_latency_of_the_slider(explorer, measured):
    def time(key):
        return milliseconds_until_another("img", explorer.root, "keydown", lambda: explorer.press(key))

    for _ in range(2):  # every state is drawn once; the second time it is there
        times = [time(key) for key in ["ArrowRight"] * explorer.last + ["ArrowLeft"] * explorer.last]
    there, painted = zip(*times, strict=True)
    measured[f"slider: from the key until the next picture is in the page, median of {len(times)}"] = median(there)
    measured["slider: until it is painted, median"] = median(painted)
    measured["slider: until it is painted, the slowest"] = max(painted)
    explorer.expect_round(0)
