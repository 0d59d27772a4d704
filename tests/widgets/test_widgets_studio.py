"""The studio: what it asks of the telephone, how it looks while that works, and what it tells when that fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
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
from telephonegan.widgets.studio import OWN_MODELS, SENTENCE, _give_tooltip
from telephonegan.widgets.upload import LARGEST_UPLOAD, Upload
from telephonegan.zoo.worlds import World
from tests.games import SENTENCES, chain, picture


class Phone:
    """Plays a game made by hand, round by round, doing after each what it is told, and remembers what it was asked."""

    def __init__(self, after_round: Callable[[], None] = lambda: None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.after_round = after_round

    def play(self, **options: Any) -> Chain:
        self.asked.append(options)
        return self.grow(chain(seed=options["seed"]), 0, options["on_round"])

    def fork(self, played: Chain, at: int, **options: Any) -> Chain:
        self.asked.append({"chain": played, "at": at, **options})
        return self.grow(chain(seed=options["seed"]), at, options["on_round"])

    def grow(self, played: Chain, start: int, on_round: Callable[[Chain], None]) -> Chain:
        rounds, played.rounds = played.rounds, played.rounds[:start]
        for each in rounds[start:]:
            played.rounds.append(each)
            on_round(played)
            self.after_round()
        return played


def studio(phone: Any = None) -> Studio:
    return Studio(phone or Phone(), photographs={"one": picture(1), "two": picture(2, (20, 10))})


def upload(button: Upload, name: str, content: bytes, size: int | None = None) -> None:
    """What the browser sends when a file is chosen."""
    button._heard(button, {"file": name, "size": size or len(content)}, [memoryview(content)])


def failing(error: BaseException) -> Phone:
    def fail() -> None:
        raise error

    return Phone(fail)


def buttons(view: Studio) -> list[tuple[str, bool]]:
    return [(button.description, button.value) for button in view.history.children]


# what is asked


def test_the_telephone_is_asked_for_what_the_controls_say():
    phone = Phone()
    view = studio(phone)
    view.photograph.value, view.rounds.value, view.seed.value = "two", 3, 7
    view.noise_scale.value, view.candidates.value, view.noise.label = 0.5, 4, "the same in all rounds"
    view.play()
    [asked] = phone.asked
    assert asked["image"].size == (20, 10)
    assert (asked["rounds"], asked["seed"], asked["truncation"]) == (3, 7, 0.5)
    assert (asked["candidates"], asked["seed_policy"]) == (4, "fixed")
    assert "method" not in asked and "temperature" not in asked


def test_a_temperature_samples_words():
    phone = Phone()
    view = studio(phone)
    view.temperature.value = 0.8
    view.play()
    assert (phone.asked[0]["method"], phone.asked[0]["temperature"]) == ("sample", 0.8)


def test_a_sentence_starts_a_game_instead_of_a_photograph():
    phone = Phone()
    view = studio(phone)
    view.start.value = SENTENCE
    assert view.photograph.layout.display == "none" and view.sentence.layout.display is None
    assert view.play() is None and "Write one" in view.status.value
    view.sentence.value = "  a red dog "
    view.play()
    assert phone.asked[0]["text"] == "a red dog" and "image" not in phone.asked[0]


def test_without_a_telephone_a_world_is_chosen_and_its_examples_are_offered(monkeypatch):
    loaded = []
    known = [World("flickr8k", "people and dogs"), World("flowers", "petals <of> flowers", ("a pink rose",))]
    monkeypatch.setattr("telephonegan.widgets.studio.worlds", lambda: known)
    monkeypatch.setattr("telephonegan.telephone.load", lambda *names, **world: loaded.append((names, world)) or Phone())
    view = Studio(photographs={"one": picture(1)})
    assert view.world.options == ("flickr8k", "flowers", OWN_MODELS) and view.world.value == "flickr8k"
    view.world.value = "flowers"
    assert "petals &lt;of&gt; flowers" in view.status.value and view.sentence.options == ("a pink rose",)
    view.play()
    view.world.value = OWN_MODELS
    assert view.captioner.layout.display is None
    view.captioner.value, view.generator.value = view.captioner.options[0], view.generator.options[0]
    view.play()
    assert loaded == [((), {"world": "flowers"}), ((view.captioner.value, view.generator.value), {})]


def test_a_telephone_that_is_given_leaves_no_choice_of_worlds():
    assert studio().world.layout.display == "none"


def test_a_telephone_of_networks_plays_and_branches(phone):
    view = studio(phone)
    view.rounds.value, view.temperature.value = 2, 1.0
    played = view.play()
    assert 2 <= len(played) <= 3 and played.settings.method == "sample"
    view.view.round, view.branch_caption.value = 0, "a red dog"
    assert view.branch()[1].picture.text == "a red dog"


# while it plays


def test_rounds_are_shown_as_they_are_played():
    seen = []
    view = studio(Phone(lambda: seen.append((len(view.view.data["games"][0]["rounds"]), view.progress.description))))
    view.play()
    assert seen == [(1, "round 0"), (2, "round 1"), (3, "round 2")]


def test_stop_keeps_the_rounds_that_are_there():
    view = studio(Phone(lambda: view.stop()))
    view.play()
    assert len(view.chain) == 2 and "Stopped" in view.status.value
    assert len(view.view.data["games"][0]["rounds"]) == 2 and view.button.description == "Play"


def test_the_buttons_play_in_the_background_and_stop():
    reached, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        reached.set()
        go_on.wait(20)

    view = studio(Phone(pause))
    view.button.click()
    assert reached.wait(20) and view.button.description == "Stop" and view.seed.disabled
    view.dice.click()  # nothing happens while a game runs
    view.button.click()
    go_on.set()
    view.wait(20)
    assert len(view.games) == 1 and len(view.chain) == 2 and "Stopped" in view.status.value


def test_escape_stops():
    view = studio(Phone(lambda: view.view._heard(view.view, {"escape": True}, [])))
    view.play()
    assert len(view.chain) == 2


def test_dice_choose_a_seed_and_play(monkeypatch):
    monkeypatch.setattr("random.randrange", lambda most: most - 1)
    view = studio()
    view.dice.click()
    view.wait(20)
    assert view.chain.seed == view.seed.value == 999


def test_while_a_game_runs_the_controls_are_disabled():
    seen = []
    view = studio(Phone(lambda: seen.append({control.disabled for control in view.settings})))
    view.play()
    assert seen == [{True}] * 3
    assert not any(control.disabled for control in view.settings)
    assert view.button.description == "Play" and view.progress.description == "ready"


# the history and branches


def test_every_game_stays_in_the_history_and_its_button_shows_it():
    view = studio()
    first = view.play()
    view.seed.value = 1
    second = view.play()
    assert buttons(view) == [("1 · one · seed 0", False), ("2 · one · seed 1", True)]
    view.history.children[0].value = True
    assert [id(each) for each in view.view.chains] == [id(first), id(second)]
    view.history.children[1].value = False
    assert [id(each) for each in view.view.chains] == [id(first)]
    view.history.children[0].value = False
    assert buttons(view)[0] == ("1 · one · seed 0", True), "one game is always on display"


def test_no_more_games_are_side_by_side_than_fit():
    view = studio()
    for seed in range(6):
        view.seed.value = seed
        view.play()
    for button in view.history.children:
        button.value = True
    assert len(view.view.chains) == 4 and sum(pressed for _, pressed in buttons(view)) == 4


def test_a_branch_leaves_from_the_round_on_display_and_stands_beside_its_origin():
    phone = Phone()
    view = studio(phone)
    assert view.branch_box.layout.display == "none"
    first = view.play()
    view.view.round, view.branch_seed.value, view.branch_caption.value = 1, 5, "a cat"
    branch = view.branch()
    asked = phone.asked[-1]
    assert (asked["chain"], asked["at"], asked["seed"], asked["caption"]) == (first, 1, 5, "a cat")
    assert [id(each) for each in view.view.chains] == [id(first), id(branch)]
    assert buttons(view)[1] == ("2 · one · seed 0 ▸ 1 · “a cat” · seed 5", True)


def test_a_branch_can_have_another_picture():
    phone = Phone()
    view = studio(phone)
    view.play()
    upload(view.branch_upload, "edited.png", png_bytes(picture(5, (30, 10))))
    assert view.branch_upload.label == "with edited.png"
    view.branch()
    assert phone.asked[-1]["image"].size == (30, 10)


# errors


def test_an_error_of_the_library_is_reported_in_words():
    refusing = failing(SettingsError("No <rounds> left.")).after_round
    view = studio(SimpleNamespace(play=lambda **_: refusing()))
    assert view.play() is None
    assert "No &lt;rounds&gt; left." in view.status.value and 'role="alert"' in view.status.value
    assert not any(control.disabled for control in view.settings) and view.chain is None


def test_any_other_error_is_reported_with_its_type_and_logged(caplog):
    view = studio(failing(ZeroDivisionError("by <zero>")))
    with caplog.at_level(logging.ERROR):
        view.play()
    assert "Unexpected: ZeroDivisionError: by &lt;zero&gt;" in view.status.value
    assert "in the studio" in caplog.text
    assert len(view.chain) == 1, "the round that was played is kept"


def test_an_interrupted_cell_keeps_the_rounds_and_frees_the_controls():
    view = studio(failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        view.play()
    assert "Stopped" in view.status.value and len(view.chain) == 1
    assert not any(control.disabled for control in view.settings)


def test_a_game_that_ends_early_is_reported():
    class Short(Phone):
        def play(self, **options: Any) -> Chain:
            played = super().play(**options)
            played.wanted = 9
            return played

    view = studio(Short())
    view.play()
    assert "ended early" in view.status.value


def test_the_result_says_what_was_played():
    view = studio()
    view.photograph.value = "two"
    view.play()
    assert "two · seed 0: 2 rounds, by tiny, the best captions, noise scale 1." in view.status.value


# photographs


def test_choosing_a_photograph_changes_the_preview():
    view = studio()
    first = bytes(view.preview.value)
    view.photograph.value = "two"
    assert bytes(view.preview.value) != first and "two" in view.preview.tooltip


def test_an_uploaded_picture_is_chosen_and_played():
    phone = Phone()
    view = studio(phone)
    upload(view.upload, "mine.png", png_bytes(picture(5, (30, 10))))
    assert view.photograph.value == "mine.png"
    view.play()
    assert phone.asked[0]["image"].size == (30, 10)


def test_a_second_upload_of_one_name_takes_its_place():
    view = studio()
    upload(view.upload, "mine.png", png_bytes(picture(5)))
    first = bytes(view.preview.value)
    upload(view.upload, "mine.png", png_bytes(picture(6)))
    assert bytes(view.preview.value) != first
    assert list(view.photograph.options).count("mine.png") == 1


@pytest.mark.parametrize(("content", "size", "told"), [
    (b"no picture at all", None, "Not a supported picture"),
    (png_bytes(picture(0))[:60], None, "Damaged"),
    (b"", LARGEST_UPLOAD + 1, "at most 9 MB"),
])  # fmt: skip
def test_what_cannot_be_used_is_reported_with_its_name(content, size, told):
    view = studio()
    upload(view.upload, "evil<b>.png", content, size)
    assert told in view.status.value and "evil&lt;b&gt;.png" in view.status.value
    assert view.photograph.value == "one"


def test_a_damaged_sample_is_reported():
    view = Studio(Phone(), photographs={"bad": BytesIO(b"x")})
    assert 'role="alert"' in view.status.value


def test_without_photographs_one_is_asked_for():
    phone = Phone()
    view = Studio(phone, photographs={})
    assert "Upload one" in view.status.value
    view.play()
    assert "no photograph" in view.status.value and not phone.asked


def test_what_cannot_be_read_is_not_pictured_by_another_photograph():
    view = Studio(Phone(), photographs={"ok": picture(1), "gone": "/nowhere/x.jpg"})
    before = bytes(view.preview.value)
    view.photograph.value = "gone"
    assert bytes(view.preview.value) != before
    assert view.preview.tooltip == "The photograph gone cannot be shown"
    assert 'role="alert"' in view.status.value


def test_uploads_are_kept_no_larger_than_networks_see_and_go_with_the_widget():
    phone = Phone()
    view = studio(phone)
    wide = picture(3, (30, 15)).resize((3000, 1500))  # noise of this size would be a file too large to upload
    upload(view.upload, "wide.png", png_bytes(wide))
    view.play()
    used = phone.asked[0]["image"]
    assert used.size == (1024, 512)
    assert used.tobytes() == working_image(wide).tobytes(), "the game begins with what a file of it gives"
    view.close()
    assert view._photographs == {}


# stills, closing


def test_a_still_is_there_once_there_is_a_game():
    view = studio()
    assert "image/jpeg" not in view._repr_mimebundle_()
    view.play()
    data, metadata = view._repr_mimebundle_()
    assert "image/jpeg" in data and SENTENCES[0] in metadata["image/jpeg"]["alt"]


def test_closing_leaves_no_widget_behind():
    before = set(living)
    view = studio()
    view.play()
    view.close()
    assert set(living) == before


def test_controls_that_know_no_tooltip_get_one():
    """As most of ipywidgets 7, which Colab has."""
    old, told = SimpleNamespace(description="rounds"), SimpleNamespace(description="rounds", tooltip="how many")
    _give_tooltip(old), _give_tooltip(told)
    assert (old.tooltip, told.tooltip) == ("rounds", "how many")
