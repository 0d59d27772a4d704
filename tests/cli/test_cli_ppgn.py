"""`telephonegan ppgn`: the seven examples, their files, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from telephonegan.cli.main import main

QUICK = ["--n_iters", "2", "--network-size", "32", "--device", "cpu"]


@pytest.fixture
def ppgn(codes, tmp_path, monkeypatch, capsys):
    """Runs a command into a new folder, and returns that folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, out="out", quick=QUICK):
        code = main(["ppgn", *map(str, arguments), "--out", out, *quick])
        told = capsys.readouterr()
        assert code == 0, told.err
        printed = Path(told.out.split()[-1]).resolve()
        assert tmp_path / out in (printed, *printed.parents)
        return tmp_path / out

    return run


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_class_gives_the_files_of_the_original_scripts(ppgn):
    folder = ppgn("class", "junco", "--save_every", "1", "--threshold", "-1")
    final = "fc8_0013_0002_1.0_h_1e-05_1.0_0.0_0.0__0"
    assert {f"{final}.jpg", f"{final}.png", f"{final}.json", "montage.jpg", "chain.json"} <= set(names(folder))
    assert names(folder / "samples") == [f"0000{i}.{kind}" for i in range(3) for kind in ("jpg", "json")]
    assert Image.open(folder / "montage.jpg").size == (3 * 18, 18)
    told = json.loads((folder / "chain.json").read_text())
    assert told["conditions"] == ["junco"] and told["settings"]["lr"] == 1.0 and told["finished"] is True


def test_names_and_numbers_and_the_scripts_own_options_mean_the_same(ppgn, capsys):
    by_name = ppgn("class", "junco", out="a")
    original = (
        "--units",
        "13",
        "--opt_layer",
        "fc6",
        "--act_layer",
        "fc8",
        "--net_weights",
        "x",
        "--init_file",
        "None",
    )
    by_number = ppgn("class", *original, out="b")
    final = "fc8_0013_0002_1.0_h_1e-05_1.0_0.0_0.0__0.png"
    assert (by_name / final).read_bytes() == (by_number / final).read_bytes()


def test_every_option_of_the_original_scripts_is_accepted(ppgn, tiny):
    both = "--threshold -1 --save_every 1 --reset_every 0 --lr 1 --lr_end 1 --epsilon1 1e-5 --epsilon2 1 "
    both += "--epsilon3 0 --seed 0 --xy 0 --opt_layer fc6 --act_layer fc8 --init_file None --write_labels "
    both += "--net_weights a.caffemodel --net_definition a.prototxt"
    of_classes = ppgn("class", *both.split(), "--units", "13", "--epsilon4", "0", out="class")
    assert (of_classes / "fc8_0013_0002_1.0_h_1e-05_1.0_0.0_0.0__0.jpg").is_file()
    said = ("--sentence", "a_red_dog", "--captioner", tiny, "--captioner_definition", "lrcn.prototxt")
    of_captions = ppgn("caption", *both.split(), *said, out="caption")
    assert (of_captions / "fc8_0002_1.0_h_1e-05_1.0_0.0__0.jpg").is_file()


def test_a_hidden_unit_is_also_found_as_the_original_scripts_name_it(ppgn):
    ours = ppgn("unit", "conv1", 3, "--xy", 2, "--save_every", 0, out="a")
    theirs = ppgn("class", "--act_layer", "conv1", "--units", 3, "--xy", 2, "--save_every", 0, out="b")
    labels = {json.loads((folder / "chain.json").read_text())["conditions"][0] for folder in (ours, theirs)}
    assert len(labels) == 1 and labels.pop().endswith("unit 3 at (2,2)")


def test_a_chain_between_classes_is_animated_for_every_epsilon1(ppgn):
    folder = ppgn("chain", "946_629")
    assert names(folder) == ["eps1_0.001", "eps1_0.1", "eps1_1e-05"]
    animation = Image.open(folder / "eps1_0.1" / "chain.gif")
    assert animation.n_frames == 5 and animation.info["duration"] == 50 and animation.info["loop"] == 0
    labels = [json.loads(path.read_text())["label"] for path in sorted((folder / "eps1_0.1/samples").glob("*.json"))]
    assert labels == ["cardoon"] * 3 + ["lipstick"] * 2


def test_only_seeds_that_kept_pictures_are_animated(ppgn):
    all_kept = ppgn("chain", "946", "--epsilon1", 0.1, "--seed", 0, 1, "--threshold", -1) / "eps1_0.1"
    rows = json.loads((all_kept / "chain.json").read_text())["probabilities"]
    low, high = sorted(max(of_seed) for of_seed in zip(*rows, strict=True))
    threshold = ["--threshold", (low + high) / 2]
    folder = ppgn("chain", "946", "--epsilon1", 0.1, "--seed", 0, 1, *threshold, out="b") / "eps1_0.1"
    assert len(list(all_kept.glob("*.gif"))) == 2 and len(list(folder.glob("*.gif"))) == 1


def test_a_hidden_unit_is_cropped_to_what_it_sees(ppgn):
    folder = ppgn("unit", "stages.1.0", 3, "--xy", 0, "--save_every", 1, "--threshold", -1, "--epsilon1", 0)
    width, height = Image.open(folder / "montage.jpg").size
    assert (width, height) < (3 * 18, 18)
    other = ppgn("unit", "conv5", 182, "--network", "lite2", "--epsilon1", 0, out="other")
    assert json.loads((other / "chain.json").read_text())["settings"]["reset_every"] == 100


def test_a_caption_of_the_captioner_is_followed_for_three_seeds(ppgn, tiny):
    folder = ppgn("caption", "a_red_dog", "--captioner", tiny, "--word-weights", "a=0.2")
    finals = [name for name in names(folder) if name.endswith(".jpg") and name != "montage.jpg"]
    assert len(finals) == 3 and Image.open(folder / "montage.jpg").width == 3 * 18
    assert json.loads((folder / "chain.json").read_text())["settings"]["lr_end"] == 1e-10


def test_a_photograph_is_where_a_chain_begins(ppgn, photo):
    one = ppgn("from-image", photo, "volcano", "--save_every", 1, "--threshold", -1, out="a")
    other = ppgn("class", "volcano", "--init_file", photo, "--save_every", 1, "--threshold", -1, out="b")
    first = [json.loads((folder / "samples/00000.json").read_text())["h"] for folder in (one, other)]
    assert first[0] == first[1] and json.loads((one / "samples/00000.json").read_text())["lr"] == 0.5


def test_known_pixels_of_a_photograph_stay_to_the_bit(ppgn, photo):
    folder = ppgn("inpaint", photo, "volcano", "--box", 3, 2, 9, 12, "--feather", 2, "--seed", 4)
    final = np.asarray(Image.open(next(folder.glob("fc8_*.png"))))
    given = np.asarray(Image.open(photo))
    outside = np.ones((16, 16), bool)
    outside[2:12, 3:9] = False
    np.testing.assert_array_equal(final[outside], given[outside])
    assert (final[~outside] != given[~outside]).any()
    assert Image.open(folder / "inpainting.jpg").size == (2 * 16 + 1 + 2, 18)


def test_every_seed_has_a_hole_of_its_own_unless_a_mask_is_given(ppgn, photo, tmp_path):
    ppgn("inpaint", photo, "volcano", "--seed", "0-2", out="random")
    assert names(tmp_path / "random") == ["inpainting.jpg", "seed-0", "seed-1", "seed-2"]
    mask = np.zeros((16, 16), np.uint8)
    mask[:8] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    folder = ppgn("inpaint", photo, "volcano", "--seed", "0", "--mask", tmp_path / "mask.png", out="own")
    final = np.asarray(Image.open(next(folder.glob("fc8_*.png"))))
    np.testing.assert_array_equal(final[8:], np.asarray(Image.open(photo))[8:])


def test_a_sweep_lists_all_pairs_and_proposes_the_best(ppgn, capsys):
    folder = ppgn("sweep", "junco", "--eps1", "0", "1e-3", "--lr", "0.5", "--seed", "0", "--judge", "lite0")
    rows = json.loads((folder / "sweep.json").read_text())
    assert [row["epsilon1"] for row in rows] == [0, 1e-3] and Image.open(folder / "sweep.png").height > 36


def test_the_sweep_prints_how_to_use_the_best(codes, tmp_path, capsys):
    sweep = ["ppgn", "sweep", "junco", "--eps1", "0", "--lr", "0.5", "--seed", "0", "--judge", "lite0", *QUICK]
    assert main([*sweep, "--out", str(tmp_path / "sweep")]) == 0
    assert "Best: --epsilon1 0 --lr 0.5" in capsys.readouterr().out


def test_a_text_is_painted_and_pushed_towards_a_class(ppgn, tiny):
    how = ["--generator", tiny, "--steps", "2", "--device", "cpu"]
    folder = ppgn("guide", "a red dog", "--toward", "golden retriever", quick=how)
    assert names(folder) == ["guide.json", "picture.png", "start.png", "strip.png", "way.gif"]
    assert len(json.loads((folder / "guide.json").read_text())["probabilities"]) == 3


def test_a_stopped_command_goes_on_with_resume_and_ends_the_same(ppgn, tmp_path, capsys, monkeypatch):
    import signal

    from telephonegan.latent.sampling_folder import SamplingFolder

    arguments = ("class", "junco", "--noise-rel", "0.1", "--save_every", "1", "--threshold", "-1", "--seed", "0-1")
    whole = ppgn(*arguments, out="whole")
    step = SamplingFolder.step

    def stop(self, sampling):
        step(self, sampling)
        if sampling.state.step == 2:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(SamplingFolder, "step", stop)
        assert main(["ppgn", *arguments, "--out", "parts", *QUICK]) == 143
    assert "To go on: the same command with --out parts --resume" in capsys.readouterr().err
    parts = ppgn(*arguments, "--resume", out="parts")
    read = {path.relative_to(whole): path.read_bytes() for path in whole.rglob("*") if path.suffix in (".jpg", ".png")}
    assert read and all((parts / path).read_bytes() == content for path, content in read.items())


@pytest.mark.parametrize(
    ("arguments", "changed", "told"),
    [
        (["class", "junco"], ["--network", "lite2"], "network 'lite0', not 'lite2'"),
        (["class", "junco"], ["--objective", "logit"], "objective 'paper', not 'logit'"),
        (["inpaint", "photo.png", "junco", "--box", "1", "1", "5", "5"], ["--box", "1", "1", "9", "9"], "box [1, 1, 5"),
    ],
)
def test_what_pictures_depend_on_cannot_change_on_the_way(ppgn, photo, capsys, arguments, changed, told):
    folder = ppgn(*arguments, "--seed", "0")
    before = (folder / "chain.json").read_bytes()
    assert main(["ppgn", *arguments, "--seed", "0", *QUICK, *changed, "--out", str(folder), "--resume"]) == 2
    assert told in capsys.readouterr().err and (folder / "chain.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["class", "jnco"], "nearest are junco"),
        (["class"], "Say which class"),
        (["class", "junco", "--seed", "x"], "Seeds are whole numbers"),
        (["class", "junco", "--seed", "3-1"], "from the lower to the higher; '3-1' was given"),
        (["class", "junco", "--seed", "0-2", "1"], "Give each seed once; 0-2 1 was given"),
        (["class", "junco", "--seed", "4294967296"], "seed must be a whole number from 0 to 4294967295"),
        (["class", "junco", "--seed", "0-4294967295"], "4294967296 seeds are too many"),
        (["class", "junco", "--model", "none"], "none"),
        (["class", "junco", "--resume"], "--resume needs --out"),
        (["unit", "stages.9", "0"], "no layer 'stages.9'"),
        (["unit", "stages.1", "999"], "24 units"),
        (["unit", "stages.1", "0", "--xy", "99"], "positions"),
        (["class", "junco", "--network", "lite9"], "lite0, lite1, lite2"),
        (["class", "junco", "--threshold", "3"], "threshold is a probability"),
    ],
)
def test_what_cannot_be_done_is_explained(codes, tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    assert main(["ppgn", *arguments, *QUICK]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_caption_without_words_is_refused(codes, tiny, capsys):
    assert main(["ppgn", "caption", "", "--captioner", tiny, *QUICK]) == 2
    assert "The caption has no words" in capsys.readouterr().err


def test_a_chain_without_a_direction_ends_with_a_word_about_it(codes, tmp_path, capsys):
    still = ["--epsilon1", "0", "--epsilon2", "0", "--save_every", "1", "--threshold", "-1"]
    assert main(["ppgn", "class", "junco", *still, *QUICK, "--out", str(tmp_path / "still")]) == 0
    told = capsys.readouterr().err
    assert "seed 0 ended early, at step 0: the gradient is zero" in told and "Warning" not in told
    assert json.loads((tmp_path / "still" / "chain.json").read_text())["stopped"] != [""]
    assert (tmp_path / "still" / "samples" / "00000.jpg").is_file()


def test_a_mask_of_another_size_is_refused_before_a_folder_is_made(codes, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (5, 4), 255).save(tmp_path / "mask.png")
    assert main(["ppgn", "inpaint", str(photo), "volcano", "--mask", "mask.png", *QUICK]) == 2
    assert "The mask is 5 × 4" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_an_existing_folder_is_never_written_to(codes, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    assert main(["ppgn", "class", "junco", "--out", str(tmp_path / "mine"), *QUICK]) == 2
    assert "already exists" in capsys.readouterr().err
