import numpy as np
import pytest
import torch

from telephonegan import embedding
from telephonegan.errors import WeightsError
from telephonegan.networks.char_cnn_rnn import VARIANTS, CharCNNRNN
from telephonegan.zoo.importing import import_model
from telephonegan.zoo.published_char_cnn_rnn import read_char_cnn_rnn
from tests.torch7 import LuaFunction, LuaObject, write_t7


def published(network: CharCNNRNN) -> dict:
    """The tables and modules of an lm_sje file with these weights."""

    def module(layer: torch.nn.Module) -> LuaObject:
        weight = layer.weight.detach().numpy()
        if weight.ndim == 3:  # the four characters side by side
            weight = weight.transpose(0, 2, 1).reshape(len(weight), -1)
        return LuaObject("nn.Linear", {"weight": weight.copy(), "bias": layer.bias.detach().numpy()})

    def empty() -> LuaObject:
        return LuaObject("nn.Identity", {"train": False})

    def container(parts: list) -> LuaObject:
        return LuaObject("nn.Sequential", {"modules": parts})

    stack = [empty() for _ in range(9)]
    stack[0], stack[3], stack[6] = map(module, (network.conv1, network.conv2, network.conv3))
    cell = network.rnn
    if network.cell == "gru":
        places = {1: cell.i2h, 4: cell.i2h_update, 5: cell.h2h_update}
        places |= {9: cell.i2h_reset, 10: cell.h2h_reset, 14: cell.h2h}
    else:
        places = {1: cell.i2h, 5: cell.h2h}
    steps = [empty() for _ in range(max(places) + 2)]
    for place, layer in places.items():
        steps[place] = module(layer) if network.cell == "gru" else container([module(layer)])
    parts = [empty(), container(stack), empty(), container(steps), empty(), module(network.linear)]
    return {"protos": {"enc_doc": container(parts)}, "opt": {"learning_rate": 0.0007}}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_published_variant_is_read_from_torch7_with_all_its_weights(tmp_path, variant):
    network = CharCNNRNN(**VARIANTS[variant])
    found = read_char_cnn_rnn(write_t7(tmp_path / "lm_sje.t7", published(network)))
    assert found.cell == network.cell
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in network.state_dict().items())


def test_the_pytorch_version_is_read(tmp_path):
    network = CharCNNRNN(channels=8, width=4)
    names = {name: name.replace("linear.", "emb_proj.") for name in network.state_dict()}
    torch.save({names[name]: value for name, value in network.state_dict().items()}, tmp_path / "a.pth")
    found = read_char_cnn_rnn(tmp_path / "a.pth").state_dict()
    assert all(torch.equal(value, found[name]) for name, value in network.state_dict().items())


def test_an_imported_encoder_embeds_texts_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    network = CharCNNRNN(channels=8, width=4)
    (entry,) = import_model("mine", char_cnn_rnn=write_t7(tmp_path / "lm_sje.t7", published(network)))
    assert (entry.kind, entry.architecture) == ("embedding", "char-cnn-rnn")
    found = embedding.embed("A small bird, red.", embedding="mine", device="cpu")
    ids = torch.tensor([found_ids("a small bird, red.")])
    assert np.allclose(found.vector, network(ids)[1].detach().numpy()[0], atol=1e-6)


def found_ids(text: str) -> list[int]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
    return [letters.rindex(letter) + 1 for letter in text]


def test_a_file_with_a_function_is_refused(tmp_path):
    contents = published(CharCNNRNN(channels=8, width=4))
    contents["opt"]["callback"] = LuaFunction()
    with pytest.raises(WeightsError, match="contains a function"):
        read_char_cnn_rnn(write_t7(tmp_path / "lm_sje.t7", contents))


def test_another_torch7_file_is_named_as_such(tmp_path):
    with pytest.raises(WeightsError, match="not a Char-CNN-RNN"):
        read_char_cnn_rnn(write_t7(tmp_path / "a.t7", {"txt": np.zeros((10, 4), np.float32)}))
