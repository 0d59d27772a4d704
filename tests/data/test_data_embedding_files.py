import numpy as np
import pytest

from telephonegan.data.embedding_files import read_embedded
from telephonegan.errors import DataError
from telephonegan.text import Alphabet
from tests.torch7 import LuaFunction, write_t7


def characters(*sentences: str) -> np.ndarray:
    """Labels (201,k) of Reed's files."""
    table = np.zeros((201, len(sentences)), np.uint8)
    for column, sentence in enumerate(sentences):
        ids = Alphabet().encode(sentence).ids
        table[: len(ids), column] = ids
    return table


def write_photo(path, embeddings: np.ndarray, *sentences: str):
    path.parent.mkdir(exist_ok=True)
    contents = {"img": f"images/{path.stem}.jpg", "txt": embeddings.astype(np.float32)}
    return write_t7(path, contents | {"char": characters(*sentences)})


def test_a_folder_of_torch7_files_gives_embeddings_captions_and_classes(tmp_path):
    write_photo(tmp_path / "001.rose" / "b.t7", np.ones((2, 4)), "a red rose", "it is red, and big.")
    write_photo(tmp_path / "002.iris" / "a.t7", np.zeros((1, 4)), "an iris")
    rose, iris = read_embedded(tmp_path)
    assert (rose.name, rose.class_name, iris.class_name) == ("images/b.jpg", "001.rose", "002.iris")
    assert rose.sentences == ["a red rose", "it is red, and big."]
    assert rose.embeddings.shape == (2, 4) and rose.embeddings.dtype == np.float32


def test_embeddings_of_different_lengths_are_refused(tmp_path):
    write_photo(tmp_path / "x" / "a.t7", np.ones((1, 4)), "a")
    write_photo(tmp_path / "x" / "b.t7", np.ones((1, 8)), "b")
    with pytest.raises(DataError, match=r"4 numbers for images/a\.jpg, 8 for images/b\.jpg"):
        read_embedded(tmp_path)


def test_other_torch7_files_and_empty_folders_are_named(tmp_path):
    with pytest.raises(DataError, match=r"has no \.t7"):
        read_embedded(tmp_path)
    with pytest.raises(DataError, match="lacks `txt`"):
        read_embedded(write_t7(tmp_path / "a.t7", {"img": "a.jpg"}))
    with pytest.raises(DataError, match="contains a function"):
        read_embedded(write_t7(tmp_path / "a.t7", {"txt": LuaFunction()}))


def test_an_hdf5_file_gives_each_photograph_once_with_its_different_captions(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "flowers.hdf5", "w") as file:
        for number, sentence in enumerate(("a rose", "a rose", "red petals")):  # drawn with replacement
            group = file.create_group(f"train/image_7_{number}")
            group["embeddings"] = np.full(4, float(number > 1))
            group["img"] = np.void(b"\xff\xd8jpeg\0")
            group["class"], group["txt"] = "rose", sentence
    (photo,) = read_embedded(tmp_path / "flowers.hdf5")
    assert (photo.name, photo.class_name, photo.sentences) == ("image_7", "rose", ["a rose", "red petals"])
    assert photo.embeddings.tolist() == [[0.0] * 4, [1.0] * 4]
    assert photo.content == b"\xff\xd8jpeg\0"
    with pytest.raises(DataError, match="There are: train"):
        read_embedded(tmp_path / "flowers.hdf5", split="test")


def test_a_damaged_hdf5_file_is_an_error(tmp_path):
    pytest.importorskip("h5py", reason="h5py is not installed")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n")
    with pytest.raises(DataError, match="not an HDF5 file"):
        read_embedded(tmp_path / "a.h5")
