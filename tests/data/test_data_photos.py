import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan.data.layouts import read_data
from telephonegan.data.photos import CaptionedPhotos, cut_to_box, fingerprint, pack_photos, random_crop, unit_range
from telephonegan.errors import DataError, TelephoneganError


def test_a_split_lists_its_photographs_with_all_their_captions(drawings):
    photos = read_data(drawings, "dev", "plain")
    assert len(photos) == 12
    assert photos.names[0] == "dev-red-circle.png"
    assert photos.captions[0] == [
        ["a", "red", "circle", "on", "white"],
        ["one", "red", "circle"],
        ["there", "is", "a", "circle", "that", "is", "red"],
        ["the", "circle", "is", "red"],
        ["a", "circle"],
    ]


def test_the_splits_share_no_photograph(drawings):
    names = [set(read_data(drawings, split, "plain").names) for split in ("train", "dev", "test")]
    assert sum(map(len, names)) == len(set.union(*names)) == 36


def test_a_slice_keeps_names_and_captions_together(drawings):
    photos = read_data(drawings, "train", "plain")
    part = photos[2:5]
    assert (part.names, part.captions, part.folder) == (photos.names[2:5], photos.captions[2:5], photos.folder)


@pytest.mark.parametrize("missing", ["captions.txt", "dev.txt"])
def test_a_missing_file_is_named(own_drawings, missing):
    (own_drawings / missing).unlink()
    with pytest.raises(DataError, match=missing):
        read_data(own_drawings, "dev", "plain")


def test_missing_pictures_are_an_error(own_drawings):
    (own_drawings / "images").rename(own_drawings.parent / "pictures")
    with pytest.raises(DataError, match=r"none of the 36 photographs in captions\.txt.*no pictures"):
        read_data(own_drawings, "dev", "plain")


def test_an_unknown_split_is_named_with_those_there_are(drawings):
    with pytest.raises(DataError, match=r"'validation'.*train, dev, test"):
        read_data(drawings, "validation", "plain")


def test_photographs_without_captions_are_counted_and_the_first_is_named(own_drawings):
    with open(own_drawings / "dev.txt", "a", encoding="utf-8") as file:
        file.write("lost.png\nstray.png\n")
    with pytest.raises(DataError, match=r"2 photographs.*lost\.png"):
        read_data(own_drawings, "dev", "plain")


def test_a_photograph_that_is_not_there_is_named_before_anything_is_packed(own_drawings, tmp_path):
    (own_drawings / "images" / "dev-red-bar.png").unlink()
    with pytest.raises(TelephoneganError, match=r"dev-red-bar\.png"):
        pack_photos(read_data(own_drawings, "dev", "plain"), 8, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_an_empty_split_is_an_error(own_drawings):
    (own_drawings / "dev.txt").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"dev split.*empty"):
        read_data(own_drawings, "dev", "plain")


def test_names_may_hold_blanks(own_drawings):
    picture = own_drawings / "images" / "a red dot.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    with open(own_drawings / "captions.txt", "a", encoding="utf-8") as file:
        file.write(f"{picture.name}#0\tA red dot\n")
    (own_drawings / "dev.txt").write_text(f"{picture.name}\n", encoding="utf-8")
    assert read_data(own_drawings, "dev", "plain").names == [picture.name]


# ---------------------------------------------------------------------------------------------- rows


@pytest.fixture
def boxed(tmp_path):
    """Three pictures, black but for a square of 8 pixels, with the box around it and a class number."""
    (tmp_path / "images").mkdir()
    names, boxes = [], []
    for number, (left, top) in enumerate([(20, 10), (0, 0), (52, 32)]):
        picture = Image.new("RGB", (60, 40))
        picture.paste("red", (left, top, left + 8, top + 8))
        names.append(f"{number}.png")
        boxes.append((left, top, 8, 8))
        picture.save(tmp_path / "images" / names[-1])
    return CaptionedPhotos(tmp_path / "images", names, [[["zero"]], [["one"]], [["two"]]], [7, 8, 9], boxes)


def test_rows_are_taken_in_order_with_all_that_belongs_to_them(boxed):
    part = boxed.take([2, 0])
    assert part.names == ["2.png", "0.png"]
    assert part.captions == [[["two"]], [["zero"]]]
    assert part.classes == [9, 7]
    assert part.boxes == [(52, 32, 8, 8), (20, 10, 8, 8)]


def test_a_slice_keeps_classes_and_boxes(boxed):
    assert (boxed[1:].classes, boxed[1:].boxes) == ([8, 9], boxed.boxes[1:])
    without = CaptionedPhotos(boxed.folder, boxed.names, boxed.captions)[:2]
    assert (without.classes, without.boxes) == (None, None)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((40, 30, 20, 10), (30, 30)),  # int(0.75 · 20) = 15 to every side of (50, 35)
        ((0, 0, 20, 10), (25, 20)),  # the middle is (10, 5): clipped on the left and above
        ((90, 70, 10, 10), (12, 12)),
        ((10, 10, 3, 4), (6, 6)),  # int(0.75 · 4) = 3
    ],
)
def test_a_box_is_widened_to_three_quarters_of_its_longer_side_to_each_side(box, size):
    assert cut_to_box(Image.new("RGB", (100, 80)), box).size == size


def test_the_cut_keeps_what_the_box_holds(boxed):
    for row in range(3):
        pixels = np.asarray(boxed.image(row))
        assert (pixels[:, :, 0] == 255).sum() == 64
        assert max(pixels.shape[:2]) <= 12


@pytest.mark.parametrize("box", [(200, 10, 20, 20), (5, 5, 1, 1), (10, 10, 0, 0)])
def test_a_box_that_leaves_nothing_is_an_error(box):
    with pytest.raises(DataError, match="is outside"):
        cut_to_box(Image.new("RGB", (100, 80)), box)


def test_packed_pictures_are_cut_to_their_boxes(boxed, tmp_path):
    whole = CaptionedPhotos(boxed.folder, boxed.names, boxed.captions)
    red = [pack_photos(photos, 12, tmp_path)[:, 0].float().mean().item() for photos in (boxed, whole)]
    assert red[0] > 8 * red[1]


def test_other_boxes_have_another_fingerprint(boxed):
    moved = CaptionedPhotos(boxed.folder, boxed.names, boxed.captions, boxed.classes, [(0, 0, 9, 9)] * 3)
    whole = CaptionedPhotos(boxed.folder, boxed.names, boxed.captions)
    assert len({photos.fingerprint() for photos in (boxed, moved, whole)}) == 3


def test_unreadable_photographs_are_left_out_with_their_captions_and_told(boxed):
    (boxed.folder / "0.png").write_bytes((boxed.folder / "0.png").read_bytes()[:60])
    (boxed.folder / "2.png").unlink()
    kept, lost = boxed.readable()
    assert (kept.names, kept.captions, kept.classes, kept.boxes) == (["1.png"], [[["one"]]], [8], [(0, 0, 8, 8)])
    assert [name for name, _ in lost] == ["0.png", "2.png"]
    assert "no file" in lost[1][1]
    assert pack_photos(kept, 8, boxed.folder / "cache").shape == (1, 3, 8, 8)


def test_a_box_beside_its_photograph_makes_it_unreadable(boxed):
    spoilt = CaptionedPhotos(
        boxed.folder, boxed.names, boxed.captions, boxed.classes, [(500, 0, 4, 4), *boxed.boxes[1:]]
    )
    kept, lost = spoilt.readable()
    assert kept.names == ["1.png", "2.png"]
    assert lost[0][0] == "0.png" and "0.png" in lost[0][1]


def test_photographs_that_can_all_be_read_stay(drawings):
    photos = read_data(drawings, "dev", "plain")
    assert photos.readable() == (photos, [])


def test_a_picture_of_one_pixel_is_readable_and_packed(tmp_path):
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    photos, lost = CaptionedPhotos(tmp_path, ["dot.png"], [[["dot"]]]).readable()
    assert lost == []
    assert pack_photos(photos, 4, tmp_path / "cache")[0, 0].eq(255).all()


# ---------------------------------------------------------------------------------------------- packing


@pytest.fixture
def plain(tmp_path):
    """Three pictures of one grey level each."""
    (tmp_path / "images").mkdir()
    for level in (0, 100, 255):
        Image.new("RGB", (20, 10), (level, level, level)).save(tmp_path / "images" / f"{level}.png")
    return CaptionedPhotos(tmp_path / "images", ["0.png", "100.png", "255.png"], [[["grey"]]] * 3)


def test_packed_pictures_are_those_of_the_folder_in_their_order(plain, tmp_path):
    packed = pack_photos(plain, 6, tmp_path / "cache")
    assert packed.dtype == torch.uint8
    assert torch.equal(packed, torch.tensor([0, 100, 255], dtype=torch.uint8)[:, None, None, None].expand(3, 3, 6, 6))


def test_packed_pictures_keep_colours_and_sides(drawings, tmp_path):
    photos = read_data(drawings, "train", "plain")
    packed = pack_photos(photos, 40, tmp_path)
    for name, pixels in zip(photos.names, packed, strict=True):
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(Image.open(photos.folder / name))), name


def test_pictures_are_read_once(plain, tmp_path, monkeypatch):
    first = pack_photos(plain, 6, tmp_path / "cache")
    monkeypatch.setattr("telephonegan.data.photos.as_image", lambda path: pytest.fail("read again"))
    assert torch.equal(pack_photos(plain, 6, tmp_path / "cache"), first)


def test_another_size_or_split_has_its_own_file(plain, tmp_path):
    cache = tmp_path / "cache"
    pack_photos(plain, 6, cache)
    assert pack_photos(plain, 8, cache).shape == (3, 3, 8, 8)
    assert pack_photos(plain[:2], 6, cache).shape == (2, 3, 6, 6)
    backwards = CaptionedPhotos(plain.folder, plain.names[::-1], plain.captions)
    assert pack_photos(backwards, 6, cache)[0, 0, 0, 0] == 255
    assert len(list(cache.iterdir())) == 4


def test_another_folder_with_the_same_names_has_its_own_pixels(plain, tmp_path):
    pack_photos(plain, 6, tmp_path / "cache")
    other = tmp_path / "other"
    other.mkdir()
    for name in plain.names:
        Image.new("RGB", (20, 10), "red").save(other / name)
    packed = pack_photos(CaptionedPhotos(other, plain.names, plain.captions), 6, tmp_path / "cache")
    assert packed[:, :, 0, 0].tolist() == [[255, 0, 0]] * 3


def test_an_unreadable_photograph_is_never_packed_around(plain, tmp_path):
    (plain.folder / "100.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"100\.png.*data check"):
        pack_photos(plain, 6, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_failed_packing_leaves_no_file(plain, tmp_path, monkeypatch):
    def full(*given):
        raise OSError("disk full")

    monkeypatch.setattr("telephonegan.data.photos.np.save", full)
    with pytest.raises((OSError, TelephoneganError)):
        pack_photos(plain, 6, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_fingerprint_changes_with_names_and_order():
    lists = [["a", "b"], ["b", "a"], ["a"], ["a", "b", "c"], ["ab"]]
    assert len({fingerprint(names) for names in lists}) == len(lists)
    assert fingerprint(["a", "b"]) == fingerprint(["a", "b"])


def test_pixels_become_the_range_from_minus_one_to_one():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(unit_range(pixels), torch.tensor([-1.0, -0.6, 1.0]))


# ---------------------------------------------------------------------------------------------- crops


def windows(picture, size):
    """Every window of a (3,H,W) picture and its mirror image, as tuples to look up."""
    found = {}
    for top in range(picture.shape[1] - size + 1):
        for left in range(picture.shape[2] - size + 1):
            window = picture[:, top : top + size, left : left + size]
            found[tuple(window.flatten().tolist())] = (top, left, False)
            found[tuple(window.flip(2).flatten().tolist())] = (top, left, True)
    return found


@pytest.mark.parametrize("shape", [(6, 6), (5, 8)])
def test_crops_are_windows_of_their_own_picture(shape):
    torch.manual_seed(0)
    pixels = torch.randint(256, (40, 3, *shape), dtype=torch.uint8)
    crops = random_crop(pixels, 4)
    assert crops.shape == (40, 3, 4, 4)
    assert crops.dtype == torch.uint8
    places = [windows(picture, 4)[tuple(crop.flatten().tolist())] for picture, crop in zip(pixels, crops, strict=True)]
    assert {top for top, _, _ in places} == set(range(shape[0] - 3))
    assert {left for _, left, _ in places} == set(range(shape[1] - 3))
    assert 8 < sum(mirrored for *_, mirrored in places) < 32


def test_a_crop_of_full_size_is_the_picture_or_its_mirror_image():
    torch.manual_seed(0)
    pixels = torch.randint(256, (8, 3, 5, 5), dtype=torch.uint8)
    for picture, crop in zip(pixels, random_crop(pixels, 5), strict=True):
        assert torch.equal(crop, picture) or torch.equal(crop, picture.flip(2))


def test_crops_repeat_with_the_seed():
    pixels = torch.randint(256, (8, 3, 9, 9), dtype=torch.uint8)
    torch.manual_seed(3)
    first = random_crop(pixels, 4)
    torch.manual_seed(3)
    assert torch.equal(random_crop(pixels, 4), first)
