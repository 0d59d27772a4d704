"""Pictures in a grid, and one of them large."""

from __future__ import annotations

import pytest
from ipywidgets.widgets.widget import _instances as living

from telephonegan.errors import SettingsError
from telephonegan.results import Caption, Picture
from telephonegan.widgets import Gallery
from tests.games import picture, shown


def pictures(count: int) -> list[Picture]:
    return [Picture(picture(i), text=f"dog number {i}", seed=i, model="tiny") for i in range(count)]


def test_a_click_and_the_slider_choose_the_large_picture():
    gallery = Gallery(pictures(3))
    first = bytes(gallery.picture.value)
    gallery.buttons[2].click()
    assert gallery.slider.value == 2
    assert bytes(gallery.picture.value) != first and "dog number 2" in gallery.caption.value
    gallery.slider.value = 0
    assert bytes(gallery.picture.value) == first and "1 of 3 · seed 0 · tiny" in gallery.caption.value


def test_every_large_picture_is_drawn_once(rendered):
    gallery = Gallery(pictures(3))
    sizes = {"before": len(rendered)}
    for index in (1, 2, 0, 1, 2, 0):
        gallery.slider.value = index
    assert len(rendered) == sizes["before"] + 2
    assert shown(gallery.picture).size == (384, 384)


def test_texts_are_escaped():
    gallery = Gallery([Picture(picture(0), text="<script>x</script>")])
    assert "<script" not in gallery.caption.value and "&lt;script&gt;" in gallery.caption.value


def test_captions_with_pictures_can_be_shown_too():
    assert "a dog" in Gallery([Caption("a dog", image=picture(0))]).caption.value


def test_one_picture_needs_no_slider():
    assert Gallery(pictures(1)).slider.disabled


def test_the_still_shows_all_of_them():
    image, words = Gallery(pictures(3)).still()
    assert image.width > 3 * 256 and "dog number 2" in words


def test_closing_leaves_no_widget_behind():
    before = set(living)
    Gallery(pictures(2)).close()
    assert set(living) == before


@pytest.mark.parametrize(("given", "told"), [
    ([], "0 pictures"),
    (pictures(1) * 201, "201 pictures"),
    ([*pictures(1), Caption("a dog")], "Caption 1 has no picture"),
])  # fmt: skip
def test_what_cannot_be_shown_is_refused(given, told):
    with pytest.raises(SettingsError, match=told):
        Gallery(given)


def test_one_picture_may_be_given_without_a_list():
    (one,) = pictures(1)
    assert len(Gallery(one).buttons) == 1


def test_pictures_that_nobody_painted_are_refused_in_words():
    with pytest.raises(SettingsError, match=r"tg\.generate"):
        Gallery([picture(0)])
