"""Features of pictures as numbers in [-1,1]: closed-form measures, and a small network trained on labelled photographs.

The network is a head on frozen EfficientNet-Lite0 features with tanh outputs, after the feature extractor of Guan,
"Transparent latent-space GAN" (2018). Whatever it learned to call a feature comes from its labels.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan import inference
from telephonegan.data.layouts import open_photographs
from telephonegan.data.photos import CaptionedPhotos, pack_photos, unit_range
from telephonegan.data.tables import read_table
from telephonegan.errors import DataError, SettingsError, unknown_setting
from telephonegan.text import decoded, lines_of
from telephonegan.zoo import catalogue, store

Scores = Callable[[Tensor], Tensor]
Ends = dict[str, tuple[str, str]]

_BATCH = 64
_RAREST = 0.02  # share of the photographs that a label must have, and lack, to be learned


# ---------------------------------------------------------------------------------------------------- closed forms


def luminance(images: Tensor) -> Tensor:
    """(B,3,H,W) in [-1,1] → (B,H,W) in [-1,1], with the weights of Rec. 709."""
    weights = images.new_tensor([0.2126, 0.7152, 0.0722])
    return torch.einsum("bchw,c->bhw", images, weights)


def brightness(images: Tensor) -> Tensor:
    """Mean luminance (B,), from -1 for black to 1 for white."""
    return luminance(images).mean((1, 2))


def warmth(images: Tensor) -> Tensor:
    """Half the mean difference of red and blue (B,), from -1 for blue to 1 for red."""
    return (images[:, 0] - images[:, 2]).mean((1, 2)) / 2


def contrast(images: Tensor) -> Tensor:
    """Standard deviation of the luminance (B,), from -1 for one grey to 1 for half black, half white."""
    return 2 * luminance(images).flatten(1).std(1, correction=0) - 1


def background(images: Tensor) -> Tensor:
    """Mean luminance of the outer eighth of the picture (B,), from -1 for black to 1 for white."""
    light, edge = luminance(images), max(1, images.shape[2] // 8)
    inner = light[:, edge:-edge, edge:-edge]
    return (light.sum((1, 2)) - inner.sum((1, 2))) / (light[0].numel() - inner[0].numel())


def sharpness(images: Tensor) -> Tensor:
    """Mean luminance difference of neighbouring pixels (B,), from -1 for one grey to 1 for a chessboard of pixels."""
    light = luminance(images)
    across, down = (light.diff(dim=dim).abs().mean((1, 2)) for dim in (1, 2))
    return (across + down) / 2 - 1


MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    each.__name__: each for each in (brightness, warmth, contrast, background, sharpness)
}
_ENDS: Ends = {
    "brightness": ("darker", "brighter"),
    "warmth": ("colder", "warmer"),
    "contrast": ("flatter", "more contrast"),
    "background": ("darker background", "lighter background"),
    "sharpness": ("softer", "sharper"),
    "age": ("younger", "older"),
}


# ---------------------------------------------------------------------------------------------------- all together


class Features:
    """Named scores of pictures: `features(images)` maps (B,3,H,W) in [-1,1] to (B,k).

    `names` are measures of `MEASURES` and features of the `extractor`; None takes all of both. Or `function` is any
    callable from (B,3,H,W) to (B,k), with `names` for its columns. Raises SettingsError for an unknown name.

    >>> Features(["brightness"])(torch.ones(2, 3, 8, 8))
    tensor([[1.],
            [1.]])
    """

    def __init__(
        self,
        names: Sequence[str] | None = None,
        *,
        extractor: Extractor | str | None = None,
        function: Scores | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        extractor = Extractor.load(extractor, device) if isinstance(extractor, str) else extractor
        self._extractor, self._function = extractor, function
        known = [] if function is not None else [*(extractor.names if extractor else ()), *MEASURES]
        if function is not None and not names:
            raise SettingsError("A function that scores pictures needs names for its columns: names=[…].")
        self.names = tuple(known if names is None else names)
        if function is None and (unknown := next((name for name in self.names if name not in known), None)):
            raise unknown_setting("These features", unknown, known)

    @property
    def extractor(self) -> str:
        """The name of the extractor, "" without one."""
        return self._extractor.name if self._extractor else ""

    @property
    def ends(self) -> Ends:
        """What the ends of each scale are called, by name, where that is known."""
        known = _ENDS | (dict(self._extractor.ends) if self._extractor else {})
        return {name: known[name] for name in self.names if name in known}

    def __call__(self, images: Tensor) -> Tensor:
        if self._function is not None:
            return self._of_function(images)
        seen = {}
        if self._extractor is not None and set(self.names) & set(self._extractor.names):
            seen = dict(zip(self._extractor.names, self._extractor(images).unbind(1), strict=True))
        return torch.stack([seen[name] if name in seen else MEASURES[name](images) for name in self.names], 1)

    def _of_function(self, images: Tensor) -> Tensor:
        scores = torch.as_tensor(self._function(images)).float()
        if scores.shape != (len(images), len(self.names)):
            raise SettingsError(
                f"The function scored {len(images)} pictures with an array {tuple(scores.shape)}; "
                f"{(len(images), len(self.names))} is needed, one column for each of {', '.join(self.names)}."
            )
        return scores


def read_scores(path: str | Path) -> tuple[list[int], list[str], Tensor]:
    """A CSV of a user's own scores: a column "seed" and one per feature → seeds (n,), names (k,), scores (n,k).

    The pictures are those of `telephonegan sample` with these seeds. Raises DataError for anything else.

    >>> read_scores("smiles.csv")  # doctest: +SKIP
    ([0, 1, …], ['smile'], tensor([[0.9], …]))
    """
    rows = list(csv.DictReader(lines_of(decoded(Path(path))[0])))
    titles = [title for title in (rows[0] if rows else ()) if title]
    names = [title for title in titles if title != "seed"]
    if "seed" not in titles or not names:
        raise DataError(f"{path} needs a title row with the column seed and one column per feature; it has {titles}.")
    try:
        seeds = [inference.check_seed(int(row["seed"])) for row in rows]
        return seeds, names, torch.tensor([[float(row[name]) for name in names] for row in rows])
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} has a row that is not numbers: {error}.") from error


# ---------------------------------------------------------------------------------------------------- the network


class ExtractorHead(nn.Module):
    """Pooled backbone features (B,F) → scores (B,k) in (-1,1)."""

    def __init__(self, inputs: int, outputs: int, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(inputs), nn.Dropout(0.3), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs)
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features).tanh()


@dataclass(frozen=True, eq=False)
class Extractor:
    """A feature extractor: pictures (B,3,H,W) in [-1,1], of any size → scores (B,k) in (-1,1), with gradients.

    `ends` says in words what -1 and 1 are. `quality` is measured on held-out photographs. Raises SettingsError.

    >>> Extractor.load("faces").names  # doctest: +SKIP
    ('age', 'sex')
    """

    names: tuple[str, ...]
    head: ExtractorHead
    backbone: str = "lite0"
    input_size: int = 96
    ends: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    device: torch.device | str = "cpu"

    def __call__(self, images: Tensor) -> Tensor:
        return self.head(pooled(images.to(self.device), self.backbone, self.input_size, self.device))

    @classmethod
    def load(cls, name: str, device: str | torch.device = "auto") -> Extractor:
        """The extractor of that name. Raises UnknownModelError, WeightsError, or SettingsError for the device."""
        return cls.of(catalogue.find("extractor", name), inference.resolve_device(device))

    @classmethod
    def of(cls, entry: catalogue.Entry, device: torch.device) -> Extractor:
        """The extractor of a manifest entry. Raises WeightsError."""
        settings = inference.settings_of(entry, "feature-head")
        names, ends = settings.value("names", list[str]), settings.value("ends", dict[str, tuple[str, str]], {})
        head = settings.part("network").build(ExtractorHead)
        store.load_strict(head, store.read_tensors(entry))
        return cls(
            tuple(names),
            head.to(device).eval().requires_grad_(False),
            settings.value("backbone", str),
            settings.value("input_size", int),
            {name: tuple(each) for name, each in ends.items()},
            {name: value for name, value in entry.quality.items() if inference.is_number(value)},
            entry.name,
            device,
        )

    def register(self, name: str, *, replace: bool = False, folder: Path | None = None, **described: Any) -> Any:
        """Store it as extractor/`name`, as `zoo.store.register` does; `described` as there. Returns the entry."""
        linear = self.head.layers[2]
        how = {
            "architecture": "feature-head",
            "settings": {
                "network": {
                    "inputs": linear.in_features,
                    "outputs": len(self.names),
                    "width": linear.out_features,
                },
                "names": list(self.names),
                "backbone": self.backbone,
                "input_size": self.input_size,
                "ends": {name: list(each) for name, each in self.ends.items()},
            },
            "quality": dict(self.quality),
        }
        tensors = self.head.state_dict()
        return store.register("extractor", name, tensors, folder=folder, replace=replace, **how | described)


def pooled(images: Tensor, backbone: str, size: int, device: torch.device) -> Tensor:
    """What the head sees: the last convolution's mean, and stride 16 in four quarters, (B,F)."""
    net = inference.shared_backbone(backbone, device)
    enlarged = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    pyramid = net(enlarged.contiguous(memory_format=torch.channels_last), (16, 32))
    quarters = F.adaptive_avg_pool2d(pyramid[16], 2).flatten(1)
    return torch.cat([net.head(pyramid[32]).mean((2, 3)), quarters], 1)


# ---------------------------------------------------------------------------------------------------- training it


def train_extractor(
    data: str | Path,
    *,
    columns: Sequence[str] = (),
    words: Sequence[str] = (),
    table: str = "labels.csv",
    backbone: str = "lite0",
    input_size: int = 96,
    epochs: int = 30,
    seed: int = 0,
    cache: str | Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Extractor:
    """Train a feature extractor on labelled photographs; a few minutes on a CPU.

    `columns` of the table in the folder `data`, whose first column names the photographs: numbers are scaled to [-1,1];
    a column of two values becomes one feature, one of more values a feature for each. `words` are features that a
    photograph has if one of its captions contains the word. The quality, on the test photographs, is the accuracy for
    yes-or-no features, also balanced over both answers, and the correlation for numbers. Raises DataError, and
    SettingsError for an unknown column or a feature that hardly varies.

    >>> train_extractor("faces", columns=["age", "sex"]).register("faces")  # doctest: +SKIP
    """
    own, folder = inference.resolve_device(device), open_photographs(data)
    if not columns and not words:
        raise SettingsError("Name what to learn: columns=[…] of the table, or words=[…] of the captions.")
    photos = folder.rows([name for split in folder.splits.values() for name in split])
    labels = _labels(Path(data) / table, photos.names, columns) if columns else Labels()
    labels = labels.with_words(photos, words)
    labels.check(len(photos))
    known = ~labels.values.isnan().any(1)
    size = min(input_size, 128)
    pixels = pack_photos(photos, size, Path(cache or catalogue.home() / "cache"))
    features = _features(pixels, backbone, input_size, own, progress)
    is_test = torch.zeros(len(photos), dtype=torch.bool)
    is_test[len(folder.splits["train"]) + len(folder.splits.get("dev", ())) :] = True
    head = _fitted(features[:, known & ~is_test], labels.values[known & ~is_test], epochs, seed)
    with torch.no_grad():
        found = torch.stack([head(view) for view in features[:, known & is_test]]).mean(0)
    quality = labels.quality(found, labels.values[known & is_test])
    head = head.to(own).eval().requires_grad_(False)
    return Extractor(tuple(labels.names), head, backbone, input_size, labels.ends, quality, device=own)


@dataclass
class Labels:
    """What is known of n photographs: values (n,k) in [-1,1], NaN where unknown, and the names of the columns."""

    names: list[str] = field(default_factory=list)
    columns: list[Tensor] = field(default_factory=list)
    ends: Ends = field(default_factory=dict)
    numeric: set[str] = field(default_factory=set)

    @property
    def values(self) -> Tensor:
        return torch.stack(self.columns, 1)

    def add(self, name: str, column: Tensor, ends: tuple[str, str] | None = None) -> None:
        self.names.append(name)
        self.columns.append(column)
        if ends is not None:
            self.ends[name] = ends

    def with_words(self, photos: CaptionedPhotos, words: Sequence[str]) -> Labels:
        """These labels, and for each word whether a caption contains it."""
        for word in words:
            told = [
                float("nan") if not captions else 1.0 if any(word in caption for caption in captions) else -1.0
                for captions in photos.captions
            ]
            self.add(word, torch.tensor(told), (f"not {word}", word))
        return self

    def check(self, count: int) -> None:
        """Raises SettingsError for a feature that nearly all photographs have, or nearly none."""
        for name, column in zip(self.names, self.columns, strict=True):
            share = (column > 0).float().mean().item()
            if name not in self.numeric and not _RAREST <= share <= 1 - _RAREST:
                raise SettingsError(
                    f"{share:.1%} of {count} photographs are {name!r}: too few on one side to learn it."
                )

    def quality(self, found: Tensor, truth: Tensor) -> dict[str, float]:
        """Correlation by feature, or accuracy and balanced accuracy, which is 0.5 for a constant answer."""
        measured = {}
        for column, name in enumerate(self.names):
            a, b = found[:, column], truth[:, column]
            if name in self.numeric:
                measured[f"correlation_{name}"] = torch.corrcoef(torch.stack([a, b]))[0, 1].item()
            else:
                is_right, is_true = ((a > 0) == (b > 0)).float(), b > 0
                measured[f"accuracy_{name}"] = is_right.mean().item()
                if is_true.any() and not is_true.all():
                    balanced = (is_right[is_true].mean() + is_right[~is_true].mean()) / 2
                    measured[f"balanced_accuracy_{name}"] = balanced.item()
        return {name: round(value, 4) for name, value in measured.items()}


def _labels(path: Path, names: Sequence[str], columns: Sequence[str]) -> Labels:
    if not path.is_file():
        raise DataError(f"There is no {path}, a table with one row per photograph.")
    table = read_table(path)
    titles = list(table.titles or ())
    # Tables name photographs with or without their suffix.
    rows = {Path(row.cells[0]).stem: row.cells for row in table.rows if len(row.cells) == len(titles)}
    labels = Labels()
    for column in columns:
        if column not in titles[1:]:
            raise unknown_setting(f"The table {path}", column, titles[1:])
        cells = [rows.get(Path(name).stem, [""] * len(titles))[titles.index(column)] for name in names]
        _add_column(labels, column, cells)
    return labels


def _add_column(labels: Labels, title: str, cells: Sequence[str]) -> None:
    """One column as a number, a yes-or-no feature, or one such feature for each frequent value."""
    counts = Counter(cell for cell in cells if cell)
    try:
        numbers = torch.tensor([float(cell) if cell else float("nan") for cell in cells])
    except ValueError:
        numbers = None
    if numbers is not None and len(counts) > 2:
        known = numbers[~numbers.isnan()]
        low, high = known.quantile(0.01), known.quantile(0.99)
        labels.numeric.add(title)
        labels.add(title, ((numbers - low) / (high - low) * 1.8 - 0.9).clamp(-0.95, 0.95), _ENDS.get(title))
        return
    is_pair = len(counts) == 2
    values = sorted(counts)[1:] if is_pair else [v for v, n in counts.most_common(12) if n >= _RAREST * len(cells)]
    for value in values:
        told = [float("nan") if not cell else 1.0 if cell == value else -1.0 for cell in cells]
        ends = (sorted(counts)[0], value) if is_pair else (f"not {value}", value)
        labels.add(title if is_pair else value.lower(), torch.tensor(told), ends)


def _features(pixels: Tensor, backbone: str, size: int, device: torch.device, progress: bool) -> Tensor:
    """Features (2,N,F) of photographs (N,3,S,S), as they are and mirrored."""
    from tqdm.auto import tqdm

    parts = []
    with torch.inference_mode():
        for batch in tqdm(pixels.split(_BATCH), desc="features", disable=not progress, mininterval=2):
            images = unit_range(batch).to(device)
            parts.append(torch.stack([pooled(view, backbone, size, device).cpu() for view in (images, images.flip(3))]))
    return torch.cat(parts, 1).clone()


def _fitted(features: Tensor, labels: Tensor, epochs: int, seed: int) -> ExtractorHead:
    """A head trained on features (2,N,F) and labels (N,k)."""
    generator = inference.random_generator(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = ExtractorHead(features.shape[2], labels.shape[1])
        optimiser = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
        for _ in range(epochs):
            for rows in torch.randperm(len(labels), generator=generator).split(128):
                view = int(torch.randint(2, (), generator=generator))
                loss = F.mse_loss(head(features[view, rows]), labels[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            schedule.step()
    return head.eval()
