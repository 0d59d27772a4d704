"""Validated reading of untrusted files: JSON, YAML and arrays that somebody else may have written.

Sizes, depths and declared lengths are checked before memory is allocated, types and ranges before a value is used, so
a damaged or hostile file ends in one library error that names the file, the field and what is allowed.
A type is a Python type or a dataclass of such types, with the ranges below.

>>> checked({"seed": -1}, dict[str, Seed], "chain.json")
Traceback (most recent call last):
telephonegan.errors.DataError: chain.json: seed must be a whole number from 0 to 4294967295; -1 was found.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, make_dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from reprlib import Repr
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from telephonegan.errors import DataError, TelephoneganError

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

_JSON_BYTES = 64_000_000
_YAML_BYTES = 500_000
_LONGEST_SCALAR = 10_000
_ARRAY_BYTES = 64_000_000
_MOST_ARRAYS = 100
_DEEPEST = 32
_shown = Repr()
_shown.maxstring = _shown.maxother = 60


# ---------------------------------------------------------------------------------------------------- types


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, in `Annotated[int, Range(0, 9)]`."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"from {self.low} to {self.high}"

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Form:
    """The texts that a regular expression matches in full, and their name in messages."""

    regex: str
    name: str

    def __str__(self) -> str:
        return f"that is {self.name}"

    def __contains__(self, value: str) -> bool:
        return re.fullmatch(self.regex, value) is not None


Count = Annotated[int, Range(0, 2**31 - 1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Probability = Annotated[float, Range(0, 1.0001)]  # single-precision sums may exceed 1
FileName = Annotated[str, Form(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,1000}", "a file name without control characters")]
PathName = Annotated[str, Form(r"[^\x00]{1,4000}", "a path")]
Sha256 = Annotated[str, Form(r"[0-9a-f]{64}", "64 hexadecimal digits")]


def checked(value: Any, kind: type[T], where: str, error: type[TelephoneganError] = DataError, remedy: str = "") -> T:
    """A JSON value as `kind`: a number, text, list, dict, union or dataclass, perhaps with a `Range` or `Form`.

    `where` names the file. Fields that a dataclass lacks are ignored; whole numbers are accepted as floats. Raises
    `error`, ending in the `remedy`.

    >>> checked([0, 7], list[Seed], "plan.json")
    [0, 7]
    """
    try:
        return _checker(kind).read(value)
    except _Misfit as misfit:
        raise error(f"{where}: {misfit} {remedy}".rstrip()) from None
    except TelephoneganError as cause:  # from a dataclass that checks its fields
        raise error(f"{where}: {cause} {remedy}".rstrip()) from cause


def misfit(value: Any, kind: Any) -> str | None:
    """What is wrong with a JSON value that must be of a type; None if it fits.

    >>> misfit("3", int | None)
    "must be a whole number or null; '3' was found"
    """
    try:
        _checker(kind).read(value)
    except _Misfit as problem:
        return str(problem).removeprefix("it ").removesuffix(".")
    return None


def record_of(cls: type, *without: str, **changed: Any) -> type:
    """The record type in which a dataclass is stored: its fields except `without`, some with other types."""
    hints = get_type_hints(cls, include_extras=True) | changed
    kept = [(each.name, hints[each.name], _like(each)) for each in fields(cls) if each.name not in without]
    return make_dataclass(cls.__name__, kept, kw_only=True)


def _like(each: Field) -> Field:
    return field(default=each.default, default_factory=each.default_factory)


class _Misfit(Exception):
    """A value that does not fit, and its path, which grows on the way up."""

    def __init__(self, allowed: str, found: Any, place: str = "") -> None:
        self.allowed, self.found, self.place = allowed, found, place

    def within(self, outer: str) -> _Misfit:
        inner = self.place if not self.place or self.place.startswith("[") else f".{self.place}"
        return _Misfit(self.allowed, self.found, outer + inner)

    def __str__(self) -> str:
        if self.found is MISSING:
            return f"{self.place} is missing; it must be {self.allowed}."
        return f"{self.place or 'it'} must be {self.allowed}; {_shown.repr(self.found)} was found."


@dataclass(frozen=True)
class _Checker:
    """What is allowed, in words, and a function that returns the value or raises `_Misfit`."""

    allowed: str
    read: Callable[[Any], Any]


@cache
def _checker(kind: Any) -> _Checker:
    origin, parts = get_origin(kind), get_args(kind)
    if kind in (Any, object):
        return _Checker("anything", lambda value: value)
    if origin is Annotated:
        return _limited(_checker(parts[0]), parts[1])
    if origin in (Union, UnionType):
        return _any_of([_checker(part) for part in parts])
    if origin is list:
        return _list(_checker(parts[0]))
    if origin is tuple:
        return _tuple([_checker(part) for part in parts if part is not ...], fixed=parts[-1] is not ...)
    if origin is dict:
        return _dict(_checker(parts[1]))
    return _record(kind) if is_dataclass(kind) else _plain(kind)


_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
    dict: "a table of values by name",
    list: "a list",
}


def _plain(kind: type) -> _Checker:
    allowed = _NAMES.get(kind, kind.__name__)

    def read(value: Any) -> Any:
        if kind is float and type(value) is int and abs(value) < 2**1000:
            return float(value)
        if type(value) is kind and (kind is not float or math.isfinite(value)):
            return value
        raise _Misfit(allowed, value)

    return _Checker(allowed, read)


def _limited(inner: _Checker, limit: Any) -> _Checker:
    allowed = f"{inner.allowed} {limit}"

    def read(value: Any) -> Any:
        try:
            found = inner.read(value)
        except _Misfit:
            raise _Misfit(allowed, value) from None
        if found not in limit:
            raise _Misfit(allowed, value)
        return found

    return _Checker(allowed, read)


def _any_of(options: list[_Checker]) -> _Checker:
    allowed = " or ".join(option.allowed for option in options)

    def read(value: Any) -> Any:
        inner = None
        for option in options:
            try:
                return option.read(value)
            except _Misfit as misfit:
                inner = misfit if misfit.place else inner
        raise inner or _Misfit(allowed, value)

    return _Checker(allowed, read)


def _list(part: _Checker) -> _Checker:
    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _Misfit("a list", value)
        return [_part(part, each, f"[{number}]") for number, each in enumerate(value)]

    return _Checker("a list", read)


def _tuple(parts: list[_Checker], *, fixed: bool) -> _Checker:
    allowed = f"a list of {len(parts)}" if fixed else "a list"

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or (fixed and len(value) != len(parts)):
            raise _Misfit(allowed, value)
        wanted = parts if fixed else parts * len(value)
        return tuple(_part(part, each, f"[{i}]") for i, (part, each) in enumerate(zip(wanted, value, strict=True)))

    return _Checker(allowed, read)


def _dict(part: _Checker) -> _Checker:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict or not all(type(name) is str for name in value):
            raise _Misfit(_NAMES[dict], value)
        return {name: _part(part, each, _shown.repr(name)[1:-1]) for name, each in value.items()}

    return _Checker(_NAMES[dict], read)


def _record(cls: type) -> _Checker:
    hints = get_type_hints(cls, include_extras=True)
    parts = {each.name: _checker(hints[each.name]) for each in fields(cls) if each.init}
    needed = {each.name for each in fields(cls) if each.default is MISSING and each.default_factory is MISSING}

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _Misfit(_NAMES[dict], value)
        if missing := next((name for name in parts if name in needed and name not in value), None):
            raise _Misfit(parts[missing].allowed, MISSING, missing)
        return cls(**{name: _part(part, value[name], name) for name, part in parts.items() if name in value})

    return _Checker(_NAMES[dict], read)


def _part(part: _Checker, value: Any, place: str) -> Any:
    try:
        return part.read(value)
    except _Misfit as misfit:
        raise misfit.within(place) from None


# ---------------------------------------------------------------------------------------------------- files


def inside(folder: Path, name: str, where: str, error: type[TelephoneganError] = DataError) -> Path:
    """The path of a file that a record names, with links resolved. Raises `error` unless it is inside `folder`.

    `where` names the record, which is untrusted and must not point to the user's other files.
    """
    try:
        root = folder.resolve()
        path = (root / name).resolve()
    except (OSError, RuntimeError, ValueError):  # circular links, a zero character, a name too long
        path = None
    if path is None or root not in path.parents:
        raise error(f"{where} names the file {name!r}, which is not inside that folder.")
    return path


# ---------------------------------------------------------------------------------------------------- JSON


def read_json(
    path: Path,
    kind: type[T] = Any,
    error: type[TelephoneganError] = DataError,
    remedy: str = "",
    missing: str = "",
) -> T:
    """The content of a JSON file in UTF-8, as `kind`. Raises `error` with the `remedy` if it is damaged.

    `missing` is the message if it does not exist.
    """
    try:
        content = plain(json.loads(_content(path, _JSON_BYTES)))
    except FileNotFoundError as cause:
        raise error(missing or f"{path} is missing. {remedy}".rstrip()) from cause
    except (OSError, ValueError, RecursionError) as cause:
        raise error(f"{path} is damaged or incomplete: {cause}. {remedy}".rstrip()) from cause
    return content if kind is Any else checked(content, kind, str(path), error, remedy)


def plain(value: T) -> T:
    """Return a JSON value of at most 32 levels with finite numbers below 2^63. Raises ValueError for others."""
    level: Iterable[Any] = [value]
    for _ in range(_DEEPEST):
        level = [part for each in level for part in _parts(each)]
        if not level:
            return value
    raise ValueError(f"it is nested more than {_DEEPEST} levels deep")


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it contains a number that is not finite")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("it contains a number of more than 19 digits")
    return ()


def _content(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is larger than {limit:,} bytes")
    return content


# ---------------------------------------------------------------------------------------------------- YAML


def read_yaml(path: Path, error: type[TelephoneganError] = DataError, example: str = "KEY: VALUE") -> dict[str, Any]:
    """The settings of a YAML file: numbers, texts, lists and tables by name; {} for an empty file.

    Tags and aliases, which settings do not need but attacks do, are refused; dates are text. Raises `error` for a file
    that is missing, damaged, or larger or deeper than settings are; `example` is a line it could contain.
    """
    import yaml

    try:
        content = _content(path, _YAML_BYTES)
        _check_events(content)
        found = yaml.load(content, _loader())
        found = {} if found is None else plain(found)
        _check_texts(found)
    except OSError as cause:
        raise error(f"{path} cannot be read: {cause.strerror or cause}. Check the path.") from cause
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as cause:
        reason = " ".join(str(cause).split())
        raise error(f"{path} is not a YAML file of settings: {reason}. Write lines such as `{example}`.") from cause
    if not isinstance(found, dict):
        raise error(f"{path} holds no settings. Write lines such as `{example}`.")
    return found


def _loader() -> type:
    """YAML's safe loader without dates, which no setting needs; the C version if available, as the other is slow."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        yaml_implicit_resolvers = {  # noqa: RUF012
            letter: [(tag, regex) for tag, regex in resolvers if not tag.endswith((":timestamp", ":merge", ":value"))]
            for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return Loader


def _check_events(content: bytes) -> None:
    """Check what a file asks for before anything is built from it."""
    import yaml

    depth = 0
    for event in yaml.parse(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        line = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"{line} has an alias (*), which is not read: write the value out")
        if getattr(event, "tag", None):
            raise ValueError(f"{line} has a tag (!), which is not read: write the value alone")
        if len(getattr(event, "value", "")) > _LONGEST_SCALAR:
            raise ValueError(f"{line} has a value of more than {_LONGEST_SCALAR:,} characters")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"{line} is nested more than {_DEEPEST} levels deep")


def _check_texts(value: Any) -> None:
    if isinstance(value, dict):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"{_shown.repr(odd[0])} is not a name: put it in quotes")
        for each in (*value, *value.values()):
            _check_texts(each)
    elif isinstance(value, list):
        for each in value:
            _check_texts(each)
    elif isinstance(value, str) and ("\0" in value or re.search("[\ud800-\udfff]", value)):
        raise ValueError("it contains text with a zero character or a lone surrogate")


# ---------------------------------------------------------------------------------------------------- arrays


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The numeric arrays of an .npz file as float32; empty if the file does not exist.

    Declared sizes are checked before anything is unpacked, and nothing is unpickled. Raises DataError for a file that
    is damaged, or larger than the arrays of one round can be.
    """
    import numpy as np

    if not path.exists():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_ARRAYS or sum(each.file_size for each in members) > _ARRAY_BYTES:
                raise ValueError(f"it unpacks to more than {_MOST_ARRAYS} arrays or {_ARRAY_BYTES:,} bytes")
            found = {each.filename.removesuffix(".npy"): _array(_unpacked(archive, each)) for each in members}
    except Exception as cause:  # damaged archives raise all kinds of exceptions
        raise DataError(f"{path} is damaged: {cause or type(cause).__name__}.") from cause
    if odd := next((name for name, array in found.items() if not np.isfinite(array).all()), None):
        raise DataError(f"{path} is damaged: {odd} contains numbers that are not finite.")
    return found


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed in a way that numpy does not use")
    with archive.open(member) as file:
        return file.read(member.file_size)  # without a number, a file that understates its size would be unpacked whole


def _array(content: bytes) -> np.ndarray:
    import numpy as np
    from numpy.lib import format as npy

    stream = BytesIO(content)
    version = npy.read_magic(stream)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
    shape, fortran, dtype = read_header(stream, max_header_size=1000)
    numbers = content[stream.tell() :]
    if dtype.kind != "f" or dtype.itemsize > 8 or math.prod(shape) * dtype.itemsize != len(numbers):
        raise ValueError("its arrays do not match their headers")
    with np.errstate(over="ignore"):
        flat = np.frombuffer(numbers, dtype).astype(np.float32)
    return flat.reshape(shape, order="F" if fortran else "C")
