"""Short runs of `python -m tests.fuzz`, and what it is made to find."""

import sys

import pytest

from tests import fuzz

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits are Linux's")


@pytest.mark.parametrize(("kind", "number"), [("pictures", 300), ("files", 110), ("captions", 300)])
def test_any_file_gives_a_result_or_an_error_within_the_budget(kind, number):
    counts, faults = fuzz.read_all(kind, number, seed=20261128)
    assert faults == []
    assert counts["read"] > number / 20 and (counts["refused"] > number / 20 or kind == "captions")


def test_what_ends_the_process_or_is_another_exception_is_a_fault(monkeypatch):
    lines = iter([["read", "fault ended the process (-11): "], ["refused", "fault KeyError: 'a'"]])
    monkeypatch.setattr(fuzz, "_child", lambda *_: next(lines))
    told = []
    counts, faults = fuzz.read_all("files", 4, 0, told.append)
    assert (counts["read"], counts["refused"], counts["fault"]) == (1, 1, 2)
    assert faults == told == ["files/1: ended the process (-11): ", "files/3: KeyError: 'a'"]


def test_a_child_is_ended_by_its_limits(tmp_path, monkeypatch):
    (tmp_path / "endless.py").write_text(
        "import numpy\n"
        "def prepare(): pass\n"
        "def attempt(seed, number):\n"
        "    while number == 1: pass\n"
        "    return numpy.ones(10**9) if number == 2 else 'read'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("FUZZ_SECONDS", "0.2")
    monkeypatch.setitem(fuzz.KINDS, "endless", "endless")
    counts, faults = fuzz.read_all("endless", 4, 0)
    assert (counts["read"], len(faults)) == (2, 2)
    assert "s of CPU time" in faults[0] and "MemoryError" in faults[1]


def test_a_child_that_cannot_start_is_not_a_fault_of_the_files(monkeypatch):
    monkeypatch.setitem(fuzz.KINDS, "nothing", "no_such_module")
    with pytest.raises(RuntimeError, match=r"cannot start.*no_such_module"):
        fuzz.read_all("nothing", 4, 0)
