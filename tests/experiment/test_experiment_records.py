"""Lines of rounds: whole or not at all, and equal for equal rounds."""

import resource
import tracemalloc
from types import SimpleNamespace

import pytest

from telephonegan.errors import DataError
from telephonegan.experiment.records import ROUNDS, RoundsFile, line, merge, part, read, read_parts


def record(number, **changes):
    usual = {"chain": "s0000-seed0", "source": "s0000", "seed": 0, "caption": "é", "words": ["é"], "dropped": []}
    return {**usual, "log_probability": -1.5, "truncated": 0, "picture": None, "round": number, **changes}


def test_a_line_is_ascii_and_hangs_on_no_order():
    assert line(record(1)) == line(dict(reversed(record(1).items())))
    assert line(record(1)).isascii()


def test_what_was_cut_off_is_not_read_and_gone_after_the_next_append(tmp_path):
    path = part(tmp_path, 3)
    path.write_bytes(line(record(0)) + line(record(1))[:-5])
    assert [each["round"] for each in read(path)] == [0]
    with RoundsFile(path) as file:
        file.append([record(1), record(2)])
    assert path.read_bytes() == b"".join(line(record(number)) for number in range(3))


def test_parts_are_read_together(tmp_path):
    part(tmp_path, 0).write_bytes(line(record(0)))
    part(tmp_path, 1).write_bytes(line(record(0, chain="other")) + b'{"chain": ')
    assert set(read_parts(tmp_path)) == {("s0000-seed0", 0), ("other", 0)}


@pytest.mark.parametrize(
    "damaged", [b"\n", b"{}\n", b"[1]\n", b'"x"\n', b"\0\0\n", line(record("1")), b"[" * 9999 + b"\n"]
)
def test_a_damaged_line_is_told_by_number(tmp_path, damaged):
    path = part(tmp_path, 0)
    path.write_bytes(line(record(0)) + damaged)
    with pytest.raises(DataError, match="line 2"):
        list(read(path))


def test_merging_holds_places_of_lines_and_not_the_lines(tmp_path):
    chains = [SimpleNamespace(id=f"chain{number}") for number in range(400)]
    lines = [[line(record(number, chain=chain.id, caption="word " * 200)) for number in range(6)] for chain in chains]
    for share in range(3):
        part(tmp_path, share).write_bytes(b"".join(each[number] for number in range(6) for each in lines[share::3]))
    size = sum(len(each) for chain in lines for each in chain)
    tracemalloc.start()
    try:
        merge(tmp_path, chains, 5, lambda caption: True)
        assert tracemalloc.get_traced_memory()[1] < size / 4
    finally:
        tracemalloc.stop()
    assert (tmp_path / ROUNDS).read_bytes() == b"".join(each for chain in lines for each in chain)
    assert not list(tmp_path.glob("rounds-*"))


def test_more_shares_than_files_may_be_open_are_merged(tmp_path):
    chains = [SimpleNamespace(id=f"chain{number}") for number in range(200)]
    lines = [line(record(0, chain=chain.id)) for chain in chains]
    for share, each in enumerate(lines):
        part(tmp_path, share).write_bytes(each)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 128), hard))
    try:
        merge(tmp_path, chains, 0, lambda caption: True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (tmp_path / ROUNDS).read_bytes() == b"".join(lines)
