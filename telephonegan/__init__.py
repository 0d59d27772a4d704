"""telephonegan: the broken telephone between a captioner and a generator.

>>> import telephonegan as tg
>>> print(tg.caption("bear.jpg"))  # doctest: +SKIP
>>> tg.generate("a brown bear in the grass", seed=3)  # doctest: +SKIP
>>> tg.play(image="bear.jpg", rounds=8, seed=0).save("out/bear")  # doctest: +SKIP
>>> tg.guide(tg.generate("a dog in the grass"), toward="golden retriever")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from telephonegan.version import __version__ as __version__

if TYPE_CHECKING:
    from telephonegan.chains import Chain
    from telephonegan.embedding import Embedding, embed
    from telephonegan.errors import TelephoneganError
    from telephonegan.interpolation import Interpolation, interpolate
    from telephonegan.latent.guide import Guided, guide
    from telephonegan.results import Caption, Picture
    from telephonegan.telephone import Telephone, caption, generate, load, play, sample
    from telephonegan.zoo.table import ModelTable

__all__ = [
    "Caption",
    "Chain",
    "Embedding",
    "Guided",
    "Interpolation",
    "Picture",
    "Telephone",
    "TelephoneganError",
    "caption",
    "embed",
    "generate",
    "guide",
    "interpolate",
    "load",
    "models",
    "play",
    "sample",
]

# Everything is loaded on first use, which keeps the import cheap.
_HOMES = {
    "Caption": "results",
    "Chain": "chains",
    "Embedding": "embedding",
    "Guided": "latent.guide",
    "Interpolation": "interpolation",
    "Picture": "results",
    "Telephone": "telephone",
    "TelephoneganError": "errors",
    "caption": "telephone",
    "embed": "embedding",
    "generate": "telephone",
    "guide": "latent.guide",
    "interpolate": "interpolation",
    "load": "telephone",
    "play": "telephone",
    "sample": "telephone",
}


def models(kind: str | None = None) -> ModelTable:
    """All available models as a table: name, description, licence, size, measured quality.

    `kind` is one of `zoo.catalogue.KINDS`; None lists all, after the worlds: names under which there is
    one of each kind, with what they know and sentences that they do well. Raises UnknownModelError for other kinds.

    >>> telephonegan.models()  # doctest: +SKIP
    """
    from telephonegan.zoo.catalogue import entries
    from telephonegan.zoo.table import ModelTable
    from telephonegan.zoo.worlds import worlds

    found = entries(kind)
    return ModelTable(found, worlds(found) if kind is None else ())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"telephonegan has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"telephonegan.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
