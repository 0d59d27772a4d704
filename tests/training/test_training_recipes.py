import dataclasses

import pytest

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
    with pytest.raises(SettingsError, match="not for damsm"):
        recipes.recipe_class("damsm", GanSettings())


def test_an_unknown_recipe_lists_those_there_are():
    with pytest.raises(SettingsError, match=r"'vqgan'.*captioner, damsm, attngan"):
        recipes.settings_of("vqgan", "cpu", None, [])


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


# ------------------------------------------------------------------------------------------- settings one by one


@dataclasses.dataclass(frozen=True)
class Settings:
    size: int = 8
    rate: float = 0.5
    name: str = "lite0"
    mirrored: bool = True


def test_texts_become_values_of_the_settings_own_types():
    found = recipes.changed(Settings(), ["size=12", "rate=1e-3", "name=lite2", "mirrored=False"])
    assert found == Settings(12, 0.001, "lite2", False)
    assert isinstance(found.size, int)


def test_no_assignment_changes_nothing_and_the_last_of_two_counts():
    assert recipes.changed(Settings(), []) == Settings()
    assert recipes.changed(Settings(), ["size=1", "size=2"]).size == 2


def test_a_value_may_hold_an_equals_sign():
    assert recipes.changed(Settings(), ["name=a=b"]).name == "a=b"


@pytest.mark.parametrize("assignment", ["colour=3", "size", "", "=3", "Size=3"])
def test_an_unknown_setting_lists_those_there_are(assignment):
    with pytest.raises(SettingsError, match="size, rate, name, mirrored"):
        recipes.changed(Settings(), [assignment])


@pytest.mark.parametrize("assignment", ["size=1.5", "size=big", "size=", "rate=fast", "mirrored=maybe"])
def test_a_value_of_another_type_is_named_with_the_type_wanted(assignment):
    key, _, value = assignment.partition("=")
    with pytest.raises(SettingsError, match=f"{key}.*{value!r}"):
        recipes.changed(Settings(), [assignment])


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_a_setting_is_a_finite_number(text):
    with pytest.raises(SettingsError, match="rate"):
        recipes.changed(Settings(), [f"rate={text}"])


def test_a_wrong_switch_is_told_what_can_be_written():
    with pytest.raises(SettingsError, match=r"true or false"):
        recipes.changed(Settings(), ["mirrored=yes"])


def test_settings_of_a_dictionary_are_those_of_the_texts():
    texts = recipes.assignments_of({"size": 12, "rate": 1e-3, "mirrored": False})
    assert recipes.changed(Settings(), texts) == Settings(12, 0.001, mirrored=False)
