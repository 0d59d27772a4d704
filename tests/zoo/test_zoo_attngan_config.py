"""AttnGAN's YAML files: what they change, what they leave, and what is said to mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from telephonegan.errors import SettingsError
from telephonegan.zoo.attngan_config import read_config


@pytest.fixture
def written(tmp_path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / "settings.yml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def complaint(written):
    """What is said about a file that must be refused."""

    def read(content: str | bytes) -> str:
        path = written(content)
        with pytest.raises(SettingsError) as caught:
            read_config(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    return read


EVALUATION = """
CONFIG_NAME: 'attn2'
DATASET_NAME: 'coco'
DATA_DIR: '../data/coco'
GPU_ID: 3
WORKERS: 1
B_VALIDATION: False
TREE:
    BRANCH_NUM: 3
TRAIN:
    FLAG: False
    NET_G: '../models/netG.pth'
    B_NET_D: False
    BATCH_SIZE: 100
    NET_E: '../encoders/text_encoder.pth'
GAN:
    DF_DIM: 96
    GF_DIM: 48
    Z_DIM: 100
    R_NUM: 3
TEXT:
    EMBEDDING_DIM: 256
    CAPTIONS_PER_IMAGE: 5
    WORDS_NUM: 20
"""
TRAINING = """
CONFIG_NAME: 'DAMSM'
TREE: {BRANCH_NUM: 1, BASE_SIZE: 299}
TRAIN:
    FLAG: True
    BATCH_SIZE: 48
    MAX_EPOCH: 600
    SNAPSHOT_INTERVAL: 50
    ENCODER_LR: 0.002
    RNN_GRAD_CLIP: 0.25
    SMOOTH: {GAMMA1: 4.0, GAMMA2: 5.0, GAMMA3: 10.0, LAMBDA: 50.0}
"""


def test_a_sampling_file_is_read_over_the_defaults(written):
    config = read_config(written(EVALUATION))
    assert (config.GAN.GF_DIM, config.GAN.R_NUM, config.TEXT.WORDS_NUM) == (48, 3, 20)
    assert (config.TRAIN.NET_G, config.TRAIN.FLAG) == ("../models/netG.pth", False)
    assert (config.GAN.CONDITION_DIM, config.GAN.B_DCGAN, config.TRAIN.MAX_EPOCH) == (100, False, 600)


def test_a_training_file_reaches_the_inner_section(written):
    config = read_config(written(TRAINING))
    assert config.TRAIN.SMOOTH == {"GAMMA1": 4.0, "GAMMA2": 5.0, "GAMMA3": 10.0, "LAMBDA": 50.0}
    assert (config.TREE.BASE_SIZE, config.TRAIN.ENCODER_LR, config.TRAIN.GENERATOR_LR) == (299, 0.002, 0.0002)


def test_an_empty_file_gives_the_published_defaults(written):
    config = read_config(written("# nothing yet\n"))
    assert (config.DATASET_NAME, config.RNN_TYPE, config.CUDA, config.WORKERS) == ("birds", "LSTM", True, 6)
    assert config.GAN == {
        "DF_DIM": 64,
        "GF_DIM": 128,
        "Z_DIM": 100,
        "CONDITION_DIM": 100,
        "R_NUM": 2,
        "B_ATTENTION": True,
        "B_DCGAN": False,
    }
    assert config.TRAIN.SMOOTH == {"GAMMA1": 5.0, "GAMMA2": 5.0, "GAMMA3": 10.0, "LAMBDA": 1.0}


def test_one_file_changes_nothing_for_the_next(written):
    read_config(written(EVALUATION)).TRAIN.SMOOTH.LAMBDA = 7.0
    config = read_config(written(""))
    assert (config.GAN.GF_DIM, config.TRAIN.SMOOTH.LAMBDA) == (128, 1.0)


def test_a_whole_number_does_for_a_fraction(written):
    gamma = read_config(written("TRAIN: {SMOOTH: {GAMMA1: 4}}")).TRAIN.SMOOTH.GAMMA1
    assert gamma == 4.0 and isinstance(gamma, float)


def test_an_unknown_key_is_named_with_those_of_its_section_and_a_guess(complaint):
    said = complaint("GAN: {GFDIM: 48}")
    assert "GAN.GFDIM" in said and "Did you mean GAN.GF_DIM?" in said
    assert "DF_DIM" in said and "CONDITION_DIM" in said and "BATCH_SIZE" not in said


def test_an_unknown_key_like_no_other_gets_no_guess(complaint):
    said = complaint("QUUX: 1")
    assert "QUUX" in said and "Did you mean" not in said and "DATA_DIR" in said


def test_a_key_of_an_inner_section_is_not_known_outside_it(complaint):
    assert "GAMMA1" in complaint("TRAIN: {GAMMA1: 4.0}")


@pytest.mark.parametrize(
    ("line", "named", "allowed"),
    [
        ("GAN: {GF_DIM: 48.0}", "GAN.GF_DIM", "whole number"),
        ("GAN: {GF_DIM: true}", "GAN.GF_DIM", "whole number"),
        ("GAN: {B_DCGAN: 1}", "GAN.B_DCGAN", "True or False"),
        ("TRAIN: {NET_G: 3}", "TRAIN.NET_G", "text"),
        ("TRAIN: {NET_G: }", "TRAIN.NET_G", "text"),
        ("TRAIN: {ENCODER_LR: 2e-4}", "TRAIN.ENCODER_LR", "such as 0.0002"),
        ("TRAIN: {ENCODER_LR: true}", "TRAIN.ENCODER_LR", "such as 0.0002"),
        ("TRAIN: {ENCODER_LR: .nan}", "settings.yml", "finite"),
        ("TRAIN: {SMOOTH: 5}", "TRAIN.SMOOTH", "section"),
        ("GAN: ", "GAN", "section"),
        ("WORKERS: [1]", "WORKERS", "whole number"),
        ("WORKERS: {a: 1}", "WORKERS", "whole number"),
    ],
)
def test_a_value_of_another_kind_is_refused(complaint, line, named, allowed):
    said = complaint(line)
    assert f"{named} is" in said and allowed in said


@pytest.mark.parametrize(
    "content",
    ["GAN: {GF_DIM: 48", "GAN:\n\tGF_DIM: 48", "a: &b *b", "a: 2020-99-99", b"\xff\x00\x13", "!!python/object:os.x {}"],
)
def test_damaged_yaml_is_told(complaint, content):
    assert "damaged" in complaint(content)


@pytest.mark.parametrize("content", ["- 1\n- 2\n", "just a text", "5"])
def test_yaml_without_settings_is_told(complaint, content):
    assert "KEY: VALUE" in complaint(content)


def test_a_value_that_doubles_at_every_level_is_told_briefly(complaint):
    levels = "\n".join(f"  - &l{i} [*l{i - 1}, *l{i - 1}]" for i in range(1, 60))
    assert len(complaint(f"WORKERS:\n  - &l0 [x]\n{levels}\n")) < 1000


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path / "none.yml", tmp_path):
        with pytest.raises(SettingsError, match="cannot be read"):
            read_config(path)
