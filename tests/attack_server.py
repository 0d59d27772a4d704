"""Thousands of requests that a stranger might send to a server of the tiny models, on loopback.

    python -m tests.attack_server schema --requests 3000 --seed 0     # what schemathesis makes of the OpenAPI file
    python -m tests.attack_server bodies --requests 10000 --seed 0    # mutated requests
    python -m tests.attack_server memory --requests 5000 --seed 0     # good requests: does memory stay flat?
    python -m tests.attack_server schema --requests 1000 --paths 'guide|axes'     # of these routes only

The server is a process of its own. Prints what was found, and exits with 1 if the server ended, answered with a 5xx
other than 503, or grew by more than a tenth. The same seed makes the same requests.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
# A sentence without a known word is refused, as is base64 that is not a picture; no schema can say so.
NOT_IN_SCHEMAS = "positive_data_acceptance"
GROWTH, THREADS = 1.1, 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("schema", "bodies", "memory", "serve"))
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--paths", default="", metavar="REGEX", help="of the routes that are attacked (default: all)")
    options = parser.parse_args()
    if options.kind == "serve":
        return _serve()
    with _process() as (process, address):
        attack = {"schema": schema, "bodies": bodies, "memory": memory}[options.kind]
        is_good = attack(address, options, process.pid)
        is_alive = process.poll() is None and _get(address, "/livez") == b"alive"
        print("the server answers" if is_alive else "THE SERVER HAS ENDED")
    return 0 if is_good and is_alive else 1


# ---------------------------------------------------------------------------------------------------- the attacks


def schema(address: str, options: argparse.Namespace, pid: int) -> bool:
    """Whether schemathesis finds nothing in at least so many requests. It sends fewer than it may, so twice as many."""
    paths, requests = json.loads(_get(address, "/openapi.json"))["paths"], options.requests
    operations = sum(len(methods) for path, methods in paths.items() if re.search(options.paths, path))
    before = _answered(address)
    passed = run_schemathesis(
        address,
        examples=2 * requests // operations + 1,
        seed=options.seed,
        phases="examples,coverage,fuzzing",
        paths=options.paths,
    )
    sent = _answered(address) - before
    print(f"{sent} requests, {'no failure' if passed else 'FAILURES'}")
    return passed and sent >= requests


def run_schemathesis(address: str, *, examples: int, seed: int, phases: str, paths: str = "") -> bool:
    """Whether schemathesis finds nothing, on the paths that match."""
    _get(address, "/openapi.json")  # made on demand, for which schemathesis does not wait long
    command = [Path(sys.executable).with_name("st"), "run", f"{address}/openapi.json", "--seed", seed]
    command += ["--phases", phases, "--max-examples", examples, "--exclude-checks", NOT_IN_SCHEMAS]
    command += ["--suppress-health-check", "all", "--request-timeout", 60, "--no-shrink"]
    command += ["--include-path-regex", paths] if paths else []
    own = os.environ | {"SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as place:  # it keeps what it found
        return subprocess.run([*map(str, command)], cwd=place, env=own).returncode == 0


def bodies(address: str, options: argparse.Namespace, pid: int) -> bool:
    """Whether so many mutated requests get no 5xx but 503."""
    port = int(address.rpartition(":")[2])
    good, statuses = corpus(options.paths), Counter()

    def ask(number: int) -> None:
        sent = mutated(random.Random(f"{options.seed}/{number}"), good)
        status = answer_to(port, sent)
        statuses[status] += 1
        if status.startswith("5") and status != "503":
            print(f"request {number} of seed {options.seed}: {status}\n{sent[:2000]!r}")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(ask, range(options.requests)))
    print(", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())))
    return not any(status.startswith("5") and status != "503" for status in statuses)


def memory(address: str, options: argparse.Namespace, pid: int) -> bool:
    """Whether the process holds as much after so many good requests as after a tenth of them."""
    port, early, requests = int(address.rpartition(":")[2]), 0.0, options.requests
    good = [request for request in corpus(options.paths) if b"/v1/telephone" not in request]
    for number in range(requests):
        answer_to(port, good[number % len(good)])
        if number + 1 == requests // 10:
            early = _resident(pid)
    late = _resident(pid)
    print(f"{requests} requests: {early:.0f} MB after a tenth of them, {late:.0f} MB after all")
    return late < early * GROWTH


# ---------------------------------------------------------------------------------------------------- requests

TOKENS = (
    *(b"\0", b"\xff\xfe", b"\\ud800", b"\\u0000", b"null", b"NaN", b"1e999", b"-1", b"9" * 400, b"true", b"[]", b"{}"),
    *(b"[" * 2000, b'{"a":' * 500, b'"', b"\\", b"\r\n\r\n", b"--edge", b"--edge--", b"../../etc/passwd", b"%00"),
    *(b"<script>", b"file:///etc/passwd", b"http://127.0.0.1:1/", b"\xe2\x80\xae", b"dog " * 3000, b"\xf0\x9f\x90\x95"),
    *(
        b"content-length: 5\r\n",
        b"transfer-encoding: chunked\r\n",
        b"content-encoding: gzip\r\n",
        b"expect: 100-continue\r\n",
    ),
    *(b"upgrade: websocket\r\nconnection: upgrade\r\n", b"content-type: multipart/form-data; boundary=edge\r\n"),
)


def corpus(paths: str = "") -> list[bytes]:
    """Good requests to every route that takes a body and matches, as bytes on the wire."""
    buffer = BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((24, 16)).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    image, text = base64.b64encode(jpeg).decode(), "a red dog runs"
    asked = [
        ("/v1/caption", {"image": image, "method": "sample", "temperature": 0.8, "seed": 3, "attention": True}),
        ("/v1/caption", {"image": image, "method": "beam", "beam_width": 2}),
        ("/v1/generate", {"text": text, "n": 2, "seed": 1, "size": 24, "truncation": 0.5, "attention": True}),
        ("/v1/generate", {"text": [text, "two people"], "candidates": 2}),
        ("/v1/embed", {"text": [text, "two people"]}),
        ("/v1/axes", {"text": text, "seed": 2, "steps": {"warmth": 1.5}, "locked": ["contrast"], "size": 24}),
        ("/v1/guide", {"text": text, "toward": "junco", "seed": 1, "steps": 2, "size": 24}),
        ("/v1/telephone", {"text": text, "rounds": 1}),
        ("/v1/telephone", {"image": image, "rounds": 1}),
        ("/api/v1.0/bird", {"caption": text}),
        ("/api/v1.0/birds", {"caption": text, "seed": 5}),
    ]
    made = [(path, json.dumps(body).encode(), "application/json") for path, body in asked]
    part = b'--edge\r\ncontent-disposition: form-data; name="'
    form = part + b'image"; filename="a.jpg"\r\ncontent-type: image/jpeg\r\n\r\n' + jpeg + b"\r\n"
    form += part + b'seed"\r\n\r\n3\r\n--edge--\r\n'
    made += [(path, form, "multipart/form-data; boundary=edge") for path in ("/v1/caption", "/v1/telephone")]
    return [_request(path, body, kind) for path, body, kind in made if re.search(paths, path)]


def _request(path: str, body: bytes, kind: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode("ascii") + body


def mutated(chance: random.Random, good: Sequence[bytes] = ()) -> bytes:
    """One of the good requests, damaged: mostly in its body, whose length is put right in most cases."""
    head, _, body = chance.choice(good or CORPUS).partition(b"\r\n\r\n")
    for _ in range(chance.randint(1, 4)):
        if chance.random() < 0.85:
            body = _damaged(body, chance)
        else:
            head = _damaged(head, chance)
    if chance.random() < 0.9:
        head = re.sub(rb"content-length: \d+", b"content-length: %d" % len(body), head)
    return head + b"\r\n\r\n" + body


def _damaged(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    end = min(len(content), start + chance.choice((0, 1, 1, 4, 30, 1000)))
    kind = chance.randrange(5)
    if kind == 0:
        return content[:start] + chance.choice(TOKENS) + content[end:]
    if kind == 1:
        return content[:start] + chance.randbytes(end - start) + content[end:]
    if kind == 2:
        return content[:start] + content[end:]
    if kind == 3:
        return content[:start] + content[start:end] * 2 + content[end:]
    values = list(re.finditer(rb'(?<=: )("[^"]{0,40}"|[\w.]+)', content))
    if not values:
        return content[:start]
    value = chance.choice(values)
    return content[: value.start()] + chance.choice(TOKENS) + content[value.end() :]


def answer_to(port: int, sent: bytes) -> str:
    """The status of the answer, or what happened instead."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        try:
            connection.sendall(sent)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return "closed"
        except TimeoutError:
            return "no answer"
    found = re.match(rb"HTTP/1\.1 (?:100 Continue\r\n\r\nHTTP/1\.1 )?(\d{3})", answer)
    return found[1].decode() if found else "closed"


CORPUS = corpus()


# ---------------------------------------------------------------------------------------------------- the server


@contextmanager
def _process() -> Iterator[tuple[subprocess.Popen, str]]:
    with tempfile.TemporaryDirectory() as home:
        own = os.environ | {"TELEPHONEGAN_HOME": home, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.attack_server", "serve"]
        with subprocess.Popen(command, cwd=ROOT, env=own, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process, process.stdout.readline().strip()
            finally:
                process.terminate()


def _serve() -> int:
    from telephonegan.serving import serve
    from telephonegan.zoo import catalogue
    from tests.servers import tiny_settings
    from tests.tiny import NAME, register_axes, register_tiny

    home = catalogue.home()
    catalogue.SHIPPED = home / "shipped"
    catalogue.SHIPPED.mkdir()
    (catalogue.SHIPPED / catalogue.MANIFEST).write_text('{"format": 1, "models": {}}')
    register_tiny()
    register_axes("knobs", NAME)
    logging.disable()  # most of what comes is worth a warning
    settings = tiny_settings(home / "pictures", max_rounds=3, max_steps=3, body_s=0.5)
    serve(settings, on_start=lambda address: print(address, flush=True))
    return 0


def _get(address: str, path: str) -> bytes:
    with urllib.request.urlopen(address + path, timeout=60) as answer:
        return answer.read()


def _answered(address: str) -> int:
    """Requests that the server has answered."""
    counts = re.findall(r"^telephonegan_requests_total\{.*\} (\S+)", _get(address, "/metrics").decode(), re.MULTILINE)
    return round(sum(map(float, counts)))


def _resident(pid: int) -> float:
    """Megabytes that a process holds (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
