"""Settings are checked before networks are built, and models are kept in memory once, whoever asks."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from telephonegan import inference, telephone
from telephonegan.captioning import Captioner
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.generation import Generator
from telephonegan.inference import Settings, once, shared_model
from telephonegan.matcher import Matcher
from telephonegan.networks.damsm import TextEncoder
from telephonegan.zoo import catalogue, store

THREADS = 8
MODELS = {"captioner": Captioner.of, "generator": Generator.of, "damsm": Matcher.of}


def at_once(call):
    """What `call` gives each of eight threads that start together."""
    barrier = Barrier(THREADS)

    def wait_and_call(_):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(wait_and_call, range(THREADS)))


# ---------------------------------------------------------------------------------------------------- CPU threads


@pytest.fixture
def threads(monkeypatch):
    """As in a new process of four threads."""
    before = torch.get_num_threads()
    monkeypatch.setattr(inference.CoreWatch, "_told", False)
    inference._use_threads_of_environment.cache_clear()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)
    inference._use_threads_of_environment.cache_clear()


def test_the_environment_sets_the_threads_once_and_a_call_overrides_it(threads, monkeypatch):
    monkeypatch.setenv("TELEPHONEGAN_THREADS", "2")
    inference.resolve_device("cpu")
    assert torch.get_num_threads() == 2
    inference.use_threads(np.int64(3))
    inference.resolve_device("cpu")
    assert torch.get_num_threads() == 3


def test_a_call_before_everything_else_is_not_undone_by_the_environment(threads, monkeypatch):
    monkeypatch.setenv("TELEPHONEGAN_THREADS", "2")
    inference.use_threads(3)
    inference.resolve_device("cpu")
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("given", ["0", "two", "-1", "1.5", "99999", "²"])
def test_threads_that_cannot_be_are_named(threads, monkeypatch, given):
    monkeypatch.setenv("TELEPHONEGAN_THREADS", given)
    for _ in range(2):
        with pytest.raises(SettingsError, match=f"TELEPHONEGAN_THREADS must be .* from 1 to 1024; '{given}' is set"):
            inference.resolve_device("cpu")
    monkeypatch.delenv("TELEPHONEGAN_THREADS")
    with pytest.raises(SettingsError, match="threads must be"):
        inference.use_threads(0)
    assert torch.get_num_threads() == 4


def test_threads_that_wait_for_cores_are_told_once(threads):
    watch = inference.CoreWatch("round")
    with pytest.warns(
        UserWarning, match=r"This round took 20\.0 s, and only 2\.0 s .* 4 threads .*--threads 1"
    ) as told:
        for _ in range(4):
            watch.note(20, 2)
            inference.CoreWatch("step").note(20, 2)
    assert len(told) == 1


@pytest.mark.parametrize(
    "measured",
    [[(20, 19)] * 9, [(0.1, 0.01)] * 9, [(300, 2)], [(3, 0.1), (3, 2.9)] * 9],
    ids=["computing", "brief", "compiling once", "now and then"],
)
def test_times_that_threads_do_not_explain_are_not_told(threads, measured, recwarn):
    watch = inference.CoreWatch("step")
    for each in measured:
        watch.note(*each)
    torch.set_num_threads(1)  # nor is there a remedy for one thread
    for _ in range(9):
        inference.CoreWatch("step").note(20, 2)
    assert not recwarn


def test_rounds_and_steps_are_watched_on_the_cpu(threads, phone, monkeypatch):
    noted = []
    monkeypatch.setattr(inference.CoreWatch, "note", lambda self, wall_s, cpu_s: noted.append((self.what, wall_s > 0)))
    phone.play(text="a dog", rounds=2, progress=False)
    assert noted == [("round", True)] * 3
    with inference.CoreWatch("round")(torch.device("cuda")):
        pass
    assert len(noted) == 3


# ------------------------------------------------------------------------------------------------- kept in memory


def test_threads_that_ask_together_wait_for_one_of_them():
    loaded = []

    @once()
    def load(name):
        time.sleep(0.05)
        loaded.append(name)
        return object()

    assert len(set(at_once(lambda: load("a")))) == 1
    assert load("b") is load("b") is not load("a")
    assert loaded == ["a", "b"]


def test_a_call_that_fails_is_tried_again():
    calls = []

    @once()
    def load():
        calls.append(1)
        if len(calls) == 1:
            raise WeightsError("damaged")
        return "whole"

    with pytest.raises(WeightsError):
        load()
    assert load() == "whole"


def test_eight_threads_load_a_model_and_its_backbone_once(tiny, monkeypatch):
    built = []
    of, backbone = Captioner.of.__func__, inference.Backbone

    class Slow(Captioner):
        @classmethod
        def of(cls, entry, device):
            time.sleep(0.05)
            built.append(entry.name)
            return of(Captioner, entry, device)

    class SlowBackbone(backbone):
        def __init__(self, name):
            time.sleep(0.05)
            built.append(name)
            super().__init__(name, pretrained=False)

    monkeypatch.setattr(telephone, "Captioner", Slow)
    assert len(set(at_once(lambda: telephone.load(tiny, tiny, "cpu").captioner))) == 1
    monkeypatch.setattr(inference, "Backbone", SlowBackbone)
    device = torch.device("cpu", 0)  # nobody else asks for this one
    assert len(set(at_once(lambda: inference.shared_backbone("lite0", device)))) == 1
    assert built == [tiny, "lite0"]


def test_a_model_first_asked_for_in_inference_mode_has_gradients_later(registered):
    entry = dataclasses.replace(catalogue.find("generator", registered), description="nobody has loaded this entry")
    with torch.inference_mode():
        generator = shared_model(Generator, entry, torch.device("cpu"))
    assert not any(parameter.is_inference() for parameter in generator.painter.network.parameters())


# ------------------------------------------------------------------------------------------------- settings

GOOD = {"word_width": 8, "width": 8, "dropout": 0.5, "fc_width": None}


@pytest.mark.parametrize("change", [{}, {"dropout": 1}, {"fc_width": 4}, {"cell": "GRU"}])
def test_settings_that_fit_build_the_network(change):
    assert isinstance(Settings("of damsm/mine", GOOD | change).build(TextEncoder, 5), TextEncoder)


@pytest.mark.parametrize(("change", "told"), [
    ({"wordwidth": 8}, "TextEncoder has no wordwidth"),
    ({"word_width": "8"}, "word_width must be a whole number; '8' was found"),
    ({"word_width": 8.0}, "word_width must be a whole number; 8.0 was found"),
    ({"word_width": True}, "word_width must be a whole number; True was found"),
    ({"dropout": None}, "dropout must be a number; None was found"),
    ({"fc_width": "4"}, r"fc_width must be a whole number or null; '4' was found"),
    ({"vocabulary_size": 9}, "TextEncoder has no vocabulary_size"),
])  # fmt: skip
def test_settings_that_do_not_fit_are_named_before_anything_is_built(change, told):
    with pytest.raises(WeightsError, match=f"of damsm/mine do not fit this version: {told}"):
        Settings("of damsm/mine", GOOD | change).build(TextEncoder, 5)


def test_what_a_network_cannot_do_without_is_missed():
    def network(words: int, *, width: int) -> int:
        return words * width

    assert Settings("of x", {"width": 3}).build(network, 2) == 6
    with pytest.raises(WeightsError, match="width is missing"):
        Settings("of x", {}).build(network, 2)


@pytest.mark.parametrize("error", [KeyError("pixels"), TypeError("a bug")])
def test_a_bug_in_a_constructor_surfaces_as_it_is(error):
    class Broken:
        def __init__(self, *, width: int = 8) -> None:
            raise error

    with pytest.raises(type(error)):
        Settings("of x", {"width": 8}).build(Broken)


@pytest.mark.parametrize("kind", ["captioner", "generator", "damsm"])
@pytest.mark.parametrize("bug", [KeyError, TypeError])
def test_a_bug_while_a_model_loads_surfaces_as_it_is(registered, monkeypatch, kind, bug):
    def broken(*_):
        raise bug("in our code")

    monkeypatch.setattr(store, "load_strict", broken)
    with pytest.raises(bug, match="in our code"):
        MODELS[kind](catalogue.find(kind, registered), "cpu")


@pytest.mark.parametrize("kind", ["captioner", "generator", "damsm"])
@pytest.mark.parametrize("damage", ["missing", "unknown", "wrong type"])
def test_settings_of_a_manifest_that_do_not_fit_name_the_model(registered, kind, damage):
    entry = catalogue.find(kind, registered)
    part, width = ("text", "word_width") if kind == "damsm" else ("network", "embedding_width")
    own = entry.settings[part]
    settings = {
        "missing": {name: value for name, value in entry.settings.items() if name != part},
        "unknown": entry.settings | {part: own | {"depth": 3}},
        "wrong type": entry.settings | {part: own | {width: "8"}},
    }[damage]
    with pytest.raises(WeightsError, match=f"of {kind}/{registered} in the manifest.*do not fit"):
        MODELS[kind](dataclasses.replace(entry, settings=settings), "cpu")


# ------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("given", [3, np.int64(3), np.int32(3), np.uint8(3)])
def test_whole_numbers_of_python_and_numpy_become_an_int(given):
    assert type(inference.check_whole(given, "n", 1, 5)) is int


@pytest.mark.parametrize("given", [True, np.True_, 3.0, np.float64(3), "3", None, np.int64(9), np.array([3])])
def test_other_values_are_not_whole_numbers(given):
    with pytest.raises(SettingsError, match="n must be a whole number from 1 to 5"):
        inference.check_whole(given, "n", 1, 5)


def test_real_numbers_of_numpy_are_numbers_and_truth_values_are_not():
    assert all(map(inference.is_number, (1, 0.5, np.float32(0.5), np.float16(1), np.int64(1))))
    assert not any(map(inference.is_number, (True, np.False_, "1", None, 1j, np.array([1.0]))))


@pytest.mark.parametrize(
    "environment, kept",
    [({}, True), ({"MALLOC_ARENA_MAX": "2"}, True), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False)],
)
def test_the_memory_of_a_layer_is_kept_for_the_next_unless_the_environment_tells_the_allocator(environment, kept):
    """Else every layer's pages would be fetched anew: a tenth of the time of a picture, a sixth of a caption's."""
    script = (
        "import resource, torch; from telephonegan.inference import resolve_device\n"
        "resolve_device('cpu')\n"
        "for step in range(16):\n"
        "    layers = [torch.ones(5 * 2**20) for _ in range(5)]; del layers\n"  # 20 MB each
        "    if step == 11: before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("only glibc is told")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=clean | environment, capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) < 4 * 5 * 5 * 2**20 * 4 / 4096 / 20) is kept


def test_a_network_whose_weights_come_from_a_file_draws_none():
    before = torch.get_rng_state()
    built = Settings("of a test", {"in_features": 3, "out_features": 2}).build(torch.nn.Linear)
    assert built.weight.shape == (2, 3) and torch.equal(torch.get_rng_state(), before)
    torch.nn.Linear(3, 2)
    assert not torch.equal(torch.get_rng_state(), before)
