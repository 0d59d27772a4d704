import pytest

from telephonegan.data.photos import CaptionedPhotos
from telephonegan.evaluation.inputs import choose_texts, of_classes, read_split, sampled

SORTED = [f"{name}-{k:02d}" for name in ("daisy", "rose", "tulip") for k in range(20)]


@pytest.fixture
def photos():
    """Photographs sorted by class, as flowers and birds are."""
    return CaptionedPhotos(
        None, SORTED, [[[name[:-3]], [name[:-3], "again"]] for name in SORTED], classes=[k // 20 for k in range(60)]
    )


def kinds(names):
    return {name[:-3] for name in names}


def test_a_limit_samples_the_whole_split_and_not_its_first_class(drawings):
    whole, few = read_split(drawings, "train"), read_split(drawings, "train", 5)
    assert len(few) == 5
    assert few.names != whole.names[:5]
    assert few.names == read_split(drawings, "train", 5).names
    assert [name for name in whole.names if name in set(few.names)] == few.names
    assert read_split(drawings, "train", 10**6).names == whole.names


def test_a_sample_of_captions_has_all_classes(photos):
    texts, _ = choose_texts(photos, 15, lambda text: True)
    assert kinds(photos.names[text.photo] for text in texts) == {"daisy", "rose", "tulip"}
    assert all(len(text.words) == 1 for text in texts)  # first captions, while there are any


def test_every_photograph_is_used_before_a_second_caption_is(photos):
    texts, _ = choose_texts(photos, 75, lambda text: True)
    assert [text.photo for text in texts[:60]] == list(range(60))
    seconds = [text.photo for text in texts[60:]]
    assert len(set(seconds)) == 15
    assert kinds(photos.names[row] for row in seconds) == {"daisy", "rose", "tulip"}


def test_a_limit_within_classes_is_a_sample_of_them(photos):
    some = of_classes(photos, [0, 2], 10)
    assert (len(some), kinds(some.names)) == (10, {"daisy", "tulip"})


def test_sampled_rows_are_in_order_without_repetition_and_depend_on_the_seed():
    rows = sampled(1000, 50)
    assert rows == sorted(set(rows))
    assert rows != sampled(1000, 50, seed=1)
