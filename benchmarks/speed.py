"""How fast the game is: python benchmarks/speed.py [--threads 2]

Every number of one run comes from the same process and machine; ratios are what to compare between machines.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable

IMPORT = """
import time; start = time.perf_counter(); import torch; middle = time.perf_counter(); import telephonegan
print(time.perf_counter() - middle)
"""
TEXT = "a brown dog runs through the green grass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    added = float(subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout)
    print(f"import telephonegan after torch      {added:8.3f} s")

    import torch

    torch.set_num_threads(options.threads)
    import telephonegan as tg
    from telephonegan.samples import sample

    photo = sample("astronaut")
    print(f"first caption, models loaded         {seconds(lambda: tg.caption(photo)):8.2f} s")
    print(f"first picture, models loaded         {seconds(lambda: tg.generate(TEXT)):8.2f} s")
    phone = tg.load()
    for batch in (1, 8, 32):
        captions = batch / best(lambda n=batch: phone.caption([photo] * n))
        pictures = batch / best(lambda n=batch: phone.generate([TEXT] * n))
        print(f"batch {batch:2}: {captions:7.1f} captions/s {pictures:7.1f} pictures/s")
    one = 3 / best(lambda: phone.play(image=photo, rounds=3, progress=False), repeats=2)
    many = 32 * 3 / best(lambda: phone.play_many(images=[photo] * 32, rounds=3, progress=False), repeats=2)
    print(f"one chain                            {1 / one:8.3f} s/round")
    print(
        f"32 chains together                   {many / one:8.2f} × the rounds/s of one ({many:.1f} against {one:.1f})"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process          {peak:8.2f} GB")


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def best(call: Callable[[], object], repeats: int = 3) -> float:
    call()
    return min(seconds(call) for _ in range(repeats))


if __name__ == "__main__":
    main()
