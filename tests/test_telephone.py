"""The game: rounds, seeds, many chains at once, going on after an interruption, and the folder it is kept in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import telephonegan as tg
from telephonegan import chain_folder
from telephonegan.chains import SEED_POLICIES
from telephonegan.errors import DataError, ImageError, OutputError, SettingsError, TextError, UnknownModelError
from telephonegan.results import Caption, Picture
from telephonegan.samples import sample
from tests.tiny import register_tiny

QUIET = {"progress": False}


def texts(chain: tg.Chain) -> list[str]:
    return [caption.text for caption in chain.captions]


def files(folder: Path, *suffixes: str) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.suffix in suffixes}


@pytest.fixture
def chain(phone) -> tg.Chain:
    return phone.play(image=sample("coffee"), rounds=3, seed=5, **QUIET)


def test_from_an_image_every_caption_is_painted_in_the_next_round(phone, chain):
    assert len(chain) == 4
    assert [each.index for each in chain] == [0, 1, 2, 3]
    assert chain[0].picture.image.tobytes() == sample("coffee").tobytes()
    for before, after in zip(chain, chain.rounds[1:], strict=False):
        assert after.picture.text == before.caption.text
        [again] = phone.generator([before.caption.text], seeds=[after.picture.seed])
        assert again.image.tobytes() == after.picture.image.tobytes()
        assert phone.caption(after.picture.image).text == after.caption.text


def test_from_a_text_round_0_is_the_text(phone):
    chain = phone.play(text="a Dog in the snow", rounds=2, **QUIET)
    assert (chain[0].caption.text, chain[0].picture) == ("a Dog in the snow", None)
    assert len(chain.captions) == 3 and len(chain.pictures) == 2
    assert chain[1].picture.words == ["a", "dog", "in", "the", "snow"]


def test_the_seed_decides_the_game(phone, chain):
    again = phone.play(image=sample("coffee"), rounds=3, seed=5, **QUIET)
    other = phone.play(image=sample("coffee"), rounds=3, seed=6, **QUIET)
    assert [p.image.tobytes() for p in again.pictures] == [p.image.tobytes() for p in chain.pictures]
    assert chain[1].picture.image.tobytes() != other[1].picture.image.tobytes()


@pytest.mark.parametrize("how", [{}, {"method": "sample", "temperature": 2.0}])
def test_many_chains_together_are_the_same_as_each_alone(phone, how):
    names = ["coffee", "chelsea", "rocket", "coins", "astronaut"]
    together = phone.play(image=[sample(name) for name in names], rounds=2, **how, **QUIET)
    for number, (name, chain) in enumerate(zip(names, together, strict=True)):
        alone = phone.play(image=sample(name), rounds=2, number=number, **how, **QUIET)
        assert texts(alone) == texts(chain)
        for one, other in zip(alone.pictures, chain.pictures, strict=True):
            assert np.abs(np.asarray(one.image).astype(int) - np.asarray(other.image)).max() <= 1


def test_chains_of_one_source_go_their_own_ways(phone):
    one, other = phone.play(text=["a dog", "a dog"], rounds=1, **QUIET)
    assert one[1].picture.image.tobytes() != other[1].picture.image.tobytes()


def test_the_value_range_of_a_tensor_is_passed_on(phone):
    tensor = torch.full((3, 8, 8), 0.5)
    chain = phone.play(image=tensor, value_range=(-1, 1), rounds=1, **QUIET)
    assert chain.source.getpixel((0, 0)) == (191, 191, 191)


def test_images_and_texts_can_play_together(phone):
    first, second = phone.play_many(images=[sample("coffee")], texts=["a dog"], rounds=1, **QUIET)
    assert first[0].picture is not None and second[0].picture is None
    assert len(first) == len(second) == 2


def test_lists_give_lists(phone):
    picture = sample("coffee")
    assert isinstance(phone.caption(picture), Caption)
    assert [type(c) for c in phone.caption([picture])] == [Caption]
    assert phone.caption([]) == phone.generate([]) == phone.play(image=[]) == phone.play(text=[]) == []
    assert isinstance(phone.generate("a dog"), Picture)
    assert [type(p) for p in phone.generate(["a dog"])] == [Picture]
    assert [p.seed for p in phone.generate("a dog", seed=3, n=2)] == [3, 4]
    assert [[p.text for p in ps] for ps in phone.generate(["a dog", "snow"], n=2)] == [["a dog"] * 2, ["snow"] * 2]


def test_the_short_calls_use_the_named_models(tiny):
    names = {"captioner": tiny, "device": "cpu"}
    assert tg.caption(sample("coffee"), **names).model == tiny
    assert tg.generate("a dog", generator=tiny, device="cpu").model == tiny
    assert len(tg.play(text="a dog", rounds=1, generator=tiny, **names, **QUIET)) == 2
    assert tg.load(tiny, tiny, "cpu").captioner is tg.load(tiny, tiny, "cpu").captioner
    assert tiny in [entry.name for entry in tg.models()]
    with pytest.raises(UnknownModelError, match=r"'flickr8k'.*tiny"):
        tg.caption(sample("coffee"))


@pytest.mark.parametrize(("options", "error"), [
    ({}, SettingsError),
    ({"image": "x.jpg", "text": "a dog"}, SettingsError),
    ({"image": "there-is-no-such-file.jpg"}, ImageError),
    ({"image": Path("/")}, ImageError),
    ({"text": ""}, TextError),
    ({"text": "zebra"}, TextError),
    ({"text": ["a dog", "zebra"]}, TextError),
    *[({"text": "a dog", "rounds": rounds}, SettingsError) for rounds in (0, -1, 1001, 2.0, "3", True, None)],
    *[({"text": "a dog", "seed": seed}, SettingsError) for seed in (-1, 2**32, 1.0, "0", None)],
    ({"text": "a dog", "number": -1}, SettingsError),
    ({"text": "a dog", "truncation": 3}, SettingsError),
    ({"text": "a dog", "method": "guess"}, SettingsError),
    *[({"text": "a dog", "candidates": candidates}, SettingsError) for candidates in (0, 65, 1.5, True)],
])  # fmt: skip
def test_bad_input_is_refused_before_the_first_round(phone, options, error):
    seen = []
    with pytest.raises(error):
        phone.play(**options, on_round=seen.append, **QUIET)
    assert seen == []


def test_numbers_of_numpy_do_what_numbers_of_python_do(phone, tmp_path):
    sampled = {"method": "sample", "temperature": np.float32(0.5), "top_p": np.float64(0.5)}
    python = {"method": "sample", "temperature": 0.5, "top_p": 0.5}
    picture = sample("coffee")
    assert vars(phone.caption(picture, seed=np.int64(3), **sampled))["seed"] == 3
    assert phone.caption(picture, seed=np.int64(3), **sampled).text == phone.caption(picture, seed=3, **python).text
    assert phone.caption(picture, beam_width=np.int8(2)).text == phone.caption(picture, beam_width=2).text
    painted = phone.generate("a dog", seed=np.int64(3), n=np.int32(2), truncation=np.float32(0.5))
    same = phone.generate("a dog", seed=3, n=2, truncation=0.5)
    assert [each.image.tobytes() for each in painted] == [each.image.tobytes() for each in same]
    numpy = {"rounds": np.int16(1), "seed": np.uint32(1), "number": np.int64(2), "truncation": np.float32(0.5)}
    one = phone.play(image=picture, **numpy, **sampled, **QUIET)
    other = phone.play(image=picture, rounds=1, seed=1, number=2, truncation=0.5, **python, **QUIET)
    other.started = one.started
    assert files(one.save(tmp_path / "numpy"), ".json") == files(other.save(tmp_path / "python"), ".json")


@pytest.mark.parametrize(("call", "options", "told"), [
    ("caption", {"beam": 3}, r"caption has no setting 'beam'. Did you mean beam_width\?.*Allowed: .*temperature"),
    ("caption", {"temprature": 2}, r"Did you mean temperature\?"),
    ("caption", {"seeds": [3]}, r"Did you mean seed\?"),
    ("generate", {"trunc": 1}, r"generate has no setting 'trunc'. Did you mean truncation\?.*Allowed: .*candidates"),
    ("play", {"beams": 3}, r"play has no setting 'beams'. Did you mean beam_width.*Allowed: .*rounds.*top_p"),
    ("play", {"images": []}, r"play has no setting 'images'. Did you mean image or axes\?"),
    ("play", {"xyz": 1}, r"play has no setting 'xyz'. Allowed: "),
])  # fmt: skip
def test_a_misspelt_keyword_is_answered_with_the_nearest_and_all_that_are_allowed(phone, call, options, told):
    for owner in (phone, tg):
        with pytest.raises(SettingsError, match=told):
            getattr(owner, call)("a dog", **options)


def test_a_misspelt_keyword_of_many_chains_and_of_loading_is_named():
    with pytest.raises(SettingsError, match=r"Did you mean captioner\?"):
        tg.load(captionr="tiny")
    with pytest.raises(SettingsError, match=r"play_many has no setting 'text'. Did you mean texts"):
        tg.Telephone(None, None).play_many(text=["a dog"])


def test_a_game_with_candidates_keeps_the_best_and_says_so(phone, tmp_path):
    chain = phone.play(text="a red ball", rounds=1, candidates=4, **QUIET)
    plain = phone.play(text="a red ball", rounds=1, **QUIET)
    [best] = phone.generator(["a red ball"], seeds=[plain[1].picture.seed], candidates=4)
    assert chain[1].picture.seed == best.seed
    saved = chain.save(tmp_path / "game")
    assert json.loads((saved / "chain.json").read_text())["settings"]["candidates"] == 4
    assert tg.Chain.load(saved).settings == chain.settings


def test_one_candidate_is_not_recorded_as_older_chains_have_none(phone, tmp_path):
    saved = phone.play(text="a dog", rounds=1, candidates=1, **QUIET).save(tmp_path / "game")
    assert "candidates" not in json.loads((saved / "chain.json").read_text())["settings"]
    assert tg.Chain.load(saved).settings.candidates == 1


def test_one_bad_text_of_a_list_is_named_by_its_index_or_skipped(phone):
    given = ["a dog", "zebra", "snow"]
    with pytest.raises(TextError, match="The text at index 1: "):
        phone.generate(given)
    with pytest.warns(UserWarning, match=r"Skipped 1 of 3 texts. index 1: .*zebra"):
        first, second, third = phone.generate(given, on_error="skip", latents=[None, None, {"noise": np.zeros(8)}])
    assert (first.text, second, third.text) == ("a dog", None, "snow")
    assert first.latents is None and not third.latents["noise"].any()
    with pytest.warns(UserWarning):
        assert [each and len(each) for each in phone.generate(given, n=2, on_error="skip")] == [2, None, 2]


def test_one_bad_picture_of_a_list_is_named_by_its_index_or_skipped(phone):
    given = ["missing.jpg", sample("coffee"), "gone.jpg"]
    with pytest.raises(ImageError, match="The picture at index 0: "):
        phone.caption(given)
    with pytest.warns(UserWarning, match=r"Skipped 2 of 3 pictures. index 0: .*missing.*index 2: .*gone"):
        captions = phone.caption(given, on_error="skip")
    assert [each and each.text for each in captions] == [None, phone.caption(given[1]).text, None]


def test_a_single_bad_input_raises_whatever_on_error_says(phone):
    with pytest.raises(TextError):
        phone.generate("zebra", on_error="skip")
    with pytest.raises(SettingsError, match="on_error must be one of raise, skip"):
        phone.generate(["a dog"], on_error="ignore")


@pytest.mark.parametrize("n", [0, -1, 1.5, "2"])
def test_a_count_of_pictures_that_makes_no_sense_is_refused(phone, n):
    with pytest.raises(SettingsError, match="n must be"):
        phone.generate("a dog", n=n)


def test_a_chain_whose_caption_cannot_be_painted_ends_and_the_others_go_on(phone, monkeypatch):
    knows = phone.generator.knows
    monkeypatch.setattr(phone.generator, "knows", lambda text: "snow" not in text and knows(text))
    silent, going = phone.play(text=["a dog in the snow", "a dog"], rounds=2, **QUIET)
    assert (len(silent), silent.is_complete) == (1, False)
    assert (len(going), going.is_complete) == (3, True)


def test_a_saved_chain_is_read_back_whole(chain, tmp_path):
    folder = chain.save(tmp_path / "game")
    loaded = tg.Chain.load(folder)
    assert texts(loaded) == texts(chain)
    for one, other in zip(chain, loaded, strict=True):
        assert one.picture.image.tobytes() == other.picture.image.tobytes()
        assert one.caption.alternatives == other.caption.alternatives
        assert one.picture.seed == other.picture.seed
        np.testing.assert_array_equal(one.caption.attention, other.caption.attention)
    assert loaded.save(tmp_path / "again") == tmp_path / "again"
    kinds = (".png", ".json")
    assert files(folder, *kinds) == files(tmp_path / "again", *kinds)


def test_the_folder_holds_what_another_person_needs(chain, tmp_path):
    folder = chain.save(tmp_path / "game")
    assert {"strip.png", "rounds/00.png", "rounds/03.png", "attention/00.png"} <= files(folder, ".png").keys()
    manifest = json.loads((folder / "chain.json").read_text())
    assert manifest["seed"] == 5
    assert manifest["settings"]["method"] == "beam"
    assert len(manifest["models"]["generator"]["sha256"]) == 64
    assert {"telephonegan", "torch", "python"} == manifest["versions"].keys()
    assert [r["caption"]["text"] for r in manifest["rounds"]] == texts(chain)


def test_a_text_chain_is_read_back_too(phone, tmp_path):
    chain = phone.play(text="a dog 🐶 <b>", rounds=1, **QUIET)
    loaded = tg.Chain.load(chain.save(tmp_path / "game"))
    assert loaded.source == "a dog 🐶 <b>" and loaded[0].picture is None


@pytest.mark.parametrize("how", [{}, {"method": "sample", "temperature": 2.0, "truncation": 0.7}, {"candidates": 3}])
def test_a_resumed_game_ends_as_if_it_had_never_stopped(phone, tmp_path, how):
    whole = phone.play(image=sample("coffee"), rounds=4, seed=1, **how, **QUIET)

    class Stop(Exception):
        pass

    folder = chain_folder.ChainFolder(tmp_path / "game")
    folder.path.mkdir()

    def stop_after_two(chain):
        folder.update(chain)
        if len(chain) == 3:
            raise Stop

    with pytest.raises(Stop):
        phone.play(image=sample("coffee"), rounds=4, seed=1, on_round=stop_after_two, **how, **QUIET)
    resumed = phone.resume(tg.Chain.load(folder.path), on_round=folder.update, **QUIET)
    folder.finish(resumed)
    assert texts(resumed) == texts(whole)
    assert files(folder.path, ".png") == files(whole.save(tmp_path / "whole"), ".png")


def test_a_game_cannot_go_on_with_other_models(phone, chain):
    register_tiny("other", seed=1)
    with pytest.raises(SettingsError, match="models"):
        tg.load("other", "other", "cpu").resume(chain, rounds=5)


def test_a_game_cannot_be_resumed_to_fewer_rounds(phone, chain):
    with pytest.raises(SettingsError, match="rounds"):
        phone.resume(chain, rounds=2)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_saving_never_overwrites(chain, tmp_path, make):
    make(tmp_path / "game")
    with pytest.raises(OutputError, match="game already exists"):
        chain.save(tmp_path / "game")
    assert [p.name for p in tmp_path.iterdir()] == ["game"]


def test_a_file_in_the_place_of_a_folder_is_explained(chain, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is not a folder"):
        chain.save(tmp_path / "file" / "game")


def test_a_full_disk_leaves_nothing_behind(chain, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        chain.save(tmp_path / "game")
    assert list(tmp_path.iterdir()) == []


def damage(manifest: dict, *path) -> None:
    *way, last = path
    for key in way:
        manifest = manifest[key]
    del manifest[last]


@pytest.mark.parametrize("path", [
    ("format",), ("seed",), ("models", "captioner"), ("rounds", 0, "caption", "text"), ("rounds", 1, "picture"),
    ("source",), ("settings",),
])  # fmt: skip
def test_a_manifest_that_lacks_something_is_explained(chain, tmp_path, path):
    folder = chain.save(tmp_path / "game")
    manifest = json.loads((folder / "chain.json").read_text())
    damage(manifest, *path)
    (folder / "chain.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="game"):
        tg.Chain.load(folder)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"null", b'{"format": 1, "rounds": []}'])
def test_a_damaged_manifest_is_explained(tmp_path, content):
    (tmp_path / "chain.json").write_bytes(content)
    with pytest.raises(DataError):
        tg.Chain.load(tmp_path)


@pytest.mark.parametrize("name", ["rounds/01.png", "attention/01.npz"])
def test_a_damaged_file_of_a_round_is_explained(chain, tmp_path, name):
    folder = chain.save(tmp_path / "game")
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(DataError, match="game"):
        tg.Chain.load(folder)


def test_a_damaged_game_names_the_picture_that_can_begin_another(chain, tmp_path):
    folder = chain.save(tmp_path / "my game")
    last = sorted((folder / "rounds").glob("*.png"))[-1]
    (folder / "chain.json").write_bytes(b"{")
    with pytest.raises(DataError, match=re.escape(f"play --image='{last}'")):
        tg.Chain.load(folder)
    before = last.with_name(f"{int(last.stem) - 1:02}.png")
    last.write_bytes(b"damaged")
    with pytest.raises(DataError, match=re.escape(f"play --image='{before}'")):
        tg.Chain.load(folder)


def test_an_npz_with_code_in_it_is_not_run(chain, tmp_path):
    folder = chain.save(tmp_path / "game")
    np.savez(folder / "attention" / "01.npz", seen=np.array([object()], dtype=object))
    with pytest.raises(DataError, match=r"01\.npz is damaged"):
        tg.Chain.load(folder)


def test_the_animation_has_a_frame_per_round_and_overwrites_nothing(chain, tmp_path):
    path = chain.animate(tmp_path / "game.gif")
    with Image.open(path) as animation:
        assert animation.n_frames == len(chain)
    with pytest.raises(OutputError, match=r"game\.gif"):
        chain.animate(path)


def test_a_long_chain_still_has_a_strip(chain):
    chain.rounds = chain.rounds * 100
    assert chain.strip().height < 10_000


def test_a_chain_shows_itself_with_escaped_captions(phone):
    html = phone.play(text="a dog <script>", rounds=1, **QUIET)._repr_html_()
    assert "<script>" not in html and "data:image/png" in html


def test_the_public_names_are_there():
    assert set(tg.__all__) <= set(dir(tg))
    assert all(getattr(tg, name) is not None for name in tg.__all__)
    assert callable(tg.models)
    with pytest.raises(AttributeError, match="play"):
        tg.pley  # noqa: B018


def test_importing_loads_no_model_and_no_heavy_package():
    script = "import sys, telephonegan as tg; dir(tg); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(tg.__file__).parents[1]
    ).stdout.split()
    assert "telephonegan" in loaded
    assert {"torch", "torchvision", "timm", "matplotlib", "ipywidgets", "PIL", "tqdm"}.isdisjoint(loaded)


def test_using_it_imports_no_drawing_and_no_widgets():
    script = "import sys, telephonegan as tg; tg.Telephone, tg.play, tg.Chain; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(tg.__file__).parents[1]
    ).stdout.split()
    assert {"torchvision", "timm", "matplotlib", "ipywidgets", "skimage"}.isdisjoint(loaded)


def test_the_version_is_the_package_s():
    import tomllib

    project = tomllib.loads((Path(tg.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert tg.__version__ == project["version"]


def test_a_seed_that_is_no_whole_number_is_explained(phone):
    with pytest.raises(SettingsError, match="seed"):
        phone.generate("a dog", seed=1.5)


def test_all_errors_can_be_caught_by_one_public_name():
    assert issubclass(SettingsError, tg.TelephoneganError)


# ------------------------------------------------------------------------------------------------- round by round


def test_advancing_round_by_round_is_playing(phone, chain):
    again = tg.Chain(sample("coffee"), seed=5)
    for _ in range(4):
        phone.advance([again])
    assert texts(again) == texts(chain)


def test_a_fixed_seed_policy_draws_the_same_in_every_round(phone):
    fresh, fixed = (phone.play(text="a red dog", seed=1, rounds=2, seed_policy=each, **QUIET) for each in SEED_POLICIES)
    assert fixed[1].picture.seed == fixed[2].picture.seed
    assert fresh[1].picture.seed != fresh[2].picture.seed
    other = phone.play(text="a red dog", seed=2, rounds=1, seed_policy="fixed", **QUIET)
    assert other[1].picture.seed != fixed[1].picture.seed


def test_chains_that_cannot_advance_together_are_told(phone, chain):
    with pytest.raises(SettingsError, match="the same number of rounds"):
        phone.advance([chain, tg.Chain("a red dog", settings=chain.settings)])
    with pytest.raises(SettingsError, match="fresh, fixed"):
        phone.play(text="a red dog", seed_policy="random")
    phone.advance([])


# branches


def test_a_branch_with_the_same_seed_is_the_same_game(phone, chain):
    branch = phone.fork(chain, 2, **QUIET)
    assert texts(branch) == texts(chain) and len(branch) == len(chain)
    assert branch.rounds[:3] == chain.rounds[:3] and branch.rounds[3:] != chain.rounds[3:]


def test_a_branch_with_another_seed_paints_other_pictures_from_there_on(phone, chain):
    before = list(chain.rounds)
    branch = phone.fork(chain, 1, seed=chain.seed + 1, **QUIET)
    assert branch[2].picture.seed != chain[2].picture.seed
    assert branch.forked == {"round": 1, "seed": chain.seed, "edited": ""}
    assert chain.rounds == before and chain.forked is None


def test_an_edited_caption_is_painted_and_an_edited_picture_is_captioned(phone, chain):
    said = phone.fork(chain, 1, caption="a red ball", rounds=2, **QUIET)
    assert said[1].caption.text == said[2].picture.text == "a red ball"
    seen = phone.fork(chain, 1, image=sample("chelsea"), rounds=1, **QUIET)
    assert seen[1].caption.text == phone.caption(sample("chelsea")).text and len(seen) == 2
    start = phone.fork(chain, 0, image=sample("chelsea"), rounds=1, **QUIET)
    assert start.source.tobytes() == start[0].picture.image.tobytes() != chain.source.tobytes()


def test_a_saved_branch_remembers_where_it_left_and_goes_on_as_if_never_stopped(phone, chain, tmp_path):
    whole = phone.fork(chain, 1, caption="a red ball", rounds=4, **QUIET)
    short = phone.fork(chain, 1, caption="a red ball", rounds=2, **QUIET)
    again = tg.Chain.load(short.save(tmp_path / "branch"))
    assert again.forked == {"round": 1, "seed": chain.seed, "edited": "caption"}
    assert texts(phone.resume(again, rounds=4, **QUIET)) == texts(whole)


@pytest.mark.parametrize(("wish", "error", "told"), [
    ({"at": 99}, SettingsError, "at must be a whole number from 0"),
    ({"at": 1, "caption": "a dog", "image": "x.png"}, SettingsError, "one thing"),
    ({"at": 1, "caption": "zyx"}, TextError, "zyx"),
])  # fmt: skip
def test_a_branch_that_cannot_be_is_refused(phone, chain, wish, error, told):
    with pytest.raises(error, match=told):
        phone.fork(chain, **wish)


def test_a_world_names_captioner_and_generator_at_once(judge):
    named = tg.load(world=judge, device="cpu").models
    assert {kind: model["name"] for kind, model in named.items()} == {"captioner": judge, "generator": judge}
    assert len(tg.play(text="a dog", rounds=1, world=judge, device="cpu", progress=False)) == 2
    with pytest.raises(SettingsError, match="either a world or those two"):
        tg.load(generator=judge, world=judge)
    with pytest.raises(UnknownModelError, match=f"No world is called 'huge'. The worlds are {judge}"):
        tg.load(world="huge")


# ------------------------------------------------------------------------------------------- with a knob


@pytest.fixture
def knobs(phone, tmp_path) -> Path:
    from telephonegan.latent import find_axes

    axes = find_axes(phone.generator, ["warmth"], n=60, texts="a red dog", progress=False)
    return axes.save(tmp_path / "axes")


def test_a_knob_is_turned_further_every_round(phone, knobs):
    from telephonegan.latent import AxisSet

    chain = phone.play(text="a red dog", rounds=3, axes=knobs, turn={"warmth": 0.5}, **QUIET)
    axes = AxisSet.load(knobs)
    for each in chain.rounds[1:]:
        drawn = phone.generator.latents([each.picture.seed])["noise"][0].numpy()
        moved = drawn + axes.offset({"warmth": 0.5 * each.index})
        np.testing.assert_allclose(each.picture.latents["noise"], moved, atol=1e-5)


def test_a_game_with_a_knob_is_saved_and_goes_on(phone, knobs, tmp_path):
    whole = phone.play(text="a red dog", rounds=3, axes=knobs, turn={"warmth": 0.5}, **QUIET)
    part = phone.play(text="a red dog", rounds=2, axes=knobs, turn={"warmth": 0.5}, **QUIET)
    loaded = tg.Chain.load(part.save(tmp_path / "game"))
    assert loaded.settings == part.settings and loaded.settings.turn == (("warmth", 0.5),)
    np.testing.assert_array_equal(loaded[2].picture.latents["noise"], part[2].picture.latents["noise"])
    phone.resume(loaded, rounds=3, progress=False)
    assert texts(loaded) == texts(whole)
    assert loaded[3].picture.image.tobytes() == whole[3].picture.image.tobytes()


def test_a_game_without_knobs_is_stored_as_before(chain):
    assert not {"axes", "turn"} & set(chain.manifest()["settings"])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"turn": {"warmth": 1}}, "both axes"),
        ({"axes": "x"}, "both axes"),
        ({"axes": "x", "turn": {"warmth": "much"}}, "σ per round"),
        ({"axes": "x", "turn": {"warmth": 11}}, "at most 10 σ"),
        ({"axes": "x", "turn": {"warmth": 1}, "candidates": 2}, "candidates"),
    ],
)
def test_knobs_that_cannot_be_turned_are_refused(phone, how, said):
    with pytest.raises(SettingsError, match=said):
        phone.play(text="a dog", rounds=1, **how, **QUIET)


def test_an_unknown_knob_is_refused_before_the_first_round(phone, knobs):
    with pytest.raises(SettingsError, match="warmth"):
        phone.play(text="a dog", rounds=1, axes=knobs, turn={"smile": 1}, **QUIET)


# ------------------------------------------------------------------------------------------- without text


def test_a_generator_that_needs_a_text_is_not_sampled(phone, tiny):
    with pytest.raises(SettingsError, match="paints texts"):
        tg.sample(tiny)


def test_a_generator_without_text_refuses_one(free):
    with pytest.raises(TextError, match="paints without text"):
        tg.generate("a dog", generator="free")


def test_latents_out_are_latents_in(free):
    one, two = tg.sample("free", seed=3, n=2)
    assert tg.sample("free", latents=two.latents).image.tobytes() == two.image.tobytes() != one.image.tobytes()
    assert one.latents.keys() == {"noise"}
