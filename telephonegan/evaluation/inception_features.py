"""Features of Inception-v3 for true FID and KID, if its weights are on this machine; none are downloaded.

Published FID values use TensorFlow's Inception of 2015, which pytorch-fid ported to PyTorch. It differs from
torchvision's network: average pooling ignores padding, the last block uses max pooling, and there are 1,008 classes.
Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium" (2017).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import inception

from telephonegan import inference
from telephonegan.errors import WeightsError
from telephonegan.files import sha256
from telephonegan.networks.inception import INPUT_SIZE
from telephonegan.zoo import store
from telephonegan.zoo.published import read_state

PUBLISHED = {  # files by name; the last part of a file's name is the beginning of its sha256
    "tf": "pt_inception-2015-12-05-6726825d.pth",
    "torchvision": "inception_v3_google-0cc3c7bd.pth",
}
_CLASSES = {"tf": 1008, "torchvision": 1000}


class InceptionFeatures:
    """The 2,048 pooled features of an Inception-v3, whose weights are in a file.

    `variant` is "tf" (pytorch-fid's network) or "torchvision". `name` is the variant for published weights, and has the
    first digits of the checksum for any other file, so that only comparable numbers are called `fid_tf`. Raises
    WeightsError.

    >>> InceptionFeatures(find_weights())(torch.zeros(1, 3, 256, 256)).shape  # doctest: +SKIP
    torch.Size([1, 2048])
    """

    def __init__(self, path: Path, device: str | torch.device = "cpu") -> None:
        state = read_state(path)
        self.sha256 = sha256(path)
        self.device = inference.resolve_device(device)
        self.variant = _variant(state, path)
        published = self.sha256.startswith(Path(PUBLISHED[self.variant]).stem.rpartition("-")[2])
        self.name = self.variant if published else f"{self.variant}_{self.sha256[:8]}"
        net = {"tf": fid_inception, "torchvision": torchvision_inception}[self.variant]()
        counters = {key: value for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
        trunk = {key: value for key, value in state.items() if not key.startswith(("fc.", "AuxLogits."))}
        self.net = store.load_strict(net, counters | trunk).eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """A batch (B,3,H,W) in [-1,1], the range of both networks → (B,2048), on the CPU."""
        size = (INPUT_SIZE, INPUT_SIZE)
        return self.net(F.interpolate(images.to(self.device), size=size, mode="bilinear", align_corners=False)).cpu()


def find_weights(given: Path | None = None) -> Path:
    """The given file, or the first of `PUBLISHED` in torch.hub's folder. Raises WeightsError if there is none.

    >>> find_weights(Path("inception_v3_google-0cc3c7bd.pth"))  # doctest: +SKIP
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    places = [given] if given is not None else [folder / name for name in PUBLISHED.values()]
    for place in places:
        if place.is_file():
            return place
    if given is not None:
        raise WeightsError(
            f"There is no file {given}. Give the weights of an Inception-v3, pytorch-fid's or torchvision's."
        )
    raise WeightsError(
        f"FID and KID need the weights of Inception-v3, but {folder} has neither {' nor '.join(PUBLISHED.values())}. "
        "Put one of them there, or give --inception-weights FILE. Nothing is downloaded automatically."
    )


def torchvision_inception() -> nn.Module:
    """torchvision's Inception-v3 without its classifier: (B,3,299,299) → (B,2048), with random weights."""
    net = inception.inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
    net.fc = nn.Identity()
    return net


def fid_inception() -> nn.Module:
    """pytorch-fid's Inception-v3 without its classifier: (B,3,299,299) → (B,2048), with random weights."""
    net = torchvision_inception()
    net.Mixed_5b = FidInceptionA(192, pool_features=32)
    net.Mixed_5c = FidInceptionA(256, pool_features=64)
    net.Mixed_5d = FidInceptionA(288, pool_features=64)
    net.Mixed_6b = FidInceptionC(768, channels_7x7=128)
    net.Mixed_6c = FidInceptionC(768, channels_7x7=160)
    net.Mixed_6d = FidInceptionC(768, channels_7x7=160)
    net.Mixed_6e = FidInceptionC(768, channels_7x7=192)
    net.Mixed_7b = FidInceptionE(1280)
    net.Mixed_7c = FidInceptionEMax(2048)
    return net


class _OtherPool:
    """One of torchvision's Inception blocks, with other pooling in its last branch."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        *branches, _ = super()._forward(x)
        return [*branches, self.branch_pool(self.pool(x))]

    def pool(self, x: Tensor) -> Tensor:
        """Average pooling that ignores padding."""
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class FidInceptionA(_OtherPool, inception.InceptionA):
    """35×35 cells."""


class FidInceptionC(_OtherPool, inception.InceptionC):
    """17×17 cells."""


class FidInceptionE(_OtherPool, inception.InceptionE):
    """8×8 cells, the first of two such blocks."""


class FidInceptionEMax(_OtherPool, inception.InceptionE):
    """8×8 cells, the last block, with max pooling as in TensorFlow's graph of 2015."""

    def pool(self, x: Tensor) -> Tensor:
        """Max pooling."""
        return F.max_pool2d(x, 3, stride=1, padding=1)


def _variant(state: dict[str, Tensor], path: Path) -> str:
    classes = len(state["fc.weight"]) if "fc.weight" in state else None
    for variant, number in _CLASSES.items():
        if classes == number:
            return variant
    found = "no layer fc" if classes is None else f"{classes} classes"
    raise WeightsError(
        f"{path} is not an Inception-v3 used for FID: it has {found}. Give pytorch-fid's, with 1008 classes, or "
        "torchvision's, with 1000."
    )
