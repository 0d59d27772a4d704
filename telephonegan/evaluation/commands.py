"""`telephonegan evaluate captioner|generator`: the numbers of the README, as JSON lines."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from telephonegan.errors import OutputError
from telephonegan.files import writing
from telephonegan.training.commands import command_line, without_places

_EXAMPLES = """examples:
  telephonegan evaluate captioner flickr8k --data flickr8k
  telephonegan evaluate generator flickr8k --data flickr8k
  telephonegan evaluate nearest --data flickr8k"""

_TWICE = 200  # captions that are painted with a second seed


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan evaluate`."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "what",
        choices=("captioner", "generator", "nearest"),
        help="nearest: the captions of the most similar training photograph, a floor for captioners",
    )
    parser.add_argument("name", nargs="?", default="flickr8k", help="name of the model")
    parser.add_argument("--data", type=Path, required=True, help="a Flickr8k folder")
    parser.add_argument("--split", default="test", choices=("dev", "test"))
    parser.add_argument("--beam-width", type=int, default=3)
    parser.add_argument("--limit", type=int, help="only the first photographs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grid", type=Path, help="generator: also write the first 32 pictures to this PNG file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="a file the JSON line is appended to")


def evaluate(options: argparse.Namespace) -> int:
    """Measure and print one JSON line."""
    started = time.monotonic()
    for path in filter(None, (options.out, options.grid)):
        if not path.parent.is_dir():
            raise OutputError(f"{path} cannot be written: {path.parent} is no folder. Make it first.")
    measure = {"captioner": captioner_scores, "generator": generator_scores, "nearest": nearest_scores}[options.what]
    record = {
        "what": options.what,
        "name": options.name,
        "split": options.split,
        "command": without_places(command_line()),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **measure(options),
        "seconds": round(time.monotonic() - started, 1),
    }
    line = json.dumps({key: _finite(value) for key, value in record.items()})
    print(line)
    if options.out:
        with writing(options.out), open(options.out, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    return 0


def captioner_scores(options: argparse.Namespace) -> dict[str, Any]:
    """BLEU, ROUGE-L and CIDEr of free-running captions against the five human ones."""
    from telephonegan import weights
    from telephonegan.captioning import Captioner
    from telephonegan.evaluation.captions import caption_scores
    from telephonegan.images import as_image

    photos = _photos(options)
    captioner = Captioner.load(options.name, options.device)
    said = captioner(
        [as_image(photos.folder / name) for name in photos.names], method="beam", beam_width=options.beam_width
    )
    return {
        "sha256": weights.find("captioner", options.name).sha256,
        "n": len(said),
        "beam": options.beam_width,
        **caption_scores([caption.words for caption in said], photos.captions),
    }


def nearest_scores(options: argparse.Namespace) -> dict[str, Any]:
    """The same scores for the first caption of the training photograph with the nearest pooled features."""
    import torch
    from torch.nn import functional as F

    from telephonegan.evaluation.captions import caption_scores
    from telephonegan.inference import resolve_device
    from telephonegan.models.backbone import Backbone
    from telephonegan.models.damsm import pooled_features
    from telephonegan.training.data import read_flickr8k, unit_range

    device = resolve_device(options.device)
    backbone = Backbone("lite0").to(device, memory_format=torch.channels_last)

    @torch.no_grad()
    def pooled(photos: Any) -> torch.Tensor:
        batches = _pixels(photos, 208).split(50)
        return F.normalize(
            torch.cat(
                [
                    pooled_features(
                        backbone.grid(F.interpolate(unit_range(batch).to(device), size=(256, 256), mode="bilinear"))
                    ).cpu()
                    for batch in batches
                ]
            ),
            dim=1,
        )

    photos, train = _photos(options), read_flickr8k(options.data, "train")
    nearest = (pooled(photos) @ pooled(train).T).argmax(1).tolist()
    return {"n": len(photos), **caption_scores([train.captions[i][0] for i in nearest], photos.captions)}


def generator_scores(options: argparse.Namespace) -> dict[str, Any]:
    """R-precision by the judge on the scale chance = 0, real photographs = 1, and distances over Lite2 features.

    One picture for the first caption of every photograph, compared with the photographs of the split; `ceiling` is
    the distance between two splits of photographs.
    """
    from telephonegan import weights
    from telephonegan.evaluation.judge import Judge
    from telephonegan.evaluation.matching import normalised, r_precision
    from telephonegan.evaluation.pictures import frechet_distance, kernel_distance
    from telephonegan.generation import TextToImage
    from telephonegan.images import contact_sheet
    from telephonegan.training.data import read_flickr8k, unit_range

    photos = _photos(options)
    captions = [photo[0] for photo in photos.captions]
    generator, judge = TextToImage.load(options.name, options.device), Judge(device=options.device)
    texts, seeds = [" ".join(words) for words in captions], [options.seed + i for i in range(len(captions))]
    painted = _painted(generator, texts, seeds)
    again = _painted(generator, texts[:_TWICE], [seed + len(texts) for seed in seeds[:_TWICE]])
    if options.grid:
        contact_sheet(painted[:32]).save(options.grid)
    size = judge.settings["picture_size"]
    other = read_flickr8k(options.data, "dev" if options.split == "test" else "test")
    codes, features = judge.look(painted)
    photographed = unit_range(_pixels(photos, size))
    real_codes, real_features = judge.look(photographed)
    _, other_features = judge.look(unit_range(_pixels(other, size)))
    sentences = judge.read(captions)
    found, real = r_precision(codes, sentences), r_precision(real_codes, sentences)
    shuffled = r_precision(codes.roll(1, 0), sentences)
    return {
        "sha256": weights.find("generator", options.name).sha256,
        "n": len(captions),
        "r_precision": found.mean,
        "r_precision_real": real.mean,
        "r_precision_shuffled": shuffled.mean,
        "r_precision_scaled": normalised(found.mean, real.mean, found.chance),
        "kid_lite2": kernel_distance(features, real_features).mean,
        "kid_lite2_ceiling": kernel_distance(other_features, real_features).mean,
        "fd_lite2": frechet_distance(features, real_features),
        "fd_lite2_ceiling": frechet_distance(other_features, real_features),
        "other_seed_difference": _difference(painted[:_TWICE], again),
        "other_caption_difference": _difference(painted[:_TWICE], painted[:_TWICE].roll(1, 0)),
        "other_photograph_difference": _difference(photographed[:_TWICE], photographed[:_TWICE].roll(1, 0)),
    }


def _painted(generator: Any, texts: list[str], seeds: list[int]) -> Any:
    from telephonegan.images import to_tensor

    images = [picture.image for picture in generator(texts, seeds=seeds)]
    return to_tensor(images, images[0].width)


def _difference(first: Any, second: Any) -> float:
    """Mean absolute difference of 16-px thumbnails, on the scale where black and white differ by 2."""
    from torch.nn.functional import interpolate

    small = [interpolate(images, size=(16, 16), mode="area") for images in (first, second)]
    return (small[0] - small[1]).abs().mean().item()


def _photos(options: argparse.Namespace) -> Any:
    from telephonegan.training.data import read_flickr8k

    return read_flickr8k(options.data, options.split)[: options.limit]


def _pixels(photos: Any, size: int) -> Any:
    from telephonegan.images import as_image, to_tensor

    images: Sequence[Any] = [as_image(photos.folder / name) for name in photos.names]
    return ((to_tensor(list(images), size) + 1) * 127.5).round().byte()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
