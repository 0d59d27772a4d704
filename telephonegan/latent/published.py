"""PPGN's own networks, from the .caffemodel files of their authors, for the same sampler."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from telephonegan import inference
from telephonegan.errors import WeightsError
from telephonegan.latent.condition_networks import ConditionNetwork
from telephonegan.latent.decoders import Units
from telephonegan.latent.priors import GaussianPrior, JointPrior, NoPrior, Prior
from telephonegan.networks.caffe import (
    INPUT_SIZE,
    LARGEST_CODE,
    PAINTED_SIZE,
    CaffeCodeGenerator,
    CaffeNet,
    caffe_pixels,
)
from telephonegan.networks.imagenet import class_names
from telephonegan.zoo.caffemodel import read_caffemodel, tensors_of

_ENCODER = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


class CaffeDecoder:
    """The published generator of codes from CaffeNet's layer fc6, and the encoder of its prior.

    `generator` and `encoder` are the files generator.caffemodel and bvlc_reference_caffenet.caffemodel. Raises
    WeightsError for other files.

    >>> decoder = CaffeDecoder("generator.caffemodel", "bvlc_reference_caffenet.caffemodel")  # doctest: +SKIP
    >>> Sampler(decoder, image_class("junco", decoder.network()), prior=decoder.prior("joint"))  # doctest: +SKIP
    """

    name, size, low, high, units = "ppgn", PAINTED_SIZE, 0.0, LARGEST_CODE, Units()

    def __init__(
        self,
        generator: str | os.PathLike[str],
        encoder: str | os.PathLike[str],
        *,
        device: str | torch.device = "auto",
    ) -> None:
        self.device = inference.resolve_device(device)
        layers = read_caffemodel(encoder)
        width, classes = (len(layers[name][1].reshape(-1)) if name in layers else 1 for name in ("fc6", "fc8"))
        self.encoder = _loaded(CaffeNet(classes, width=width), layers, _ENCODER, encoder).to(self.device)
        self.generator = _loaded(
            CaffeCodeGenerator(width), read_caffemodel(generator), CaffeCodeGenerator.names, generator
        ).to(self.device)
        self.width = width

    def __call__(self, vectors: Tensor) -> Tensor:
        return self.generator(vectors)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The codes (B,W) of pictures (B,3,H,W) in [-1,1]."""
        return self.encoder.code(caffe_pixels(images.to(self.device)))

    def random(self, generator: torch.Generator) -> Tensor:
        return torch.randn(self.width, generator=generator)

    def prior(self, name: str) -> Prior:
        """The prior of that name: "joint", "l2" or "none"; a file of an autoencoder was never published."""
        priors = {"joint": lambda: JointPrior(self.encode), "l2": lambda: GaussianPrior(name="l2"), "none": NoPrior}
        return priors[name]()

    def network(self) -> ConditionNetwork:
        """CaffeNet as a condition: classes, and units of the layers conv1 to fc8."""
        return ConditionNetwork(
            self.encoder,
            size=INPUT_SIZE,
            mean=0.5,
            deviation=0.5 / 120,
            fit="crop",
            name="caffenet",
            class_layer="fc8",
            classes=class_names() if self.encoder.fc8.out_features == len(class_names()) else (),
            run=lambda pixels: self.encoder(pixels.flip(1)),
            device=self.device,
        )


def _loaded(
    net: torch.nn.Module, layers: dict, names: tuple[str, ...], path: str | os.PathLike[str]
) -> torch.nn.Module:
    arrays = tensors_of(layers, {name: name for name in names})
    found = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    own = net.state_dict()
    if odd := next((name for name, tensor in found.items() if tensor.numel() != own[name].numel()), None):
        shapes = f"{tuple(found[odd].shape)}, not {tuple(own[odd].shape)}"
        raise WeightsError(f"{os.fspath(path)} is of another network: its {odd} has the shape {shapes}.")
    net.load_state_dict({name: tensor.reshape(own[name].shape) for name, tensor in found.items()})
    return net.eval().requires_grad_(False)
