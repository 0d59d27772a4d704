"""The HTTP API: captions, pictures and games for other programs and for browsers. It needs the extra `[serve]`.

>>> from telephonegan.serving import Settings, serve
>>> serve(Settings(port=8000))  # doctest: +SKIP

`Client` talks to such a server, and needs no extra:

>>> from telephonegan.serving import Client
>>> Client("http://127.0.0.1:8000").caption("bear.jpg")["text"]  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telephonegan.serving.client import Client
    from telephonegan.serving.server import serve
    from telephonegan.serving.settings import Settings

__all__ = ["Client", "Settings", "serve"]

_HOMES = {"Client": "client", "Settings": "settings", "serve": "server"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"telephonegan.serving has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"telephonegan.serving.{_HOMES[name]}"), name)
