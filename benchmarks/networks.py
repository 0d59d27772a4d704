"""The network rewrites against their plain forms, as ratios in one run: python benchmarks/networks.py

Each pair computes the same function (the tests prove it); one thread, interleaved, the best of several rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan.networks.attngan import UpsampledConv2d
from telephonegan.networks.backbone import Backbone, normalise
from telephonegan.networks.char_cnn_rnn import CharCNNRNN
from telephonegan.networks.damsm import word_scores
from telephonegan.text import Alphabet, pad, padding_mask


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'':44}{'plain':>10}{'ours':>10}{'ratio':>8}")
    report("Lite0 features, 32 pictures of 128 px", *backbone(gradient=False))
    report("Lite0 features and input gradient, the same", *backbone(gradient=True))
    report("upsample + conv 64→128 at 64 px, 16 pictures", *upsampled())
    report("word scores 48×48 pairs, 64 regions", *words())
    report("Char-CNN-RNN, 250 sentences of 40–110 letters", *sentences(gradient=False))
    report("Char-CNN-RNN and its gradients, 40 of them", *sentences(gradient=True))


def report(name: str, plain: Callable[[], object], ours: Callable[[], object], rounds: int = 5) -> None:
    best = [min(times) for times in zip(*((seconds(plain), seconds(ours)) for _ in range(rounds)), strict=True)]
    print(f"{name:44}{best[0] * 1e3:8.1f}ms{best[1] * 1e3:8.1f}ms{best[0] / best[1]:8.2f}")


def seconds(call: Callable[[], object]) -> float:
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def backbone(*, gradient: bool) -> tuple[Callable[[], object], Callable[[], object]]:
    plain = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3, 4)).eval()
    plain.requires_grad_(False)
    ours = Backbone("lite0")
    nets = [net.to(memory_format=torch.channels_last) for net in (plain, ours)]
    image = (torch.rand(32, 3, 128, 128) * 2 - 1).to(memory_format=torch.channels_last)

    def run(net: nn.Module) -> None:
        x = image.clone().requires_grad_(gradient)
        with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(gradient):
            features = net(x) if net is nets[1] else net(normalise(x))
            total = sum(f.float().mean() for f in (features.values() if isinstance(features, dict) else features))
        if gradient:
            total.backward()

    return lambda: run(nets[0]), lambda: run(nets[1])


def sentences(*, gradient: bool) -> tuple[Callable[[], object], Callable[[], object]]:
    network, alphabet = CharCNNRNN(), Alphabet(plain=True)
    lengths = torch.randint(40, 110, (40 if gradient else 250,), generator=torch.Generator().manual_seed(0))
    ids, _ = pad([alphabet.encode("flower " * 20).ids[:length] for length in lengths.tolist()])

    def plain() -> Tensor:
        """The layers over all 201 characters, as they are written down."""
        x = F.one_hot(F.pad(ids, (0, 201 - ids.shape[1])), 71)[:, :, 1:].float().transpose(1, 2)
        x = F.max_pool1d(F.threshold(network.conv1(x), 1e-6, 0), 3)
        x = F.max_pool1d(F.threshold(network.conv2(x), 1e-6, 0), 3)
        x = F.max_pool1d(F.threshold(network.conv3(x), 1e-6, 0), 3, 2)
        return network.linear(network.rnn(x.transpose(1, 2)).mean(1))

    def run(embed: Callable[[], Tensor]) -> None:
        with torch.set_grad_enabled(gradient):
            found = embed()
            if gradient:
                found.sum().backward()

    return lambda: run(plain), lambda: run(lambda: network(ids)[1])


def upsampled() -> tuple[Callable[[], object], Callable[[], object]]:
    conv = UpsampledConv2d(64, 128).to(memory_format=torch.channels_last)
    image = torch.randn(16, 64, 32, 32).to(memory_format=torch.channels_last)

    def run(forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            forward(image.clone().requires_grad_()).float().mean().backward()

    return lambda: run(lambda x: F.conv2d(F.interpolate(x, scale_factor=2), conv.weight, padding=1)), lambda: run(conv)


def words() -> tuple[Callable[[], object], Callable[[], object]]:
    regions, texts = torch.randn(48, 256, 8, 8), torch.randn(48, 256, 15)
    mask = padding_mask(torch.full((48,), 15))

    def plain() -> None:
        r = regions.flatten(2).requires_grad_()
        attention = (4 * torch.einsum("bdr,tdl->btrl", r, texts).softmax(3)).softmax(2)
        context = torch.einsum("btrl,bdr->btdl", attention, r)
        (5 * F.cosine_similarity(context, texts[None], dim=2)).logsumexp(2).sum().backward()

    return plain, lambda: word_scores(regions.requires_grad_(), texts, mask).sum().backward()


if __name__ == "__main__":
    main()
