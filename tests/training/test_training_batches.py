import pytest
import torch

from telephonegan.data.layouts import read_data
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import SettingsError
from telephonegan.text import PAD, Vocabulary
from telephonegan.training import batches as module
from telephonegan.training import loop
from telephonegan.training.batches import Batches, Crops


@pytest.fixture(scope="module")
def photos(drawings):
    return read_data(drawings, "train", "plain")


@pytest.fixture
def build(photos):
    def make(photos=photos, batch_size=5, words_limit=5):
        vocabulary = Vocabulary.build([c for captions in photos.captions for c in captions], specials=(PAD,))
        crops = Crops(photos, [8, 16], workers=2)
        return Batches(photos, vocabulary, crops, batch_size=batch_size, words_limit=words_limit)

    return make


def take(batches, step, seed=0):
    return batches.take(step, seed)


def equal(one, other):
    tensors = zip(
        (one.rows, one.ids, one.lengths, *one.pixels),
        (other.rows, other.ids, other.lengths, *other.pixels),
        strict=True,
    )
    return all(torch.equal(a, b) for a, b in tensors)


def test_an_epoch_meets_no_photograph_twice_and_the_next_one_has_another_order(build):
    batches = build(batch_size=4)
    assert batches.per_epoch == 3
    epochs = [torch.cat([take(batches, 3 * epoch + n).rows for n in range(3)]).tolist() for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0] != epochs[1]


def test_what_does_not_fill_a_batch_waits_for_another_epoch(build):
    batches = build(batch_size=5)
    assert batches.per_epoch == 2
    rows = torch.cat([take(batches, step).rows for step in range(2)]).tolist()
    assert len(set(rows)) == 10


def test_a_step_has_the_same_batch_whether_or_not_it_was_read_ahead(build):
    one = build()
    ahead = [take(one, step) for step in range(5)][-1]
    assert equal(take(build(), 4), ahead)


def test_another_seed_has_other_batches(build):
    assert not equal(take(build(), 1, seed=0), take(build(), 1, seed=1))


def test_a_batch_is_not_that_of_another_seed_read_ahead(build):
    batches = build()
    take(batches, 0, seed=0)
    assert equal(take(batches, 1, seed=7), take(build(), 1, seed=7))


def test_the_next_batch_is_read_meanwhile_and_once(build, monkeypatch):
    read = []
    batches = build()
    one = batches._crops._one  # of this reader: threads of others may still be at work
    monkeypatch.setattr(batches._crops, "_one", lambda *given: read.append(given) or one(*given))
    for step in range(3):
        take(batches, step)
    batches._crops.wait(next(iter(batches._ahead.values())).reading)
    assert len(read) == 4 * 5


def test_batches_leave_the_random_stream_of_the_step_alone(build):
    loop.seed_step(0, 3)
    expected = torch.rand(())
    loop.seed_step(0, 3)
    take(build(), 3)
    assert torch.rand(()) == expected


def test_captions_belong_to_their_photographs_and_the_longest_come_first(build, photos):
    batches = build(words_limit=20)
    words = Vocabulary.build([c for captions in photos.captions for c in captions], specials=(PAD,)).words
    for step in range(4):
        batch = take(batches, step)
        assert batch.lengths.tolist() == sorted(batch.lengths.tolist(), reverse=True)
        for row, ids, length in zip(batch.rows.tolist(), batch.ids.tolist(), batch.lengths.tolist(), strict=True):
            assert [words[i] for i in ids[:length]] in photos.captions[row]
            assert set(ids[length:]) <= {0}


def test_pixels_belong_to_their_photographs(build, photos):
    batch = take(build(), 0)
    assert [each.shape for each in batch.pixels] == [(5, 3, 8, 8), (5, 3, 16, 16)]
    for row, small in zip(batch.rows.tolist(), batch.pixels[0], strict=True):
        colour = photos.names[row].split("-")[1]
        darkest = small.flatten(1)[:, small.sum(0).flatten().argmin()].tolist()
        expected = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "black": (0, 0, 0)}[colour]
        assert tuple(int(value > 90) for value in darkest) == expected, photos.names[row]


def test_every_caption_of_a_photograph_is_drawn(build, photos):
    batches = build(batch_size=12, words_limit=20)
    drawn = [take(batches, step) for step in range(25)]
    lengths = {n for batch in drawn for row, n in zip(batch.rows, batch.lengths.tolist(), strict=True) if row == 0}
    assert lengths == {len(caption) for caption in photos.captions[0]}


def test_of_a_long_caption_random_words_are_kept_in_their_order(build, photos):
    long = [f"word{i:02}" for i in range(12)]
    batches = build(CaptionedPhotos(photos.folder, photos.names[:2], [[long], [long]]), batch_size=2, words_limit=5)
    words = Vocabulary.build([long], specials=(PAD,)).words
    kept = [[words[i] for i in ids] for step in range(20) for ids in take(batches, step).ids.tolist()]
    assert all(len(each) == 5 and each == sorted(each) for each in kept)
    assert len({tuple(each) for each in kept}) > 20
    assert {word for each in kept for word in each} == set(long)


def test_photographs_of_one_class_are_no_mismatches(build, photos):
    classes = [row % 3 for row in range(12)]
    batch = take(build(CaptionedPhotos(photos.folder, photos.names, photos.captions, classes=classes)), 0)
    for i, one in enumerate(batch.rows.tolist()):
        for j, other in enumerate(batch.rows.tolist()):
            assert batch.same[i, j] == (one % 3 == other % 3)


def test_without_classes_every_other_photograph_is_a_mismatch(build):
    assert take(build(), 0).same is None


def test_a_process_gets_its_share_of_the_pixels_and_all_the_text(build, monkeypatch):
    whole = take(build(batch_size=4), 0)
    monkeypatch.setattr(module, "share", lambda rows: rows[2:])
    shared = take(build(batch_size=4), 0)
    assert torch.equal(shared.ids, whole.ids)
    assert torch.equal(shared.rows, whole.rows)
    assert all(torch.equal(part, each[2:]) for part, each in zip(shared.pixels, whole.pixels, strict=True))


def test_a_batch_larger_than_the_data_is_an_error(build):
    with pytest.raises(SettingsError, match=r"batch_size is 13.*12 photographs"):
        build(batch_size=13)
