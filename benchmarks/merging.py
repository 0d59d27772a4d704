"""How large an experiment becomes, and what merging it takes: python benchmarks/merging.py [--chains N]

Chains that nobody played, with captions as long as ours, are written as so many processes would, and merged.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from telephonegan.experiment import records

CAPTION = "a man in a red jacket is riding a snowboard down a snowy hill"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--shards", type=int, default=200)
    options = parser.parse_args()
    chains = [SimpleNamespace(id=f"s{number:07}-seed0") for number in range(options.chains)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for shard in range(options.shards):
            with records.part(folder, shard).open("wb") as file:
                for number in range(options.rounds + 1):
                    file.write(b"".join(line(chain.id, number) for chain in chains[shard :: options.shards]))
        before, started = peak(), time.process_time()
        records.merge(folder, chains, options.rounds, lambda caption: True)
        seconds, size = time.process_time() - started, (folder / records.ROUNDS).stat().st_size
    lines = options.chains * (options.rounds + 1)
    print(f"{lines:,} lines, {size / 1e6:,.0f} MB")
    print(f"merged in {seconds:.1f} s of CPU time, {lines / seconds:,.0f} lines/s")
    print(f"peak memory rose by {peak() - before:.0f} MB, {(peak() - before) * 1e6 / lines:.0f} bytes a line")


def line(chain: str, number: int) -> bytes:
    words = CAPTION.split()
    return records.line(
        {
            **{"chain": chain, "source": chain[:8], "seed": 0, "round": number, "caption": CAPTION, "words": words},
            **{"log_probability": -12.345678901234567, "dropped": [], "truncated": 0, "picture": None},
        }
    )


def peak() -> float:
    """Megabytes that this process has held at most (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
