"""PPGN's own networks, from the .caffemodel files of their authors, for the same sampler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from telephonegan import inference
from telephonegan.errors import SettingsError
from telephonegan.images import to_tensor, working_image
from telephonegan.latent.condition_networks import ConditionNetwork
from telephonegan.latent.decoders import CodeDecoder, Units
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
from telephonegan.zoo import catalogue, store
from telephonegan.zoo.published_ppgn import read_ppgn

ARCHITECTURE = "caffe-ppgn"


class CaffeDecoder:
    """The published generator of codes from CaffeNet's layer fc6, and the encoder of its prior.

    >>> decoder = CaffeDecoder.read("generator.caffemodel", "bvlc_reference_caffenet.caffemodel")  # doctest: +SKIP
    >>> Sampler(decoder, image_class("junco", decoder.network()), prior=decoder.prior("joint"))  # doctest: +SKIP
    """

    # Pixels are from -1 to 1 here, and from -120 to 120 there.
    size, low, high, units = PAINTED_SIZE, 0.0, LARGEST_CODE, Units(context=120**2)

    def __init__(
        self,
        generator: CaffeCodeGenerator,
        encoder: CaffeNet,
        *,
        name: str = "ppgn",
        device: str | torch.device = "auto",
    ) -> None:
        self.device, self.name, self.width = inference.resolve_device(device), name, generator.code_width
        self.generator, self.encoder = (net.to(self.device) for net in (generator, encoder))

    @classmethod
    def read(cls, generator: str | Path, encoder: str | Path, *, device: str | torch.device = "auto") -> CaffeDecoder:
        """From generator.caffemodel and bvlc_reference_caffenet.caffemodel. Raises WeightsError for other files."""
        return cls(*read_ppgn(generator, encoder), device=device)

    @classmethod
    def of(cls, entry: catalogue.Entry, device: torch.device) -> CaffeDecoder:
        """The model of a manifest entry, which `telephonegan import` made of the files. Raises WeightsError."""
        network = inference.settings_of(entry, ARCHITECTURE).part("network")
        width, classes = (network.value(name, int) for name in ("width", "classes"))
        nets = nn.ModuleDict({"generator": CaffeCodeGenerator(width), "encoder": CaffeNet(classes, width=width)})
        store.load_strict(nets, store.read_tensors(entry)).eval().requires_grad_(False)
        return cls(nets["generator"], nets["encoder"], name=entry.name, device=device)

    def __call__(self, vectors: Tensor) -> Tensor:
        return self.generator(vectors)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The codes (B,W) of pictures (B,3,H,W) in [-1,1]."""
        return self.encoder.code(caffe_pixels(images.to(self.device)))

    def code_of(self, image: Any) -> Tensor:
        """The code (W,) of a photograph, which is squashed to a square. Raises ImageError."""
        return self.encode(to_tensor([working_image(image)], PAINTED_SIZE))[0]

    def random(self, generator: torch.Generator) -> Tensor:
        return torch.randn(self.width, generator=generator)

    def prior(self, name: str) -> Prior:
        """The prior of that name: "joint", "l2" or "none"; no autoencoder was published. Raises SettingsError."""
        priors = {"joint": lambda: JointPrior(self.encode), "l2": lambda: GaussianPrior(name="l2"), "none": NoPrior}
        if name not in priors:
            raise SettingsError(f"The prior of PPGN's codes is one of {', '.join(priors)}; {name!r} was given.")
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


def code_decoder(name: str = "photos", device: str | torch.device = "auto") -> CodeDecoder | CaffeDecoder:
    """The decoder of the model ppgn/`name`, trained here or published. Raises UnknownModelError, WeightsError.

    >>> code_decoder("photos").size  # doctest: +SKIP
    128
    """
    entry = catalogue.find("ppgn", name)
    if entry.architecture == ARCHITECTURE:
        return inference.shared_model(CaffeDecoder, entry, inference.resolve_device(device))
    return CodeDecoder.load(name, device)
