"""A small part of what `python -m tests.attack_server` sends."""

from __future__ import annotations

import logging
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.attack_server import CORPUS, THREADS, answer_to, mutated, run_schemathesis


@pytest.fixture
def quick(serving):
    """A server that does not wait long for bodies that end early."""
    logging.disable()
    with serving(body_s=0.5, max_rounds=3) as server:
        yield server
    logging.disable(logging.NOTSET)


def test_mutated_requests_do_no_harm(quick):
    requests = [*CORPUS, *(mutated(random.Random(f"0/{number}")) for number in range(250))]
    with ThreadPoolExecutor(THREADS) as pool:
        statuses = Counter(pool.map(lambda sent: answer_to(quick.port, sent), requests))
    assert statuses["200"] + statuses["201"] + statuses["202"] >= len(CORPUS)
    assert {status for status in statuses if status[0] == "5"} <= {"503"}, statuses
    assert statuses["closed"] + statuses["no answer"] == 0
    assert quick.get("/livez").text == "alive"


def test_the_openapi_file_is_what_the_server_does(quick):
    pytest.importorskip("schemathesis")
    assert run_schemathesis(quick.url, examples=3, seed=0, phases="examples,fuzzing")


def test_the_files_of_the_container_agree_with_the_project():
    root = Path(__file__).resolve().parents[2]
    dockerfile, compose = (root / "Dockerfile").read_text(), (root / "compose.yaml").read_text()
    assert "USER 10001" in dockerfile and "HEALTHCHECK" in dockerfile
    assert "read_only: true" in compose and '"127.0.0.1:8000:8000"' in compose
    ignored = (root / ".dockerignore").read_text().splitlines()
    copied = [name for line in dockerfile.splitlines() if line.startswith("COPY ") for name in line.split()[1:-1]]
    for name in copied:
        assert name == "--from=build" or name.startswith("/") or (f"!{name}" in ignored and (root / name).exists())
