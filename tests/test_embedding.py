"""Sentences as vectors, the matcher that writes them, and their neighbours."""

import json

import numpy as np
import pytest
import torch

from telephonegan import embed
from telephonegan.cli.main import main
from telephonegan.embedding import Sentences
from telephonegan.errors import DataError, TextError, UnknownModelError, WeightsError
from telephonegan.matcher import Matcher
from telephonegan.zoo import catalogue, store
from tests.tiny import NAME, register_gan_cls

TEXTS = ["a purple flower", "a yellow flower with round petals", "white"]


@pytest.fixture(autouse=True)
def registered_embedding(tmp_path, no_shipped_models, monkeypatch):
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    register_gan_cls()


def test_a_text_gives_a_vector_and_a_list_a_list_of_the_same_ones():
    one, many = embed(TEXTS[0], embedding=NAME, device="cpu"), embed(TEXTS * 30, embedding=NAME, device="cpu")
    assert one.vector.shape == (6,) and one.model == f"embedding/{NAME}"
    assert len(many) == 90
    assert np.allclose(many[0].vector, one.vector, atol=1e-6) and np.allclose(many[87].vector, one.vector, atol=1e-6)


def test_case_and_punctuation_make_no_difference_to_an_encoder_of_plain_words():
    plain, shouted = embed(["a purple flower", "A  purple, flower!"], embedding=NAME, device="cpu")
    assert np.array_equal(plain.vector, shouted.vector)


def test_what_is_not_read_is_told():
    found = embed("a café " + "with round petals " * 20, embedding=NAME, device="cpu")
    assert found.dropped == ["é"]
    assert found.truncated == 62 - len(found.words)


@pytest.mark.parametrize("text", ["", "  ", "…", "花"])
def test_a_text_without_a_letter_is_an_error(text):
    with pytest.raises(TextError):
        embed(text, embedding=NAME, device="cpu")


def test_an_unknown_embedding_is_an_error_that_lists_them():
    with pytest.raises(UnknownModelError, match=NAME):
        embed("a flower", embedding="roses", device="cpu")


def test_the_nearest_sentence_to_one_of_the_data_is_itself(drawings):
    known = Sentences(drawings, embedding=NAME, device="cpu")
    best, *others = known.nearest("the square is blue", n=4)
    assert (best.sentence, best.photograph) == ("the square is blue", "train-blue-square.png")
    assert best.cosine == pytest.approx(1)
    assert len({each.sentence for each in others}) == 3 and others[0].cosine >= others[-1].cosine


def test_the_command_prints_the_vector_or_the_neighbours(drawings, capsys):
    assert main(["embed", "a purple flower", "--embedding", NAME, "--device", "cpu"]) == 0
    told = json.loads(capsys.readouterr().out)
    expected = embed("a purple flower", embedding=NAME, device="cpu").vector
    assert np.allclose(told["vector"], expected, atol=1e-5)
    assert main(["embed", "one red circle", "--near", str(drawings), "--embedding", NAME, "-n", "1"]) == 0
    assert "one red circle  (train-red-circle.png)" in capsys.readouterr().out


def test_an_embedding_scores_pictures_as_any_matcher_does():
    matcher = Matcher.load(f"embedding/{NAME}")
    pictures = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pictures.requires_grad_()
    scores = matcher.score(pictures, [text.split() for text in TEXTS])
    assert scores.shape == (3,) and scores.abs().max() <= 1
    scores.sum().backward()
    assert pictures.grad.abs().sum() > 0
    read = matcher.read_words([text.split() for text in TEXTS])
    assert read.words.shape == (3, 6, 8) and read.lengths.tolist() == [8, 8, 8]


def test_an_embedding_may_be_a_judge():
    entry = catalogue.find("embedding", NAME)
    settings, tensors = entry.settings, store.read_tensors(entry)
    store.register("judge", NAME, tensors, architecture="char-cnn-rnn", settings=settings)
    assert torch.allclose(
        Matcher.load(NAME).read([["red"]]), Matcher.load(f"embedding/{NAME}").read([["red"]]), atol=1e-6
    )


def test_an_encoder_without_an_image_side_reads_texts_only():
    entry = catalogue.find("embedding", NAME)
    settings = {"text": entry.settings["text"], "plain": False}
    tensors = {key: value for key, value in store.read_tensors(entry).items() if key.startswith("text")}
    store.register("embedding", "published", tensors, architecture="char-cnn-rnn", settings=settings)
    assert embed("a flower", embedding="published", device="cpu").vector.shape == (6,)
    with pytest.raises(WeightsError, match="reads texts only"):
        Matcher.load("embedding/published")


def test_photographs_without_class_numbers_cannot_measure_an_embedding(drawings):
    with pytest.raises(DataError, match="class numbers"):
        main_scores(drawings)


def main_scores(data):
    from telephonegan.evaluation import embedding_scores

    return embedding_scores(NAME, data)


def test_measuring_finds_the_scores_of_classes_that_were_asked_for(tmp_path):
    from telephonegan.data.shapes import CLASSES, write_world
    from telephonegan.evaluation import embedding_scores

    world = write_world(tmp_path / "world", train=60, dev=10, test=10, size=32, classes=True)
    whole = embedding_scores(NAME, world)
    assert whole["n"] == 80 and whole["n_classes"] <= len(CLASSES)
    assert whole["top1_chance"] == pytest.approx(1 / whole["n_classes"])
    some = embedding_scores(NAME, world, classes=[0, 1, 2, 3, 4, 5], captions_per_class=3)
    assert some["n_classes"] <= 6 and some["n_captions"] == 3 * some["n_classes"]
    assert 0 <= some["ap_1"] <= 1
