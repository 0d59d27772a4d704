"""How fast experiments are played, and whether memory stays flat: python benchmarks/experiment.py [--threads 1]

Every number of one run comes from the same process and machine; ratios are what to compare between machines. A round is
one picture painted and captioned, and kept on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

import torch

from telephonegan.captioning import Captioner
from telephonegan.experiment import Plan, run
from telephonegan.experiment.folder import LOG
from telephonegan.experiment.records import RoundsFile
from telephonegan.generation import Generator
from telephonegan.inference import BATCH
from telephonegan.telephone import load

TEXTS = (
    "a brown dog runs through the green grass",
    "two children play on the beach",
    "a man in a red shirt climbs a rock",
    "a woman walks down the street",
)
ROUNDS = {1: 12, 8: 3, 32: 2, 128: 1}
MANY, EARLY = 100, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as place:
        player = Player(Path(place), threads)
        player.play(BATCH, rounds=1)  # loads the models, and lets torch choose its algorithms
        speeds(player)
        memory(player)


def speeds(player: Player) -> None:
    print(f"{'batch':>6}{'rounds/s':>11}{'ratio':>8}{'in both models':>17}{'in their networks':>20}")
    alone = None
    for batch, rounds in ROUNDS.items():
        models, networks = Stopwatch(), Stopwatch()
        with (
            models.timing((Generator, "__call__"), (Captioner, "__call__")),
            networks.timing((Captioner, "_decode"), *player.networks),
        ):
            seconds = player.play(batch, rounds)
        speed = batch * rounds / seconds
        alone = alone or speed
        shares = (models.seconds / seconds, networks.seconds / seconds)
        print(f"{batch:6}{speed:11.2f}{speed / alone:8.2f}{shares[0]:17.1%}{shares[1]:20.1%}", flush=True)


def memory(player: Player) -> None:
    held: list[float] = []
    settle = RoundsFile.settle

    def noting(self: RoundsFile) -> None:  # it is called after every round
        settle(self)
        held.append(resident())

    with replaced(RoundsFile, "settle", noting):
        player.play(2, MANY)
    print(
        f"memory of this process after round {EARLY}: {held[EARLY]:.0f} MB, after round {MANY}: {held[MANY]:.0f} MB, "
        f"most {max(held):.0f} MB"
    )


class Player:
    """Plays experiments of texts with the shipped models."""

    def __init__(self, place: Path, threads: int) -> None:
        self.place, self.threads, self.numbers = place, threads, count()
        (place / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
        phone = load(device="cpu")
        vision, painter = type(phone.captioner.vision), type(phone.generator.painter)
        self.networks = [(vision, name) for name in ("pixels", "features")]
        self.networks += [(painter, name) for name in ("latents", "read", "paint")]

    def play(self, batch: int, rounds: int) -> float:
        """Seconds for so many chains side by side, without the time to look at the sources and to load models."""
        limit = min(batch, len(TEXTS))
        plan = Plan(
            sources="texts.txt",
            limit=limit,
            seeds=tuple(range(batch // limit)),
            rounds=rounds,
            block=min(batch, BATCH),
            threads=self.threads,
        )
        out = self.place / f"{next(self.numbers)}"
        folder = run(plan, out, base=self.place, batch_size=batch, device="cpu", progress=False)
        *_, last = (folder / LOG).read_text(encoding="utf-8").splitlines()
        return json.loads(last)["seconds"]


class Stopwatch:
    """Adds up the seconds spent in methods."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def timing(self, *methods: tuple[type, str]) -> Iterator[None]:
        with ExitStack() as stack:
            for kind, name in methods:
                stack.enter_context(replaced(kind, name, self._timed(getattr(kind, name))))
            yield

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


@contextmanager
def replaced(kind: type, name: str, value: Any) -> Iterator[None]:
    before = getattr(kind, name)
    setattr(kind, name, value)
    try:
        yield
    finally:
        setattr(kind, name, before)


def resident() -> float:
    """Megabytes of memory that this process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
