"""Checkpoints of DM-GAN, DF-GAN and sgrvinod's tutorial: known by their tensors, imported and played.

The names and sizes of tensors are those of the files that these projects published, listed here by hand; only widths
are smaller. What the networks compute is compared with the papers' formulae, written out below.
"""

from __future__ import annotations

import json
import pickle
import random
import sys
import types
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan import telephone
from telephonegan.captioning import Captioner
from telephonegan.errors import WeightsError
from telephonegan.generation import Generator
from telephonegan.networks import attngan, show_attend_tell
from telephonegan.networks.damsm import TextEncoder
from telephonegan.networks.dfgan import DeepFusionGenerator
from telephonegan.text import END, PAD, START, UNKNOWN
from telephonegan.zoo import store
from telephonegan.zoo.importing import import_attending_captioner, import_attngan
from telephonegan.zoo.pickled_modules import read_modules
from telephonegan.zoo.published import load_published, network_settings, read_state
from tests.mutations import TIMES, damaged

WORDS = [END, "a", "dog", "runs", "on", "the", "grass"]
WORD_MAP = {PAD: 0, "a": 1, "dog": 2, "runs": 3, UNKNOWN: 4, START: 5, END: 6}
D, Z = 8, 6  # widths of the sentence embedding and of the noise


@pytest.fixture(autouse=True)
def folders(no_shipped_models, tmp_path, monkeypatch) -> None:
    """No models but those a test imports."""
    monkeypatch.setattr("telephonegan.zoo.catalogue.SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Small random tensors of these names; variances are positive."""
    generator = torch.Generator().manual_seed(seed)
    state = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: tensor.abs() + 0.5 if name.endswith("running_var") else tensor for name, tensor in state.items()}


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}


def linear(name: str, width_in: int, width_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width_out, width_in), f"{name}.bias": (width_out,)}


def convolution(name: str, width_in: int, width_out: int, *size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width_out, width_in, *size)} | ({f"{name}.bias": (width_out,)} if bias else {})


# ---------------------------------------------------------------------------------------------------- DM-GAN


def dmgan(ngf: int = 2, embedding: int = D, condition: int = 5, blocks: int = 2) -> dict[str, tuple[int, ...]]:
    """G_NET of DM-GAN as saved: torch 0.4 and later count batches, earlier files do not."""
    shapes = linear("ca_net.fc", embedding, 4 * condition)
    widest = 16 * ngf
    shapes |= {"h_net1.fc.0.weight": (32 * widest, condition + Z)} | norm("h_net1.fc.1", 32 * widest)

    def up(name: str, width_in: int, width_out: int) -> dict[str, tuple[int, ...]]:
        return convolution(f"{name}.1", width_in, 2 * width_out, 3, 3, bias=False) | norm(f"{name}.2", 2 * width_out)

    for i in range(4):
        shapes |= up(f"h_net1.upsample{i + 1}", widest >> i, widest >> (i + 1))
    for stage in ("h_net2", "h_net3"):
        shapes |= {f"{stage}.A.weight": (1, embedding), f"{stage}.B.weight": (1, ngf)}
        shapes |= convolution(f"{stage}.M_r.0", ngf, 2 * ngf, 1) | convolution(f"{stage}.M_w.0", embedding, 2 * ngf, 1)
        shapes |= convolution(f"{stage}.key.0", 2 * ngf, ngf, 1) | convolution(f"{stage}.value.0", 2 * ngf, ngf, 1)
        shapes |= convolution(f"{stage}.response_gate.0", 2 * ngf, 1, 1, 1)
        for block in range(blocks):
            inner = f"{stage}.residual.{block}.block"
            shapes |= convolution(f"{inner}.0", 2 * ngf, 4 * ngf, 3, 3, bias=False) | norm(f"{inner}.1", 4 * ngf)
            shapes |= convolution(f"{inner}.3", 2 * ngf, 2 * ngf, 3, 3, bias=False) | norm(f"{inner}.4", 2 * ngf)
        shapes |= up(f"{stage}.upsample", 2 * ngf, ngf)
    return shapes | {f"img_net{i}.img.0.weight": (3, ngf, 3, 3) for i in (1, 2, 3)}


def test_a_dm_gan_of_published_size_has_the_published_tensors():
    with torch.device("meta"):
        net = attngan.Generator(channels=32, residual_blocks=2, noise_width=Z, condition_width=100, memory=True)
    own = {name: tuple(t.shape) for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert own == dmgan(32, 256, 100)


def test_the_memory_stage_follows_the_paper():
    """Equations 3 to 8 of Zhu et al. 2019, for each pixel and word by itself."""
    torch.manual_seed(0)
    stage = attngan.MemoryStage(4, D, 0, 0).eval()
    h, words = torch.randn(2, 4, 3, 3), torch.randn(2, D, 5)
    mask = torch.tensor([[False] * 5, [False, False, False, True, True]])
    _, attention = stage(h, words, mask, None)
    for picture in range(2):
        known = int((~mask[picture]).sum())
        r = h[picture].mean((1, 2))
        memory = []
        for word in words[picture].T[:known]:
            gate = torch.sigmoid(stage.A.weight[0] @ word + stage.B.weight[0] @ r)
            written = F.relu(stage.M_w[0].weight[:, :, 0] @ word + stage.M_w[0].bias)
            kept = F.relu(stage.M_r[0].weight[:, :, 0] @ r + stage.M_r[0].bias)
            memory.append(gate * written + (1 - gate) * kept)
        keys = torch.stack([F.relu(stage.key[0].weight[:, :, 0] @ slot + stage.key[0].bias) for slot in memory])
        values = torch.stack([F.relu(stage.value[0].weight[:, :, 0] @ slot + stage.value[0].bias) for slot in memory])
        for row in range(3):
            for column in range(3):
                pixel = h[picture, :, row, column]
                shares = (keys @ pixel).softmax(0)
                torch.testing.assert_close(attention[picture, :known, row, column], shares)
                read = shares @ values
                gate = stage.response_gate[0].weight[0, :, 0, 0] @ torch.cat([pixel, read])
                gate = torch.sigmoid(gate + stage.response_gate[0].bias[0])
                mixed = gate * read + (1 - gate) * pixel
                fed = hook_input(stage, h, words, mask)[picture, :, row, column]
                torch.testing.assert_close(fed, torch.cat([mixed, mixed]))
    assert (attention[1, 3:] == 0).all()


def hook_input(stage: attngan.MemoryStage, h: Tensor, words: Tensor, mask: Tensor) -> Tensor:
    """What the stage enlarges, where it has no residual blocks."""
    seen = []
    handle = stage.upsample.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    stage(h, words, mask, None)
    handle.remove()
    return seen[0]


# ---------------------------------------------------------------------------------------------------- DF-GAN


def affine(name: str, width: int, hidden: int, channels: int) -> dict[str, tuple[int, ...]]:
    return {
        key: shape
        for part in ("fc_gamma", "fc_beta")
        for key, shape in (
            linear(f"{name}.{part}.linear1", width, hidden) | linear(f"{name}.{part}.linear2", hidden, channels)
        ).items()
    }


def dfgan(nf: int = 2, embedding: int = D, blocks: int = 4) -> dict[str, tuple[int, ...]]:
    """NetG of the second release: 4·2ⁿ pixels."""
    widths = [nf * min(2**i, 8) for i in range(blocks + 1)][::-1]
    shapes = linear("fc", Z, 16 * widths[0])
    for i, (before, after) in enumerate(pairwise(widths)):
        name = f"GBlocks.{i}"
        shapes |= convolution(f"{name}.c1", before, after, 3, 3) | convolution(f"{name}.c2", after, after, 3, 3)
        for fuse, width in (("fuse1", before), ("fuse2", after)):
            for number in (0, 1):
                shapes |= affine(f"{name}.{fuse}.affine{number}", embedding + Z, width, width)
        if before != after:
            shapes |= convolution(f"{name}.c_sc", before, after, 1, 1)
    return shapes | convolution("to_rgb.1", nf, 3, 3, 3)


def first_dfgan(nf: int = 2, embedding: int = D) -> dict[str, tuple[int, ...]]:
    """NetG of the release of 2020: seven blocks, 256 pixels."""
    widths = [nf * factor for factor in (8, 8, 8, 8, 8, 4, 2, 1)]
    shapes = linear("fc", Z, 16 * widths[0])
    for i, (before, after) in enumerate(pairwise(widths)):
        name = f"block{i}"
        shapes |= {f"{name}.gamma": (1,)}
        shapes |= convolution(f"{name}.c1", before, after, 3, 3) | convolution(f"{name}.c2", after, after, 3, 3)
        for number, width in enumerate((before, before, after, after)):
            shapes |= affine(f"{name}.affine{number}", embedding, embedding, width)
        if before != after:
            shapes |= convolution(f"{name}.c_sc", before, after, 1, 1)
    return shapes | convolution("conv_img.1", nf, 3, 3, 3)


def bent(state: dict[str, Tensor], name: str, h: Tensor, condition: Tensor) -> Tensor:
    """An affine layer and its leaky ReLU, by hand."""

    def layers(part: str) -> Tensor:
        inner = F.relu(
            F.linear(condition, state[f"{name}.{part}.linear1.weight"], state[f"{name}.{part}.linear1.bias"])
        )
        out = F.linear(inner, state[f"{name}.{part}.linear2.weight"], state[f"{name}.{part}.linear2.bias"])
        return out[:, :, None, None]

    return F.leaky_relu(h * layers("fc_gamma") + layers("fc_beta"), 0.2)


def convolved(state: dict[str, Tensor], name: str, h: Tensor) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(h, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)


def painted_by_hand(state: dict[str, Tensor], noise: Tensor, sentence: Tensor, *, first_release: bool) -> Tensor:
    """Section 3 of Tao et al. 2022, on the tensors as published."""
    h = F.linear(noise, state["fc.weight"], state["fc.bias"]).view(len(noise), -1, 4, 4)
    condition = sentence if first_release else torch.cat([noise, sentence], 1)
    numbers = sorted(
        {int(name.split(".")[0 if first_release else 1].removeprefix("block")) for name in state if "affine" in name}
    )
    for i in numbers:
        name = f"block{i}" if first_release else f"GBlocks.{i}"
        layers = [f"{name}.affine{n}" for n in range(4)]
        if not first_release:
            layers = [f"{name}.fuse{n}.affine{m}" for n in (1, 2) for m in (0, 1)]
        if i or not first_release:
            h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
        residual = convolved(
            state, f"{name}.c1", bent(state, layers[1], bent(state, layers[0], h, condition), condition)
        )
        residual = bent(state, layers[3], bent(state, layers[2], residual, condition), condition)
        residual = convolved(state, f"{name}.c2", residual)
        h = convolved(state, f"{name}.c_sc", h) if f"{name}.c_sc.weight" in state else h
        h = h + (state[f"{name}.gamma"] * residual if first_release else residual)
    return convolved(state, "conv_img.1" if first_release else "to_rgb.1", F.leaky_relu(h, 0.2)).tanh()


@pytest.mark.parametrize("first_release", [False, True])
def test_a_df_gan_paints_what_its_paper_says(first_release):
    state = drawn(first_dfgan() if first_release else dfgan())
    noise, sentence = torch.randn(2, Z), torch.randn(2, D)
    net = load_published(dict(state), "generator")
    assert isinstance(net, DeepFusionGenerator)
    with torch.inference_mode():
        torch.testing.assert_close(
            net(noise, sentence),
            painted_by_hand(state, noise, sentence, first_release=first_release),
            rtol=1e-3,
            atol=1e-4,
        )
    assert net.size == (256 if first_release else 64)


def test_the_published_sizes_of_df_gan_are_read_from_its_tensors():
    with torch.device("meta"):
        second = {name: torch.empty(shape) for name, shape in dfgan(32, 256, 6).items()}
        net = DeepFusionGenerator(noise_width=Z)
    assert {name: tensor.shape for name, tensor in net.state_dict().items()} == {
        name: tensor.shape for name, tensor in second.items()
    }


# -------------------------------------------------------------------------------------------------- imported and played

GENERATORS = {
    "DM-GAN": (dmgan, {}, 256),
    "DF-GAN": (dfgan, {}, 64),
    "the first DF-GAN": (first_dfgan, {}, 256),
    "a DF-GAN with its optimisers": (dfgan, {"epoch": 3, "optimizers": {"optimizer_G": {"state": {}}}}, 64),
}


@pytest.mark.parametrize("project", GENERATORS)
def test_a_generator_of_another_project_is_imported_and_paints(tmp_path, project):
    shapes, around, size = GENERATORS[project]
    state = drawn(shapes())
    torch.save({"model": {"netG": state, "netD": {}}, **around} if around else state, tmp_path / "netG.pth")
    torch.save(TextEncoder(len(WORDS), word_width=6, width=D).state_dict(), tmp_path / "text_encoder.pth")
    ids = {word: number for number, word in enumerate(WORDS)}
    (tmp_path / "captions.pickle").write_bytes(pickle.dumps([[[1]], [[2]], dict(enumerate(WORDS)), ids]))
    entry, _ = import_attngan(
        "other",
        generator=tmp_path / "netG.pth",
        text_encoder=tmp_path / "text_encoder.pth",
        dictionary=tmp_path / "captions.pickle",
    )
    assert entry.description.startswith(
        f"published {project.removeprefix('the first ').split(' with')[0].removeprefix('a ')}"
    )
    painter = Generator.load("other", "cpu")
    one, again, other = painter(["a dog runs", "a dog runs", "the grass"], seeds=[1, 1, 1])
    assert one.image.size == (size, size) and np.ptp(np.asarray(one.image)) > 0
    assert one.image.tobytes() == again.image.tobytes() != other.image.tobytes()
    assert (one.attention is None) == ("DF" in project)
    alone = painter(["a dog runs"], seeds=[1])[0]
    assert np.abs(np.asarray(alone.image, int) - np.asarray(one.image, int)).max() <= 1  # sums round by batch


# ---------------------------------------------------------------------------------------------------- whole modules


@pytest.fixture
def tutorial(monkeypatch):
    """Classes as the tutorial's models.py has them, which whoever reads its checkpoints does not have."""
    module = types.ModuleType("models")

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            cells = show_attend_tell.ResNetCells(layers=[1, 1, 1, 1], width=4)
            self.enc_image_size, self.resnet, self.adaptive_pool = 14, cells.resnet, cells.adaptive_pool

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder_att, self.decoder_att = nn.Linear(2048, 7), nn.Linear(12, 7)
            self.full_att, self.relu, self.softmax = nn.Linear(7, 1), nn.ReLU(), nn.Softmax(dim=1)

    class DecoderWithAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vocab_size, self.attention, self.dropout = len(WORD_MAP), Attention(), nn.Dropout(0.5)
            self.embedding, self.decode_step = nn.Embedding(len(WORD_MAP), 9), nn.LSTMCell(9 + 2048, 12, True)
            self.init_h, self.init_c, self.f_beta = nn.Linear(2048, 12), nn.Linear(2048, 12), nn.Linear(12, 2048)
            self.sigmoid, self.fc = nn.Sigmoid(), nn.Linear(12, len(WORD_MAP))

    for kind in (Encoder, Attention, DecoderWithAttention):
        kind.__module__, kind.__qualname__ = "models", kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "models", module)
    torch.manual_seed(0)
    yield Encoder(), DecoderWithAttention()


def checkpoint(path: Path, encoder: nn.Module, decoder: nn.Module, **options: bool) -> Path:
    """As the tutorial saves one, with an optimiser that has made a step."""
    optimiser = torch.optim.Adam(decoder.parameters(), 4e-4)
    sum(parameter.sum() for parameter in decoder.parameters()).backward()
    optimiser.step()
    state = {
        **{"epoch": 7, "epochs_since_improvement": 0, "bleu-4": np.float64(0.2)},
        **{"encoder": encoder, "decoder": decoder},
        **{"encoder_optimizer": None, "decoder_optimizer": optimiser},
    }
    torch.save(state, path, **options)
    return path


@pytest.fixture
def word_map(tmp_path):
    path = tmp_path / "WORDMAP_coco.json"
    path.write_text(json.dumps(WORD_MAP))
    return path


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("zipped", [True, False])
def test_the_tutorials_captioner_is_imported_without_its_classes_and_played(
    tmp_path, tutorial, monkeypatch, word_map, zipped
):
    encoder, decoder = tutorial
    path = checkpoint(tmp_path / "BEST.pth.tar", encoder, decoder, _use_new_zipfile_serialization=zipped)
    monkeypatch.delitem(sys.modules, "models")
    [entry] = import_attending_captioner("tutorial", checkpoint=path, vocabulary=word_map)
    kept = store.read_tensors(entry)
    for part, net in (("encoder", encoder), ("decoder", decoder)):
        for name, tensor in net.state_dict().items():
            assert torch.equal(kept[f"{part}.{name}"], tensor), name
    captioner = Captioner.load("tutorial", "cpu")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    said = captioner([picture], method="greedy")[0]
    assert set(said.words) <= {"a", "dog", "runs"}
    assert said.attention.shape == (len(said.words), 14, 14)
    np.testing.assert_allclose(said.attention.sum((1, 2)), 1, rtol=1e-5)
    assert telephone.caption(picture, captioner="tutorial", device="cpu").text is not None


def test_the_attending_decoder_follows_the_paper():
    """Xu et al. 2015, section 3.1.2 and 4.2.1: the gate β, and attention before the step."""
    torch.manual_seed(1)
    net = show_attend_tell.AttendingDecoder(11, feature_width=6, embedding_width=4, hidden_width=5, attention_width=3)
    cells, ids = torch.randn(2, 9, 6), torch.tensor([3, 4])
    hidden, cell = (layer(cells.mean(1)) for layer in (net.init_h, net.init_c))
    energy = [
        net.attention.full_att(F.relu(net.attention.encoder_att(cells[:, i]) + net.attention.decoder_att(hidden)))
        for i in range(9)
    ]
    alpha = torch.cat(energy, 1).softmax(1)
    context = torch.sigmoid(net.f_beta(hidden)) * sum(alpha[:, i, None] * cells[:, i] for i in range(9))
    expected, _ = net.decode_step(torch.cat([net.embedding(ids), context], 1), (hidden, cell))
    logits, _, attention = net.step(ids, net.start(cells))
    torch.testing.assert_close(attention, alpha)
    torch.testing.assert_close(logits, net.fc(expected))


def test_modules_in_parts_of_state_dicts_are_read_too(tmp_path, tutorial, word_map):
    encoder, decoder = tutorial
    path = tmp_path / "BEST.pth.tar"
    torch.save({"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}, path)
    assert import_attending_captioner("tutorial", checkpoint=path, vocabulary=word_map)


class Running:
    """Pickled, it asks to run a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        import os

        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_that_a_checkpoint_of_modules_asks_for_is_run(tmp_path, zipped):
    marker, path = tmp_path / "ran", tmp_path / "evil.pth.tar"
    torch.save({"encoder": Running(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"asks for '(posix|nt)\.system'"):
        read_modules(path)
    assert not marker.exists()


def test_a_program_of_torchscript_is_refused_before_torch_opens_it(tmp_path):
    path = tmp_path / "script.pth.tar"
    torch.jit.script(nn.Linear(1, 1)).save(str(path))
    with pytest.raises(WeightsError, match="TorchScript"):
        read_modules(path)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"PK\x03\x04" + b"\0" * 500, b"<html>", b"\x80\x02}q\0."])
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "BEST.pth.tar"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"BEST\.pth\.tar"):
        read_modules(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_modules(tmp_path / "nowhere")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_checkpoints_are_read_or_refused_and_nothing_else(tmp_path, zipped):
    path, noise, refused = tmp_path / "x.pth", random.Random(zipped), 0
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    torch.save({"encoder": net, "decoder": net.state_dict()}, path, _use_new_zipfile_serialization=zipped)
    good = path.read_bytes()
    for _ in range(TIMES // 2):
        path.write_bytes(damaged(good, noise))
        for read in (read_modules, read_state):
            try:
                read(path)
            except WeightsError:
                refused += 1
    assert refused > TIMES / 4


def test_a_checkpoint_without_a_captioner_and_a_map_of_another_size_are_named(tmp_path, tutorial, word_map):
    encoder, decoder = tutorial
    torch.save({"encoder": encoder.state_dict(), "epoch": 3}, tmp_path / "half.pth.tar")
    with pytest.raises(WeightsError, match=r"half\.pth\.tar lacks decoder: it contains encoder"):
        import_attending_captioner("tutorial", checkpoint=tmp_path / "half.pth.tar", vocabulary=word_map)
    torch.save({"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}, tmp_path / "BEST.pth.tar")
    word_map.write_text(json.dumps(WORD_MAP | {"more": 7}))
    with pytest.raises(WeightsError, match=r"has 8 words, but .* was trained with 7"):
        import_attending_captioner("tutorial", checkpoint=tmp_path / "BEST.pth.tar", vocabulary=word_map)


def test_settings_of_every_new_network_build_it_once_more(tutorial):
    encoder, decoder = tutorial
    nets = [load_published(drawn(shapes())) for shapes in (dmgan, dfgan, first_dfgan)]
    nets += [load_published(net.state_dict()) for net in (encoder, decoder)]
    for net in nets:
        again = type(net)(**network_settings(net))
        store.load_strict(again, net.state_dict())
