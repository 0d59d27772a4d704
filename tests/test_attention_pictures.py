"""The picture of AttnGAN's sampling: which words it shows, how it lays maps over pictures, what it survives."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image
from skimage.transform import pyramid_expand

from telephonegan.attention_pictures import attention_picture
from telephonegan.errors import SettingsError

BLACK = Image.new("RGB", (16, 16))
WORDS = ["a", "little", "red", "bird", "sings", "loudly", "there"]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def tiles(picture: Image.Image) -> list[np.ndarray]:
    """The square pictures, without the text above and the gap at the right of each."""
    pixels = np.asarray(picture)
    return [pixels[50:, left : left + 256] for left in range(0, pixels.shape[1], 258)]


def spot(size: int, row: int, column: int, value: float = 0.9) -> np.ndarray:
    seen = np.zeros((size, size), dtype=np.float32)
    seen[row, column] = value
    return seen


def shown_words(picture: Image.Image, size: int) -> list[int]:
    """Which words are shown, where word l was given its only spot at row l, column l."""
    brightest = [np.unravel_index(tile[..., 0].argmax(), (256, 256)) for tile in tiles(picture)]
    return [round((row + column) / 2 * size / 256 - 0.5) for row, column in brightest]


@pytest.mark.parametrize(("words", "columns"), [(1, 1), (3, 3), (5, 5), (7, 5)])
def test_at_most_five_tiles_of_258_pixels_below_fifty_of_text(words, columns):
    picture = attention_picture(BLACK, np.full((words, 4, 4), 1 / words), WORDS[:words])
    assert (picture.mode, picture.size) == ("RGB", (258 * columns, 306))


def test_words_are_ranked_by_what_exceeds_twice_the_threshold():
    # Seven words: the threshold is 2/7, twice of it 4/7.
    maps = np.stack([spot(8, i, i, value) for i, value in enumerate((0.6, 0.9, 0.7, 0.65, 0.95, 0.8, 0.75))])
    assert shown_words(attention_picture(BLACK, maps, WORDS), 8) == [4, 1, 5, 6, 2]


def test_the_later_of_two_equal_words_comes_first():
    maps = np.stack([spot(8, i, i) for i in range(7)])
    assert shown_words(attention_picture(BLACK, maps, WORDS), 8) == [6, 5, 4, 3, 2]


def test_wide_but_weak_attention_counts_nothing():
    maps = np.zeros((7, 8, 8))
    maps[0, 1, 1] = 0.6
    maps[6, 4:, 4:] = 0.5
    first = tiles(attention_picture(BLACK, maps, WORDS))[0]
    assert np.unravel_index(first[..., 0].argmax(), (256, 256)) == pytest.approx((47.5, 47.5), abs=4)


def test_a_value_at_the_threshold_is_not_kept():
    # Eight words: the threshold is 1/4 exactly, so that only the brighter of the two spots is seen.
    maps = np.zeros((8, 8, 8))
    maps[0, 0, 0], maps[0, 7, 7] = 0.25, 0.5
    first = tiles(attention_picture(BLACK, maps, ["x"] * 8))[0]
    assert first[:64, :64].max() == 0 and first[192:, 192:].max() == 180


def test_a_value_at_twice_the_threshold_gives_no_rank():
    maps = np.zeros((8, 8, 8))
    maps[0, 0, 0], maps[7, 4:, 4:] = 0.51, 0.5
    first = tiles(attention_picture(BLACK, maps, ["x"] * 8))[0]
    assert first[:64, :64].max() > first[192:, 192:].max()


def test_words_between_both_thresholds_are_shown_rather_than_the_last_words():
    # Eight words: 0.303 lies between 2/8 and 4/8, so that the published rule finds no word and takes the last five.
    maps = np.full((8, 8, 8), 0.1)
    maps[1, 2, 2], maps[2, 5, 5] = 0.303, 0.26
    shown = tiles(attention_picture(BLACK, maps, ["x"] * 8))
    brightest = [np.unravel_index(tile[..., 0].argmax(), (256, 256)) for tile in shown[:2]]
    assert [(row // 32, column // 32) for row, column in brightest] == [(2, 2), (5, 5)]


def test_no_tile_is_black_where_a_word_has_more_than_its_even_share():
    # One word stands out; the others share the rest, each with most of it in a corner of its own.
    maps = np.full((6, 8, 8), 0.15)
    for word in range(1, 6):
        maps[word, word, word] = 0.2
    maps[0, 0, 0] = 0.9
    shown = tiles(attention_picture(BLACK, maps, WORDS[:6]))
    assert [tile.max() for tile in shown] == [180] * 5


@pytest.mark.parametrize("seed", range(5))
def test_where_the_published_rule_finds_words_they_come_first_in_its_order(seed):
    maps = np.random.default_rng(seed).dirichlet(np.full(12, 0.3), (8, 8)).transpose(2, 0, 1)
    maps[:, :, 4:] = 1 / 12
    maps[seed::2, :, :4] /= 4  # some words that it does not find
    scores = [seen[seen > 4 / 12].sum() for seen in maps.astype(np.float32)]
    found = [word for word in np.argsort(scores, kind="stable")[::-1] if scores[word] > 0][:5]
    shown = tiles(attention_picture(BLACK, maps, ["x"] * 12))
    assert len(found) >= 3
    for tile, word in zip(shown, found, strict=False):
        np.testing.assert_array_equal(tile, _tile_of(maps[word]))


def _tile_of(seen: np.ndarray) -> np.ndarray:
    """The first tile of a caption of twelve words where the others have nothing."""
    maps = np.zeros((12, *seen.shape))
    maps[0] = seen
    return tiles(attention_picture(BLACK, maps, ["x"] * 12))[0]


@pytest.mark.parametrize(("words", "size"), [(6, 64), (5, 128), (7, 16)])
def test_maps_are_enlarged_stretched_and_laid_over_the_picture(words, size):
    random = np.random.default_rng(words)
    maps = random.dirichlet(np.full(words, 0.2), (size, size)).transpose(2, 0, 1).astype(np.float32)
    image = Image.fromarray(random.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    kept = (maps * (maps > 2 / words)).transpose(1, 2, 0)
    large = pyramid_expand(kept, upscale=256 // size, sigma=20, order=1, mode="reflect", channel_axis=-1)
    scores = [seen[seen > 4 / words].sum() for seen in maps]
    expected = []
    for word in np.argsort(scores, kind="stable")[::-1][:5]:
        low, high = large[..., word].min(), large[..., word].max()
        grey = np.floor((large[..., word] - low) / max(high - low, 1e-30) * 255)[..., None]
        expected.append(np.asarray(image) * (75 / 255) + grey * (180 / 255))
    painted = tiles(attention_picture(image, maps, WORDS[:words]))
    assert len(painted) == len(expected)
    for tile, wanted in zip(painted, expected, strict=True):
        np.testing.assert_allclose(tile, wanted, atol=1.5)


def test_a_caption_of_one_word_gets_a_black_map():
    grey = Image.new("RGB", (8, 8), (100, 200, 40))
    for tile in tiles(attention_picture(grey, np.ones((1, 8, 8)), WORDS[:1])):
        assert (tile == np.array([29, 59, 12])).all()


def test_of_two_words_each_is_shown_where_it_has_more_than_the_other():
    maps = np.full((2, 8, 8), 0.5)
    maps[0, :, :4], maps[1, :, :4] = 0.6, 0.4
    maps[0, :, 4:], maps[1, :, 4:] = 0.3, 0.7
    second, first = tiles(attention_picture(BLACK, maps, WORDS[:2]))
    assert first[:, :64].min() > 100 > first[:, 192:].max()
    assert second[:, 192:].min() > 100 > second[:, :64].max()


def test_maps_of_the_full_size_and_beyond_are_not_blurred():
    for size in (256, 512):
        maps = np.zeros((7, size, size))
        maps[3, : size // 2] = 1
        first = tiles(attention_picture(BLACK, maps, WORDS))[0]
        assert (first[:120] == 180).all() and (first[136:] == 0).all()


def test_small_pictures_are_enlarged():
    image = Image.fromarray(np.array([[0, 255], [0, 255]], dtype=np.uint8))
    first = tiles(attention_picture(image, np.zeros((1, 2, 2)), ["a"]))[0]
    assert (first[:, :60] == 0).all() and (first[:, 196:] == 75).all() and 30 < first[128, 128, 0] < 45


def test_each_label_stays_above_its_own_tile():
    pixels = np.asarray(attention_picture(BLACK, np.full((3, 4, 4), 1 / 3), ["wwwwwwww", "i", "mmmmmm"]))
    strip = pixels[:50].reshape(50, 3, 258, 3)
    assert (strip[0, :, 250:] == 1).all() and (strip[:, :, 256:] == 1).all()
    # Equal maps: the last word comes first, and "i" needs the least ink.
    ink = (strip > 128).sum(axis=(0, 2, 3))
    assert ink[1] < ink[0] and ink[1] < ink[2] and (strip == 255).any(axis=(0, 2, 3)).all()
    assert (pixels[50:].reshape(256, 3, 258, 3)[:, :, 256:] == 0).all()


def test_a_label_tells_the_place_and_six_letters():
    def strip(*words: str) -> np.ndarray:
        return np.asarray(attention_picture(BLACK, np.full((len(words), 4, 4), 1 / len(words)), words))[:50]

    assert (strip("surfboard") == strip("surfboxxx")).all()
    assert (strip("surfboard") != strip("surfxoard")).any()
    assert (strip("a", "a")[:, :258] != strip("a", "a")[:, 258:]).any()


def test_the_given_picture_and_maps_stay_as_they_were():
    maps, image = np.full((3, 4, 4), 1 / 3), Image.new("RGB", (8, 8), "red")
    before = maps.copy()
    attention_picture(image, maps, WORDS[:3])
    assert (maps == before).all() and image.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(("shape", "words"), [((2, 4, 4), 3), ((4, 4), 4), ((0, 4, 4), 0)])
def test_maps_of_other_words_are_refused(shape, words):
    with pytest.raises(SettingsError, match="attention maps"):
        attention_picture(BLACK, np.zeros(shape), WORDS[:words])


def test_even_attention_is_shown_against_the_even_share():
    maps = np.full((5, 8, 8), 0.2)
    maps[3, :4], maps[1, :4] = 0.25, 0.15
    first = tiles(attention_picture(BLACK, maps, ["x"] * 5))[0]
    assert first[:100].mean() > first[-100:].mean() + 50
