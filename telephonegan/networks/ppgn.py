"""The networks of plug & play generation: pictures to codes, codes back to pictures, and an autoencoder of codes.

Nguyen et al., "Plug & Play Generative Networks" (2017), with EfficientNet-Lite0 in the place of CaffeNet. There are two
kinds of codes: "layout", its last feature map, whose 320 channels are reduced to 64 principal components in each of 16
cells, 1,024 numbers; and "pooled", the means of its 1,280 head channels, which know what is there and not where.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from telephonegan.errors import SettingsError
from telephonegan.networks.backbone import HEAD_CHANNELS, Backbone
from telephonegan.networks.batchnorm import BatchNorm2d
from telephonegan.networks.folding import fold_batch_norm

CODES = ("layout", "pooled")
GRID = 4  # cells on a side of a code
COMPONENTS = 64  # numbers in each cell
CODE_WIDTH = COMPONENTS * GRID * GRID
AXES = 256  # directions in which codes of photographs differ most; they hold 96 % of the variance of `photos`
INPUT_SIZE = 32 * GRID  # pixels the encoder sees
PICTURE = -1  # the key of the picture itself in a pyramid, whose other keys are strides

_AT_ONCE = 512  # feature maps whose 1,280 channels are computed together
_SLOPE = 0.2
_WIDTHS = {4: 8, 8: 8, 16: 4, 32: 2, 64: 1, 128: 0.5}  # resolution → multiple of `channels`
BASE = 8  # pixels on a side of the linear part
_LEAST_VARIANCE = 1e-4  # of a coordinate: so few photographs may have fewer directions
_RIDGE = 0.05  # penalty for each photograph
_HIDDEN = (448, 224, 112)


class CodeEncoder(nn.Module):
    """Pictures to codes, by a frozen backbone and, for "layout", one projection that all 16 cells share.

    Each number of a code has mean 0 and standard deviation 1 over the photographs that `fit` was given. Neighbouring
    cells are alike, which `axes` knows. The backbone is not part of the weights and not moved by `to`.

    >>> CodeEncoder(Backbone("lite0", pretrained=False)).encode(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 1024])
    """

    def __init__(self, backbone: Backbone, code: str = "layout") -> None:
        super().__init__()
        self._backbone = (backbone,)  # in a tuple, so that it is no submodule
        self.code, self.code_width = code, width_of(code)
        shape = (COMPONENTS, GRID, GRID) if code == "layout" else (self.code_width, 1, 1)
        if code == "layout":
            self.register_buffer("projection", torch.eye(COMPONENTS, backbone.channels[32]))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))
        self.axes = PrincipalAxes(self.code_width)

    @property
    def backbone(self) -> Backbone:
        return self._backbone[0]

    def encode(self, images: Tensor) -> Tensor:
        """(B,3,H,W) in [-1,1], of any size → codes (B,W). Differentiable."""
        return self.of_map(self.backbone(enlarged(images), (32,))[32])

    forward = encode

    def of_map(self, features: Tensor) -> Tensor:
        """The codes (B,W) of the backbone's feature maps (B,320,4,4) of stride 32."""
        return ((self._components(features) - self.mean) / self.deviation).flatten(1)

    def _components(self, features: Tensor) -> Tensor:
        """The numbers of codes as the backbone gives them, by channel and cell."""
        if self.code == "layout":
            return F.conv2d(features, self.projection[:, :, None, None])
        return torch.cat([self.backbone.head(part).mean((2, 3), keepdim=True) for part in features.split(_AT_ONCE)])

    @torch.no_grad()
    def fit(self, features: Tensor) -> CodeEncoder:
        """Take projection, scale and axes from feature maps (N,320,4,4) of photographs. Returns the encoder."""
        if self.code == "layout":
            self.projection.copy_(_leading_directions(features.float()))
        components = self._components(features.float())
        self.mean.copy_(components.mean(0))
        self.deviation.copy_(components.std(0).clamp_min(1e-4))
        self.axes.fit(self.of_map(features.float()))
        return self


class PrincipalAxes(nn.Module):
    """The directions in which the codes of photographs differ most, each as long as one standard deviation.

    Coordinates (B,256) along them have mean 0, standard deviation 1 and no correlation over the photographs, so that
    standard normal coordinates give codes with the layout of photographs. Standard normal codes do not: their 16 cells
    know nothing of each other. `bound` is the largest coordinate that a sampler should allow.

    >>> axes = PrincipalAxes(1024)
    >>> axes.codes(axes.coordinates(torch.randn(2, 1024))).shape
    torch.Size([2, 1024])
    """

    def __init__(self, code_width: int = CODE_WIDTH, number: int = AXES) -> None:
        super().__init__()
        self.number = number
        self.register_buffer("rows", torch.eye(number, code_width))
        self.register_buffer("largest", torch.tensor(4.0))

    @property
    def bound(self) -> float:
        """The 99.9th percentile of |coordinate| over the photographs."""
        return float(self.largest)

    def codes(self, coordinates: Tensor) -> Tensor:
        """(B,256) → codes (B,W)."""
        return coordinates @ self.rows

    def coordinates(self, codes: Tensor) -> Tensor:
        """Codes (B,W) → (B,256); what codes have beyond the axes is lost."""
        return codes @ self.rows.T / self.rows.square().sum(1)

    @torch.no_grad()
    def fit(self, codes: Tensor) -> None:
        """Take axes and bound from the codes (N,W) of photographs."""
        values, directions = _principal(torch.cov(codes.T.double()))
        deviations = values[: self.number].clamp_min(_LEAST_VARIANCE).sqrt()
        self.rows.copy_(deviations[:, None] * directions[:, : self.number].T)
        found = self.coordinates(codes).abs().flatten()
        self.largest.copy_(found.kthvalue(max(1, round(0.999 * found.numel()))).values)


def width_of(code: str) -> int:
    """How many numbers a code of this kind has. Raises SettingsError.

    >>> width_of("layout"), width_of("pooled")
    (1024, 1280)
    """
    if code not in CODES:
        raise SettingsError(f"code is one of {', '.join(CODES)}; {code!r} was given.")
    return CODE_WIDTH if code == "layout" else HEAD_CHANNELS


def _leading_directions(features: Tensor) -> Tensor:
    """The principal components (64,320) of all cells of feature maps (N,320,h,w)."""
    cells = features.permute(0, 2, 3, 1).flatten(0, 2).double()
    return _principal(torch.cov(cells.T))[1][:, :COMPONENTS].T


def _principal(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (W,) and eigenvectors, the columns of (W,W), the largest first."""
    values, directions = torch.linalg.eigh(covariance)
    values, directions = values.flip(0), directions.flip(1)
    # The sign of a direction is arbitrary; its largest weight is positive, so that a code is reproducible.
    return values, directions * directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()


def enlarged(images: Tensor) -> Tensor:
    """Pictures (B,3,H,W) at the size the encoder sees, (B,3,128,128), by antialiased bilinear interpolation."""
    if images.shape[2:] != (INPUT_SIZE, INPUT_SIZE):
        images = F.interpolate(images, (INPUT_SIZE,) * 2, mode="bilinear", align_corners=False, antialias=True)
    return images.contiguous(memory_format=torch.channels_last)


class _Residual(nn.Module):
    """A 3×3 convolution of the activated input, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(F.leaky_relu(x, _SLOPE)))


class _Stage(nn.Module):
    """Doubles the resolution of features, and tells what they add to the picture."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels_in, channels, 4, stride=2, padding=1, bias=False)
        self.norm = BatchNorm2d(channels)
        self.residual = _Residual(channels)
        self.to_image = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.residual(self.norm(self.up(F.leaky_relu(x, _SLOPE))))
        return x, self.to_image(F.leaky_relu(x, _SLOPE))


class CodeGenerator(nn.Module):
    """Codes (B,W) to pictures of 8, 16, 32, 64 or 128 pixels, without noise.

    It begins with a linear function of the code, 8×8 pixels, which `fit` finds by ridge regression and training leaves
    alone: that is worth thousands of steps. Every stage adds its detail to the enlarged picture of the stage before
    (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, figure 7), so that a trained
    generator grows by one more stage: the tensors of a smaller one are among those of a larger one, and a new stage
    adds nothing at first.

    >>> CodeGenerator(channels=4, size=16)(torch.randn(2, 1024)).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(self, *, channels: int = 32, size: int = 64, code: str = "layout") -> None:
        super().__init__()
        self.code, self.code_width = code, width_of(code)
        sizes = [side for side in _WIDTHS if side > GRID]
        if size not in sizes:
            raise SettingsError(f"size must be {', '.join(map(str, sizes))}; {size} was given.")
        self.size = size
        widths = {side: max(1, int(channels * many)) for side, many in _WIDTHS.items() if side <= size}
        self.base = nn.Linear(self.code_width, 3 * BASE**2).requires_grad_(False)
        # A pooled code has no layout; it is given one.
        self.laid_out = nn.Identity() if code == "layout" else nn.Linear(self.code_width, CODE_WIDTH)
        self.first = nn.Conv2d(COMPONENTS, widths[GRID], 3, padding=1)
        self.residual = _Residual(widths[GRID])
        self.stages = nn.ModuleDict({str(b): _Stage(widths[a], widths[b]) for a, b in pairwise(widths)})
        for layer in (self.base, *(stage.to_image for stage in self.stages.values())):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def fit(self, codes: Tensor, images: Tensor) -> None:
        """Fit the linear part to photographs (N,3,8,8) in [-1,1] and their codes (N,W)."""
        wanted = images.flatten(1).double()
        mean = wanted.mean(0)
        known = codes.double()
        penalty = _RIDGE * len(known) * torch.eye(self.code_width, dtype=torch.float64, device=known.device)
        weight = torch.linalg.solve(known.T @ known + penalty, known.T @ (wanted - mean))
        self.base.weight.copy_(weight.T)
        self.base.bias.copy_(mean)

    def folded(self) -> CodeGenerator:
        """For painting: frozen, and every batch norm part of the convolution before it. Returns itself."""
        return fold_batch_norm(self.eval()).requires_grad_(False)

    def forward(self, codes: Tensor) -> Tensor:
        """codes (B,W) → pictures (B,3,size,size), trained to be in [-1,1] but not bounded.

        The last layer is linear, as in the paper: a bounded one has no gradient where a picture is all white.
        """
        x = self.laid_out(codes).unflatten(1, (COMPONENTS, GRID, GRID))
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.residual(self.first(x))
        image = self.base(codes).unflatten(1, (3, BASE, BASE))
        for stage in self.stages.values():
            x, detail = stage(x)
            image = detail + (image if image.shape == detail.shape else _doubled(image))
        return image


def _doubled(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)


class FeatureAutoencoder(nn.Module):
    """A denoising autoencoder of codes, with seven layers of units as in section 3.3 of the paper.

    What it changes in a code points to where codes are more frequent (Alain and Bengio, "What regularized auto-encoders
    learn from the data-generating distribution", 2014).

    >>> FeatureAutoencoder()(torch.randn(2, 1024)).shape
    torch.Size([2, 1024])
    """

    def __init__(self, *, code_width: int = CODE_WIDTH, hidden: tuple[int, ...] = _HIDDEN) -> None:
        super().__init__()
        self.code_width = code_width
        widths = (code_width, *hidden, *reversed(hidden[:-1]), code_width)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, codes: Tensor) -> Tensor:
        """codes (B,W), possibly with noise → codes (B,W) without it."""
        return self.layers(codes)


class CodeDiscriminator(nn.Module):
    """Whether a picture is the photograph of its code: convolutions beside the code, as PPGN's own discriminator has.

    It sees pixels only, where the projected one sees features of a trained network. `pyramid` holds the pictures
    (B,3,S,S) under `PICTURE`.

    >>> net = CodeDiscriminator(size=64)
    >>> net({PICTURE: torch.zeros(2, 3, 64, 64)}, torch.zeros(2, 1024))[0].shape
    torch.Size([2, 1])
    """

    def __init__(self, *, size: int, code_width: int = CODE_WIDTH, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels_in, channels = 3, width
        while size > GRID:
            layers += [spectral_norm(nn.Conv2d(channels_in, channels, 4, 2, 1)), nn.LeakyReLU(_SLOPE)]
            channels_in, channels, size = channels, min(2 * channels, 8 * width), size // 2
        self.seen = nn.Sequential(*layers)
        self.known = nn.Sequential(
            *(spectral_norm(nn.Linear(code_width, 16 * width)), nn.LeakyReLU(_SLOPE)),
            *(spectral_norm(nn.Linear(16 * width, 8 * width)), nn.LeakyReLU(_SLOPE)),
        )
        self.judged = nn.Sequential(
            *(spectral_norm(nn.Linear(channels_in + 8 * width, 8 * width)), nn.LeakyReLU(_SLOPE)),
            spectral_norm(nn.Linear(8 * width, 1)),
        )

    def forward(self, pyramid: Mapping[int, Tensor], *codes: Tensor) -> list[Tensor]:
        """Logits (B,1) of the pictures with each batch of codes (B,W); positive means real."""
        seen = self.seen(pyramid[PICTURE]).mean((2, 3))
        return [self.judged(torch.cat([seen, self.known(each)], 1)) for each in codes]
