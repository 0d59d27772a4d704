"""Colours as a screen shows them: profiles against the formulae of their spaces, transparency, depth, value ranges."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from telephonegan import colours
from telephonegan.errors import ImageError, SettingsError
from telephonegan.images import as_image
from tests.icc_profiles import (
    ADOBE,
    P3,
    PROPHOTO,
    cmyk_profile,
    grey_in_srgb,
    grey_profile,
    in_srgb,
    rgb_profile,
)

WHITE = [255, 255, 255]
COLOURS = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
SHADES = np.arange(256, dtype=np.uint8)[None]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def pixels(source) -> np.ndarray:
    return np.asarray(as_image(source)).astype(int)


class TestProfiles:
    @pytest.mark.parametrize("space", [PROPHOTO, ADOBE, P3], ids=["ProPhoto RGB", "Adobe RGB", "P3"])
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF"])
    def test_wide_colours_come_as_srgb_has_them(self, space, kind):
        lossless = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}.get(kind, {})
        content = encoded(Image.fromarray(COLOURS), kind, icc_profile=rgb_profile(space), **lossless)
        error = np.abs(pixels(content) - in_srgb(COLOURS, space))
        assert error.mean() < (2 if kind == "AVIF" else 0.5)  # AVIF stores differences of colours, rounded
        assert np.abs(COLOURS - in_srgb(COLOURS, space)).mean() > 10

    def test_the_profile_of_a_pil_image_counts_too(self):
        content = encoded(Image.fromarray(COLOURS), icc_profile=rgb_profile(ADOBE))
        picture = Image.open(BytesIO(content))
        picture.load()
        assert np.array_equal(pixels(picture), pixels(content))

    def test_reading_twice_converts_once(self):
        once = as_image(encoded(Image.fromarray(COLOURS), icc_profile=rgb_profile(ADOBE)))
        assert np.array_equal(pixels(once), pixels(encoded(once)))

    @pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
    def test_grey_profiles(self, gamma):
        shown = pixels(encoded(Image.fromarray(SHADES), icc_profile=grey_profile(gamma)))
        assert np.abs(shown[0] - grey_in_srgb(SHADES[0], gamma)[:, None]).mean() < 0.5

    def test_grey_pictures_with_a_profile_for_colours(self):
        shown = pixels(encoded(Image.fromarray(SHADES), "JPEG", quality=100, icc_profile=rgb_profile(PROPHOTO)))
        assert np.abs(shown[0] - in_srgb(SHADES[0][:, None].repeat(3, axis=1), PROPHOTO)).mean() < 1

    def test_palettes_are_converted(self):
        content = encoded(Image.fromarray(COLOURS).quantize(64), icc_profile=rgb_profile(PROPHOTO))
        listed = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
        assert np.abs(pixels(content) - in_srgb(listed, PROPHOTO)).mean() < 0.5

    def test_cmyk_is_converted_as_its_printer_says(self):
        inks = Image.frombytes("CMYK", (3, 1), bytes([0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0]))
        paper, black, cyan = pixels(encoded(inks, "TIFF", icc_profile=cmyk_profile()))[0].tolist()
        assert (paper, black) == (WHITE, [0, 0, 0])
        assert max(cyan) - min(cyan) <= 1 and 150 < cyan[0] < 220  # this printer has no colours, just lightness

    def test_transparent_pictures_are_converted_before_they_are_laid_on_white(self):
        clear = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 255, np.uint8)])
        clear[0, :, 3] = 0
        shown = pixels(encoded(Image.fromarray(clear), icc_profile=rgb_profile(ADOBE)))
        assert (shown[0] == 255).all()
        assert np.abs(shown[1:] - in_srgb(COLOURS[1:], ADOBE)).mean() < 0.5

    def test_16_bit_grey_with_a_profile(self):
        shown = pixels(encoded(Image.fromarray(SHADES.astype(np.uint16) * 257), icc_profile=grey_profile(1.8)))
        assert np.abs(shown[0] - grey_in_srgb(SHADES[0], 1.8)[:, None]).mean() < 0.5

    def test_srgb_leaves_every_pixel_as_it_was(self):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        assert np.array_equal(pixels(encoded(Image.fromarray(COLOURS), icc_profile=profile)), COLOURS)

    @pytest.mark.parametrize(
        "profile",
        [b"not a profile", bytes(500), rgb_profile(ADOBE)[:300], cmyk_profile(), grey_profile(1.8), bytes(4_000_001)],
        ids=["text", "zeros", "cut", "for CMYK", "for grey", "huge"],
    )
    def test_what_cannot_be_used_is_ignored_with_a_warning(self, profile):
        picture = Image.fromarray(COLOURS)
        picture.info["icc_profile"] = profile
        with pytest.warns(UserWarning, match=r"colour profile in the PIL image of mode RGB was ignored \(.+sRGB"):
            assert np.array_equal(pixels(picture), COLOURS)


class TestBands:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "I;16", "F", "CMYK", "1"])
    @pytest.mark.parametrize("limit", [10**6, 1000], ids=["whole", "reduced"])
    def test_large_pictures_are_converted_piece_by_piece_to_the_same_pixels(self, mode, limit, monkeypatch):
        if mode in ("I;16", "F"):
            values = COLOURS[..., 0].astype(np.uint16) * 257 if mode == "I;16" else np.float32(COLOURS[..., 0] / 255)
            picture = Image.fromarray(values)
        else:
            picture = Image.fromarray(np.dstack([COLOURS, COLOURS[..., 0]])).convert("RGBA")
            picture = picture.convert("RGB").convert(mode) if mode in ("P", "CMYK", "1") else picture.convert(mode)
        at_once = as_image(picture, max_pixels=limit)
        monkeypatch.setattr(colours, "_BAND", 150)
        assert np.array_equal(np.asarray(as_image(picture, max_pixels=limit)), np.asarray(at_once))


class TestTransparentColours:
    def png(self, width: int, depth: int, colour: int, row: bytes, key: bytes, interlace: int = 0) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, interlace))
        body = head + chunk(b"tRNS", key) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + body

    def test_16_bit_colours_are_compared_in_all_their_bits(self):
        key, upper_bytes_alike, other = (0x1234, 0x5678, 0x9ABC), (0x1234, 0x5678, 0x9ABD), (0xFFFF, 0, 0)
        row = struct.pack(">9H", *key, *upper_bytes_alike, *other)
        content = self.png(3, 16, 2, row, struct.pack(">3H", *key))
        expected = [WHITE, [0x12, 0x56, 0x9A], [255, 0, 0]]
        assert pixels(content)[0].tolist() == expected
        assert pixels(Image.open(BytesIO(content)))[0].tolist() == expected

    def test_8_bit_colours(self):
        content = self.png(2, 8, 2, bytes([1, 2, 3, 1, 2, 4]), struct.pack(">3H", 1, 2, 3))
        assert pixels(content)[0].tolist() == [WHITE, [1, 2, 4]]

    @pytest.mark.parametrize(
        ("depth", "row", "key", "expected"),
        [
            (1, [0b01000000], 0, [255, 255]),
            (2, [0b01110000], 3, [85, 255]),
            (2, [0b01110000], 1, [255, 255]),
            (4, [0x5F], 5, [255, 255]),
            (8, [85, 80], 80, [85, 255]),
            (16, [0x12, 0x34, 0x12, 0x35], 0x1234, [255, 18]),
        ],
    )
    def test_grey_of_every_depth(self, depth, row, key, expected):
        content = self.png(2, depth, 0, bytes(row), struct.pack(">H", key))
        assert pixels(content)[0, :, 0].tolist() == expected

    def test_palettes_of_few_bits(self):
        rgb = Image.new("P", (2, 1), 0)
        rgb.putpalette([200, 0, 0, 0, 0, 200])
        rgb.putpixel((1, 0), 1)
        assert pixels(encoded(rgb, bits=1, transparency=b"\0\x80"))[0].tolist() == [WHITE, [127, 127, 227]]

    def test_16_bit_alpha(self):
        for colour, row, expected in (
            (4, struct.pack(">4H", 0x8080, 0xFFFF, 0, 0), [[128] * 3, WHITE]),
            (6, struct.pack(">8H", 0xFFFF, 0, 0, 0xFFFF, 0, 0, 0, 0), [[255, 0, 0], WHITE]),
        ):
            content = self.png(2, 16, colour, row, b"").replace(b"tRNS", b"teXt", 1)
            content = content[: content.index(b"teXt") - 4] + content[content.index(b"IDAT") - 4 :]
            assert pixels(content)[0].tolist() == expected


class TestValueRanges:
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)

    def test_a_tensor_from_to_tensor_is_its_own_picture(self):
        unit = torch.from_numpy(self.picture).permute(2, 0, 1).float() / 255
        for tensor in (unit, unit[None], unit.double(), unit.permute(1, 2, 0)):
            with pytest.warns(UserWarning, match=r"read as 0 to 1.*value_range=\(0, 1\) or value_range=\(-1, 1\)"):
                assert np.array_equal(pixels(tensor), self.picture)

    def test_tensors_with_negative_values_are_read_as_generators_make_them(self):
        signed = torch.from_numpy(self.picture).permute(2, 0, 1).float() / 127.5 - 1
        assert np.array_equal(pixels(signed), self.picture)

    def test_arrays_of_the_same_values_are_read_alike(self):
        assert np.array_equal(pixels(self.picture / 255), self.picture)
        with pytest.warns(UserWarning, match="read as -1 to 1"):
            assert np.array_equal(pixels(self.picture / 127.5 - 1), self.picture)

    def test_the_value_range_decides(self):
        unit = torch.full((3, 2, 2), 0.5)
        for source in (unit, unit.numpy(), Image.fromarray(np.full((2, 2), 0.5, np.float32))):
            assert np.asarray(as_image(source, value_range=(0, 1)))[0, 0].tolist() == [128] * 3
            assert np.asarray(as_image(source, value_range=(-1, 1)))[0, 0].tolist() == [191] * 3
        for dtype in (np.int64, np.int16, np.float32, np.uint8):
            levels = self.picture.astype(dtype)
            assert np.array_equal(np.asarray(as_image(levels, value_range=(0, 255))), self.picture)
            tensor = torch.from_numpy(levels)
            assert np.array_equal(np.asarray(as_image(tensor, value_range=np.array([0, 255]))), self.picture)

    def test_it_counts_for_pictures_of_12_bits_and_not_for_those_of_8(self):
        twelve = Image.fromarray(np.array([[0, 2048, 4095]], np.uint16))
        assert np.asarray(as_image(encoded(twelve), value_range=(0, 4095)))[0, :, 0].tolist() == [0, 128, 255]
        assert np.array_equal(np.asarray(as_image(Image.fromarray(self.picture), value_range=(0, 1))), self.picture)

    def test_values_outside_are_an_error_that_gives_both_ranges(self):
        for source in (np.array([[0.5, 1.2]]), np.array([[3, 300]]), Image.fromarray(np.array([[0, 5000]], np.uint16))):
            with pytest.raises(ImageError, match=r"values run from .* allowed are 0 to 1"):
                as_image(source, value_range=(0, 1))

    @pytest.mark.parametrize("wrong", [1, (1,), (0, 1, 2), (1, 0), (0, 0), ("a", "b"), (0, float("inf")), "01"])
    def test_the_range_itself_is_checked(self, wrong):
        with pytest.raises(SettingsError, match="value_range was"):
            as_image(self.picture, value_range=wrong)

    @pytest.mark.parametrize("to", [torch.uint8, torch.uint16, torch.bool])
    def test_tensors_of_the_types_of_arrays(self, to):
        shades = np.array([[0, 1]], np.uint8) * {torch.uint8: 255, torch.uint16: 1, torch.bool: 1}[to]
        values = {torch.uint16: np.array([[0, 65535]], np.uint16), torch.bool: shades.astype(bool)}.get(to, shades)
        assert pixels(torch.from_numpy(values))[0, :, 0].tolist() == [0, 255]

    def test_channels_may_stand_at_either_end(self):
        rgba = np.dstack([self.picture, np.full((5, 7), 255, np.uint8)])
        for array in (self.picture, rgba, self.picture[None], self.picture.transpose(2, 0, 1), rgba.transpose(2, 0, 1)):
            for source in (array, torch.from_numpy(array.copy())):
                assert np.array_equal(pixels(source), self.picture)
        for grey in (self.picture[..., 0], self.picture[..., :1], self.picture[None, ..., 0]):
            for source in (grey, torch.from_numpy(grey.copy())):
                assert np.array_equal(pixels(source)[..., 0], self.picture[..., 0])
