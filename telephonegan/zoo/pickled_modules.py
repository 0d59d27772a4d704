"""A safe reader for checkpoints that pickle whole modules, which needs none of their classes.

`torch.save(model)` pickles objects of the author's classes. Loading it with torch would run any code the file asks for;
here each object becomes its attributes, and only the tensors among them are used.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from telephonegan.errors import WeightsError
from telephonegan.zoo.legacy_pickles import KNOWN, Object, Reader, mistaken

State = dict[str, Tensor]

_MOST_MODULES = 10_000
_DEEPEST = 50


def read_modules(path: str | Path) -> dict[str, State]:
    """The tensors of each named module or state dict in a checkpoint. Raises WeightsError.

    >>> read_modules("BEST_checkpoint_coco.pth.tar").keys()  # doctest: +SKIP
    dict_keys(['encoder', 'decoder'])
    """
    path = Path(path)
    try:
        known = mistaken(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    if known or _is_script(path):
        raise WeightsError(f"{path} is not a checkpoint that can be read: {known or 'it is a program of TorchScript.'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about missing classes
            # The reader below resolves all names in the file; torch itself only reads the storages.
            found = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_PICKLE)
        if not isinstance(found, Mapping):
            raise WeightsError(f"{path} contains a single {type(found).__name__}, not networks by name.")
        parts = {name: dict(_tensors(part)) for name, part in found.items() if isinstance(part, Object | Mapping)}
    except WeightsError:
        raise
    except Exception as error:  # damaged files fail in many ways
        reason = str(error) or type(error).__name__
        raise WeightsError(f"{path} is not a checkpoint that can be read: {reason}. Download it again.") from error
    return {name: state for name, state in parts.items() if state}


def _is_script(path: Path) -> bool:
    """Whether the file is TorchScript, which torch would pass to another loader."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


def _tensors(part: Object | Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a module by their names in its state dict, or those of a state dict."""
    if isinstance(part, Mapping):
        yield from ((str(name), tensor) for name, tensor in part.items() if isinstance(tensor, Tensor))
        return
    waiting, seen = [("", part, 0)], 0
    while waiting:
        prefix, module, depth = waiting.pop()
        seen += 1
        if seen > _MOST_MODULES or depth > _DEEPEST:
            raise pickle.UnpicklingError("it contains more modules than a network has")
        for table in ("_parameters", "_buffers"):
            for name, tensor in _table(module, table):
                if isinstance(tensor, Tensor):
                    yield prefix + name, tensor
        children = [(f"{prefix}{name}.", child, depth + 1) for name, child in _table(module, "_modules")]
        waiting += [each for each in children if isinstance(each[1], Object)]


def _table(module: Object, name: str) -> list[tuple[str, Any]]:
    table = vars(module).get(name)
    return [(str(key), value) for key, value in table.items()] if isinstance(table, Mapping) else []


def _data(tensor: Any = None, *_: Any) -> Any:
    """Replace a parameter by its tensor."""
    return tensor


class _ModuleReader(Reader):
    known = KNOWN | {
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): _data,
        ("torch._utils", "_rebuild_parameter_with_state"): _data,
        ("torch.nn.parameter", "Parameter"): _data,
        ("torch.nn.backends.thnn", "_get_thnn_function_backend"): _data,
        ("torch", "Size"): _data,
        ("torch", "device"): _data,
        ("numpy", "dtype"): _data,
        **{(f"numpy.{core}.multiarray", "scalar"): _data for core in ("core", "_core")},
        **{(module, "set"): _data for module in ("__builtin__", "builtins")},
    }
    keys = (str, int, Tensor)  # an optimiser's state is keyed by parameter

    def load_build(self) -> None:
        if isinstance(self.stack[-2], Object):
            super().load_build()
        else:  # attributes of a dictionary or tensor are not needed
            self.stack.pop()

    dispatch = Reader.dispatch | {
        pickle.BUILD[0]: load_build,
        pickle.BINPERSID[0]: pickle._Unpickler.load_binpersid,  # storages, which torch reads
    }


def _load(file: Any, **options: Any) -> Any:
    return _ModuleReader(file, **options).load()


_PICKLE = SimpleNamespace(__name__=__name__, Unpickler=_ModuleReader, load=_load)
