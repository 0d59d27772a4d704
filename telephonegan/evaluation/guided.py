"""Measuring plug & play generation: does another network see what the sampler was asked for?

The network that the sampler climbs is always convinced in the end. What counts is whether a network that it did not see
agrees, and how much of the variety between seeds is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from telephonegan.errors import DataError, SettingsError, TextError
from telephonegan.evaluation.inputs import choose_texts, read_split
from telephonegan.evaluation.matching import r_precision
from telephonegan.evaluation.pictures import diversity
from telephonegan.files import json_bytes, make_folder, png_bytes, replace, slug
from telephonegan.generation import Generator
from telephonegan.images import as_image, to_tensor
from telephonegan.inference import check_whole, derived_seed
from telephonegan.latent.condition_networks import ConditionNetwork
from telephonegan.latent.conditions import Condition, image_class
from telephonegan.latent.decoders import CodeDecoder
from telephonegan.latent.published import code_decoder
from telephonegan.latent.sampler import Sampler, SamplerSettings
from telephonegan.latent.text_conditions import CaptionCondition
from telephonegan.matcher import Matcher
from telephonegan.records import read_json
from telephonegan.zoo import catalogue

# Chosen before anything was sampled: of each kind of photograph that the generator of codes was trained on.
CLASSES = (
    *("golden retriever", "Dalmatian", "tabby", "zebra", "African elephant", "junco", "goldfinch", "flamingo", "daisy"),
    *("volcano", "lakeside", "seashore", "alp", "pizza", "school bus", "mountain bike", "ski", "fire engine"),
    *("running shoe", "jersey"),
)
_JUDGE_PIXELS = 224
_BATCH = 10  # seeds that are sampled together


def guided_scores(
    name: str = "photos",
    *,
    classes: int = 20,
    seeds: int = 10,
    steps: int = 200,
    network: str = "lite0",
    judge: str = "lite2",
    generator: str = "flickr8k",
    seed: int = 0,
    pictures: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """How often `judge` sees the class that the sampler was asked for in the eyes of `network`.

    The first `classes` of `CLASSES` are sampled with `seeds` seeds each, `seed`, `seed` + 1 and so on, with PPGN's
    settings for `steps` steps, in three ways: "joint", the prior of the model ppgn/`name`; "none", without a prior; and
    "text", the class's name as a text for `generator`, whose unknown words are left out. For each: `right`, the share
    of last pictures whose likeliest class is the one wanted by `judge`; `right_5`, among its five likeliest; `own`, the
    mean probability by `network`; and `diversity`, the mean distance of `judge`'s features between seeds of a class.
    `pictures` is a folder where they are kept, and from which a call that was stopped goes on. Raises
    UnknownModelError, WeightsError, SettingsError, and OutputError if they cannot be kept.

    >>> guided_scores("photos", classes=5, seeds=2)["joint"]["right"]  # doctest: +SKIP
    0.4
    """
    wanted = CLASSES[: check_whole(classes, "classes", 1, len(CLASSES))]
    numbers = range(seed, seed + check_whole(seeds, "seeds", 1, 1000))
    decoder = code_decoder(name, device)
    looking = ConditionNetwork.load(network, device)
    judging = ConditionNetwork.load(judge, device, size=_JUDGE_PIXELS)
    painted = {"joint": [], "none": [], "text": []}
    conditions = [image_class(each, looking, objective="paper") for each in wanted]
    painter = Generator.load(generator, device)
    entry = catalogue.find("ppgn", name)
    shelf = _Shelf(pictures, model=entry.sha256, network=network, generator=painter.sha256, steps=steps)
    for condition in tqdm(conditions, desc="classes", mininterval=2):
        for prior in ("joint", "none"):
            sample = partial(_sampled, decoder, condition, prior, steps)
            painted[prior].append(shelf.get(f"{prior}/{slug(condition.label)}", numbers, sample))
        paint = partial(_painted, painter, condition.label)
        painted["text"].append(shelf.get(f"text/{slug(condition.label)}", numbers, paint))
    return {
        "sha256": entry.sha256,
        "n": len(wanted) * len(numbers),
        "classes": list(wanted),
        "seeds": len(numbers),
        "steps": steps,
        "network": network,
        "judge": judge,
        "generator": generator,
        **{way: _judged(conditions, pictures, judging) for way, pictures in painted.items()},
    }


class _Shelf:
    """Pictures in a folder, PNG files by what they show and seed, so that nothing is sampled twice.

    `how` is all that they depend on besides, kept in how.json. Without a folder nothing is kept. Raises SettingsError
    for a folder of pictures that were made in another way, OutputError.
    """

    def __init__(self, folder: Path | None, **how: Any) -> None:
        self.folder = folder
        if folder is None:
            return
        make_folder(folder)
        told = folder / "how.json"
        if not told.exists():
            replace(told, json_bytes(how))
        if (before := read_json(told, dict)) != how:
            differ = ", ".join(name for name in how if before.get(name) != how[name])
            raise SettingsError(f"The pictures in {folder} were made with another {differ}. Choose another folder.")

    def get(
        self, title: str, seeds: Sequence[int], make: Callable[[Sequence[int]], list[Image.Image]]
    ) -> Tensor | None:
        """The pictures (N,3,S,S) of these seeds, from the folder, or made and kept; None if there are none to make."""
        images = self._kept(title, seeds)
        if not images:
            images = make(seeds)
            self._keep(title, seeds, images)
        return to_tensor(images, images[0].width) if images else None

    def _kept(self, title: str, seeds: Sequence[int]) -> list[Image.Image]:
        """All of them, or none."""
        paths = [] if self.folder is None else [self._path(title, seed) for seed in seeds]
        return [as_image(path) for path in paths] if all(path.exists() for path in paths) else []

    def _keep(self, title: str, seeds: Sequence[int], images: Sequence[Image.Image]) -> None:
        if self.folder is None or not images:
            return
        make_folder(self.folder / title)
        for seed, image in zip(seeds, images, strict=True):
            replace(self._path(title, seed), png_bytes(image))

    def _path(self, title: str, seed: int) -> Path:
        return self.folder / title / f"{seed:04d}.png"


def _sampled(
    decoder: CodeDecoder, condition: Condition, prior: str, steps: int, seeds: Sequence[int]
) -> list[Image.Image]:
    """The last pictures of all seeds."""
    settings = SamplerSettings(n_iters=steps, save_every=0, epsilon1=0.0 if prior == "none" else 1e-5)
    sampler = Sampler(decoder, condition, prior=decoder.prior(prior), settings=settings)
    parts = [_lasts(sampler, seeds[start : start + _BATCH]) for start in range(0, len(seeds), _BATCH)]
    return [image for part in parts for image in part]


def _painted(generator: Generator, text: str, seeds: Sequence[int]) -> list[Image.Image]:
    """Pictures of a text; none if the generator knows none of its words."""
    try:
        return [picture.image for picture in generator([text] * len(seeds), seeds=seeds)]
    except TextError:
        return []


@torch.no_grad()
def _judged(
    conditions: Sequence[Condition], pictures: Sequence[Tensor | None], judging: ConditionNetwork
) -> dict[str, Any]:
    right, right_5, own, features, groups = [], [], [], [], []
    for condition, batch in zip(conditions, pictures, strict=True):
        if batch is None:
            continue
        best = judging.activations(batch, judging.class_layer).topk(5).indices == condition.unit
        right += best[:, 0].tolist()
        right_5 += best.any(1).tolist()
        own += condition(batch).probability.tolist()
        features.append(judging.activations(batch, "head").mean((2, 3)).cpu())
        groups += [condition.label] * len(batch)
    if not right:
        return {"n": 0}
    return {
        "n": len(right),
        "right": float(np.mean(right)),
        "right_5": float(np.mean(right_5)),
        "own": float(np.mean(own)),
        "diversity": diversity(torch.cat(features), groups) if len(right) > len(features) else None,
    }


def guided_caption_scores(
    name: str,
    data: str | Path,
    *,
    split: str = "test",
    samples: int = 50,
    steps: int = 200,
    captioner: str = "flickr8k",
    generator: str = "flickr8k",
    judge: str = "flickr8k",
    seed: int = 0,
    pictures: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """R-precision of pictures sampled for captions of `data`, and of those that `generator` paints of the same.

    Each of `samples` captions, whose words both know, is sampled from one seed with PPGN's settings for captions, and
    compared with those of the others, all of them candidates, by the matching model `judge`. `pictures` as in
    `guided_scores`. Raises UnknownModelError, WeightsError, DataError, SettingsError, OutputError.

    >>> guided_caption_scores("photos", "flickr8k", samples=20)["sampled"]  # doctest: +SKIP
    0.35
    """
    decoder, painter = code_decoder(name, device), Generator.load(generator, device)
    judging, texts = Matcher.load(judge, device), []
    candidates, _ = choose_texts(read_split(data, split), None, painter.knows)
    for text in candidates:
        caption = " ".join(text.words)
        try:
            texts.append((caption, CaptionCondition(caption, captioner, device=device)))
        except TextError:
            continue
        if len(texts) == samples:
            break
    if not texts:
        raise DataError(f"No caption of {data} consists of words that the captioner {captioner!r} knows.")
    entry = catalogue.find("ppgn", name)
    shelf = _Shelf(pictures, model=entry.sha256, captioner=captioner, generator=painter.sha256, steps=steps)
    ways: dict[str, list[Tensor]] = {"sampled": [], "painted": []}
    for number, (caption, condition) in enumerate(tqdm(texts, desc="captions", mininterval=2), seed):
        title = f"{slug(caption)}-{derived_seed(caption):08x}"
        ways["sampled"].append(shelf.get(f"sampled/{title}", [number], partial(_said, decoder, condition, steps)))
        ways["painted"].append(shelf.get(f"painted/{title}", [number], partial(_painted, painter, caption)))
    sentences = judging.read([condition.words for _, condition in texts])
    return {
        "sha256": entry.sha256,
        "n": len(texts),
        "steps": steps,
        "judge": judging.name,
        **{
            way: r_precision(judging.look([torch.cat(images)]), sentences, candidates=len(texts), folds=2).mean
            for way, images in ways.items()
        },
    }


def _said(decoder: CodeDecoder, condition: Condition, steps: int, seeds: Sequence[int]) -> list[Image.Image]:
    """The last picture of each seed, with PPGN's settings for captions."""
    settings = SamplerSettings(n_iters=steps, save_every=0, epsilon1=1e-3, lr_end=1e-10)
    sampler = Sampler(decoder, condition, prior=decoder.prior("joint"), settings=settings)
    return _lasts(sampler, seeds)


def _lasts(sampler: Sampler, seeds: Sequence[int]) -> list[Image.Image]:
    """The last pictures of the chains of these seeds. Raises KeyboardInterrupt where a sampler keeps what there is."""
    sampling = sampler.run(seeds, progress=False)
    if not sampling.is_finished:
        raise KeyboardInterrupt
    return [frame.image for frame in sampling.lasts.values()]
