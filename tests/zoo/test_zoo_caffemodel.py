"""Weights from .caffemodel files."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephonegan.errors import WeightsError
from telephonegan.zoo.caffemodel import read_caffemodel, tensors_of
from tests.caffemodel import blob, caffemodel, field

LAYERS = {
    "conv1": [np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.array([0.5, -1], np.float32)],
    "fc8": [np.ones((3, 8), np.float32), np.zeros(3, np.float32)],
}


def written(folder, content):
    path = folder / "net.caffemodel"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("old", [False, True])
def test_layers_are_read_by_name_in_both_forms(tmp_path, old):
    found = read_caffemodel(written(tmp_path, caffemodel(LAYERS, old=old)))
    assert list(found) == list(LAYERS)
    for name, arrays in LAYERS.items():
        for one, other in zip(found[name], arrays, strict=True):
            np.testing.assert_array_equal(one.reshape(other.shape), other)


def test_layers_without_weights_and_unknown_fields_are_skipped(tmp_path):
    content = caffemodel({"relu": [], "fc8": LAYERS["fc8"]}) + field(77, b"anything")
    assert list(read_caffemodel(written(tmp_path, content))) == ["fc8"]


def test_names_become_those_of_torch():
    found = tensors_of(LAYERS, {"conv1": "first"})
    assert set(found) == {"first.weight", "first.bias"} and found["first.bias"].shape == (2,)
    with pytest.raises(WeightsError, match=r"no layer 'fc9'.*conv1, fc8"):
        tensors_of(LAYERS, {"fc9": "out"})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no weights"),
        (b"name: 'CaffeNet'\nlayer {", "not a .caffemodel"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (field(100, field(1, b"a") + field(7, blob(np.ones(4))[:-3])), "not a .caffemodel"),
        (field(100, field(7, field(7, field(1, b"\x05")) + field(5, b"\0" * 16))), r"shape \(5,\) has 4 numbers"),
        (field(100, field(7, blob(np.full(2, np.nan)))), "not finite"),
        (caffemodel(LAYERS)[:-20], "not a .caffemodel"),
        (b"\xa2\x06\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "ends within a field"),
        (b"\xff" * 20, "has no end"),
    ],
)
def test_what_is_no_such_file_is_explained(tmp_path, content, told):
    with pytest.raises(WeightsError, match=told):
        read_caffemodel(written(tmp_path, content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        read_caffemodel(tmp_path / "none.caffemodel")


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(0, 150))
def test_damaged_bytes_end_in_our_own_error(tmp_path_factory, noise, place):
    content = caffemodel(LAYERS)
    path = written(tmp_path_factory.mktemp("caffe"), content[:place] + noise + content[place + len(noise) :])
    with suppress(WeightsError):
        read_caffemodel(path)
