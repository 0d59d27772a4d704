"""A small part of what `python -m tests.attack_server` sends."""

from __future__ import annotations

import logging
import random
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.attack_server import CORPUS, ROOT, THREADS, answer_to, mutated, run_schemathesis


@pytest.fixture
def quick(serving):
    """A server that does not wait long for bodies that end early."""
    logging.disable()
    with serving(body_s=0.5, max_rounds=3, max_steps=3) as server:
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


def test_the_server_needs_nothing_that_the_image_leaves_out():
    dockerfile = (ROOT / "Dockerfile").read_text()
    left_out = re.search(r"grep -vE '\^\((.*?)\)", dockerfile)[1].split("|")
    assert {"anywidget", "ipywidgets", "matplotlib"} <= {*left_out}
    names = [{"ipython": "IPython"}.get(name, name) for name in left_out]
    code = f"import sys; sys.modules.update(dict.fromkeys({names})); import telephonegan.serving.server"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_files_of_the_container_agree_with_the_project():
    dockerfile, compose = (ROOT / "Dockerfile").read_text(), (ROOT / "compose.yaml").read_text()
    assert "USER 10001" in dockerfile and "HEALTHCHECK" in dockerfile
    assert "read_only: true" in compose and '"127.0.0.1:8000:8000"' in compose
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [name for line in dockerfile.splitlines() if line.startswith("COPY ") for name in line.split()[1:-1]]
    for name in copied:
        assert name == "--from=build" or name.startswith("/") or (f"!{name}" in ignored and (ROOT / name).exists())
