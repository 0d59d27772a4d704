"""What is kept of a sampling, and going on with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from telephonegan.errors import DataError, SettingsError
from telephonegan.latent.sampler import Sampler
from telephonegan.latent.sampling_folder import SamplingFolder
from tests.toys import ToyDecoder, toy_class

HOW = {"n_iters": 9, "reset_every": 4, "noise_rel": 0.2, "save_every": 2, "lr": 0.1}


def sampler(**changed):
    return Sampler(ToyDecoder(), [toy_class(0), toy_class(1)], **(HOW | changed))


def kept(folder, seeds, stop_at=None, after=None):
    folder = SamplingFolder(folder, sampler(), seeds)

    def step(sampling):
        folder.step(sampling)
        if sampling.state.step == stop_at:
            raise KeyboardInterrupt

    sampling = sampler().run(seeds, after=after, on_frame=folder.add, on_step=step, progress=False)
    folder.save(sampling)
    return sampling


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_frame_is_a_picture_with_its_vector_step_probability_and_epsilons_beside_it(tmp_path):
    sampling = kept(tmp_path, (5,))
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    steps = [frame.step for frame in sampling.frames]
    assert names == sorted(f"{step:05d}{suffix}" for step in steps for suffix in (".jpg", ".json"))
    record = json.loads((tmp_path / "samples" / "00004.json").read_text())
    frame = next(frame for frame in sampling.frames if frame.step == 4)
    assert np.array_equal(np.float32(record["h"]), frame.vector) and record["probability"] == frame.probability
    assert {"seed", "epsilon1", "epsilon2", "epsilon3", "epsilon4", "lr", "label"} <= set(record)
    assert Image.open(tmp_path / "samples" / "00004.jpg").size == frame.image.size


def test_several_seeds_have_a_folder_each(tmp_path):
    kept(tmp_path, (5, 6))
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["seed-5", "seed-6"]


@pytest.mark.parametrize("stop_at", [1, 7, 12])
def test_a_sampling_that_was_stopped_and_resumed_leaves_the_same_files(tmp_path, stop_at):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    kept(whole, (2, 7))
    assert not kept(parts, (2, 7), stop_at=stop_at).is_finished
    kept(parts, (2, 7), after=SamplingFolder(parts, sampler(), (2, 7)).load())
    assert files(whole) == files(parts)


def test_what_was_resumed_holds_the_frames_of_both_parts(tmp_path):
    whole = kept(tmp_path / "whole", (2,))
    kept(tmp_path / "parts", (2,), stop_at=7)
    resumed = kept(tmp_path / "parts", (2,), after=SamplingFolder(tmp_path / "parts", sampler(), (2,)).load())
    assert [frame.record() for frame in resumed.frames] == [frame.record() for frame in whole.frames]


@pytest.mark.parametrize(("changed", "seeds"), [({"lr": 0.2}, (2,)), ({}, (3,))])
def test_other_settings_or_seeds_are_not_mixed_with_what_is_there(tmp_path, changed, seeds):
    kept(tmp_path, (2,), stop_at=3)
    with pytest.raises(SettingsError, match="Go on with the same options"):
        SamplingFolder(tmp_path, sampler(**changed), seeds).load()


def test_what_only_its_maker_knows_is_compared_too_unless_the_folder_is_older(tmp_path):
    kept(tmp_path, (2,), stop_at=3)
    assert SamplingFolder(tmp_path, sampler(), (2,), made_with={"network": "a"}).load().state.step == 3
    folder = SamplingFolder(tmp_path, sampler(), (2,), made_with={"network": "a", "box": [1, 2]})
    folder.save(folder.load())
    assert folder.load().state.step == 3
    with pytest.raises(SettingsError, match="made with network 'a', not 'b'"):
        SamplingFolder(tmp_path, sampler(), (2,), made_with={"network": "b"}).load()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chain.json", b"{"),
        ("chain.json", b"[]"),
        ("state.safetensors", b""),
        ("state.safetensors", b"\xff" * 400),
        ("samples/00002.json", b"{}"),
        ("samples/00002.json", b'{"h": 1}'),
    ],
)
def test_damaged_files_end_in_an_error_that_names_them(tmp_path, name, content):
    kept(tmp_path, (2,), stop_at=7)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name.rpartition("/")[2]):
        SamplingFolder(tmp_path, sampler(), (2,)).load()


def test_an_empty_folder_has_nothing_to_go_on_with(tmp_path):
    with pytest.raises(DataError, match="no sampling to go on with"):
        SamplingFolder(tmp_path, sampler(), (2,)).load()
