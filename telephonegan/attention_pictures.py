"""Where each word went in a painted picture, drawn as AttnGAN's sampling draws it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from skimage.transform import pyramid_expand

from telephonegan.errors import SettingsError
from telephonegan.strips import font

TILE, PAD, TEXT_HEIGHT = 256, 2, 50
POINTS = 40  # with the tails of g and y inside the strip
SHOWN_WORDS, SHOWN_LETTERS = 5, 6
OPACITY = 180  # of the map over the picture, of 255
BLUR = 20  # pixels of the enlarged map
_SIDE = TILE + PAD


def attention_picture(image: Image.Image, attention: np.ndarray, words: Sequence[str]) -> Image.Image:
    """The five words seen most clearly, each over its own map, as one RGB picture of 306 × 258·min(5,L) pixels.

    `attention` is (L,H,W), not negative, one map per word, summing to 1 over the words. Words are ranked by how much of
    their map exceeds four times the even share 1/L, those that never do by how much exceeds twice that share, then by
    how much exceeds the even share itself, then by their greatest value; ties go to the later word. A tile shows what
    exceeds twice the even share or, if nothing does, the even share. A word that never exceeds it, such as the only
    word of a caption, has a black map. Each tile is headed by the word's position in the caption, counted from 0, and
    its first six letters. Raises SettingsError if the maps do not match the words.

    The picture of Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional GANs", 2018, which ranks
    by the first of these amounts only and shows the last words where all of them are 0.

    >>> attention_picture(Image.new("RGB", (8, 8)), np.full((3, 4, 4), 1 / 3), ["a", "red", "bird"]).size
    (774, 306)
    """
    maps = np.asarray(attention, dtype=np.float32)
    if maps.ndim != 3 or len(maps) != len(words) or not words:
        raise SettingsError(f"{len(words)} words need attention maps ({len(words)},H,W); {maps.shape} was given.")
    even = 1 / len(words)
    shown = _ranked(maps, even)[:SHOWN_WORDS]
    shown_image = image.convert("RGB").resize((TILE, TILE), Image.Resampling.BILINEAR)
    sheet = Image.new("RGB", (_SIDE * len(shown), TEXT_HEIGHT + TILE))
    for place, index in enumerate(shown):
        limit = 2 * even if maps[index].max() > 2 * even else even
        seen = np.where(maps[index] > limit, maps[index], 0)
        sheet.paste(_label(f"{index}:{words[index][:SHOWN_LETTERS]}"), (place * _SIDE, 0))
        sheet.paste(_overlaid(shown_image, _grey(seen)), (place * _SIDE, TEXT_HEIGHT))
    return sheet


def _ranked(maps: np.ndarray, even: float) -> list[int]:
    scores = [(*(seen[seen > times * even].sum() for times in (4, 2, 1)), seen.max()) for seen in maps]
    return sorted(range(len(maps)), key=lambda index: (scores[index], index), reverse=True)


def _grey(seen: np.ndarray) -> Image.Image:
    """A map, enlarged and blurred, scaled from 0 at its minimum to 255 at its maximum; a constant one is black."""
    if len(seen) < TILE:
        seen = pyramid_expand(seen, upscale=TILE / len(seen), sigma=BLUR, order=1, mode="reflect")
    low, high = seen.min(), seen.max()
    scaled = (seen - low) / (high - low) if high > low else np.zeros_like(seen)
    return Image.fromarray((scaled * 255).astype(np.uint8)).resize((TILE, TILE), Image.Resampling.BILINEAR)


def _overlaid(image: Image.Image, grey: Image.Image) -> Image.Image:
    return Image.composite(grey.convert("RGB"), image, Image.new("L", image.size, OPACITY))


def _label(text: str) -> Image.Image:
    label = Image.new("RGB", (_SIDE, TEXT_HEIGHT), (1, 1, 1))
    ImageDraw.Draw(label).text((0, TEXT_HEIGHT // 2), text, "white", font(_fitting_size(text)), anchor="lm")
    return label


def _fitting_size(text: str) -> int:
    """As many points as keep the text within its tile."""
    return min(POINTS, int(POINTS * TILE / font(POINTS).getlength(text)))
