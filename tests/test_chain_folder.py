"""Chains on disk: what earlier versions wrote is still read, and edited latents come back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import telephonegan as tg
from telephonegan.errors import DataError
from telephonegan.results import Round

WRITTEN_BEFORE = Path(__file__).parent / "fixtures"  # by the version of 2026-11, with tiny models


@pytest.mark.parametrize("name", ["chain-from-image", "chain-from-text"])
def test_a_chain_written_before_is_read_and_written_again_as_it_was(name, tmp_path):
    folder = WRITTEN_BEFORE / name
    chain = tg.Chain.load(folder)
    chain.save(tmp_path / "again")
    before, after = (json.loads((place / "chain.json").read_text()) for place in (folder, tmp_path / "again"))
    assert list(before) == list(after)
    assert before | {"versions": None} == after | {"versions": None}
    pictures = sorted(path.name for path in (folder / "rounds").iterdir())
    assert pictures == sorted(path.name for path in (tmp_path / "again" / "rounds").iterdir())
    again = tg.Chain.load(tmp_path / "again")
    for one, other in zip(chain, again, strict=True):
        assert (one.picture is None) == (other.picture is None)
        if one.picture is not None:
            assert one.picture.image.tobytes() == other.picture.image.tobytes()
            assert one.picture.latents is None
        for result in (0, 1):
            maps = [(each.caption, each.picture)[result] for each in (one, other)]
            maps = [None if each is None else each.attention for each in maps]
            assert (maps[0] is None) == (maps[1] is None)
            if maps[0] is not None:
                np.testing.assert_array_equal(*maps)


def test_a_chain_written_before_says_what_it_said():
    chain = tg.Chain.load(WRITTEN_BEFORE / "chain-from-image")
    assert (chain.seed, chain.number, chain.wanted, chain.source_name) == (5, 0, 2, "gradient.png")
    assert chain.settings.truncation == 0.9 and chain.source.size == (32, 24)
    assert chain[0].caption.text == "blue blue blue blue blue blue"
    from_text = tg.Chain.load(WRITTEN_BEFORE / "chain-from-text")
    assert (from_text.number, from_text.source) == (3, "a Dog in the snow 🐶")
    assert from_text[1].caption.seed is not None and from_text.settings.method == "sample"


@pytest.fixture
def edited(phone) -> tg.Chain:
    """A chain whose last picture was painted with an edited noise."""
    chain = phone.play(text="a red dog", rounds=1, progress=False)
    picture = phone.generate(chain[-1].caption.text, seed=4, latents={"noise": np.linspace(-2, 2, 8)})
    chain.rounds.append(Round(2, phone.caption(picture.image), picture))
    return chain


def test_edited_latents_come_back_and_paint_the_same_picture(phone, edited, tmp_path):
    loaded = tg.Chain.load(edited.save(tmp_path / "game"))
    assert loaded[1].picture.latents is None
    picture = loaded[2].picture
    assert picture.latents.keys() == {"noise", "eps"}
    for name, part in picture.latents.items():
        np.testing.assert_array_equal(part, edited[2].picture.latents[name])
    again = phone.generate(picture.text, seed=picture.seed, latents=picture.latents)
    assert again.image.tobytes() == picture.image.tobytes()
    again = tg.Chain.load(loaded.save(tmp_path / "again"))
    np.testing.assert_array_equal(again[2].picture.latents["eps"], picture.latents["eps"])


def test_a_chain_without_edits_has_no_word_of_latents(phone, tmp_path):
    folder = phone.play(text="a red dog", rounds=1, progress=False).save(tmp_path / "game")
    assert "latents" not in (folder / "chain.json").read_text()
    assert not (folder / "latents").exists()


def test_latents_that_are_gone_are_told(edited, tmp_path):
    folder = edited.save(tmp_path / "game")
    (folder / "latents" / "02.npz").unlink()
    with pytest.raises(DataError, match="damaged or incomplete"):
        tg.Chain.load(folder)
