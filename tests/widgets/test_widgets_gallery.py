"""Pictures in a grid, and one of them large."""

from __future__ import annotations

import pytest
from ipywidgets.widgets.widget import _instances as living

from telephonegan.errors import SettingsError
from telephonegan.results import Caption, Picture
from telephonegan.widgets import Gallery
from tests.games import picture


def pictures(count: int) -> list[Picture]:
    return [Picture(picture(i), text=f"dog number {i}", seed=i, model="tiny") for i in range(count)]


def test_every_picture_is_sent_with_its_text_and_seed():
    shown = Gallery(pictures(3)).data["pictures"]
    assert [each["text"] for each in shown] == ["dog number 0", "dog number 1", "dog number 2"]
    assert shown[2]["label"] == "seed 2" and shown[0]["note"] == "1 of 3 · seed 0 · tiny"


def test_captions_with_pictures_can_be_shown_too():
    assert Gallery([Caption("a dog", image=picture(0))]).data["pictures"][0]["text"] == "a dog"


def test_all_pictures_are_kept_in_one_and_for_print():
    made = {each.file: each.make()[:4] for each in Gallery(pictures(2)).keepsakes()}
    assert made == {"gallery.png": b"\x89PNG", "gallery.pdf": b"%PDF", "gallery.svg": b"<?xm"}


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
    assert len(Gallery(one).data["pictures"]) == 1


def test_pictures_that_nobody_painted_are_refused_in_words():
    with pytest.raises(SettingsError, match=r"tg\.generate"):
        Gallery([picture(0)])
