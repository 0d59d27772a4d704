"""This library against TelephoneGAN's own pipeline, round by round: python benchmarks/original.py [--threads 2]

The original runs two processes a round, each of which loads its models: ResNet-152 and an LSTM say what a picture
shows, then a text encoder and AttnGAN for COCO paint that at 256 pixels. Here they are plain PyTorch modules. Both
sides have the same random weights in float32, and take turns; numbers are medians.

cold     the two processes of a round, which paint --pictures pictures of every caption as the original's README says,
         against `telephonegan play` divided by its rounds
warm     both in memory, each in a process of its own: one chain, and --chains chains, which the original plays one
         after the other
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import published
import torch
from PIL import Image
from torch import Tensor, nn

from telephonegan.networks.attngan import UpsampledConv2d
from telephonegan.networks.captioner import EncoderHead
from telephonegan.networks.resnet import CHANNELS, DEVIATION, INPUT_SIZE, MEAN
from telephonegan.samples import sample
from telephonegan.telephone import load

ROOT = Path(__file__).resolve().parents[1]
WORDS_SAID = 20
START = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8, help="of `telephonegan play`")
    parser.add_argument("--pictures", type=int, default=16, help="that the original paints of every caption")
    parser.add_argument("--chains", type=int, default=32)
    parser.add_argument("--cpu-time", action="store_true", help="count the processor's time, not that on the clock")
    parser.add_argument("--half", choices=("say", "paint", "original", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.half in ("say", "paint"):
        {"say": say, "paint": paint}[options.half](options.place, options.pictures)
        return
    if options.half:
        answer(options.place, options.half, time.process_time if options.cpu_time else time.perf_counter)
        return
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"TELEPHONEGAN_HOME": place, "OMP_NUM_THREADS": str(options.threads)}
        published.register()
        for name, net in published.networks().items():
            torch.save(plain(net).state_dict(), Path(place) / f"{name}.pth")
        sample("astronaut").save(Path(place) / "picture.png")
        same(Path(place))
        warm(Path(place), options)
        cold(Path(place), options)


# ---------------------------------------------------------------------------------------------------- the original


def plain(net: nn.Module) -> nn.Module:
    """The network with the doubling of sizes as the published code writes it, nothing folded or rewritten."""
    for module in list(net.modules()):
        for name, conv in list(module.named_children()):
            if isinstance(conv, UpsampledConv2d):
                own = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=False)
                own.weight = conv.weight
                setattr(module, name, nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), own))
    return net.eval()


class TorchvisionEncoder(EncoderHead):
    """The captioner's encoder over torchvision's network, whose import is part of the original's start."""

    def __init__(self) -> None:
        from torchvision.models import resnet152

        super().__init__(CHANNELS, 256)
        self.resnet = nn.Sequential(*list(resnet152(weights=None).children())[:-1])

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(self.resnet(images).flatten(1))


def loaded(place: Path, *names: str) -> list[nn.Module]:
    """Some of the networks, with the weights of their files."""
    made = published.networks(*(name for name in names if name != "encoder"))
    if "encoder" in names:
        made["encoder"] = TorchvisionEncoder().eval()
    nets = [plain(made[name]) for name in names]
    for name, net in zip(names, nets, strict=True):
        net.load_state_dict(torch.load(place / f"{name}.pth", weights_only=True))
    return nets


@torch.no_grad()
def said(encoder: nn.Module, decoder: nn.Module, picture: Image.Image) -> list[int]:
    """The likeliest word after each, as ids: all of the published captioner's sampling."""
    image = picture.convert("RGB").resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
    inputs, state, ids = encoder(pixels)[:, None], None, []
    for _ in range(WORDS_SAID):
        hidden, state = decoder.lstm(inputs, state)
        word = decoder.linear(hidden[:, 0]).argmax(1)
        ids.append(int(word))
        inputs = decoder.embed(word)[:, None]
    return ids


@torch.no_grad()
def painted(text_encoder: nn.Module, generator: nn.Module, ids: list[int], noise: Tensor, eps: Tensor) -> Tensor:
    """Pictures (B,3,256,256) in [-1,1] of one text, and the smaller ones that nobody looks at."""
    number = len(noise)
    words, sentences = text_encoder(torch.tensor([ids] * number), torch.tensor([len(ids)] * number))
    return generator(noise, sentences, words, torch.zeros(number, len(ids), dtype=torch.bool), eps)[0][-1]


def known(ids: list[int]) -> list[int]:
    """The captioner's ids as the text encoder's: its four markers are not words."""
    return [max(1, each - 3) for each in ids]


def saved(pictures: Tensor, place: Path) -> None:
    for number, pixels in enumerate(((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(pixels).save(place / f"painted-{number}.png")


def say(place: Path, pictures: int) -> None:
    """The first process of a round."""
    ids = said(*loaded(place, "encoder", "decoder"), Image.open(place / "picture.png"))
    (place / "caption.txt").write_text(" ".join(map(str, ids)))


def paint(place: Path, pictures: int) -> None:
    """The second process of a round."""
    ids = known([int(word) for word in (place / "caption.txt").read_text().split()])
    nets = loaded(place, "text_encoder", "generator")
    saved(painted(*nets, ids, torch.randn(pictures, 100), torch.randn(pictures, 100)), place)


# ---------------------------------------------------------------------------------------------------- compared


def same(place: Path) -> None:
    """Print how far the pictures of both sides are apart for the same text and noise."""
    generator = published.generator()
    encoded = generator.encode("a brown dog runs through the green grass")
    latents = generator.latents([3])
    with torch.inference_mode():
        ours = generator.stages([encoded], [3])[0][-1]
    theirs = painted(*loaded(place, "text_encoder", "generator"), encoded.ids, latents["noise"], latents["eps"])
    print(f"the same picture: at most {((ours - theirs) * 127.5).abs().max():.3f} of 255 grey levels apart")


def warm(place: Path, options: argparse.Namespace) -> None:
    own = [sys.executable, __file__, "--place", place, "--threads", options.threads]
    own += ["--cpu-time"] if options.cpu_time else []
    workers = {
        half: subprocess.Popen(
            [*map(str, own), "--half", half], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for half in ("original", "ours")
    }

    def seconds(task: tuple[str, int]) -> float:
        half, chains = task
        workers[half].stdin.write(f"{chains}\n")
        workers[half].stdin.flush()
        return float(workers[half].stdout.readline())

    original, one, many = in_turn([("original", 1), ("ours", 1), ("ours", options.chains)], options.repeats, seconds)
    tell("warm, one chain", original, one)
    tell(f"warm, {options.chains} chains", original, many)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()


def answer(place: Path, half: str, clock: Callable[[], float]) -> None:
    """Play a round of as many chains as every line of the input says, and print the seconds of one."""
    photo = Image.open(place / "picture.png")
    if half == "original":
        nets = loaded(place, "encoder", "decoder", "text_encoder", "generator")
    else:
        phone = load(published.NAME, published.NAME, "cpu")

    def theirs(chains: int) -> None:
        for _ in range(chains):
            ids = known(said(*nets[:2], photo))
            saved(painted(*nets[2:], ids, torch.randn(1, 100), torch.randn(1, 100)), place)

    def ours(chains: int) -> None:
        captions = phone.caption([photo] * chains, method="greedy")
        for number, picture in enumerate(phone.generate([caption.text for caption in captions])):
            picture.image.save(place / f"own-{number}.png")

    play = theirs if half == "original" else ours
    for chains in map(int, sys.stdin):
        print(timed(functools.partial(play, chains), clock) / chains, flush=True)


def cold(place: Path, options: argparse.Namespace) -> None:
    own = [sys.executable, __file__, "--place", place, "--threads", options.threads, "--pictures", options.pictures]
    play = [
        "play",
        "--image",
        place / "picture.png",
        "--rounds",
        options.rounds,
        "--device",
        "cpu",
        "--method",
        "greedy",
    ]
    play += ["--captioner", published.NAME, "--generator", published.NAME]

    def theirs() -> None:
        for half in ("say", "paint"):
            subprocess.run([*map(str, own), "--half", half], check=True)

    def ours() -> None:
        command = [sys.executable, "-m", "telephonegan", *map(str, play)]
        with tempfile.TemporaryDirectory() as out:
            subprocess.run([*command, "--out", f"{out}/game"], cwd=ROOT, check=True, capture_output=True)

    clock = _cpu_time_of_children if options.cpu_time else time.perf_counter
    original, game = in_turn([theirs, ours], options.repeats, lambda call: timed(call, clock))
    tell(f"cold, {options.pictures} pictures a caption", original, game / options.rounds)


def in_turn(calls: Sequence, repeats: int, measure: Callable[..., float]) -> list[float]:
    """The median of the seconds that `measure` gives for each call; the first turn does not count."""
    turns = [[measure(call) for call in calls] for _ in range(repeats + 1)][1:]
    return [statistics.median(each) for each in zip(*turns, strict=True)]


def timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    call()
    return clock() - started


def _cpu_time_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tell(what: str, original: float, ours: float) -> None:
    print(f"{what:32}{original:8.2f} s a round, ours {ours:7.2f} s: {original / ours:6.2f} ×", flush=True)


if __name__ == "__main__":
    main()
