"""PPGN's own networks, from files that the test writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from telephonegan.cli.main import main
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.latent.conditions import image_class
from telephonegan.latent.published import CaffeDecoder, code_decoder
from telephonegan.latent.sampler import Sampler
from telephonegan.networks.caffe import CaffeCodeGenerator, CaffeNet, caffe_pixels
from tests.caffemodel import caffemodel


def layers_of(net):
    return {
        name: [module.weight.detach().numpy(), module.bias.detach().numpy()]
        for name, module in net.named_children()
        if hasattr(module, "weight")
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, nets = tmp_path_factory.mktemp("caffe"), {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nets["generator"], nets["encoder"] = CaffeCodeGenerator(16), CaffeNet(1000, width=16)
    paths = [folder / f"{name}.caffemodel" for name in nets]
    for path, net in zip(paths, nets.values(), strict=True):
        path.write_bytes(caffemodel(layers_of(net)))
    return nets, *paths


def test_the_files_give_the_networks_that_wrote_them(files):
    nets, *paths = files
    decoder = CaffeDecoder.read(*paths, device="cpu")
    codes = torch.rand(1, 16)
    torch.testing.assert_close(decoder(codes), nets["generator"](codes))
    image = decoder(codes)
    torch.testing.assert_close(decoder.encode(image), nets["encoder"].code(caffe_pixels(image)))


def test_the_layers_have_the_published_shapes():
    with torch.device("meta"):
        generator, encoder = CaffeCodeGenerator(), CaffeNet()
    assert sum(parameter.numel() for parameter in generator.parameters()) == 56_097_891
    assert encoder.fc6.in_features == 9216 and encoder.code(torch.empty(1, 3, 227, 227, device="meta")).shape == (
        1,
        4096,
    )


def test_pixels_are_the_middle_in_bgr_and_in_caffes_range():
    image = torch.zeros(1, 3, 256, 256)
    image[:, 0, 14, 14] = 1.0
    pixels = caffe_pixels(image)
    assert pixels.shape == (1, 3, 227, 227) and pixels[0, :, 0, 0].tolist() == [0, 0, 120]


def test_as_a_condition_it_sees_what_the_encoder_sees(files):
    nets, *paths = files
    network = CaffeDecoder.read(*paths, device="cpu").network()
    image = torch.rand(1, 3, 256, 256) * 2 - 1
    expected = nets["encoder"](caffe_pixels(image))
    torch.testing.assert_close(network.activations(image, "fc8"), expected, rtol=1e-4, atol=1e-4)
    assert image_class("junco", network).unit == 13


def test_the_sampler_drives_them(files):
    decoder = CaffeDecoder.read(*files[1:], device="cpu")
    condition = image_class(13, decoder.network(), objective="paper")
    last = Sampler(decoder, condition, prior=decoder.prior("joint"), n_iters=2).run(progress=False).last()
    assert last.image.size == (256, 256) and 0 <= last.vector.min() <= last.vector.max() <= 30


def test_a_file_of_another_network_is_refused(files, tmp_path):
    with pytest.raises(WeightsError, match="no layer 'defc7'"):
        CaffeDecoder.read(files[2], files[2], device="cpu")
    other = layers_of(files[0]["generator"]) | {"defc7": [np.zeros((8, 8)), np.zeros(8)]}
    (tmp_path / "other").write_bytes(caffemodel(other))
    with pytest.raises(WeightsError, match="of another network: its defc7"):
        CaffeDecoder.read(tmp_path / "other", files[2], device="cpu")


def test_the_files_are_imported_and_their_model_sampled_by_commands(files, tiny, tmp_path, capsys):
    _, generator, encoder = files
    assert main(["import", "caffe", f"--generator={generator}", f"--encoder={encoder}", "--replace"]) == 0
    read, imported = CaffeDecoder.read(generator, encoder, device="cpu"), code_decoder("caffe", "cpu")
    codes = torch.rand(1, 16)
    torch.testing.assert_close(imported(codes), read(codes))
    caffe = ["--model", "caffe", "--network", "caffenet", "--device", "cpu"]
    assert main(["ppgn", "class", "junco", *caffe, "--n_iters", "1", "--out", str(tmp_path / "junco")]) == 0
    assert (tmp_path / "junco" / "fc8_0013_0001_1.0_h_1e-05_1.0_0.0_0.0__0.jpg").is_file()


def test_one_of_the_two_files_is_not_enough(files, capsys):
    assert main(["import", "caffe", f"--generator={files[1]}"]) == 2
    assert "--encoder is missing" in capsys.readouterr().err


def test_caffenet_is_known_only_with_its_own_model(codes, tmp_path, capsys):
    assert main(["ppgn", "class", "junco", "--network", "caffenet", "--device", "cpu"]) == 2
    assert "import those" in capsys.readouterr().err


def test_a_prior_that_was_not_published_is_refused(files):
    with pytest.raises(SettingsError, match="joint, l2, none"):
        CaffeDecoder.read(*files[1:], device="cpu").prior("dae")
