"""Plug & play sampling against its plain form, as ratios in one run: python benchmarks/ppgn.py [--clock] [STEPS]

Plain is the loop of PPGN's scripts in torch, with the same networks: the generator runs twice in each step, once for
the prior and once for the condition, and the gradient goes back through the two networks one after the other. Threads
as TELEPHONEGAN_THREADS says, interleaved, the best of several rounds, in seconds of CPU time, which other processes
disturb less than the clock; with --clock, for an idle machine and several threads, by the clock. Weights are random,
which costs the same. Memory is compared before and after STEPS steps, 2,000 unless another number is given.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from torch import Tensor

from telephonegan.inference import resolve_device
from telephonegan.latent.codes import CodeModel
from telephonegan.latent.conditions import image_class
from telephonegan.latent.decoders import CodeDecoder
from telephonegan.latent.sampler import Sampler
from telephonegan.networks.backbone import normalise

SIZE, STEPS, ROUNDS, WARM_UP = 128, 3, 3, 20


def main() -> None:
    options = _options()
    resolve_device("cpu")
    now = time.perf_counter if options.clock else time.process_time
    model = CodeModel.random(SIZE)
    model.generator.folded()  # as that of a stored one
    decoder = CodeDecoder(model)
    sampler = Sampler(decoder, image_class("junco", device="cpu"), prior=decoder.prior("joint"), n_iters=10**6)
    print(f"{'a step at 128 px':44}{'plain':>10}{'ours':>10}{'ratio':>8}")
    alone = report("batch 1", plain(decoder, 1), ours(sampler, 1), now)
    together = report("batch 8", plain(decoder, 8), ours(sampler, 8), now)
    print(f"{'steps per second, batch 8 over batch 1':44}{8 * alone / together:28.2f}")
    state, used = sampler.start([0]), []
    for steps in (WARM_UP, options.steps):
        for _ in range(steps):
            state, _ = sampler.advance(state)
        used.append(memory_mb())
    print(f"{f'memory after {WARM_UP} steps, and {options.steps} later':44}{used[0]:8.0f}MB{used[1]:8.0f}MB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", nargs="?", type=int, default=2000)
    parser.add_argument("--clock", action="store_true")
    return parser.parse_args()


def report(name: str, plain: Callable[[], object], ours: Callable[[], object], now: Callable[[], float]) -> float:
    """Print both times per step, and return ours in seconds."""
    rounds = [(seconds(plain, now), seconds(ours, now)) for _ in range(ROUNDS)]
    best = [min(times) / STEPS for times in zip(*rounds, strict=True)]
    print(f"{name:44}{best[0] * 1e3:8.1f}ms{best[1] * 1e3:8.1f}ms{best[0] / best[1]:8.2f}")
    return best[1]


def seconds(call: Callable[[], object], now: Callable[[], float]) -> float:
    call()
    start = now()
    for _ in range(STEPS):
        call()
    return now() - start


def ours(sampler: Sampler, batch: int) -> Callable[[], object]:
    state = sampler.start(range(batch))
    return lambda: sampler.advance(state)


def plain(decoder: CodeDecoder, batch: int) -> Callable[[], Tensor]:
    """One step as PPGN's scripts take it, with timm's EfficientNet-Lite0 as encoder and as condition."""
    net = timm.create_model("tf_efficientnet_lite0").eval().requires_grad_(False)
    vectors, model = torch.randn(batch, decoder.width), decoder.model

    def step() -> Tensor:
        with torch.no_grad():
            features = net.forward_features_before_head(normalise(decoder(vectors)))
            prior = model.axes.coordinates(model.encoder.of_map(features)) - vectors
        rows = vectors.clone().requires_grad_()
        image = decoder(rows)
        pixels = image.detach().requires_grad_()
        scores = net(normalise(pixels))
        seed = torch.zeros_like(scores)
        seed[:, 13] = 1 - scores.softmax(1)[:, 13]
        (by_pixel,) = torch.autograd.grad(scores, pixels, seed)
        (condition,) = torch.autograd.grad(image, rows, by_pixel)
        direction = 1e-5 * prior + condition
        return (vectors + direction / direction.abs().mean(1, keepdim=True)).clamp(decoder.low, decoder.high)

    def before_head(images: Tensor) -> Tensor:
        x = net.bn1(net.conv_stem(images))
        for stage in net.blocks:
            x = stage(x)
        return x

    net.forward_features_before_head = before_head
    return step


def memory_mb() -> float:
    """What the process holds now, on Linux."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
