"""The networks of PPGN, from the .caffemodel files that its authors published."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from telephonegan.errors import WeightsError
from telephonegan.networks.caffe import CaffeCodeGenerator, CaffeNet
from telephonegan.zoo.caffemodel import read_caffemodel, tensors_of

ENCODER_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")

Module = TypeVar("Module", bound=nn.Module)


def read_ppgn(generator: str | Path, encoder: str | Path) -> tuple[CaffeCodeGenerator, CaffeNet]:
    """The generator of codes and CaffeNet, from generator.caffemodel and bvlc_reference_caffenet.caffemodel.

    Raises WeightsError for other files.

    >>> read_ppgn("generator.caffemodel", "bvlc_reference_caffenet.caffemodel")  # doctest: +SKIP
    """
    layers = read_caffemodel(encoder)
    width, classes = (len(layers[name][1].reshape(-1)) if name in layers else 1 for name in ("fc6", "fc8"))
    seer = _loaded(CaffeNet(classes, width=width), layers, ENCODER_LAYERS, encoder)
    painter = _loaded(CaffeCodeGenerator(width), read_caffemodel(generator), CaffeCodeGenerator.names, generator)
    return painter, seer


def _loaded(net: Module, layers: dict, names: tuple[str, ...], path: str | Path) -> Module:
    arrays = tensors_of(layers, {name: name for name in names})
    found = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    own = net.state_dict()
    if odd := next((name for name, tensor in found.items() if tensor.numel() != own[name].numel()), None):
        shapes = f"{tuple(found[odd].shape)}, not {tuple(own[odd].shape)}"
        raise WeightsError(f"{os.fspath(path)} is of another network: its {odd} has the shape {shapes}.")
    net.load_state_dict({name: tensor.reshape(own[name].shape) for name, tensor in found.items()})
    return net.eval().requires_grad_(False)
