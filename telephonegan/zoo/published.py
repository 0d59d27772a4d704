"""Checkpoints as AttnGAN's and the captioner's authors published them, to networks: kind and sizes from the tensors.

Such files come from Python 2 and torch 0.3, name GPU storages, and know no `num_batches_tracked`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.attngan import Discriminator, Generator
from telephonegan.networks.captioner import LSTMDecoder
from telephonegan.networks.damsm import TextEncoder
from telephonegan.networks.inception import InceptionEncoder
from telephonegan.networks.resnet import ResNetEncoder
from telephonegan.zoo.legacy_pickles import mistaken
from telephonegan.zoo.store import load_strict

State = dict[str, Tensor]

_WRAPPERS = ("netG", "netD", "state_dict", "model", "generator", "text_encoder", "image_encoder", "encoder", "decoder")
# Two projects put a layer behind the word embeddings, each with its own name and dropout after it.
FC_LAYERS = {"linear": 0.5, "rdc_text": 0.0}


def load_published(source: str | Path | Mapping[str, Any], kind: str | None = None) -> nn.Module:
    """The network of a published checkpoint, in eval mode on the CPU; `kind` is one of `KINDS`, None for any.

    `source` is a file or a state dict. All sizes follow from the tensors' names and shapes. Files are read with
    `weights_only=True`: nothing in them is run. Raises WeightsError for a file that cannot be read, is of another kind
    or does not fit, and SettingsError for an unknown kind.

    >>> generator = load_published("coco_AttnGAN2.pth")  # doctest: +SKIP
    >>> generator.size  # doctest: +SKIP
    256
    """
    if kind is not None and kind not in KINDS:
        raise SettingsError(f"No published network is a {kind!r}; there are {', '.join(KINDS)}.")
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    state = unwrapped(source, where) if isinstance(source, Mapping) else read_state(source)
    found = _kind_of(state, where)
    if kind not in (None, found):
        raise WeightsError(f"{where} is of another kind: {found.replace('_', ' ')}, not {kind.replace('_', ' ')}.")
    try:
        with torch.device("meta"), _Undrawn():  # sizes that a file only claims cost no memory
            net = NETWORKS[found](**_SETTINGS[found](state))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{where} has the names of the kind {found.replace('_', ' ')}, but is incomplete: {_first_line(error)}."
        ) from error
    state = _with_counters(net, state)
    load_strict(net, {name: tensor.to("meta") for name, tensor in state.items()})
    return load_strict(net.to_empty(device="cpu"), state).eval()


class _Undrawn(TorchFunctionMode):
    """Networks without first weights: on the meta device torch loads its compiler, two seconds, to draw normal ones."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return None if getattr(func, "__name__", "").endswith("normal_") else func(*args, **(kwargs or {}))


def network_settings(net: nn.Module) -> dict[str, Any]:
    """What to build a published network from once more: the keyword arguments of its class."""
    kind = next(kind for kind, cls in NETWORKS.items() if type(net) is cls)
    return _SETTINGS[kind](net.state_dict())


def read_state(path: str | Path) -> State:
    """Tensors of a checkpoint by name, on the CPU, without wrappers. Raises WeightsError for anything else."""
    path = Path(path)
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch answers a damaged file in many ways, one of them an OSError
        raise WeightsError(f"{path} is no checkpoint that can be read: {_likely_cause(path, error)}") from error
    if not isinstance(contents, Mapping):
        raise WeightsError(f"{path} holds a {type(contents).__name__}, not tensors by name (a state dict).")
    return unwrapped(contents, str(path))


def _likely_cause(path: Path, error: Exception) -> str:
    # Not in torch's words: they advise to run whatever such a file asks for.
    if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return (
            f"it asks for {refused[1]}, which no file of tensors needs, so it is refused and nothing in it was run. "
            "Where the network is at hand, save its state_dict() instead."
        )
    return mistaken(path) or "it is damaged, or was not written by torch.save. Get the file anew."


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def unwrapped(contents: Mapping[str, Any], where: str) -> State:
    """A flat state dict: without {"netG": …} around it and "module." before its names. Raises WeightsError."""
    for _ in range(3):
        inner = next((contents[key] for key in _WRAPPERS if isinstance(contents.get(key), Mapping)), None)
        if inner is None:
            break
        contents = inner
    if not contents or not all(isinstance(value, Tensor) for value in contents.values()):
        other = next((key for key, value in contents.items() if not isinstance(value, Tensor)), "nothing")
        raise WeightsError(f"{where} is no state dict: it should hold tensors only, and holds {other!r}.")
    if odd := next((name for name, tensor in contents.items() if not _holds_its_numbers(tensor)), None):
        raise WeightsError(f"{where} is no plain state dict: {odd!r} does not hold one real number for each place.")
    # A plain dict: with the metadata of a modern file torch would insist on num_batches_tracked.
    return {str(name).removeprefix("module."): value for name, value in contents.items()}


def _holds_its_numbers(tensor: Tensor) -> bool:
    """Not sparse, quantised or complex, and not a few numbers shown as many."""
    plain = tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_quantized or tensor.is_complex())
    return plain and tensor.nbytes <= tensor.untyped_storage().nbytes()


def _with_counters(net: nn.Module, state: State) -> State:
    """The first versions of torch did not count the batches a batch norm had seen."""
    own = net.state_dict()
    return {k: torch.zeros_like(v, device="cpu") for k, v in own.items() if k.endswith("num_batches_tracked")} | state


def _kind_of(state: State, where: str) -> str:
    found = [kind for kind, key in _MARKS.items() if key in state]
    if len(found) == 1:
        return found[0]
    raise WeightsError(
        f"{where} is none of the published networks ({', '.join(KINDS).replace('_', ' ')}); "
        f"its first tensors are {', '.join(list(state)[:4])}."
    )


def _generator(state: State) -> dict[str, Any]:
    to_image = state["img_net1.img.0.weight"] if "img_net1.img.0.weight" in state else state["img_net.img.0.weight"]
    condition_width = state["ca_net.fc.weight"].shape[0] // 4
    return {
        "channels": to_image.shape[1],
        "base_size": 4 << len(_numbers(state, r"h_net1\.upsample(\d+)\.")),
        "branches": len(_numbers(state, r"h_net(\d+)\.")),
        "residual_blocks": len(_numbers(state, r"h_net2\.residual\.(\d+)\.")),
        "embedding_width": state["ca_net.fc.weight"].shape[1],
        "condition_width": condition_width,
        "noise_width": state["h_net1.fc.0.weight"].shape[1] - condition_width,
        "previews": "img_net.img.0.weight" not in state,
    }


def _text_encoder(state: State) -> dict[str, Any]:
    gates, width = state["rnn.weight_hh_l0"].shape
    layer = next((name for name in FC_LAYERS if f"{name}.weight" in state), None)
    fc = {} if layer is None else {"fc_width": len(state[f"{layer}.weight"]), "fc_name": layer}
    return {
        "vocabulary_size": len(state["encoder.weight"]),
        "word_width": state["encoder.weight"].shape[1],
        "width": 2 * width,
        "cell": {4: "LSTM", 3: "GRU"}[gates // width],
        "dropout": FC_LAYERS.get(layer, 0.5),
        **fc,
    }


def _image_encoder(state: State) -> dict[str, Any]:
    return {"width": len(state["emb_cnn_code.weight"])}


def _discriminator(state: State) -> dict[str, Any]:
    channels = len(state["img_code_s16.0.weight"])
    return {
        "size": 256 if "img_code_s64.0.weight" in state else 128 if "img_code_s32.0.weight" in state else 64,
        "channels": channels,
        "embedding_width": state["COND_DNET.jointConv.0.weight"].shape[1] - 8 * channels,
        "unconditional": "UNCOND_DNET.outlogits.0.weight" in state,
    }


def _captioner_encoder(state: State) -> dict[str, Any]:
    return {"embedding_width": len(state["linear.weight"])}


def _captioner_decoder(state: State) -> dict[str, Any]:
    return {
        "vocabulary_size": len(state["embed.weight"]),
        "embedding_width": state["embed.weight"].shape[1],
        "hidden_width": state["linear.weight"].shape[1],
        "layers": len(_numbers(state, r"lstm\.weight_hh_l(\d+)")),
    }


def _numbers(state: State, pattern: str) -> set[int]:
    return {int(match[1]) for match in map(re.compile(pattern).match, state) if match}


NETWORKS: dict[str, type[nn.Module]] = {
    "generator": Generator,
    "text_encoder": TextEncoder,
    "image_encoder": InceptionEncoder,
    "discriminator": Discriminator,
    "captioner_encoder": ResNetEncoder,
    "captioner_decoder": LSTMDecoder,
}
KINDS = tuple(NETWORKS)
_SETTINGS: dict[str, Callable[[State], dict[str, Any]]] = {
    "generator": _generator,
    "text_encoder": _text_encoder,
    "image_encoder": _image_encoder,
    "discriminator": _discriminator,
    "captioner_encoder": _captioner_encoder,
    "captioner_decoder": _captioner_decoder,
}
# A tensor that only networks of this kind have.
_MARKS = {
    "generator": "ca_net.fc.weight",
    "text_encoder": "encoder.weight",
    "image_encoder": "Conv2d_1a_3x3.conv.weight",
    "discriminator": "img_code_s16.0.weight",
    "captioner_encoder": "resnet.0.weight",
    "captioner_decoder": "embed.weight",
}
