"""All that a GPU must be asked, in one run: python benchmarks/gpu.py [--minutes 15 --then "telephonegan train …"]

Do seeds give what they give on the CPU? How many pictures, captions and rounds in a second, and how much of the
machine's matmul peak does the generator reach, in which form? The rest of `--minutes` goes to the command of `--then`,
which is given as its own `--minutes`. `--device cpu --quick` does a little of the same on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import copy
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from telephonegan import inference
from telephonegan.generation import Generator
from telephonegan.telephone import Telephone, load

TEXTS = ("a brown dog runs through the green grass", "two children play on the beach", "a man climbs a rock")
MOST_GREY = 2  # levels that rounding may change


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small batches, once, without compiling")
    parser.add_argument("--minutes", type=float, default=0.0, help="for all of it, with the command of --then")
    parser.add_argument("--then", default="", metavar="COMMAND", help="such as 'telephonegan train --resume runs/ppgn'")
    options = parser.parse_args()
    started, device = time.monotonic(), inference.resolve_device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"{name}, torch {torch.__version__}, {torch.get_num_threads()} CPU threads", flush=True)
    repeats, batches = (1, (1, 2)) if options.quick else (5, (1, 32, 256))
    phones = {"float32": load(device=options.device)}
    if inference.has_bfloat16(device):
        phones["bf16"] = load(device=options.device, precision="bf16")
    is_same = same_seeds(load(device="cpu"), phones["float32"], 2 if options.quick else 16)
    whole(phones, batches, repeats)
    alone(phones["float32"].generator, batches, repeats, peak=matmul_peak(device, repeats), compiles=not options.quick)
    rest = options.minutes - (time.monotonic() - started) / 60
    if options.then and rest > 0:
        subprocess.run([*shlex.split(options.then), "--minutes", f"{rest:.1f}"], check=True)
    return 0 if is_same else 1


def same_seeds(here: Telephone, there: Telephone, seeds: int) -> bool:
    """Compare with the CPU: pictures by grey levels, and the captions of the CPU's pictures."""
    texts, numbers = list(TEXTS) * seeds, [seed for seed in range(seeds) for _ in TEXTS]
    ours, others = (phone.generator(texts, seeds=numbers) for phone in (here, there))
    grey = max(
        np.abs(np.asarray(a.image, int) - np.asarray(b.image, int)).max() for a, b in zip(ours, others, strict=True)
    )
    said = [[caption.text for caption in phone.caption([each.image for each in ours])] for phone in (here, there)]
    same = sum(a == b for a, b in zip(*said, strict=True))
    print(f"against the CPU: {len(ours)} pictures differ by {grey} grey levels at most, {same} captions are the same")
    return grey <= MOST_GREY


def whole(phones: dict[str, Telephone], batches: tuple[int, ...], repeats: int) -> None:
    """The library's own calls, with PNG-ready pictures and texts in and out."""
    print(f"{'whole calls':32}{'together':>10}{'pictures/s':>12}{'captions/s':>12}{'rounds/s':>10}")
    for precision, phone in phones.items():
        photo = phone.generate(TEXTS[0]).image
        for batch in batches:
            texts, images = (list(TEXTS) * batch)[:batch], [photo] * batch
            calls = (
                lambda: phone.generate(texts),  # noqa: B023
                lambda: phone.caption(images),  # noqa: B023
                lambda: phone.play_many(texts=texts, rounds=1, progress=False),  # noqa: B023
            )
            speeds = [batch / seconds(call, phone.generator.device, repeats) for call in calls]
            print(f"{precision:32}{batch:10}{speeds[0]:12.1f}{speeds[1]:12.1f}{speeds[2]:10.1f}", flush=True)


def alone(generator: Generator, batches: tuple[int, ...], repeats: int, *, peak: float, compiles: bool) -> None:
    """The generator's network in several forms, and the share of the matmul peak that it reaches."""
    print(f"matmul peak in bfloat16: {peak / 1e12:.2f} TFLOP/s")
    print(f"{'generator network alone':32}{'together':>10}{'pictures/s':>12}{'of peak':>9}")
    work = gflop(generator) * 1e9
    for batch in batches:
        for name, call in forms(generator, batch, compiles=compiles):
            try:
                speed = batch / seconds(call, generator.device, repeats)
            except RuntimeError as error:  # what cannot be compiled or captured, or does not fit into memory
                print(f"{name:32}{batch:10}   {str(error).splitlines()[0][:60]}", flush=True)
                continue
            print(f"{name:32}{batch:10}{speed:12.1f}{speed * work / peak:9.1%}", flush=True)


def forms(generator: Generator, batch: int, *, compiles: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    is_gpu = generator.device.type == "cuda"
    for precision in ("float32", "bf16"):
        yield f"{precision}, channels_last", painting(generator, batch, precision)
        yield f"{precision}, contiguous", painting(contiguous(generator), batch, precision)
    if compiles:
        yield "bf16, channels_last, compiled", painting(compiled(generator), batch, "bf16")
    if is_gpu:
        yield "bf16, channels_last, CUDA graph", Graph(painting(generator, batch, "bf16"))


def painting(generator: Generator, batch: int, precision: str) -> Callable[[], object]:
    """A function that paints the same texts and seeds again and again."""
    painter, texts = generator.painter, [generator.encode(text) for text in (list(TEXTS) * batch)[:batch]]
    with torch.inference_mode():
        latents, read = painter.latents(range(batch)), painter.read(texts)

    @torch.inference_mode()
    def paint() -> object:
        with inference.computing(generator.device, precision):
            return painter.paint(latents, read)

    return paint


def changed(generator: Generator, network: object) -> Generator:
    other = copy.copy(generator)
    other.painter = copy.copy(generator.painter)
    other.painter.network = network
    return other


def contiguous(generator: Generator) -> Generator:
    network = copy.deepcopy(generator.painter.network)
    return changed(generator, network.to(memory_format=torch.contiguous_format))


def compiled(generator: Generator) -> Generator:
    return changed(generator, torch.compile(generator.painter.network, dynamic=False))


class Graph:
    """A call whose kernels are recorded once and replayed."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call, self.graph = call, None

    def __call__(self) -> None:
        if self.graph is None:
            self.call()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.kept = self.call()
            self.graph = graph
        self.graph.replay()


def matmul_peak(device: torch.device, repeats: int) -> float:
    """Operations in a second of large products in bfloat16, at best: whatever else runs takes some."""
    size = 8192 if device.type == "cuda" else 1024
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    best = min(seconds(lambda: [matrix @ matrix for _ in range(8)], device, 1) for _ in range(repeats + 2))
    return 8 * 2 * size**3 / best


def gflop(generator: Generator) -> float:
    """Thousand million multiplications and additions of one picture."""
    with FlopCounterMode(display=False) as counter:
        painting(generator, 1, "float32")()
    return counter.get_total_flops() / 1e9


def seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The median, after one call that does not count."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    sys.exit(main())
