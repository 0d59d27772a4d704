"""Requests a second of the server beside a naive one: python benchmarks/serving.py [--threads 1] [--requests 48]

The naive server has one thread for each connection and one lock around the models. Both are processes of their own with
the shipped models, asked in turn by the same clients over loopback; every client sends its next request when it has an
answer. Numbers are medians of turns, "of CPU" requests for each second that the processor spent on the server, which
mean something while others use the machine. Ratios are what to compare between machines.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = (1, 8, 32)
WORLD = "flickr8k"
TEXTS = ("a brown dog runs in the grass", "two children play on the beach", "a man in a red shirt climbs a rock")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of torch, in both servers")
    parser.add_argument("--requests", type=int, default=48, help="in every turn")
    parser.add_argument("--precision", default="float32", help="of ours; the naive server computes in float32")
    parser.add_argument("--turns", type=int, default=3, help="of each server, one after the other")
    parser.add_argument("--serve", choices=("naive", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_naively(options.threads) if options.serve == "naive" else serve(options.threads, options.precision)
        return
    bodies = {"/v1/generate": paintings(), "/v1/caption": photographs()}
    print(
        f"{'route':14}{'clients':>8}  {'server':8}{'requests/s':>11}{'of CPU':>8}{'p50':>10}{'p99':>10}{'memory':>10}"
    )
    with process("naive", options) as naive, process("ours", options) as ours:
        servers = {"naive": naive, "ours": ours}
        for route, made in bodies.items():
            for _, port in servers.values():
                ask(port, route, made, clients=8, requests=16)  # lets torch choose its algorithms
            for clients in CLIENTS:
                compare(servers, route, made, clients, options)


def compare(
    servers: dict[str, tuple[int, int]], route: str, made: Iterator[bytes], clients: int, options: argparse.Namespace
) -> None:
    """Print a line for each server and the ratios of their medians."""
    turns: dict[str, list[tuple[float, float, list[float]]]] = {name: [] for name in servers}
    for _ in range(options.turns):
        for name, (pid, port) in servers.items():
            before = cpu_seconds(pid)
            seconds, waits = ask(port, route, made, clients=clients, requests=options.requests)
            turns[name].append((seconds, cpu_seconds(pid) - before, waits))
    speeds = {}
    for name, (pid, _) in servers.items():
        wall, cpu = (options.requests / statistics.median(turn[k] for turn in turns[name]) for k in (0, 1))
        centiles = statistics.quantiles([wait for turn in turns[name] for wait in turn[2]], n=100)
        speeds[name] = (wall, cpu)
        told = f"{wall:11.2f}{cpu:8.2f}{centiles[49]:8.0f}ms{centiles[98]:8.0f}ms{resident(pid):7.0f} MB"
        print(f"{route:14}{clients:8}  {name:8}{told}", flush=True)
    ratios = (ours / naive for ours, naive in zip(speeds["ours"], speeds["naive"], strict=True))
    print(f"{'':24}{'ratio':8}{next(ratios):11.2f}{next(ratios):8.2f}", flush=True)


# ---------------------------------------------------------------------------------------------------- clients


def paintings() -> Iterator[bytes]:
    """Bodies that each ask for another picture."""
    return (json.dumps({"text": TEXTS[k % len(TEXTS)], "seed": k}).encode() for k in count())


def photographs() -> Iterator[bytes]:
    """Bodies that each hold one of the sample photographs."""
    from telephonegan.files import png_bytes
    from telephonegan.images import as_image
    from telephonegan.samples import samples

    small = [as_image(path).resize((160, 120)) for path in list(samples().values())[:3]]
    made = [json.dumps({"image": base64.b64encode(png_bytes(image)).decode()}).encode() for image in small]
    return (made[k % len(made)] for k in count())


def ask(port: int, route: str, bodies: Iterator[bytes], *, clients: int, requests: int) -> tuple[float, list[float]]:
    """Seconds for all requests, and the milliseconds of each."""
    left, lock, waits = iter(range(requests)), threading.Lock(), []

    def client(_: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=600)
        headers = {"content-type": "application/json", "accept": "image/png, */*;q=0.1"}
        while True:
            with lock:
                if next(left, None) is None:
                    return
                body = next(bodies)
            began = time.perf_counter()
            connection.request("POST", route, body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            waits.append(1000 * (time.perf_counter() - began))

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return time.perf_counter() - began, waits


# ---------------------------------------------------------------------------------------------------- servers


@contextmanager
def process(server: str, options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """Its process id and port."""
    command = [sys.executable, __file__, "--serve", server]
    command += ["--threads", str(options.threads), "--precision", options.precision]
    own = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
    with subprocess.Popen(command, env=own, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running.pid, int(running.stdout.readline())
        finally:
            running.terminate()


def serve(threads: int, precision: str) -> None:
    from telephonegan.inference import use_threads
    from telephonegan.serving import Settings, serve

    with tempfile.TemporaryDirectory() as folder:
        use_threads(threads)
        settings = Settings(port=0, worlds=(WORLD,), folder=Path(folder), device="cpu", precision=precision)
        serve(settings, on_start=lambda address: print(address.rpartition(":")[2], flush=True))


def serve_naively(threads: int) -> None:
    from telephonegan.files import png_bytes
    from telephonegan.inference import use_threads
    from telephonegan.telephone import load

    use_threads(threads)
    phone, lock = load(world=WORLD, device="cpu"), threading.Lock()

    class Naive(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                if self.path == "/v1/generate":
                    answer = png_bytes(phone.generate(asked["text"], seed=asked["seed"]).image)
                else:
                    answer = json.dumps({"text": str(phone.caption(base64.b64decode(asked["image"])))}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer.request_queue_size = 2 * max(CLIENTS)  # or connections of many clients would be reset
    server = ThreadingHTTPServer(("127.0.0.1", 0), Naive)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def cpu_seconds(pid: int) -> float:
    """What the processor has spent on a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Megabytes that a process holds (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
