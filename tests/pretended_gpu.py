"""A GPU that is none: tensors of the host that claim to be on cuda:0, and refuse what a GPU would refuse.

An operation on tensors of both devices raises, as does handing a tensor of the GPU to numpy. So mistakes with devices
are found on machines without a GPU, gradients included; what only a GPU's own kernels can do wrong is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("cuda", 0)
_MOVING = {"Tensor.to", "Tensor.cpu", "Tensor.cuda", "Tensor.copy_", "Tensor.data.__set__", "Tensor.grad.__set__"}
_OF_HOST_INDICES = {"Tensor.__getitem__", "Tensor.__setitem__"}  # a GPU takes indices and numbers of the host
_OF_MODULES = {"_parse_to", "_set_grad_enabled", "_has_compatible_shallow_copy_type"}  # looking at their own parameters
_OF_SEQUENCES = {"_pack_padded_sequence", "_pad_packed_sequence"}  # the second result is lengths, on the host
_TO_HOST = {"Tensor.cpu", "Tensor.item", "Tensor.tolist", "Tensor.__bool__", "Tensor.__len__", "Tensor.__repr__"}


def on_gpu(tensor: Any) -> bool:
    """Whether a tensor claims to be on the GPU."""
    return isinstance(tensor, torch.Tensor) and tensor.__dict__.get("claims_gpu", False)


def _claim(value: Any, *, there: bool = True) -> Any:
    if isinstance(value, torch.Tensor):
        value.__dict__["claims_gpu"] = there
    return value


class PretendedGPU(TorchFunctionMode):
    """While it is on, `device="cuda"` works, and every tensor knows where it claims to be."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = (resolve_name(function) or getattr(function, "__name__", "")).removeprefix("torch.")
        kwargs = dict(kwargs or {})
        name = name.removeprefix("_VF.")
        if function is torch.device or name in _OF_MODULES or name.endswith("_is_param.__get__"):
            return function(*args, **kwargs)
        if name == "Tensor.__deepcopy__":  # what was copied before it may be anywhere
            return _claim(function(*args), there=on_gpu(args[0]))
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
        is_there = any(map(on_gpu, given))
        if name == "Tensor.device.__get__":
            return DEVICE if is_there else function(*args)
        if name == "Tensor.is_cuda.__get__":
            return is_there
        if name in ("Tensor.numpy", "Tensor.__array__") and is_there:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if name == "Tensor.pin_memory":
            return args[0]
        if is_there and name not in _MOVING:
            self._check(name, given)
        wanted = _wanted(name, args, kwargs)
        result = function(*_on_host(args), **_on_host(kwargs))
        if name in _TO_HOST - {"Tensor.cpu"}:
            return result
        if name == "Tensor.data.__set__":
            _claim(args[0], there=on_gpu(args[1]))
            return result
        if given and result is given[0] and wanted is None:  # in place
            return result
        if name in _OF_SEQUENCES:
            return (_claim(result[0], there=is_there), result[1])
        there = is_there if wanted is None else wanted == "cuda"
        if there and any(result is value for value in given if not on_gpu(value)):
            result = result.view_as(result)  # the tensor of the host stays one
        if not there and name in ("Tensor.to", "Tensor.cpu") and is_there:
            result = result.view_as(result)
        return tree_map(lambda value: _claim(value, there=there), result) if there or is_there else result

    @staticmethod
    def _check(name: str, given: list[torch.Tensor]) -> None:
        if name in _OF_HOST_INDICES and on_gpu(given[0]):
            return
        if name in ("lstm", "gru", *_OF_SEQUENCES):
            given = [value for value in given if value.dtype != torch.long]  # lengths belong on the host
        if any(not on_gpu(value) and value.dim() for value in given):
            shapes = [f"{tuple(value.shape)} on {'cuda:0' if on_gpu(value) else 'cpu'}" for value in given]
            raise RuntimeError(f"{name}: tensors on cuda:0 and cpu: {', '.join(shapes)}")


def _wanted(name: str, args: Any, kwargs: dict[str, Any]) -> str | None:
    """The kind of device that a call names, or None."""
    if name in ("Tensor.cpu", "Tensor.cuda"):
        return name.removeprefix("Tensor.")
    named = [kwargs["device"]] if kwargs.get("device") is not None else []
    if name == "Tensor.to":
        named += [value for value in args[1:] if isinstance(value, torch.device | str)]
        named += [DEVICE if on_gpu(value) else "cpu" for value in args[1:] if isinstance(value, torch.Tensor)]
    return torch.device(named[0]).type if named else None


def _on_host(values: Any) -> Any:
    """The arguments of a call, with the CPU in place of the GPU."""

    def host(value: Any) -> Any:
        is_gpu = (isinstance(value, torch.device) and value.type == "cuda") or value in ("cuda", "cuda:0")
        return torch.device("cpu") if is_gpu else value

    return tree_map(lambda value: host(value) if isinstance(value, torch.device | str) else value, values)


def _parameter(new: Any) -> Any:
    """Parameters lie where the tensor lies that they are made of; modes do not see that they are made."""

    def made(kind: type, data: torch.Tensor | None = None, *settings: Any, **named: Any) -> torch.nn.Parameter:
        parameter = new(kind, data, *settings, **named)
        return _claim(parameter) if on_gpu(data) else parameter

    return made


@contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """For the block "cuda" names the pretended GPU."""
    from telephonegan import inference

    known = inference.resolve_device
    monkeypatch.setattr(
        inference, "resolve_device", lambda device="auto": DEVICE if str(device)[:4] == "cuda" else known(device)
    )
    monkeypatch.setattr(torch.nn.Parameter, "__new__", staticmethod(_parameter(torch.nn.Parameter.__new__)))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (2**33, 2**34))
    monkeypatch.setattr(torch.nn.RNNBase, "flatten_parameters", lambda self: None)  # cuDNN's order of weights
    with PretendedGPU():
        yield DEVICE
