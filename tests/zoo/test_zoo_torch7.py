import struct

import numpy as np
import pytest

from telephonegan.errors import WeightsError
from telephonegan.zoo.torch7 import Object, items, read_t7
from tests.torch7 import CudaArray, LuaFunction, LuaObject, write_t7


def test_plain_values_tables_and_lists_come_back(tmp_path):
    value = {"name": "x", "on": True, "off": False, "none": None, "half": 0.5, "list": ["a", {"b": 2}], 7: "seven"}
    found = read_t7(write_t7(tmp_path / "a.t7", value))
    assert items(found.pop("list")) == ["a", {"b": 2}]
    assert found == {key: each for key, each in value.items() if key != "list"}


@pytest.mark.parametrize("long_bytes", [8, 4])
@pytest.mark.parametrize("kind", ["f4", "f8", "f2", "u1", "i1", "i2", "i4", "i8"])
def test_arrays_of_all_types_come_back_with_longs_of_either_size(tmp_path, kind, long_bytes):
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    found = read_t7(write_t7(tmp_path / "a.t7", {"x": array}, long_bytes=long_bytes))["x"]
    assert found.shape == (2, 3, 4)
    assert np.array_equal(found, array)


def test_arrays_of_a_gpu_come_back(tmp_path):
    found = read_t7(write_t7(tmp_path / "a.t7", [CudaArray(np.eye(3))]))[1]
    assert np.array_equal(found, np.eye(3)) and found.dtype == np.float32


def test_a_transposed_array_is_read_by_its_strides(tmp_path):
    found = read_t7(write_t7(tmp_path / "a.t7", np.asfortranarray(np.arange(6.0).reshape(2, 3))))
    # The writer stores the numbers row by row, and strides (1, 2) take every second of them.
    assert np.array_equal(found, [[0, 2, 4], [1, 3, 5]])


def test_an_object_that_contains_itself_is_one_object(tmp_path):
    module = LuaObject("nn.Sequential", {"bias": 1})
    module.fields["self"] = module
    found = read_t7(write_t7(tmp_path / "a.t7", module))
    assert isinstance(found, Object) and found.name == "nn.Sequential"
    assert found["self"] is found


def test_a_function_is_refused_and_its_place_named(tmp_path):
    path = write_t7(tmp_path / "a.t7", {"opt": {"callback": LuaFunction()}})
    with pytest.raises(WeightsError, match=r"contains a function \(opt\.callback\)"):
        read_t7(path)


def test_every_cut_of_a_file_is_reported_as_incomplete(tmp_path):
    whole = write_t7(tmp_path / "a.t7", {"x": np.ones(3, np.float32), "y": "text"}).read_bytes()
    for length in range(1, len(whole)):
        path = tmp_path / "cut.t7"
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="that can be read"):
            read_t7(path)


def test_claimed_sizes_beyond_the_file_take_no_memory(tmp_path):
    for head in (struct.pack("<iii", 3, 1, 2**31 - 1), struct.pack("<ii", 2, 2**31 - 1)):
        (tmp_path / "a.t7").write_bytes(head)
        with pytest.raises(WeightsError, match="more than it holds"):
            read_t7(tmp_path / "a.t7")


def test_a_web_page_in_place_of_the_file_is_recognised(tmp_path):
    (tmp_path / "a.t7").write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match="web page"):
        read_t7(tmp_path / "a.t7")


def test_deeply_nested_objects_are_refused(tmp_path):
    def nested(depth: int) -> bytes:
        tables = (struct.pack("<iii", 3, number, 1) + struct.pack("<ii", 2, 1) + b"x" for number in range(depth))
        return b"".join(tables) + struct.pack("<i", 0)

    path = tmp_path / "a.t7"
    path.write_bytes(nested(1900))
    assert read_t7(path)["x"]["x"]["x"]
    path.write_bytes(nested(5000))
    with pytest.raises(WeightsError, match="nested more than 2000 deep"):
        read_t7(path)
