"""`telephonegan serve` as a process, its settings, and the examples of the README."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from telephonegan.cli.main import main
from telephonegan.errors import SettingsError, TelephoneganError
from telephonegan.serving import Client, Settings
from tests.servers import SECONDS
from tests.tiny import NAME, register_tiny

ROOT = Path(__file__).resolve().parents[2]
_README = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Serve it\n")[2].partition("\n## ")[0]
CURLS = [line for line in _README.splitlines() if line.startswith("curl ")]
TOKEN = "0123456789abcdef"
KNOBS = {'"faces"': '"of-free"', '"age"': '"warmth"', '"sex"': '"contrast"'}  # the tiny axes in place of the shipped


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_examples_of_the_readme_work(server, photo, tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(photo)
    assert len(CURLS) == 10
    for line in CURLS:
        for shipped, here in {"http://127.0.0.1:8000": server.url, **KNOBS}.items():
            line = line.replace(shipped, here)
        command = shlex.split(line)
        done = subprocess.run([*command, "-sS", "--fail-with-body"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert (tmp_path / "dog.png").read_bytes().startswith(b"\x89PNG")


def test_the_client_of_the_readme_works(server, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("holiday.jpg").write_bytes(photo)
    code = re.search(r"```python\n(.*?)```", _README, re.DOTALL)[1]
    exec(compile(code.replace("http://127.0.0.1:8000", server.url), "README.md", "exec"), {})
    assert Path("dog.png").exists() and capsys.readouterr().out.count("\n") >= 3


def test_the_process_serves_and_stops_on_sigterm(tmp_path):
    """With a home of its own, whose only models beside the shipped ones are tiny; the shipped ones are not loaded."""
    home = tmp_path / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELEPHONEGAN_HOME", str(home))
        register_tiny("lot")
    code = "import sys; from telephonegan.cli.main import main; sys.exit(main())"
    command = [
        sys.executable,
        "-c",
        _ONLY_TINY + code,
        "serve",
        "--port",
        "0",
        "--captioner",
        "lot",
        "--generator",
        "lot",
    ]
    own = os.environ | {"TELEPHONEGAN_HOME": str(home), "TELEPHONEGAN_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            address = process.stdout.readline().split()[-1]
            asked = urllib.request.Request(f"{address}/v1/models", headers={"authorization": f"Bearer {TOKEN}"})
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
                assert b'"lot"' in answer.read()
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0 and "GET /v1/models 200" in log
    assert TOKEN not in log and "Traceback" not in log


_ONLY_TINY = """
from telephonegan.zoo import catalogue
catalogue.SHIPPED = catalogue.home() / "shipped"
catalogue.SHIPPED.mkdir()
(catalogue.SHIPPED / "manifest.json").write_text('{"format": 1, "models": {}}')
"""


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--port", "99999"], "port must be a whole number from 0 to 65535"),
        (["--world", "nowhere"], "No world is called 'nowhere'"),
        (["--generator", "nowhere"], "No generator is called 'nowhere'"),
        (["--precision", "half"], "precision must be one of float32, bf16"),
        (["--public-url", "pictures"], "public_url must be like https://"),
        (["--token-file", "nowhere"], "The token cannot be read from nowhere"),
    ],
)
def test_what_is_typed_wrong_is_explained(only_tiny, typed, told, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--captioner", NAME, "--generator", NAME, *typed]) == 2
    assert told in capsys.readouterr().err


def test_a_port_in_use_is_explained_before_models_are_loaded(only_tiny, capsys, monkeypatch):
    monkeypatch.setattr("telephonegan.serving.server.Service", None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--captioner", NAME, "--generator", NAME, "--port", str(port)]) == 2
    assert f"port {port}: Address already in use. Choose another port" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: Client("nonsense"), "'nonsense' is not the address of a server"),
        (lambda: Client().caption("missing.jpg"), "missing.jpg cannot be read: No such file"),
    ],
)
def test_the_client_explains_itself(ask, told):
    with pytest.raises(TelephoneganError, match=told):
        ask()


def test_a_token_must_be_hard_to_guess_and_is_not_shown():
    with pytest.raises(SettingsError, match="16 to 512"):
        Settings(token="short")
    assert TOKEN not in repr(Settings(token=TOKEN))


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_loopback_is_known(host, expected):
    assert Settings(host=host).is_loopback is expected


def test_nothing_of_the_server_is_imported_without_it():
    code = "import sys, telephonegan.cli.main, telephonegan.serving; from telephonegan.serving import Client\n"
    code += "assert not {'fastapi', 'uvicorn', 'pydantic', 'starlette'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
