"""Picture files: which are read, which are too large or too slow, and that this is known before they are decoded."""

from __future__ import annotations

import importlib.util
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from telephonegan import colours, picture_files
from telephonegan.errors import ImageError
from telephonegan.images import PICTURE_SUFFIXES, as_image

ROOT = Path(__file__).resolve().parents[1]


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int = 8, colour: int = 2, chunks: bytes = b"", pixels: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunks + chunk(b"IDAT", zlib.compress(pixels, 1)) + chunk(b"IEND", b"")


def webp(width: int, height: int) -> bytes:
    """A lossless one of a single colour, which takes no bits for its pixels."""
    small = encoded(Image.new("RGB", (16, 16), "red"), "WEBP", lossless=True)
    sizes = int.from_bytes(small[21:25], "little") >> 28 << 28 | height - 1 << 14 | width - 1
    return small[:21] + sizes.to_bytes(4, "little") + small[25:]


def tiff(tags: dict[int, tuple[int, ...]], data: bytes = b"") -> bytes:
    start, entries, values = 8 + 2 + 12 * len(tags) + 4, b"", b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        inline = packed if len(packed) == 4 else struct.pack("<I", start + len(values))
        values += packed if len(packed) > 4 else b""
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + inline
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + values + data


def grey_tiff(width: int, height: int, **tags: tuple[int, ...]) -> bytes:
    named = {"bits": 258, "compression": 259, "offsets": 273, "samples": 277, "rows": 278, "sizes": 279}
    named |= {"across": 322, "down": 323, "tiles": 324, "format": 339, "white": 262}
    known = {256: (width,), 257: (height,), 258: (8,), 259: (1,), 262: (1,), 277: (1,)}
    return tiff(known | {named[name]: numbers for name, numbers in tags.items()})


def gif_with_frame(width: int, height: int) -> bytes:
    """A screen of 8 × 8 pixels, and a first frame that exceeds it."""
    content = encoded(Image.new("L", (8, 8)), "GIF")
    at = content.index(b",\0\0\0\0")
    return content[:at] + b"," + struct.pack("<4H", 0, 0, width, height) + content[at + 9 :]


def with_last_scan_repeated(jpeg: bytes, times: int) -> bytes:
    return jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * times + jpeg[-2:]


@pytest.fixture
def nothing_is_decoded(monkeypatch):
    """Fails where pixels are asked for."""

    def load(*_):
        raise AssertionError("it was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.__init__", load)


class TestKinds:
    @pytest.mark.parametrize(
        ("content", "named"),
        [
            (b"<!DOCTYPE html><html>Sign in", "a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"%PDF-1.7\n", "a PDF"),
            (b"PK\x03\x04" + bytes(40), "a zip archive"),
            (b"\x1f\x8b\x08" + bytes(40), "gzipped"),
            (b"\0\0\0\x18ftypisom" + bytes(40), "a video"),
            (b"8BPS\0\x01" + bytes(40), "Photoshop"),
            (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
            (b"%!PS-Adobe-3.0 EPSF-3.0", "EPS"),
        ],
    )
    def test_what_else_people_give_is_named(self, content, named):
        with pytest.raises(ImageError, match=f"Not a supported picture: .*{named}.*JPEG, PNG"):
            as_image(content)

    @pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
    def test_a_file_of_every_listed_suffix_is_read(self, suffix, tmp_path):
        kind = {".jfif": "JPEG", ".jpg": "JPEG", ".tif": "TIFF", ".heif": "HEIF", ".heic": "HEIF"}.get(
            suffix, suffix[1:].upper()
        )
        if kind == "HEIF":
            pytest.importorskip("pillow_heif").register_heif_opener()
        path = tmp_path / f"picture{suffix}"
        path.write_bytes(encoded(Image.new("RGB", (32, 24), (250, 10, 20)), kind))
        shown = as_image(path)
        assert shown.size == (32, 24)
        assert np.abs(np.asarray(shown).astype(int) - (250, 10, 20)).max() < 8

    @pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
    def test_without_pillow_heif_the_error_says_what_to_install(self, brand, monkeypatch):
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
        with pytest.raises(ImageError, match=r"HEIC: .*pip install pillow-heif.*export the photograph as JPEG"):
            as_image(b"\0\0\0\x18ftyp" + brand + bytes(40))

    @pytest.mark.parametrize(("photometric", "expected"), [(0, [255, 155, 0]), (1, [0, 100, 255])])
    @pytest.mark.parametrize("bits", [8, 16])
    def test_grey_tiffs_in_which_the_least_value_is_white(self, bits, photometric, expected):
        values = np.array([0, 100, 255], np.uint8) if bits == 8 else np.array([0, 25700, 65535], "<u2")
        content = grey_tiff(3, 1, bits=(bits,), white=(photometric,), offsets=(0,), rows=(1,), sizes=(values.nbytes,))
        content += values.tobytes()
        at = content.index(struct.pack("<HHI", 273, 4, 1)) + 8
        content = content[:at] + struct.pack("<I", len(content) - values.nbytes) + content[at + 4 :]
        assert np.asarray(as_image(content))[0, :, 0].tolist() == expected

    def test_a_tiff_of_values_that_pillow_lacks_is_named(self):
        content = grey_tiff(4, 4, bits=(64,), format=(3,), offsets=(8,), rows=(4,), sizes=(128,))
        with pytest.raises(ImageError, match=r"not read: .* 4 × 4 pixels of 1 × 64 bits.*tifffile, and give the array"):
            as_image(content)

    def test_avif_within_the_container_of_heic_is_read(self):
        content = encoded(Image.new("RGB", (16, 16), "red"), "AVIF")
        assert content[8:12] == b"avif"
        assert as_image(content[:8] + b"mif1" + content[12:]).size == (16, 16)


class TestLargePhotographs:
    def test_a_photograph_of_108_megapixels_comes_at_half_its_size(self):
        content = encoded(Image.new("L", (12_000, 9_000), 90), "JPEG")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shown = as_image(content)
        assert (shown.size, shown.getpixel((3000, 2000))) == ((6000, 4500), (90, 90, 90))

    @pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_every_kind_of_jpeg_is_decoded_at_a_fraction_of_its_size(self, mode, options, monkeypatch):
        content = encoded(Image.new("RGB", (800, 600), (90, 120, 60)).convert(mode), "JPEG", **options)
        decoded_sizes = []
        load = ImageFile.ImageFile.load

        def recording_load(picture):
            decoded_sizes.append(picture.size)
            return load(picture)

        monkeypatch.setattr(ImageFile.ImageFile, "load", recording_load)
        shown = as_image(content, max_pixels=40_000)
        expected = np.asarray(as_image(content).resize((1, 1)))
        assert shown.size == decoded_sizes[0] == (200, 150)
        assert np.abs(np.asarray(shown.resize((1, 1))).astype(int) - expected).max() <= 1

    def test_the_pil_image_that_was_given_stays_undecoded_and_whole(self):
        picture = Image.open(io.BytesIO(encoded(Image.new("RGB", (64, 48)), "JPEG")))
        assert as_image(picture, max_pixels=1000).size == (32, 24)
        assert picture.size == (64, 48)
        assert picture.convert("RGB").size == (64, 48)

    def test_the_limit_of_pillow_is_not_reported_to_whoever_cannot_change_it(self, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
        monkeypatch.setattr(colours, "_BAND", 1000)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "AVIF"):
                content = encoded(Image.new("RGB", (60, 50)), kind, compression="tiff_lzw")
                assert as_image(content).size == (60, 50)
                assert as_image(content, max_pixels=1000).size == (30, 25)
            with pytest.raises(ImageError, match="truncated"):
                as_image(gif_with_frame(60, 50))

    def test_reduced_pictures_are_turned_and_laid_on_white(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        rgba = Image.new("RGBA", (80, 40), (0, 0, 0, 0))
        rgba.paste((255, 0, 0, 255), (0, 0, 40, 40))
        shown = as_image(encoded(rgba, "PNG", exif=exif), max_pixels=800)
        assert shown.size == (20, 40)
        assert (shown.getpixel((10, 5)), shown.getpixel((10, 35))) == ((255, 0, 0), (255, 255, 255))


class TestBudget:
    @pytest.mark.parametrize(
        ("content", "size"),
        [
            (webp(16384, 16384), "16384 × 16384"),
            (webp(8000, 8000), "8000 × 8000"),
            (png(40_000, 40_000), "40000 × 40000"),
            (png(12_000, 12_000, depth=16, chunks=chunk(b"tRNS", bytes(6))), "12000 × 12000"),
            (gif_with_frame(60_000, 60_000), "60000 × 60000"),
            (grey_tiff(10, 10, compression=(8,), across=(60_000,), down=(60_000,), tiles=(8,)), "10 × 10"),
            (grey_tiff(9000, 9000, bits=(32,), compression=(8,), offsets=(8,), rows=(9000,)), "9000 × 9000"),
        ],
        ids=["webp", "webp of 64 MP", "png", "png decoded twice", "gif frame", "tiff tile", "tiff strip"],
    )
    def test_what_takes_too_much_memory_is_refused_undecoded(self, content, size, nothing_is_decoded):
        with pytest.raises(ImageError, match=rf"Too large: .* {size} pixels.* GB of memory; 0\.51 GB are allowed"):
            as_image(content)

    def test_what_takes_too_long_is_refused_undecoded(self, nothing_is_decoded):
        flat = encoded(Image.new("L", (8000, 8000), 90), "JPEG", progressive=True)
        header = struct.pack("<IiiHHIIiiII", 40, 9000, 9000, 1, 8, 1, 0, 0, 0, 0, 0)
        rle = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + header + bytes(2) * 1000
        strips = grey_tiff(1, 300_000, offsets=(8,) * 300_000, rows=(1,), sizes=(1,) * 300_000)
        for content in (with_last_scan_repeated(flat, 300), rle, strips):
            with pytest.raises(ImageError, match=r"Too slow: .* would take about \d+ s; 4 s are allowed"):
                as_image(content)

    def test_ordinary_progressive_pictures_and_small_ones_of_many_scans_are_read(self):
        small = encoded(Image.new("RGB", (64, 64), "red"), "JPEG", progressive=True)
        for content in (small, with_last_scan_repeated(small, 300)):
            assert as_image(content).size == (64, 64)

    @pytest.mark.parametrize(
        "content",
        [
            png(1, 1, chunks=chunk(b"juNk", b"") * 100_000, pixels=bytes(4)),
            b"\xff\xd8" + b"\xff\xfe\0\2" * 100_001,
            b"\xff\xd8" + b"\xff" * 100_010 + b"\xda\0\2",
            b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe\1x\0" * 100_001,
            b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe" + b"\1x" * 100_001,
        ],
        ids=["png chunks", "jpeg segments", "jpeg filling", "gif blocks", "gif parts of a block"],
    )
    def test_headers_without_end_are_refused(self, content):
        with pytest.raises(ImageError, match="more than 100000"):
            as_image(content)

    def test_a_header_that_understates_the_size_is_refused(self, monkeypatch):
        content = encoded(Image.new("RGB", (8, 8)), "BMP")
        cost = picture_files.Cost(4, 4, peak=4, kept=4, seconds=0)
        monkeypatch.setattr(picture_files, "_cost_when_opened", lambda *_: cost)
        with pytest.raises(ImageError, match="contradict"):
            as_image(content)

    def test_the_content_of_a_file_object_counts(self, monkeypatch):
        monkeypatch.setattr("telephonegan.images._MOST_BYTES", 100)
        with pytest.raises(ImageError, match=r"Too large: the file object BytesIO.*Give the path"):
            as_image(io.BytesIO(encoded(Image.new("RGB", (50, 50)), "BMP")))

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits are Linux's")
    def test_large_files_are_read_within_the_memory_that_is_allowed(self, tmp_path):
        row = bytes(1 + 4 * 7900)
        (tmp_path / "rgba.png").write_bytes(png(7900, 7900, colour=6, pixels=row * 7900))
        (tmp_path / "lossless.webp").write_bytes(webp(5600, 5600))
        floats = tmp_path / "float.tif"
        floats.write_bytes(grey_tiff(7900, 7900, bits=(32,), format=(3,), offsets=(8,), rows=(7900,), sizes=(4,)))
        os.truncate(floats, 4 * 7900 * 7900 + 1000)
        code = (
            "import sys, resource; from telephonegan.images import as_image\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
            "before = peak()\n"
            "for path in sys.argv[1:]: as_image(path)\n"
            "print((peak() - before) // 10**6)"
        )
        command = [sys.executable, "-c", code, *sorted(map(str, tmp_path.iterdir()))]
        measured = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert int(measured.stdout) < 600


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is not installed")
def test_heic_photographs_are_read_with_their_profile(tmp_path):
    import pillow_heif

    from tests.icc_profiles import P3, in_srgb, rgb_profile

    colours = np.full((64, 64, 3), (200, 60, 30), np.uint8)
    heif = pillow_heif.from_pillow(Image.fromarray(colours))
    stream = io.BytesIO()
    heif.save(stream, quality=-1, chroma=444, icc_profile=rgb_profile(P3))
    assert np.abs(np.asarray(as_image(stream.getvalue())) - in_srgb(colours, P3)).mean() < 3
