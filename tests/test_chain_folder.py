"""Chains on disk: what earlier versions wrote is still read, and edited latents come back."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import telephonegan as tg
from telephonegan.chain_folder import ChainFolder
from telephonegan.errors import DataError
from telephonegan.results import Round
from tests.mutations import TIMES, Mutations, damaged

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


# --------------------------------------------------------------------------------------------- from somebody else

SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture
def shared_chain(phone, tmp_path):
    """The folder of a chain, as somebody may have sent it."""
    return phone.play(text="a dog runs", rounds=2, seed=1, progress=False).save(tmp_path / "chain")


def changed(folder, *way, value):
    manifest = json.loads((folder / "chain.json").read_text())
    inner = manifest
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = value
    (folder / "chain.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("way", "value", "told"),
    [
        (("rounds", 1, "picture", "truncated"), SCRIPT, r"rounds\[1\]\.picture\.truncated must be a whole number"),
        (("rounds", 1, "picture", "seed"), -1, r"rounds\[1\]\.picture\.seed must be a whole number from 0"),
        (("rounds", 1, "picture", "words"), "dog", r"rounds\[1\]\.picture\.words must be a list"),
        (("rounds", 1, "picture"), None, "round 1 has no picture"),
        (("rounds", 2, "caption", "probabilities"), [0.5], "round 2 needs one probability per word"),
        (("rounds", 2, "caption", "probabilities"), ["x"], r"probabilities\[0\] must be a number"),
        (("rounds", 2, "caption", "log_probability"), 10**400, "number of more than 19 digits"),
        (("rounds", 2, "caption", "alternatives"), [["a"]], r"alternatives\[0\] must be a list of 2"),
        (("rounds",), [], "No round"),
        (("source",), {}, "starts from no text and no picture"),
        (("settings", "temperature"), "hot", "temperature must be a number; 'hot' was found"),
        (("settings", "beam_width"), 99, "beam_width must be a whole number from 1 to 20; 99 was given"),
        (("models", "captioner"), {"name": "x"}, r"models\.captioner\.sha256 is missing"),
        (("rounds_wanted",), 1001, "from 1 to 1000"),
    ],
)
def test_what_does_not_fit_is_named_when_the_chain_is_read(shared_chain, way, value, told):
    changed(shared_chain, *way, value=value)
    with pytest.raises(DataError, match=told):
        tg.Chain.load(shared_chain)


def test_mutated_chains_are_refused_or_shown_without_harm(shared_chain):
    good = json.loads((shared_chain / "chain.json").read_text())
    mutate, refused = Mutations(11), 0
    for number in range(TIMES):
        (shared_chain / "chain.json").write_bytes(mutate(good))
        try:
            chain = tg.Chain.load(shared_chain)
        except DataError as error:
            assert str(shared_chain) in str(error)
            refused += 1
            continue
        shown = [chain, *chain.captions, *chain.pictures] if number % 5 == 0 else [*chain.captions, *chain.pictures]
        assert not any("<img src=x" in each._repr_html_() for each in shown)
        assert "\x1b" not in repr(chain)
        chain.drift(["content_f1"])
    assert TIMES / 3 < refused < TIMES


def test_mutated_arrays_are_refused_or_drawn(shared_chain):
    path = shared_chain / "attention" / "01.npz"
    good, noise, refused = path.read_bytes(), random.Random(4), 0
    for _ in range(TIMES // 2):
        path.write_bytes(damaged(good, noise))
        try:
            tg.Chain.load(shared_chain)[1].caption.attention_sheet()
        except DataError:
            refused += 1
    assert refused > TIMES / 4


@pytest.mark.parametrize("shape", [(1, 2, 2), (9, 4), (9, 0, 0), (0, 2, 2)])
def test_maps_that_do_not_belong_to_the_words_are_refused(shared_chain, shape):
    np.savez(shared_chain / "attention" / "01.npz", seen=np.zeros(shape, dtype=np.float32))
    with pytest.raises(DataError, match="seen needs one map per word"):
        tg.Chain.load(shared_chain)


@pytest.mark.parametrize("name", ["rounds", "attention"])
def test_a_link_to_another_folder_is_neither_read_nor_written_through(phone, shared_chain, tmp_path, name):
    chain = tg.Chain.load(shared_chain)
    outside = (shared_chain / name).rename(tmp_path / "outside")
    (shared_chain / name).symlink_to(outside)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    with pytest.raises(DataError, match="not inside"):
        tg.Chain.load(shared_chain)
    folder = ChainFolder(shared_chain, written=len(chain))
    with pytest.raises(DataError, match="not inside"):
        phone.resume(chain, rounds=4, on_round=folder.update, progress=False)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before


def test_a_link_in_the_place_of_a_picture_is_not_followed(phone, shared_chain, tmp_path):
    chain = tg.Chain.load(shared_chain)
    precious = tmp_path / "precious.png"
    precious.write_bytes(b"mine")
    (shared_chain / "rounds" / "03.png").symlink_to(precious)
    folder = ChainFolder(shared_chain, written=len(chain))
    with pytest.raises(DataError, match="not inside"):
        phone.resume(chain, rounds=4, on_round=folder.update, progress=False)
    assert precious.read_bytes() == b"mine"
