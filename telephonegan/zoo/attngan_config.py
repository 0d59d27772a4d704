"""Settings of AttnGAN's YAML files, checked against the defaults they change."""

from __future__ import annotations

import difflib
import math
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easydict import EasyDict

from telephonegan.errors import SettingsError
from telephonegan.files import expanded
from telephonegan.records import read_yaml

_DEFAULTS: dict[str, Any] = {
    "DATASET_NAME": "birds",
    "CONFIG_NAME": "",
    "DATA_DIR": "",
    "GPU_ID": 0,
    "CUDA": True,
    "WORKERS": 6,
    "RNN_TYPE": "LSTM",
    "B_VALIDATION": False,
    "TREE": {"BRANCH_NUM": 3, "BASE_SIZE": 64},
    "TRAIN": {
        "BATCH_SIZE": 64,
        "MAX_EPOCH": 600,
        "SNAPSHOT_INTERVAL": 2000,
        "DISCRIMINATOR_LR": 2e-4,
        "GENERATOR_LR": 2e-4,
        "ENCODER_LR": 2e-4,
        "RNN_GRAD_CLIP": 0.25,
        "FLAG": True,
        "NET_E": "",
        "NET_G": "",
        "B_NET_D": True,
        "SMOOTH": {"GAMMA1": 5.0, "GAMMA2": 5.0, "GAMMA3": 10.0, "LAMBDA": 1.0},
    },
    "GAN": {
        "DF_DIM": 64,
        "GF_DIM": 128,
        "Z_DIM": 100,
        "CONDITION_DIM": 100,
        "R_NUM": 2,
        "B_ATTENTION": True,
        "B_DCGAN": False,
    },
    "TEXT": {"CAPTIONS_PER_IMAGE": 10, "EMBEDDING_DIM": 256, "WORDS_NUM": 18},
}
_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a finite number, such as 0.0002",
    str: "a text",
    dict: "a section: lines KEY: VALUE, indented under it",
}


def read_config(path: str | os.PathLike[str]) -> EasyDict:
    """The settings of one of AttnGAN's YAML files, over AttnGAN's defaults: `config.TRAIN.NET_G` and so on.

    Sections, keys and defaults are those of the published code (Xu et al., "AttnGAN: Fine-Grained Text to Image
    Generation with Attentional GANs", 2018). Whole numbers are accepted as floats. Raises SettingsError for a
    missing or damaged file, an unknown key, and a value of the wrong type.

    >>> read_config("cfg/eval_coco.yml").GAN.GF_DIM  # doctest: +SKIP
    48
    """
    path = expanded(path)
    return EasyDict(_merged(_DEFAULTS, read_yaml(path, SettingsError), path))


def _merged(defaults: dict[str, Any], given: Mapping[Any, Any], path: Path, section: str = "") -> dict[str, Any]:
    unknown = next((key for key in given if key not in defaults), None)
    if unknown is not None:
        raise SettingsError(f"{path}: {_unknown(unknown, defaults, section)}")
    changed = {key: _checked(defaults[key], value, path, section + key) for key, value in given.items()}
    return {**defaults, **changed}


def _unknown(key: Any, defaults: dict[str, Any], section: str) -> str:
    near = difflib.get_close_matches(str(key).upper(), defaults, n=1)
    guess = f" Did you mean {section}{near[0]}?" if near else ""
    where = f"section {section.rstrip('.')}" if section else "top level"
    return f"no setting is called {section}{key}.{guess} The {where} has {', '.join(defaults)}."


def _checked(default: Any, value: Any, path: Path, name: str) -> Any:
    if isinstance(default, dict) and isinstance(value, Mapping):
        return _merged(default, value, path, f"{name}.")
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default) or (isinstance(value, float) and not math.isfinite(value)):
        raise SettingsError(f"{path}: {name} is {_KINDS[type(default)]}; {reprlib.repr(value)} was given.")
    return value
