"""How large an experiment becomes, and what merging it takes: python benchmarks/merging.py [--chains N] [--summary]

Chains that nobody played, of 200 sources and with captions as long as ours, are written as so many processes would, and
merged. With --summary a new process summarises and draws them too, by the cheapest measure: time grows with the others,
memory does not.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from telephonegan import figures
from telephonegan.experiment import Plan, records
from telephonegan.experiment.folder import FORMAT, MANIFEST
from telephonegan.experiment.summary import SUMMARY, write_summary
from telephonegan.figures.experiment import draw
from telephonegan.files import json_bytes

SOURCES = 200
WHO = ["man", "woman", "boy", "girl", "child", "dog", "player", "skier", "surfer", "climber"]
WHAT = [
    "riding",
    "holding",
    "watching",
    "chasing",
    "carrying",
    "throwing",
    "catching",
    "pulling",
    "pushing",
    "jumping",
    "over",
]
WHICH = ["red", "blue", "green", "white", "black", "yellow", "brown", "large", "small", "wooden"]
WHERE = ["hill", "beach", "street", "field", "park", "lake", "wall", "road", "river", "square"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        summarise(options.work)
        return
    seeds = -(-options.chains // SOURCES)
    sources = [f"s{number:07}" for number in range(min(SOURCES, options.chains))]
    chains = [
        SimpleNamespace(id=f"{name}-seed{seed}", source=name, seed=seed) for name in sources for seed in range(seeds)
    ]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder, chains, options.rounds, options.shards)
        before, started = peak(), time.process_time()
        records.merge(folder, chains, options.rounds, lambda caption: True)
        seconds, size = time.process_time() - started, (folder / records.ROUNDS).stat().st_size
        lines = len(chains) * (options.rounds + 1)
        print(f"{lines:,} lines, {size / 1e6:,.0f} MB")
        print(f"merged in {seconds:.1f} s of CPU time, {lines / seconds:,.0f} lines/s")
        print(f"peak memory rose by {peak() - before:.0f} MB, {(peak() - before) * 1e6 / lines:.0f} bytes a line")
        if options.summary:
            (folder / MANIFEST).write_bytes(json_bytes(manifest(sources, seeds, options.rounds)))
            subprocess.run([sys.executable, __file__, "--work", folder], check=True)


def write(folder: Path, chains: list[SimpleNamespace], rounds: int, shards: int) -> None:
    for shard in range(shards):
        with records.part(folder, shard).open("wb") as file:
            for number in range(rounds + 1):
                file.write(b"".join(line(chain, number) for chain in chains[shard::shards]))


def line(chain: SimpleNamespace, number: int) -> bytes:
    caption = said(chain, number)
    return records.line(
        {
            **{"chain": chain.id, "source": chain.source, "seed": chain.seed, "round": number, "caption": caption},
            **{"words": caption.split(), "log_probability": -12.345678901234567, "dropped": [], "truncated": 0},
            "picture": None,
        }
    )


def said(chain: SimpleNamespace, number: int) -> str:
    """One of 10,000 captions, in round 0 the same for all chains of a source."""
    drawn = random.Random(f"{chain.source} {chain.seed * number} {number}")
    who, what, which, where = (drawn.choice(words) for words in (WHO, WHAT, WHICH, WHERE))
    return f"a {who} in a jacket is {what} a {which} thing down a {where}"


def manifest(sources: list[str], seeds: int, rounds: int) -> dict[str, object]:
    plan = Plan(sources="nowhere", seeds=tuple(range(seeds)), rounds=rounds, pictures="none")
    listed = [{"id": name, "name": name, "sha256": "0" * 64} for name in sources]
    told = {"models": {"captioner": {"name": "none", "sha256": "0" * 64}}, "code": {}, "packages": {}, "skipped": []}
    return {"format": FORMAT, "plan": plan.record(), **told, "chains": len(sources) * seeds, "sources": listed}


def summarise(folder: Path) -> None:
    before, started = peak(), time.process_time()
    write_summary(folder, ["content_f1"], device="cpu")
    size = (folder / SUMMARY).stat().st_size
    print(f"summarised in {time.process_time() - started:.0f} s of CPU time, summary of {size / 1e6:.1f} MB")
    print(f"peak memory {peak():,.0f} MB, {before:,.0f} MB before", flush=True)
    with figures.style():
        draw(folder)
    print(f"drawn: peak memory {peak():,.0f} MB")


def peak() -> float:
    """Megabytes that this process has held at most (Linux); getrusage would count those of the one that began it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
