"""Measuring generators: whether pictures match their texts and look like photographs, and what words and noise change.

A *floor* is the score of shuffled texts or of guessing; a *ceiling* is the score of real photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from dataclasses import replace as replace_fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import SettingsError
from telephonegan.evaluation.inception_features import InceptionFeatures, find_weights
from telephonegan.evaluation.inputs import Text, choose_texts, of_classes, paintings, photographs, read_split, sampled
from telephonegan.evaluation.matchers import described, mismatches
from telephonegan.evaluation.matching import check_draw, normalised, r_precision
from telephonegan.evaluation.pictures import diversity, frechet_distance, kernel_distance
from telephonegan.evaluation.word_effects import (
    KINDS,
    Swap,
    draw_swaps,
    effects_by_kind,
    effects_by_word,
    pair_scores,
)
from telephonegan.files import png_bytes, replace
from telephonegan.generation import Generator
from telephonegan.images import contact_sheet
from telephonegan.inference import check_whole, shared_backbone
from telephonegan.matcher import Matcher
from telephonegan.networks.damsm import matching_features
from telephonegan.zoo import catalogue

_GRID = 32
_THUMBNAIL = 16
_DIVERSITY_CAPTIONS = 200
_LITE2_INPUT = 160  # input size of Lite2, unless the judge has its own
_LITE2_INPUTS = (128, 160, 224)  # kernel distances depend on the input size, so they are reported at these too
_FEATURES = ("lite2", "inception")
_REFERENCES = {"test": ("test",), "dev": ("dev",), "test+dev": ("test", "dev")}


@dataclass(frozen=True)
class Observed:
    """Features of N pictures, one row each: a judge's codes, Lite2 features, 16-px thumbnails, Inception features.

    `lite2_at` has the Lite2 features (N,3,D) at the input sizes `_LITE2_INPUTS`.
    """

    codes: Tensor
    lite2: Tensor
    thumbnails: Tensor
    inception: Tensor | None = None
    lite2_at: Tensor | None = None

    def __getitem__(self, rows: slice | list[int]) -> Observed:
        return Observed(*(None if part is None else part[rows] for part in self._parts()))

    def __add__(self, other: Observed) -> Observed:
        pairs = zip(self._parts(), other._parts(), strict=True)
        return Observed(*(None if first is None else torch.cat([first, second]) for first, second in pairs))

    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.codes, self.lite2, self.thumbnails, self.inception, self.lite2_at


class Observer:
    """Computes everything to be measured from batches of pictures (B,3,H,W) in [-1,1], in one pass.

    Pictures of more than `pixels` are reduced to so many first. With `distances=False` it leaves out what only
    distances need.
    """

    def __init__(self, judge: Matcher, inception: InceptionFeatures | None = None, *, pixels: int) -> None:
        self.judge, self.inception = judge, inception
        is_lite2 = judge.backbone_name == "lite2"
        self.lite2_sizes = (pixels, judge.input_size if is_lite2 else _LITE2_INPUT)
        self.sees_as_judge = is_lite2 and pixels == judge.picture_size
        self.backbone = shared_backbone("lite2", judge.device)

    def __call__(self, batches: Iterable[Tensor], *, distances: bool = True) -> Observed:
        parts = [self._look(batch, distances) for batch in batches]
        columns = zip(*(part._parts() for part in parts), strict=True)
        return Observed(*(None if column[0] is None else torch.cat(column) for column in columns))

    def _look(self, images: Tensor, distances: bool) -> Observed:
        if images.shape[3] > self.lite2_sizes[0]:
            images = F.interpolate(images, size=(self.lite2_sizes[0],) * 2, mode="area")
        seen = self.judge.see(images)
        usual = self.lite2_sizes[1]
        lite2 = (seen.pooled if self.sees_as_judge else self._lite2(images, usual)).cpu()
        thumbnails = F.interpolate(images, size=(_THUMBNAIL, _THUMBNAIL), mode="area").flatten(1)
        if not distances:
            return Observed(seen.codes.cpu(), lite2, thumbnails)
        inception = None if self.inception is None else self.inception(images)
        at = [lite2 if size == usual else self._lite2(images, size).cpu() for size in _LITE2_INPUTS]
        return Observed(seen.codes.cpu(), lite2, thumbnails, inception, torch.stack(at, 1))

    @torch.no_grad()
    def _lite2(self, images: Tensor, input_size: int) -> Tensor:
        pixels = self.lite2_sizes[0]
        small = F.interpolate(images.to(self.judge.device), size=(pixels, pixels), mode="area")
        return matching_features(self.backbone, small, input_size)[1]


def generator_scores(
    name: str,
    data: str | Path,
    *,
    split: str = "test",
    limit: int | None = None,
    samples: int | None = None,
    judge: str = "flickr8k",
    candidates: int = 100,
    folds: int = 10,
    seed: int = 0,
    features: str = "lite2",
    inception_weights: Path | None = None,
    reference: str | None = None,
    seeds_per_caption: int = 4,
    pixels: int | None = None,
    truncation: float = 1.0,
    best_of: int = 1,
    classes: Collection[int] | None = None,
    grid: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """R-precision, raw and scaled (guessing 0, photographs 1), distances from photographs, and diversity.

    The generator `name` paints `samples` captions (default: the first of every photograph) of the data folder's
    `split`, or of a sample of `limit` photographs, with the seeds `seed`, `seed` + 1, and so on. `truncation` scales
    the noise, and of `best_of` pictures the one that fits best counts. `classes` restricts the photographs to these
    class numbers, to measure a generator on classes it was not trained on. Photographs are reduced to the generator's
    size with an antialiased Lanczos filter; with fewer `pixels` they and the pictures are reduced to so many before
    anything is measured, so that generators of different sizes compare.

    - R-precision: the share of pictures whose own caption is the best match among `candidates` for the matching model
      `judge` (a judge's name, or damsm/NAME), with its standard deviation over `folds` parts.
    - Distances from the photographs of `reference` ("test", "dev" or "test+dev"; default: the split), over Lite2
      features of pictures resized to `pixels` (default: the generator's size). `kid_lite2_at` has the kernel distance
      for Lite2's input sizes 128, 160 and 224, because it depends on them. `features="inception"` adds FID and KID
      with `inception_weights` (default: from torch.hub's folder). The ceiling is the distance between the reference
      and photographs of another split, sampled with `seed`.
    - Diversity: differences between `seeds_per_caption` pictures of each of 200 captions, between pictures of different
      captions, and between photographs.

    The first 32 pictures are written to the PNG file `grid`, if given. Raises UnknownModelError, WeightsError,
    DataError, OutputError, or SettingsError for arguments that are out of range or do not fit the data. Xu et al.,
    "AttnGAN", CVPR 2018; Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017; Bińkowski et al.,
    "Demystifying MMD GANs", 2018.

    >>> generator_scores("flickr8k", "flickr8k", samples=5000, reference="test+dev")["r_precision"]  # doctest: +SKIP
    0.4196
    """
    seeds_per_caption = check_whole(seeds_per_caption, "seeds-per-caption", 2, 100)
    reference = reference or split
    if reference not in _REFERENCES:
        raise SettingsError(f"reference must be one of {', '.join(_REFERENCES)}; {reference!r} was given.")
    inception = _inception(features, inception_weights, device)

    def read(name: str) -> CaptionedPhotos:
        whole = read_split(data, name, limit if classes is None else None)
        return whole if classes is None else of_classes(whole, classes, limit)

    photos = read(split)
    generator, judging = Generator.load(name, device), Matcher.load(judge, device)
    texts, left_out = choose_texts(photos, samples, generator.knows)
    groups, drawn = mismatches(photos, [text.photo for text in texts], candidates)
    check_draw(groups, candidates, folds)
    size = generator.size
    pixels = size if pixels is None else check_whole(pixels, "pixels", 8, 1024)
    observer = Observer(judging, inception, pixels=pixels)
    paint = partial(_paint, generator, truncation=truncation, candidates=best_of)
    if grid is not None:
        replace(grid, png_bytes(contact_sheet(torch.cat(list(paint(texts[:_GRID], seed))))))
    painted = observer(paint(texts, seed))
    observe = partial(_observe, observer, min(size, pixels))
    real = observe(photos)
    near, other = _references(read, observe, reference, split, real, most=len(painted.codes), seed=seed)
    return {
        "sha256": generator.sha256,
        "n": len(texts),
        "captions_left_out": left_out,
        "size": size,
        "truncation": truncation,
        "best_of": best_of,
        **({} if classes is None else {"classes": sorted(set(classes))}),
        "judge": judging.name,
        "judge_sha256": judging.sha256,
        "judge_guided_training": _guided(name, judging),
        **_matching(painted, real, judging, texts, drawn, candidates=candidates, folds=folds, seed=seed, groups=groups),
        **_distances(observer, painted, near, other, reference, seed),
        **_diversity(observer, paint, texts, painted, real, seed=seed, seeds=seeds_per_caption),
    }


def word_scores(
    name: str,
    data: str | Path,
    *,
    split: str = "test",
    limit: int | None = None,
    samples: int = 300,
    judge: str = "flickr8k",
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Whether words for colours and things change what the generator `name` paints; see `word_effects`.

    In captions of the data folder's `split`, or of a sample of `limit` photographs, one word is replaced by another of
    its kind, in at most `samples` captions per kind. Both texts are painted with the same noise, and the matching model
    `judge` scores each picture with each text. `photographs_prefer` is the share of pairs in which it scores the real
    photograph higher with its own text (0.5 by guessing), which shows what the judge can distinguish at all.

    Raises UnknownModelError, WeightsError, DataError or SettingsError.

    >>> word_scores("flickr8k", "flickr8k")["n"]  # doctest: +SKIP
    2400
    """
    photos = read_split(data, split, limit)
    generator, judging = Generator.load(name, device), Matcher.load(judge, device)
    swaps = _swaps(photos, generator, judging, samples, seed)
    texts = [[swap.caption for swap in swaps], [swap.swapped for swap in swaps]]
    seeds = range(seed, seed + len(swaps))
    codes = [judging.look(paintings(generator, side, seeds)) for side in texts]
    sentences = [judging.read(side) for side in texts]
    scores = pair_scores(codes, sentences)
    preferred = _photographs_prefer(judging, photos, swaps, sentences)
    kinds = {
        kind: {**asdict(effect), "photographs_prefer": float(preferred[_of_kind(swaps, kind)].mean())}
        for kind, effect in effects_by_kind(swaps, scores).items()
    }
    return {
        "sha256": generator.sha256,
        "n": len(swaps),
        "judge": judging.name,
        "judge_sha256": judging.sha256,
        "judge_guided_training": _guided(name, judging),
        "both_prefer_chance": 0.25,
        "kinds": kinds,
        "words": {word: asdict(effect) for word, effect in effects_by_word(swaps, scores).items()},
    }


# ------------------------------------------------------------------------------------------------------------ matching


def _matching(
    painted: Observed, real: Observed, judge: Matcher, texts: list[Text], drawn: str, **protocol: Any
) -> dict[str, Any]:
    """R-precision with its floor and ceiling; `protocol` has the arguments of `r_precision`."""
    sentences = judge.read([text.words for text in texts])
    photographed = real.codes[[text.photo for text in texts]]
    found, ceiling, floor = (
        r_precision(codes, sentences, **protocol) for codes in (painted.codes, photographed, painted.codes.roll(1, 0))
    )
    has_scale = ceiling.mean != found.chance
    return {
        **described("r_precision", found, drawn),
        "r_precision_real": ceiling.mean,
        "r_precision_real_std": ceiling.std,
        "r_precision_shuffled": floor.mean,
        "r_precision_scaled": normalised(found.mean, ceiling.mean, found.chance) if has_scale else None,
    }


def _guided(name: str, judge: Matcher) -> bool:
    """Whether the judge guided the generator's training, which makes its scores biased."""
    return judge.name == f"damsm/{catalogue.find('generator', name).settings.get('damsm')}"


# ----------------------------------------------------------------------------------------------------------- distances


def _inception(features: str, path: Path | None, device: str) -> InceptionFeatures | None:
    if features not in _FEATURES:
        raise SettingsError(f"features must be one of {', '.join(_FEATURES)}; {features!r} was given.")
    if features == "lite2":
        if path is not None:
            raise SettingsError("--inception-weights needs --features inception. Give both or neither.")
        return None
    return InceptionFeatures(find_weights(path), device)


def _references(
    read: Callable[[str], CaptionedPhotos],
    observe: Callable[[CaptionedPhotos], Observed],
    reference: str,
    split: str,
    real: Observed,
    *,
    most: int,
    seed: int,
) -> tuple[Observed, Observed]:
    """The reference photographs for distances, and other photographs for the ceiling.

    `real` are those of `split`, which have been observed already. Of the others at most `most`, and no more than `real`
    has, are sampled.
    """
    parts = [real if name == split else observe(read(name)) for name in _REFERENCES[reference]]
    near = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    other = _ceiling(reference)
    most = min(most, len(real.codes))
    if other == split:
        return near, real[sampled(len(real.codes), most, seed)]
    others = read(other)
    return near, observe(others.take(sampled(len(others), most, seed)))


def _observe(observer: Observer, size: int, photos: CaptionedPhotos) -> Observed:
    """Observe photographs at the size of the pictures."""
    return observer(photographs(photos, size, Image.Resampling.LANCZOS))


def _ceiling(reference: str) -> str:
    """The split whose distance from the reference is the ceiling."""
    return next(name for name in ("dev", "test", "train") if name not in _REFERENCES[reference])


def _distances(
    observer: Observer, painted: Observed, near: Observed, other: Observed, reference: str, seed: int
) -> dict[str, Any]:
    few = sampled(len(painted.codes), len(other.codes), seed)
    picture_size, input_size = observer.lite2_sizes
    told = {
        "reference": reference,
        "n_reference": len(near.codes),
        "ceiling": _ceiling(reference),
        "n_ceiling": len(other.codes),
        "lite2_pixels": f"{picture_size}, enlarged to {input_size}",
    }
    told |= _distance("kid_lite2", "fd_lite2", painted.lite2, near.lite2, other.lite2, few)
    for key, shown in (("kid_lite2_at", painted), ("kid_lite2_at_ceiling", other)):
        told[key] = {
            str(size): kernel_distance(shown.lite2_at[:, column], near.lite2_at[:, column]).mean
            for column, size in enumerate(_LITE2_INPUTS)
        }
    if observer.inception is None:
        return told
    name = observer.inception.name
    return {
        **told,
        "inception": observer.inception.variant,
        "inception_sha256": observer.inception.sha256,
        **_distance(f"kid_{name}", f"fid_{name}", painted.inception, near.inception, other.inception, few),
    }


def _distance(
    kernel: str, frechet: str, painted: Tensor, reference: Tensor, other: Tensor, few: list[int]
) -> dict[str, Any]:
    """Kernel and Fréchet distance with their ceilings.

    `matched` is the Fréchet distance of the rows `few`, as many pictures as the ceiling has: a Fréchet distance falls
    with the number of pictures, so only equal numbers compare.
    """
    found, ceiling = kernel_distance(painted, reference), kernel_distance(other, reference)
    return {
        kernel: found.mean,
        f"{kernel}_std": found.std,
        f"{kernel}_subset": found.n,
        f"{kernel}_ceiling": ceiling.mean,
        frechet: frechet_distance(painted, reference),
        f"{frechet}_matched": frechet_distance(painted[few], reference),
        f"{frechet}_ceiling": frechet_distance(other, reference),
    }


# ----------------------------------------------------------------------------------------------------------- diversity


def _diversity(
    observer: Observer,
    paint: Callable[[list[Text], int], Iterable[Tensor]],
    texts: list[Text],
    painted: Observed,
    real: Observed,
    *,
    seed: int,
    seeds: int,
) -> dict[str, Any]:
    """Mean differences between pictures of one caption, of different captions, and between photographs.

    For thumbnails this is the mean absolute difference, where black and white differ by 2; for features the Euclidean
    distance.
    """
    rows = sampled(len(texts), _DIVERSITY_CAPTIONS)
    some, captions = [texts[row] for row in rows], list(range(len(rows)))
    first = replace_fields(painted[rows], inception=None, lite2_at=None)
    every = first
    for k in range(1, seeds):
        every += observer(paint(some, seed + k * len(texts)), distances=False)
    one_group = [0] * len(some)
    photographed = real[sampled(len(real.codes), _DIVERSITY_CAPTIONS)]
    sets = {
        "other_seed": (every, captions * seeds),
        "other_caption": (first, one_group),
        "other_photograph": (photographed, [0] * len(photographed.codes)),
    }
    differences = {f"{name}_difference": diversity(o.thumbnails, g, absolute=True) for name, (o, g) in sets.items()}
    distances = {f"{name}_lite2": diversity(o.lite2, g) for name, (o, g) in sets.items()}
    return {"diversity_captions": len(some), "diversity_seeds": seeds, **differences, **distances}


# --------------------------------------------------------------------------------------------------------------- words


def _swaps(photos: CaptionedPhotos, generator: Generator, judge: Matcher, samples: int, seed: int) -> list[Swap]:
    def knows(word: str) -> bool:
        return word in generator.vocabulary and word in judge.vocabulary

    def differ(first: list[str], second: list[str]) -> bool:
        painted = [generator.encode(" ".join(words)).ids for words in (first, second)]
        read = judge.known_ids([first, second])
        return painted[0] != painted[1] and read[0] != read[1]

    limit = check_whole(samples, "samples", 1, 1_000_000)
    captions = [(row, words) for row, texts in enumerate(photos.captions) for words in texts]
    swaps = [
        swap
        for kind in KINDS
        for swap in draw_swaps(captions, kind, knows=knows, differ=differ, limit=limit, seed=seed)
    ]
    if len(swaps) < 2:
        raise SettingsError(
            f"The captions give only {len(swaps)} pairs of words that generator and judge both know; 2 are needed. "
            "Give another data folder or a larger --limit."
        )
    return swaps


def _photographs_prefer(
    judge: Matcher, photos: CaptionedPhotos, swaps: list[Swap], sentences: list[Tensor]
) -> np.ndarray:
    """For each swap, whether the photograph scores higher with its own text than with the swapped one: (N,) bool."""
    rows = sorted({swap.row for swap in swaps})
    codes = F.normalize(judge.look(photographs(photos.take(rows), judge.picture_size)), dim=1)
    places = {row: place for place, row in enumerate(rows)}
    own = codes[[places[swap.row] for swap in swaps]]
    true, false = ((own * F.normalize(side, dim=1)).sum(1) for side in sentences)
    return (true > false).numpy()


def _of_kind(swaps: list[Swap], kind: str) -> list[int]:
    return [row for row, swap in enumerate(swaps) if swap.kind == kind]


def _paint(generator: Generator, texts: list[Text], seed: int, **how: Any) -> Iterable[Tensor]:
    return paintings(generator, [text.words for text in texts], range(seed, seed + len(texts)), **how)
