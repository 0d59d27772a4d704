"""Sentences as vectors, and pictures moved along axes, over a real connection."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from telephonegan.embedding import embed
from telephonegan.generation import Generator
from telephonegan.latent import AxisSet, Walk
from telephonegan.serving import Settings
from telephonegan.serving.work import Models
from tests.tiny import NAME, register_axes

TEXT = "a red dog runs on the beach"
MOVED = {"axes": "of-free", "seed": 5, "steps": {"warmth": 2.0, "sharpness": -1.5}, "locked": ["contrast"]}


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)), dtype=int)


@pytest.fixture
def walk(only_tiny):
    """The walk that MOVED asks for."""
    made = Walk(Generator.load("free", "cpu"), AxisSet.load("of-free"), seed=5)
    made.lock("contrast"), made.set("warmth", 2.0), made.set("sharpness", -1.5)
    return made


# ---------------------------------------------------------------------------------------------------- embed


def test_vectors_are_those_of_the_library(server):
    texts = [TEXT, "two zeppelins in the snow"]
    told = server.post("/v1/embed", json={"text": texts}).json()["embeddings"]
    for got, expected in zip(told, embed(texts, embedding=f"damsm/{NAME}", device="cpu"), strict=True):
        np.testing.assert_allclose(got["vector"], expected.vector, atol=1e-6)
        assert (got["model"], got["words"], got["dropped_words"]) == (expected.model, expected.words, expected.dropped)
    (alone,) = server.post("/v1/embed", json={"text": TEXT, "embedding": f"damsm/{NAME}"}).json()["embeddings"]
    np.testing.assert_allclose(alone["vector"], told[0]["vector"], atol=1e-6)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "text is missing"),
        ({"text": "zyx"}, "None of the words of 'zyx'"),
        ({"text": ["a dog"] * 1000}, "each a text of 1 to 2000 characters; a list of 1000 was given."),
        ({"text": TEXT, "embedding": "/etc/passwd"}, "embedding must be "),
        ({"text": TEXT, "near": "flowers"}, "This request has no setting 'near'"),
    ],
)
def test_what_cannot_be_embedded_is_explained(server, body, told):
    answer = server.post("/v1/embed", json=body)
    assert answer.status_code == 422 and told in answer.json()["error"]["message"]


# ---------------------------------------------------------------------------------------------------- axes


def test_a_moved_picture_is_that_of_the_walk(server, walk):
    told = server.post("/v1/axes", json=MOVED).json()
    expected = walk.picture()
    assert np.abs(pixels(base64.b64decode(told["picture"]["png"])) - np.asarray(expected.image, dtype=int)).max() <= 1
    assert told["at"] == pytest.approx(walk.axes.coordinates(walk.latents()), abs=1e-5)
    walk.reset()
    walk.restore(told["walk"])
    assert walk.state.total("warmth") == 2.0 and walk.state.locked == {"contrast"}


def test_without_steps_the_picture_is_what_the_seed_draws(server, walk):
    told = server.post("/v1/axes", json={"axes": "of-free", "seed": 5}).json()
    expected = np.asarray(walk.start().image, dtype=int)
    assert np.abs(pixels(base64.b64decode(told["picture"]["png"])) - expected).max() <= 1


def test_the_picture_itself_comes_where_it_is_accepted(server):
    as_json = server.post("/v1/axes", json={**MOVED, "size": 40}).json()["picture"]
    answer = server.post("/v1/axes", json={**MOVED, "size": 40}, headers={"accept": "image/png"})
    assert answer.headers["content-type"] == "image/png" and answer.headers["x-seed"] == "5"
    assert (pixels(answer.content) == pixels(base64.b64decode(as_json["png"]))).all()
    assert pixels(answer.content).shape == (40, 40, 3)


def test_axes_of_a_generator_with_text_move_what_the_text_says(server):
    body = {"axes": f"of-{NAME}", "text": TEXT, "seed": 1}
    pictures = [
        server.post("/v1/axes", json={**body, "steps": {"warmth": far}}, headers={"accept": "image/png"}).content
        for far in (0, 8)
    ]
    plain = server.post("/v1/generate", json={"text": TEXT, "seed": 1}, headers={"accept": "image/png"}).content
    assert np.abs(pixels(pictures[0]) - pixels(plain)).max() <= 1
    assert np.abs(pixels(pictures[1]) - pixels(plain)).max() > 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"steps": {"warmth": 21}}, "from -20 to 20; 21 was given."),
        ({"steps": {"warmth": "x"}}, "steps must be an object"),
        ({"steps": {"hue": 1}}, "has no setting 'hue'. Allowed: warmth, contrast, sharpness"),
        ({"steps": {"a" * 101: 1}}, "steps must be an object"),
        ({"steps": {f"n{k}": 1 for k in range(65)}}, "at most 64 names"),
        ({"locked": ["hue"]}, "has no setting 'hue'"),
        ({"locked": ["warmth"], "steps": {"warmth": 1}}, "warmth is locked. Unlock it"),
        ({"locked": ["warmth", "contrast", "sharpness"]}, "All features are locked"),
        ({"text": TEXT}, "paints without text"),
        ({"axes": "../../etc/passwd"}, "axes must be one of of-"),
        ({"size": 10**6}, "size must be a whole number from 16 to 1024 or null; 1000000 was given."),
    ],
)
def test_moves_that_cannot_be_made_are_explained(server, body, told):
    answer = server.post("/v1/axes", json={"axes": "of-free", **body})
    assert answer.status_code == 422 and told in answer.json()["error"]["message"], answer.text


def test_axes_and_their_features_are_listed(server):
    listed = {each["name"]: each for each in server.get("/v1/models").json()["axes"]}
    assert listed["of-free"]["generator"] == "free" and not listed["of-free"]["takes_text"]
    assert listed[f"of-{NAME}"]["takes_text"]
    warmth, contrast, _ = listed["of-free"]["features"]
    assert warmth == {"name": "warmth", "r2": None, "ends": ["colder", "warmer"]} and contrast["ends"] is None


# ---------------------------------------------------------------------------------------------------- what is served


def models(tmp_path, **chosen):
    return Models(Settings(captioners=(NAME,), generators=(NAME,), folder=tmp_path, **chosen))


def test_axes_of_another_version_of_a_generator_are_served_on_demand_only(only_tiny, tmp_path):
    AxisSet(("a",), np.ones((16, 1)), np.ones(1), generator="free", sha256="0" * 64).register("old", replace=True)
    assert "old" not in models(tmp_path).axis_names
    assert models(tmp_path, axes=("old",)).axis_names[0] == "old"


def test_a_name_that_is_asked_for_twice_is_served_once(only_tiny, tmp_path):
    register_axes("of-free", "free")
    chosen = models(tmp_path, axes=("of-free",), embeddings=(f"damsm/{NAME}",))
    assert chosen.axis_names.count("of-free") == 1 and chosen.embedding_names.count(f"damsm/{NAME}") == 1
