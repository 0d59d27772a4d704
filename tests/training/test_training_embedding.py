"""Text embeddings from classes of drawn shapes: batches, learning, held-out classes, and runs that become models."""

import dataclasses

import pytest
import torch

from telephonegan import training
from telephonegan.data.layouts import read_data
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.data.shapes import write_world
from telephonegan.errors import DataError, SettingsError
from telephonegan.matcher import Matcher
from telephonegan.text import Alphabet
from telephonegan.training import loop
from telephonegan.training.embedding import CaptionBank, EmbeddingRecipe, EmbeddingSettings, without_words
from telephonegan.zoo import catalogue

SMALL = EmbeddingSettings(
    **{"channels": 16, "components": 12, "word_width": 8, "minimum_count": 1, "picture_size": 32, "input_size": 64},
    **{"views": 1, "batch_size": 8, "steps": 40, "learning_rate": 3e-3},
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes") / "world"
    return write_world(folder, train=60, dev=30, test=10, size=32, classes=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


def made(world, cache, **changes) -> EmbeddingRecipe:
    torch.manual_seed(0)
    settings = dataclasses.replace(SMALL, **changes)
    return EmbeddingRecipe(read_data(world, "train"), read_data(world, "dev"), settings, cache)


def test_a_batch_has_one_photograph_of_each_of_its_classes_with_a_caption_of_its_own():
    captions = [[["a", "b"], ["c"]], [["d"]], [["e"]], [["f"]], []]
    bank = CaptionBank(CaptionedPhotos(None, list("vwxyz"), captions, classes=[7, 7, 3, 5, 5]), Alphabet(plain=True))
    seen = set()
    for _ in range(60):
        photos, rows = bank.draw(3)
        assert sorted([7, 7, 3, 5, 5][row] for row in photos.tolist()) == [3, 5, 7]
        seen |= set(zip(photos.tolist(), rows.tolist(), strict=True))
    assert seen == {(0, 0), (0, 1), (1, 2), (2, 3), (3, 4)}


@pytest.mark.parametrize("encoder, rate", [("char-cnn-rnn", 1e-3), ("word-cnn", 3e-3), ("bag-of-words", 3e-3)])
def test_every_encoder_learns_to_tell_classes_apart(world, cache, encoder, rate):
    recipe = made(world, cache, encoder=encoder, learning_rate=rate)
    losses = []
    for step in range(40):
        loop.seed_step(0, step)
        losses.append(recipe.step(step)["loss"])
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    found = recipe.evaluate(40, cache)
    assert 0 <= found["top1"] <= 1 and found["chance"] < 0.2


def test_a_share_of_the_words_is_left_out_in_order_and_never_all():
    words = ["one", "two", "three", "four"]
    torch.manual_seed(0)
    read = [without_words(words, 0.5) for _ in range(300)]
    assert len({tuple(kept) for kept in read}) == 15
    assert all(kept == sorted(kept, key=words.index) for kept in read)
    assert without_words(words, 0.0) == without_words(words, 1.0) == words and without_words([], 0.5) == []


def test_an_encoder_learns_the_guesses_of_the_linear_teacher(world, cache):
    recipe = made(world, cache, encoder="bag-of-words", taught=1.0, word_dropout=0.2)
    captions = recipe.bank.words

    def distance():
        return (recipe.text(recipe.bank.ids(captions))[1] - recipe.teacher(captions)).square().sum(1).mean().item()

    before = distance()
    for step in range(40):
        loop.seed_step(0, step)
        recipe.step(step)
    assert distance() < 0.5 * before


def test_texts_may_be_mapped_to_the_features_themselves(world, cache):
    recipe = made(world, cache, projected=False)
    assert [*recipe.image.parameters()] == []
    assert recipe.text.linear.out_features == recipe.settings.components
    loop.seed_step(0, 0)
    assert recipe.step(0)["loss"] > 0


def test_a_run_may_begin_with_the_text_encoder_of_another_one(world, cache):
    other, recipe = made(world, cache), made(world, cache, projected=True, width=20)
    loop.seed_step(0, 0)
    other.step(0)
    recipe.warm_start({name: part.state_dict() for name, part in other.state().items()})
    assert torch.equal(recipe.text.conv1.weight, other.text.conv1.weight)
    assert recipe.text.linear.out_features == 20


def test_the_learning_rate_falls_once_in_as_many_steps_as_there_are_classes(world, cache):
    recipe = made(world, cache, decay=0.5)
    classes = len(recipe.bank.photos)
    rates = []
    for step in (0, classes - 1, classes, 2 * classes):
        loop.seed_step(0, step)
        recipe.step(step)
        rates.append(recipe.optimiser.param_groups[0]["lr"])
    assert rates == [3e-3, 3e-3, 1.5e-3, 7.5e-4]


def test_photographs_without_classes_are_refused(drawings, cache):
    with pytest.raises(DataError, match=r"labels\.csv"):
        EmbeddingRecipe(read_data(drawings, "train"), read_data(drawings, "dev"), SMALL, cache)


def test_an_unknown_encoder_is_an_error_that_lists_them():
    with pytest.raises(SettingsError, match="word-cnn"):
        EmbeddingSettings(encoder="skip-thought")


def stop_before_step(patch, step):
    seen = iter(range(step + 1))
    patch.setattr(loop, "_is_past", lambda deadline: next(seen) == step)


def test_a_run_resumes_exactly_and_becomes_a_matcher_or_a_judge(world, cache, tmp_path, monkeypatch, no_shipped_models):
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    how = {"data": world, "cache": cache, "device": "cpu", "without": [0, 1, 2, 3, 4, 5]}
    how["settings"] = {**dataclasses.asdict(SMALL), "steps": 4}
    assert training.train("embedding", run=tmp_path / "whole", **how)
    with monkeypatch.context() as patch:
        stop_before_step(patch, 2)
        assert not training.train("embedding", run=tmp_path / "parts", **how)
    assert training.resume(tmp_path / "parts", device="cpu")
    whole, parts = (loop.read_checkpoint(tmp_path / run / "checkpoint.pt") for run in ("whole", "parts"))
    assert all(torch.equal(value, parts["text_encoder"][name]) for name, value in whole["text_encoder"].items())
    entry = training.export(tmp_path / "whole", name="shapes").entry
    assert (entry.kind, entry.architecture, entry.vocabulary) == ("embedding", "char-cnn-rnn", None)
    training.export(tmp_path / "whole", name="shapes", as_judge=True)
    texts = [["a", "red", "circle"], ["blue"]]
    assert torch.equal(Matcher.load("embedding/shapes").read(texts), Matcher.load("judge/shapes").read(texts))


def test_an_encoder_of_words_becomes_a_matcher_with_its_vocabulary(
    world, cache, tmp_path, monkeypatch, no_shipped_models
):
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    settings = {**dataclasses.asdict(SMALL), "steps": 1, "encoder": "word-cnn"}
    training.train("embedding", data=world, run=tmp_path / "run", cache=cache, device="cpu", settings=settings)
    training.export(tmp_path / "run", name="words")
    matcher = Matcher.load("embedding/words")
    assert "circle" in matcher.vocabulary and matcher.read([["red", "circle"]]).shape == (1, 12)
