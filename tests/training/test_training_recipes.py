import pytest

from telephonegan.cli.main import main
from telephonegan.data.shapes import write_world
from telephonegan.errors import DataError, SettingsError
from telephonegan.training import recipes
from telephonegan.training.attngan import GanRecipe, GanSettings
from telephonegan.training.published_attngan import PublishedGanRecipe, PublishedGanSettings


@pytest.mark.parametrize("name", recipes.NAMES)
def test_every_preset_has_its_recipe(name):
    for settings in recipes.presets(name).values():
        assert isinstance(recipes.recipe_class(name, settings), type)


def test_settings_tell_the_recipe():
    assert recipes.recipe_class("attngan", GanSettings()) is GanRecipe
    assert recipes.recipe_class("attngan", PublishedGanSettings()) is PublishedGanRecipe
    with pytest.raises(SettingsError, match="not of damsm"):
        recipes.recipe_class("damsm", GanSettings())


def test_an_unknown_preset_lists_those_there_are():
    with pytest.raises(SettingsError, match=r"'huge'.*cpu.*birds"):
        recipes.settings_of("attngan", "huge", None, [])


def test_a_file_changes_the_preset_and_what_is_typed_changes_the_file(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text("batch_size: 8\nlearning_rate: 0.001\nmirror: false\n")
    found = recipes.settings_of("attngan", "cpu", path, ["batch_size=16"])
    assert (found.batch_size, found.learning_rate, found.mirror) == (16, 0.001, False)


def test_attngans_own_file_becomes_settings_of_the_published_recipe(tmp_path):
    path = tmp_path / "bird_attn2.yml"
    path.write_text(
        "CONFIG_NAME: 'attn2'\nDATASET_NAME: 'birds'\nTREE:\n  BRANCH_NUM: 3\nTRAIN:\n  FLAG: True\n  BATCH_SIZE: 20\n"
        "  SMOOTH:\n    LAMBDA: 5.0\nGAN:\n  GF_DIM: 32\n  DF_DIM: 64\n"
    )
    found = recipes.settings_of("attngan", "cpu", path, ["batch_size=4"])
    assert isinstance(found, PublishedGanSettings)
    assert (found.matching_weight, found.batch_size, found.generator_channels) == (5.0, 4, 32)


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        ("batchsize: 8", SettingsError, "batchsize"),
        ("batch_size: many", SettingsError, "whole number"),
        ("- 1\n- 2", DataError, "KEY"),
        ("a: [", DataError, "YAML"),
        (None, DataError, "cannot be read"),
    ],
)
def test_a_file_of_settings_that_cannot_be_used_is_explained(tmp_path, content, kind, told):
    path = tmp_path / "mine.yml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(kind, match=told):
        recipes.settings_of("attngan", "cpu", path, [])


# ------------------------------------------------------------------------------------------- from the command line


@pytest.fixture
def world(tmp_path):
    return write_world(tmp_path / "world", train=12, dev=4, test=4, size=48)


def train(*arguments):
    return main(["train", *map(str, arguments)])


SMALL = ("batch_size=4", "views=1", "width=16", "word_width=8")


def test_resume_goes_on_as_the_run_was_begun(world, tmp_path, capsys, monkeypatch):
    begun = ("damsm", "--data", world, "--run", tmp_path / "a", "--preset", "tiny", "--seed", 3, "--set", *SMALL)
    assert train(*begun, "--steps", 4) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "a" / "log.jsonl").unlink()
    (tmp_path / "a" / "checkpoint.pt").unlink()
    assert train("--resume", "../a") == 0
    assert '"step": 4' in (tmp_path / "a" / "log.jsonl").read_text()


def test_a_run_starts_from_the_weights_of_another(world, tmp_path):
    import torch

    common = ("--data", world, "--preset", "tiny", "--cache", tmp_path / "cache")
    assert train("damsm", *common, "--run", tmp_path / "d", "--steps", 1, "--set", *SMALL) == 0
    small = ("batch_size=4", "channels=4", "head_width=4")
    gan = ("attngan", *common, "--damsm", tmp_path / "d", "--steps", 1)
    assert train(*gan, "--run", tmp_path / "two", "--set", *small) == 0
    assert train(*gan, "--run", tmp_path / "three", "--from", tmp_path / "two", "--set", *small, "branches=3",
                 "learning_rate=1e-12") == 0  # fmt: skip
    two, three = (torch.load(tmp_path / n / "checkpoint.pt", weights_only=True)["generator"] for n in ("two", "three"))
    for key in ("ca_net.fc.weight", "h_net2.upsample.1.weight"):
        torch.testing.assert_close(three[key], two[key])
    torch.testing.assert_close(three["h_net3.upsample.1.weight"], two["h_net2.upsample.1.weight"])


def test_broken_photographs_are_told_and_skipped(world, tmp_path, capsys):
    pictures = sorted((world / "images").glob("train*"))
    pictures[0].write_bytes(b"no picture")
    pictures[1].unlink()
    arguments = ("damsm", "--data", world, "--run", tmp_path / "run", "--preset", "tiny", "--steps", 1, "--set", *SMALL)
    assert train(*arguments) == 0
    said = "".join(capsys.readouterr())
    assert pictures[0].name in said and pictures[1].name in said and "2 of 12" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("damsm", "--run", "r"), "--data"),
        (("damsm", "--data", "nowhere", "--run", "r"), "nowhere"),
        ((), "--run"),
        (("--resume", "nowhere"), "nowhere"),
        (("attngan", "--data", "WORLD", "--run", "r"), "--damsm"),
        (("attngan", "--data", "WORLD", "--run", "r", "--damsm", "unknown"), "unknown"),
    ],
)
def test_what_is_missing_is_named(arguments, told, world, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert train(*(world if a == "WORLD" else a for a in arguments)) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "setting"),
    [
        *(("damsm", s) for s in ("batch_size=0", "batch_size=-1", "learning_rate=-1", "learning_rate=0", "width=0")),
        *(("damsm", s) for s in ("views=0", "dropout=2", "picture_size=0", "words_limit=0")),
        *(("attngan", s) for s in ("batch_size=1", "branches=9", "learning_rate=1e6", "twins=0.6")),
        *(("captioner", s) for s in ("photos_per_batch=0", "dropout=-1", "learning_rate=0")),
    ],
)
def test_a_setting_outside_its_range_is_refused_and_nothing_is_written(recipe, setting, world, tmp_path, capsys):
    more = ("--damsm", "flickr8k") if recipe == "attngan" else ()
    assert train(recipe, "--data", world, "--run", tmp_path / "run", "--preset", "tiny", *more, "--set", setting) == 2
    assert f"{setting.partition('=')[0]} must be" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option", [("--checkpoint-minutes", "nan"), ("--checkpoint-minutes", -1), ("--evaluate-every", 0)]
)
def test_an_option_outside_its_range_is_refused(option, world, tmp_path, capsys):
    assert train("damsm", "--data", world, "--run", tmp_path / "run", *option) == 2
    assert "must be from" in capsys.readouterr().err
