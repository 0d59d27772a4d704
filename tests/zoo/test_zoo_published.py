"""Published checkpoints: every way they are wrapped and written, what is inferred from them, and what is refused."""

from __future__ import annotations

import gc
import io
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.attngan import Discriminator, Generator
from telephonegan.networks.captioner import LSTMDecoder
from telephonegan.networks.damsm import TextEncoder
from telephonegan.zoo.published import KINDS, load_published, network_settings, read_state

WIDTHS = {"embedding_width": 8, "condition_width": 5, "noise_width": 6}
DECODER = {"vocabulary_size": 20, "embedding_width": 8, "hidden_width": 16, "layers": 1}
TEXT = {"vocabulary_size": 40, "word_width": 12, "width": 8}


@pytest.fixture
def decoder() -> LSTMDecoder:
    torch.manual_seed(0)
    return LSTMDecoder(**DECODER)


@pytest.fixture
def file(tmp_path):
    """A file that torch.save wrote, in either of its formats."""

    def save(contents, *, legacy=False) -> Path:
        path = tmp_path / "net.pth"
        torch.save(contents, path, _use_new_zipfile_serialization=not legacy)
        return path

    return save


def old(net: nn.Module) -> dict[str, torch.Tensor]:
    """A state dict as the first versions of torch had it."""
    return {name: tensor for name, tensor in net.state_dict().items() if not name.endswith("num_batches_tracked")}


def same(net: nn.Module, state: dict[str, torch.Tensor]) -> None:
    found = net.state_dict()
    assert found.keys() - state.keys() <= {name for name in found if name.endswith("num_batches_tracked")}
    for name, tensor in state.items():
        assert found[name].dtype in (torch.float32, torch.int64)
        torch.testing.assert_close(found[name], tensor.to(found[name].dtype), rtol=0, atol=0)


# ------------------------------------------------------------------------------------------- files as they are found


@pytest.mark.parametrize("suffix", ["", ".cpu", ".torch_legacy"])
@pytest.mark.parametrize(
    "name, kind, settings",
    [
        ("decoder.pkl", "captioner_decoder", DECODER),
        ("text_encoder.pth", "text_encoder", TEXT | {"cell": "LSTM", "dropout": 0.5}),
        ("netG.pth", "generator", {"channels": 2, "base_size": 64, "branches": 1, "residual_blocks": 0} | WIDTHS),
    ],
)
def test_files_of_python_2_are_loaded_on_a_machine_without_a_gpu(shared, name, kind, settings, suffix):
    path = shared / "golden" / f"legacy_py2_tiny_{name}{suffix}"
    net = load_published(path, kind)
    assert network_settings(net).items() >= settings.items()
    assert not net.training
    assert {tensor.device.type for tensor in net.state_dict().values()} == {"cpu"}
    same(net, torch.load(path, map_location="cpu", weights_only=True))


def test_all_writings_of_one_file_are_the_same_network(shared):
    for name in ("decoder.pkl", "text_encoder.pth", "netG.pth"):
        first, *others = (
            read_state(shared / "golden" / f"legacy_py2_tiny_{name}{suffix}")
            for suffix in ("", ".cpu", ".torch_legacy")
        )
        for other in others:
            assert list(other) == list(first)
            assert all(torch.equal(other[key], first[key]) for key in first)


WRAPPINGS = {
    "bare": lambda state: state,
    "ordered": OrderedDict,
    "DataParallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "netG": lambda state: {"netG": state},
    "state_dict": lambda state: {"epoch": 5, "state_dict": state, "optimizer": {"lr": 2e-4}},
    "nested": lambda state: {"model": {"netG": {f"module.{name}": tensor for name, tensor in state.items()}}},
    "parameters": lambda state: {name: nn.Parameter(tensor) for name, tensor in state.items()},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_wrapping_gives_the_same_network_from_a_file_and_from_memory(file, decoder, wrapping, legacy):
    wrapped = WRAPPINGS[wrapping](dict(decoder.state_dict()))
    same(load_published(wrapped), decoder.state_dict())
    same(load_published(file(wrapped, legacy=legacy)), decoder.state_dict())


def test_the_given_tensors_are_copied_and_left_alone(decoder):
    state = dict(decoder.state_dict())
    before = {name: tensor.clone() for name, tensor in state.items()}
    net = load_published(state)
    with torch.no_grad():
        net.embed.weight.zero_()
    assert all(torch.equal(state[name], before[name]) for name in before)


def test_a_modern_state_dict_may_lack_the_counters_its_metadata_promises(file):
    generator = Generator(channels=2, branches=1, **WIDTHS)
    state = generator.state_dict()
    for name in [name for name in state if name.endswith("num_batches_tracked")]:
        del state[name]
    assert state._metadata
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        generator.load_state_dict(state)
    for source in (state, file(state)):
        net = load_published(source, "generator")
        same(net, old(generator))
        assert all(int(v) == 0 for name, v in net.state_dict().items() if name.endswith("num_batches_tracked"))


def test_counters_that_are_there_are_kept():
    generator = Generator(channels=2, branches=1, **WIDTHS)
    state = dict(generator.state_dict())
    counter = next(name for name in state if name.endswith("num_batches_tracked"))
    state[counter] = torch.tensor(17)
    assert int(load_published(state).state_dict()[counter]) == 17


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(file, decoder, dtype):
    state = {name: tensor.to(dtype) for name, tensor in decoder.state_dict().items()}
    net = load_published(file(state))
    assert {tensor.dtype for tensor in net.state_dict().values()} == {torch.float32}
    same(net, {name: tensor.float() for name, tensor in state.items()})


def test_weights_that_share_one_piece_of_memory_are_told_apart(file, decoder):
    flat = torch.cat([tensor.flatten() for tensor in decoder.state_dict().values()])
    state, start = {}, 0
    for name, tensor in decoder.state_dict().items():
        state[name] = flat[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    for legacy in (False, True):
        same(load_published(file(state, legacy=legacy)), decoder.state_dict())


# ------------------------------------------------------------------------------------------------ kind and all sizes


GENERATORS = [
    {"channels": 2, "branches": branches, "residual_blocks": blocks, "base_size": base} | WIDTHS
    for branches, blocks, base in ((1, 0, 64), (2, 0, 64), (2, 2, 64), (3, 1, 64), (3, 0, 64), (4, 3, 8), (1, 0, 4))
]


@pytest.mark.parametrize("previews", [True, False])
@pytest.mark.parametrize("settings", GENERATORS, ids=lambda s: f"B{s['branches']}R{s['residual_blocks']}")
def test_a_generators_sizes_follow_from_its_tensors(settings, previews):
    net = Generator(**settings, previews=previews)
    found = load_published(old(net), "generator")
    assert network_settings(found) == settings | {"previews": previews}
    same(found, net.state_dict())


@pytest.mark.parametrize("unconditional", [True, False])
@pytest.mark.parametrize("size", [64, 128, 256])
def test_a_discriminators_sizes_follow_from_its_tensors(size, unconditional):
    settings = {"size": size, "channels": 2, "embedding_width": 7, "unconditional": unconditional}
    net = Discriminator(**settings)
    found = load_published(old(net), "discriminator")
    assert network_settings(found) == settings
    same(found, net.state_dict())


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_decoders_sizes_follow_from_its_tensors(layers):
    settings = DECODER | {"layers": layers}
    assert network_settings(load_published(old(LSTMDecoder(**settings)))) == settings


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize(
    "fc", [{}, {"fc_width": 5, "fc_name": "linear"}, {"fc_width": 6, "fc_name": "rdc_text", "dropout": 0.0}]
)
def test_a_text_encoders_sizes_cell_and_layer_follow_from_its_tensors(cell, fc):
    settings = TEXT | {"cell": cell, "dropout": 0.5} | fc
    net = TextEncoder(**settings)
    found = load_published(old(net), "text_encoder")
    assert network_settings(found) == settings
    assert found.drop.p == settings["dropout"]
    ids, lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    with torch.no_grad():
        torch.testing.assert_close(found(ids, lengths), net.eval()(ids, lengths))


def test_a_network_of_another_kind_is_named(file, decoder):
    for source in (file(decoder.state_dict()), dict(decoder.state_dict())):
        with pytest.raises(WeightsError, match="captioner decoder, not text encoder"):
            load_published(source, "text_encoder")


def test_an_unknown_kind_is_refused_before_anything_is_read():
    with pytest.raises(SettingsError, match=", ".join(KINDS)):
        load_published("missing.pth", "painter")


# ----------------------------------------------------------------------------------- networks that are not all there


@pytest.mark.parametrize("name", LSTMDecoder(**DECODER).state_dict())
def test_a_missing_tensor_is_named_or_what_it_tells_is_missed(decoder, name):
    told = {"embed.weight": "not one of the published", "lstm.weight_hh_l0": "incomplete: num_layers"}
    state = dict(decoder.state_dict())
    del state[name]
    with pytest.raises(WeightsError, match=told.get(name, re.escape(name))):
        load_published(state)


def test_a_generator_without_any_one_of_its_tensors_is_refused():
    whole = old(Generator(channels=2, branches=2, residual_blocks=1, **WIDTHS))
    for name in whole:
        with pytest.raises(WeightsError):
            load_published({key: tensor for key, tensor in whole.items() if key != name}, "generator")


def test_tensors_too_many_are_named(decoder):
    state = dict(decoder.state_dict()) | {"attention.weight": torch.zeros(3)}
    with pytest.raises(WeightsError, match=r"1 unexpected: attention\.weight"):
        load_published(state)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(decoder):
    state = dict(decoder.state_dict()) | {"lstm.bias_ih_l0": torch.zeros(60)}
    with pytest.raises(WeightsError, match=r"lstm\.bias_ih_l0 \(file \(60,\), network \(64,\)\)"):
        load_published(state)


def test_a_network_of_our_own_is_not_taken_for_a_published_one():
    conditional = Generator(channels=2, branches=1, conditional=True, **WIDTHS).state_dict()
    with pytest.raises(WeightsError, match=r"unexpected: .*modulation"):
        load_published(conditional)


def test_a_stranger_is_told_what_there_is():
    with pytest.raises(WeightsError, match=r"not one of the published networks .*text encoder.*fc\.weight, fc\.bias"):
        load_published(nn.Sequential(OrderedDict(fc=nn.Linear(1, 1))).state_dict())


@pytest.mark.parametrize("contents", [[1, 2], "weights", 3, torch.zeros(3), None])
def test_a_file_that_holds_no_tensors_by_name_is_refused(file, contents):
    with pytest.raises(WeightsError, match=r"net\.pth contains a \w+, not tensors by name"):
        load_published(file(contents))


@pytest.mark.parametrize("contents", [{}, {"netG": {}}, {"a": 1}, {"netG": [torch.zeros(1)]}, {1: {2: torch.zeros(1)}}])
def test_a_dictionary_that_is_no_state_dict_is_refused(file, contents):
    for source in (contents, file(contents)):
        with pytest.raises(WeightsError, match=r"not a (plain )?state dict"):
            load_published(source)


# ---------------------------------------------------------------------------------------- files that cannot be read


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


END_OF_NO_ZIP = b"damaged" * 9 + b"PK\x05\x06" + b"\0" * 6 + b"\x01\0" + b"\xff\xff\0\0" * 2 + b"\0\0"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "empty"),
        (b"\0" * 4096, "only zeros"),
        (b"<!DOCTYPE html><html>quota exceeded</html>", "web page"),
        (b"\xef\xbb\xbf\r\n <html>", "web page"),
        (zipped(encoder__pkl=b"x", decoder__pkl=b"y"), r"zip of encoder\.pkl, decoder\.pkl\. Unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"PK\x03\x04" + b"\0" * 4996, "incomplete, 5,000 bytes: the download broke off"),
        (zipped(inner__zip=zipped(encoder__pkl=b"x")), r"Unpack it, then inner\.zip in it"),
        (b"hello world\n" * 99, "damaged"),
        (END_OF_NO_ZIP, "damaged"),
        (pickle.dumps({"a": [1.0, 2.0]}), "not written by torch.save"),
        (b"\x80\x02]q\0.", "damaged"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_told_for_what_it_is(tmp_path, content, told):
    path = tmp_path / "encoder-5-3000.pkl"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=told) as error:
        load_published(path)
    assert str(path) in str(error.value) and "weights_only" not in str(error.value)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_download_that_broke_off_is_refused(file, decoder, legacy):
    path = file(decoder.state_dict(), legacy=legacy)
    whole = path.read_bytes()
    for kept in (1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(WeightsError):
            load_published(path)


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path, tmp_path / "missing.pth"):
        with pytest.raises(WeightsError, match=f"{path} cannot be read"):
            load_published(path)


def test_a_file_that_was_refused_is_closed_again(file):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for contents in ({}, {"a": 1}):
            with pytest.raises(WeightsError):
                load_published(file(contents))
        gc.collect()


# ------------------------------------------------------------------------------------------------------------ attacks


class Running:
    """Pickled, it asks to run a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_asks_to_run_something_is_refused_by_name(file, tmp_path, decoder, legacy):
    marker = tmp_path / "ran"
    contents = dict(decoder.state_dict()) | {"epoch": Running(marker)}
    path = file(contents, legacy=legacy)
    with pytest.raises(WeightsError, match=r"asks for (posix|nt)\.system, .*refused") as error:
        load_published(path)
    assert "weights_only" not in str(error.value), "torch's advice is to run it"
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists(), "the attack is none"


@pytest.mark.parametrize("legacy", [False, True])
def test_a_whole_pickled_network_is_refused_by_the_name_of_its_class(file, decoder, legacy):
    with pytest.raises(WeightsError, match=r"asks for telephonegan\.networks\.captioner\.LSTMDecoder.*state_dict\(\)"):
        load_published(file(decoder, legacy=legacy))


def test_tensors_that_claim_more_than_they_hold_are_refused_before_memory_is_taken(file):
    huge = {
        "embed.weight": torch.zeros(1).expand(10**10, 256),
        "linear.weight": torch.zeros(1).expand(10**10, 512),
        "lstm.weight_hh_l0": torch.zeros(1).expand(2048, 512),
    }
    for source in (huge, file(huge)):
        with pytest.raises(WeightsError, match=r"'embed\.weight' is not a dense"):
            load_published(source)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("empty", [(10**12, 0), (0, 10**9), (0, 0)])
def test_tensors_without_numbers_are_refused_before_memory_is_taken(decoder, empty):
    for name in ("embed.weight", "linear.weight", "lstm.weight_hh_l0"):
        with pytest.raises(WeightsError):
            load_published(dict(decoder.state_dict()) | {name: torch.zeros(empty)})


def test_sizes_that_only_a_few_tensors_bear_out_are_refused_before_memory_is_taken():
    state = old(Generator(channels=2, branches=1, **WIDTHS))
    wide = state | {"img_net1.img.0.weight": torch.zeros(3, 10**5, 3, 3)}
    with pytest.raises(WeightsError, match="of another shape"):
        load_published(wide)


@pytest.mark.parametrize(
    "name", ["h_net1.upsample60.1.weight", "h_net1.upsample9999999999.x", "h_net99999999.x", f"h_net{'9' * 5000}.x"]
)
def test_a_number_in_a_name_costs_no_time_and_no_memory(name):
    state = old(Generator(channels=2, branches=1, **WIDTHS)) | {name: torch.zeros(1)}
    with pytest.raises(WeightsError):
        load_published(state)


def test_hundreds_of_stages_are_refused():
    many = {f"h_net1.upsample{i}.1.weight": torch.zeros(1) for i in range(500)}
    with pytest.raises(WeightsError, match="incomplete"):
        load_published(old(Generator(channels=2, branches=1, **WIDTHS)) | many)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
@pytest.mark.parametrize("kind", ["decoder", "text", "generator", "discriminator"])
def test_tensors_of_no_fitting_shape_are_refused(kind, shape):
    nets = {
        "decoder": LSTMDecoder(**DECODER),
        "text": TextEncoder(**TEXT),
        "generator": Generator(channels=2, branches=1, **WIDTHS),
        "discriminator": Discriminator(channels=2, embedding_width=7),
    }
    whole = old(nets[kind])
    for name in whole:
        if whole[name].shape != shape:
            with pytest.raises(WeightsError):
                load_published(whole | {name: torch.zeros(shape)})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.to("meta"),
        lambda t: t.to_sparse(),
        lambda t: t.to(torch.complex64),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    ],
    ids=["meta", "sparse", "complex", "quantised"],
)
def test_tensors_that_are_no_plain_numbers_are_refused(file, decoder, change):
    state = dict(decoder.state_dict())
    state["linear.weight"] = change(state["linear.weight"])
    for source in (state, file(state)):
        with pytest.raises(WeightsError):
            load_published(source)


def test_loading_draws_no_random_numbers(decoder):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_published(dict(decoder.state_dict()))
    assert torch.equal(torch.rand(3), expected)
