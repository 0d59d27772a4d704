"""Shares: every block belongs to exactly one, and a mark says which are done."""

from __future__ import annotations

import pytest

from telephonegan.experiment import records
from telephonegan.experiment.shards import Shard

MANIFEST = b"{}"


@pytest.mark.parametrize("of", [1, 2, 3, 10])
def test_every_block_belongs_to_one_share(of):
    blocks = list(range(7))
    shares = [Shard(number, of).share(blocks) for number in range(of)]
    assert sorted(block for share in shares for block in share) == blocks


def test_a_mark_holds_for_its_share_its_manifest_and_its_lines(tmp_path):
    shard = Shard(1, 3)
    records.part(tmp_path, 1).write_bytes(b"a line\n")
    assert not shard.is_done(tmp_path, MANIFEST)
    shard.mark_done(tmp_path, MANIFEST)
    assert shard.is_done(tmp_path, MANIFEST)
    assert not Shard(2, 3).is_done(tmp_path, MANIFEST) and not Shard(1, 2).is_done(tmp_path, MANIFEST)
    assert not shard.is_done(tmp_path, b"another experiment")
    records.part(tmp_path, 1).write_bytes(b"another line\n")
    assert not shard.is_done(tmp_path, MANIFEST)
