"""The whole way from the command line to one JSON line, over tiny models and drawn pictures."""

import inspect
import json
import shutil

import nltk.corpus
import pytest
import torch

from telephonegan import evaluation
from telephonegan.cli import evaluate as commands
from telephonegan.cli import main as cli
from telephonegan.cli.evaluate import rounded
from telephonegan.data.layouts import read_data
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import SettingsError
from telephonegan.evaluation import captioners, generators, matchers
from telephonegan.evaluation.inception_features import PUBLISHED
from telephonegan.evaluation.inputs import all_texts, choose_texts, photographs
from telephonegan.evaluation.matchers import mismatches
from telephonegan.evaluation.word_effects import Swap
from telephonegan.matcher import Matcher
from telephonegan.networks.damsm import damsm_loss, sentence_scores
from telephonegan.zoo import catalogue
from tests.tiny import NAME

FEW = ("--candidates=5", "--folds=3")


@pytest.fixture
def evaluate(judge, world, capsys):
    def run(what, *arguments, data=world):
        names = {"nearest": [], "cycle": [], "damsm": [f"judge/{NAME}"]}.get(what, [NAME])
        judged = [f"--judge={NAME}"] if what in ("generator", "words") else []
        code = cli.main(["evaluate", what, *names, f"--data={data}", *judged, *arguments])
        told = capsys.readouterr()
        if code:
            return told.err
        (line,) = told.out.splitlines()
        return json.loads(line)

    return run


@pytest.mark.parametrize("what", commands._MEASURES)
def test_the_command_line_has_the_librarys_arguments_and_defaults(what):
    parameters = inspect.signature(getattr(evaluation, commands._MEASURES[what])).parameters
    typed = vars(cli._parser().parse_args(["evaluate", what, *(["--data=photos"] if "data" in parameters else [])]))
    typed = {name: value for name, value in typed.items() if name not in commands._OUR_OWN}
    assert typed.keys() == parameters.keys()
    defaults = {name: each.default for name, each in parameters.items() if each.default is not inspect.Parameter.empty}
    assert {name: typed[name] for name in defaults} == defaults


def test_what_a_python_caller_may_mistype_is_explained(world):
    with pytest.raises(SettingsError, match=r"test, dev, test\+dev; 'train'"):
        evaluation.generator_scores(NAME, world, reference="train")
    with pytest.raises(SettingsError, match="lite2, inception; 'fid'"):
        evaluation.generator_scores(NAME, world, features="fid")
    with pytest.raises(AttributeError, match="captioner_scores"):
        evaluation.captioner_score("flickr8k")


def test_captioner_is_scored_and_the_absence_of_wordnet_told(evaluate, monkeypatch):
    class Missing:
        def ensure_loaded(self):
            raise LookupError

    monkeypatch.setattr(nltk.corpus, "wordnet", Missing())
    record = evaluate("captioner", "--limit=4", "--beam-width=2")
    assert record["sha256"] == catalogue.find("captioner", NAME).sha256
    assert (record["n"], record["beam"], record["split"]) == (4, 2, "test")
    assert 0 <= record["BLEU-4"] <= record["BLEU-1"] <= 1
    assert record["METEOR"] is None
    assert "nltk.downloader wordnet" in record["METEOR_absent"]


def test_nearest_neighbours_of_the_training_photographs_themselves_say_their_own_captions(evaluate, world, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(world, data)
    shutil.copy(data / "train.txt", data / "test.txt")
    record = evaluate("nearest", data=data)
    assert (record["BLEU-4"], record["ROUGE-L"], record["n_train"]) == (1, 1, 12)


def test_matching_model_is_measured_on_photographs_with_its_protocol(evaluate):
    record = evaluate("damsm", *FEW)
    assert (record["n"], record["n_captions"], record["loss_batch"]) == (12, 60, 12)
    assert record["r_precision_mismatches"] == "4 captions of other photographs"
    assert (record["r_precision_folds"], record["r_precision_candidates"], record["r_precision_chance"]) == (3, 5, 0.2)
    for direction in ("image_to_text", "text_to_image"):
        recalls = [record[f"{direction}_recall_{k}"] for k in (1, 5, 10)]
        assert recalls == sorted(recalls)
    assert record["loss_chance"] == pytest.approx(2 * torch.tensor(12.0).log().item(), rel=1e-3)
    assert 0 < record["sentence_loss"] < 2 * record["loss_chance"]
    few = evaluate("damsm", *FEW, "--limit=6")
    assert few["n"] == 6
    assert "image_to_text_recall_10" not in few


def test_captions_of_two_photographs_that_are_one_are_told_apart_by_class(judge, world):
    photos = read_data(world, "test")
    told = [
        mismatches(CaptionedPhotos(photos.folder, photos.names, photos.captions, classes), [0, 1, 0], 100)
        for classes in (None, [7] * 12)
    ]
    assert told == [
        ([0, 1, 0], "99 captions of other photographs"),
        ([7, 7, 7], "99 captions of other classes"),
    ]


def test_recall_and_losses_are_those_of_the_judges_own_codes(evaluate, judge, world):
    record = evaluate("damsm", *FEW)
    photos, judge = read_data(world, "test"), Matcher.load(NAME)
    codes = judge.look(photographs(photos, judge.picture_size))
    texts = all_texts(photos)
    scores = sentence_scores(codes, judge.read([text.words for text in texts]))
    own = torch.arange(12)
    owned = torch.tensor([text.photo for text in texts]) == own[:, None]
    found = scores.where(owned, -1.0).max(1).values > scores.where(~owned, -1.0).max(1).values
    assert record["image_to_text_recall_1"] == pytest.approx(found.float().mean().item(), rel=1e-3)
    first = 10 * scores[:, :12]
    expected = torch.nn.functional.cross_entropy(first, own) + torch.nn.functional.cross_entropy(first.T, own)
    assert record["sentence_loss"] == pytest.approx(expected.item(), rel=1e-3)


def test_losses_are_the_mean_of_whole_batches(evaluate, judge, world, monkeypatch):
    monkeypatch.setattr(matchers, "_LOSS_BATCH", 5)
    record = evaluate("damsm", *FEW)
    photos, judge = read_data(world, "test"), Matcher.load(NAME)
    losses = []
    for rows in (slice(0, 5), slice(5, 10)):
        seen = judge.see(torch.cat(list(photographs(photos[rows], judge.picture_size))))
        read = judge.read_words([captions[0] for captions in photos.captions[rows]])
        losses.append(torch.stack(damsm_loss(seen.regions, seen.codes, *read)))
    expected = torch.stack(losses).mean(0).tolist()
    assert record["loss_batch"] == 5
    assert [record["word_loss"], record["sentence_loss"]] == pytest.approx(expected, rel=1e-3)


class FakeJudge:
    """Sees and reads what it was told to."""

    picture_size = 16

    def __init__(self, codes, sentences=None):
        self.codes, self.sentences = codes, sentences

    def look(self, batches):
        return self.codes

    def read(self, captions):
        return self.sentences


def test_pictures_that_say_their_texts_score_one_and_those_of_other_texts_nothing():
    codes = torch.eye(4)
    seen = generators.Observed(codes, codes, codes, None)
    protocol = {"candidates": 3, "folds": 2, "seed": 0, "groups": [0, 1, 2, 3]}
    texts = [generators.Text(row, ["dog"]) for row in range(4)]
    found = generators._matching(seen, seen[[1, 0, 3, 2]], FakeJudge(codes, codes), texts, "so", **protocol)
    assert (found["r_precision"], found["r_precision_real"], found["r_precision_shuffled"]) == (1, 0, 0)
    assert found["r_precision_scaled"] == pytest.approx((1 - 1 / 3) / (0 - 1 / 3))
    assert found["r_precision_mismatches"] == "so"


def test_photographs_prefer_the_text_they_are_like(world):
    photos = read_data(world, "test")
    swaps = [Swap(row, "colour", "red", "blue", ["red"], ["blue"]) for row in (5, 2, 5)]
    codes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # of photographs 2 and 5
    own, other = torch.tensor([[0.0, 2.0], [0.0, 2.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    preferred = generators._photographs_prefer(FakeJudge(codes), photos, swaps, [own, other])
    assert preferred.tolist() == [True, False, False]


def test_noise_that_changes_nothing_gives_no_diversity(evaluate, monkeypatch):
    def paintings(generator, texts, seeds, **how):
        return [torch.linspace(-1, 1, len(texts)).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)]

    monkeypatch.setattr(generators, "paintings", paintings)
    record = evaluate("generator", *FEW, "--seeds-per-caption=3")
    assert record["other_seed_difference"] == 0
    assert record["other_seed_lite2"] == pytest.approx(0, abs=1e-3)
    pairs = [abs(a - b) * 2 / 11 for a in range(12) for b in range(a)]
    assert record["other_caption_difference"] == pytest.approx(sum(pairs) / len(pairs), rel=1e-3)
    assert record["other_photograph_difference"] > 0


def test_pictures_of_more_pixels_than_asked_for_are_reduced_before_the_judge_sees_them(evaluate, monkeypatch):
    seen, see = set(), Matcher.see
    monkeypatch.setattr(Matcher, "see", lambda self, images: seen.add(images.shape[2:]) or see(self, images))
    evaluate("generator", *FEW, "--seeds-per-caption=2", "--pixels=8")
    assert seen == {(8, 8)}


def test_generator_is_measured_with_its_protocol(evaluate, tmp_path):
    grid, lines = tmp_path / "grid.png", tmp_path / "lines.jsonl"
    record = evaluate("generator", *FEW, "--seeds-per-caption=2", f"--grid={grid}", f"--out={lines}")
    assert grid.read_bytes().startswith(b"\x89PNG")
    assert json.loads(lines.read_text()) == record
    assert record["sha256"] == catalogue.find("generator", NAME).sha256
    assert record["judge_sha256"] == catalogue.find("judge", NAME).sha256
    assert (record["judge"], record["judge_guided_training"]) == (f"judge/{NAME}", False)
    assert (record["n"], record["n_reference"], record["n_ceiling"]) == (12, 12, 12)
    assert (record["reference"], record["ceiling"]) == ("test", "dev")
    assert (record["r_precision_candidates"], record["r_precision_folds"]) == (5, 3)
    assert record["lite2_pixels"] == "16, enlarged to 32"
    assert (record["diversity_captions"], record["diversity_seeds"]) == (12, 2)
    assert record["fd_lite2"] > record["fd_lite2_ceiling"] > 0
    assert 0 < record["other_seed_difference"] < 2
    assert record["other_seed_lite2"] > 0


def test_more_captions_than_photographs_are_the_next_ones_of_each(evaluate):
    record = evaluate("generator", *FEW, "--samples=30", "--seeds-per-caption=2", "--limit=12")
    assert (record["n"], record["n_reference"], record["diversity_captions"]) == (30, 12, 30)
    fewer = evaluate("generator", *FEW, "--samples=12", "--seeds-per-caption=2")
    assert fewer["fd_lite2"] == fewer["fd_lite2_matched"] != record["fd_lite2"] != record["fd_lite2_matched"]
    assert evaluate("generator", *FEW, "--samples=8", "--seeds-per-caption=2")["n_ceiling"] == 8
    assert "61 captions were requested" in evaluate("generator", *FEW, "--samples=61")


@pytest.mark.parametrize(
    ("reference", "count", "ceiling"), [("test", 12, "dev"), ("dev", 12, "test"), ("test+dev", 24, "train")]
)
def test_the_ceiling_is_of_photographs_outside_the_reference(reference, count, ceiling, evaluate):
    record = evaluate("generator", *FEW, "--seeds-per-caption=2", f"--reference={reference}")
    assert (record["reference"], record["n_reference"]) == (reference, count)
    assert record["ceiling"] == ceiling
    assert record["fd_lite2_ceiling"] > 0


def test_the_ceiling_is_of_photographs_from_all_over_the_split():
    # The first photographs of a sorted split are of a few classes, and lie far from those of all classes.
    class_of = torch.arange(200).float() // 10
    sorted_split = CaptionedPhotos(None, [str(row) for row in range(200)], [[["bird"]]] * 200)

    def observe(photos):
        codes = class_of[[int(name) for name in photos.names]].unsqueeze(1)
        return generators.Observed(codes, codes, codes)

    real = observe(sorted_split)
    for reference in ("test", "dev"):  # the ceiling is another split, or the measured one itself
        near, other = generators._references(
            lambda name: sorted_split, observe, reference, "test", real, most=50, seed=0
        )
        assert len(near.codes) == 200
        assert len(other.codes) == 50
        assert len(other.codes.unique()) > 15
    again = generators._references(lambda name: sorted_split, observe, "test", "test", real, most=50, seed=1)[1]
    assert not torch.equal(again.codes, other.codes)


def test_the_kernel_distance_is_told_at_three_input_sizes(evaluate):
    record = evaluate("generator", *FEW, "--seeds-per-caption=2")
    assert list(record["kid_lite2_at"]) == list(record["kid_lite2_at_ceiling"]) == ["128", "160", "224"]
    assert len({record["kid_lite2"], *record["kid_lite2_at"].values()}) == 4  # the tiny judge's own size is 32


def test_only_photographs_of_some_classes_are_measured(evaluate, world, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(world, data)
    names = [path.name for path in sorted((data / "images").iterdir())]
    rows = "".join(f"{name},{number % 3}\n" for number, name in enumerate(names))
    (data / "labels.csv").write_text(f"image,class_id\n{rows}")
    (tmp_path / "some.txt").write_text("1\n2\n")
    few = ("--candidates=2", "--folds=2", "--seeds-per-caption=2")
    record = evaluate("generator", *few, f"--classes={tmp_path / 'some.txt'}", data=data)
    count = sum(number > 0 for number in read_data(data, "test").classes)
    assert (record["n"], record["n_reference"], record["classes"]) == (count, count, [1, 2])
    assert 2 < count < 12
    (tmp_path / "some.txt").write_text("7\n")
    assert "None of the 12" in evaluate("generator", *few, f"--classes={tmp_path / 'some.txt'}", data=data)
    assert "labels.csv" in evaluate("generator", *few, f"--classes={tmp_path / 'some.txt'}")
    (tmp_path / "some.txt").write_text("seven\n")
    assert "not a list of class numbers" in evaluate("generator", *few, f"--classes={tmp_path / 'some.txt'}", data=data)


def test_inception_gives_distances_of_its_own_name(evaluate, monkeypatch):
    class Fake:
        name = variant = "tf"
        sha256 = "0" * 64

        def __call__(self, images):
            return images.mean((2, 3))

    monkeypatch.setattr(generators, "InceptionFeatures", lambda path, device: Fake())
    record = evaluate(
        "generator", *FEW, "--seeds-per-caption=2", "--features=inception", f"--inception-weights={__file__}"
    )
    assert record["inception_sha256"] == "0" * 64
    assert record["fid_tf"] > record["fid_tf_ceiling"] > 0
    assert {"kid_tf", "kid_tf_std", "kid_tf_subset", "kid_lite2"} <= record.keys()


def test_what_cannot_be_measured_is_told_before_anything_is_painted(evaluate, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(generators, "paintings", None)
    assert "from 2 to 12" in evaluate("generator")
    assert PUBLISHED["tf"] in evaluate("generator", *FEW, "--features=inception")
    assert "--features inception" in evaluate("generator", *FEW, "--inception-weights=x.pth")
    assert "limit must be" in evaluate("generator", *FEW, "--limit=0")
    assert "seeds-per-caption" in evaluate("generator", *FEW, "--seeds-per-caption=1")
    assert "is not a folder" in evaluate("generator", *FEW, f"--grid={tmp_path}/missing/grid.png")


def test_words_are_measured_by_kind_and_by_word(evaluate):
    record = evaluate("words", "--samples=6")
    colours = record["kinds"]["colour"]
    assert (colours["n"], record["n"]) == (6, sum(kind["n"] for kind in record["kinds"].values()))
    assert colours.keys() == {"n", "margin", "both_prefer", "photographs_prefer"}
    assert sum(word["n"] for word in record["words"].values()) == 2 * record["n"]
    assert {"red", "blue"} <= record["words"].keys()


def test_words_that_a_generator_does_not_hear_have_no_effect(evaluate, monkeypatch):
    grey = torch.linspace(-1, 1, 16 * 16).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    monkeypatch.setattr(generators, "paintings", lambda generator, texts, seeds: [grey.expand(len(texts), 3, 16, 16)])
    colours = evaluate("words", "--samples=6")["kinds"]["colour"]
    assert colours["margin"] == pytest.approx(0, abs=1e-6)
    assert colours["both_prefer"] == 0


def test_both_pictures_of_a_pair_are_painted_with_the_same_noise(evaluate, monkeypatch):
    painted = []
    paintings = generators.paintings

    def spy(generator, texts, seeds):
        painted.append(([" ".join(words) for words in texts], list(seeds)))
        return paintings(generator, texts, seeds)

    monkeypatch.setattr(generators, "paintings", spy)
    evaluate("words", "--samples=6", "--seed=40")
    (first, seeds), (second, again) = painted
    assert seeds == again == list(range(40, 40 + len(first)))
    assert all(a != b for a, b in zip(first, second, strict=True))


def test_cycle_compares_with_other_texts_and_with_photographs(evaluate):
    record = evaluate("cycle", f"--captioner={NAME}", f"--generator={NAME}", "--samples=14", "--limit=6")
    assert (record["name"], record["captioner"], record["n"]) == (NAME, NAME, 14)
    assert {"CIDEr-D", "CIDEr-D_shuffled", "CIDEr-D_photographs", "captioner_sha256", "sha256"} <= record.keys()


def test_a_cycle_that_says_the_text_again_has_the_full_score_and_a_low_floor(evaluate, monkeypatch):
    def echo(captioner, generator, texts, seed, *, beam_width):
        return [list(words) for words in texts]

    monkeypatch.setattr(captioners, "_caption_painted", echo)
    monkeypatch.setattr(captioners, "_described", lambda captioner, photos, beam: [each[0] for each in photos.captions])
    record = evaluate("cycle", f"--captioner={NAME}", f"--generator={NAME}")
    assert record["CIDEr-D"] == record["CIDEr-D_photographs"] > 2
    assert record["CIDEr-D"] > 2 * record["CIDEr-D_shuffled"]


def test_every_text_of_a_cycle_has_noise_of_its_own(evaluate, monkeypatch):
    drawn = []
    paintings = captioners.paintings

    def spy(generator, texts, seeds):
        drawn.extend(seeds)
        return paintings(generator, texts, seeds)

    monkeypatch.setattr(captioners, "paintings", spy)
    evaluate("cycle", f"--captioner={NAME}", f"--generator={NAME}", "--samples=4", "--limit=4", "--seed=9")
    assert drawn == [9, 10, 11, 12]


def test_captions_without_a_known_word_are_counted_and_left_out():
    photos = CaptionedPhotos(None, ["a", "b"], [[["xyz"], ["dog"]], [["man"], ["cat"]]])
    texts, left_out = choose_texts(photos, 2, lambda text: text != "xyz")
    assert [(text.photo, text.words) for text in texts] == [(1, ["man"]), (0, ["dog"])]
    assert left_out == 1


def test_numbers_are_rounded_and_json_has_no_nan():
    value = {"a": 0.123456, "b": 123456.0, "n": 123456, "deep": {"c": float("inf")}, "text": "0.123456", "no": None}
    assert rounded(value) == {
        "a": 0.1235,
        "b": 123500.0,
        "n": 123456,
        "deep": {"c": None},
        "text": "0.123456",
        "no": None,
    }
