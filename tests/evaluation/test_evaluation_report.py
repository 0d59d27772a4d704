import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from telephonegan.cli.main import main
from telephonegan.errors import DataError
from telephonegan.evaluation import report
from telephonegan.zoo import catalogue
from telephonegan.zoo.catalogue import Entry

ROOT = Path(__file__).resolve().parents[2]


def entry(kind, name="mine", sha256="a" * 64, **quality):
    return Entry(name=name, kind=kind, path=Path("x"), file="x", sha256=sha256, size=1, quality=quality)


def record(what, sha256="a" * 64, n=1000, split="test", **numbers):
    return {"what": what, "sha256": sha256, "n": n, "split": split, **numbers}


def cells(text, first):
    """The cells of the table row whose first cell begins so."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return next(row[1:] for row in rows if row[0].startswith(first))


GENERATOR = record(
    "generator",
    command="telephonegan evaluate generator mine --data d --out lines.jsonl",
    judge="judge/j",
    r_precision=0.3772,
    r_precision_std=0.0472,
    r_precision_candidates=50,
    r_precision_chance=0.02,
    r_precision_real=0.355,
    r_precision_real_std=None,
    r_precision_shuffled=0.008,
    r_precision_scaled=1.064,
    reference="test+dev",
    ceiling="train",
    n_ceiling=500,
    kid_lite2=0.0306,
    kid_lite2_std=0.002,
    kid_lite2_subset=1000,
    kid_lite2_ceiling=-0.0004,
    fid_tf=20.04,
    fid_tf_matched=30.0,
    fid_tf_ceiling=10.0,
    other_seed_difference=0.37,
    other_caption_difference=0.51,
    other_photograph_difference=0.56,
)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one shipped captioner, and a function that writes its README."""
    shipped = tmp_path / "weights"
    shipped.mkdir()
    (shipped / "model.safetensors").touch()
    model = {"kind": "captioner", "file": "model.safetensors", "sha256": "a" * 64, "quality": {"BLEU-4": 0.2, "n": 7}}
    (shipped / "manifest.json").write_text(json.dumps({"format": 1, "models": {"captioner/mine": model}}))
    (shipped / "README.md").write_text("no table")
    monkeypatch.setattr(catalogue, "SHIPPED", shipped)

    def write(text):
        (tmp_path / "README.md").write_text(text)
        return tmp_path / "README.md"

    return write


def test_a_generator_that_was_not_measured_has_no_table():
    assert report.tables([entry("generator")], []) == ""


def test_embeddings_are_compared_with_others_on_the_same_data_and_with_guessing():
    command = "telephonegan evaluate embedding mine --data flowers"
    numbers = {"top1": 0.5, "top1_cosine": 0.6, "ap_50": 0.4, "top1_chance": 0.05, "ap_chance": 0.07, "n_classes": 20}
    records = [
        record("embedding", split="all", command=command, **numbers),
        record("embedding", "b" * 64, name="bag-of-words", command=command, **numbers | {"top1": 0.3}),
        record("embedding", "c" * 64, name="elsewhere", command=command.replace("flowers", "birds"), **numbers),
    ]
    text = report.tables([entry("embedding")], records)
    assert cells(text, "`mine`") == ["0.500", "0.600", "0.400", "20", "1,000"]
    assert cells(text, "bag-of-words")[0] == "0.300"
    assert cells(text, "guessing")[:3] == ["0.050", "0.050", "0.070"]
    assert "elsewhere" not in text and f"`{command}`" in text


def test_the_committed_documents_are_up_to_date():
    assert [str(path) for path in report.outdated(ROOT)] == []


def test_the_committed_evaluations_tell_no_place_of_this_machine():
    for line in report.read_evaluations(ROOT / "weights" / report.EVALUATIONS):
        assert not re.search(r"(^|[\s=])/", line["command"])


def test_every_shipped_model_has_its_numbers_in_the_cards():
    text = (ROOT / "weights" / "README.md").read_text(encoding="utf-8")
    wanted = " ".join(re.findall(r"<!-- quality (.*?) -->", text)).split()
    shipped = [f"{each.kind}/{each.name}" for each in catalogue.entries() if each.path.parent == ROOT / "weights"]
    assert {name for name in shipped if name not in wanted and name.partition("/")[0] not in wanted} == set()


def test_only_what_stands_between_the_marks_is_written_anew(repository):
    path = repository("before\n<!-- quality captioner -->\nold\n<!-- /quality -->\nafter | 1 |\n")
    assert main(["report"]) == 0
    text = path.read_text()
    assert text.startswith("before\n<!-- quality captioner -->\n\n| captioner |")
    assert text.endswith("|\n\n<!-- /quality -->\nafter | 1 |\n")
    assert cells(text, "`mine`") == ["0.200", "7"]


def test_writing_twice_changes_nothing(repository):
    path = repository(
        "<!-- quality captioner -->\n<!-- /quality -->\n<!-- quality captioner/mine -->\n<!-- /quality -->\n"
    )
    main(["report"])
    text = path.read_text()
    assert text.count("`mine`") == 2
    assert main(["report", "--check"]) == 0
    main(["report"])
    assert path.read_text() == text


def test_check_names_the_old_document_and_writes_nothing(repository, capsys):
    path = repository("<!-- quality captioner -->\nold\n<!-- /quality -->\n")
    assert main(["report", "--check"]) == 1
    assert "README.md is out of date: run make report" in capsys.readouterr().out
    assert "old" in path.read_text()


def test_an_evaluation_changes_the_document(repository):
    path = repository("<!-- quality captioner -->\n<!-- /quality -->\n")
    (catalogue.SHIPPED / report.EVALUATIONS).write_text(json.dumps(record("captioner", **{"BLEU-4": 0.25})) + "\n")
    main(["report"])
    assert cells(path.read_text(), "`mine`") == ["0.250", "1,000", "test"]


def test_models_of_the_users_own_are_not_published(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    shutil.copytree(catalogue.SHIPPED, tmp_path / "home")
    manifest = tmp_path / "home" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("captioner/mine", "captioner/secret"))
    path = repository("<!-- quality captioner -->\n<!-- /quality -->\n")
    main(["report"])
    assert "mine" in path.read_text()
    assert "secret" not in path.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- quality painter -->\n<!-- /quality -->\n", "names no shipped model"),
        ("<!-- quality captioner -->\nno end", "Add the missing one"),
    ],
)
def test_marks_that_fit_nothing_are_explained(text, said, repository, capsys):
    repository(text)
    assert main(["report"]) == 2
    assert said in capsys.readouterr().err


def test_outside_a_clone_the_report_says_where_it_belongs(repository, capsys):
    assert main(["report"]) == 2
    assert "README.md cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["{", '{"what": "captioner"}', "3", '{"what": "words", "n": 3, "split": "mine"}'])
def test_a_damaged_evaluation_is_named_by_its_line(line, tmp_path):
    (tmp_path / "lines.jsonl").write_text(json.dumps(record("captioner")) + f"\n{line}\n")
    with pytest.raises(DataError, match=r"lines\.jsonl, line 2"):
        report.read_evaluations(tmp_path / "lines.jsonl")


def test_numbers_of_other_weights_are_never_shown():
    stale = record("captioner", sha256="b" * 64, **{"BLEU-4": 0.9})
    assert cells(report.tables([entry("captioner", **{"BLEU-4": 0.2, "n": 7})], [stale]), "`mine`") == ["0.200", "7"]


def test_test_split_counts_before_number_of_pictures_before_time():
    lines = [
        record("damsm", n=9, split="dev"),
        record("damsm", n=5, time=1),
        record("damsm", n=5, time=2),
        record("damsm", n=4, time=3),
        record("words", n=99),
    ]
    assert report.measured("damsm", "a" * 64, lines) == lines[2]
    assert report.measured("damsm", "a" * 64, lines[:1]) == lines[0]
    assert report.measured("cycle", "a" * 64, lines) == {}


def test_captioners_are_shown_beside_the_nearest_neighbour():
    numbers = {"BLEU-1": 0.5, "BLEU-4": 0.2021, "CIDEr-D": 0.5}
    lines = [record("captioner", beam=3, **numbers), record("nearest", None, **{"BLEU-1": 0.4, "BLEU-4": 0.08})]
    text = report.tables([entry("captioner")], lines)
    assert cells(text, "captioner") == ["BLEU-1", "BLEU-4", "CIDEr-D", "beam", "photographs", "split"]
    assert cells(text, "`mine`") == ["0.500", "0.202", "0.500", "3", "1,000", "test"]
    assert cells(text, "nearest") == ["0.400", "0.080", "", "", "1,000", "test"]


def test_the_nearest_neighbour_of_other_data_is_not_shown_beside_a_captioner():
    lines = [
        record("captioner", command="telephonegan evaluate captioner mine --data clothes", **{"BLEU-4": 0.7}),
        record("nearest", None, command="telephonegan evaluate nearest --data flickr8k", **{"BLEU-4": 0.1}),
        record("nearest", None, n=5, command="telephonegan evaluate nearest --data clothes", **{"BLEU-4": 0.6}),
    ]
    text = report.tables([entry("captioner")], lines)
    assert cells(text, "nearest")[0] == "0.600"
    assert "nearest" not in report.tables([entry("captioner")], lines[:2])


def test_generators_are_shown_with_floor_and_photographs():
    text = report.tables([entry("generator")], [GENERATOR])
    assert text.startswith(
        "| `mine`, 1,000 captions of the test split | measured | floor | photographs |\n|---|---|---|---|"
    )
    assert cells(text, "R-precision 1/50 by judge/j") == ["0.377 ± 0.047", "0.008 shuffled, 0.020 guessing", "0.355"]
    assert cells(text, "the same, scaled") == ["1.06", "0", "1"]
    assert cells(text, "KID-lite2") == ["0.0306", "", "-0.0004 (train against test+dev)"]
    assert cells(text, "FID-tf, 1,000 pictures") == ["20.0", "", ""]
    assert cells(text, "FID-tf, 500 pictures") == ["30.0", "", "10.0 (train against test+dev)"]
    as_many = report.tables([entry("generator")], [{**GENERATOR, "n_ceiling": 1000}])
    assert cells(as_many, "FID-tf") == ["20.0", "", "10.0 (train against test+dev)"]
    assert cells(text, "difference of 16-px") == ["0.37, 0.51", "0", "0.56 between two"]
    assert "std" not in text
    assert "distance of Lite2" not in text
    assert text.endswith("Measured by `telephonegan evaluate generator mine --data d`.")


def test_generators_of_the_same_data_and_size_are_compared_the_best_matching_first():
    command = "telephonegan evaluate generator NAME --data flowers --pixels 64"
    numbers = {
        **GENERATOR,
        "command": command,
        "lite2_pixels": "64, enlarged to 160",
        "size": 64,
        "r_precision_real": 0.4,
        "r_precision_scaled": 0.2,
    }
    lines = [
        {**numbers, "name": "gan-cls", "command": f"{command.replace('NAME', 'gan-cls')} --grid a.png"},
        {**numbers, "name": "ours", "sha256": "b" * 64, "r_precision_scaled": 0.5},
        {**numbers, "name": "ours", "sha256": "c" * 64, "r_precision_scaled": 0.6},  # measured later
        {**numbers, "name": "other-data", "command": command.replace("flowers", "birds")},
        {**numbers, "name": "other-size", "lite2_pixels": "128, enlarged to 160"},
    ]
    block = "<!-- quality compared flowers 64 -->\n<!-- /quality -->"
    text = report.regenerated(block, [], lines)
    assert cells(text, "`gan-cls`")[1] == "0.20" and cells(text, "`ours`")[1] == "0.60"
    assert text.index("`ours`") < text.index("`gan-cls`") < text.index("| photographs |")
    assert cells(text, "photographs")[0] == "0.400"
    assert "other-" not in text and text.count(f"`{command}`") == 1
    with pytest.raises(DataError, match="finds no generator measured with that data"):
        report.regenerated(block.replace("64", "32"), [], lines)


def test_words_and_cycles_stand_with_their_generator():
    kinds = {"colour": {"n": 1200, "margin": 0.1234, "both_prefer": 0.456, "photographs_prefer": 0.8}}
    cycle = {"captioner": "c", "CIDEr-D": 0.35, "CIDEr-D_shuffled": 0.05, "CIDEr-D_photographs": 0.5}
    text = report.tables([entry("generator")], [GENERATOR, record("words", kinds=kinds), record("cycle", **cycle)])
    assert cells(text, "colour") == ["1,200", "0.123", "46 %", "80 %"]
    assert cells(text, "CIDEr-D of captions of the pictures, by captioner/c") == ["0.350", "0.050 shuffled", "0.500"]


def test_matching_models_of_both_kinds_share_a_table():
    recalls = {f"{way}_recall_{k}": k / 20 for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)}
    numbers = {"r_precision": 0.35, "r_precision_std": 0.05, "word_loss": 5.623, "sentence_loss": 5.269, **recalls}
    guessing = {"r_precision_chance": 0.01, "loss_chance": 9.21, "loss_batch": 100}
    measured = record("damsm", **numbers, **guessing)
    text = report.tables([entry("damsm"), entry("judge", "j", "c" * 64, r_precision=0.3, split="dev")], [measured])
    recall = "0.050, 0.250, 0.500"
    assert cells(text, "`damsm/mine`") == ["0.350 ± 0.050", recall, recall, "5.62", "5.27", "1,000", "test"]
    assert cells(text, "`judge/j`") == ["0.300", "", "", "", "", "", "dev"]
    assert "Guessing gives an R-precision of 0.01, and losses of 9.21" in text


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_report_runs_the_command(tmp_path):
    stamp = tmp_path / "stamp"
    stamp.touch()
    command = ["make", "-n", "--no-print-directory", "report", f"RUNTIME_STAMP={stamp}"]  # make may run the tests
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [".venv/bin/telephonegan", "report"]


def test_unusual_ways_of_measuring_have_rows_of_their_own_and_never_the_main_one():
    usual = {**GENERATOR, "size": 128, "lite2_pixels": "128, enlarged to 160", "best_of": 1, "truncation": 1.0}
    small = {**usual, "lite2_pixels": "64, enlarged to 160", "kid_lite2": 0.0111}
    best = {**usual, "best_of": 8, "kid_lite2": 0.0222, "r_precision_scaled": 1.77}
    for records in ([usual, small, best], [best, small, usual]):
        told = report.tables([entry("generator")], records)
        assert "| KID-lite2 | 0.0306" in told
        assert "KID-lite2: all resized to 64 px, 1,000 captions | 0.0111" in told
        assert "R-precision, scaled: the best of 8, 1,000 captions | 1.77" in told
        assert "KID-lite2: the best of 8, 1,000 captions | 0.0222" in told


def test_codes_have_their_reconstructions_beside_nearest_neighbours():
    place = {"name": "photos", "path": ROOT, "size": 0, "file": "x", "sha256": "cc"}
    entry = catalogue.Entry(kind="ppgn", architecture="ppgn", settings={}, **place)
    found = {"what": "ppgn", "sha256": "cc", "split": "test", "n": 9, "n_train": 90, "command": "telephonegan evaluate"}
    table = report.tables([entry], [found | {"psnr": 13.21, "psnr_nearest": 10.24}])
    assert "| `photos`, 9 photographs of the test split | painted | nearest of 90 training photographs |" in table
    assert "| PSNR, dB | 13.2 | 10.2 |" in table


def test_sampled_classes_are_told_way_by_way_and_need_no_split(tmp_path):
    place = {"name": "photos", "path": ROOT, "size": 0, "file": "x", "sha256": "cc"}
    entry = catalogue.Entry(kind="ppgn", architecture="ppgn", settings={}, **place)
    way = {"n": 6, "right": 0.5, "right_5": 0.75, "own": 0.9, "diversity": 12.34}
    guided = {"what": "guided", "sha256": "cc", "n": 6, "classes": ["junco", "alp"], "seeds": 3, "steps": 50}
    guided |= {"judge": "lite2", "network": "lite0", "generator": "flickr8k", "joint": way, "none": way}
    guided |= {"text": {"n": 0}, "command": "telephonegan evaluate guided"}
    file = tmp_path / "evaluations.jsonl"
    file.write_text(json.dumps(guided) + "\n")
    table = report.tables([entry], report.read_evaluations(file))
    assert "| 2 classes, 3 seeds each, 50 steps | Lite2 names the class |" in table
    assert cells(table, "joint prior") == ["50 %", "75 %", "0.90", "12.3", "6"]
    assert cells(table, "`flickr8k`, with the name") == ["", "", "", "", "0"]
    assert "Lite2 names" not in report.tables([entry], [])


def test_axes_have_their_measurements_from_the_manifest():
    one = {"slope": 0.9, "spearman": 1.0, "leakage": 0.3, "locked_slope": 0.7, "locked_leakage": 0.0123}
    told = {"names": ["age", "warmth"], "r2": [0.5, 0.25], "generator": "faces", "measured": {"age": one}}
    place = {"name": "faces", "path": ROOT, "size": 0, "file": "x"}
    entry = catalogue.Entry(kind="axes", architecture="axes", settings=told, **place)
    free = catalogue.Entry(kind="generator", architecture="free", settings={"network": {}}, **place)
    table = report.tables([entry, free], [])
    assert "| axes of `faces` | R² held out | slope |" in table
    assert "| age | 0.50 | 0.90 | 1.00 | 0.30 | 0.70 | 0.012 |" in table and "| warmth | 0.25 |" in table
