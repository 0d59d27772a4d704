"""Networks from checkpoints as their projects published them; kind and sizes are inferred from the tensors.

Generators of AttnGAN, DM-GAN and DF-GAN, the encoders of AttnGAN's DAMSM, the CNN-LSTM captioner and the attending one.

Such files come from Python 2 and torch 0.3, refer to GPU storages, and lack `num_batches_tracked`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.attngan import Discriminator, Generator
from telephonegan.networks.captioner import LSTMDecoder
from telephonegan.networks.damsm import TextEncoder
from telephonegan.networks.dfgan import DeepFusionGenerator
from telephonegan.networks.inception import InceptionEncoder
from telephonegan.networks.resnet import ResNetEncoder
from telephonegan.networks.show_attend_tell import AttendingDecoder, ResNetCells
from telephonegan.zoo.legacy_pickles import mistaken
from telephonegan.zoo.store import load_strict

State = dict[str, Tensor]

_WRAPPERS = ("netG", "netD", "state_dict", "model", "generator", "text_encoder", "image_encoder", "encoder", "decoder")
# Two projects put a layer after the word embeddings, each with its own name and dropout.
FC_LAYERS = {"linear": 0.5, "rdc_text": 0.0}


def load_published(source: str | Path | Mapping[str, Any], kind: str | None = None) -> nn.Module:
    """The network of a published checkpoint, in eval mode on the CPU; `kind` is one of `KINDS`, None for any.

    `source` is a file or a state dict. All sizes are inferred from the tensors' names and shapes. Files are read with
    `weights_only=True`, so no code in them is run. Raises WeightsError for a file that cannot be read, is of another
    kind or does not fit, and SettingsError for an unknown kind.

    >>> generator = load_published("coco_AttnGAN2.pth")  # doctest: +SKIP
    >>> generator.size  # doctest: +SKIP
    256
    """
    if kind is not None and kind not in KINDS:
        raise SettingsError(f"There is no kind of published network called {kind!r}. Allowed: {', '.join(KINDS)}.")
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    state = unwrapped(source, where) if isinstance(source, Mapping) else read_state(source)
    found = _form_of(state, where)
    if kind not in (None, found.kind):
        raise WeightsError(f"{where} is of the wrong kind: {_words(found.kind)}, not {_words(kind)}.")
    state = found.renamed(state)
    try:
        with torch.device("meta"), _Undrawn():  # so that claimed sizes cost no memory
            net = found.network(**found.settings(state))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{where} has the names of the kind {_words(found.kind)}, but is incomplete: {_first_line(error)}."
        ) from error
    state = _with_counters(net, state)
    load_strict(net, {name: tensor.to("meta") for name, tensor in state.items()})
    return load_strict(net.to_empty(device="cpu"), state).eval()


class _Undrawn(TorchFunctionMode):
    """Skip weight initialisation: on the meta device torch would load its compiler, two seconds, to draw weights."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return None if getattr(func, "__name__", "").endswith("normal_") else func(*args, **(kwargs or {}))


def network_settings(net: nn.Module) -> dict[str, Any]:
    """The keyword arguments of its class from which a published network can be rebuilt."""
    return next(form for form in _FORMS if type(net) is form.network).settings(net.state_dict())


def read_state(path: str | Path) -> State:
    """The tensors of a checkpoint by name, on the CPU, without wrappers. Raises WeightsError for other files."""
    path = Path(path)
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises all kinds of exceptions for damaged files, OSError among them
        raise WeightsError(f"{path} is not a checkpoint that can be read: {_likely_cause(path, error)}") from error
    if not isinstance(contents, Mapping):
        raise WeightsError(f"{path} contains a {type(contents).__name__}, not tensors by name (a state dict).")
    return unwrapped(contents, str(path))


def _likely_cause(path: Path, error: Exception) -> str:
    # torch's own message advises running whatever the file asks for.
    if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return (
            f"it asks for {refused[1]}, which a file of tensors does not need, so it is refused and no code was "
            "run. If you have the network, save its state_dict() instead."
        )
    return mistaken(path) or "it is damaged, or was not written by torch.save. Download the file again."


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
        raise WeightsError(f"{where} is not a state dict: it should contain only tensors, but has {other!r}.")
    if odd := next((name for name, tensor in contents.items() if not _holds_its_numbers(tensor)), None):
        raise WeightsError(f"{where} is not a plain state dict: {odd!r} is not a dense tensor of real numbers.")
    # A plain dict: with a modern file's metadata torch would insist on num_batches_tracked.
    return {str(name).removeprefix("module."): value for name, value in contents.items()}


def _holds_its_numbers(tensor: Tensor) -> bool:
    """Whether a tensor is dense and real: not sparse, quantised, complex or a broadcast view."""
    plain = tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_quantized or tensor.is_complex())
    return plain and tensor.nbytes <= tensor.untyped_storage().nbytes()


def _with_counters(net: nn.Module, state: State) -> State:
    """Add the batch counters of batch norm, which early versions of torch did not have."""
    own = net.state_dict()
    return {k: torch.zeros_like(v, device="cpu") for k, v in own.items() if k.endswith("num_batches_tracked")} | state


def _form_of(state: State, where: str) -> _Form:
    found = [form for form in _FORMS if form.fits(state)]
    if len(found) == 1:
        return found[0]
    raise WeightsError(
        f"{where} is not one of the published networks ({_words(', '.join(KINDS))}); "
        f"its first tensors are {', '.join(list(state)[:4])}."
    )


def _words(kind: str) -> str:
    return kind.replace("_", " ")


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
        **({"memory": True} if "h_net2.A.weight" in state else {}),
    }


def _named_as_later(state: State) -> State:
    """Rename the tensors of DF-GAN's first release to those of the second."""
    rules = (
        (r"^block(\d+)\.affine([01])\.", r"GBlocks.\1.fuse1.affine\2."),
        (r"^block(\d+)\.affine2\.", r"GBlocks.\1.fuse2.affine0."),
        (r"^block(\d+)\.affine3\.", r"GBlocks.\1.fuse2.affine1."),
        (r"^block(\d+)\.", r"GBlocks.\1."),
        (r"^conv_img\.", "to_rgb."),
    )
    return {reduce(lambda name, rule: re.sub(*rule, name), rules, name): tensor for name, tensor in state.items()}


def _deep_fusion_generator(state: State) -> dict[str, Any]:
    first_release, noise_width = "GBlocks.0.gamma" in state, state["fc.weight"].shape[1]
    condition_width = state["GBlocks.0.fuse1.affine0.fc_gamma.linear1.weight"].shape[1]
    return {
        "channels": state["to_rgb.1.weight"].shape[1],
        "blocks": len(_numbers(state, r"GBlocks\.(\d+)\.")) - first_release,
        "noise_width": noise_width,
        "embedding_width": condition_width - (0 if first_release else noise_width),
        "first_release": first_release,
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


def _cells(state: State) -> dict[str, Any]:
    return {
        "layers": [len(_numbers(state, rf"resnet\.{stage}\.(\d+)\.")) for stage in (4, 5, 6, 7)],
        "width": len(state["resnet.4.0.conv1.weight"]),
    }


def _attending_decoder(state: State) -> dict[str, Any]:
    return {
        "vocabulary_size": len(state["embedding.weight"]),
        "feature_width": state["init_h.weight"].shape[1],
        "embedding_width": state["embedding.weight"].shape[1],
        "hidden_width": len(state["init_h.weight"]),
        "attention_width": len(state["attention.encoder_att.weight"]),
    }


def _numbers(state: State, pattern: str) -> set[int]:
    return {int(match[1]) for match in map(re.compile(pattern).match, state) if match}


@dataclass(frozen=True)
class _Form:
    """A network as one project published it, recognised by tensors that its files have (`marks`) or lack (`not_`).

    `settings` gives the arguments of its class from the tensors after they were `renamed`.
    """

    kind: str
    network: type[nn.Module]
    settings: Callable[[State], dict[str, Any]]
    marks: tuple[str, ...]
    not_: tuple[str, ...] = ()
    renamed: Callable[[State], State] = dict

    def fits(self, state: State) -> bool:
        return all(name in state for name in self.marks) and not any(name in state for name in self.not_)


_FORMS = (
    _Form("generator", Generator, _generator, ("ca_net.fc.weight",)),
    _Form("generator", DeepFusionGenerator, _deep_fusion_generator, ("GBlocks.0.c1.weight",)),
    _Form(
        "generator",
        DeepFusionGenerator,
        _deep_fusion_generator,
        ("block0.affine0.fc_gamma.linear1.weight",),
        renamed=_named_as_later,
    ),
    _Form("text_encoder", TextEncoder, _text_encoder, ("encoder.weight",)),
    _Form("image_encoder", InceptionEncoder, _image_encoder, ("Conv2d_1a_3x3.conv.weight",)),
    _Form("discriminator", Discriminator, _discriminator, ("img_code_s16.0.weight",)),
    _Form("captioner_encoder", ResNetEncoder, _captioner_encoder, ("resnet.0.weight", "linear.weight")),
    _Form("captioner_decoder", LSTMDecoder, _captioner_decoder, ("embed.weight",)),
    _Form("attending_encoder", ResNetCells, _cells, ("resnet.0.weight",), not_=("linear.weight",)),
    _Form("attending_decoder", AttendingDecoder, _attending_decoder, ("decode_step.weight_ih",)),
)
KINDS = tuple(dict.fromkeys(form.kind for form in _FORMS))
