"""Pictures of results, drawn with Pillow only: strips of a chain, and attention overlays."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, CARD, INK, FAINT, ACCENT = "#f6f3ec", "#fffefb", "#26231f", "#8d867a", "#c8553d"
TILE = 256
MARGIN, GAP = 28, 34
LINES = 5


@dataclass(frozen=True)
class Tile:
    """A picture (None: the text takes its place), the text below it, and a heading such as the round number.

    `arrow` draws an arrow from the previous picture.
    """

    image: Image.Image | None
    text: str
    head: str = ""
    arrow: bool = False


def strip(tiles: Sequence[Tile]) -> Image.Image:
    """Numbered pictures with captions below, in reading order, three or four to a row."""
    columns = _columns(len(tiles))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    heights = [max(_tile_height(tile) for tile in row) for row in rows]
    sheet = Image.new("RGB", (2 * MARGIN + columns * (TILE + GAP) - GAP, 2 * MARGIN + sum(heights)), PAPER)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            _draw_tile(sheet, tile, MARGIN + column * (TILE + GAP), top, arrow=tile.arrow)
        top += height
    return sheet


def frames(tiles: Sequence[Tile]) -> list[Image.Image]:
    """One picture of equal size per tile, for an animation."""
    height = MARGIN + max(_tile_height(tile) for tile in tiles)
    sheets = [Image.new("RGB", (TILE + 2 * MARGIN, height), PAPER) for _ in tiles]
    for sheet, tile in zip(sheets, tiles, strict=True):
        _draw_tile(sheet, tile, MARGIN, MARGIN, arrow=False)
    return sheets


def montage(images: Sequence[Image.Image], columns: int = 10, *, border: int = 1) -> Image.Image:
    """Pictures of one size in rows of at most `columns`, each with a white border, as ImageMagick's montage makes them.

    >>> montage([Image.new("RGB", (227, 227))] * 40).size
    (2290, 916)
    """
    width, height = (side + 2 * border for side in images[0].size)
    columns = min(columns, len(images))
    sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height), "white")
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        sheet.paste(image, (column * width + border, row * height + border))
    return sheet


def labelled(image: Image.Image, text: str, *, size: int = 30, gap: int = 10) -> Image.Image:
    """A picture with a text below it, in letters as high as fit, up to `size` pixels, `gap` pixels apart."""
    letters = next((n for n in range(size, 7, -1) if font(n).getlength(text) <= image.width), 8)
    lines = wrapped(text, font(letters), image.width, 3)
    sheet = Image.new("RGB", (image.width, image.height + gap + len(lines) * (letters + 6)), "white")
    sheet.paste(image, (0, 0))
    for number, line in enumerate(lines):
        place = (image.width // 2, image.height + gap + number * (letters + 6))
        ImageDraw.Draw(sheet).text(place, line, "black", font(letters), anchor="ma")
    return sheet


def gif(frames: Sequence[Image.Image], milliseconds: int) -> bytes:
    """Frames of equal size as the bytes of an endless GIF."""
    buffer = BytesIO()
    first, *others = frames
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return buffer.getvalue()


def beside(images: Sequence[Image.Image], *, below: bool = False) -> Image.Image:
    """Pictures side by side, or one below the other, on one sheet."""
    widths, heights = [image.width for image in images], [image.height for image in images]
    size = (max(widths), sum(heights)) if below else (sum(widths), max(heights))
    sheet, place = Image.new("RGB", size, PAPER), 0
    for image in images:
        sheet.paste(image, (0, place) if below else (place, 0))
        place += image.height if below else image.width
    return sheet


def attention_sheet(
    image: Image.Image, words: Sequence[str], maps: np.ndarray, probabilities: Sequence[float] = ()
) -> Image.Image:
    """The picture, then once per word, bright where the network looked. `maps` is (L,H,W)."""
    width, gap, footer = 168, 14, 46
    views = [scaled(view, width) for view in (image, *(overlay(image, seen) for seen in maps))]
    notes = ["", *(f"{p:.0%}" for p in probabilities), *[""] * len(words)]
    columns, height = min(5, len(views)), views[0].height + footer
    size = (2 * MARGIN + columns * (width + gap) - gap, 2 * MARGIN + -(-len(views) // columns) * height)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (view, word) in enumerate(zip(views, ["", *words], strict=True)):
        left, top = MARGIN + i % columns * (width + gap), MARGIN + i // columns * height
        sheet.paste(view, (left, top))
        free = width - font(13).getlength(notes[i]) - 8
        draw.text((left, top + view.height + 5), wrapped(word, font(17), free, 1)[0], INK, font(17))
        draw.text((left + width, top + view.height + 8), notes[i], FAINT, font(13), anchor="ra")
    return sheet


def overlay(image: Image.Image, seen: np.ndarray) -> Image.Image:
    """The picture, at least 256 pixels wide, dimmed where the network did not look. `seen` is (H,W), not negative."""
    shown = scaled(image, max(TILE, *image.size))
    brightness = Image.fromarray((seen / max(float(seen.max()), 1e-12)).astype(np.float32))
    light = np.asarray(brightness.resize(shown.size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    pixels = np.asarray(shown, dtype=np.float32)
    grey = pixels.mean(axis=2, keepdims=True) * 0.3
    return Image.fromarray((grey + (pixels - grey) * light).round().astype(np.uint8))


def _columns(count: int) -> int:
    """The number of columns, at most four and evenly filled: a wider strip would be too small to read."""
    return count if count <= 4 else min((4, 3), key=lambda columns: -count % columns)


def _caption_lines(tile: Tile) -> list[str]:
    return wrapped(tile.text, font(18), TILE - _indent(tile) - 2, LINES) if tile.image is not None else []


def _indent(tile: Tile) -> int:
    """Where the caption begins: right of the heading, if there is one."""
    return 38 if tile.head else 0


def _tile_height(tile: Tile) -> int:
    return TILE + 14 + 24 * max(1, len(_caption_lines(tile))) + 26


def _draw_tile(sheet: Image.Image, tile: Tile, left: int, top: int, *, arrow: bool) -> None:
    draw = ImageDraw.Draw(sheet)
    if tile.image is None:
        _draw_note(draw, tile.text, left, top)
    else:
        _place(sheet, tile.image, left, top, TILE)
    if arrow:
        middle, tip = top + TILE // 2, left - 8
        draw.line([(tip - 10, middle - 9), (tip, middle), (tip - 10, middle + 9)], FAINT, 3, joint="curve")
    below = top + TILE + 14
    if tile.head:
        _draw_disc(sheet, left, below - 1, 27, ACCENT if tile.head == "0" else INK)
        draw.text((left + 13, below + 12), tile.head, PAPER, font(14 if len(tile.head) < 3 else 10), anchor="mm")
    for i, line in enumerate(_caption_lines(tile)):
        draw.text((left + _indent(tile), below + 24 * i), line, INK, font(18))


def _draw_note(draw: ImageDraw.ImageDraw, text: str, left: int, top: int) -> None:
    draw.rectangle([left, top, left + TILE - 1, top + TILE - 1], CARD, FAINT)
    lines = wrapped(f"“{text}”", font(24), TILE - 40, 7)
    middle = top + TILE // 2
    for i, line in enumerate(lines):
        y = middle + 31 * (i - (len(lines) - 1) / 2)
        draw.text((left + TILE // 2, y), line, INK, font(24), anchor="mm")


def _draw_disc(sheet: Image.Image, left: int, top: int, size: int, colour: str) -> None:
    # Pillow's own ellipses have jagged edges.
    mask = Image.new("L", (4 * size, 4 * size))
    ImageDraw.Draw(mask).ellipse([0, 0, 4 * size - 1, 4 * size - 1], 255)
    sheet.paste(colour, (left, top), mask.resize((size, size), Image.Resampling.LANCZOS))


def _place(sheet: Image.Image, image: Image.Image, left: int, top: int, size: int) -> None:
    """Fit a picture into a square, keeping its aspect ratio."""
    shown = scaled(image, size)
    ImageDraw.Draw(sheet).rectangle([left, top, left + size - 1, top + size - 1], "#ebe6db")
    sheet.paste(shown, (left + (size - shown.width) // 2, top + (size - shown.height) // 2))


def scaled(image: Image.Image, size: int) -> Image.Image:
    """Scale the longer side to `size` pixels; small pictures are enlarged smoothly."""
    scale = size / max(image.size)
    fitting = tuple(max(1, round(side * scale)) for side in image.size)
    return image if fitting == image.size else image.resize(fitting, Image.Resampling.LANCZOS)


def wrapped(text: str, font: ImageFont.ImageFont, width: float, limit: int) -> list[str]:
    """At most `limit` lines no wider than `width` in this font; long words are broken, cut text ends in an ellipsis."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 100 * limit])
    lines, cut = [""], len(text) > 100 * limit
    for word in printable.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        pieces = _broken(word, font, width)
        lines = [*([] if lines == [""] else lines), *pieces]
    if len(lines) > limit or cut:
        lines = lines[:limit]
        while lines[-1] and font.getlength(f"{lines[-1]}…") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += "…"
    return lines


def _broken(word: str, font: ImageFont.ImageFont, width: float) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and font.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


@cache
def font(size: int) -> ImageFont.ImageFont:
    """DejaVu Sans, which covers most alphabets, from matplotlib's data files; else Pillow's built-in font."""
    found = importlib.util.find_spec("matplotlib")
    for place in (found.submodule_search_locations if found else None) or []:
        file = Path(place) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(file, size)
    return ImageFont.load_default(size)
