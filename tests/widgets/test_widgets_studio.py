"""The studio: what it asks of the telephone, how it looks while that works, and what it tells when that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances as living

from telephonegan.chains import Chain
from telephonegan.errors import SettingsError
from telephonegan.files import png_bytes
from telephonegan.images import working_image
from telephonegan.widgets import Studio
from telephonegan.widgets.studio import LARGEST_UPLOAD
from telephonegan.zoo.worlds import World
from tests.games import SENTENCES, chain, picture


class Phone:
    """Plays a game made by hand, after doing what it is told, and remembers what it was asked."""

    def __init__(self, while_playing: Callable[[], None] = lambda: None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.while_playing = while_playing

    def play(self, **options: Any) -> Chain:
        self.asked.append(options)
        played = chain(seed=options["seed"])
        options["on_round"](played)
        self.while_playing()
        return played


def studio(phone: Any = None) -> Studio:
    return Studio(phone or Phone(), photographs={"one": picture(1), "two": picture(2, (20, 10))})


def controls(view: Studio) -> list[Any]:
    return [
        view.photograph,
        view.upload,
        view.rounds,
        view.seed,
        view.temperature,
        view.noise_scale,
        view.button,
    ]


def upload(view: Studio, name: str, content: bytes, size: int | None = None) -> None:
    file = {"name": name, "type": "", "size": size or len(content), "content": memoryview(content)}
    view.upload.value = ({**file, "last_modified": datetime.now(UTC)},)


def failing(error: BaseException) -> Phone:
    def fail() -> None:
        raise error

    return Phone(fail)


def test_the_telephone_is_asked_for_what_the_controls_say():
    phone = Phone()
    view = studio(phone)
    view.photograph.value, view.rounds.value, view.seed.value = "two", 3, 7
    view.noise_scale.value = 0.5
    view.button.click()
    [asked] = phone.asked
    assert asked["image"].size == (20, 10)
    assert (asked["rounds"], asked["seed"], asked["truncation"]) == (3, 7, 0.5)
    assert "method" not in asked and "temperature" not in asked


def test_a_temperature_draws_words_by_lot():
    phone = Phone()
    view = studio(phone)
    view.temperature.value = 0.8
    view.button.click()
    assert (phone.asked[0]["method"], phone.asked[0]["temperature"]) == ("sample", 0.8)


def test_without_a_telephone_a_world_is_chosen(monkeypatch):
    loaded = []
    phone = Phone()
    known = [World("flickr8k", "people and dogs"), World("flowers", "petals <of> flowers")]
    monkeypatch.setattr("telephonegan.widgets.studio.worlds", lambda: known)
    monkeypatch.setattr("telephonegan.telephone.load", lambda world: loaded.append(world) or phone)
    view = Studio(photographs={"one": picture(1)})
    assert (view.world.options, view.world.value) == (("flickr8k", "flowers"), "flickr8k")
    view.world.value = "flowers"
    assert "petals &lt;of&gt; flowers" in view.status.value
    view.button.click()
    assert loaded == ["flowers"]
    assert "in the world of flowers" in view.status.value
    assert view.world.layout.display is None


def test_a_telephone_that_is_given_leaves_no_choice_of_worlds():
    view = studio()
    assert view.world.options == () and view.world.layout.display == "none"


def test_a_telephone_of_networks_plays(phone):
    view = studio(phone)
    view.rounds.value, view.temperature.value = 2, 1.0
    view.button.click()
    assert 2 <= len(view.chain) <= 3
    assert view.chain.settings.method == "sample"


def test_the_result_opens_in_an_explorer_and_the_one_before_is_closed():
    view = studio()
    view.button.click()
    [first] = view.result.children
    view.seed.value = 1
    view.button.click()
    [second] = view.result.children
    assert first.comm is None and second.comm is not None
    assert view.chain.seed == 1
    assert "2 rounds with seed 1" in view.status.value


def test_one_round_is_not_told_of_as_many():
    view = studio(SimpleNamespace(play=lambda **options: chain(SENTENCES[:2])))
    view.button.click()
    assert "1 round with seed 0" in view.status.value


def test_while_a_game_runs_the_controls_are_disabled_and_rounds_are_counted():
    seen = {}

    def look() -> None:
        seen["disabled"] = [control.disabled for control in controls(view)]
        seen["button"], seen["round"] = view.button.description, view.progress.description

    view = studio(Phone(look))
    view.button.click()
    assert all(seen["disabled"]) and len(seen["disabled"]) == 7
    assert seen["button"] == "Playing …" and seen["round"] == "round 2"
    assert not any(control.disabled for control in controls(view))
    assert view.button.description == "Play" and view.progress.description == "ready"


def test_an_error_of_the_library_is_told_in_words():
    view = studio(failing(SettingsError("No <rounds> left.")))
    view.button.click()
    assert "No &lt;rounds&gt; left." in view.status.value and 'role="alert"' in view.status.value
    assert not any(control.disabled for control in controls(view))
    assert view.chain is None and view.result.children == ()


def test_any_other_error_is_told_with_its_type_and_raised(caplog):
    view = studio(failing(ZeroDivisionError("by <zero>")))
    with caplog.at_level(logging.WARNING):
        view.button.click()
    assert "Unexpected: ZeroDivisionError: by &lt;zero&gt;" in view.status.value
    with pytest.raises(ZeroDivisionError):
        view._play(view.button)
    assert not any(control.disabled for control in controls(view))


def test_an_interruption_frees_the_controls():
    view = studio(failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        view.button.click()
    assert not any(control.disabled for control in controls(view))


def test_a_game_that_ends_early_is_told():
    class Short(Phone):
        def play(self, **options: Any) -> Chain:
            played = super().play(**options)
            played.wanted = 9
            return played

    view = studio(Short())
    view.button.click()
    assert "ended early" in view.status.value


# ------------------------------------------------------------------------------------------------- photographs


def test_choosing_a_photograph_changes_the_preview():
    view = studio()
    first = bytes(view.preview.value)
    view.photograph.value = "two"
    assert bytes(view.preview.value) != first and "two" in view.preview.tooltip


def test_an_uploaded_picture_is_chosen_and_played():
    phone = Phone()
    view = studio(phone)
    upload(view, "mine.png", png_bytes(picture(5, (30, 10))))
    assert view.photograph.value == "mine.png" and view.upload.value == ()
    view.button.click()
    assert phone.asked[0]["image"].size == (30, 10)


def test_a_second_upload_of_one_name_takes_its_place():
    view = studio()
    upload(view, "mine.png", png_bytes(picture(5)))
    first = bytes(view.preview.value)
    upload(view, "mine.png", png_bytes(picture(6)))
    assert bytes(view.preview.value) != first
    assert list(view.photograph.options).count("mine.png") == 1


@pytest.mark.parametrize(("content", "size", "told"), [
    (b"no picture at all", None, "Not a supported picture"),
    (png_bytes(picture(0))[:60], None, "Damaged"),
    (png_bytes(picture(0)), LARGEST_UPLOAD + 1, "at most 9 MB"),
])  # fmt: skip
def test_what_cannot_be_used_is_told_with_its_name(content, size, told):
    view = studio()
    upload(view, "evil<b>.png", content, size)
    assert told in view.status.value and "evil&lt;b&gt;.png" in view.status.value
    assert view.photograph.value == "one"


def test_a_damaged_sample_is_told():
    view = Studio(Phone(), photographs={"bad": BytesIO(b"x")})
    assert 'role="alert"' in view.status.value


def test_without_photographs_one_is_asked_for():
    phone = Phone()
    view = Studio(phone, photographs={})
    assert "Upload one" in view.status.value
    view.button.click()
    assert "no photograph" in view.status.value and not phone.asked


# --------------------------------------------------------------------------------------------------- still, closing


class Handle:
    def __init__(self) -> None:
        self.updates: list[Any] = []

    def update(self, shown: Any) -> None:
        self.updates.append(shown)


def test_the_still_beneath_is_renewed_after_a_game(monkeypatch):
    handle = Handle()
    monkeypatch.setattr("telephonegan.widgets.view.display", lambda data, **_: handle)
    view = studio()
    assert view.still() is None
    view._ipython_display_()
    view.button.click()
    [shown] = handle.updates
    assert "image/png" in shown._repr_mimebundle_()[0]


def test_closing_leaves_no_widget_behind():
    before = set(living)
    view = studio()
    view.button.click()
    view.close()
    assert set(living) == before


def test_a_game_that_is_interrupted_is_told_and_its_rounds_are_kept():
    view = studio(failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        view.button.click()
    assert "Stopped" in view.status.value and not view.button.disabled
    assert view.chain is not None and len(view.result.children) == 1


def test_what_cannot_be_read_is_not_pictured_by_another_photograph():
    view = Studio(Phone(), photographs={"ok": picture(1), "gone": "/nowhere/x.jpg"})
    before = bytes(view.preview.value)
    view.photograph.value = "gone"
    assert bytes(view.preview.value) != before
    assert view.preview.tooltip == "The photograph gone cannot be shown"
    assert 'role="alert"' in view.status.value


def test_the_result_says_what_was_played():
    view = studio()
    view.photograph.value, view.temperature.value = "two", 0.5
    view.button.click()
    assert "two: 2 rounds with seed 0, temperature 0.5, noise scale 1." in view.status.value


def test_uploads_are_kept_no_larger_than_networks_see_and_go_with_the_widget():
    phone = Phone()
    view = studio(phone)
    wide = picture(3, (30, 15)).resize((3000, 1500))  # noise of this size would be a file too large to upload
    upload(view, "wide.png", png_bytes(wide))
    view.button.click()
    used = phone.asked[0]["image"]
    assert used.size == (1024, 512)
    assert used.tobytes() == working_image(wide).tobytes(), "the game begins with what a file of it gives"
    view.close()
    assert view._photographs == {}
