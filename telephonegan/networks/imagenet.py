"""ImageNet's 1,000 classes by name or number; the names are torchvision's, which come with the package."""

from __future__ import annotations

import difflib
from functools import cache

from telephonegan.errors import SettingsError


@cache
def class_names() -> tuple[str, ...]:
    """The names of the classes, in their order.

    >>> class_names()[13]
    'junco'
    """
    from torchvision.models import EfficientNet_B0_Weights

    return tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])


def class_number(wanted: str | int) -> int:
    """The number of a class, given by name, in any case and perhaps with underscores, or by number, perhaps as text.

    Raises SettingsError with the nearest names.

    >>> class_number("Golden retriever"), class_number("13")
    (207, 13)
    """
    names = class_names()
    typed = str(wanted).strip()
    if typed.isdecimal():
        if int(typed) < len(names):
            return int(typed)
        raise SettingsError(f"There is no class {typed}: ImageNet's classes are numbered from 0 to {len(names) - 1}.")
    if typed in names:  # there is a dog called Cardigan, and the cardigan
        return names.index(typed)
    by_name = {name.lower(): number for number, name in enumerate(names)}
    name = " ".join(typed.replace("_", " ").lower().split())
    if name in by_name:
        return by_name[name]
    near = [names[by_name[each]] for each in _nearest(name, list(by_name))]
    hint = f" The nearest are {', '.join(near)}." if near else ""
    raise SettingsError(f"ImageNet has no class {wanted!r}.{hint} A number from 0 to {len(names) - 1} works too.")


def _nearest(name: str, names: list[str]) -> list[str]:
    """Names that contain a word of it, then those spelt like it."""
    words = [word for word in name.split() if len(word) > 2]
    sharing = [each for each in names if any(word in each.split() for word in words)]
    return list(dict.fromkeys([*sharing[:6], *difflib.get_close_matches(name, names, n=4, cutoff=0.6)]))[:6]
