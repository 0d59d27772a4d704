"""Char-CNN-RNN encoders as they were published: `lm_sje_….t7` of the authors, and the `.pth` of the PyTorch version.

The variant is inferred from the tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from telephonegan.errors import WeightsError
from telephonegan.networks.char_cnn_rnn import CharCNNRNN
from telephonegan.zoo.published import read_state
from telephonegan.zoo.store import load_strict
from telephonegan.zoo.torch7 import Object, items, read_t7

_KERNEL = 4
# Places of the linear maps among the modules of one step of the recurrent network.
_RNN = {"i2h": 1, "h2h": 5}
_GRU = {"i2h": 1, "i2h_update": 4, "h2h_update": 5, "i2h_reset": 9, "h2h_reset": 10, "h2h": 14}


def read_char_cnn_rnn(path: str | Path) -> CharCNNRNN:
    """The encoder in a published file, in eval mode. No code in the file is run.

    Raises WeightsError for files that cannot be read or hold something else.

    >>> read_char_cnn_rnn("lm_sje_nc4_cub_hybrid_gru18.t7").cell  # doctest: +SKIP
    'gru'
    """
    path = Path(path)
    try:
        state = _of_torch7(read_t7(path)) if path.suffix == ".t7" else _of_pytorch(read_state(path))
        network = CharCNNRNN(
            channels=len(state["conv3.weight"]),
            cell="gru" if "rnn.i2h_update.weight" in state else "rnn",
            width=len(state["linear.weight"]),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} is not a Char-CNN-RNN: {error or type(error).__name__} is missing or of another form. Give "
            "lm_sje_….t7 of the authors, or the .pth of its PyTorch version."
        ) from error
    return load_strict(network, state).eval()


def _of_torch7(found: Any) -> dict[str, Tensor]:
    """The tensors of protos.enc_doc: convolutions, split, recurrent network, dropout and projection."""
    encoder = items(found["protos"]["enc_doc"]["modules"])
    stack = items(encoder[1]["modules"])
    steps = items(encoder[3]["modules"])
    parts = {f"conv{number}": stack[place] for number, place in enumerate((0, 3, 6), 1)}
    places = _GRU if len(steps) > max(_GRU.values()) else _RNN
    parts |= {f"rnn.{name}": _linear(steps[place]) for name, place in places.items()}
    parts["linear"] = encoder[5]
    state = {}
    for name, part in parts.items():
        weight = _tensor(part["weight"])
        if name.startswith("conv"):  # (out, 4·in), the four characters side by side
            weight = weight.unflatten(1, (_KERNEL, -1)).transpose(1, 2)
        state[f"{name}.weight"], state[f"{name}.bias"] = weight.contiguous(), _tensor(part["bias"])
    return state


def _linear(module: Object) -> Object:
    """The first module with weights, which may lie in containers."""
    found = next(_weighted(module), None)
    if found is None:
        raise ValueError(f"a linear map within {module.name}")
    return found


def _weighted(module: Object) -> Iterator[Object]:
    if "weight" in module:
        yield module
    elif "modules" in module:
        for part in items(module["modules"]):
            yield from _weighted(part)


def _tensor(numbers: Any) -> Tensor:
    if not isinstance(numbers, np.ndarray):
        raise ValueError("a tensor")
    return torch.from_numpy(numbers.astype(np.float32))


def _of_pytorch(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = {}
    for name, tensor in found.items():
        for theirs, ours in (("emb_proj.", "linear."), ("fc.", "linear.")):
            name = name.replace(theirs, ours) if name.startswith(theirs) else name
        state[name] = tensor.float()
    return state
