"""The Progressive GAN: parity with a computation in numpy, and the published form of its pickle."""

from __future__ import annotations

import pickle
import sys
import types

import numpy as np
import pytest
import torch

from telephonegan.errors import SettingsError, WeightsError
from telephonegan.generation import Generator
from telephonegan.networks.pggan import ProgressiveGenerator, generator_of_variables
from telephonegan.zoo import store
from telephonegan.zoo.importing import import_model

Z, WIDTHS = 6, (6, 4, 3)  # at 4, 8 and 16 pixels


def variables(fused=True, seed=0):
    """The variables of a small generator, named and shaped as TensorFlow holds them."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    found = {
        "lod": np.float32(0),
        "4x4/Dense/weight": normal(Z, WIDTHS[0] * 16),
        "4x4/Dense/bias": normal(WIDTHS[0]),
        "4x4/Conv/weight": normal(3, 3, WIDTHS[0], WIDTHS[0]),
        "4x4/Conv/bias": normal(WIDTHS[0]),
    }
    for lod, (size, before, after) in enumerate(zip((8, 16), WIDTHS, WIDTHS[1:], strict=False)):
        scope = f"{size}x{size}"
        shape = (3, 3, after, before) if fused else (3, 3, before, after)
        found[f"{scope}/Conv0{'_up' if fused else ''}/weight"] = normal(*shape)
        found[f"{scope}/Conv0{'_up' if fused else ''}/bias"] = normal(after)
        found[f"{scope}/Conv1/weight"] = normal(3, 3, after, after)
        found[f"{scope}/Conv1/bias"] = normal(after)
        found[f"ToRGB_lod{1 - lod}/weight"] = normal(1, 1, after, 3)
        found[f"ToRGB_lod{1 - lod}/bias"] = normal(3)
    return found


# ------------------------------------------------------------------------------------------- in numpy, by definition


def scaled(weight, fan_in, gain=2**0.5):
    return weight * gain / np.sqrt(fan_in)


def activated(x, bias):
    """Bias, leaky ReLU and pixel norm of (B,C,H,W)."""
    x = x + bias[:, None, None]
    x = np.where(x > 0, x, 0.2 * x)
    return x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-8)


def convolved(x, weight):
    """Cross-correlation with (3,3,in,out), one output at a time."""
    batch, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((batch, weight.shape[3], height, width))
    for row in range(height):
        for column in range(width):
            window = padded[:, :, row : row + 3, column : column + 3]
            out[:, :, row, column] = np.einsum("bcij,ijco->bo", window, weight)
    return out


def doubled_and_convolved(x, weight):
    """The published doubling: (3,3,out,in), its four shifts added up, spread over every second cell."""
    batch, _, height, width = x.shape
    wide = np.pad(weight, ((1, 1), (1, 1), (0, 0), (0, 0)))
    kernel = wide[1:, 1:] + wide[:-1, 1:] + wide[1:, :-1] + wide[:-1, :-1]
    out = np.zeros((batch, weight.shape[2], 2 * height + 2, 2 * width + 2))
    for row in range(height):
        for column in range(width):
            spread = np.einsum("bc,ijoc->boij", x[:, :, row, column], kernel)
            out[:, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += spread
    return out[:, :, 1:-1, 1:-1]


def painted(v, z, fused=True, sizes=(8, 16)):
    z = z / np.sqrt((z**2).mean(1, keepdims=True) + 1e-8)
    h = (z @ scaled(v["4x4/Dense/weight"], Z, np.sqrt(2) / 4)).reshape(len(z), WIDTHS[0], 4, 4)
    h = activated(h, v["4x4/Dense/bias"])
    h = activated(convolved(h, scaled(v["4x4/Conv/weight"], 9 * WIDTHS[0])), v["4x4/Conv/bias"])
    for size, before, after in zip(sizes, WIDTHS, WIDTHS[1:], strict=False):
        scope = f"{size}x{size}"
        if fused:
            h = doubled_and_convolved(h, scaled(v[f"{scope}/Conv0_up/weight"], 9 * before))
            h = activated(h, v[f"{scope}/Conv0_up/bias"])
        else:
            h = h.repeat(2, axis=2).repeat(2, axis=3)
            h = activated(convolved(h, scaled(v[f"{scope}/Conv0/weight"], 9 * before)), v[f"{scope}/Conv0/bias"])
        h = activated(convolved(h, scaled(v[f"{scope}/Conv1/weight"], 9 * after)), v[f"{scope}/Conv1/bias"])
    lod = f"ToRGB_lod{len(WIDTHS) - 1 - len(sizes)}"
    rgb = scaled(v[f"{lod}/weight"][0, 0], WIDTHS[len(sizes)], 1.0)
    return np.einsum("bchw,co->bohw", h, rgb) + v[f"{lod}/bias"][:, None, None]


@pytest.mark.parametrize("fused", [True, False])
def test_pictures_are_those_of_the_definition(fused):
    found = variables(fused)
    network, tensors = generator_of_variables(found, "a file")
    assert network == {"widths": list(WIDTHS), "noise_width": Z}
    net = store.load_strict(ProgressiveGenerator(**network), tensors).double()
    z = np.random.default_rng(1).normal(size=(2, Z))
    with torch.no_grad():
        images = net(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(images, painted(found, z, fused), atol=1e-6)


def test_a_sketch_is_what_the_network_painted_when_it_was_smaller():
    found = variables()
    network, tensors = generator_of_variables(found, "a file", sketch_size=8)
    assert network["sketch_size"] == 8
    net = store.load_strict(ProgressiveGenerator(**network), tensors).double()
    z = np.random.default_rng(1).normal(size=(2, Z))
    with torch.no_grad():
        sketches, images = net.sketch(torch.from_numpy(z)).numpy(), net(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(sketches, painted(found, z, sizes=(8,)), atol=1e-6)
    np.testing.assert_allclose(images, painted(found, z), atol=1e-6)


def test_without_the_layer_of_a_smaller_size_there_is_no_sketch():
    found = variables()
    del found["ToRGB_lod1/weight"]
    network, _ = generator_of_variables(found, "a file", sketch_size=8)
    assert ProgressiveGenerator(**network).sketch(torch.randn(1, Z)) is None


def test_a_sketch_as_large_as_the_picture_is_refused():
    with pytest.raises(SettingsError, match="below 16 px"):
        ProgressiveGenerator(widths=[4, 4, 4], sketch_size=16)


def test_only_the_direction_of_the_noise_matters():
    net = ProgressiveGenerator(widths=[4, 4], noise_width=5).eval()
    z = torch.randn(2, 5)
    torch.testing.assert_close(net(z), net(7 * z), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lost", ["4x4/Dense/weight", "4x4/Conv/bias", "8x8/Conv1/bias", "ToRGB_lod0/weight"])
def test_missing_variables_are_named(lost):
    found = variables()
    del found[lost]
    with pytest.raises(WeightsError, match=lost):
        generator_of_variables(found, "a file")


# ------------------------------------------------------------------------------------------- the pickle


@pytest.fixture
def published(monkeypatch, tmp_path):
    """A pickle of the published form: a tuple of networks of the module tfutil, whose state has variables and code."""
    module = types.ModuleType("tfutil")

    class Network:
        def __init__(self, state):
            self.state = state

        def __getstate__(self):
            return self.state

        def __setstate__(self, state):
            raise AssertionError("code of the pickle was run")

    Network.__module__, Network.__qualname__ = "tfutil", "Network"
    module.Network = Network
    monkeypatch.setitem(sys.modules, "tfutil", module)

    def write(*all_variables, protocol=4):
        networks = tuple(
            Network(
                {
                    "version": 2,
                    "name": "G",
                    "static_kwargs": {"num_channels": 3, "resolution": 16, "fused_scale": True},
                    "build_module_src": "raise SystemExit('the source in the pickle was run')",
                    "build_func_name": "G_paper",
                    "variables": list(found.items()),
                }
            )
            for found in all_variables
        )
        path = tmp_path / "karras2018iclr-tiny-16x16.pkl"
        path.write_bytes(pickle.dumps(networks, protocol=protocol))
        monkeypatch.delitem(sys.modules, "tfutil", raising=False)
        return path

    return write


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_the_average_of_a_published_pickle_is_imported_and_paints(published, tiny, tmp_path, protocol):
    path = published(variables(seed=1), {"w": np.zeros(2, np.float32)}, variables(seed=2), protocol=protocol)
    [entry] = import_model("pggan", pggan=path, folder=tmp_path / "models")
    generator = Generator.of(entry, "cpu")
    assert generator.size == 16 and not generator.painter.takes_text
    latents = generator.latents([3])
    with torch.no_grad():
        [image] = generator.painter.paint(latents, None)[0]
    expected = painted(variables(seed=2), latents["noise"].double().numpy())
    np.testing.assert_allclose(image.numpy(), expected, atol=1e-4)
    assert generator([""], seeds=[3])[0].latents["noise"].shape == (Z,)


def test_another_pickle_is_refused(tmp_path):
    path = tmp_path / "other.pkl"
    for content in ({"a": 1}, [1, 2], np.zeros(3)):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(WeightsError, match="not a pickle of Progressive GAN networks"):
            import_model("pggan", pggan=path, folder=tmp_path / "models")


def test_a_pickle_that_calls_something_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return eval, ("1 / 0",)

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps((Evil(),)))
    with pytest.raises(WeightsError, match="eval"):
        import_model("pggan", pggan=path, folder=tmp_path / "models")
