"""The door for pictures: what it lets in, what it turns away, and with which words."""

from __future__ import annotations

import doctest
import os
import struct
import subprocess
import sys
import zlib
from io import BytesIO, StringIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from telephonegan import images
from telephonegan.errors import ImageError, SettingsError
from telephonegan.images import as_image, to_images, to_tensor

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [rows * 255 // height, columns * 255 // width, (rows + columns) % 256]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)


def png_without_pixels(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


shapes = st.one_of(
    npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
)
arrays = st.one_of(
    npst.arrays(st.sampled_from([np.uint8, np.dtype("<u2"), np.dtype(">u2"), np.bool_]), shapes),
    st.sampled_from([16, 32, 64]).flatmap(
        lambda width: npst.arrays(f"f{width // 8}", shapes, elements=st.floats(0, 1, width=width))
    ),
)


class TestDoors:
    def test_path_bytes_and_file_object_give_the_same_pixels(self, tmp_path):
        picture = gradient()
        content = encoded(picture)
        path = tmp_path / "picture.png"
        path.write_bytes(content)
        with path.open("rb") as stream:
            sources = [path, str(path), content, bytearray(content), memoryview(content), stream, BytesIO(content)]
            for source in sources:
                assert np.array_equal(pixels(as_image(source)), pixels(picture))

    def test_file_object_standing_at_its_end_is_read_from_the_start(self):
        stream = BytesIO()
        gradient().save(stream, "PNG")
        assert as_image(stream).size == (40, 30)

    def test_home_folder_is_expanded(self, tmp_path, monkeypatch):
        gradient().save(tmp_path / "picture.png")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        assert as_image("~/picture.png").size == (40, 30)

    @pytest.mark.parametrize("form", ["file://{}", "file:{}", "FILE://{}", "file://localhost{}"])
    def test_addresses_of_files_on_this_machine_are_paths(self, form, tmp_path):
        path = tmp_path / "my café.png"
        gradient().save(path)
        assert as_image(form.format(quote(str(path)))).size == (40, 30)

    def test_a_path_object_has_lost_two_of_the_slashes_of_an_address(self, tmp_path):
        gradient().save(tmp_path / "picture.png")
        assert as_image(Path(f"file://{tmp_path}/picture.png")).size == (40, 30)

    def test_result_is_loaded_so_the_file_may_go(self, tmp_path):
        path = tmp_path / "picture.png"
        gradient().save(path)
        picture = as_image(path)
        path.unlink()
        assert picture.getpixel((39, 0)) == gradient().getpixel((39, 0))

    def test_pil_input_is_neither_changed_nor_shared(self):
        given = gradient()
        given.info["note"] = "mine"
        given.getexif()[0x0112] = 6
        before = given.tobytes()
        as_image(given).paste(RED, (0, 0, 5, 5))
        assert (given.tobytes(), given.size, given.info["note"]) == (before, (40, 30), "mine")

    def test_array_input_is_not_shared(self):
        array = np.zeros((4, 4, 3), np.uint8)
        as_image(array).paste(RED, (0, 0, 4, 4))
        assert not array.any()

    def test_tensor_doors_agree(self):
        picture = gradient()
        levels = torch.from_numpy(pixels(picture).copy()).permute(2, 0, 1)
        floats = levels.float() / 127.5 - 1
        for tensor in [levels, floats, floats[None], floats.double(), floats.clone().requires_grad_()]:
            assert np.array_equal(pixels(as_image(tensor)), pixels(picture))

    def test_one_channel_tensor_is_grey(self):
        assert as_image(torch.full((1, 2, 5), -1.0)).getpixel((4, 1)) == (0, 0, 0)
        with pytest.warns(UserWarning, match="read as 0 to 1"):
            assert as_image(torch.full((1, 2, 5), 1.0, dtype=torch.bfloat16)).getpixel((4, 1)) == WHITE

    def test_reading_an_array_imports_neither_torch_nor_skimage(self):
        code = (
            "import sys, numpy; from telephonegan.images import as_image; from telephonegan.samples import samples; "
            "as_image(numpy.zeros((2, 2))); samples(); sys.exit('torch' in sys.modules or 'skimage' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @quick
    @given(arrays)
    def test_every_allowed_array_gives_rgb_of_its_height_and_width(self, array):
        picture = as_image(array)
        assert (picture.mode, picture.size) == ("RGB", (array.shape[1], array.shape[0]))

    @quick
    @given(arrays)
    def test_reading_twice_changes_nothing_and_png_keeps_every_pixel(self, array):
        picture = as_image(array)
        assert np.array_equal(pixels(as_image(picture)), pixels(picture))
        assert np.array_equal(pixels(as_image(encoded(picture))), pixels(picture))

    @quick
    @given(npst.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))))
    def test_array_depths_of_the_same_picture_agree(self, array):
        for other in [array.astype(np.uint16) * 257, array / 255, (array / 255).astype(np.float32)]:
            assert np.array_equal(pixels(as_image(other)), array)


class TestColours:
    @pytest.mark.parametrize(
        "mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "LA", "PA", "RGBX", "RGBa", "La"]
    )
    def test_every_mode_becomes_rgb(self, mode):
        picture = as_image(Image.new(mode, (3, 2)))
        assert (picture.mode, picture.size) == ("RGB", (3, 2))

    @pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "YCbCr", "HSV", "RGBX"])
    def test_converted_colours_look_alike(self, mode):
        grey = Image.new("RGB", (2, 2), (90, 90, 90))
        converted = grey.convert(mode, palette=Image.Palette.ADAPTIVE)
        assert abs(pixels(as_image(converted)).astype(int) - 90).max() <= 3

    def test_cmyk_jpeg_keeps_its_colour(self):
        picture = as_image(encoded(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG", quality=95))
        assert abs(pixels(picture).astype(int) - RED).max() < 10

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_16_bit_files_keep_their_order_and_full_range(self, kind):
        values = np.linspace(0, 65535, 256).round().astype(np.uint16)[None]
        levels = pixels(as_image(encoded(Image.fromarray(values), kind)))[0, :, 0]
        assert levels.tolist() == list(range(256))

    @pytest.mark.parametrize(("mode", "layout"), [("I;16", "<u2"), ("I;16B", ">u2"), ("I", "<i4")])
    def test_16_bit_modes_are_scaled_not_clipped(self, mode, layout):
        values = np.array([[0, 300, 32768, 65535]], layout)
        picture = Image.frombytes(mode, (4, 1), values.tobytes())
        assert pixels(as_image(picture))[0, :, 0].tolist() == [0, 1, 128, 255]

    def test_mode_i_beyond_16_bits_is_an_error_that_gives_the_range(self):
        with pytest.raises(ImageError, match=r"mode I.*0 to 70000; allowed are 0 to 65535"):
            as_image(Image.fromarray(np.array([[0, 70000]], np.int32)))

    def test_mode_f_is_scaled_from_zero_to_one(self):
        picture = as_image(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)))
        assert pixels(picture)[0, :, 0].tolist() == [0, 128, 255]

    def test_mode_f_out_of_range_is_an_error(self):
        with pytest.raises(ImageError, match="0 to 200; allowed are 0 to 1"):
            as_image(Image.fromarray(np.array([[0, 200]], np.float32)))

    def test_bool_is_black_and_white(self):
        assert pixels(as_image(np.array([[False, True]])))[0, :, 0].tolist() == [0, 255]

    def test_float_overshoot_of_rounding_is_forgiven(self):
        assert as_image(np.full((1, 1), 1 + 1e-6)).getpixel((0, 0)) == WHITE


class TestTransparency:
    def hidden(self) -> Image.Image:
        picture = Image.new("RGBA", (3, 1), (*RED, 0))
        picture.putpixel((1, 0), (*BLUE, 255))
        picture.putpixel((2, 0), (0, 0, 0, 128))
        return picture

    def test_clear_becomes_white_opaque_stays_and_half_is_between(self):
        expected = [list(WHITE), list(BLUE), [127] * 3]
        for source in [self.hidden(), encoded(self.hidden()), pixels(self.hidden()), self.hidden().convert("RGBa")]:
            assert pixels(as_image(source))[0].tolist() == expected

    @pytest.mark.parametrize("mode", ["LA", "La"])
    def test_grey_with_alpha_is_laid_on_white(self, mode):
        picture = Image.new("LA", (1, 1), (0, 0))
        assert as_image(picture if mode == "LA" else picture.convert("La")).getpixel((0, 0)) == WHITE

    def test_palette_with_transparency_is_laid_on_white(self):
        picture = Image.new("P", (2, 1), 0)
        picture.putpalette([*RED, *BLUE])
        picture.putpixel((1, 0), 1)
        for source in [encoded(picture, transparency=0), encoded(picture, "GIF", transparency=0)]:
            assert pixels(as_image(source))[0].tolist() == [list(WHITE), list(BLUE)]

    def test_palette_with_partial_transparency_is_laid_on_white(self):
        picture = Image.new("P", (1, 1), 0)
        picture.putpalette([0, 0, 0])
        assert as_image(encoded(picture, transparency=b"\x80")).getpixel((0, 0)) == (127, 127, 127)

    def test_transparent_colour_of_a_16_bit_png_is_white(self):
        picture = Image.fromarray(np.array([[30000, 60000]], np.uint16))
        content = encoded(picture, transparency=30000)
        assert pixels(as_image(content))[0, :, 0].tolist() == [255, 233]


class TestOrientation:
    upright = Image.fromarray(np.array([[RED, GREEN, BLUE], [WHITE, RED, RED]], np.uint8))
    stored_as = (  # the tag says where the stored first row and first column belong: 6 is "right, top", and so on
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.swapaxes(0, 1)),
        (6, lambda p: p.swapaxes(0, 1)[::-1]),
        (7, lambda p: p.swapaxes(0, 1)[::-1, ::-1]),
        (8, lambda p: p.swapaxes(0, 1)[:, ::-1]),
    )

    @pytest.mark.parametrize(("tag", "store"), stored_as)
    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_every_orientation_is_turned_upright_once(self, tag, store, kind):
        stored = Image.fromarray(np.ascontiguousarray(store(pixels(self.upright))))
        exif = Image.Exif()
        exif[0x0112] = tag
        content = encoded(stored, kind, exif=exif)
        once = as_image(content)
        assert np.array_equal(pixels(once), pixels(self.upright))
        assert np.array_equal(pixels(as_image(once)), pixels(self.upright))
        assert np.array_equal(pixels(as_image(Image.open(BytesIO(content)))), pixels(self.upright))

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    @pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b""])
    def test_damaged_exif_does_not_close_the_door(self, exif):
        assert as_image(encoded(gradient(), "JPEG", exif=exif)).size == (40, 30)

    def test_unknown_orientation_is_left(self):
        exif = Image.Exif()
        exif[0x0112] = 99
        assert as_image(encoded(self.upright, exif=exif)).size == (3, 2)


class TestAnimations:
    @pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_file_gives_its_first_frame(self, kind):
        frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
        options = {"lossless": True} if kind == "WEBP" else {}
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert as_image(content).getpixel((4, 4)) == RED


class TestRefusals:
    @pytest.mark.parametrize("source", [None, 7, 1.5, [1, 2], (), {}, object(), np.float64(1), Image])
    def test_other_things_are_named_with_what_is_allowed(self, source):
        with pytest.raises(ImageError, match=rf"of type {type(source).__name__}\. Allowed: the path"):
            as_image(source)

    @pytest.mark.parametrize("address", ["http://a.org/b.jpg", "HTTPS://a.org/b.jpg", "ftp://a.org/b", "s3://a/b.png"])
    def test_web_address_says_download_first(self, address):
        with pytest.raises(ImageError, match=r"a web address.*Download it first"):
            as_image(address)

    def test_web_address_as_path_says_so_too(self):
        with pytest.raises(ImageError, match="Download it first"):
            as_image(Path("https://a.org/b.jpg"))

    def test_files_of_other_machines_and_pictures_in_addresses_are_named(self):
        with pytest.raises(ImageError, match=r"on another machine \(server\).*three slashes"):
            as_image("file://server/share/b.jpg")
        with pytest.raises(ImageError, match=r"is a data URL.*b64decode"):
            as_image("data:image/png;base64,iVBORw0KGgo=")

    @pytest.mark.parametrize("path", ["", "no_such_file.png", "a\0b.png", "x" * 5000])
    def test_impossible_paths(self, path):
        with pytest.raises(ImageError, match=r"path|cannot be opened") as caught:
            as_image(path)
        assert len(str(caught.value)) < 600

    def test_missing_file_names_it_and_where_it_was_looked_for(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ImageError) as caught:
            as_image("bear.jpg")
        assert "'bear.jpg'" in str(caught.value)
        assert tmp_path.name in str(caught.value)

    def test_folder(self, tmp_path):
        with pytest.raises(ImageError, match="is a folder"):
            as_image(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_pipe_is_refused_without_waiting(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ImageError, match="pipe"):
            as_image(tmp_path / "pipe")

    def test_empty_file_and_empty_bytes(self, tmp_path):
        (tmp_path / "empty.png").touch()
        for source in [tmp_path / "empty.png", b"", BytesIO()]:
            with pytest.raises(ImageError, match="Empty"):
                as_image(source)

    def test_text_file_is_not_a_picture(self, tmp_path):
        (tmp_path / "notes.jpg").write_text("not a picture at all")
        with pytest.raises(ImageError, match=r"Not a supported picture: the file .*notes\.jpg.*JPEG, PNG"):
            as_image(tmp_path / "notes.jpg")

    def test_text_stream_asks_for_binary_mode(self):
        with pytest.raises(ImageError, match=r"gave str, not bytes.*'rb'"):
            as_image(StringIO("text"))

    def test_closed_stream(self):
        stream = BytesIO(encoded(gradient()))
        stream.close()
        with pytest.raises(ImageError, match="closed file"):
            as_image(stream)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
    def test_half_a_file_is_an_error(self, kind):
        content = encoded(gradient(), kind)
        with pytest.raises(ImageError, match=r"Damaged|Not a supported picture"):
            as_image(content[: len(content) // 2])

    @quick
    @given(st.binary(max_size=300))
    def test_random_bytes_raise_nothing_but_image_error(self, content):
        self.assert_picture_or_image_error(content)

    @quick
    @given(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "ICO", "PPM"]), st.data())
    def test_damaged_files_raise_nothing_but_image_error(self, kind, data):
        content = bytearray(encoded(gradient(16, 16), kind))
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
            content[place] = data.draw(st.integers(0, 255))
        self.assert_picture_or_image_error(bytes(content[: data.draw(st.integers(0, len(content)))]))

    def assert_picture_or_image_error(self, content: bytes) -> None:
        try:
            picture = as_image(content)
        except ImageError:
            return
        assert picture.mode == "RGB"

    def test_eps_is_refused_without_running_it(self):
        content = encoded(gradient(), "EPS")
        for source in (content, Image.open(BytesIO(content))):
            with pytest.raises(ImageError, match="EPS"):
                as_image(source)

    @pytest.mark.parametrize(
        "array",
        [np.zeros(5), np.zeros((2, 2, 2)), np.zeros((5, 9, 9)), np.zeros((2, 4, 4, 3)), np.array(3.0)],
    )
    def test_array_shapes_are_named(self, array):
        with pytest.raises(ImageError) as caught:
            as_image(array)
        assert f"shape {array.shape}" in str(caught.value)
        assert "(H,W,3)" in str(caught.value)

    @pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0, 3), (0, 5, 4)])
    def test_arrays_without_pixels(self, shape):
        with pytest.raises(ImageError, match=rf"Empty: .*{shape[1]} × {shape[0]}"):
            as_image(np.zeros(shape, np.uint8))

    def test_pil_image_without_pixels(self):
        with pytest.raises(ImageError, match="Empty"):
            as_image(Image.new("RGB", (0, 5)))

    @pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint32, np.complex64, object, "S3", "M8[s]"])
    def test_array_types_are_named(self, dtype):
        with pytest.raises(ImageError, match="allowed types are uint8"):
            as_image(np.zeros((2, 2), dtype))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.1, 1.1, 255.0])
    def test_bad_floats_are_named_with_what_is_allowed(self, value):
        for source in (np.array([[0.5, value]]), torch.full((3, 2, 2), value), Image.fromarray(np.float32([[value]]))):
            with pytest.raises(ImageError, match=r"(shape|mode F).*allowed are 0 to 1, or -1 to 1"):
                as_image(source)

    @pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 5, 5), (4,), (1, 1, 3, 4, 4), ()])
    def test_tensor_shapes_are_named(self, shape):
        with pytest.raises(ImageError) as caught:
            as_image(torch.zeros(shape))
        assert str(shape) in str(caught.value)
        assert "(3,H,W)" in str(caught.value)

    def test_tensors_without_pixels_type_or_values(self):
        with pytest.raises(ImageError, match="Empty"):
            as_image(torch.zeros(3, 0, 4))
        for dtype in (torch.int64, torch.int16, torch.complex64):
            with pytest.raises(ImageError, match="allowed types are uint8"):
                as_image(torch.zeros(3, 2, 2, dtype=dtype))
        with pytest.raises(ImageError, match="cannot be read"):
            as_image(torch.zeros(3, 2, 2, device="meta"))


class TestSizeLimit:
    @pytest.mark.parametrize(("limit", "size"), [(1200, (40, 30)), (1199, (20, 15)), (299, (10, 8)), (20, (5, 4))])
    def test_larger_pictures_come_at_a_half_a_quarter_or_an_eighth(self, limit, size):
        array = pixels(gradient()).copy()
        for source in [gradient(), encoded(gradient()), encoded(gradient(), "JPEG"), array, torch.from_numpy(array)]:
            assert as_image(source, max_pixels=limit).size == size

    def test_whole_pictures_are_asked_for_where_places_in_them_matter(self):
        for source in [gradient(), encoded(gradient(), "JPEG"), pixels(gradient())]:
            assert as_image(source, max_pixels=1200, whole=True).size == (40, 30)
            with pytest.raises(ImageError, match=r"Too large: .* 40 × 30 pixels; 1199 pixels are allowed"):
                as_image(source, max_pixels=1199, whole=True)

    @pytest.mark.parametrize("limit", [0, -1, 2.5, True, None, "many"])
    def test_limit_itself_is_checked(self, limit):
        with pytest.raises(SettingsError, match="max_pixels was"):
            as_image(gradient(), max_pixels=limit)

    def test_numbers_of_numpy_are_numbers(self):
        assert as_image(gradient(), max_pixels=np.int64(1199)).size == (20, 15)
        assert to_tensor([gradient()], np.int32(4)).shape == (1, 3, 4, 4)


class TestTensors:
    def test_shape_type_and_range(self):
        tensor = to_tensor([gradient(), Image.new("RGB", (7, 90), "white")], 16)
        assert (tuple(tensor.shape), tensor.dtype) == ((2, 3, 16, 16), torch.float32)
        assert tensor.is_contiguous()
        assert tensor.min() >= -1
        assert torch.equal(tensor[1], torch.ones(3, 16, 16))

    def test_channels_are_red_green_blue(self):
        tensor = to_tensor([Image.new("RGB", (5, 5), (255, 0, 0))], 2)
        assert tensor[0, :, 0, 0].tolist() == [1, -1, -1]

    def test_aspect_is_squashed_not_cropped(self):
        wide = Image.new("RGB", (40, 10), RED)
        wide.paste(BLUE, (20, 0, 40, 10))
        squashed = to_images(to_tensor([wide], 8))[0]
        assert (squashed.getpixel((0, 0)), squashed.getpixel((7, 7))) == (RED, BLUE)

    def test_shrinking_averages_rather_than_skips(self):
        stripes = np.zeros((64, 64), np.uint8)
        stripes[:, ::2] = 255
        assert abs(to_tensor([as_image(stripes)], 8)).max() < 0.1

    @quick
    @given(npst.arrays(np.uint8, st.integers(1, 8).map(lambda side: (side, side, 3))))
    def test_there_and_back_is_the_same_picture(self, array):
        back = to_images(to_tensor([as_image(array)], len(array)))[0]
        assert back.mode == "RGB"
        assert np.array_equal(pixels(back), array)

    def test_values_are_rounded_to_nearest_and_clamped(self):
        levels = torch.tensor([-7.0, -1.0, 99.6 / 127.5 - 1, 100.4 / 127.5 - 1, 1.0, 7.0])
        picture = to_images(levels.expand(1, 3, 1, 6))[0]
        assert pixels(picture)[0, :, 0].tolist() == [0, 0, 100, 100, 255, 255]

    def test_half_precision_and_gradients_are_welcome(self):
        for tensor in [torch.ones(2, 3, 4, 5, dtype=torch.bfloat16), torch.ones(2, 3, 4, 5, requires_grad=True)]:
            pictures = to_images(tensor)
            assert [picture.size for picture in pictures] == [(5, 4), (5, 4)]

    def test_no_pictures_give_an_empty_batch_and_back(self):
        assert to_tensor([], 8).shape == (0, 3, 8, 8)
        assert to_images(to_tensor([], 8)) == []

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_diverged_tensor_is_an_error(self, value):
        with pytest.raises(ImageError, match="NaN or infinite"):
            to_images(torch.full((1, 3, 2, 2), value))

    @pytest.mark.parametrize(
        "tensor", [torch.zeros(3, 4, 4), torch.zeros(1, 1, 4, 4), torch.zeros(1, 3, 0, 4), torch.zeros(1, 4, 4, 3)]
    )
    def test_wrong_shapes_are_named(self, tensor):
        with pytest.raises(ImageError) as caught:
            to_images(tensor)
        assert str(tuple(tensor.shape)) in str(caught.value)
        assert "(B,3,H,W)" in str(caught.value)

    @pytest.mark.parametrize("wrong", [torch.zeros(1, 3, 2, 2, dtype=torch.uint8), np.zeros((1, 3, 2, 2)), None])
    def test_wrong_types_are_named(self, wrong):
        with pytest.raises(ImageError, match="to_images was given"):
            to_images(wrong)

    def test_single_picture_is_told_to_go_in_a_list(self):
        with pytest.raises(ImageError, match=r"put one picture in \[ \]"):
            to_tensor(gradient(), 8)

    @pytest.mark.parametrize("size", [0, -3, 2.0, "8", None, True])
    def test_size_is_checked(self, size):
        with pytest.raises(SettingsError, match="size was"):
            to_tensor([gradient()], size)


def test_examples_in_the_docstrings_hold():
    results = doctest.testmod(images)
    assert results.attempted >= 4
    assert results.failed == 0
