import dataclasses
import math

import pytest
import torch

from telephonegan.data.layouts import read_data
from telephonegan.errors import SettingsError
from telephonegan.training import distributed, loop
from telephonegan.training.captioner import CaptionerRecipe, CaptionerSettings
from telephonegan.training.sight import CellBank


@pytest.fixture(scope="module")
def splits(drawings):
    return read_data(drawings, "train", "plain"), read_data(drawings, "dev", "plain")


@pytest.fixture(params=[True, False], ids=["attending", "plain"])
def settings(request, captioner_settings):
    return dataclasses.replace(captioner_settings, attention=request.param)


def make(splits, settings, cache):
    torch.manual_seed(0)
    return CaptionerRecipe(*splits, settings, cache)


def test_the_loss_starts_near_that_of_guessing_and_every_weight_moves(splits, settings, cache):
    recipe = make(splits, settings, cache)
    before = {name: p.clone() for name, p in recipe.model.named_parameters()}
    loop.seed_step(0, 0)
    loss = recipe.step(0)["loss"]
    assert loss == pytest.approx(math.log(len(recipe.vocabulary)), rel=0.2)
    assert [name for name, p in recipe.model.named_parameters() if torch.equal(p, before[name])] == []


@pytest.mark.parametrize("attention, rate, share", [(True, 0.005, 0.8), (False, 0.02, 0.5)])
def test_the_captioner_learns_the_sentences_of_the_drawings(splits, captioner_settings, cache, attention, rate, share):
    recipe = make(
        splits,
        dataclasses.replace(
            captioner_settings,
            attention=attention,
            learning_rate=rate,
            dropout=0.0,
            embedding_width=32,
            hidden_width=32,
            steps=10_000,
            label_smoothing=0.0,
        ),
        cache,
    )
    losses = []
    for step in range(100, 140):  # after the warm-up
        loop.seed_step(0, step)
        losses.append(recipe.step(step)["loss"])
    assert sum(losses[-5:]) / 5 < share * losses[0]


def test_a_resumed_run_equals_an_uninterrupted_one(splits, settings, cache, tmp_path):
    whole = make(splits, settings, cache)
    loop.run(whole, tmp_path / "whole", steps=4)
    loop.run(make(splits, settings, cache), tmp_path / "parts", steps=2)
    resumed = make(splits, settings, cache)
    loop.run(resumed, tmp_path / "parts", steps=4)
    for part in ("model", "average"):
        ours, theirs = whole.state()[part].state_dict(), resumed.state()[part].state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_the_average_follows_the_model_at_first_and_lags_behind_later(splits, settings, cache):
    recipe = make(splits, settings, cache)
    distances = []
    for step in range(4):
        before = [mean.clone() for mean in recipe.average.parameters()]
        recipe.step(step)
        distances.append(
            max(
                (a - b).abs().max().item()
                for a, b in zip(recipe.average.parameters(), recipe.model.parameters(), strict=True)
            )
        )
        assert any(not torch.equal(a, b) for a, b in zip(before, recipe.average.parameters(), strict=True))
    assert distances[:3] == [0.0, 0.0, 0.0]
    assert distances[3] > 0
    assert not any(p.requires_grad for p in recipe.average.parameters())


def test_captions_are_framed_by_markers_cut_and_rare_words_are_unknown(splits, captioner_settings, cache):
    recipe = make(splits, dataclasses.replace(captioner_settings, words_limit=3), cache)
    assert recipe.vocabulary.words[:4] == ["<pad>", "<start>", "<end>", "<unk>"]
    ids = recipe._ids(["a", "zebra", "circle", "on", "white"])
    assert [recipe.vocabulary.words[i] for i in ids] == ["<start>", "a", "<unk>", "circle", "<end>"]


def test_the_loss_does_not_depend_on_the_order_of_a_photographs_captions(splits, captioner_settings, cache):
    losses = []
    for order in (1, -1):
        recipe = make(splits, dataclasses.replace(captioner_settings, dropout=0.0), cache)
        recipe.ids = [captions[::order] for captions in recipe.ids]
        loop.seed_step(0, 0)
        losses.append(recipe.step(0)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("word, costs", [("red", True), ("green", False)])
def test_every_word_of_the_captions_of_the_drawn_photographs_counts(splits, captioner_settings, cache, word, costs):
    recipe = make(splits, dataclasses.replace(captioner_settings, dropout=0.0, label_smoothing=0.0), cache)
    recipe.ids = [[recipe._ids(["a", "red", "circle"]), recipe._ids(["red"])] for _ in recipe.ids]
    loop.seed_step(0, 0)
    before = recipe.step(0)["loss"]
    again = make(splits, recipe.settings, cache)
    again.ids = recipe.ids
    with torch.no_grad():
        again.model.decoder.linear.bias[again.vocabulary.ids[word]] += 3
    loop.seed_step(0, 0)
    assert (again.step(0)["loss"] < before) == costs


def test_evaluating_scores_captions_and_writes_them_down(splits, settings, cache, tmp_path):
    recipe = make(splits, settings, cache)
    scores = recipe.evaluate(7, tmp_path)
    assert {"BLEU-4", "CIDEr-D", "ROUGE-L"} <= set(scores)
    assert all(math.isfinite(score) for score in scores.values())
    lines = (tmp_path / "captions-000007.txt").read_text(encoding="utf-8").splitlines()
    assert [line.partition("\t")[0] for line in lines] == splits[1].names


def test_evaluating_leaves_the_model_in_training(splits, settings, cache, tmp_path):
    recipe = make(splits, settings, cache)
    recipe.step(0)
    recipe.evaluate(1, tmp_path)
    assert recipe.model.training
    assert not recipe.average.training


# ------------------------------------------------------------------------------------------- the cells


def cells(splits, settings, cache, view):
    bank = CellBank(splits[1], settings, cache, [view])
    return bank[torch.zeros(12, dtype=torch.long), torch.arange(12)]


def test_cells_are_a_grid_over_the_last_convolution(splits, captioner_settings, cache):
    assert cells(splits, captioner_settings, cache, "plain").shape == (12, 4, 1280)


def test_the_views_differ_from_each_other(splits, captioner_settings, cache):
    views = [cells(splits, captioner_settings, cache, view) for view in ("plain", "mirrored", "small", "crop")]
    for i, one in enumerate(views):
        for other in views[:i]:
            assert (one - other).pow(2).mean() > 0.01 * one.pow(2).mean()


def test_the_mirrored_view_shows_bars_as_the_plain_one_does(splits, captioner_settings, cache):
    bars = torch.tensor([i for i, name in enumerate(splits[1].names) if "bar" in name])
    plain = cells(splits, captioner_settings, cache, "plain")[bars]
    mirrored = cells(splits, captioner_settings, cache, "mirrored")[bars]
    torch.testing.assert_close(mirrored, plain, rtol=0.05, atol=0.05 * plain.abs().max().item())


@pytest.mark.parametrize(
    "view, change",
    [
        ("plain", {"stored_size": 32}),
        ("plain", {"input_size": 96}),
        ("small", {"small_size": 12}),
        ("crop", {"stored_size": 32}),
    ],
)
def test_other_sizes_never_meet_the_cells_of_these(splits, captioner_settings, cache, view, change):
    ours = cells(splits, captioner_settings, cache, view)
    theirs = cells(splits, dataclasses.replace(captioner_settings, **change), cache, view)
    assert ours.shape != theirs.shape or not torch.equal(ours, theirs)


# ----------------------------------------------------------------------------------- several processes


def test_the_shares_of_two_processes_add_up_to_one_process(splits, captioner_settings, cache, monkeypatch):
    recipe = make(splits, dataclasses.replace(captioner_settings, dropout=0.0, photos_per_batch=4), cache)
    photos = [0, 1, 2, 3]
    cells = recipe.sight.bank[torch.zeros(4, dtype=torch.long), torch.tensor(photos)]
    recipe.ids[0] = recipe.ids[0][:2]  # so that the halves have different numbers of words
    whole = recipe.cross_entropy(cells, photos).item()
    words = [
        sum(len(caption) - 1 for photo in part for caption in recipe.ids[photo]) for part in (photos[:2], photos[2:])
    ]
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "total", lambda number: sum(words))
    halves = [recipe.cross_entropy(cells[part], photos[part]).item() for part in (slice(2), slice(2, 4))]
    assert words[0] != words[1]
    assert sum(halves) / 2 == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("change", [{"input_size": 100}, {"words_limit": 0}, {"photos_per_batch": 0}])
def test_settings_that_cannot_work_are_refused(change):
    with pytest.raises(SettingsError, match=next(iter(change))):
        CaptionerSettings(**change)
