"""Servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the server needs the extra [serve]")

from tests.servers import Running, running
from tests.tiny import register_axes


@pytest.fixture(scope="module")
def only_tiny(registered: str, registered_free: str, no_shipped_models: Path) -> Iterator[None]:
    """The tiny models are the only ones there are, and axes of both generators."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("telephonegan.zoo.catalogue.SHIPPED", no_shipped_models)
        for generator in (registered, registered_free):
            register_axes(f"of-{generator}", generator)
        yield


@pytest.fixture(scope="module")
def server(only_tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the usual limits."""
    with running(tmp_path_factory.mktemp("pictures")) as here:
        yield here


@pytest.fixture
def serving(only_tiny: None, tmp_path: Path) -> Callable[..., Any]:
    """Starts a server with settings of its own."""
    return lambda **settings: running(tmp_path / "pictures", **settings)


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG file."""
    buffer = BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((96, 64)).save(buffer, "JPEG")
    return buffer.getvalue()
