"""Colour conversion: pictures of any mode and depth, with their profile and transparency, become sRGB on white."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from telephonegan.errors import ImageError, SettingsError

ValueRange = tuple[float, float]

_UNIT, _SIGNED, _SIXTEEN_BITS = (0, 1), (-1, 1), (0, 65535)
_ROUNDING = 1e-3  # a quarter of a grey level: resizing and half precision overshoot by less
_BAND = 1 << 20  # pixels converted at a time, so that intermediate results stay small


def to_srgb(picture: Image.Image, name: str, *, scale: int = 1, value_range: ValueRange | None = None) -> Image.Image:
    """A loaded picture of any mode as RGB in sRGB, composited on white, at 1/`scale` of its width and height.

    Its ICC profile is applied; one that cannot be used is ignored with a warning. 16-bit and float values are scaled
    from `value_range` (default: 0–65535, or for floats see `float_range`). The input picture is not changed.
    Raises ImageError, which does not name the picture, for values outside the range.
    """
    as_srgb = _conversion(picture, name)
    if picture.mode[0] in "IF":
        value_range = _range_of(picture, value_range)
    elif scale == 1 and picture.mode == "RGB" and as_srgb is None and not picture.has_transparency_data:
        return picture.copy()
    size = (-(-picture.width // scale), -(-picture.height // scale))
    result = Image.new("RGB", size)
    rows = max(1, _BAND // picture.width // scale) * scale
    for top in range(0, picture.height, rows):
        band = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        shown = _shown(band, as_srgb, value_range)
        result.paste(shown.reduce(scale) if scale > 1 else shown, (0, top // scale))
    return result


def levels(values: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """Numbers within a range as uint8 from 0 to 255, rounded to the nearest."""
    low, high = value_range
    if value_range == _SIXTEEN_BITS and values.dtype.kind in "ui":
        return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    unit = (values.clip(low, high).astype(np.float32) - low) / (high - low)
    return np.rint(unit * 255).astype(np.uint8)


def float_range(least: float, most: float, given: ValueRange | None, *, usual: ValueRange = _UNIT) -> ValueRange:
    """The range that float values are meant to cover: `given`, or else 0–1, or −1…1 if some are negative.

    A guess other than the `usual` range is reported in a warning. Raises ImageError for values outside the range, NaN
    and infinities.
    """
    allowed = given or (_UNIT if least >= -_ROUNDING else _SIGNED)
    low, high = allowed
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ImageError("it holds NaN or infinite values; allowed are 0 to 1, or -1 to 1.")
    if least < low - _ROUNDING * (high - low) or most > high + _ROUNDING * (high - low):
        expected = "0 to 1, or -1 to 1" if given is None else f"{low:g} to {high:g}, the value_range given"
        raise ImageError(
            f"its values run from {least:.4g} to {most:.4g}; allowed are {expected}. Give their range, for example "
            "value_range=(0, 255), or clip them."
        )
    if given is None and allowed != usual:
        warnings.warn(_GUESSES[allowed], stacklevel=2)
    return allowed


_GUESSES = {
    _UNIT: "A tensor without negative values was read as 0 to 1, not as -1 to 1. To say which, give "
    "value_range=(0, 1) or value_range=(-1, 1).",
    _SIGNED: "An array with negative values was read as -1 to 1, not as 0 to 1. To say which, give "
    "value_range=(0, 1) or value_range=(-1, 1).",
}


def check_range(value_range: Any) -> ValueRange | None:
    """`value_range` as two numbers, the lower first, or None. Raises SettingsError."""
    if value_range is None:
        return None
    try:
        low, high = (float(bound) for bound in value_range)
        if isinstance(value_range, str) or not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"value_range was {value_range!r}. Allowed: two numbers, the lower first, such as (0, 1) or (-1, 1)."
        ) from error
    return low, high


# ---------------------------------------------------------------------------------------------------- one band


Conversion = Callable[[Image.Image], Image.Image]


def _shown(band: Image.Image, as_srgb: Conversion | None, value_range: ValueRange | None) -> Image.Image:
    colours, opacity = _taken_apart(band, value_range)
    colours = as_srgb(colours) if as_srgb else colours.convert("RGB")
    if opacity is None:
        return colours
    colours.putalpha(opacity)
    return Image.alpha_composite(Image.new("RGBA", band.size, "white"), colours).convert("RGB")


def _taken_apart(band: Image.Image, value_range: ValueRange | None) -> tuple[Image.Image, Image.Image | None]:
    """A picture without its transparency, and its alpha channel if it has one."""
    if value_range is not None and band.mode[0] in "IF":
        values = np.asarray(band)
        if not np.isfinite(values).all():
            raise ImageError("it holds NaN or infinite values; allowed are 0 to 1, or -1 to 1.")
        key = band.info.get("transparency")
        opacity = np.where(values == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None
        return Image.fromarray(levels(values, value_range)), None if opacity is None else Image.fromarray(opacity)
    if not band.has_transparency_data:
        return (band.convert("L") if band.mode == "1" else band), None
    is_grey = band.mode in ("1", "L", "LA", "La")
    straight = (band.convert("LA") if band.mode == "La" else band).convert("RGBA")
    return straight.convert("L" if is_grey else "RGB"), straight.getchannel("A")


def _range_of(picture: Image.Image, given: ValueRange | None) -> ValueRange:
    if given is None and picture.mode.startswith("I;16"):
        return _SIXTEEN_BITS
    values = picture.convert("I") if picture.mode.startswith("I;16") else picture  # not every mode supports getextrema
    least, most = values.getextrema()
    if picture.mode == "F":
        return float_range(least, most, given)
    low, high = given or _SIXTEEN_BITS
    if least < low or most > high:
        raise ImageError(f"its values run from {least} to {most}; allowed are {low:g} to {high:g}.")
    return low, high


# ---------------------------------------------------------------------------------------------------- profiles


_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of profiles, and the mode in which they are applied
_NAMES = {"RGB": "RGB", "L": "grey", "CMYK": "CMYK"}
_MOST_BYTES = 4_000_000  # twice the size of the largest profiles of printing presses
_STEPS = 9  # along each axis of the grid of colours on which a profile is compared with sRGB
_SAME = 2  # grey levels by which the tables of one sRGB profile differ from those of another


def _conversion(picture: Image.Image, name: str) -> Conversion | None:
    """From the picture's profile to sRGB; None if it has no profile, an sRGB profile, or one that cannot be used."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode in ("F", "LAB", "YCbCr", "HSV"):
        return None
    try:
        mode, transform = _transform(bytes(profile))
        fits = {"RGB": picture.mode != "CMYK", "L": picture.mode in _GREY, "CMYK": picture.mode == "CMYK"}
        if not fits[mode]:
            raise ValueError(f"it is for {_NAMES[mode]} pictures, and this one is {picture.mode}")
    except Exception as error:  # for invalid profiles, and for those the colour library refuses
        warnings.warn(
            f"The colour profile in {name} was ignored ({error}); its colours are read as sRGB.", stacklevel=2
        )
        return None
    if transform is None:
        return None
    return lambda colours: ImageCms.applyTransform(colours.convert(mode), transform)


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The mode in which a profile is applied, and its transform to sRGB; None if that changes nothing."""
    if len(profile) > _MOST_BYTES:
        raise ValueError(f"it has {len(profile)} bytes; at most {_MOST_BYTES} are read")
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    space = source.profile.xcolor_space.strip()
    if space not in _SPACES:
        raise ValueError(f"its colour space is {space!r}")
    mode = _SPACES[space]
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    if mode == "CMYK":
        return mode, transform
    grid = _grid(mode)
    shown = np.asarray(ImageCms.applyTransform(grid, transform)).astype(int)
    is_same = np.abs(shown - np.asarray(grid.convert("RGB"))).max() <= _SAME
    return mode, None if is_same else transform


def _grid(mode: str) -> Image.Image:
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    axis = np.linspace(0, 255, _STEPS).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(_STEPS, -1, 3))
