"""Shared set-up: few threads, no user's own models in sight, and a door to the shared reference data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from torch import nn

# Fixtures of several folders.
pytest_plugins = ["tests.chromium", "tests.drawn_data", "tests.judging", "tests.small_experiments"]

torch.set_num_threads(1)
# With these set, pytest works out every difference of two values that should be equal: hours, where they are pictures.
for variable in ("CI", "BUILD_NUMBER"):
    os.environ.pop(variable, None)
# Timing per example says nothing on a loaded machine.
hypothesis.settings.register_profile("telephonegan", deadline=None)
hypothesis.settings.load_profile("telephonegan")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps tests away from the models of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELEPHONEGAN_HOME", str(tmp_path_factory.mktemp("telephonegan-home")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data next to the repository; tests that need it are skipped without it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"reference data is not here: no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def no_shipped_models(private_home: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights without models, to stand in for the repository's own."""
    folder = tmp_path_factory.mktemp("no-shipped-models")
    (folder / "manifest.json").write_text('{"format": 1, "models": {}}')
    return folder


@pytest.fixture(scope="session")
def registered(private_home: None) -> str:
    from tests.tiny import NAME, register_tiny

    register_tiny()
    return NAME


@pytest.fixture
def tiny(registered: str, no_shipped_models: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the only captioner, text encoder and generator there are; their weights are random."""
    monkeypatch.setattr("telephonegan.zoo.catalogue.SHIPPED", no_shipped_models)
    return registered


@pytest.fixture(scope="session")
def registered_free(registered: str) -> str:
    from tests.tiny import register_free

    register_free()
    return "free"


@pytest.fixture
def free(tiny: str, registered_free: str):
    """A generator without text, of random weights."""
    from telephonegan.generation import Generator

    return Generator.load(registered_free, "cpu")


@pytest.fixture(scope="session")
def registered_codes(registered: str, no_shipped_models: Path) -> str:
    """Under the name that the commands use by default, which is taken by a shipped one."""
    from tests.tiny import register_codes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("telephonegan.zoo.catalogue.SHIPPED", no_shipped_models)
        register_codes()
    return "photos"


@pytest.fixture
def codes(tiny: str, registered_codes: str) -> str:
    """The name of the only generator of codes, of random weights and 16 pixels."""
    return registered_codes


@pytest.fixture
def phone(tiny: str):
    """A telephone of the tiny models."""
    from telephonegan.telephone import load

    return load(tiny, tiny, "cpu")


# --------------------------------------------------------------------------------------------------- published networks


@pytest.fixture(scope="session")
def formula(shared: Path) -> Any:
    from tests.formula import Formula

    return Formula(shared / "golden" / "formula")


@pytest.fixture(scope="session")
def published_keys(shared: Path) -> Callable[[str], dict[str, tuple[int, ...]]]:
    """Names and shapes of a published network's tensors, in their order."""
    tables = json.loads((shared / "golden" / "key_tables.json").read_text(encoding="utf-8"))
    return lambda net: {name: tuple(shape) for name, shape in tables[net]["keys"]}


@pytest.fixture(scope="session")
def keys_of() -> Callable[[nn.Module], dict[str, tuple[int, ...]]]:
    """Names and shapes of a network's tensors as files of the first torch versions held them."""
    return lambda net: {
        name: tuple(tensor.shape)
        for name, tensor in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
