import json

import pytest
import torch
from PIL import Image

from telephonegan.captioning import Captioner
from telephonegan.cli.main import main
from telephonegan.data.layouts import open_data
from telephonegan.data.packs import write_pack
from telephonegan.data.shapes import write_world
from telephonegan.errors import DataError
from telephonegan.generation import Generator
from telephonegan.training.pieces import join_file, split_file
from telephonegan.zoo import catalogue

SMALL = (
    *("damsm.steps=3", "damsm.batch_size=8", "captioner.steps=3", "captioner.photos_per_batch=4"),
    *("generator.base_size=8", "generator.channels=4", "generator.batch_size=4", "generator.head_width=4"),
    *("captioner.words_limit=6", "generator.steps=4"),
)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A pack of shapes, three of them without captions."""
    folder = write_world(tmp_path_factory.mktemp("shapes") / "world", train=16, dev=4, test=4, size=32)
    for shade in range(3):
        Image.new("RGB", (32, 32), (0, shade, 200)).save(folder / "images" / f"lonely-{shade}.png")
    return write_pack(open_data(folder), folder.parent / "shapes.pack", size=32)


def train(shapes, root, *arguments):
    command = ["train", "world", "shapes", "--data", str(shapes), "--run", str(root), "--preset", "tiny"]
    return main([*command, "--threads", "1", "--device", "cpu", "--set", *SMALL, *map(str, arguments)])


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    root = tmp_path_factory.mktemp("run") / "shapes"
    assert train(shapes, root, "--parts", "damsm", "captioner", "generator", "--pieces") == 0
    return root


def test_a_world_is_trained_to_models_that_play(trained, monkeypatch, no_shipped_models):
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(trained / "models"))
    assert {entry.kind for entry in catalogue.entries()} == {"damsm", "captioner", "generator"}
    (picture,) = Generator.load("shapes", "cpu")(["a red circle"], seeds=[0])
    assert picture.image.size == (16, 16)
    assert Captioner.load("shapes", "cpu")([picture.image])[0].model == "shapes"


def test_the_generator_learns_from_the_captioners_words_too(trained):
    told = open_data(trained / "told.pack")
    assert [name for name in told.splits["train"] if name.startswith("lonely")]
    record = json.loads((trained / "generator" / "run.json").read_text())
    assert record["options"]["data"].endswith("told.pack")
    assert json.loads((trained / "captioner" / "run.json").read_text())["options"]["data"].endswith("shapes.pack")


def test_called_again_it_joins_the_pieces_and_goes_on(trained, shapes):
    for run in ("damsm", "captioner", "generator"):
        assert not (trained / run / "checkpoint.pt").exists()
    more = ["damsm", "captioner", "generator", "--set", *SMALL, "generator.steps=5"]
    assert train(shapes, trained, "--parts", *more) == 0
    assert torch.load(trained / "generator" / "checkpoint.pt", weights_only=True)["step"] == 5
    assert torch.load(trained / "captioner" / "checkpoint.pt", weights_only=True)["step"] == 3


def test_without_time_nothing_is_begun_and_that_is_said(shapes, tmp_path, capsys):
    assert train(shapes, tmp_path / "run", "--minutes", 0) == 0
    assert "Run the same command again" in capsys.readouterr().out
    assert not (tmp_path / "run" / "damsm").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "world", "--run", "r"], "needs a name"),
        (["train", "world", "Birds!", "--data", "d", "--run", "r"], "cannot name a model"),
        (["train", "world", "fashion", "--data", "d", "--run", "r"], "name of a shipped model"),
        (["train", "world", "birds", "--data", "d", "--run", "r", "--preset", "cpu"], "preset must be one of"),
        (["train", "world", "birds", "--data", "d", "--run", "r", "--set", "steps=3"], "RUN.KEY=VALUE"),
        (["train", "damsm", "birds", "--data", "d", "--run", "r"], "are for `train world` only"),
    ],
)
def test_what_a_world_needs_is_told_before_anything_is_written(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------- pieces


def test_a_file_is_split_and_joined_again(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(bytes(range(100)))
    assert [piece.name for piece in split_file(path, limit=40)] == [f"checkpoint.pt.00{i}" for i in range(3)]
    assert not path.exists()
    assert join_file(path)
    assert path.read_bytes() == bytes(range(100))
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert not join_file(path)


@pytest.mark.parametrize("harm", ["missing", "changed", "list"])
def test_a_damaged_piece_is_named_and_nothing_is_lost(tmp_path, harm):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(bytes(100))
    split_file(path, limit=40)
    if harm == "missing":
        (tmp_path / "checkpoint.pt.001").unlink()
    elif harm == "changed":
        (tmp_path / "checkpoint.pt.001").write_bytes(b"other")
    else:
        (tmp_path / "checkpoint.pt.sha256").write_text("../../x y z\n")
    with pytest.raises(DataError, match=r"checkpoint\.pt\."):
        join_file(path)
    assert not path.exists() and (tmp_path / "checkpoint.pt.000").exists()
