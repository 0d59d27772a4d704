"""The explorer of axes: what it does on the wishes of a browser, what it shows, what it keeps, and how it fails."""

from __future__ import annotations

import base64
import dataclasses
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from telephonegan.errors import SettingsError
from telephonegan.latent import AxisSet, Features, Measured, Walk, find_axes
from telephonegan.widgets import AxisExplorer

NAMES = ("warmth", "brightness", "contrast")


@pytest.fixture
def axes(free) -> AxisSet:
    columns = np.random.default_rng(0).normal(size=(16, 3))
    how = {"generator": free.name, "sha256": free.sha256, "r2": np.array([0.9, 0.5, 0.01])}
    return AxisSet(NAMES, columns, np.ones(3), **how)


@pytest.fixture
def walk(free, axes) -> Walk:
    return Walk(free, axes, seed=3)


@pytest.fixture
def explorer(walk) -> AxisExplorer:
    return AxisExplorer(walk, names=NAMES)


def wish(explorer: AxisExplorer, do: str, **given) -> dict:
    """What the browser sends; returns what it then draws."""
    explorer._heard(explorer, {"do": do, "id": "view-1", **given}, [])
    return explorer.data


def shown(explorer: AxisExplorer) -> np.ndarray:
    content = base64.b64decode(explorer.data["picture"].partition(",")[2])
    return np.asarray(Image.open(BytesIO(content))).astype(int)


# moving


def test_a_knob_that_is_dragged_shows_pictures_and_becomes_one_step(explorer):
    first = explorer.data["picture"]
    for sigmas in (0.5, 1.0, 1.5):
        data = wish(explorer, "try", name="warmth", sigmas=sigmas)
        assert data["values"]["warmth"] == sigmas and data["picture"] != first and not explorer.walk.can_undo
    assert wish(explorer, "set", name="warmth", sigmas=1.5)["can_undo"]
    data = wish(explorer, "undo")
    assert data["picture"] == first and data["values"]["warmth"] == 0 and data["can_redo"] and not data["can_undo"]
    assert wish(explorer, "redo")["values"]["warmth"] == 1.5


def test_a_knob_let_go_where_it_was_is_no_step(explorer):
    assert not wish(explorer, "set", name="warmth", sigmas=0)["can_undo"]


def test_the_picture_is_that_of_the_walk(explorer, walk):
    wish(explorer, "set", name="warmth", sigmas=2)
    difference = shown(explorer) - np.asarray(walk.picture().image)
    assert np.abs(difference).mean() < 4  # it travels as a JPEG file


def test_every_state_is_painted_once(explorer, monkeypatch):
    painted = []
    paint = explorer.walk.picture
    monkeypatch.setattr(explorer.walk, "picture", lambda state: painted.append(state) or paint(state))
    wish(explorer, "try", name="warmth", sigmas=1)
    for do, given in (
        ("set", {"name": "warmth", "sigmas": 1}),
        ("lock", {"name": "contrast", "locked": True}),
        ("undo", {}),
        ("undo", {}),
        ("redo", {}),
    ):
        wish(explorer, do, **given)
    assert len(painted) == 1


def test_a_lock_disables_its_knob_and_holds_its_axis(explorer, walk):
    data = wish(explorer, "lock", name="brightness", locked=True)
    assert data["locked"] == ["brightness"]
    before = walk.axes.coordinates(walk.latents())["brightness"]
    wish(explorer, "set", name="warmth", sigmas=3)
    assert walk.axes.coordinates(walk.latents())["brightness"] == pytest.approx(before, abs=1e-5)
    assert "brightness is locked" in wish(explorer, "set", name="brightness", sigmas=1)["error"]
    assert wish(explorer, "lock", name="brightness", locked=False)["locked"] == []


def test_reset_and_random_keep_the_locks(explorer, walk):
    wish(explorer, "lock", name="brightness", locked=True)
    wish(explorer, "set", name="warmth", sigmas=3)
    first = walk.state.seed
    data = wish(explorer, "random")
    assert walk.state.seed != first and data["values"]["warmth"] == 3 and data["locked"] == ["brightness"]
    data = wish(explorer, "reset")
    assert data["values"]["warmth"] == 0 and not data["moved"] and data["locked"] == ["brightness"]
    assert data["picture"] == data["start"]


def test_a_shared_text_restores_the_state(free, axes, explorer):
    wish(explorer, "lock", name="brightness", locked=True)
    share = wish(explorer, "set", name="warmth", sigmas=-1.5)["share"]
    other = AxisExplorer(Walk(free, axes), names=NAMES)
    data = wish(other, "restore", text=f"  {share}\n")
    assert data["picture"] == explorer.data["picture"] and data["locked"] == ["brightness"]


def test_a_change_from_code_is_shown_on_request(explorer, walk):
    walk.set("warmth", 1)
    explorer.refresh()
    assert explorer.data["values"]["warmth"] == 1


def test_it_survives_the_way_to_the_browser(explorer):
    wish(explorer, "set", name="warmth", sigmas=1)
    wish(explorer, "measure")
    json.dumps(explorer.data, allow_nan=False)


def test_while_a_slow_generator_is_dragged_sketches_are_shown(phone):
    generator = phone.generator
    axes = find_axes(generator, ["warmth"], n=40, texts=["a red dog"], progress=False)
    explorer = AxisExplorer(Walk(generator, axes, text="a red dog"), names=["warmth"])
    size = shown(explorer).shape[0]
    explorer._seconds = 2.0
    wish(explorer, "try", name="warmth", sigmas=1)
    assert shown(explorer).shape[0] < size
    wish(explorer, "measure")
    assert shown(explorer).shape[0] == size, "a rest is long enough for the whole picture"
    wish(explorer, "set", name="warmth", sigmas=1)
    assert shown(explorer).shape[0] == size


def test_given_latents_such_as_those_of_a_photograph_get_knobs_too(free, axes):
    start = {"noise": np.linspace(-1, 1, 16)}
    explorer = AxisExplorer(Walk(free, axes, start=start), names=NAMES)
    first = explorer.data["picture"]
    data = wish(explorer, "set", name="warmth", sigmas=1)
    assert data["alt"] == "latents that were given · warmth +1 σ" and data["picture"] != first
    assert not wish(explorer, "set", name="warmth", sigmas=1)["can_redo"]
    assert wish(explorer, "undo")["picture"] == first
    wish(explorer, "random")
    assert wish(explorer, "restore", text=data["share"])["picture"] == data["picture"]


# captions


@pytest.fixture
def conditional(phone) -> AxisExplorer:
    axes = find_axes(phone.generator, ["warmth"], n=40, texts=["a red dog"], progress=False)
    return AxisExplorer(
        Walk(phone.generator, axes, text="a red dog"), names=["warmth"], texts=["a man runs", "a red dog"]
    )


def test_the_caption_can_be_changed_and_unknown_words_are_told(conditional):
    first = conditional.data["picture"]
    data = wish(conditional, "text", text=" a blue zeppelin ")
    assert data["text"] == "a blue zeppelin" and data["dropped"] == ["zeppelin"] and data["picture"] != first
    data = wish(conditional, "text", text="zeppelin")
    assert "zeppelin" in data["error"] and data["text"] == "a blue zeppelin"


def test_random_keeps_a_pinned_caption_and_else_takes_another(conditional):
    assert conditional.data["texts"] == ["a red dog", "a man runs"]
    assert wish(conditional, "random")["text"] == "a red dog"
    wish(conditional, "pin", pinned=False)
    assert wish(conditional, "random")["text"] == "a man runs"
    assert wish(conditional, "random")["text"] == "a red dog"
    assert wish(conditional, "undo")["text"] == "a man runs"


def test_a_generator_without_text_has_no_field_for_it(explorer):
    assert explorer.data["text"] is None


# honesty


def test_knobs_without_effect_are_left_out_and_named(walk):
    explorer = AxisExplorer(walk)
    assert [feature["name"] for feature in explorer.data["features"]] == ["warmth", "brightness"]
    assert explorer.data["omitted"] == ["contrast"]


def test_a_badge_tells_what_was_measured(free, axes):
    measured = {"warmth": Measured(0.8, 0.95, 0.3, 0.5, 0.02)}
    walk = Walk(free, dataclasses.replace(axes, measured=measured))
    warmth, brightness, contrast = AxisExplorer(walk, names=NAMES).data["features"]
    assert warmth["badge"] == "R² 0.90 · leaks 0.30, locked 0.02" and "0.80 standard deviations" in warmth["told"]
    assert "not measured" in brightness["told"]
    assert [each["grade"] for each in (warmth, brightness, contrast)] == ["good", "good", "poor"]
    blind = AxisExplorer(Walk(free, dataclasses.replace(axes, r2=None))).data["features"]
    assert {each["badge"] for each in blind} == {"found without scores"}


def test_meters_show_the_change_of_the_scores_once_they_are_asked_for(explorer, walk):
    data = wish(explorer, "set", name="warmth", sigmas=2)
    assert data["changes"] is None and data["measurable"]
    changes = wish(explorer, "measure")["changes"]
    before, after = (walk.scores(explorer.features, state) for state in (walk.state.part(0), walk.state))
    assert changes == pytest.approx({name: after[name] - before[name] for name in NAMES}, abs=1e-3)
    assert wish(explorer, "undo")["changes"] == dict.fromkeys(NAMES, 0)


def test_a_knob_that_rests_while_it_is_dragged_is_measured_there(explorer):
    picture = wish(explorer, "try", name="warmth", sigmas=2)["picture"]
    data = wish(explorer, "measure")
    assert data["picture"] == picture and data["changes"]["warmth"] != 0 and not data["can_undo"]


def test_the_meter_of_a_locked_feature_counts_from_when_it_was_locked(explorer, walk):
    wish(explorer, "set", name="brightness", sigmas=2)
    wish(explorer, "lock", name="brightness", locked=True)
    assert wish(explorer, "measure")["changes"]["brightness"] == 0
    wish(explorer, "set", name="warmth", sigmas=2)
    states = (walk.state, walk.state.before("brightness"), walk.state.part(0))
    now, then, first = (walk.scores(explorer.features, state)["brightness"] for state in states)
    changes = wish(explorer, "measure")["changes"]
    assert changes["brightness"] == pytest.approx(now - then, abs=1e-4) != pytest.approx(now - first, abs=1e-4)


def test_axes_of_other_peoples_scores_have_no_meters_but_work(free, axes):
    walk = Walk(free, dataclasses.replace(axes, names=("smile", "hair", "hat")))
    explorer = AxisExplorer(walk)
    assert not explorer.data["measurable"] and "came from outside" in explorer.data["why_not"]
    assert wish(explorer, "measure")["changes"] is None
    own = Features(walk.axes.names, function=lambda images: images.mean((2, 3)))
    assert wish(AxisExplorer(walk, features=own), "measure")["changes"] == {"smile": 0, "hair": 0}


# mistakes


@pytest.mark.parametrize(
    ("do", "given", "said"),
    [
        ("set", {"name": "warmth", "sigmas": 21}, "from -20 to 20 σ"),
        ("set", {"name": "warmth", "sigmas": None}, "from -20 to 20 σ"),
        ("try", {"name": "wramth", "sigmas": 1}, "Did you mean warmth"),
        ("lock", {"name": "nose", "locked": True}, "no setting 'nose'"),
        ("restore", {"text": "tg1;faces;3;;;;"}, "belongs to the generator 'faces'"),
        ("restore", {"text": ""}, "does not describe a walk"),
        ("text", {"text": "a dog"}, "paints without text"),
        ("fly", {}, "cannot do"),
        ("lock", {"name": "warmth", "locked": "yes"}, "cannot do"),
    ],
)
def test_mistakes_are_shown_and_change_nothing(explorer, walk, do, given, said):
    wish(explorer, "set", name="brightness", sigmas=1)
    state, picture = walk.state, explorer.data["picture"]
    data = wish(explorer, do, **given)
    assert said in data["error"] and data["answered"] == "view-1"
    assert walk.state == state and data["picture"] == picture
    assert said in wish(explorer, "measure")["error"]
    assert wish(explorer, "undo")["error"] == ""


def test_not_all_knobs_can_be_locked(explorer):
    for name in NAMES[:2]:
        wish(explorer, "lock", name=name, locked=True)
    data = wish(explorer, "lock", name="contrast", locked=True)
    assert "Unlock one" in data["error"] and data["locked"] == ["warmth", "brightness"]


def test_a_knob_within_the_span_of_the_locked_ones_says_why_it_is_disabled(free, axes):
    columns = axes.axes.copy()
    columns[:, 2] = columns[:, 0] + columns[:, 1]
    explorer = AxisExplorer(Walk(free, dataclasses.replace(axes, axes=columns)), names=NAMES)
    wish(explorer, "lock", name="warmth", locked=True)
    data = wish(explorer, "lock", name="brightness", locked=True)
    assert data["disabled"] == {"contrast": "it cannot move without brightness, warmth"}


def test_a_constant_feature_says_why_it_is_disabled(free, axes):
    columns = axes.axes.copy()
    columns[:, 1] = 0
    explorer = AxisExplorer(Walk(free, dataclasses.replace(axes, axes=columns)), names=NAMES)
    assert explorer.data["disabled"] == {"brightness": "its score is constant"}


def test_unexpected_errors_are_shown_too(explorer, monkeypatch, caplog):
    monkeypatch.setattr(explorer.walk, "picture", lambda state: 1 / 0)
    data = wish(explorer, "set", name="warmth", sigmas=1)
    assert "ZeroDivisionError" in data["error"] and "ZeroDivisionError" in caplog.text


def test_no_feature_and_an_unknown_one_are_refused(walk):
    with pytest.raises(SettingsError, match="no feature to move"):
        AxisExplorer(walk, names=[])
    with pytest.raises(SettingsError, match="Did you mean warmth"):
        AxisExplorer(walk, names=["wramth"])


# keeping


def kept(explorer: AxisExplorer, monkeypatch, file: str) -> tuple[dict, bytes]:
    """What is sent to the browser when its button is pressed."""
    sent = []
    monkeypatch.setattr(explorer, "send", lambda message, buffers=(): sent.append((message, *buffers)))
    explorer._heard(explorer, {"keep": file}, [])
    return sent[0][0], b"".join(sent[0][1:])


def test_the_picture_is_kept_pixel_by_pixel(explorer, walk, monkeypatch):
    wish(explorer, "set", name="warmth", sigmas=2)
    _, content = kept(explorer, monkeypatch, "free.png")
    assert Image.open(BytesIO(content)).tobytes() == walk.picture().image.tobytes()


def test_a_walk_is_kept_as_animation_film_strip_and_figure(explorer, monkeypatch):
    wish(explorer, "set", name="warmth", sigmas=2)
    with Image.open(BytesIO(kept(explorer, monkeypatch, "free-walk.gif")[1])) as gif:
        assert gif.n_frames > 4
    assert Image.open(BytesIO(kept(explorer, monkeypatch, "free-strip.png")[1])).width > 1000
    assert kept(explorer, monkeypatch, "free-grid.pdf")[1].startswith(b"%PDF")


def test_without_a_move_there_is_no_walk_to_keep(explorer, monkeypatch):
    message, content = kept(explorer, monkeypatch, "free-walk.gif")
    assert message["failed"] and "Move a knob first" in message["said"] and content == b""


def test_beside_the_widget_stands_a_still_of_start_and_result(explorer):
    explorer_alone = explorer.still()[0].width
    wish(explorer, "set", name="warmth", sigmas=2)
    image, words = explorer.still()
    assert image.width > explorer_alone and words == "seed 3 · warmth +2 σ"
