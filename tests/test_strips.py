"""Montages and labels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from telephonegan.strips import MARGIN, TILE, Tile, labelled, montage, strip


@pytest.mark.parametrize(("count", "size"), [(40, (2290, 916)), (3, (687, 229)), (11, (2290, 458))])
def test_a_montage_has_the_size_that_imagemagick_gives(count, size):
    assert montage([Image.new("RGB", (227, 227))] * count).size == size


def test_tiles_keep_their_pixels_within_a_white_border():
    tile = Image.fromarray(np.random.default_rng(0).integers(0, 200, (4, 6, 3), dtype=np.uint8))
    sheet = np.asarray(montage([tile] * 3, columns=2))
    assert sheet.shape == (12, 16, 3) and (sheet[0] == 255).all() and (sheet[6:, 8:] == 255).all()
    np.testing.assert_array_equal(sheet[7:11, 1:7], np.asarray(tile))


@pytest.mark.parametrize("text", ["junco", "a very long caption that does not fit " * 3])
def test_a_label_leaves_the_picture_and_fits_below_it(text):
    image = Image.new("RGB", (128, 128), "red")
    sheet = labelled(image, text)
    assert sheet.width == 128 and sheet.height > 138
    np.testing.assert_array_equal(np.asarray(sheet)[:128], np.asarray(image))
    assert (np.asarray(sheet)[128:] < 100).any()


def test_a_tile_without_a_heading_has_no_disc_and_its_text_begins_below_the_picture():
    image = Image.new("RGB", (TILE, TILE), "red")
    bare, headed = (np.asarray(strip([Tile(image, text, head)])) for text, head in (("", ""), ("", "7")))
    below = slice(MARGIN + TILE, None)
    assert (bare[below] == bare[-1, -1]).all() and (headed[below] != headed[-1, -1]).any()
    written = np.asarray(strip([Tile(image, "I")]))[below]
    assert (written[:, MARGIN : MARGIN + 12] != written[-1, -1]).any()
