"""Walks: moves, locks, undo, and the text that shares them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import telephonegan as tg
from telephonegan.errors import SettingsError, TextError
from telephonegan.latent import AxisSet, Walk, features_of, find_axes

NAMES = ("warmth", "a name; with @ all=of,it|&.", "größe")


@pytest.fixture
def axes(free):
    columns = np.random.default_rng(0).normal(size=(16, 3))
    return AxisSet(NAMES, columns, np.ones(3), generator=free.name, sha256=free.sha256)


@pytest.fixture
def walk(free, axes):
    return Walk(free, axes, seed=3)


def pixels(picture):
    return picture.image.tobytes()


def test_a_walk_without_moves_shows_what_the_seed_draws(walk):
    assert pixels(walk.picture()) == pixels(tg.sample("free", seed=3))


def test_moves_of_different_features_add_up_in_any_order(free, axes):
    one, other = Walk(free, axes), Walk(free, axes)
    one.set("warmth", 1), one.set("größe", -2)
    other.set("größe", -2), other.set("warmth", 3), other.set("warmth", 1)
    assert pixels(one.picture()) == pixels(other.picture()) and one.share() == other.share()


def test_locking_leaves_the_picture_and_locking_twice_leaves_everything(walk):
    walk.set("warmth", 2)
    before, state = walk.picture(), walk.state
    walk.lock("größe")
    assert pixels(walk.picture()) == pixels(before)
    walk.lock("größe", False)
    assert walk.state == state


def test_a_locked_feature_keeps_its_coordinate_while_another_moves(walk):
    walk.lock("größe")
    before = walk.axes.coordinates(walk.latents())["größe"]
    walk.set("warmth", 4)
    assert walk.axes.coordinates(walk.latents())["größe"] == pytest.approx(before, abs=1e-5)
    with pytest.raises(SettingsError, match="größe is locked"):
        walk.set("größe", 1)


def test_a_slider_shows_the_whole_way_over_all_locks(walk):
    walk.set("warmth", 1)
    walk.lock("größe")
    walk.set("warmth", 3)
    assert walk.state.total("warmth") == 3
    walk.set("warmth", 0)
    assert walk.state.total("warmth") == 0


def test_undo_and_redo_go_through_all_states(walk):
    shares = [walk.share()]
    for change in (
        lambda: walk.set("warmth", 1),
        lambda: walk.lock("größe"),
        lambda: walk.step("warmth"),
        lambda: walk.random(9),
        walk.reset,
    ):
        change()
        shares.append(walk.share())
    for share in shares[-2::-1]:
        assert walk.undo() and walk.share() == share
    assert not walk.undo()
    for share in shares[1:]:
        assert walk.redo() and walk.share() == share
    assert not walk.redo()


def test_a_new_change_forgets_what_was_undone(walk):
    walk.set("warmth", 1)
    walk.undo()
    walk.set("warmth", 2)
    assert not walk.redo()


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.floats(-5, 5), st.sampled_from(["set", "lock", "unlock"])), max_size=8
    ),
    st.booleans(),
)
def test_a_shared_text_restores_the_state(of_hypothesis, seed, changes, is_inverted):
    free, axes = of_hypothesis
    start = {"noise": np.random.default_rng(seed).normal(size=16)} if is_inverted else None
    walk = Walk(free, axes, seed=seed, start=start)
    for name, sigmas, what in changes:
        try:
            walk.set(name, sigmas) if what == "set" else walk.lock(name, what == "lock")
        except SettingsError:
            continue
    other = Walk(free, axes)
    other.restore(walk.share())
    assert other.share() == walk.share() and "\n" not in walk.share()
    assert other.state.locked == walk.state.locked and other.state.steps == walk.state.steps
    np.testing.assert_array_equal(other.latents()["noise"], walk.latents()["noise"])


@pytest.fixture(scope="module")
def of_hypothesis(registered_free):
    from telephonegan.generation import Generator

    free = Generator.load(registered_free, "cpu")
    columns = np.random.default_rng(0).normal(size=(16, 3))
    return free, AxisSet(NAMES, columns, np.ones(3), generator=free.name, sha256=free.sha256)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk",
        "tg1;free;3",
        "tg0;free;3;;;;",
        "tg1;faces;3;;;;",
        "tg1;free;-1;;;;",
        "tg1;free;3;a dog;;;",
        "tg1;free;3;;warmth=x;;",
        "tg1;free;3;;warmth=nan;;",
        "tg1;free;3;;warmth=1e9;;",
        "tg1;free;3;;age=1;;",
        "tg1;free;3;;;age;",
        "tg1;free;3;;;;noise=AAAA",
        "tg1;free;3;;;;noise=!",
        "tg1;free;3;;;;size=AAAA",
    ],
)
def test_other_texts_are_refused_and_change_nothing(walk, text):
    walk.set("warmth", 1)
    before = walk.state
    with pytest.raises(SettingsError, match="does not describe a walk"):
        walk.restore(text)
    assert walk.state == before


@pytest.mark.parametrize("sigmas", [float("nan"), float("inf"), 21, -21, "x", None])
def test_steps_out_of_reach_are_refused(walk, sigmas):
    with pytest.raises(SettingsError, match="from -20 to 20 σ"):
        walk.set("warmth", sigmas)


def test_axes_of_another_model_are_refused(free, axes):
    with pytest.raises(SettingsError, match="another version"):
        Walk(free, dataclasses.replace(axes, sha256="00"))


def test_a_generator_without_text_takes_none(free, axes):
    with pytest.raises(TextError, match="paints without text"):
        Walk(free, axes, text="a dog")


def test_frames_are_the_pictures_at_each_place_and_leave_the_state(walk):
    walk.set("größe", 1)
    before = walk.share()
    frames = walk.frames("warmth", [-2, 2])
    assert walk.share() == before
    walk.set("warmth", 2)
    assert np.abs(np.asarray(frames[1].image).astype(int) - np.asarray(walk.picture().image)).max() <= 1


@pytest.mark.parametrize("part", ["noise", "eps", "condition"])
def test_a_walk_with_a_text_moves_each_part(phone, part):
    generator = phone.generator
    axes = find_axes(generator, ["warmth"], n=60, part=part, texts=["a red dog", "a man runs"], progress=False)
    walk = Walk(generator, axes, text="a red dog")
    before = walk.picture()
    walk.set("warmth", 3)
    assert pixels(walk.picture()) != pixels(before)
    assert part in walk.picture().latents
    walk.retext("a man runs")
    assert walk.picture().text == "a man runs" and walk.state.total("warmth") == 3


def test_the_meter_shows_what_a_move_did(free):
    axes = find_axes(free, ["warmth", "brightness"], n=300, progress=False)
    walk, features = Walk(free, axes, seed=4), features_of(axes, "cpu")
    before = walk.scores(features)
    walk.lock("brightness")
    walk.set("warmth", 2)
    after = walk.scores(features)
    assert after["warmth"] - before["warmth"] > 0.5
    assert abs(after["brightness"] - before["brightness"]) < 0.5
