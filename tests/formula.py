"""Networks and inputs whose numbers follow from their names: the published networks' outputs on them are known."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from telephonegan.networks.captioner import LSTMDecoder


class Formula:
    """Numbers that depend on a name and a shape only, and the published networks' outputs for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def unit(name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers in [-1,1), a hash of the name and the position."""
        x = np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(6364136223846793005)
        x += np.uint64(zlib.crc32(name.encode()) * 1442695040888963407 % 2**64)
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            x = (x ^ (x >> np.uint64(33))) * np.uint64(factor)
        x ^= x >> np.uint64(33)
        return ((x >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32).reshape(shape)

    def input(self, name: str, *shape: int, scale: float = 1.0) -> Tensor:
        return torch.from_numpy(self.unit(f"in:{name}", shape)) * scale

    def fill(self, net: nn.Module, *, gain: float = 2.0) -> Any:
        """Give every tensor of the network its numbers; returns the network in eval mode."""
        shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
        net.load_state_dict(self.state(shapes, gain=gain))
        return net.eval()

    def state(self, shapes: dict[str, tuple[int, ...]], *, gain: float = 2.0) -> dict[str, Tensor]:
        """The numbers of tensors by name, as files of the first torch versions held them: without batch counters."""
        return {
            name: torch.from_numpy(self._weight(name, shape, gain))
            for name, shape in shapes.items()
            if not name.endswith("num_batches_tracked")
        }

    def _weight(self, name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
        v, last = self.unit(name, shape).astype(np.float64), name.rpartition(".")[2]
        if last == "running_var":
            v = 1 + 0.3 * v
        elif len(shape) == 1 and last == "weight":
            v = (1 + 0.1 * v) * (0.3 if name.endswith(("bn3.weight", ".block.4.weight")) else 1)
        elif len(shape) == 1:
            v = 0.1 * v
        elif name in ("encoder.weight", "embed.weight"):
            v = 0.5 * v
        else:
            v = v * np.sqrt(3 * gain / np.prod(shape[1:]))
        return v.astype(np.float32)

    def expected(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{name}.npz") as arrays:
            return {key: arrays[key] for key in arrays.files}

    @staticmethod
    def thinned(images: Tensor) -> np.ndarray:
        """The part of a (B,C,H,W) tensor that the reference files keep."""
        step = max(1, images.shape[3] // 16)
        images = images if step == 1 else images[:, :, step // 2 :: step, step // 2 :: step]
        return images[:, :: max(1, images.shape[1] // 64)].detach().numpy()


@torch.no_grad()
def published_sampler(decoder: LSTMDecoder, feature: Tensor, steps: int = 20) -> Tensor:
    """What the published captioner says of features (B,E): always `steps` ids, the first from the picture itself."""
    inputs, state, ids = feature[:, None], None, []
    for _ in range(steps):
        output, state = decoder.lstm(inputs, state)
        ids.append(decoder.linear(output[:, 0]).argmax(1))
        inputs = decoder.embed(ids[-1])[:, None]
    return torch.stack(ids, dim=1)
