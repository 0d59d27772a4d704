"""The lock: one holder, and none for ever."""

import json
import os
import socket
import subprocess
import sys

import pytest

from telephonegan.errors import OutputError
from telephonegan.experiment.lock import locked, refuse_others


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def owned(path, pid, host=None, **told):
    path.write_text(json.dumps({"pid": pid, "host": host or socket.gethostname(), **told}))


def test_nobody_else_gets_a_lock_that_is_held(tmp_path):
    path = tmp_path / "lock"
    with locked(path):
        with pytest.raises(OutputError, match=str(os.getpid())), locked(path):
            pass
        assert path.exists()
    assert not path.exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    path = tmp_path / "lock"
    owned(path, dead_process())
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"pid": "x"}'])
def test_a_lock_that_says_nothing_is_held(tmp_path, content):
    path = tmp_path / "lock"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="delete"), locked(path):
        pass
    assert path.read_bytes() == content


def test_of_another_machine_nothing_is_known(tmp_path):
    path = tmp_path / "lock"
    owned(path, dead_process(), host="elsewhere.example")
    with pytest.raises(OutputError, match=r"elsewhere\.example"), locked(path):
        pass


def test_a_living_process_that_shares_with_another_number_is_told(tmp_path):
    owned(tmp_path / ".rounds-00001.lock", os.getpid(), processes=2)
    refuse_others(tmp_path, ".rounds-*.lock", 2)
    with pytest.raises(OutputError, match="is at work"):
        refuse_others(tmp_path, ".rounds-*.lock", 1)
    owned(tmp_path / ".rounds-00001.lock", dead_process(), processes=2)
    refuse_others(tmp_path, ".rounds-*.lock", 1)
