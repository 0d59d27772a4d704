import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as reference

from telephonegan.data.photos import CaptionedPhotos, cut_to_box
from telephonegan.errors import SettingsError, TelephoneganError
from telephonegan.training.batches import CENTRE, Crops, cut

PLAIN = (0.0, 0.0, 0.9)  # the upper left corner, not mirrored
LAST = 1 - 2**-24  # the largest number torch.rand gives


def noise(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.mark.parametrize("shape", [(100, 70), (70, 100), (90, 90), (20, 31)])
@pytest.mark.parametrize("size", [16, 48])
def test_the_shorter_side_is_scaled_to_76_64ths_and_a_window_cut(shape, size):
    image = noise(*shape)
    scaled = pixels(reference.resize(image, int(size * 76 / 64)))
    height, width = scaled.shape[1:]
    assert torch.equal(cut(image, [size], PLAIN)[0], scaled[:, :size, :size])
    corner = cut(image, [size], (LAST, LAST, 0.9))[0]
    assert torch.equal(corner, scaled[:, height - size :, width - size :])
    middle = scaled[:, (height - size + 1) // 2 :, (width - size + 1) // 2 :]
    assert torch.equal(cut(image, [size], CENTRE)[0], middle[:, :size, :size])


@pytest.mark.parametrize(("size", "shorter"), [(256, 304), (299, 355)])
def test_the_published_sizes_are_cut_from_the_published_scale(size, shorter):
    image = noise(shorter + 20, shorter)  # as large already, so that nothing is scaled
    assert torch.equal(cut(image, [size], PLAIN)[0], pixels(image)[:, :size, :size])


def test_down_and_right_move_the_window():
    image = noise(152, 76)
    down = cut(image, [64], (0.5, 0.0, 0.9))[0]
    right = cut(image, [64], (0.0, 0.5, 0.9))[0]
    assert torch.equal(down, pixels(image)[:, 6:70, :64])
    assert torch.equal(right, pixels(image)[:, :64, 44:108])


def test_below_a_half_the_window_is_mirrored():
    image = noise(100, 80)
    plain, mirrored = cut(image, [16], (0.3, 0.3, 0.5))[0], cut(image, [16], (0.3, 0.3, 0.49))[0]
    assert torch.equal(mirrored, plain.flip(2))


def test_the_smaller_pictures_are_the_same_window_scaled_down():
    image = noise(200, 150)
    small, middle, large = cut(image, [16, 32, 64], (0.2, 0.7, 0.1))
    window = Image.fromarray(large.permute(1, 2, 0).numpy())
    assert torch.equal(small, pixels(reference.resize(window, 16)))
    assert torch.equal(middle, pixels(reference.resize(window, 32)))


# ------------------------------------------------------------------------------------------- reading


@pytest.fixture
def photos(tmp_path):
    names = []
    for level in range(6):
        names.append(f"{level}.png")
        Image.new("RGB", (40, 30), (40 * level, 0, 0)).save(tmp_path / names[-1])
    return CaptionedPhotos(tmp_path, names, [[["red"]]] * 6)


def test_photographs_come_in_the_order_they_were_asked_for(photos):
    crops = Crops(photos, [8, 16], workers=3)
    small, large = crops.wait(crops.begin([4, 0, 5, 4], torch.rand(4, 3)))
    assert (small.shape, large.shape) == ((4, 3, 8, 8), (4, 3, 16, 16))
    assert small.dtype == torch.uint8
    assert small[:, 0, 0, 0].tolist() == large[:, 0, 5, 5].tolist() == [160, 0, 200, 160]


def test_each_photograph_has_its_own_window(tmp_path):
    noise(90, 60).save(tmp_path / "noise.png")
    crops = Crops(CaptionedPhotos(tmp_path, ["noise.png"], [[["noise"]]]), [16], workers=2)
    windows = torch.tensor([[0.1, 0.9, 0.7], [0.8, 0.2, 0.3]])
    (read,) = crops.wait(crops.begin([0, 0], windows))
    for row, window in enumerate(windows.tolist()):
        assert torch.equal(read[row], cut(noise(90, 60), [16], window)[0])


def test_a_photograph_is_cut_to_its_box_first(tmp_path):
    noise(120, 90).save(tmp_path / "bird.png")
    box = (50, 30, 20, 24)
    crops = Crops(CaptionedPhotos(tmp_path, ["bird.png"], [[["bird"]]], boxes=[box]), [16], workers=1)
    assert torch.equal(crops.centres([0])[0][0], cut(cut_to_box(noise(120, 90), box), [16], CENTRE)[0])


def test_the_centre_is_not_mirrored_and_always_the_same(photos):
    crops = Crops(photos, [16], workers=2)
    assert torch.equal(crops.centres([1, 3])[0], crops.centres([1, 3])[0])
    assert CENTRE[2] >= 0.5


def test_a_photograph_that_cannot_be_read_is_named(photos):
    (photos.folder / "3.png").write_bytes(b"no picture")
    crops = Crops(photos, [16], workers=2)
    reading = crops.begin([2, 3], torch.rand(2, 3))
    with pytest.raises(TelephoneganError, match=r"3\.png"):
        crops.wait(reading)


def test_no_threads_are_an_error(photos):
    with pytest.raises(SettingsError, match=r"workers.*0"):
        Crops(photos, [16], workers=0)
